//! Readiness and liveness. The engine writes them, and the admin API reads them.

use super::exposition::{Exposition, Shown};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A partition that has work and makes no progress for this long is not live.
pub const STALL_DEADLINE: Duration = Duration::from_secs(120);

/// Marks that there was no heartbeat yet.
const NEVER: u64 = u64::MAX;

/// What the daemon waits for, besides the restore of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// The end of the start.
    Start,
    /// An answer of one of these brokers.
    Kafka(String),
    /// A topic that does not exist yet.
    Topic(String),
    /// A successful transaction: they all fail for this reason.
    Commits(String),
    /// The end of the process: it drains, and accepts nothing new.
    Shutdown,
    /// Something else, in a few words.
    Other(String),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("starting"),
            Self::Kafka(servers) => write!(f, "waiting for Kafka at {servers}"),
            Self::Topic(topic) => write!(f, "waiting for topic {topic}"),
            Self::Commits(cause) => write!(f, "no transaction can be committed: {cause}"),
            Self::Shutdown => f.write_str("shutting down"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// The health of an assigned partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHealth {
    pub partition: i32,
    /// Whether all of its state is restored.
    pub is_restored: bool,
    /// Changelog records left; `None` while the number is unknown, and after the restore.
    pub restore_remaining: Option<u64>,
    /// How long it has had work without making progress.
    pub stalled: Duration,
}

/// The daemon's health.
///
/// It is ready when it waits for nothing and all of its partitions are restored. Without partitions it is ready once
/// the group has answered that there are none for it now. It is live while the engine's loop beats and every partition
/// with work makes progress. Waiting for Kafka, or for a transaction that Kafka is processing, makes it unready but not
/// dead: a restart would not help, and a call of librdkafka may take that long. This time counts neither for the engine
/// nor for a partition.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    stall_deadline: Duration,
    /// Milliseconds from `started` to the last heartbeat.
    heartbeat_ms: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: BTreeSet<Waiting>,
    /// When the last wait for Kafka or for its transaction ended.
    waited_until: Option<Instant>,
    partitions: BTreeMap<i32, Partition>,
    /// Whether the group has no partitions for it now.
    is_standby: bool,
    /// Why the accounts in force may be outdated.
    accounts: Option<String>,
}

impl State {
    /// Changes what the daemon waits for.
    fn wait(&mut self, now: Instant, change: impl FnOnce(&mut BTreeSet<Waiting>)) {
        let waited = self.waits_for_kafka();
        change(&mut self.waiting);
        if waited && !self.waits_for_kafka() {
            self.waited_until = Some(now);
        }
    }

    fn waits_for_kafka(&self) -> bool {
        let for_kafka = |it: &Waiting| matches!(it, Waiting::Kafka(_) | Waiting::Commits(_));
        self.waiting.iter().any(for_kafka)
    }

    /// Returns how long nothing has moved since `since`, without the time that the daemon waited for Kafka.
    fn standstill(&self, since: Instant, now: Instant) -> Duration {
        if self.waits_for_kafka() {
            return Duration::ZERO;
        }
        let since = self.waited_until.map_or(since, |until| until.max(since));
        now.saturating_duration_since(since)
    }
}

#[derive(Clone, Copy, Debug)]
struct Partition {
    is_restored: bool,
    restore_remaining: Option<u64>,
    progress_at: Instant,
    pending_since: Option<Instant>,
}

impl Partition {
    fn stalled_since(&self) -> Option<Instant> {
        self.pending_since.map(|since| since.max(self.progress_at))
    }
}

