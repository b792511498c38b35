//! Says what a record looks like that is no source event of its topic.

use super::Bad;
use crate::domain::RecordKind;
use crate::json::scan::{self, MemberValue, ValueKind};

/// Returns the words for a record of `kind`.
pub(in crate::codec) const fn called(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Start => "call begin record",
        RecordKind::Flow => "flow complete record",
        RecordKind::Report => "delivery report",
    }
}

/// Returns the fault of a record that has `field` of records of the kind `looks`, in a topic of `kind`.
pub(super) fn other_kind(kind: RecordKind, field: &str, looks: RecordKind) -> Bad {
    Bad::undecodable(format!(
        "the record has {field} and looks like a {}, but the topic is one of {}s",
        called(looks),
        called(kind)
    ))
}

/// Returns a field of a flow complete record that the JSON object `record` has.
pub(super) fn field_of_flow(record: &[u8]) -> Option<&'static str> {
    const FIELDS: [&str; 3] = ["callDetails", "completedAt", "recordingUrls"];
    let parts = scan::members(record, &FIELDS).ok()?;
    let is_there =
        |part: &Option<MemberValue>| part.as_ref().is_some_and(|part| part.kind != ValueKind::Null);
    FIELDS.iter().zip(&parts).find(|(_, part)| is_there(part)).map(|(name, _)| *name)
}

/// Describes bytes that are neither a JSON object nor Avro with a schema.
pub(super) fn encoding(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    match (bytes, text) {
        ([0x1f, 0x8b, ..], _) => "the record is compressed with gzip: let Kafka compress instead",
        ([0x28, 0xb5, 0x2f, 0xfd, ..], _) => {
            "the record is compressed with zstd: let Kafka compress instead"
        }
        ([b'O', b'b', b'j', 1, ..], _) => {
            "the record is an Avro container file: write each record without the file's header"
        }
        ([0xff, 0xfe, ..] | [0xfe, 0xff, ..], _) => "the record is UTF-16, and only UTF-8 is read",
        (_, []) => "the record is empty",
        (_, [b'<', ..]) => "the record is XML or HTML: write JSON or Avro",
        (_, [b'[', ..]) => {
            "the record is a JSON array, and only delivery reports may come in arrays"
        }
        (_, [b'"', rest @ ..]) if matches!(rest.trim_ascii_start(), [b'{' | b'[', ..]) => {
            "the record is a JSON string that holds JSON: write the JSON itself"
        }
        (_, text) if is_form(text) => "the record is a form: write JSON or Avro",
        (_, text) if serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() => {
            "the record is a single JSON value, and a JSON object is needed"
        }
        _ => "the record is neither a JSON object nor Avro with a schema id or a fingerprint",
    }
}

/// Returns whether a text is a form as browsers send it: names and values without blanks, each pair with a `=`.
fn is_form(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}' | b'"' | b'<');
    let text = text.trim_ascii_end();
    text.iter().all(is_part)
        && text
            .split(|byte| *byte == b'&')
            .all(|pair| pair.iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0))
}
