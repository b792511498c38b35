//! What goes into a delivery's request beside its body, as JSON: in dead letters, and in the commands that replay them.
//!
//! | members | are there |
//! |---|---|
//! | `content` (`json`, `xml`, `form`, `none`), `variables` (an object: the values in URL, query and headers) | once it is rendered |
//! | `facts` {`record`, `reports`, `mapped`} | while it is not: what it is to be rendered of |

use crate::domain::{BodyKind, Facts, Mapped, Pending, Rendered, Rendering};
use crate::json::{self, Object};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What one record of a dead letter, or of the command that replays it, may be made of: body and facts.
const LETTER_BYTES_MAX: usize = 16 << 20;

/// Writes the members. Facts that would not fit into one record with a body of `body` bytes, each of whose quotes is two
/// characters, are left out: what can't be rendered then is replayed with what the letter's other members say.
pub(super) fn write(object: &mut Object<'_>, rendering: &Rendering, body: usize) {
    match rendering {
        Rendering::Fixed => {}
        Rendering::Done(rendered) => {
            object.text("content", content(rendered.kind));
            object.name("variables").extend_from_slice(&rendered.values);
        }
        Rendering::Pending(pending) => {
            let Facts { record, reports, mapped } = &pending.facts;
            let of_reports: usize = reports.iter().map(|it| it.len() + 1).sum();
            let bytes = 2 * body + record.as_ref().map_or(0, Bytes::len) + of_reports;
            let (record, reports) =
                if bytes > LETTER_BYTES_MAX { (&None, &[][..]) } else { (record, &reports[..]) };
            let mut facts = object.object("facts");
            facts.name("record").extend_from_slice(record.as_deref().unwrap_or(b"null"));
            let out = facts.name("reports");
            out.push(b'[');
            for (index, report) in reports.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(report);
            }
            out.push(b']');
            json::write_members(
                facts.name("mapped"),
                mapped.iter().map(|it| (&*it.save_in, &*it.value)),
            );
            facts.close();
        }
    }
}

/// What a body is, in a word.
#[must_use]
pub const fn content(kind: BodyKind) -> &'static str {
    match kind {
        BodyKind::Json => "json",
        BodyKind::Xml => "xml",
        BodyKind::Form => "form",
        BodyKind::None => "none",
    }
}

/// The members, as they are read back.
#[derive(Deserialize)]
pub(super) struct Text<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    variables: Option<&'a RawValue>,
    #[serde(borrow, default)]
    facts: Option<FactsText<'a>>,
}

#[derive(Deserialize)]
struct FactsText<'a> {
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(borrow)]
    reports: Vec<&'a RawValue>,
    #[serde(borrow)]
    mapped: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl Text<'_> {
    /// The members of the object `value`.
    pub(super) fn read(value: &[u8]) -> Option<Rendering> {
        let Text { content, variables, facts } = serde_json::from_slice(value).ok()?;
        let bytes = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
        Some(match (content, variables, facts) {
            (None, None, None) => Rendering::Fixed,
            (Some(content), Some(values), None) => {
                let kind = match &*content {
                    "json" => BodyKind::Json,
                    "xml" => BodyKind::Xml,
                    "form" => BodyKind::Form,
                    "none" => BodyKind::None,
                    _ => return None,
                };
                Rendering::Done(Rendered { kind, values: bytes(values) })
            }
            (None, None, Some(facts)) => {
                let mapped = facts.mapped.into_iter().map(|(save_in, value)| Mapped {
                    save_in: save_in.into(),
                    value: value.get().into(),
                });
                let facts = Facts {
                    record: facts.record.map(bytes),
                    reports: facts.reports.into_iter().map(bytes).collect(),
                    mapped: mapped.collect(),
                };
                Rendering::Pending(Box::new(Pending { facts, after: Vec::new() }))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rendering: &Rendering, body: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        write(&mut object, rendering, body);
        object.close();
        out
    }

    #[test]
    fn what_is_written_reads_back() {
        let mapped = Mapped { save_in: "$flow.key.a".into(), value: "0.10".into() };
        let facts = Facts {
            record: Some(Bytes::from_static(b"{\"a\":1}")),
            reports: vec![Bytes::from_static(b"{}"), Bytes::from_static(b"[1]")],
            mapped: vec![mapped],
        };
        let done = |kind| Rendered { kind, values: Bytes::from_static(b"{\"a\":0.10}") };
        let kinds = [BodyKind::Json, BodyKind::Xml, BodyKind::Form, BodyKind::None];
        let mut all: Vec<Rendering> = kinds.map(|kind| Rendering::Done(done(kind))).into();
        all.push(Rendering::Fixed);
        all.push(Rendering::Pending(Box::new(Pending { facts, after: Vec::new() })));
        all.push(Rendering::Pending(Box::new(Pending {
            facts: Facts::default(),
            after: Vec::new(),
        })));
        for rendering in all {
            assert_eq!(Text::read(&written(&rendering, 10)), Some(rendering));
        }
        for none in ["{\"content\":\"json\"}", "{\"content\":\"pdf\",\"variables\":{}}", ""] {
            assert_eq!(Text::read(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn facts_that_fit_into_no_record_are_left_out() {
        let record = Bytes::from(format!("\"{}\"", "x".repeat(1 << 20)));
        let facts = Facts { record: Some(record), ..Facts::default() };
        let rendering = Rendering::Pending(Box::new(Pending { facts, after: Vec::new() }));
        assert!(written(&rendering, 7 << 20).len() > 1 << 20);
        assert_eq!(
            written(&rendering, 8 << 20),
            br#"{"facts":{"record":null,"reports":[],"mapped":{}}}"#
        );
    }
}
