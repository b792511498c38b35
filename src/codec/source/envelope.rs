//! Takes records out of the envelopes of other programs.
//!
//! | envelope | recognised by | the record in it |
//! |---|---|---|
//! | Kafka Connect | `schema`, `payload` | `payload` |
//! | Debezium | `op`, with `before`, `after` or `source` | `after` |
//! | MongoDB | `operationType`, with `fullDocument` or `documentKey` | `fullDocument` |
//! | CloudEvents, structured | `specversion`, `type` | `data` or `data_base64` |
//!
//! A record may be a string that holds JSON. A CloudEvent in binary mode is no envelope: the record is the whole value.
//! Change events that bring no new status are skipped: deletions, and changes of other fields.

use super::{Bad, extended, json_fault};
use crate::domain::RecordKind;
use crate::json;
use crate::json::scan::{self, Fault, MemberValue, ValueKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// A kind of envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    Connect,
    Debezium,
    MongoDb,
    CloudEvents,
}

impl Envelope {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Debezium, Self::MongoDb, Self::CloudEvents];

    /// Returns the word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Debezium => "debezium",
            Self::MongoDb => "mongodb",
            Self::CloudEvents => "cloudevents",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Connect => 1,
            Self::Debezium => 2,
            Self::MongoDb => 4,
            Self::CloudEvents => 8,
        }
    }

    const fn called(self) -> &'static str {
        match self {
            Self::Connect => "Kafka Connect's envelope of schema and payload",
            Self::Debezium => "a change event of Debezium",
            Self::MongoDb => "a change event of MongoDB",
            Self::CloudEvents => "a CloudEvent",
        }
    }
}

/// The envelopes from which records are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwrap(u8);

impl Unwrap {
    /// Adds an envelope.
    #[must_use]
    pub const fn with(self, envelope: Envelope) -> Self {
        Self(self.0 | envelope.bit())
    }

    /// Returns whether records are taken from `envelope`.
    #[must_use]
    pub const fn holds(self, envelope: Envelope) -> bool {
        self.0 & envelope.bit() != 0
    }

    /// Returns whether records are taken from any envelope.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.0 != 0
    }

    /// Returns whether programs whose envelopes these are write tombstones.
    pub(super) const fn has_tombstones(self) -> bool {
        self.holds(Envelope::Connect)
            || self.holds(Envelope::Debezium)
            || self.holds(Envelope::MongoDb)
    }
}

/// The content of an envelope.
pub(super) enum Opened<'t> {
    Record(Cow<'t, [u8]>),
    /// It says nothing that concerns the daemon.
    Nothing,
}

const NAMES: [&str; 14] = [
    "schema",
    "payload",
    "op",
    "before",
    "after",
    "source",
    "operationType",
    "fullDocument",
    "documentKey",
    "updateDescription",
    "specversion",
    "type",
    "data",
    "data_base64",
];

/// The members of a text that may be an envelope. Only the members of one kind are used.
struct Members<'t> {
    text: &'t [u8],
    parts: [Option<MemberValue>; 14],
}

/// Opens `text`, which is no record of `kind`. Returns `None` if it is no envelope.
pub(super) fn open(
    kind: RecordKind,
    text: &[u8],
    unwrap: Unwrap,
) -> Option<Result<Opened<'_>, Bad>> {
    let parts = scan::members(text, &NAMES).ok()?;
    let members = Members { text, parts };
    let envelope = members.envelope()?;
    if !unwrap.holds(envelope) {
        return Some(Err(Bad::undecodable(format!(
            "the record is in {}: set [topics] unwrap = [\"{}\"]",
            envelope.called(),
            envelope.as_str()
        ))));
    }
    Some(match envelope {
        Envelope::Connect => members.connect(),
        Envelope::Debezium => members.debezium(kind),
        Envelope::MongoDb => members.mongodb(kind),
        Envelope::CloudEvents => members.cloud_event(),
    })
}

impl<'t> Members<'t> {
    /// Returns a member, be it null.
    fn any_part(&self, name: &str) -> Option<&MemberValue> {
        let index = NAMES.iter().position(|known| *known == name)?;
        self.parts.get(index)?.as_ref()
    }

    /// Returns a member that is not null.
    fn part(&self, name: &str) -> Option<&MemberValue> {
        self.any_part(name).filter(|part| part.kind != ValueKind::Null)
    }

    fn is(&self, name: &str, kind: ValueKind) -> bool {
        self.part(name).is_some_and(|part| part.kind == kind)
    }

