//! The channels from the reader and the lanes to the engine. All of them end in its mailbox.

use super::input::Input;
use super::intake::Bundle;
use super::mailbox::Mailbox;
use super::shortage;
use crate::clock;
use crate::delivery::{Attempted, BreakerState, Job, ShortageNote, Watch};
use crate::domain::{Timestamp, WebhookName};
use crate::log::{Landmarks, LogEvent, Record};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Flags that make the engine stop waiting for Kafka, and the signal that a stopping engine has no rows in memory.
#[derive(Clone, Default)]
pub(super) struct Signals {
    revoking: Arc<AtomicBool>,
    failing: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    without_rows: Arc<Notify>,
}

impl Signals {
    /// Sets the flag that the group waits for the partitions.
    fn revoke(&self) {
        self.revoking.store(true, Ordering::SeqCst);
    }

    pub(super) fn revocation_ends(&self) {
        self.revoking.store(false, Ordering::SeqCst);
    }

    /// Sets the flag that the consumer can't be used any more, so that the engine is to end.
    fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
    }

    /// Sets the flag that the process is to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Signals that the engine has forgotten its partitions. They get no more rows if the process is to end.
    pub(super) fn forgotten(&self) {
        if self.is_stopping() {
            self.without_rows.notify_one();
        }
    }

    /// Waits until a stopping engine has forgotten its partitions. One caller at a time can wait.
    pub(super) async fn without_rows(&self) {
        self.without_rows.notified().await;
    }

    /// Returns whether the partitions are revoked, or the engine or the process is to end.
    pub(super) fn is_leaving(&self) -> bool {
        let flags = [&self.revoking, &self.failing, &self.stopping];
        flags.into_iter().any(|flag| flag.load(Ordering::SeqCst))
    }
}

/// The state that the engine shares with the reader and the lanes.
#[derive(Clone)]
pub(super) struct Channels {
    pub(super) mailbox: Arc<Mailbox<Input>>,
    pub(super) signals: Signals,
    /// The last records that were read of inputs without topic ids.
    pub(super) landmarks: Arc<Landmarks>,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            mailbox: Arc::new(Mailbox::new()),
            signals: Signals::default(),
            landmarks: Arc::default(),
        }
    }
}

impl Channels {
    /// Returns the observer for the lanes.
    pub(super) fn watch(&self, metrics: &Arc<Metrics>) -> Arc<dyn Watch> {
        Arc::new(LaneWatch { mailbox: self.mailbox.clone(), metrics: metrics.clone() })
    }

    /// Returns the sink for the reader's events. It calls `away` at once when Kafka becomes unreachable or reachable
    /// again: the engine itself may be in a call that waits for Kafka.
    pub(super) fn sink(
        &self,
        away: impl Fn(bool) + Send + Sync + 'static,
    ) -> Arc<dyn Fn(LogEvent) + Send + Sync> {
        let (mailbox, signals) = (self.mailbox.clone(), self.signals.clone());
        Arc::new(move |event| match event {
            LogEvent::Records { epoch, records, bytes } => {
                let weight = records.iter().map(Record::count).sum();
                mailbox.put(Input::Records(Bundle { epoch, records, bytes }), weight);
            }
            LogEvent::Assigned(assignment) => mailbox.put_urgent(Input::Assigned(assignment)),
            LogEvent::Revoked { lost, reply } => {
                // The flag ends the retries of a commit.
                signals.revoke();
                mailbox.put_urgent(Input::Revoked { lost, reply });
            }
            LogEvent::Ends(ends) => mailbox.put(Input::Ends(ends), 0),
            LogEvent::Away(is_away) => away(is_away),
            LogEvent::Denied(before, now) => mailbox.put(Input::Denied(before, now), 0),
            LogEvent::Identity(identity) => mailbox.put_urgent(Input::Identity(identity)),
            LogEvent::Owners(owners) => mailbox.put_urgent(Input::Owners(owners)),
            LogEvent::Replaced(places) => mailbox.put_urgent(Input::Replaced(places)),
            LogEvent::Lost(ends) => mailbox.put_urgent(Input::Lost(ends)),
            LogEvent::Fenced { was_disturbed } => {
                // No offsets of this consumer are committed any more, so that a transaction would be retried for ever.
                signals.fail();
                mailbox.put_urgent(Input::Fenced { was_disturbed });
            }
            LogEvent::Failed(what) => {
                signals.fail();
                mailbox.put_urgent(Input::Failed(what));
            }
        })
    }
}

struct LaneWatch {
    mailbox: Arc<Mailbox<Input>>,
    metrics: Arc<Metrics>,
}

impl Watch for LaneWatch {
    fn attempted(&self, attempted: Attempted) {
        let Attempted { job, outcome, .. } = &attempted;
        let (of, attempt) = ((&job.webhook, job.phase), (job.trace_id(), job.attempt));
        self.metrics.attempt(of, attempt, outcome, clock::wall());
        self.mailbox.put(Input::Attempted(attempted), 1);
    }

    fn returned(&self, jobs: Vec<Job>) {
        self.mailbox.put(Input::Returned(jobs), 1);
    }

    fn breaker(&self, webhook: WebhookName, state: BreakerState) {
        self.mailbox.put(Input::Breaker(webhook, state), 1);
    }

    fn repeated(&self, exchanges: u64) {
        self.metrics.exchanges_repeated(exchanges);
    }

    fn rate_limited(&self, attempts: u64) {
        self.metrics.rate_limited(attempts);
    }

    fn shortage(&self, note: ShortageNote) {
        shortage::report(note, &self.metrics);
    }

    fn now(&self) -> Timestamp {
        clock::wall()
    }
}

#[cfg(test)]
mod tests {
    use super::Channels;
    use crate::log::LogEvent;

    #[test]
    fn a_consumer_that_has_failed_ends_the_retries_of_a_commit() {
        for event in [LogEvent::Fenced { was_disturbed: true }, LogEvent::Failed("gone".to_owned())]
        {
            let channels = Channels::default();
            assert!(!channels.signals.is_leaving());
            channels.sink(|_| ())(event);
            assert!(channels.signals.is_leaving());
        }
    }
}
