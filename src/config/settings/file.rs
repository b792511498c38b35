//! Every key of `ringback.toml` with its type. The comments are the descriptions of the JSON Schema.

mod accounts;
pub(super) mod sink;
pub(super) mod traces;

pub(super) use accounts::{AccountsSection, Mysql, SourceName, TlsName};

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
    /// The schema registry of Confluent-framed records. Without this section, records are Avro in single-object encoding or JSON.
    pub(super) schema_registry: Option<SchemaRegistry>,
    /// The local state.
    pub(super) store: Store,
    /// Metrics, health, the API and the operators' pages.
    pub(super) http: Http,
    /// The export of traces to an OpenTelemetry collector, by OTLP over HTTP. Without this section, nothing is recorded.
    pub(super) traces: Option<traces::Traces>,
    /// Accounts, webhooks and flows.
    pub(super) accounts: AccountsSection,
    /// Names that the platform's customers know.
    pub(super) catalogue: Catalogue,
    /// How delivery reports are matched with flows.
    pub(super) correlation: Correlation,
    /// Delivery statuses in addition to the known ones, or known ones with another meaning.
    pub(super) statuses: Statuses,
    /// Limits of the instance, and defaults of webhooks.
    pub(super) delivery: Delivery,
    /// Databases into which the command `sink` writes answers.
    pub(super) sink: sink::Sink,
}

/// The cluster and this instance's place in it.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Kafka {
    /// The brokers as `host:port`, separated by commas.
    #[schemars(length(min = 1))]
    pub(super) bootstrap_servers: String,
    /// The consumer group, which is the same for all instances.
    #[schemars(length(min = 1, max = 255))]
    pub(super) group_id: String,
    /// The id of this instance, used as its transactional.id and group.instance.id. It is stable and differs between instances.
    #[schemars(length(min = 1, max = 255))]
    pub(super) instance_id: String,
    /// Maximum time that a transaction collects records under load. An idle daemon commits at once.
    #[schemars(range(min = 1, max = 10000))]
    pub(super) commit_interval_ms: u64,
    /// Any property of librdkafka, for every client, except those that the daemon's guarantees need.
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
    /// Topics of flow complete records: a name or a list.
    pub(super) flow_complete: OneOrMore,
    /// Topics of delivery reports: a name or a list.
    pub(super) delivery_report: OneOrMore,
    /// Topics of call begin records, which can trigger rules: a name or a list. Default: none.
    pub(super) flow_started: Option<OneOrMore>,
    /// The topic of all events.
    pub(super) events: String,
    /// The topic of dead letters: deliveries and records that failed for good.
    pub(super) dead_letter: String,
    /// The compacted topic of the state, from which another instance restores a partition.
    pub(super) changelog: String,
    /// The topic of forwarded records and operators' commands.
    pub(super) inbox: String,
    /// The envelopes of other programs from which records are taken. Default: none.
    pub(super) unwrap: Vec<Envelope>,
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
            unwrap: Vec::new(),
        }
    }
}

/// An envelope with a record in it.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Envelope {
    /// Kafka Connect's `schema` and `payload`.
    Connect,
    /// Debezium's change events.
    Debezium,
    /// MongoDB's change events.
    Mongodb,
    /// CloudEvents in structured mode.
    Cloudevents,
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

/// The schema registry of Confluent-framed records.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SchemaRegistry {
    /// The registry's address.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// The user, if the registry needs one.
    pub(super) username: Option<String>,
    /// The user's password.
    pub(super) password: Option<SecretText>,
}

/// The local state.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Store {
    /// The directory of the local state, which is created if it is missing. If it is lost, the changelog restores it.
    #[schemars(length(min = 1))]
    pub(super) directory: String,
    /// "restore" moves a damaged store aside and restores it from the changelog. "stop" ends the daemon with a report.
    pub(super) on_corruption: OnCorruption,
}

impl Default for Store {
    fn default() -> Self {
        Self { directory: "data".to_owned(), on_corruption: OnCorruption::Restore }
    }
}

/// The action for a damaged store.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnCorruption {
    /// The store is moved aside and restored.
    Restore,
    /// The daemon ends.
    Stop,
}

/// Metrics, health, the API and the operators' pages.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Http {
    /// Address and port. An address other than loopback needs a token.
    pub(super) listen: String,
    /// The bearer token for everything but /livez and /readyz.
    pub(super) token: Option<SecretText>,
    /// Maximum number of webhooks that have series of their own in the metrics, the busiest ones. All others are counted
    /// together, as webhook="other".
    #[schemars(range(min = 0, max = 10000))]
    pub(super) endpoint_labels_max: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned(), token: None, endpoint_labels_max: 200 }
    }
}

/// Names that the platform's customers know.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Catalogue {
    /// A file with functions of the platform, in addition to the built-in ones or in place of those of the same name.
    #[schemars(length(min = 1))]
    pub(super) internal: Option<String>,
}