    fn bytes(&self, part: &MemberValue) -> &'t [u8] {
        self.text.get(part.range.clone()).unwrap_or_default()
    }

    /// Returns the text of a string member.
    fn text(&self, name: &str) -> Option<String> {
        let part = self.part(name).filter(|part| part.kind == ValueKind::Text)?;
        json::read_string(self.bytes(part)).map(std::borrow::Cow::into_owned)
    }

    fn envelope(&self) -> Option<Envelope> {
        let has = |name| self.part(name).is_some();
        let text = |name| self.is(name, ValueKind::Text);
        if text("specversion") && text("type") {
            Some(Envelope::CloudEvents)
        } else if text("operationType") && (has("fullDocument") || has("documentKey")) {
            Some(Envelope::MongoDb)
        } else if text("op") && (has("before") || has("after") || has("source")) {
            Some(Envelope::Debezium)
        } else if self.is("schema", ValueKind::Object) || has("payload") {
            Some(Envelope::Connect)
        } else {
            None
        }
    }

    /// Returns the record in a member: an object, an array, or a string that holds JSON.
    fn record(&self, part: &MemberValue) -> Result<Cow<'t, [u8]>, Bad> {
        match part.kind {
            ValueKind::Object | ValueKind::Array => Ok(Cow::Borrowed(self.bytes(part))),
            ValueKind::Text => json::read_string(self.bytes(part))
                .map(|text| Cow::Owned(text.into_owned().into_bytes()))
                .ok_or_else(|| Bad::undecodable("the string in the envelope is no text")),
            ValueKind::Null | ValueKind::Boolean(_) | ValueKind::Number => {
                Err(Bad::undecodable("the envelope holds a number or a boolean, and no record"))
            }
        }
    }

    fn connect(&self) -> Result<Opened<'t>, Bad> {
        // A payload that is null marks a deletion.
        if let Some(payload) = self.part("payload") {
            return self.record(payload).map(Opened::Record);
        }
        if self.any_part("payload").is_some() {
            return Ok(Opened::Nothing);
        }
        Err(Bad::undecodable("the envelope of Kafka Connect has no payload"))
    }

    fn debezium(&self, kind: RecordKind) -> Result<Opened<'t>, Bad> {
        match self.text("op").as_deref() {
            Some("c" | "r" | "u") => {}
            // Deletions, truncations and messages.
            Some("d" | "t" | "m") => return Ok(Opened::Nothing),
            Some(_) | None => {
                return Err(Bad::undecodable("the op of the change event is none of Debezium's"));
            }
        }
        let Some(after) = self.part("after") else {
            return Err(Bad::undecodable(
                "the change event of Debezium has no after: let the connector write the whole row or document",
            ));
        };
        let is_document = after.kind == ValueKind::Text;
        let after = self.record(after)?;
        let before = self.part("before").map(|before| self.record(before)).transpose()?;
        let status = status_of(&after)?;
        let is_old = match before {
            Some(before) => status_of(&before)? == status,
            None => self.is_unchanged(),
        };
        if kind == RecordKind::Report && (status.is_none() || is_old) {
            return Ok(Opened::Nothing);
        }
        if is_document {
            extended::simplified(&after).map(|plain| Opened::Record(Cow::Owned(plain)))
        } else {
            Ok(Opened::Record(after))
        }
    }

    fn mongodb(&self, kind: RecordKind) -> Result<Opened<'t>, Bad> {
        // The documented types that bring no document.
        const OTHERS: [&str; 12] = [
            "create",
            "createIndexes",
            "delete",
            "drop",
            "dropDatabase",
            "dropIndexes",
            "invalidate",
            "modify",
            "refineCollectionShardKey",
            "rename",
            "reshardCollection",
            "shardCollection",
        ];
        match self.text("operationType").as_deref() {
            Some("insert" | "update" | "replace") => {}
            Some(other) if OTHERS.contains(&other) => return Ok(Opened::Nothing),
            Some(_) | None => {
                return Err(Bad::undecodable(
                    "the operationType of the change event is none of MongoDB's",
                ));
            }
        }
        let Some(document) = self.part("fullDocument") else {
            return Err(Bad::undecodable(
                "the change event of MongoDB has no fullDocument: set change.stream.full.document to updateLookup",
            ));
        };
        let document = self.record(document)?;
        let has_status = status_of(&document)?.is_some();
        if kind == RecordKind::Report && (!has_status || self.is_unchanged()) {
            return Ok(Opened::Nothing);
        }
        extended::simplified(&document).map(|plain| Opened::Record(Cow::Owned(plain)))
    }

    /// Returns whether a description of the update says that the delivery status is as before.
    fn is_unchanged(&self) -> bool {
        self.part("updateDescription")
            .is_some_and(|description| !changes_status(self.bytes(description)))
    }

    fn cloud_event(&self) -> Result<Opened<'t>, Bad> {
        if let Some(data) = self.part("data") {
            return self.record(data).map(Opened::Record);
        }
        let decoded = self.text("data_base64").and_then(|text| STANDARD.decode(text).ok());
        decoded.map(|data| Opened::Record(Cow::Owned(data))).ok_or_else(|| {
            Bad::undecodable("the CloudEvent has neither data nor a data_base64 that can be read")
        })
    }
}

/// Returns the delivery status in the JSON object `record`, as it is spelt. `None`: it has none, or null.
fn status_of(record: &[u8]) -> Result<Option<&[u8]>, Bad> {
    Ok(member(record, "deliveryStatus").map_err(json_fault)?.map(|(_, status)| status))
}

/// Returns whether MongoDB's description of an update names the delivery status.
fn changes_status(description: &[u8]) -> bool {
    let Ok(Some((kind, updated))) = member(description, "updatedFields") else { return true };
    // Debezium writes the fields as a string of JSON.
    let text = match kind {
        ValueKind::Object => Some(Cow::Borrowed(updated)),
        ValueKind::Text => {
            json::read_string(updated).map(|text| Cow::Owned(text.into_owned().into_bytes()))
        }
        ValueKind::Null | ValueKind::Boolean(_) | ValueKind::Number | ValueKind::Array => None,
    };
    // A text that can't be read may have changed it.
    text.is_none_or(|text| !matches!(status_of(&text), Ok(None)))
}

/// Returns a member of a JSON object that is not null.
fn member<'t>(
    object: &'t [u8],
    name: &'static str,
) -> Result<Option<(ValueKind, &'t [u8])>, Fault> {
    let [part] = scan::members(object, &[name])?;
    let part = part.filter(|part| part.kind != ValueKind::Null);
    Ok(part.and_then(|part| Some((part.kind, object.get(part.range)?))))
}
