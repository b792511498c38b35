//! Entries of retries and breakers.

use schemars::JsonSchema;
use serde::Deserialize;

/// Values of a webhook that differ from the defaults of deliveries.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetryEntry {
    /// Maximum number of attempts. After the last one the delivery becomes a dead letter.
    #[schemars(range(min = 1, max = 10000))]
    pub(in crate::accounts) attempts_max: Option<u32>,
    /// Statuses after which a delivery is retried, beside 408, 425, 429 and all from 500.
    #[schemars(inner(range(min = 100, max = 599)))]
    pub(in crate::accounts) statuses: Vec<u16>,
    /// Maximum age of a delivery. An older one becomes a dead letter.
    #[schemars(range(min = 1, max = 31536000))]
    pub(in crate::accounts) age_max_s: Option<u64>,
    /// Interval after the first attempt.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(in crate::accounts) initial_interval_ms: Option<u64>,
    /// Factor from each interval to the next.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(in crate::accounts) multiplier: Option<f64>,
    /// Maximum interval.
    #[schemars(range(min = 1, max = 2_592_000_000_u64))]
    pub(in crate::accounts) interval_max_ms: Option<u64>,
    /// Spread of intervals: 0.2 means 80 % to 120 %.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in crate::accounts) randomization_factor: Option<f64>,
    /// Maximum time that a receiver's Retry-After can ask for.
    #[schemars(range(min = 1, max = 2592000))]
    pub(in crate::accounts) retry_after_max_s: Option<u64>,
    /// Time after which an endpoint that only failed is disabled.
    #[schemars(range(min = 1, max = 31536000))]
    pub(in crate::accounts) disable_after_s: Option<u64>,
}

/// Values of a webhook's circuit breaker that differ from the defaults.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BreakerEntry {
    /// Ratio of failed attempts at which the breaker opens.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub(in crate::accounts) failure_ratio: Option<f64>,
    /// Period over which attempts are counted.
    #[schemars(range(min = 1, max = 3600))]
    pub(in crate::accounts) window_s: Option<u64>,
    /// Minimum number of attempts in the period.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::accounts) attempts_min: Option<u32>,
    /// Time that the breaker stays open before a probe.
    #[schemars(range(min = 1, max = 86400))]
    pub(in crate::accounts) open_s: Option<u64>,
}
