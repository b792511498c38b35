//! Values that are derived from fields of the record, because no field has them.
//!
//! | derived | from |
//! |---|---|
//! | times in UTC | the time with its offset |
//! | durations | two times of a leg, in whole seconds |
//! | the word for the result | the time of connection, and the cause by which the call ended (ITU-T Q.850) |
//! | the recordings | the first URL in `recordingUrls` of that format |
//! | members of prompts | the first prompt |

use super::node::{Node, compact};
use super::{Facts, structure};
use crate::definition::template::{Derived, Family, Variable};
use crate::json;
use crate::json::walk;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Facts<'_, '_> {
    /// Returns the value of a variable that is derived. The variable's source comes first.
    pub(super) fn derive(&self, variable: &Variable, derived: Derived) -> Option<Cow<'_, str>> {
        let source = self.plain(variable);
        match derived {
            Derived::Utc => source.map(in_utc),
            Derived::Tags | Derived::Prompts => {
                source.map(|json| structure(&json).map_or(json, Cow::Owned))
            }
            Derived::DialedTime => source.or_else(|| self.seconds("startTime")),
            Derived::AnsweredTime => source.or_else(|| self.seconds("connectTime")),
            Derived::Dialstatus => source.or_else(|| self.dialstatus()),
            Derived::Mp3 => source.or_else(|| self.recording(".mp3")),
            Derived::Wav => source.or_else(|| self.recording(".wav")),
            Derived::Prompt => source.or_else(|| self.first_prompt(variable.name())),
        }
    }

    /// Returns the whole seconds between the time in the field `from` and the end of the call, in the first place that
    /// has both.
    fn seconds(&self, from: &str) -> Option<Cow<'_, str>> {
        let mut places = self.legs().iter().chain(self.record());
        let ms = places.find_map(|place| {
            let (from, to) = (time(place.get(from)?)?, time(place.get("endTime")?)?);
            u64::try_from(to.as_millisecond() - from.as_millisecond()).ok()
        })?;
        Some((ms / 1000).to_string().into())
    }

    /// Returns the word of call-tracking platforms for the result of the call.
    pub(super) fn dialstatus(&self) -> Option<Cow<'_, str>> {
        let mut places = self.legs().iter().chain(self.record());
        let word = places.find_map(|place| {
            let is_connected =
                place.get("connectTime").and_then(text).is_some_and(|time| !time.trim().is_empty());
            let cause = || text(place.get("hangupCause")?)?.trim().parse().ok();
            if is_connected { Some("ANSWER") } else { cause().and_then(unanswered) }
        })?;
        Some(format!("\"{word}\"").into())
    }

    /// Returns the URL of the first recording whose name ends with `extension`.
    fn recording(&self, extension: &str) -> Option<Cow<'_, str>> {
        let is_of_format = |recording: &&Node<'_>| {
            let names = ["recordedFilePublicPath", "recordedFileName"].into_iter();
            let mut names = names.filter_map(|name| text(recording.get(name)?));
            names.any(|name| {
                let path = name.split(['?', '#']).next().unwrap_or_default();
                path.to_ascii_lowercase().ends_with(extension)
            })
        };
        let url = self.recordings().iter().filter(is_of_format);
        let url = url.filter_map(|recording| recording.get("recordedFilePublicPath")).next()?;
        Some(compact(url.text()))
    }

    /// Returns the member `name` of the first prompt.
    fn first_prompt(&self, name: &str) -> Option<Cow<'_, str>> {
        let members = self.prompt.get_or_init(|| self.prompt_members().unwrap_or_default());
        members.get(name).map(|json| Cow::Borrowed(&**json))
    }

    fn prompt_members(&self) -> Option<BTreeMap<Box<str>, Box<str>>> {
        let list = Variable::new(Family::FlowKey, "prompt_responses")?;
        let json = self.derive(&list, Derived::Prompts)?;
        let node = Node::read(json.as_bytes())?;
        let first = if node.is_array() { node.items().into_iter().next()? } else { node };
        let members = first.members().iter();
        let present = members.filter_map(|(name, member)| {
            Some((Box::from(&**name), Box::from(&*compact(member.present()?))))
        });
        Some(present.collect())
    }
}

/// Returns the word for a call that was not connected, by the cause of its end. The classes are those of Q.850.
const fn unanswered(cause: u8) -> Option<&'static str> {
    match cause {
        16 | 26 => Some("CANCEL"),
        17 | 21 => Some("BUSY"),
        18 | 19 | 31 => Some("NOANSWER"),
        32..=47 => Some("CONGESTION"),
        1..=127 => Some("CHANUNAVAIL"),
        0 | 128..=u8::MAX => None,
    }
}

/// Returns the content of a string, or the text of a number.
fn text<'n>(node: &'n Node<'_>) -> Option<Cow<'n, str>> {
    let json = node.text();
    match json.as_bytes().first() {
        Some(b'"') => walk::decode(json),
        Some(b'-' | b'0'..=b'9') => Some(Cow::Borrowed(json)),
        Some(_) | None => None,
    }
}

fn time(node: &Node<'_>) -> Option<Timestamp> {
    instant(&walk::decode(node.text())?)
}

/// Reads a time with an offset. Some gateways write blanks within it.
fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| text.replace(' ', "").parse().ok())
}

/// Returns the time in the JSON text `json` in UTC, with milliseconds. Any other value stays as it is.
pub(super) fn in_utc(json: Cow<'_, str>) -> Cow<'_, str> {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    let Some(time) = walk::decode(&json).as_deref().and_then(instant) else { return json };
    let mut out = Vec::new();
    json::write_string(&mut out, &PRINTER.timestamp_to_string(&time));
    String::from_utf8(out).map_or(json, Cow::Owned)
}
