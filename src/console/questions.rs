//! The questions that the console and the API answer, each with the reading that it needs.

use super::Console;
use super::failure::Failure;
use super::fields::Fields;
use super::instances::{self, InstancesView};
use super::readings::{Advance, Answer, Watcher};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::domain::{AccountId, DeadLetterReason, PhononUuid, WebhookName};
use crate::inspect::dead_letters::{LetterView, WholeLetter};
use crate::inspect::trace::{self, FactView, Now, Trace};
use crate::inspect::webhooks::{self, Remembered};
use crate::log::Progress;
use crate::replay::{self, Filter, Letters, Plan, Stage, Summary, Target, When};
use serde::Serialize;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// The number of dead letters in an answer, unless the request says another one.
pub(super) const LETTERS_DEFAULT: usize = 100;
/// The maximum number of dead letters in an answer.
pub(super) const LETTERS_MAX: usize = 1000;

/// Everything about one phonon-uuid.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Deliveries {
    /// The phonon-uuid.
    pub(super) phonon_uuid: String,
    /// The facts, oldest first.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub(super) facts: Vec<FactView>,
    /// The state by the changelog.
    #[schemars(with = "serde_json::Value")]
    pub(super) now: Now,
    /// Topics that do not exist.
    pub(super) missing_topics: Vec<String>,
}

/// A part of the dead letters.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct LetterPage {
    /// The dead letters, oldest first in each partition.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub(super) dead_letters: Vec<LetterView>,
    /// Whether these are all that match. If not, `since` or another parameter selects the rest.
    pub(super) is_whole: bool,
    /// Kafka has deleted the events before this time (RFC 3339): letters that were replayed and delivered before it are
    /// shown as replayed.
    pub(super) events_gone_before: Option<String>,
}

/// The parameters of a request for dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Which {
    pub(super) filter: Filter,
    pub(super) only_open: bool,
    pub(super) limit: usize,
}

impl Which {
    /// Takes the parameters of a filter.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, Failure> {
        let now = clock::wall();
        let when = |text: &str| When::parse(text, now);
        let phase = |text: &str| match text {
            "0" => Ok(0),
            "1" => Ok(1),
            "2" => Ok(2),
            _ => Err("it is not 0, 1 or 2"),
        };
        let reason = |text: &str| {
            let known = DeadLetterReason::ALL.iter().find(|reason| reason.as_str() == text);
            known.map(|_| text.to_owned()).ok_or("there is no such reason")
        };
        let filter = Filter {
            webhook: fields.text("webhook"),
            account: fields.number("account")?.map(AccountId),
            phase: fields.parsed("phase", phase)?,
            reason: fields.parsed("reason", reason)?,
            since: fields.parsed("since", when)?,
            until: fields.parsed("until", when)?,
            target: fields.parsed("target", Target::parse)?,
        };
        Ok(Self { filter, only_open: false, limit: LETTERS_DEFAULT })
    }

    /// Takes the parameters of a list.
    pub(super) fn take_list(fields: &mut Fields) -> Result<Self, Failure> {
        let only_open = fields.flag("open")?;
        let limit = fields.number("limit")?.unwrap_or(LETTERS_DEFAULT).clamp(1, LETTERS_MAX);
        Ok(Self { only_open, limit, ..Self::take(fields)? })
    }
}

/// Passes the progress of a scan on.
fn scanned(watcher: &Watcher) -> impl FnMut(Progress<'_>) -> ControlFlow<()> + '_ {
    |progress| watcher.see(&format!("topic {}", progress.topic), progress.done, progress.all)
}

/// Passes the progress of a reading of dead letters on.
pub(super) fn lettered(watcher: &Watcher) -> impl FnMut(replay::Progress) -> ControlFlow<()> + '_ {
    |progress| watcher.see(stage_text(progress.stage), progress.done, progress.all)
}

pub(super) const fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Letters => "the dead letters",
        Stage::Inbox => "earlier replays",
        Stage::Events => "later deliveries",
        Stage::Sending => "sending",
    }
}

impl Console {
    /// Returns everything about the phonon-uuid `uuid`.
    pub(super) async fn trace(
        &self,
        uuid: &str,
        patience: Duration,
    ) -> Result<Answer<Trace>, Failure> {
        let uuid = PhononUuid::spelt(uuid).ok_or_else(|| {
            Failure::BadRequest(format!("a phonon-uuid has 1 to {} bytes", PhononUuid::BYTES_MAX))
        })?;
        let (kafka, topics) = (self.kafka.clone(), self.topics.clone());
        let key = uuid.as_str().to_owned();
        self.traces
            .get(&key, patience, move |watcher| {
                Ok(trace::read_either(&kafka, &topics, &uuid, false, &mut scanned(watcher))?)
            })
            .await
    }

