//! The state of the configured webhooks' endpoints, read from the changelog.

use super::InspectError;
use crate::codec::event::rfc3339;
use crate::codec::row;
use crate::delivery::{PerSecond, Webhook};
use crate::domain::{EndpointState, Timestamp, WebhookName, WebhookPolicy};
use crate::log::{KafkaSettings, ScanFrom, Scanner, TopicNames, Watch};
use crate::store::RowKey;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// Reads the state of each endpoint from all partitions of the changelog. Blocks.
///
/// # Errors
/// Kafka or a row can't be read, or the watch stops the reading.
pub fn read(
    kafka: &KafkaSettings,
    topics: &TopicNames,
    watch: Watch<'_>,
) -> Result<HashMap<WebhookName, Remembered>, InspectError> {
    let (scanner, topic) = (Scanner::new(kafka)?, &topics.changelog);
    let ranges = scanner.all(topic, ScanFrom::Beginning)?;
    let mut rows: BTreeMap<(i32, WebhookName), (i64, Bytes)> = BTreeMap::new();
    let flow = scanner.scan(topic, &ranges, watch, &mut |record| {
        if let Some(RowKey::Endpoint(webhook)) = record.key().and_then(RowKey::parse) {
            let place = (record.partition(), webhook);
            match record.value().filter(|value| !value.is_empty()) {
                Some(value) => {
                    rows.insert(place, (record.offset(), Bytes::copy_from_slice(value)));
                }
                // A tombstone means that the endpoint has no special state.
                None => drop(rows.remove(&place)),
            }
        }
        ControlFlow::Continue(())
    })?;
    if flow.is_break() {
        return Err(InspectError::Interrupted);
    }
    let mut known: HashMap<WebhookName, Remembered> = HashMap::new();
    for ((partition, webhook), (offset, value)) in rows {
        let state = row::decode_endpoint(&value)
            .map_err(|error| InspectError::Row(partition, offset, error))?;
        known.entry(webhook).or_default().add(&state);
    }
    Ok(known)
}

/// The state of an endpoint, combined from all partitions.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// When and why it was disabled.
    disabled: Option<(Timestamp, &'static str)>,
    held_until: Option<Timestamp>,
    failing_since: Option<Timestamp>,
}

impl Remembered {
    /// Adds the state that one partition has recorded. Keeps the earliest times and the latest end of a pause.
    fn add(&mut self, state: &EndpointState) {
        let disabled = state.disabled.map(|disabled| (disabled.at, disabled.cause.as_str()));
        self.disabled = [self.disabled, disabled].into_iter().flatten().min();
        self.held_until = self.held_until.max(state.held_until);
        self.failing_since = [self.failing_since, state.failing_since].into_iter().flatten().min();
    }
}

/// A configured webhook with the state of its endpoint.
#[derive(Debug, Serialize)]
pub struct WebhookView<'a> {
    pub name: &'a str,
    /// The note for people.
    pub notes: Option<&'a str>,
    /// The account that owns the webhook.
    pub account_id: i64,
    /// Whether it is the default webhook of its account, the target of both phases.
    pub default: bool,
    pub method: &'a str,
    /// The URL without its query.
    pub url: String,
    /// The maximum number of attempts per second. `None`: no limit.
    #[serde(serialize_with = "plain")]
    pub rate_per_second: Option<PerSecond>,
    /// The number of attempts that may start at once within that rate.
    pub burst: Option<u32>,
    /// The maximum number of attempts in flight.
    pub in_flight_max: u32,
    /// The timeout of an attempt, in milliseconds.
    pub request_timeout_ms: u64,
    /// The maximum number of attempts per delivery.
    pub attempts_max: u32,
    /// `enabled`, `held`, `failing` or `disabled`.
    pub state: &'static str,
    /// When it was disabled (RFC 3339).
    pub disabled_at: Option<String>,
    /// The reason why it is disabled.
    pub disabled_cause: Option<&'static str>,
    /// The end of the pause that the endpoint asked for (RFC 3339).
    pub held_until: Option<String>,
    /// The time since which no attempt succeeded (RFC 3339).
    pub failing_since: Option<String>,
}

/// Serialises the rate as the configuration has it; a whole number has no fraction.
fn plain<S: Serializer>(rate: &Option<PerSecond>, to: S) -> Result<S::Ok, S::Error> {
    let number = rate.and_then(|rate| rate.to_string().parse::<serde_json::Number>().ok());
    number.serialize(to)
}

impl<'a> WebhookView<'a> {
    /// Returns the configuration of `webhook` with the state of its endpoint at `now`.
    #[must_use]
    pub fn of(
        webhook: &'a Webhook,
        policy: &WebhookPolicy,
        is_default: bool,
        known: &Remembered,
        now: Timestamp,
    ) -> Self {
        let held_until = known.held_until.filter(|until| *until > now);
        let state = match known {
            Remembered { disabled: Some(_), .. } => "disabled",
            Remembered { .. } if held_until.is_some() => "held",
            Remembered { failing_since: Some(_), .. } => "failing",
            Remembered { .. } => "enabled",
        };
        let limits = &webhook.limits;
        let timeout_ms = webhook.request_timeout.as_millis();
        Self {
            name: webhook.name.as_str(),
            notes: webhook.notes.as_deref(),
            account_id: webhook.account.0,
            default: is_default,
            method: webhook.method.as_str(),
            url: webhook.shown_url(),
            rate_per_second: limits.rate_per_second,
            burst: limits.burst.map(Into::into),
            in_flight_max: limits.in_flight_max.into(),
            request_timeout_ms: u64::try_from(timeout_ms).unwrap_or(u64::MAX),
            attempts_max: policy.attempts_max,
            state,
            disabled_at: known.disabled.map(|(at, _)| rfc3339(at)),
            disabled_cause: known.disabled.map(|(_, cause)| cause),
            held_until: held_until.map(rfc3339),
            failing_since: known.failing_since.map(rfc3339),
        }
    }
}
