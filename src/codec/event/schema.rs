//! The JSON Schema of the events: the types, and the members of each.
//!
//! The members and their JSON types come from [`Members`], which reads the events. Their values come from the
//! enumerations that write them. This module only says which type has which members.

use super::members::Members;
use super::{Became, MovedBy, OperatorAction};
use crate::domain::{
    DeadLetterReason, DisableCause, ErrorReason, IgnoreReason, RecordKind, SkipReason, StatusType,
};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// A type of event.
struct Type {
    word: &'static str,
    /// The value of `kind`, if two kinds of events share the type.
    kind: Option<&'static str>,
    /// The description, one sentence.
    says: &'static str,
    /// The members that each event of the type has, beside `type` and `at`.
    always: &'static [&'static str],
    /// The members that an event of the type may have, beside `account_id`.
    maybe: &'static [&'static str],
}

const fn of(
    word: &'static str,
    says: &'static str,
    always: &'static [&'static str],
    maybe: &'static [&'static str],
) -> Type {
    Type { word, kind: None, says, always, maybe }
}

/// The members of an outcome.
const OUTCOME: &[&str] = &[
    "response_status_code",
    "response_status_type",
    "response_truncated",
    "response_variables",
    "error_detail",
    "error_reason",
];

/// The members that every outcome has.
const ALWAYS: &[&str] = &["response_status", "response_duration", "response_raw", "response_error"];

const DELIVERY: &[&str] = &["webhook", "webhook_id", "phase"];

const TYPES: &[Type] = &[
    of(
        "flow_started",
        "A call begin record was accepted.",
        &["phonon_uuid", "account_id", "source"],
        &["flow_id"],
    ),
    of(
        "flow_accepted",
        "A flow complete record was accepted.",
        &["phonon_uuid", "account_id", "source"],
        &["webhook", "flow_id", "sms"],
    ),
    of(
        "report_accepted",
        "A delivery report was accepted.",
        &["phonon_uuid", "account_id", "sms_id", "status", "known_status", "waiting", "source"],
        &[],
    ),
    of(
        "record_ignored",
        "A record changed nothing.",
        &["phonon_uuid", "account_id", "record", "reason", "source"],
        &["sms_id"],
    ),
    of(
        "delivery_scheduled",
        "A delivery was put into the outbox.",
        &["phonon_uuid", "account_id", "webhook", "webhook_id", "phase", "due_at", "sms", "source"],
        &["after"],
    ),
    of(
        "delivery_rendered",
        "The deliveries that a delivery waited for have ended, and it may be attempted.",
        &["phonon_uuid", "webhook_id"],
        DELIVERY,
    ),
    of(
        "attempt_failed",
        "An attempt failed.",
        &[
            "phonon_uuid",
            "webhook_id",
            "attempt",
            "response_status",
            "response_duration",
            "response_raw",
            "response_error",
            "retry_at",
        ],
        DELIVERY,
    ),
    of(
        "delivered",
        "The endpoint accepted the delivery.",
        &[
            "phonon_uuid",
            "account_id",
            "webhook",
            "webhook_id",
            "phase",
            "attempt",
            "attempts",
            "response_status",
            "response_duration",
            "response_raw",
            "response_error",
        ],
        &["replays", "sms_id", "sms"],
    ),
    Type {
        kind: Some("delivery"),
        ..of(
            "dead_lettered",
            "A delivery became a dead letter.",
            &[
                "phonon_uuid",
                "account_id",
                "webhook",
                "webhook_id",
                "phase",
                "kind",
                "reason",
                "attempts",
                "replays",
            ],
            &["sms_id", "sms", "last_outcome"],
        )
    },
    Type {
        kind: Some("record"),
        ..of(
            "dead_lettered",
            "A record of an input could not be used, and became a dead letter.",
            &["kind", "reason", "source", "detail"],
            &["phonon_uuid", "record", "sms_id"],
        )
    },
    of(
        "replayed",
        "An operator replayed a dead letter: its delivery is in the outbox again.",
        &["phonon_uuid", "account_id", "webhook", "webhook_id", "phase", "replays"],
        &[],
    ),
    of(
        "record_replayed",
        "A record that an operator sent back from the dead letters was read again.",
        &["letter", "source", "became"],
        &["phonon_uuid"],
    ),
    of("report_timed_out", "Reports did not come in time.", &["phonon_uuid", "missing"], &[]),
    of(
        "rule_skipped",
        "The webhook of a rule is not sent, for this reason.",
        &["phonon_uuid", "account_id", "webhook", "on", "reason", "source"],
        &["variable", "sms_id"],
    ),
    of(
        "correlation_ended",
        "The correlation of the phonon-uuid has ended.",
        &["phonon_uuid"],
        &["reports_sent"],
    ),
    of("endpoint_held", "An endpoint asked for a pause.", &["webhook", "until"], &[]),
    of(
        "endpoint_disabled",
        "An endpoint was disabled.",
        &["webhook", "cause", "failing_since"],
        &[],
    ),
    of("endpoint_enabled", "An operator enabled an endpoint.", &["webhook"], &[]),
    of(
        "breaker_changed",
        "The circuit breaker of an endpoint changed its state.",
        &["webhook", "state"],
        &[],
    ),
    of(
        "input_recreated",
        "An input topic was deleted and created again.",
        &["topic", "partition", "former_offset", "offset"],
        &["former_topic_id", "topic_id"],
    ),
    of(
        "records_missed",
        "Kafka deleted records before they were read.",
        &["topic", "partition", "from_offset", "to_offset", "records"],
        &[],
    ),
    of(
        "offsets_moved",
        "The position in an input partition was moved.",
        &["topic", "partition", "from_offset", "to_offset", "by"],
        &[],
    ),
    of(
        "repartitioned",
        "An operator has given changelog and inbox another number of partitions, by new topics.",
        &[
            "changelog",
            "former_changelog",
            "inbox",
            "former_inbox",
            "partitions",
            "former_partitions",
        ],
        &[],
    ),
    of(
        "reload_refused",
        "The configuration was reloaded and is wrong; the former one stays in force.",
        &["instance", "detail"],
        &[],
    ),
    of(
        "operator_action",
        "An operator has requested a change by the console or the API. The change follows.",
        &["instance", "action", "operator", "detail"],
        &["webhook", "address"],
    ),
    of(
        "restart_needed",
        "The configuration was reloaded, and some keys need a restart.",
        &["instance", "keys"],
        &[],
    ),
];

