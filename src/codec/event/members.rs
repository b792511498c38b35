//! The members of published events: their names and types.
//!
//! [`Members`] reads every event, of this version or another. The JSON Schema of the events is generated from it (see
//! [`super::schema`]), so that each member is named and typed only here.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The members of one event. Members that it does not have are `None`, and those that are unknown to this version are
/// skipped.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Members<'a> {
    /// The type of the event.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The id of the flow's execution that the event belongs to. It is also the record's key.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub phonon_uuid: Option<Cow<'a, str>>,
    /// The id of the account.
    #[schemars(with = "i64")]
    pub account_id: Option<i64>,
    /// The time of the event: RFC 3339 in UTC, with milliseconds.
    #[serde(borrow)]
    #[schemars(extend("format" = "date-time"))]
    pub at: Cow<'a, str>,
    /// The webhook's name in the configuration.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub webhook: Option<Cow<'a, str>>,
    /// The delivery's id, the same in every attempt and after a replay.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String", regex(pattern = r"^msg_[0-9a-f]{32}$"))]
    pub webhook_id: Option<Cow<'a, str>>,
    /// 1: the flow is complete. 2: the delivery status of its SMS is known. 0: the webhook of a rule.
    #[schemars(with = "u8", range(max = 2))]
    pub phase: Option<u8>,
    /// The number of the attempt, starting with 1.
    #[schemars(with = "u32")]
    pub attempt: Option<u32>,
    /// The number of attempts.
    #[schemars(with = "u32")]
    pub attempts: Option<u32>,
    /// How often the delivery was replayed. An event `delivered` without it: never.
    #[schemars(with = "u32")]
    pub replays: Option<u32>,
    /// The id of the flow.
    #[schemars(with = "i64")]
    pub flow_id: Option<i64>,
    /// The id of the SMS that the event is about.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub sms_id: Option<Cow<'a, str>>,
    /// The ids of the SMS that the flow sent, whose reports the delivery carries, or that the delivery is about.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub sms: Option<Vec<Cow<'a, str>>>,
    /// The ids of the SMS without a final report.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub missing: Option<Vec<Cow<'a, str>>>,
    /// The delivery status as the report spells it.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub status: Option<Cow<'a, str>>,
    /// Whether the status table contains the status.
    #[schemars(with = "bool")]
    pub known_status: Option<bool>,
    /// Whether the report waits for the flow complete record.
    #[schemars(with = "bool")]
    pub waiting: Option<bool>,
    /// The kind of the record.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub record: Option<Cow<'a, str>>,
    /// The kind of the dead letter: a delivery or a record.
    #[serde(rename = "kind", borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub lettered: Option<Cow<'a, str>>,
    /// The reason.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub reason: Option<Cow<'a, str>>,
    /// When the delivery may be attempted; null if it waits for phase 1, or for the deliveries of `after`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub due_at: Option<Option<Cow<'a, str>>>,
    /// The ids of the deliveries that it waits for. Their answers may give values to its variables.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub after: Option<Vec<Cow<'a, str>>>,
    /// When the next attempt is due; null after the last attempt.
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
    /// The HTTP status of the answer; absent without an answer.
    #[schemars(with = "u16")]
    pub response_status_code: Option<u16>,
    /// The class of the status.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub response_status_type: Option<Cow<'a, str>>,
    /// The duration of the attempt in seconds.
    #[schemars(with = "f64")]
    pub response_duration: Option<f64>,
    /// The body of the answer, up to a maximum length; null if nothing came.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    pub response_raw: Option<Cow<'a, str>>,
    /// Whether the answer was longer than `response_raw`, or did not end.
    #[schemars(with = "bool")]
    pub response_truncated: Option<bool>,
    /// The values that the webhook's response map found in the answer, by variable.
    #[serde(borrow)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub response_variables: Option<&'a RawValue>,
    /// Whether the call resulted in an error.
    #[serde(borrow, default)]
    #[schemars(with = "bool")]
    pub response_error: Option<ResponseError<'a>>,
    /// The error as text, for operators.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub error_detail: Option<Cow<'a, str>>,
    /// The kind of the error.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub error_reason: Option<Cow<'a, str>>,
    /// The position of the dead letter that was sent back, as `PARTITION:OFFSET`.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String", regex(pattern = r"^[0-9]+:[0-9]+$"))]
    pub letter: Option<Cow<'a, str>>,
    /// The result of the record that was sent back.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub became: Option<Cow<'a, str>>,
    /// The trigger of the rule.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub on: Option<Cow<'a, str>>,
    /// The variable of the condition that could not be judged.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub variable: Option<Cow<'a, str>>,
    /// The number of SMS whose report a webhook carried; absent in events of earlier versions.
    #[schemars(with = "u64")]
    pub reports_sent: Option<u64>,
    /// The end of the pause that the endpoint asked for.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Option<Cow<'a, str>>,
    /// Why the endpoint is disabled.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub cause: Option<Cow<'a, str>>,
    /// The time of the first failure after which no delivery succeeded; null if it is unknown.
    #[serde(borrow, default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub failing_since: Option<Option<Cow<'a, str>>>,
    /// The state of the endpoint's circuit breaker.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub state: Option<Cow<'a, str>>,
    /// The position of the record that the event is about, or that triggered the delivery.
    #[serde(borrow)]
    #[schemars(with = "RecordPosition<'static>")]
    pub source: Option<RecordPosition<'a>>,
    /// The name of the topic.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub topic: Option<Cow<'a, str>>,
    /// The partition of the topic.
    #[schemars(with = "i32")]
    pub partition: Option<i32>,
    /// The offset from which the new topic is read.
    #[schemars(with = "i64")]
    pub offset: Option<i64>,
    /// The offset up to which the former topic was read.
    #[schemars(with = "i64")]
    pub former_offset: Option<i64>,
    /// The id of the topic; absent if topics have no ids.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub topic_id: Option<Cow<'a, str>>,
    /// The id of the former topic; absent if topics have no ids.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub former_topic_id: Option<Cow<'a, str>>,
    /// The first offset that is missing, or the position before the move.
    #[schemars(with = "i64")]
    pub from_offset: Option<i64>,
    /// The first offset that exists, or the position after the move.
    #[schemars(with = "i64")]
    pub to_offset: Option<i64>,
    /// The number of missing records.
    #[schemars(with = "u64")]
    pub records: Option<u64>,
    /// How the position was moved: by `offsets skip` or `offsets reset`, or by another program of the group.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub by: Option<Cow<'a, str>>,
    /// The id of the instance.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub instance: Option<Cow<'a, str>>,
    /// The change that an operator has requested.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub action: Option<Cow<'a, str>>,
    /// The name that the operator gave.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub operator: Option<Cow<'a, str>>,
    /// The address of the operator's client.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub address: Option<Cow<'a, str>>,
    /// An explanation of the error, or of the change, for operators.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub detail: Option<Cow<'a, str>>,
    /// The topic of the changelog.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub changelog: Option<Cow<'a, str>>,
    /// The topic that was the changelog before.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub former_changelog: Option<Cow<'a, str>>,
    /// The topic of the inbox.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub inbox: Option<Cow<'a, str>>,
    /// The topic that was the inbox before.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub former_inbox: Option<Cow<'a, str>>,
    /// The number of partitions of changelog and inbox.
    #[schemars(with = "u32")]
    pub partitions: Option<u32>,
    /// The number of partitions that the changelog had before.
    #[schemars(with = "u32")]
    pub former_partitions: Option<u32>,
    /// The keys of the configuration that keep their old values until a restart.
    #[serde(borrow, default, deserialize_with = "texts")]
    #[schemars(with = "Vec<String>")]
    pub keys: Option<Vec<Cow<'a, str>>>,
}

