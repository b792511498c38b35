//! The members of published events: what each is called, and what it holds.
//!
//! [`Members`] reads every event, of this version or another, and the JSON Schema of the events is generated from it (see
//! [`super::schema`]): a member is named and typed here once.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// The members of one event, as far as it has them. Members that are unknown to this version are skipped.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Members<'a> {
    /// What happened.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The execution of a flow that it belongs to. It is also the record's key.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub phonon_uuid: Option<Cow<'a, str>>,
    /// The customer's account.
    #[schemars(with = "i64")]
    pub account_id: Option<i64>,
    /// When it happened: RFC 3339 in UTC, with milliseconds.
    #[serde(borrow)]
    #[schemars(extend("format" = "date-time"))]
    pub at: Cow<'a, str>,
    /// The webhook's name in the configuration.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub webhook: Option<Cow<'a, str>>,
    /// The delivery's id, the same in every attempt and every life of it.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String", regex(pattern = r"^msg_[0-9a-f]{32}$"))]
    pub webhook_id: Option<Cow<'a, str>>,
    /// 1: the flow is complete. 2: the delivery status of its SMS is known. 0: the webhook of a rule.
    #[schemars(with = "u8", range(max = 2))]
    pub phase: Option<u8>,
    /// The number of the attempt, from 1 on.
    #[schemars(with = "u32")]
    pub attempt: Option<u32>,
    /// How many attempts were made.
    #[schemars(with = "u32")]
    pub attempts: Option<u32>,
    /// How many lives the delivery had before: each replay begins another one.
    #[schemars(with = "u32")]
    pub replays: Option<u32>,
    /// The flow.
    #[schemars(with = "i64")]
    pub flow_id: Option<i64>,
    /// The SMS that the event is about.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub sms_id: Option<Cow<'a, str>>,
    /// The ids of the SMS that the flow sent, or whose reports the delivery carries.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub sms: Option<Vec<Cow<'a, str>>>,
    /// The ids of the SMS of which no final report came.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub missing: Option<Vec<Cow<'a, str>>>,
    /// The delivery status as the report spells it.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub status: Option<Cow<'a, str>>,
    /// Whether the status is one of the configured words.
    #[schemars(with = "bool")]
    pub known_status: Option<bool>,
    /// Whether the report waits for the flow complete record.
    #[schemars(with = "bool")]
    pub waiting: Option<bool>,
    /// What the record is.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub record: Option<Cow<'a, str>>,
    /// What became a dead letter.
    #[serde(rename = "kind", borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub lettered: Option<Cow<'a, str>>,
    /// Why.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub reason: Option<Cow<'a, str>>,
    /// When the delivery may be attempted; null: it waits for phase 1, or for the deliveries of `after`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub due_at: Option<Option<Cow<'a, str>>>,
    /// The ids of the deliveries whose answers give its variables their values.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub after: Option<Vec<Cow<'a, str>>>,
    /// When the next attempt is due; null: this one was the last.
    #[serde(borrow, default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub retry_at: Option<Option<Cow<'a, str>>>,
    /// The outcome of the last attempt.
    #[serde(borrow)]
    #[schemars(with = "Outcome<'static>")]
    pub last_outcome: Option<Outcome<'a>>,
    /// Whether the attempt succeeded.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub response_status: Option<Cow<'a, str>>,
    /// The status of the answer; absent when no answer came.
    #[schemars(with = "u16")]
    pub response_status_code: Option<u16>,
    /// The class of the status.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub response_status_type: Option<Cow<'a, str>>,
    /// How long the attempt took, in seconds.
    #[schemars(with = "f64")]
    pub response_duration: Option<serde::de::IgnoredAny>,
    /// The body of the answer, as far as it is kept.
    #[schemars(with = "String")]
    pub response_raw: Option<serde::de::IgnoredAny>,
    /// Whether the answer was longer than that.
    #[schemars(with = "bool")]
    pub response_truncated: Option<serde::de::IgnoredAny>,
    /// The variables that the webhook's response map found in the answer.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub response_variables: Option<serde::de::IgnoredAny>,
    /// What went wrong, for people.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub response_error: Option<Cow<'a, str>>,
    /// What went wrong.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub error_reason: Option<Cow<'a, str>>,
    /// The place of the dead letter that was sent back, `PARTITION:OFFSET`.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String", regex(pattern = r"^[0-9]+:[0-9]+$"))]
    pub letter: Option<Cow<'a, str>>,
    /// What became of the record that was sent back.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub became: Option<Cow<'a, str>>,
    /// What the rule is upon.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub on: Option<Cow<'a, str>>,
    /// The variable of a condition.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub variable: Option<Cow<'a, str>>,
    /// Of how many SMS a webhook carried the report; earlier versions did not say.
    #[schemars(with = "u64")]
    pub reports_sent: Option<u64>,
    /// Until when the endpoint asked to be left alone.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Option<Cow<'a, str>>,
    /// Why the endpoint is disabled.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub cause: Option<Cow<'a, str>>,
    /// Since when every attempt has failed; null: the endpoint said itself that it is gone.
    #[serde(borrow, default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub failing_since: Option<Option<Cow<'a, str>>>,
    /// The state of the endpoint's circuit breaker.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub state: Option<Cow<'a, str>>,
    /// The record that it is about, or that triggered the delivery.
    #[serde(borrow)]
    #[schemars(with = "Place<'static>")]
    pub source: Option<Place<'a>>,
    /// The topic.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub topic: Option<Cow<'a, str>>,
    /// The partition.
    #[schemars(with = "i32")]
    pub partition: Option<i32>,
    /// From which offset the new topic is read.
    #[schemars(with = "i64")]
    pub offset: Option<i64>,
    /// How far the former topic was read.
    #[schemars(with = "i64")]
    pub former_offset: Option<i64>,
    /// The id of the topic; absent where topics have none.
    #[schemars(with = "String")]
    pub topic_id: Option<serde::de::IgnoredAny>,
    /// The id of the topic that was read before.
    #[schemars(with = "String")]
    pub former_topic_id: Option<serde::de::IgnoredAny>,
    /// The first offset that is missing, or where reading would have gone on.
    #[schemars(with = "i64")]
    pub from_offset: Option<i64>,
    /// The first offset that is there, or where reading goes on.
    #[schemars(with = "i64")]
    pub to_offset: Option<i64>,
    /// How many records are missing.
    #[schemars(with = "u64")]
    pub records: Option<u64>,
    /// Who moved the position: an operator by `offsets skip` or `offsets reset`, or another program of the group.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub by: Option<Cow<'a, str>>,
    /// The instance's id.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub instance: Option<Cow<'a, str>>,
    /// What is wrong, for people.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub detail: Option<Cow<'a, str>>,
    /// The keys of the configuration that keep their old values until a restart.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub keys: Option<Vec<Cow<'a, str>>>,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Place<'a> {
    /// Its topic.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// The outcome of an attempt. The members are those that `attempt_failed` and `delivered` have themselves.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Outcome<'a> {
    /// Whether the attempt succeeded.
    #[schemars(with = "String")]
    pub response_status: Option<serde::de::IgnoredAny>,
    /// The status of the answer; absent when no answer came.
    #[schemars(with = "u16")]
    pub response_status_code: Option<u16>,
    /// The class of the status.
    #[schemars(with = "String")]
    pub response_status_type: Option<serde::de::IgnoredAny>,
    /// How long the attempt took, in seconds.
    #[schemars(with = "f64")]
    pub response_duration: Option<serde::de::IgnoredAny>,
    /// The body of the answer, as far as it is kept.
    #[schemars(with = "String")]
    pub response_raw: Option<serde::de::IgnoredAny>,
    /// Whether the answer was longer than that.
    #[schemars(with = "bool")]
    pub response_truncated: Option<serde::de::IgnoredAny>,
    /// The variables that the webhook's response map found in the answer.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub response_variables: Option<serde::de::IgnoredAny>,
    /// What went wrong, for people.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub response_error: Option<Cow<'a, str>>,
    /// What went wrong.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub error_reason: Option<Cow<'a, str>>,
}

/// Reads the members of the event `value`; `None` when it is no JSON object, or has neither `type` nor `at`, or a member that
/// this version knows has another JSON type.
#[must_use]
pub fn read_members(value: &[u8]) -> Option<Members<'_>> {
    serde_json::from_slice(value).ok()
}

/// A string that is borrowed where nothing in it is escaped, also within an option.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    Ok(Option::<Text<'a>>::deserialize(from)?.map(|text| text.0))
}

/// Like [`text`], but tells a member that is null from one that is absent.
fn nullable<'de: 'a, 'a, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<Cow<'a, str>>>, D::Error> {
    text(from).map(Some)
}

fn texts<'de: 'a, 'a, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<Cow<'a, str>>>, D::Error> {
    let texts = Option::<Vec<Text<'a>>>::deserialize(from)?;
    Ok(texts.map(|texts| texts.into_iter().map(|text| text.0).collect()))
}
