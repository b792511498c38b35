//! Answers in the platform's predefined format, `{"keys": [{"name": …, "value": …}, …]}`, which set variables by name.

use super::node::{Node, compact};
use crate::definition::template::{Family, Variable};
use crate::json::walk;

/// The most variables of one answer.
const VARIABLES_MAX: usize = 256;

/// Returns the variables that `answer` names, with their values as JSON text. A name without a family is that of a flow
/// key. Entries without a value, and variables that no answer can set, are left out. The last value of a name counts.
#[must_use]
pub fn named(answer: &[u8]) -> Vec<(String, String)> {
    let Some(root) = Node::read(answer) else { return Vec::new() };
    let keys = root.get("keys").map(Node::items).unwrap_or_default();
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in keys.iter().take(VARIABLES_MAX) {
        let name = entry.get("name").and_then(|name| walk::decode(name.text()));
        let Some(key) = name.and_then(|name| key(&name)) else { continue };
        let Some(value) = entry.get("value").and_then(Node::present) else { continue };
        found.retain(|(known, _)| *known != key);
        found.push((key, compact(value).into_owned()));
    }
    found
}

fn key(name: &str) -> Option<String> {
    let variable = if name.starts_with('$') {
        // In braces it may be spelt as in a template.
        Variable::of_key(name).or_else(|| name.parse().ok())?
    } else {
        Variable::new(Family::FlowKey, name)?
    };
    // The outcome of the webhook itself takes these names when it ends.
    (variable.can_be_saved() && !variable.is_outcome()).then(|| variable.key())
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn variables_are_set_by_name_and_other_answers_set_none() {
        let answer = br#" {"keys": [{"name": "$flow.key.obdReqID", "value": "r-1"},
            {"name": "$user.key.tier", "value": {"a": [1, 2]}}, {"name": "plain", "value": 0.10},
            {"name": "$flow.key.customer-name", "value": true}, {"name": "$call.cdrId", "value": "no"},
            {"name": "$flow.key.response_status", "value": "no"}, {"name": "error_reason", "value": "no"},
            {"name": "$flow.key.none", "value": null}, {"name": 5, "value": 5}, 7,
            {"name": "$flow.key.obdReqID", "value": "r-2"}]}"#;
        let found = named(answer);
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(
            found,
            [
                ("$user.key.tier", r#"{"a":[1,2]}"#),
                ("$flow.key.plain", "0.10"),
                ("$flow.key.customer-name", "true"),
                ("$flow.key.obdReqID", r#""r-2""#),
            ]
        );
        for other in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":"x"}"#, "ok", "{\"keys\":["] {
            assert!(named(other.as_bytes()).is_empty(), "{other}");
        }
    }
}
