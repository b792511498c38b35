//! A value in a JSON text, taken apart only as far as something in it is asked for, and only once.

use crate::json::TextFault;
use crate::json::walk::{self, Cursor};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// A value where it stands in a text that is JSON.
pub(super) struct Node<'t> {
    text: &'t str,
    members: OnceCell<BTreeMap<Cow<'t, str>, Node<'t>>>,
}

impl<'t> Node<'t> {
    /// The value that `json` is; `None` when that is no JSON, or is nested deeper than what we take from anyone.
    pub(super) fn read(json: &'t [u8]) -> Option<Self> {
        let text = walk::check(json).ok()?.trim_ascii();
        Cursor::new(text).skip_value().ok()?;
        Some(Self::new(text))
    }

    /// The value that `text` is, which is part of a text that was read.
    const fn new(text: &'t str) -> Self {
        Self { text, members: OnceCell::new() }
    }

    /// As it is spelt, white space and all.
    pub(super) const fn text(&self) -> &'t str {
        self.text
    }

    /// As it is spelt, unless it is `null`, which says that there is no value.
    pub(super) fn present(&self) -> Option<&'t str> {
        Some(self.text).filter(|text| *text != "null")
    }

    pub(super) fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    pub(super) fn is_array(&self) -> bool {
        self.text.starts_with('[')
    }

    /// The member `name`, unless it is `null`. Anything else than an object has none.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members().get(name).filter(|member| member.present().is_some())
    }

    /// What the names in `path`, joined by dots, lead to, from object to object.
    pub(super) fn walk(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, name| node.get(name))
    }

    /// Anything else than an array has none.
    pub(super) fn items(&self) -> Vec<Self> {
        let mut items = Vec::new();
        if self.is_array() {
            let mut cursor = Cursor::new(self.text);
            let walked: Result<(), TextFault> = cursor.array(|cursor, _| {
                items.push(value(cursor)?);
                Ok(())
            });
            // The depth is all that could be wrong, and was found right when the text was read.
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
                    // A name with half a surrogate pair is none that anyone could ask for.
                    members.extend(walk::decode(name).map(|name| (name, value)));
                    Ok(())
                });
                // As above.
                walked.unwrap_or_default();
            }
            members
        })
    }
}

/// The value at the cursor, which moves behind it.
fn value<'t>(cursor: &mut Cursor<'t>) -> Result<Node<'t>, TextFault> {
    let start = cursor.at();
    cursor.skip_value()?;
    Ok(Node::new(cursor.since(start)))
}

/// `json`, a valid JSON text, without the white space between its tokens: within a string, where a template may put it, a line
/// break would be none of JSON's characters.
pub(super) fn compact(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    // What stands from here on is not copied yet.
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