/// How delivery reports are matched with flows.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Correlation {
    /// all: one webhook of phase 2 when every SMS of the flow has a final status. each: one for each SMS.
    pub(super) phase2_wait: Wait,
    /// strict: phase 2 is sent after phase 1 was delivered or became a dead letter. independent: phase 2 does not wait.
    pub(super) phase2_order: Order,
    /// Time that a webhook of phase 2 gathers reports of other SMS after the first final one, if the flow does not list its SMS. 0 means none.
    #[schemars(range(min = 0, max = 31536000))]
    pub(super) phase2_gather_s: u64,
    /// Time that a report waits for its flow complete record.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) correlation_ttl_s: u64,
    /// Time that a flow waits for its reports.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) report_timeout_s: u64,
    /// end: the correlation ends with an event. notify: phase 2 is sent with what is known.
    pub(super) on_report_timeout: OnTimeout,
    /// Time that an ended execution is remembered, so that late records are recognised.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) dedup_window_s: u64,
}

impl Default for Correlation {
    fn default() -> Self {
        Self {
            phase2_wait: Wait::All,
            phase2_order: Order::Strict,
            phase2_gather_s: 0,
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
    /// Phase 2 waits.
    Strict,
    /// Phase 2 does not wait.
    Independent,
}

/// The action when reports time out.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnTimeout {
    /// The correlation ends with an event.
    End,
    /// Phase 2 is sent with what is known.
    Notify,
}

/// Delivery statuses in addition to the known ones.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Statuses {
    /// Statuses after which no report follows. A * stands for any characters, as in "*_FAILED".
    #[serde(rename = "final")]
    pub(super) last: Vec<String>,
    /// Statuses after which further reports follow. A * stands for any characters, as in "PENDING_*".
    pub(super) intermediate: Vec<String>,
    /// Words or numbers of a gateway, each with the status that it means, as in "8" = "SUBMITTED".
    pub(super) aliases: BTreeMap<String, String>,
    /// final: no report is expected after a status that is not known. intermediate: further reports are.
    pub(super) unknown: UnknownStatus,
}

/// What follows after a status that is not known.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum UnknownStatus {
    /// No report follows.
    #[default]
    Final,
    /// Further reports follow.
    Intermediate,
}

/// How webhooks are delivered.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Delivery {
    /// Time limit from the first byte sent to the last byte read.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) request_timeout_ms: u64,
    /// Time limit of name look-up, TCP connect and TLS handshake together.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) connect_timeout_ms: u64,
    /// Maximum age of a connection that gets another request, so that a moved name is noticed.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) connection_max_age_s: u64,
    /// Name servers, with or without a port. Default: those of /etc/resolv.conf.
    pub(super) name_servers: Vec<String>,
    /// Maximum number of unanswered requests of the instance. It is lower if the limit of open files is too low.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) in_flight_max: u32,
    /// Maximum number of unanswered requests of a webhook that does not set in_flight_max.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) in_flight_max_webhook: u32,
    /// Maximum number of outcomes that are not committed. A kill -9 may repeat them and the requests in flight.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) uncommitted_max: u32,
    /// Attempts per second of the instance, which may be a fraction. 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) rate_per_second: f64,
    /// Replaces rate_per_second: attempts per s, min, h or d, as in "30/min".
    pub(super) rate: Option<String>,
    /// Maximum number of attempts. After the last one the delivery becomes a dead letter.
    #[schemars(range(min = 1, max = 10000))]
    pub(super) attempts_max: u32,
    /// Maximum age of a delivery. An older one becomes a dead letter.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) age_max_s: u64,
    /// CIDRs that the address policy allows in addition to public addresses.
    pub(super) allow_addresses: Vec<String>,
    /// The proxy for webhooks: http://host:port or http://user:password@host:port. It looks up names itself, and must refuse
    /// forbidden addresses.
    pub(super) proxy: Option<SecretText>,
    /// Maximum time that a receiver's Retry-After can ask for.
    #[schemars(range(min = 1, max = 2592000))]
    pub(super) retry_after_max_s: u64,
    /// Time after which an endpoint that only failed is disabled.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) disable_after_s: u64,
    /// The intervals between attempts.
    pub(super) retry: RetrySection,
    /// The circuit breaker of endpoints. It counts connection errors, time-outs and 5xx.
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
    /// Interval after the first attempt.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(super) initial_interval_ms: u64,
    /// Factor from each interval to the next.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) multiplier: f64,
    /// Maximum interval.
    #[schemars(range(min = 1, max = 2_592_000_000_u64))]
    pub(super) interval_max_ms: u64,
    /// Spread of intervals: 0.2 means 80 % to 120 %.
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

/// The circuit breaker of endpoints.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct BreakerSection {
    /// Ratio of failed attempts at which the breaker opens.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub(super) failure_ratio: f64,
    /// Period over which attempts are counted.
    #[schemars(range(min = 1, max = 3600))]
    pub(super) window_s: u64,
    /// Minimum number of attempts in the period.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) attempts_min: u32,
    /// Time that the breaker stays open before a probe.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) open_s: u64,
}

impl Default for BreakerSection {
    fn default() -> Self {
        Self { failure_ratio: 0.5, window_s: 30, attempts_min: 20, open_s: 30 }
    }
}