/// The position of a record in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct RecordPosition<'a> {
    /// The topic of the record.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// The partition of the record.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The place of the report in the array that the record is; absent if it is no array.
    #[serde(default)]
    #[schemars(with = "u32", extend("minimum" = 0))]
    pub index: Option<u32>,
}

/// The outcome of an attempt, with the members that `attempt_failed` and `delivered` have at their top level.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Outcome<'a> {
    /// Whether the attempt succeeded.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub response_status: Option<Cow<'a, str>>,
    /// The HTTP status of the answer; absent without an answer.
    #[schemars(with = "u16")]
    pub response_status_code: Option<u16>,
    /// The class of the status.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub response_status_type: Option<Cow<'a, str>>,
    /// The duration of the attempt in seconds.
    #[schemars(with = "f64")]
    pub response_duration: Option<f64>,
    /// The body of the answer, up to a maximum length; null if nothing came.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "Option<String>")]
    pub response_raw: Option<Cow<'a, str>>,
    /// Whether the answer was longer than `response_raw`, or did not end.
    #[schemars(with = "bool")]
    pub response_truncated: Option<bool>,
    /// The values that the webhook's response map found in the answer, by variable.
    #[serde(borrow)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub response_variables: Option<&'a RawValue>,
    /// Whether the call resulted in an error.
    #[serde(borrow, default)]
    #[schemars(with = "bool")]
    pub response_error: Option<ResponseError<'a>>,
    /// The error as text, for operators.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub error_detail: Option<Cow<'a, str>>,
    /// The kind of the error.
    #[serde(borrow, default, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub error_reason: Option<Cow<'a, str>>,
}