/// Returns the values that `member` may have in an event of this type. None means any text.
fn words(word: &str, member: &str) -> Vec<&'static str> {
    match (word, member) {
        ("record_ignored", "reason") => IgnoreReason::ALL.iter().map(|it| it.as_str()).collect(),
        ("rule_skipped", "reason") => SkipReason::ALL.iter().map(|it| it.as_str()).collect(),
        (_, "reason") => DeadLetterReason::ALL.iter().map(|it| it.as_str()).collect(),
        (_, "record") => RecordKind::ALL.map(RecordKind::as_str).to_vec(),
        (_, "became") => Became::ALL.map(Became::as_str).to_vec(),
        (_, "action") => OperatorAction::ALL.map(OperatorAction::as_str).to_vec(),
        (_, "by") => MovedBy::ALL.map(MovedBy::as_str).to_vec(),
        (_, "cause") => DisableCause::ALL.map(DisableCause::as_str).to_vec(),
        (_, "state") => vec!["closed", "half_open", "open"],
        (_, "response_status") => vec!["SUCCESS", "FAILED"],
        (_, "response_status_type") => StatusType::ALL.map(StatusType::as_str).to_vec(),
        (_, "error_reason") => ErrorReason::ALL.map(ErrorReason::as_str).to_vec(),
        _ => Vec::new(),
    }
}

const SAYS: &str = "An event of the topic `ringback.events`. A later version may add types, members and \
                    values: consumers skip those that they do not know. Members are never renamed or removed.";

/// Returns the JSON Schema of all events, which `schemas/events.schema.json` contains.
#[must_use]
pub fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut members =
        settings.into_generator().into_root_schema_for::<Members<'static>>().to_value();
    let mut members = match members.get_mut("properties").map(Value::take) {
        Some(Value::Object(members)) => members,
        Some(_) | None => Map::new(),
    };
    if let Some(outcome) = members.get_mut("last_outcome").and_then(Value::as_object_mut) {
        // A member that is typed without its absence counts as required; of an outcome only these always are.
        outcome.insert("required".to_owned(), json!(ALWAYS));
        for (member, schema) in
            outcome.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
        {
            limit_to(&words("", member), schema);
            without_default(schema);
        }
    }
    members.values_mut().for_each(without_default);
    let types: Vec<Value> = TYPES.iter().map(|it| it.schema(&members)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": SAYS,
        "oneOf": types,
        "$defs": members,
    })
}

/// An absent member has no value.
fn without_default(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("default");
    }
}

fn limit_to(words: &[&str], schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut().filter(|_| !words.is_empty()) {
        schema.insert("enum".to_owned(), json!(words));
    }
}

impl Type {
    /// Returns the schema of the type, which refers to `members`, the members of all types.
    fn schema(&self, members: &Map<String, Value>) -> Value {
        let mut properties = Map::new();
        let outcome = if self.always.contains(&"response_status") { OUTCOME } else { &[] };
        let named = self.always.iter().chain(self.maybe).chain(outcome);
        for member in ["type", "at", "account_id"].iter().chain(named) {
            let mut schema = json!({"$ref": format!("#/$defs/{member}")});
            match *member {
                "type" => drop(
                    schema.as_object_mut().map(|it| it.insert("const".into(), self.word.into())),
                ),
                "kind" => drop(
                    schema.as_object_mut().map(|it| it.insert("const".into(), self.kind.into())),
                ),
                member => limit_to(&words(self.word, member), &mut schema),
            }
            properties.insert((*member).to_owned(), schema);
        }
        debug_assert!(properties.keys().all(|name| members.contains_key(name)), "{}", self.word);
        let required: Vec<&str> = ["type", "at"].iter().chain(self.always).copied().collect();
        let title = self
            .kind
            .map_or_else(|| self.word.to_owned(), |kind| format!("{} ({kind})", self.word));
        json!({
            "title": title,
            "description": self.says,
            "type": "object",
            "properties": properties,
            "required": required,
        })
    }
}
