//! A test message to a webhook: the request, the answer and the outcome, as an answer that can be serialised.

use super::preview::sample;
use crate::clock;
use crate::codec::event::{outcome_json, rfc3339};
use crate::delivery::{Proxy, Trial, TrialMessage, Webhook};
use crate::domain::{Definitions, Phase, Verdict};
use ring::rand::{SystemRandom, generate};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use std::time::Duration;

/// The reason why there is no test message.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The system provides no random bytes.
    #[error("the system provides no random bytes")]
    NoRandom,
    /// A variable of the webhook has no value. The second text names it.
    #[error(
        "webhook {0}: the test message lacks a value: {1}; try `ringback webhook preview` with your own records"
    )]
    Lacks(String, Box<str>),
}

/// A test message that was not sent yet.
pub struct Prepared {
    pub message: TrialMessage,
    phase: Phase,
    /// The time of the message (RFC 3339).
    at: String,
}

impl Prepared {
    /// Makes the test message of `phase`. With `attach_keys`, phase 2 contains the flow's keys.
    ///
    /// # Errors
    /// A variable of the webhook has no value, or the system provides no random bytes.
    pub fn new(
        webhook: &Webhook,
        definitions: &dyn Definitions,
        attach_keys: bool,
        phase: Phase,
    ) -> Result<Self, PrepareError> {
        let now = clock::wall();
        let at = rfc3339(now);
        let sample = sample(phase, webhook.account, attach_keys, &at);
        let random = generate::<[u8; 16]>(&SystemRandom::new());
        let (Some(sample), Ok(random)) = (sample, random) else {
            return Err(PrepareError::NoRandom);
        };
        let (body, rendered) = sample
            .rendered(definitions, &webhook.name)
            .map_err(|problem| PrepareError::Lacks(webhook.name.to_string(), problem))?;
        let random = u128::from_be_bytes(random.expose());
        let message = TrialMessage { random, body, rendered, unix_seconds: now.as_ms() / 1000 };
        Ok(Self { message, phase, at })
    }
}

/// A test message with its result.
#[derive(Serialize)]
pub struct TrialView<'a> {
    pub webhook: &'a str,
    pub account_id: i64,
    pub phase: u8,
    pub webhook_id: String,
    /// The time of the message (RFC 3339).
    pub at: &'a str,
    /// Whether a delivery would be delivered.
    pub delivered: bool,
    pub request: RequestView<'a>,
    /// The head of the answer, if there was one.
    pub answer: Option<AnswerView<'a>>,
    /// The outcome, as events have it.
    pub outcome: Box<RawValue>,
    pub timings: Timings,
}

/// The request of a test message, without secrets.
#[derive(Serialize)]
pub struct RequestView<'a> {
    pub method: &'a str,
    /// The URL without its query.
    pub url: &'a str,
    pub proxy: Option<&'a str>,
    #[serde(serialize_with = "headers")]
    pub headers: &'a [(String, String)],
    pub body: String,
}

/// The head of an answer.
#[derive(Serialize)]
pub struct AnswerView<'a> {
    pub http_version: &'a str,
    /// The address of the server.
    pub address: Option<String>,
    #[serde(serialize_with = "headers")]
    pub headers: &'a [(String, String)],
}

/// The durations of an attempt, in seconds.
#[derive(Serialize)]
pub struct Timings {
    /// `None`: there was no look-up.
    pub look_up_seconds: Option<f64>,
    /// From the start to the head of the answer.
    pub head_seconds: Option<f64>,
    /// From the start to the end.
    pub whole_seconds: f64,
}

impl<'a> TrialView<'a> {
    /// Returns the answer about a trial. `url` is the webhook's URL without its query.
    #[must_use]
    pub fn of(
        webhook: &'a Webhook,
        url: &'a str,
        prepared: &'a Prepared,
        trial: &'a Trial,
    ) -> Self {
        let outcome = String::from_utf8(outcome_json(&trial.outcome)).unwrap_or_default();
        Self {
            webhook: webhook.name.as_str(),
            account_id: webhook.account.0,
            phase: prepared.phase.number(),
            webhook_id: prepared.message.id(),
            at: &prepared.at,
            delivered: trial.outcome.verdict == Verdict::Delivered,
            request: RequestView {
                method: webhook.method.as_str(),
                url,
                proxy: webhook.proxy.as_ref().map(Proxy::shown),
                headers: &trial.headers,
                body: String::from_utf8_lossy(&prepared.message.body).into_owned(),
            },
            answer: trial.head.as_ref().map(|head| AnswerView {
                http_version: &head.version,
                address: head.address.map(|address| address.to_string()),
                headers: &head.headers,
            }),
            outcome: RawValue::from_string(outcome).unwrap_or_default(),
            timings: Timings {
                look_up_seconds: trial.look_up.map(seconds),
                head_seconds: trial.head.as_ref().map(|head| seconds(head.after)),
                whole_seconds: seconds(trial.whole),
            },
        }
    }
}

/// Returns seconds, to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "an attempt takes at most some minutes")]
fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

/// Serialises headers as an object. The values of headers of the same name are joined.
fn headers<S: Serializer>(pairs: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (index, (name, _)) in pairs.iter().enumerate() {
        if pairs.iter().take(index).all(|(before, _)| before != name) {
            let same = pairs.iter().filter(|(other, _)| other == name);
            let values: Vec<&str> = same.map(|(_, value)| value.as_str()).collect();
            map.serialize_entry(name, &values.join(", "))?;
        }
    }
    map.end()
}
