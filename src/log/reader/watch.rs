//! Looks at the topics now and then: whether they are the ones that were there before, whose rows the changelog holds, and,
//! once Kafka has refused something, which right is missing.

use super::callbacks::Context;
use super::{LogEvent, Sink};
use crate::codec::row::{self, Owner};
use crate::log::client::LogError;
use crate::log::describe;
use crate::log::rights::{self, Missing, Operation, Resource, Right};
use crate::log::scan::Scanner;
use crate::log::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A topic that is deleted and created again is another one within this time.
const INTERVAL: Duration = Duration::from_secs(5);
/// Two groups that started at the same moment, before either had written a row, notice each other within this time.
const OWNERS_INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The changelog whose owner is looked at now and then.
#[derive(Clone, Copy)]
pub struct WatchedChangelog<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// The key of its meta rows.
    pub meta_key: &'static [u8],
}

/// Starts a thread of this name.
pub(super) fn spawned(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, LogError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    let what = |error: std::io::Error| format!("the thread can't be started: {error}");
    thread.map_err(|error| LogError::Topic { topic: name.to_owned(), what: what(error) })
}

/// What is looked at.
pub(super) struct Watched {
    pub(super) settings: KafkaSettings,
    /// The topics whose ids count.
    pub(super) topics: Vec<String>,
    pub(super) changelog: String,
    /// The key of the changelog's meta rows.
    pub(super) meta_key: &'static [u8],
}

/// Looks until the consumer is gone.
pub(super) fn watch(consumer: &Weak<BaseConsumer<Context>>, watched: &Watched, sink: &Sink) {
    let topics: Vec<&str> = watched.topics.iter().map(String::as_str).collect();
    // The first look comes once this instance's own rows are there.
    let mut owners_at = Instant::now() + INTERVAL;
    let mut denied = None;
    while let Some(consumer) = consumer.upgrade() {
        let identity = describe::identity(consumer.client(), &topics, TIMEOUT);
        let is_refused = consumer.context().refused.swap(false, Ordering::Relaxed);
        drop(consumer);
        if is_refused || denied.is_some() {
            match missing(watched) {
                Ok(now) if now == denied => {}
                Ok(now) => {
                    let before = std::mem::replace(&mut denied, now.clone());
                    sink(LogEvent::Denied(before, now));
                }
                Err(error) => tracing::debug!(%error, "Kafka does not say what it allows"),
            }
        }
        match identity {
            // Each time, whether it has changed or not: only the engine knows in which topics its offsets count.
            Ok(identity) => sink(LogEvent::Identity(identity)),
            Err(error) => tracing::debug!(%error, "the topics can't be looked at"),
        }
        if Instant::now() >= owners_at {
            owners_at = Instant::now() + OWNERS_INTERVAL;
            match owners(watched) {
                Ok(owners) => sink(LogEvent::Owners(owners)),
                Err(error) => tracing::debug!(%error, "the changelog can't be looked at"),
            }
        }
        std::thread::sleep(INTERVAL);
    }
}

/// The rights to read that are missing, in words.
fn missing(watched: &Watched) -> Result<Option<String>, LogError> {
    let settings = &watched.settings;
    let group = Resource::Group(settings.group_id.clone());
    let topics = watched.topics.iter().map(|topic| Right::on_topic(Operation::Read, topic));
    let wanted = topics.chain([Right { resource: group, operation: Operation::Read }]);
    let missing = rights::missing(settings, &wanted.collect::<Vec<_>>())?;
    let text = Missing(&missing, settings).to_string().replace('\n', "; ");
    Ok((!missing.is_empty()).then_some(text))
}

/// Whose rows each partition of the changelog holds, as far as that is known.
fn owners(watched: &Watched) -> Result<BTreeMap<i32, Owner>, LogError> {
    let scanner = Scanner::new(&watched.settings)?;
    let newest = scanner.newest(&watched.changelog, watched.meta_key)?;
    let owner = |newest: crate::log::Newest| {
        let meta = row::decode_meta(&newest.value?).ok()?;
        Some((newest.partition, meta.owner?))
    };
    Ok(newest.into_iter().filter_map(owner).collect())
}
