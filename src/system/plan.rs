//! How the files that the process may have open are divided among those that need them.

/// RocksDB keeps so many of its files open at most.
const STORE_MAX: u64 = 512;
const STORE_MIN: u64 = 40;
/// The admin listener answers so many clients at once.
const ADMIN_MAX: u64 = 128;
const ADMIN_MIN: u64 = 4;
/// Enough for all its clients with one broker, also while they connect and restore: at rest the whole daemon has some 50 files
/// open. Each client has a socket and a pipe for every broker.
const KAFKA: u64 = 80;
const KAFKA_PER_BROKER: u64 = 12;
/// Each look-up of a name takes a few sockets while it lasts.
const LOOK_UPS_MAX: u64 = 512;
const LOOK_UPS_MIN: u64 = 24;
/// For what lasts a moment: a second connection where an endpoint has two kinds of addresses, files that are
/// read, RocksDB's log and manifest.
const RESERVE_MAX: u64 = 64;
const RESERVE_MIN: u64 = 24;
/// With fewer requests in flight the daemon is of no use.
const IN_FLIGHT_MIN: u64 = 8;

/// What a configuration needs files for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileNeeds {
    /// `[delivery] in_flight_max`
    pub in_flight_max: usize,
    /// How many webhooks are configured: a connection to each is kept for a while after its last request.
    pub webhooks: usize,
    /// How many brokers are named.
    pub brokers: usize,
}

/// What the files suffice for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePlan {
    limit: u64,
    needs: FileNeeds,
    /// So many requests may be unanswered: no more than the configuration says.
    pub in_flight_max: usize,
    /// So many files are left for connections that are kept, of all webhooks together.
    kept: u64,
}

/// Not even a few requests fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "open files: the hard limit is {limit} (RLIMIT_NOFILE), and the daemon needs at least {least}: raise LimitNOFILE= of the \
     systemd unit, `--ulimit nofile=` of the container or `ulimit -Hn` of the shell; see ops/guide/too-few-files.md"
)]
pub struct TooFewFiles {
    /// What the process may have open.
    pub limit: u64,
    /// What it would have to be.
    pub least: u64,
}

/// How many files the store may keep open where the process may have `limit`.
#[must_use]
pub fn for_store(limit: u64) -> u64 {
    (limit / 4).clamp(STORE_MIN, STORE_MAX)
}

/// How many clients the admin listener may have where the process may have `limit` files open.
#[must_use]
pub fn for_admin(limit: u64) -> u64 {
    (limit / 16).clamp(ADMIN_MIN, ADMIN_MAX)
}

/// How many files name look-ups may use at once where the process may have `limit`.
#[must_use]
pub fn for_look_ups(limit: u64) -> u64 {
    (limit / 10).clamp(LOOK_UPS_MIN, LOOK_UPS_MAX)
}

fn reserve(limit: u64) -> u64 {
    (limit / 8).clamp(RESERVE_MIN, RESERVE_MAX)
}

fn kafka(brokers: usize) -> u64 {
    KAFKA + KAFKA_PER_BROKER * count(brokers).saturating_sub(1)
}

fn count(some: usize) -> u64 {
    u64::try_from(some).unwrap_or(u64::MAX)
}

/// What everything but deliveries needs.
fn fixed(limit: u64, brokers: usize) -> u64 {
    for_store(limit) + for_admin(limit) + for_look_ups(limit) + reserve(limit) + kafka(brokers)
}

impl FilePlan {
    /// Divides `limit` files.
    ///
    /// # Errors
    /// When hardly anything would be left for deliveries.
    pub fn new(limit: u64, needs: FileNeeds) -> Result<Self, TooFewFiles> {
        let free = limit.saturating_sub(fixed(limit, needs.brokers));
        if free < IN_FLIGHT_MIN {
            let fits = |limit: &u64| *limit >= fixed(*limit, needs.brokers) + IN_FLIGHT_MIN;
            let least = (limit..limit.saturating_add(1 << 20)).find(fits).unwrap_or(u64::MAX);
            return Err(TooFewFiles { limit, least });
        }
        let wanted = count(needs.in_flight_max);
        // A request that is unanswered goes before a connection that is kept; but both make the other one cheaper.
        let kept = count(needs.webhooks).min(free / 2);
        let granted = wanted.min(free - kept);
        let in_flight_max = usize::try_from(granted).unwrap_or(usize::MAX);
        Ok(Self { limit, needs, in_flight_max, kept: free - granted })
    }

    /// So many connections to a webhook may be kept that have no request, where there are `webhooks` of them; 0: none. It is a
    /// power of two, so that one webhook more does not change it for all the others.
    #[must_use]
    pub fn kept_per_webhook(&self, webhooks: usize) -> usize {
        let each = self.kept / count(webhooks).max(1);
        usize::try_from(each.checked_ilog2().map_or(0, |log| 1_u64 << log)).unwrap_or(usize::MAX)
    }

    /// What is wrong with it, for an operator; nothing when the configuration has what it needs.
    #[must_use]
    pub fn shortcoming(&self) -> Option<String> {
        let FileNeeds { in_flight_max, webhooks, brokers } = self.needs;
        if self.in_flight_max == in_flight_max && self.kept_per_webhook(webhooks) > 0 {
            return None;
        }
        let limit = self.limit;
        let kafka = kafka(brokers);
        let all = count(in_flight_max)
            .saturating_add(count(webhooks))
            .saturating_add(STORE_MAX + ADMIN_MAX + LOOK_UPS_MAX + RESERVE_MAX + kafka);
        let kept = if self.kept_per_webhook(webhooks) > 0 {
            ""
        } else {
            ", and no connection is kept for the next request"
        };
        Some(format!(
            "open files: the hard limit is {limit} (RLIMIT_NOFILE), and this configuration needs {all}: {in_flight_max} for \
             [delivery] in_flight_max, {webhooks} for connections that are kept, one for each webhook, {STORE_MAX} for the store, \
             {kafka} for Kafka, {ADMIN_MAX} for [http], {LOOK_UPS_MAX} for name look-ups, {RESERVE_MAX} in reserve; so at most {} requests are unanswered at a \
             time{kept}. Raise LimitNOFILE= of the systemd unit, `--ulimit nofile=` of the container or `ulimit -Hn` of the \
             shell to {all}, or lower [delivery] in_flight_max; see ops/guide/too-few-files.md",
            self.in_flight_max
        ))
    }
}