/// The member `response_error`, as any version wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ResponseError<'a> {
    /// Whether the call resulted in an error.
    Flag(bool),
    /// Earlier versions wrote the text of the error, and left the member out without an error.
    Text(#[serde(borrow)] Cow<'a, str>),
}

/// Returns the text of an error in the members of any version.
fn error_text<'m>(
    detail: Option<&'m Cow<'_, str>>,
    error: Option<&'m ResponseError<'_>>,
) -> Option<&'m str> {
    match (detail, error) {
        (Some(detail), _) => Some(detail),
        (None, Some(ResponseError::Text(text))) => Some(text),
        (None, Some(ResponseError::Flag(_)) | None) => None,
    }
}

impl<'a> Members<'a> {
    /// Returns the outcome whose members are at the event's top level.
    pub(super) fn take_outcome(&mut self) -> Outcome<'a> {
        Outcome {
            response_status: self.response_status.take(),
            response_status_code: self.response_status_code,
            response_status_type: self.response_status_type.take(),
            response_duration: self.response_duration,
            response_raw: self.response_raw.take(),
            response_truncated: self.response_truncated,
            response_variables: self.response_variables,
            response_error: self.response_error.take(),
            error_detail: self.error_detail.take(),
            error_reason: self.error_reason.take(),
        }
    }

    /// Returns the text of the attempt's error, if the event says one.
    #[must_use]
    pub fn error_text(&self) -> Option<&str> {
        let own = error_text(self.error_detail.as_ref(), self.response_error.as_ref());
        own.or_else(|| self.last_outcome.as_ref().and_then(Outcome::error_text))
    }
}

impl Outcome<'_> {
    /// Returns whether the call resulted in an error, if the outcome says so.
    #[must_use]
    pub fn is_error(&self) -> Option<bool> {
        self.response_error.as_ref().map(|error| match error {
            ResponseError::Flag(is_error) => *is_error,
            ResponseError::Text(_) => true,
        })
    }

    /// Returns the text of the error, if the outcome says one.
    #[must_use]
    pub fn error_text(&self) -> Option<&str> {
        error_text(self.error_detail.as_ref(), self.response_error.as_ref())
    }
}

/// Reads the members of the event `value`. Returns `None` if it is no JSON object, lacks `type` or `at`, or has a known
/// member with another JSON type.
#[must_use]
pub fn read_members(value: &[u8]) -> Option<Members<'_>> {
    serde_json::from_slice(value).ok()
}

/// A string that is borrowed unless a character in it is escaped, also within an option.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    Ok(Option::<Text<'a>>::deserialize(from)?.map(|text| text.0))
}

/// Like [`text`], but distinguishes a member that is null from one that is absent.
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