impl Health {
    /// Creates the health of a daemon that is starting ([`Waiting::Start`]).
    #[must_use]
    pub fn new(stall_deadline: Duration) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            stall_deadline,
            heartbeat_ms: AtomicU64::new(NEVER),
            state: Mutex::new(State {
                waiting: BTreeSet::from([Waiting::Start]),
                waited_until: None,
                partitions: BTreeMap::new(),
                is_standby: false,
                accounts: None,
            }),
        })
    }

    /// Records that an engine is about to be created, and that the daemon waits for these. Nothing counts as stuck
    /// before the engine's first heartbeat.
    pub fn begin(&self, what: impl IntoIterator<Item = Waiting>) {
        self.heartbeat_ms.store(NEVER, Ordering::Relaxed);
        self.wait_only(what);
        let mut state = self.state();
        state.partitions.clear();
        state.is_standby = false;
    }

    /// Records that the daemon waits for this from now on.
    pub fn wait(&self, what: Waiting) {
        self.state().waiting.insert(what);
    }

    /// Records that the daemon no longer waits for this.
    pub fn resume(&self, what: &Waiting) {
        self.resume_at(what, Instant::now());
    }

    fn resume_at(&self, what: &Waiting, now: Instant) {
        self.state().wait(now, |waiting| {
            waiting.remove(what);
        });
    }

    /// Records that the daemon waits for exactly these from now on.
    pub fn wait_only(&self, what: impl IntoIterator<Item = Waiting>) {
        let what = what.into_iter().collect();
        self.state().wait(Instant::now(), |waiting| *waiting = what);
    }

    /// Sets whether the group has more instances than partitions and this one waits as a standby.
    pub fn stand_by(&self, is_standby: bool) {
        self.state().is_standby = is_standby;
    }

    /// Returns whether the daemon is a standby: ready without partitions, to take over when another instance ends.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        let state = self.state();
        state.is_standby && state.partitions.is_empty()
    }

    /// Records why the accounts in force may be outdated, or that they are not. The daemon stays ready.
    pub fn set_accounts_outdated(&self, reason: Option<String>) {
        self.state().accounts = reason;
    }

    /// Returns why the accounts in force may be outdated.
    #[must_use]
    pub fn accounts_outdated(&self) -> Option<String> {
        self.state().accounts.clone()
    }

    /// Adds an assigned partition. It is not restored until [`Health::restored`]. Has no effect for a partition that is
    /// assigned already.
    pub fn assign(&self, partition: i32) {
        let fresh = Partition {
            is_restored: false,
            restore_remaining: None,
            progress_at: Instant::now(),
            pending_since: None,
        };
        self.state().partitions.entry(partition).or_insert(fresh);
    }

    /// Removes a revoked partition.
    pub fn unassign(&self, partition: i32) {
        self.state().partitions.remove(&partition);
    }

    /// Records that the restore of a partition begins again. The number of remaining records is unknown.
    pub fn restore(&self, partition: i32) {
        self.update(partition, |state| {
            (state.is_restored, state.restore_remaining) = (false, None);
            state.progress_at = Instant::now();
        });
    }

    /// Records that a partition has `remaining` changelog records left to restore. This counts as progress.
    pub fn restoring(&self, partition: i32, remaining: u64) {
        self.update(partition, |state| {
            (state.is_restored, state.restore_remaining) = (false, Some(remaining));
            state.progress_at = Instant::now();
        });
    }

    /// Records that a partition is restored.
    pub fn restored(&self, partition: i32) {
        self.update(partition, |state| {
            (state.is_restored, state.restore_remaining) = (true, None);
            state.progress_at = Instant::now();
            state.pending_since = None;
        });
    }

    /// Records that a partition has made progress and seems to have no work. Otherwise [`Health::work_pending`]
    /// follows.
    pub fn progress(&self, partition: i32) {
        self.progress_at(partition, Instant::now());
    }

    fn progress_at(&self, partition: i32, now: Instant) {
        self.update(partition, |state| {
            state.progress_at = now;
            state.pending_since = None;
        });
    }

    /// Records that a partition has had work since `since` that only the daemon can do. Rows that a limit or a breaker
    /// holds back do not count. Until the next progress, the earliest call counts.
    pub fn work_pending(&self, partition: i32, since: Instant) {
        self.update(partition, |state| {
            state.pending_since = Some(state.pending_since.map_or(since, |it| it.min(since)));
        });
    }

    /// Records that the engine's loop has completed a round. After the first heartbeat, further ones must follow.
    pub fn heartbeat(&self) {
        self.heartbeat_at(Instant::now());
    }

    fn heartbeat_at(&self, now: Instant) {
        let ms = now.saturating_duration_since(self.started).as_millis();
        self.heartbeat_ms.store(u64::try_from(ms).unwrap_or(NEVER - 1), Ordering::Relaxed);
    }

    /// Returns what the daemon waits for; it is ready if the list is empty.
    #[must_use]
    pub fn reasons_not_ready(&self) -> Vec<String> {
        let state = self.state();
        let mut reasons: Vec<String> = state.waiting.iter().map(ToString::to_string).collect();
        // Missing partitions are not reported while the daemon waits for something else.
        if state.partitions.is_empty() && reasons.is_empty() && !state.is_standby {
            reasons.push("no partitions assigned".to_owned());
        }
        for (partition, health) in &state.partitions {
            match health.restore_remaining {
                _ if health.is_restored => {}
                None | Some(0) => reasons.push(format!("restoring partition {partition}")),
                Some(left) => {
                    reasons.push(format!("restoring partition {partition}: {left} records left"));
                }
            }
        }
        reasons
    }

    /// Returns what is stuck; the daemon is live if the list is empty.
    #[must_use]
    pub fn reasons_not_live(&self) -> Vec<String> {
        self.reasons_not_live_at(Instant::now())
    }

    fn reasons_not_live_at(&self, now: Instant) -> Vec<String> {
        let state = self.state();
        let too_long = |since| {
            let stalled = state.standstill(since, now);
            (stalled > self.stall_deadline).then_some(stalled.as_secs())
        };
        let beat_ms = self.heartbeat_ms.load(Ordering::Relaxed);
        let beat = (beat_ms != NEVER).then(|| self.started + Duration::from_millis(beat_ms));
        let engine = beat
            .and_then(too_long)
            .map(|seconds| format!("the engine has made no progress for {seconds} s"));
        let partitions = state.partitions.iter().filter_map(|(number, partition)| {
            let seconds = too_long(partition.stalled_since()?)?;
            Some(format!("partition {number} has had work for {seconds} s without making progress"))
        });
        engine.into_iter().chain(partitions).collect()
    }

    /// Returns the assigned partitions.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionHealth> {
        self.partitions_at(Instant::now())
    }

    fn partitions_at(&self, now: Instant) -> Vec<PartitionHealth> {
        let health = |(partition, state): (&i32, &Partition)| PartitionHealth {
            partition: *partition,
            is_restored: state.is_restored,
            restore_remaining: state.restore_remaining,
            stalled: state
                .stalled_since()
                .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
        };
        self.state().partitions.iter().map(health).collect()
    }

    /// Returns the time since the daemon started.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Updates the gauges of health. The reader calls it, so that they are right even if the engine is stuck.
    pub fn publish(&self, metrics: &dyn Exposition) {
        metrics.show_health(&Shown {
            is_ready: self.reasons_not_ready().is_empty(),
            is_kafka_reachable: self.is_kafka_reachable(),
            partitions: &self.partitions(),
        });
    }

    /// Returns whether the daemon waits for no answer of Kafka.
    fn is_kafka_reachable(&self) -> bool {
        !self.state().waiting.iter().any(|it| matches!(it, Waiting::Kafka(_)))
    }

    /// Changes the state of a partition. A late call for a partition that is not assigned is ignored.
    fn update(&self, partition: i32, change: impl FnOnce(&mut Partition)) {
        if let Some(state) = self.state().partitions.get_mut(&partition) {
            change(state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment or one insertion, so a panic elsewhere leaves no partial change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(120);

    #[test]
    fn ready_when_it_waits_for_nothing_and_all_partitions_are_restored() {
        let health = Health::new(DEADLINE);
        assert_eq!(health.reasons_not_ready(), ["starting"]);
        health.resume(&Waiting::Start);
        assert_eq!(health.reasons_not_ready(), ["no partitions assigned"]);
        health.wait(Waiting::Topic("flow-complete".to_owned()));
        health.wait(Waiting::Kafka("127.0.0.1:9092".to_owned()));
        assert_eq!(
            health.reasons_not_ready(),
            ["waiting for Kafka at 127.0.0.1:9092", "waiting for topic flow-complete"]
        );
        health.wait_only([]);
        health.assign(3);
        health.assign(1);
        health.restoring(3, 1200);
        assert_eq!(
            health.reasons_not_ready(),
            ["restoring partition 1", "restoring partition 3: 1200 records left"]
        );
        health.restored(3);
        health.restored(1);
        health.assign(1);
        assert!(health.reasons_not_ready().is_empty(), "a second assignment changes nothing");
        health.wait(Waiting::Shutdown);
        assert_eq!(health.reasons_not_ready(), ["shutting down"]);
        health.resume(&Waiting::Shutdown);
        health.unassign(3);
        health.unassign(1);
        assert_eq!(health.reasons_not_ready(), ["no partitions assigned"]);
        health.stand_by(true);
        assert!(health.reasons_not_ready().is_empty() && health.is_standby());
        health.assign(1);
        assert!(!health.is_standby());
        assert_eq!(health.reasons_not_ready(), ["restoring partition 1"]);
    }

    #[test]
    fn live_while_partitions_with_work_progress() {
        let health = Health::new(DEADLINE);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        health.assign(0);
        health.restored(0);
        assert!(health.reasons_not_live_at(after(10_000)).is_empty(), "no work, no deadline");
        health.progress_at(0, start);
        health.work_pending(0, after(10));
        health.work_pending(0, after(100));
        assert!(health.reasons_not_live_at(after(130)).is_empty());
        assert_eq!(
            health.reasons_not_live_at(after(131)),
            ["partition 0 has had work for 121 s without making progress"]
        );
        assert_eq!(health.partitions_at(after(131))[0].stalled, Duration::from_secs(121));
        health.progress_at(0, after(131));
        assert!(health.reasons_not_live_at(after(1000)).is_empty());
        // Work that has been there for longer than the progress counts from the progress.
        health.work_pending(0, start);
        assert!(health.reasons_not_live_at(after(200)).is_empty());
        assert!(!health.reasons_not_live_at(after(300)).is_empty());
        // A restart would not help while Kafka does not answer. Once it answers again, the deadline begins anew.
        for (back, waiting) in
            [(300, Waiting::Kafka("here".to_owned())), (500, Waiting::Commits("why".to_owned()))]
        {
            health.wait(waiting.clone());
            assert!(health.reasons_not_live_at(after(back)).is_empty(), "{waiting}");
            health.resume_at(&waiting, after(back));
            assert!(health.reasons_not_live_at(after(back + 120)).is_empty(), "{waiting}");
            assert!(!health.reasons_not_live_at(after(back + 121)).is_empty(), "{waiting}");
        }
        health.unassign(0);
        assert!(
            health.reasons_not_live_at(after(1000)).is_empty(),
            "a revoked partition is not stalled"
        );
        health.work_pending(0, start);
        assert!(health.partitions().is_empty(), "a late report assigns nothing");
    }

    #[test]
    fn live_while_the_engine_beats() {
        let health = Health::new(DEADLINE);
        let start = health.started;
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(health.reasons_not_live_at(after(10_000)).is_empty(), "it has not begun");
        health.heartbeat_at(after(10));
        assert!(health.reasons_not_live_at(after(130)).is_empty());
        assert_eq!(
            health.reasons_not_live_at(after(132)),
            ["the engine has made no progress for 122 s"]
        );
        health.heartbeat_at(after(132));
        assert!(health.reasons_not_live_at(after(132)).is_empty());
        // A call of librdkafka may last until Kafka is back.
        let kafka = Waiting::Kafka("here".to_owned());
        health.wait(kafka.clone());
        assert!(health.reasons_not_live_at(after(1000)).is_empty());
        health.resume_at(&kafka, after(1000));
        assert!(health.reasons_not_live_at(after(1120)).is_empty());
        assert!(!health.reasons_not_live_at(after(1121)).is_empty());
        health.begin([kafka]);
        assert!(health.reasons_not_live_at(after(2000)).is_empty(), "it begins anew");
    }
}
