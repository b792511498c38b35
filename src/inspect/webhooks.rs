//! How the configured webhooks' endpoints do, by the changelog.

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

/// Reads what all partitions of the changelog remember of each endpoint. Blocks.
///
/// # Errors
/// When Kafka can't be read, or a row can't; or when the watch broke it off.
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
                // The endpoint works again.
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

/// What all partitions together remember of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// When it was disabled, and why.
    disabled: Option<(Timestamp, &'static str)>,
    held_until: Option<Timestamp>,
    failing_since: Option<Timestamp>,
}

impl Remembered {
    /// Each partition remembers that for itself; the earliest time counts, and the latest hold.
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
    /// Its name.
    pub name: &'a str,
    /// Its account.
    pub account_id: i64,
    /// Whether both phases of its account go there.
    pub default: bool,
    /// The method of its requests.
    pub method: &'a str,
    /// Its URL, without the query.
    pub url: String,
    /// How many attempts a second it allows.
    #[serde(serialize_with = "plain")]
    pub rate_per_second: Option<PerSecond>,
    /// How many at once.
    pub burst: Option<u32>,
    /// How many attempts may be on their way at a time.
    pub in_flight_max: u32,
    /// How long an attempt may take.
    pub request_timeout_ms: u64,
    /// How many attempts a delivery has.
    pub attempts_max: u32,
    /// `enabled`, `held`, `failing` or `disabled`.
    pub state: &'static str,
    /// Since when it is disabled.
    pub disabled_at: Option<String>,
    /// Why it is disabled.
    pub disabled_cause: Option<&'static str>,
    /// Until when it asked to be left alone.
    pub held_until: Option<String>,
    /// Since when nothing was delivered.
    pub failing_since: Option<String>,
}

/// A whole number without a fraction, as it was written.
fn plain<S: Serializer>(rate: &Option<PerSecond>, to: S) -> Result<S::Ok, S::Error> {
    let number = rate.and_then(|rate| rate.to_string().parse::<serde_json::Number>().ok());
    number.serialize(to)
}

impl<'a> WebhookView<'a> {
    /// What is configured of `webhook`, and what is `known` of its endpoint.
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
