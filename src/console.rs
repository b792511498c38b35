//! What operators see and change while the daemon runs: as pages for people, and as JSON for programs.
//!
//! [`router`] serves both, below the check of the token, which adds a [`Visitor`] to each request. The questions and
//! their typed answers are those of the commands: [`crate::inspect`], [`crate::replay`]. Any instance answers for the
//! whole group from Kafka. Figures that only an instance itself has are shown for the instance that answers.
//!
//! - `questions`, `instances`, `figures`: read. Readings of Kafka run in threads, see `readings`.
//! - `actions`, `replays`: change something, each after its event is in Kafka, see `audit`.
//! - `api`: both as JSON. The router and the OpenAPI document are made from one list.
//! - `pages`: both as HTML.

mod actions;
mod api;
mod audit;
mod disclosure;
mod failure;
mod fields;
mod figures;
mod history;
mod instances;
mod pages;
mod questions;
mod readings;
mod replays;
mod visitor;

pub use api::document;
pub use failure::Failure;
pub use instances::{PartitionView, own_partitions};
pub use visitor::Visitor;

use crate::accounts::Accounts;
use crate::delivery::{AddressPolicy, Names, Trust};
use crate::domain::{AccountId, WebhookName};
use crate::inspect::accounts::{AccountLine, AccountView, FaultView};
use crate::inspect::dead_letters::WholeLetter;
use crate::inspect::trace::Trace;
use crate::inspect::webhooks::Remembered;
use crate::log::{KafkaSettings, TopicNames};
use crate::replay::Summary;
use crate::telemetry::{Health, Metrics};
use axum::Router;
use axum::response::{Html, Response};
use fields::Fields;
use history::History;
use instances::InstancesView;
use questions::{LetterPage, Which};
use readings::{Limit, Readings};
use replays::Replays;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The number of connections that get live updates at the same time.
const STREAMS_MAX: usize = 32;

/// The part of the configuration in force that the console needs.
#[derive(Clone)]
pub struct Current {
    pub accounts: Accounts,
    /// The parts of test messages.
    pub trust: Arc<Trust>,
    pub addresses: AddressPolicy,
    pub names: Names,
}

/// The configuration in force, which reloads change.
pub trait InForce: Send + Sync {
    /// Returns the accounts with what test messages need. `None`: none are in force yet.
    fn current(&self) -> Option<Current>;

    /// Returns at most `max` accounts behind the account `after`.
    fn lines(&self, after: Option<AccountId>, max: usize) -> Vec<AccountLine>;

    /// Returns at most `max` faults in rows of the database.
    fn faults(&self, max: usize) -> Vec<FaultView>;

    /// Returns the settings of an account, or `None` if there is no such account.
    fn account(&self, account: AccountId) -> Option<AccountView>;
}

/// The parts of the daemon that the console shows.
pub struct Console {
    kafka: KafkaSettings,
    topics: TopicNames,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    in_force: Arc<dyn InForce>,
    history: History,
    replays: Replays,
    streams: Arc<Semaphore>,
    traces: Readings<Trace>,
    states: Readings<HashMap<WebhookName, Remembered>>,
    letters: Readings<LetterPage>,
    whole_letters: Readings<Option<WholeLetter>>,
    plans: Readings<Summary>,
    groups: Readings<InstancesView>,
}

impl Console {
    /// Creates the console of a daemon that uses these settings of Kafka and these topics.
    #[must_use]
    pub fn new(
        (kafka, topics): (&KafkaSettings, &TopicNames),
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        in_force: Arc<dyn InForce>,
    ) -> Arc<Self> {
        let (limit, numbers) = (&Limit::default(), &Arc::default());
        Arc::new(Self {
            kafka: kafka.clone(),
            topics: topics.clone(),
            metrics,
            health,
            in_force,
            history: History::default(),
            replays: Replays::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            traces: Readings::new(limit, numbers),
            states: Readings::new(limit, numbers),
            letters: Readings::new(limit, numbers),
            whole_letters: Readings::new(limit, numbers),
            plans: Readings::new(limit, numbers),
            groups: Readings::new(limit, numbers),
        })
    }

    /// Takes a sample of the figures every ten seconds, for the charts. Does not end.
    pub async fn observe(&self) {
        let mut ticks = tokio::time::interval(history::INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.history.add(self.metrics.sample());
        }
    }

    /// Stops the replays that run. What they have sent is committed.
    pub fn stop(&self) {
        self.replays.stop_all();
    }
}

/// Returns the routes of the pages and of the API. The caller adds the check of the token.
pub fn router(console: Arc<Console>) -> Router {
    pages::router().merge(api::router()).with_state(console)
}

/// Returns the routes of the style sheet and the script, which need no token.
pub fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    pages::assets()
}

/// Returns the page on which operators sign in, and which then leads to `next`. `problem` says why an earlier try failed.
pub fn sign_in(next: &str, problem: Option<&str>) -> Html<String> {
    pages::sign_in::form(next, problem)
}

/// Returns the answer for a path that does not exist.
pub async fn not_found() -> Response {
    pages::not_found().await
}

#[cfg(test)]
mod tests;
