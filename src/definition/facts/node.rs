//! A value in a JSON text. Its members are parsed once, and only if they are needed.

use crate::json::TextFault;
use crate::json::walk::{self, Cursor};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// A value in a valid JSON text.
pub(super) struct Node<'t> {
    text: &'t str,
    members: OnceCell<BTreeMap<Cow<'t, str>, Node<'t>>>,
}

impl<'t> Node<'t> {
    /// Reads `json`. Returns `None` if it is not JSON or is nested deeper than the limit.
    pub(super) fn read(json: &'t [u8]) -> Option<Self> {
        let text = walk::check(json).ok()?.trim_ascii();
        Cursor::new(text).skip_value().ok()?;
        Some(Self::new(text))
    }

    /// Creates the value for `text`, a part of a text that was checked.
    const fn new(text: &'t str) -> Self {
        Self { text, members: OnceCell::new() }
    }

    /// Returns the text as it is spelt, with its white space.
    pub(super) const fn text(&self) -> &'t str {
        self.text
    }

    /// Returns the text as it is spelt, unless it is `null`, which counts as missing.
    pub(super) fn present(&self) -> Option<&'t str> {
        Some(self.text).filter(|text| *text != "null")
    }

    pub(super) fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    pub(super) fn is_array(&self) -> bool {
        self.text.starts_with('[')
    }

    /// Returns the member `name`, unless it is `null`. Only an object has members.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members().get(name).filter(|member| member.present().is_some())
    }

    /// Follows the names in `path`, separated by dots, from object to object.
    pub(super) fn walk(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, name| node.get(name))
    }

    /// Returns the items. Only an array has items.
    pub(super) fn items(&self) -> Vec<Self> {
        let mut items = Vec::new();
        if self.is_array() {
            let mut cursor = Cursor::new(self.text);
            let walked: Result<(), TextFault> = cursor.array(|cursor, _| {
                items.push(value(cursor)?);
                Ok(())
            });
            // Only the depth could be wrong, and it was checked when the text was read.
            walked.unwrap_or_default();
        }
        items
    }

    pub(super) fn members(&self) -> &BTreeMap<Cow<'t, str>, Self> {
        self.members.get_or_init(|| {
            let mut members = BTreeMap::new();
            if self.is_object() {
                let mut cursor = Cursor::new(self.text);
                let walked: Result<(), TextFault> = cursor.object(|cursor, name| {
                    let value = value(cursor)?;
                    // No path can ask for a name with half a surrogate pair.
                    members.extend(walk::decode(name).map(|name| (name, value)));
                    Ok(())
                });
                // As in `items`, only the depth could be wrong.
                walked.unwrap_or_default();
            }
            members
        })
    }
}

/// Returns the value at the cursor and moves the cursor behind it.
fn value<'t>(cursor: &mut Cursor<'t>) -> Result<Node<'t>, TextFault> {
    let start = cursor.at();
    cursor.skip_value()?;
    Ok(Node::new(cursor.since(start)))
}

/// Removes the white space between the tokens of `json`, a valid JSON text. A template may put the text into a string,
/// and JSON allows no line break there.
pub(super) fn compact(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    // The text from this offset on is not copied yet.
    let mut run = 0;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'\t' | b'\r' | b'\n' if !quoted => {
                out.push_str(json.get(run..at).unwrap_or_default());
                run = at + 1;
            }
            _ => {}
        }
    }
    if run == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(json.get(run..).unwrap_or_default());
    Cow::Owned(out)
}
