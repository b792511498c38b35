//! What of customers' data is shown: bodies only on demand, and phone numbers masked unless they are asked for.

use super::failure::Failure;
use super::fields::Fields;
use crate::inspect::dead_letters::WholeLetter;
use crate::telemetry::mask;
use serde_json::Value;
use std::borrow::Cow;

/// The members of a dead letter that hold its content.
const CONTENT: [&str; 4] = ["delivery", "value", "value_base64", "headers"];

/// What a request asks to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disclosure {
    /// The bodies of requests, answers and records.
    pub(super) bodies: bool,
    /// Phone numbers.
    pub(super) numbers: bool,
}

impl Disclosure {
    /// Takes the parameters `bodies` and `numbers`.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, Failure> {
        Ok(Self { bodies: fields.flag("bodies")?, numbers: fields.flag("numbers")? })
    }

    /// Returns `text` as it may be shown.
    pub(super) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.numbers { Cow::Borrowed(text) } else { mask::text(text) }
    }

    /// Returns `value` with every text as it may be shown.
    pub(super) fn json(&self, value: Value) -> Value {
        if self.numbers {
            return value;
        }
        match value {
            Value::String(text) => Value::String(mask::text(&text).into_owned()),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(members) => {
                let masked = members.into_iter().map(|(name, value)| {
                    let name = mask::text(&name).into_owned();
                    (name, self.json(value))
                });
                Value::Object(masked.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    /// Returns a dead letter as it may be shown.
    pub(super) fn letter(&self, letter: &WholeLetter) -> Value {
        let mut value = serde_json::to_value(letter).unwrap_or_default();
        if let Value::Object(members) = &mut value
            && !self.bodies
        {
            CONTENT.iter().for_each(|name| drop(members.remove(*name)));
        }
        self.json(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Disclosure;
    use serde_json::json;

    #[test]
    fn phone_numbers_are_masked_wherever_they_are_unless_they_are_asked_for() {
        let value =
            json!({"to": "+919876543210", "list": [{"919876543210": "id-1234567"}], "n": 7});
        let masked = Disclosure::default().json(value.clone());
        assert_eq!(
            masked,
            json!({"to": "+9198******10", "list": [{"9198******10": "id-1234567"}], "n": 7})
        );
        assert_eq!(Disclosure { bodies: false, numbers: true }.json(value.clone()), value);
    }
}
