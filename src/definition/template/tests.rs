//! The behaviour of templates, by capability, and their properties.

mod form;
mod generated;
mod hostile;
mod json;
mod list;
mod multipart;
mod names;
mod prompts;
mod properties;
mod url;
mod variable;
mod xml;

use super::{Fault, Tokens, Values, Variable};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values as JSON text, by the variable's spelling.
#[derive(Clone, Debug, Default)]
struct Given(BTreeMap<String, String>);

impl Values for Given {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        self.0.get(&variable.to_string()).map(|json| Cow::Borrowed(json.as_str()))
    }
}

/// Returns values by name. A name without a `$` stands for the flow key of that name.
fn given(values: &[(&str, &str)]) -> Given {
    let spelt = |name: &str| {
        if name.starts_with('$') { name.to_owned() } else { format!("$flow.key.{name}") }
    };
    Given(values.iter().map(|(name, json)| (spelt(name), (*json).to_owned())).collect())
}

fn tokens() -> Tokens {
    [
        ("ani", "$call.callDetails.calleeNumber"),
        ("callid", "$call.phononUuid"),
        ("ad", "$flow.key.ad"),
        ("campaign_name", "$flow.key.campaign"),
    ]
    .map(|(token, variable)| (token.to_owned(), variable.parse().unwrap()))
    .into()
}

/// Returns whether the variable's name begins with `m`: these are mandatory.
fn mandatory(variable: &Variable) -> bool {
    variable.name().starts_with('m')
}

/// Returns `line:column problem; fix` of each fault.
fn described(faults: &[Fault]) -> Vec<String> {
    let described = faults.iter().map(|fault| {
        let Fault { line, column, problem, fix } = fault;
        format!("{line}:{column} {problem}; {fix}")
    });
    described.collect()
}

/// Asserts that there is a fault at each `line:column` of `expected` that contains the words after it, and no other
/// fault.
#[track_caller]
fn assert_faults<T: std::fmt::Debug>(parsed: Result<T, Vec<Fault>>, expected: &[&str]) {
    let faults = described(&parsed.expect_err("it should be refused"));
    let matches = faults.len() == expected.len()
        && faults.iter().zip(expected).all(|(fault, expected)| {
            let (place, words) = expected.split_once(' ').unwrap();
            fault.starts_with(&format!("{place} ")) && fault.contains(words)
        });
    assert!(matches, "{faults:#?}\nnot {expected:#?}");
}
