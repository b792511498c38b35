//! `ringback.toml` as it is written. These comments are the schema's descriptions.

use crate::document::SecretText;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The configuration of Ringback.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct SettingsFile {
    /// The cluster and this instance's place in it.
    pub(super) kafka: Kafka,
    /// The topics. No two may share a name.
    pub(super) topics: Topics,
    /// Where the schemas of Confluent-framed records are. Absent: Avro single-object encoding and JSON only.
    pub(super) schema_registry: Option<SchemaRegistry>,
    /// The local state.
    pub(super) store: Store,
    /// Metrics, health, the API and the operators' pages.
    pub(super) http: Http,
    /// Accounts, webhooks and flows.
    pub(super) accounts: AccountsSection,
    /// How flows and delivery reports are brought together.
    pub(super) correlation: Correlation,
    /// Delivery statuses beside the known ones, or known ones with another meaning.
    pub(super) statuses: Statuses,
    /// How webhooks are delivered: defaults of every webhook, and limits of the instance.
    pub(super) delivery: Delivery,
}

/// The cluster and this instance's place in it.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Kafka {
    /// `host:port`, comma separated.
    #[schemars(length(min = 1))]
    pub(super) bootstrap_servers: String,
    /// The consumer group; the same for all instances.
    #[schemars(length(min = 1, max = 255))]
    pub(super) group_id: String,
    /// Stable, and another one for each instance: its transactional.id and group.instance.id.
    #[schemars(length(min = 1, max = 255))]
    pub(super) instance_id: String,
    /// Under load a transaction gathers so long at most; an idle daemon commits what comes at once.
    #[schemars(range(min = 1, max = 10000))]
    pub(super) commit_interval_ms: u64,
    /// Any property of librdkafka, for every client, except those that the daemon's guarantees rest on.
    pub(super) client: ClientProperties,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            group_id: "ringback".to_owned(),
            instance_id: "ringback-0".to_owned(),
            commit_interval_ms: 100,
            client: ClientProperties::default(),
        }
    }
}

/// librdkafka's properties; numbers and truth values have become text.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct ClientProperties(pub(super) BTreeMap<String, SecretText>);

impl JsonSchema for ClientProperties {
    fn schema_name() -> Cow<'static, str> {
        "ClientProperties".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    { "type": ["string", "integer", "number", "boolean"] },
                    {
                        "type": "object",
                        "description":
                            "The rest of an unquoted dotted key, or a secret: { env = \"NAME\" } or { file = \"PATH\" }."
                    }
                ]
            }
        })
    }
}

/// The topics.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Topics {
    /// Where flow complete records come from: a name or a list.
    pub(super) flow_complete: OneOrMore,
    /// Where delivery reports come from: a name or a list.
    pub(super) delivery_report: OneOrMore,
    /// Where call begin records come from, which rules may be upon: a name or a list; unless set, from nowhere.
    pub(super) flow_started: Option<OneOrMore>,
    /// Every fact.
    pub(super) events: String,
    /// Deliveries and records that were given up.
    pub(super) dead_letter: String,
    /// The state, compacted: how another instance takes a partition over.
    pub(super) changelog: String,
    /// Forwarded records and operators' commands.
    pub(super) inbox: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            flow_complete: OneOrMore::One("flow-complete".to_owned()),
            delivery_report: OneOrMore::One("sms-delivery-report".to_owned()),
            flow_started: None,
            events: "ringback.events".to_owned(),
            dead_letter: "ringback.dead-letter".to_owned(),
            changelog: "ringback.changelog".to_owned(),
            inbox: "ringback.inbox".to_owned(),
        }
    }
}

/// A name or a list.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum OneOrMore {
    /// A name.
    One(String),
    /// A list of names.
    More(#[schemars(length(min = 1))] Vec<String>),
}

/// Where the schemas of Confluent-framed records are.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SchemaRegistry {
    /// The registry's address.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// The user, where the registry wants one.
    pub(super) username: Option<String>,
    /// The user's password.
    pub(super) password: Option<SecretText>,
}

/// The local state.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Store {
    /// The directory of the local state, made when it is missing. It can be lost: the changelog restores it.
    #[schemars(length(min = 1))]
    pub(super) directory: String,
    /// "restore": a damaged store is moved aside, and the changelog restores it. "stop": the daemon ends, and says what it found.
    pub(super) on_corruption: OnCorruption,
}

impl Default for Store {
    fn default() -> Self {
        Self { directory: "data".to_owned(), on_corruption: OnCorruption::Restore }
    }
}

/// What is done about a damaged store.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnCorruption {
    /// It is set aside and restored.
    Restore,
    /// The daemon ends.
    Stop,
}

/// Metrics, health, the API and the operators' pages.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Http {
    /// Address and port. Anything but loopback needs a token.
    pub(super) listen: String,
    /// The bearer token for everything but /livez and /readyz.
    pub(super) token: Option<SecretText>,
    /// So many endpoints are shown one by one in the metrics, by the label `endpoint`; 0: none.
    #[schemars(range(min = 0, max = 10000))]
    pub(super) endpoint_labels_max: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned(), token: None, endpoint_labels_max: 0 }
    }
}

/// Accounts, webhooks and flows.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct AccountsSection {
    /// The file that lists them; SIGHUP reads it again, and this file too.
    #[schemars(length(min = 1))]
    pub(super) file: String,
}

impl Default for AccountsSection {
    fn default() -> Self {
        Self { file: "accounts.toml".to_owned() }
    }
}

