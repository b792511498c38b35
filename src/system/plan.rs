//! The division of the open files among the daemon's parts.

/// The largest number of files that RocksDB keeps open.
const STORE_MAX: u64 = 512;
const STORE_MIN: u64 = 40;
/// The largest number of clients of the admin listener at once.
const ADMIN_MAX: u64 = 128;
const ADMIN_MIN: u64 = 4;
/// The files of all Kafka clients with one broker, including connects and restores. Each client has a socket and a pipe
/// for every broker. At rest, the whole daemon has about 50 files open.
const KAFKA: u64 = 80;
const KAFKA_PER_BROKER: u64 = 12;
/// Each look-up of a name uses a few sockets while it lasts.
const LOOK_UPS_MAX: u64 = 512;
const LOOK_UPS_MIN: u64 = 24;
/// Files that are open for a moment: a second connection to an endpoint with IPv4 and IPv6 addresses, files being read,
/// RocksDB's log and manifest.
const RESERVE_MAX: u64 = 64;
const RESERVE_MIN: u64 = 24;
/// The daemon does not start if fewer files are left for deliveries.
const IN_FLIGHT_MIN: u64 = 8;

/// The settings that determine how many files are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileNeeds {
    /// The value of `[delivery] in_flight_max`.
    pub in_flight_max: usize,
    /// The number of configured webhooks. A connection to each is kept for a while after its last request.
    pub webhooks: usize,
    /// The number of configured brokers.
    pub brokers: usize,
}

/// The division of the open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePlan {
    limit: u64,
    needs: FileNeeds,
    /// The largest number of unanswered requests: the configured one or less.
    pub in_flight_max: usize,
    /// The files for idle connections to all webhooks together.
    kept: u64,
}

/// The limit leaves too few files for deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "open files: the hard limit is {limit} (RLIMIT_NOFILE), and the daemon needs at least {least}: raise LimitNOFILE= of the \
     systemd unit, `--ulimit nofile=` of the container or `ulimit -Hn` of the shell; see ops/guide/too-few-files.md"
)]
pub struct TooFewFiles {
    /// The limit of open files.
    pub limit: u64,
    /// The lowest limit that suffices.
    pub least: u64,
}

/// Returns how many files the store may keep open if the process may open `limit`.
#[must_use]
pub fn for_store(limit: u64) -> u64 {
    (limit / 4).clamp(STORE_MIN, STORE_MAX)
}

/// Returns how many clients the admin listener may have at once if the process may open `limit` files.
#[must_use]
pub fn for_admin(limit: u64) -> u64 {
    (limit / 16).clamp(ADMIN_MIN, ADMIN_MAX)
}

/// Returns how many files name look-ups may use at once if the process may open `limit`.
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

/// Returns the number of files that everything except deliveries needs.
fn fixed(limit: u64, brokers: usize) -> u64 {
    for_store(limit) + for_admin(limit) + for_look_ups(limit) + reserve(limit) + kafka(brokers)
}

impl FilePlan {
    /// Divides `limit` files.
    ///
    /// # Errors
    /// Fewer files than the minimum are left for deliveries.
    pub fn new(limit: u64, needs: FileNeeds) -> Result<Self, TooFewFiles> {
        let free = limit.saturating_sub(fixed(limit, needs.brokers));
        if free < IN_FLIGHT_MIN {
            let fits = |limit: &u64| *limit >= fixed(*limit, needs.brokers) + IN_FLIGHT_MIN;
            let least = (limit..limit.saturating_add(1 << 20)).find(fits).unwrap_or(u64::MAX);
            return Err(TooFewFiles { limit, least });
        }
        let wanted = count(needs.in_flight_max);
        // Reserves an idle connection for each webhook, but at most half of the free files.
        let kept = count(needs.webhooks).min(free / 2);
        let granted = wanted.min(free - kept);
        let in_flight_max = usize::try_from(granted).unwrap_or(usize::MAX);
        Ok(Self { limit, needs, in_flight_max, kept: free - granted })
    }

    /// Returns how many idle connections each webhook may keep if there are `webhooks` of them. 0 means none. The
    /// number is a power of two, so that a new webhook seldom changes it for the others.
    #[must_use]
    pub fn kept_per_webhook(&self, webhooks: usize) -> usize {
        let each = self.kept / count(webhooks).max(1);
        usize::try_from(each.checked_ilog2().map_or(0, |log| 1_u64 << log)).unwrap_or(usize::MAX)
    }

    /// Describes for the operator which part of the configuration does not fit. Returns `None` if everything fits.
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