    /// Returns the recorded state of all endpoints.
    pub(super) async fn endpoints(
        &self,
        patience: Duration,
    ) -> Result<Answer<HashMap<WebhookName, Remembered>>, Failure> {
        let (kafka, topics) = (self.kafka.clone(), self.topics.clone());
        self.states
            .get("", patience, move |watcher| {
                Ok(webhooks::read(&kafka, &topics, &mut scanned(watcher))?)
            })
            .await
    }

    /// Returns the dead letters that `which` selects.
    pub(super) async fn letters(
        &self,
        which: Which,
        patience: Duration,
    ) -> Result<Answer<LetterPage>, Failure> {
        let key = format!("{} {} {}", which.filter.fingerprint(), which.only_open, which.limit);
        let (kafka, topics) = (self.kafka.clone(), self.topics.clone());
        self.letters
            .get(&key, patience, move |watcher| {
                let letters = Letters::new(&kafka, &topics)?;
                let (mut found, mut is_full) = (Vec::new(), false);
                let mut watch = lettered(watcher);
                let looked = letters.each_with_state(
                    &which.filter,
                    which.only_open,
                    &mut watch,
                    &mut |letter, since| {
                        is_full = found.len() >= which.limit;
                        if is_full {
                            return ControlFlow::Break(());
                        }
                        found.push(LetterView::of(letter, since));
                        ControlFlow::Continue(())
                    },
                )?;
                if !looked.is_whole && !is_full {
                    return Err(Failure::Cancelled);
                }
                let events_gone_before = looked.unseen_before.map(rfc3339);
                Ok(LetterPage {
                    dead_letters: found,
                    is_whole: looked.is_whole,
                    events_gone_before,
                })
            })
            .await
    }

    /// Returns the newest dead letter of `target` with its content.
    pub(super) async fn letter(
        &self,
        target: Target,
        patience: Duration,
    ) -> Result<Answer<Option<WholeLetter>>, Failure> {
        let (kafka, topics) = (self.kafka.clone(), self.topics.clone());
        let filter = Filter { target: Some(target), ..Filter::default() };
        self.whole_letters
            .get(&filter.fingerprint(), patience, move |watcher| {
                let letters = Letters::new(&kafka, &topics)?;
                let mut newest = None;
                let mut watch = lettered(watcher);
                letters.each_with_state(&filter, false, &mut watch, &mut |letter, since| {
                    if newest.as_ref().is_none_or(|(at, _)| *at <= letter.at) {
                        newest = Some((letter.at, WholeLetter::of(letter, since)));
                    }
                    ControlFlow::Continue(())
                })?;
                Ok(newest.map(|(_, letter)| letter))
            })
            .await
    }

    /// Returns the dry run of a replay.
    pub(super) async fn plan(
        &self,
        filter: Filter,
        max: Option<u64>,
        patience: Duration,
    ) -> Result<Answer<Summary>, Failure> {
        let (kafka, topics) = (self.kafka.clone(), self.topics.clone());
        let key = format!("{} {max:?}", filter.fingerprint());
        self.plans
            .get(&key, patience, move |watcher| {
                let letters = Letters::new(&kafka, &topics)?;
                let plan = letters.plan(&filter, max, &mut lettered(watcher))?;
                Ok(Plan::summary(&plan))
            })
            .await
    }

    /// Returns the instances of the consumer group.
    pub(super) async fn instances(
        &self,
        patience: Duration,
    ) -> Result<Answer<InstancesView>, Failure> {
        let kafka = self.kafka.clone();
        let (topics, health) = (self.topics.clone(), self.health.clone());
        self.groups.get("", patience, move |_| Ok(instances::read(&kafka, &topics, &health)?)).await
    }

    /// Cancels a reading. Returns whether it runs.
    pub(super) fn cancel(&self, reading: u64) -> bool {
        self.traces.cancel(reading)
            || self.states.cancel(reading)
            || self.letters.cancel(reading)
            || self.whole_letters.cancel(reading)
            || self.plans.cancel(reading)
    }
}

/// A reading that runs, as the API shows it.
pub(super) fn running(advance: &Advance) -> serde_json::Value {
    serde_json::json!({ "running": advance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_dead_letters_has_a_limit() {
        for (query, limit) in [("", 100), ("limit=7", 7), ("limit=0", 1), ("limit=5000", 1000)] {
            let mut fields = Fields::of_form(query.as_bytes()).unwrap();
            assert_eq!(Which::take_list(&mut fields).unwrap().limit, limit, "{query}");
        }
    }
}
