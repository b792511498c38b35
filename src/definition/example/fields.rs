//! The fields of a template that is made from an example: a token in the place of each value.

use super::name::{Namer, PathSegment};
use super::sample;
use crate::definition::catalogue;
use std::collections::BTreeSet;

/// A field of a template, whose value the author chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The token in the template, without percent signs.
    pub token: String,
    /// A value to begin with: the token of the catalogue with the same name, or else a flow key.
    pub source: String,
    /// The JSON text of the example's value, as it may be shown.
    pub sample: String,
}

/// The text of a template that is being written, and its fields so far.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) text: String,
    pub(super) fields: Vec<Field>,
    namer: Namer,
    tokens: BTreeSet<String>,
}

impl Writer {
    /// Writes text of the example, so that nothing in it is a variable.
    pub(super) fn literal(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(['$', '%']) {
            let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.text.push_str(before);
            let length = token_length(after);
            let spelt = after.get(..length.max(1)).unwrap_or_default();
            if after.starts_with('$') {
                self.text.push_str("$$");
            } else if length > 0 {
                self.text.extend(["%", spelt, "%"]);
            } else {
                self.text.push('%');
            }
            rest = after.get(spelt.len()..).unwrap_or_default();
        }
        self.text.push_str(rest);
    }

    /// Writes the token of the value at `parts`, whose JSON text is `value`.
    pub(super) fn field(&mut self, parts: &[PathSegment], value: &str) {
        let name = self.namer.name(parts);
        let lower = name.trim_start_matches('_').to_ascii_lowercase();
        let begins = lower.starts_with(|first: char| first.is_ascii_lowercase());
        let base = if begins { lower } else { format!("field_{lower}") };
        let mut token = base.clone();
        let mut number = 1;
        while !self.tokens.insert(token.clone()) {
            number += 1;
            token = format!("{base}_{number}");
        }
        let is_known = catalogue::tokens().contains_key(&token);
        let source = if is_known { format!("%{token}%") } else { format!("$flow.key.{name}") };
        self.text.extend(["%", &token, "%"]);
        self.fields.push(Field { token, source, sample: sample(value) });
    }
}

/// Returns the length of what looks like a token at the beginning of `text`, or 0.
fn token_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix('%') else { return 0 };
    let is_part = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b':');
    let length = rest.bytes().take_while(is_part).count();
    let ends = rest.get(length..).is_some_and(|rest| rest.starts_with('%'));
    if length > 0 && ends { length + 2 } else { 0 }
}