/// How flows and delivery reports are brought together.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Correlation {
    /// all: one second webhook, when every SMS of the flow has a final status. each: one for each SMS.
    pub(super) phase2_wait: Wait,
    /// strict: phase 2 leaves after phase 1 was delivered or given up. independent: it does not wait.
    pub(super) phase2_order: Order,
    /// How long a report waits for its flow complete record.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) correlation_ttl_s: u64,
    /// How long a flow waits for its reports.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) report_timeout_s: u64,
    /// end: the correlation ends with an event. notify: phase 2 is sent with what is known.
    pub(super) on_report_timeout: OnTimeout,
    /// How long an ended execution is remembered, so that what comes late is recognised.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) dedup_window_s: u64,
}

impl Default for Correlation {
    fn default() -> Self {
        Self {
            phase2_wait: Wait::All,
            phase2_order: Order::Strict,
            correlation_ttl_s: 259_200,
            report_timeout_s: 259_200,
            on_report_timeout: OnTimeout::End,
            dedup_window_s: 86_400,
        }
    }
}

/// When phase 2 is due.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Wait {
    /// One webhook, when every SMS has a final status.
    All,
    /// One webhook for each SMS.
    Each,
}

/// Whether phase 2 waits for the end of phase 1.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Order {
    /// It does.
    Strict,
    /// It does not.
    Independent,
}

/// What the report time-out does.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnTimeout {
    /// The correlation ends with an event.
    End,
    /// Phase 2 is sent with what is known.
    Notify,
}

/// Delivery statuses beside the known ones.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Statuses {
    /// Words after which nothing more comes.
    #[serde(rename = "final")]
    pub(super) last: Vec<String>,
    /// Words after which more comes.
    pub(super) intermediate: Vec<String>,
}

/// How webhooks are delivered.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Delivery {
    /// From the first byte sent to the last byte read.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) request_timeout_ms: u64,
    /// For name look-up, connect and TLS.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) connect_timeout_ms: u64,
    /// An older connection takes no further request, so that a name that has moved is noticed.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) connection_max_age_s: u64,
    /// Name servers that are asked instead of those of /etc/resolv.conf: addresses, with a port or without.
    pub(super) name_servers: Vec<String>,
    /// So many requests of the instance may be unanswered; fewer, where the process may not have as many files open.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) in_flight_max: u32,
    /// So many requests of a webhook may be unanswered, unless it says otherwise.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) in_flight_max_webhook: u32,
    /// So many outcomes may be uncommitted: what a kill -9 may repeat, beside those in flight.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) uncommitted_max: u32,
    /// Attempts per second of the instance, which may be a fraction; 0: no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) rate_per_second: f64,
    /// Instead of rate_per_second: attempts per s, min, h or d, as in "30/min".
    pub(super) rate: Option<String>,
    /// After so many attempts a delivery is given up.
    #[schemars(range(min = 1, max = 10000))]
    pub(super) attempts_max: u32,
    /// A delivery older than this is given up.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) age_max_s: u64,
    /// CIDRs that may be called in spite of the address policy.
    pub(super) allow_addresses: Vec<String>,
    /// http://host:port or http://user:password@host:port: webhooks are called through this proxy. It looks names up
    /// itself, and must refuse addresses that are not to be called.
    pub(super) proxy: Option<SecretText>,
    /// A receiver's Retry-After counts up to this.
    #[schemars(range(min = 1, max = 2592000))]
    pub(super) retry_after_max_s: u64,
    /// An endpoint that only failed for so long is disabled.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) disable_after_s: u64,
    /// The intervals between attempts.
    pub(super) retry: RetrySection,
    /// When an endpoint is left alone for a while. It counts connection errors, time-outs and 5xx.
    pub(super) breaker: BreakerSection,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            request_timeout_ms: 15_000,
            connect_timeout_ms: 5000,
            connection_max_age_s: 300,
            name_servers: Vec::new(),
            in_flight_max: 1024,
            in_flight_max_webhook: 32,
            uncommitted_max: 1000,
            rate_per_second: 0.0,
            rate: None,
            attempts_max: 16,
            age_max_s: 86_400,
            allow_addresses: Vec::new(),
            proxy: None,
            retry_after_max_s: 3600,
            disable_after_s: 432_000,
            retry: RetrySection::default(),
            breaker: BreakerSection::default(),
        }
    }
}

/// The intervals between attempts.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RetrySection {
    /// After the first attempt.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(super) initial_interval_ms: u64,
    /// Each interval is so many times the one before.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) multiplier: f64,
    /// No interval is longer.
    #[schemars(range(min = 1, max = 2_592_000_000_u64))]
    pub(super) interval_max_ms: u64,
    /// 0.2 spreads an interval from 80 % to 120 % of itself.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) randomization_factor: f64,
}

impl Default for RetrySection {
    fn default() -> Self {
        Self {
            initial_interval_ms: 5000,
            multiplier: 2.0,
            interval_max_ms: 3_600_000,
            randomization_factor: 0.2,
        }
    }
}

/// When an endpoint is left alone for a while.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct BreakerSection {
    /// It opens when this part of the attempts fails.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub(super) failure_ratio: f64,
    /// Over this time.
    #[schemars(range(min = 1, max = 3600))]
    pub(super) window_s: u64,
    /// And not with fewer attempts than these.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) attempts_min: u32,
    /// So long it stays open before a probe.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) open_s: u64,
}

impl Default for BreakerSection {
    fn default() -> Self {
        Self { failure_ratio: 0.5, window_s: 30, attempts_min: 20, open_s: 30 }
    }
}
