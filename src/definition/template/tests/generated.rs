//! Random values and texts for the property tests.

use super::Given;
use proptest::prelude::*;
use serde_json::Value;

/// The variables that generated templates use.
pub(super) const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Pieces of text that are markup in some language.
const HOSTILE: [&str; 35] = [
    "\"",
    "\\",
    "'",
    "</x>",
    "]]>",
    "]]",
    "]",
    ">",
    "<",
    "&",
    "&amp;",
    "\r\n",
    "\r",
    "\n",
    "\t",
    "%00",
    "%",
    "%2e",
    ".",
    "..",
    "/",
    "?",
    "#",
    "=",
    "+",
    " ",
    "\u{202e}",
    "😀",
    "फोनन",
    "\0",
    "\u{1}",
    "\u{7f}",
    "\u{ffff}",
    "$flow.key.a",
    "%ani%",
];

/// Generates a text of hostile and harmless pieces.
pub(super) fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-z]{1,4}",
    ];
    // Every character of a short text touches the text around it.
    let short = proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned);
    prop_oneof![short, prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())]
}

/// Generates a value and a spelling of it as JSON text.
pub(super) fn value() -> impl Strategy<Value = (Value, String)> {
    let string = (text(), any::<u64>())
        .prop_map(|(text, spelling)| (Value::from(text.clone()), spell(&text, spelling)));
    let other = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::collection::vec(text(), 0..3).prop_map(Value::from),
        (text(), text()).prop_map(|(name, text)| serde_json::json!({ name: [text] })),
    ];
    prop_oneof![3 => string, 1 => other.prop_map(|value| (value.clone(), value.to_string()))]
}

/// Generates values for some of the variables, with their JSON text.
pub(super) fn values() -> impl Strategy<Value = (Vec<Option<Value>>, Given)> {
    prop::collection::vec(prop::option::weighted(0.7, value()), NAMES.len()).prop_map(|values| {
        let spelt = NAMES.iter().zip(&values).filter_map(|(name, value)| {
            value.as_ref().map(|(_, json)| (format!("$flow.key.{name}"), json.clone()))
        });
        let given = Given(spelt.collect());
        (values.into_iter().map(|value| value.map(|(value, _)| value)).collect(), given)
    })
}

/// Returns one of a string's many spellings. Each bit says whether a character is escaped.
fn spell(text: &str, mut spelling: u64) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        spelling = spelling.rotate_left(1);
        if spelling & 1 == 1 {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                json.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let plain = serde_json::to_string(&character).unwrap();
            json.push_str(&plain[1..plain.len() - 1]);
        }
    }
    json.push('"');
    json
}

/// Returns a value as text: the content of a string, or the JSON text of another value.
pub(super) fn plain(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A part of a text with variables.
#[derive(Clone, Debug)]
pub(super) enum TextPart {
    Text(String),
    /// An index of [`NAMES`].
    Variable(usize),
}

pub(super) fn parts(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<TextPart>> {
    let part = prop_oneof![
        proptest::sample::select(texts).prop_map(|text| TextPart::Text(text.to_owned())),
        (0..NAMES.len()).prop_map(TextPart::Variable),
    ];
    prop::collection::vec(part, 0..4)
}

/// Returns the parts as a template spells them. The first character of each text in use ends a variable's name.
pub(super) fn spelt(parts: &[TextPart]) -> String {
    let parts = parts.iter().map(|part| match part {
        TextPart::Text(text) => text.clone(),
        TextPart::Variable(index) => format!("$flow.key.{}", NAMES[*index]),
    });
    parts.collect()
}

/// Returns the text that the parts stand for.
pub(super) fn meant(parts: &[TextPart], values: &[Option<Value>]) -> String {
    let parts = parts.iter().map(|part| match part {
        TextPart::Text(text) => text.clone(),
        TextPart::Variable(index) => plain(values[*index].as_ref()),
    });
    parts.collect()
}

/// Returns whether the parts are exactly one variable, and it has no value.
pub(super) fn left_out(parts: &[TextPart], values: &[Option<Value>]) -> bool {
    matches!(parts, [TextPart::Variable(index)] if values[*index].is_none())
}
