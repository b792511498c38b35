//! The parts of a delivery's request beside its body, as JSON: in dead letters, and in the commands that replay them.
//!
//! | members | exist |
//! |---|---|
//! | `content` (`json`, `xml`, `form`, `none`, or another content type), `variables` (an object: the values in URL, query and headers) | after the rendering |
//! | `facts` {`record`, `reports`, `mapped`, `outcome_of` (names of webhooks, if the delivery comes after some)}: the input of the rendering | before the rendering |

use super::content;
use crate::domain::{Facts, Mapped, Pending, Rendered, Rendering, WebhookName};
use crate::json::{self, Object};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The largest total length of body and facts in a dead letter, or in the command that replays it, in bytes.
const LETTER_BYTES_MAX: usize = 16 << 20;

/// Writes the members. Each quote in a body of `body` bytes may take two characters. If record and reports would not
/// fit into one record with it, they are left out, and a replay is rendered without them.
pub(super) fn write(object: &mut Object<'_>, rendering: &Rendering, body: usize) {
    match rendering {
        Rendering::Fixed => {}
        Rendering::Done(rendered) => {
            object.text("content", content::word(&rendered.content_type));
            object.name("variables").extend_from_slice(&rendered.values);
        }
        Rendering::Pending(pending) => {
            let Facts { record, reports, mapped } = &*pending.facts;
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
            if !pending.outcome_of.is_empty() {
                facts.texts("outcome_of", pending.outcome_of.iter().map(WebhookName::as_str));
            }
            facts.close();
        }
    }
}

/// The members as JSON text.
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
    #[serde(default)]
    outcome_of: Vec<String>,
}

impl Text<'_> {
    /// Reads the members of the object `value`.
    pub(super) fn read(value: &[u8]) -> Option<Rendering> {
        let Text { content, variables, facts } = serde_json::from_slice(value).ok()?;
        let bytes = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
        Some(match (content, variables, facts) {
            (None, None, None) => Rendering::Fixed,
            (Some(content), Some(values), None) => {
                let content_type = content::of_word(&content)?;
                Rendering::Done(Rendered { content_type, values: bytes(values) })
            }
            (None, None, Some(facts)) => {
                let mapped = facts.mapped.into_iter().map(|(save_in, value)| Mapped {
                    save_in: save_in.into(),
                    value: value.get().into(),
                });
                let names = facts.outcome_of.iter().map(|name| WebhookName::new(name));
                let outcome_of = names.collect::<Option<Vec<_>>>()?;
                let facts = Facts {
                    record: facts.record.map(bytes),
                    reports: facts.reports.into_iter().map(bytes).collect(),
                    mapped: mapped.collect(),
                };
                Rendering::Pending(Box::new(Pending { outcome_of, ..Pending::of(facts) }))
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
        let done = |content| {
            let content_type = content::of_word(content).unwrap();
            Rendered { content_type, values: Bytes::from_static(b"{\"a\":0.10}") }
        };
        let words = ["json", "xml", "form", "none", "text/csv"];
        let mut all: Vec<Rendering> = words.map(|word| Rendering::Done(done(word))).into();
        all.push(Rendering::Fixed);
        let outcome_of = ["crm", "call"].map(|name| WebhookName::new(name).unwrap()).to_vec();
        all.push(Rendering::Pending(Box::new(Pending { outcome_of, ..Pending::of(facts) })));
        all.push(Rendering::Pending(Box::new(Pending::of(Facts::default()))));
        for rendering in all {
            assert_eq!(Text::read(&written(&rendering, 10)), Some(rendering));
        }
        for none in ["{\"content\":\"json\"}", "{\"content\":\"pdf\",\"variables\":{}}", ""] {
            assert_eq!(Text::read(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn facts_that_do_not_fit_into_a_record_are_left_out() {
        let record = Bytes::from(format!("\"{}\"", "x".repeat(1 << 20)));
        let facts = Facts { record: Some(record), ..Facts::default() };
        let rendering = Rendering::Pending(Box::new(Pending::of(facts)));
        assert!(written(&rendering, 7 << 20).len() > 1 << 20);
        assert_eq!(
            written(&rendering, 8 << 20),
            br#"{"facts":{"record":null,"reports":[],"mapped":{}}}"#
        );
    }
}
