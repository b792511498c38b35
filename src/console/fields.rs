//! The parameters of a request, from its query, its form or its JSON object.

use super::failure::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// The parameters of a request. Each one is taken once; a parameter that nobody takes is unknown.
#[derive(Debug, Default)]
pub(super) struct Fields {
    left: BTreeMap<String, String>,
    taken: Vec<&'static str>,
}

impl Fields {
    /// Reads a form.
    pub(super) fn of_form(bytes: &[u8]) -> Result<Self, Failure> {
        let mut left = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            let name = name.into_owned();
            if left.contains_key(&name) {
                return Err(Failure::BadRequest(format!("the parameter {name} occurs twice")));
            }
            left.insert(name, value.into_owned());
        }
        Ok(Self { left, taken: Vec::new() })
    }

    /// Reads a JSON object whose values are texts, numbers or Booleans.
    pub(super) fn of_json(bytes: &[u8]) -> Result<Self, Failure> {
        let bad = Failure::BadRequest;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let object: BTreeMap<String, Value> = serde_json::from_slice(bytes)
            .map_err(|error| bad(format!("the body is no JSON object: {error}")))?;
        let mut left = BTreeMap::new();
        for (name, value) in object {
            match value {
                Value::Null => {}
                Value::String(text) => drop(left.insert(name, text)),
                Value::Number(number) => drop(left.insert(name, number.to_string())),
                Value::Bool(flag) => drop(left.insert(name, flag.to_string())),
                Value::Array(_) | Value::Object(_) => {
                    return Err(bad(format!("{name}: it is no text, number or Boolean")));
                }
            }
        }
        Ok(Self { left, taken: Vec::new() })
    }

    /// Takes a text. An empty one counts as absent, because a form sends all of its fields.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.taken.push(name);
        self.left.remove(name).filter(|text| !text.is_empty())
    }

    /// Takes a value that is parsed from its text.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Failure> {
        let parsed = self.text(name).map(|text| parse(text.trim()));
        parsed.transpose().map_err(|error| Failure::BadRequest(format!("{name}: {error}")))
    }

    /// Takes a number.
    pub(super) fn number<N: FromStr>(&mut self, name: &'static str) -> Result<Option<N>, Failure> {
        let problem = "it is no number of the allowed range";
        self.parsed(name, |text| text.parse().map_err(|_| problem))
    }

    /// Takes a Boolean. An absent one is false.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Failure> {
        let flag = self.parsed(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("it is neither true nor false"),
        })?;
        Ok(flag.unwrap_or(false))
    }

    /// Checks that no parameter is left.
    pub(super) fn end(self) -> Result<(), Failure> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let known = self.taken.iter().filter(|name| **name != super::visitor::CSRF_FIELD);
        let known = known.copied().collect::<Vec<_>>().join(", ");
        Err(Failure::BadRequest(match known.as_str() {
            "" => format!("the parameter {unknown} is unknown; there are none"),
            known => format!("the parameter {unknown} is unknown; the parameters are {known}"),
        }))
    }
}
