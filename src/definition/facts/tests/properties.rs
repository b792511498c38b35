//! For any input: no panic, every value is JSON and equals the value of a parsed tree, and kept values are read back
//! unchanged.

use super::super::{Facts, Kept, write_values};
use crate::definition::template::{Family, Values, Variable};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const NAMES: [&str; 9] =
    ["a", "b", "name", "value", "keys", "callDetails", "calleeType", "phononUuid", "cost"];

const SPELLINGS: [&str; 8] = [
    "$flow.key.a",
    "$flow.key.b",
    "$flow.syskey.a",
    "$flow.syskey.keys",
    "$user.key.a",
    "$call.a",
    "$sms.a",
    "VISITOR",
];

/// Parts of the text of a record. Some are broken.
const TOKENS: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\"a\"",
    "\"b\"",
    "\"name\"",
    "\"value\"",
    "\"keys\":[",
    "\"callDetails\":[",
    "\"calleeType\":\"VISITOR\",",
    "{\"name\":\"$flow.key.a\",\"value\":",
    "{\"a\":",
    "\"$flow.key.a\"",
    "\"n\\u0061me\"",
    "\"\\ud800\"",
    "\"\\",
    "\"",
    "null",
    "true",
    "0.10",
    "-",
    "1e999",
    "\"{\\\"a\\\": [ ]}\"",
    "\u{feff}",
    "😀",
];

fn variables() -> Vec<Variable> {
    let families =
        [Family::FlowKey, Family::FlowSyskey, Family::UserKey, Family::Call, Family::Sms];
    let names = NAMES.into_iter().chain(["a.b", "a.b.a", "cost.a", "none"]);
    names.flat_map(|name| families.map(|family| Variable::new(family, name))).flatten().collect()
}

/// Generates JSON with the names and strings that variables look for.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(&SPELLINGS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from("{\"a\": [1, \"\\u0041\"]}")),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = (select(&SPELLINGS), inner.clone())
            .prop_map(|(name, value)| serde_json::json!({ "name": name, "value": value }));
        let object = prop::collection::vec((select(&NAMES), inner.clone()), 0..6);
        prop_oneof![
            object.prop_map(|members| {
                let named = members.into_iter().map(|(name, value)| (name.to_owned(), value));
                named.collect::<Map<_, _>>().into()
            }),
            prop::collection::vec(prop_oneof![inner, key], 0..6).prop_map(Value::from),
        ]
    })
}

/// Generates a record with keys and legs of any shape.
fn record() -> impl Strategy<Value = Value> {
    let key = (select(&SPELLINGS), tree())
        .prop_map(|(name, value)| serde_json::json!({ "name": name, "value": value }));
    let leg = (prop::option::of(select(&["VISITOR", "AGENT"])), tree(), tree())
        .prop_map(|(callee, a, b)| serde_json::json!({ "calleeType": callee, "a": a, "b": b }));
    let keys = prop::collection::vec(prop_oneof![3 => key, 1 => tree()], 0..5);
    let legs = prop::collection::vec(prop_oneof![3 => leg, 1 => tree()], 0..4);
    (keys, legs, tree()).prop_map(
        |(keys, legs, a)| serde_json::json!({ "keys": keys, "callDetails": legs, "a": a, "phononUuid": "u" }),
    )
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let tokens = prop::collection::vec(select(&TOKENS), 0..24);
    let mutated = (record(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    prop_oneof![
        1 => any::<Vec<u8>>(),
        3 => tokens.prop_map(|tokens| tokens.concat().into_bytes()),
        3 => mutated.prop_map(|(record, at, byte, cut)| {
            let mut text = serde_json::to_vec_pretty(&record).unwrap();
            let at = at.index(text.len());
            text[at] = byte;
            text.truncate(if cut { at } else { text.len() });
            text
        }),
        2 => record().prop_map(|record| record.to_string().into_bytes()),
    ]
}

/// Returns the value of a variable by the rules, from parsed trees.
fn meant(record: &Value, report: &Value, variable: &Variable) -> Option<Value> {
    let walk = |from: &Value, path: &str| {
        let found = path.split('.').try_fold(from, |value, name| value.as_object()?.get(name))?;
        (!found.is_null()).then(|| found.clone())
    };
    let items = |name: &str| record[name].as_array().cloned().unwrap_or_default();
    let key = || {
        let named = |key: &Value| key["name"] == variable.to_string() && !key["value"].is_null();
        items("keys").into_iter().find(named).map(|key| key["value"].clone())
    };
    match variable.family() {
        Family::FlowKey | Family::UserKey => key(),
        Family::FlowSyskey => key().or_else(|| walk(record, variable.name())),
        Family::Call => {
            let legs: Vec<_> = items("callDetails").into_iter().filter(Value::is_object).collect();
            let visitor = legs.iter().find(|leg| leg["calleeType"] == "VISITOR");
            let places = visitor.into_iter().chain(legs.first()).chain([record]);
            places.filter_map(|place| walk(place, variable.name())).next()
        }
        Family::Sms => walk(report, variable.name()),
    }
}

fn run(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(run(1000))]

    #[test]
    fn every_value_is_compact_json_and_is_kept(
        (record, report, mapped) in (bytes(), bytes(), bytes()),
        is_nested in any::<bool>(),
    ) {
        let mapped = String::from_utf8_lossy(&mapped);
        let mapped = [("$flow.key.a", "1"), ("$flow.key.b", &*mapped)];
        let all = variables();
        let nested: BTreeSet<_> = all.iter().filter(|_| is_nested).cloned().collect();
        let reports = [Bytes::from(report)];
        let facts = Facts::new(Some(&record), &reports, &mapped, &nested);
        let mut out = Vec::new();
        write_values(&all, &facts, &mut out);
        prop_assert!(serde_json::from_slice::<IgnoredAny>(&out).is_ok());
        let kept = Kept::read(&out);
        for variable in &all {
            let value = facts.get(variable);
            prop_assert_eq!(&kept.get(variable), &value);
            let Some(value) = value else { continue };
            prop_assert!(serde_json::from_str::<IgnoredAny>(&value).is_ok(), "{} is {}", variable, value);
            prop_assert!(!value.contains(['\n', '\r', '\t']) && value != "null", "{} is {}", variable, value);
            prop_assert!(!value.starts_with(' ') && !value.ends_with(' '), "{} is {}", variable, value);
        }
    }

    #[test]
    fn values_equal_those_of_a_parsed_tree(
        (record, report) in (prop_oneof![3 => record().boxed(), 1 => tree().boxed()], tree()),
        pretty in any::<bool>(),
    ) {
        let spell = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
        let (text, reports) = (spell(&record).unwrap(), [Bytes::from(spell(&report).unwrap())]);
        let nested = BTreeSet::new();
        let facts = Facts::new(Some(&text), &reports, &[], &nested);
        for variable in variables() {
            let expected = meant(&record, &report, &variable).map(|value| value.to_string());
            prop_assert_eq!(facts.get(&variable).map(String::from), expected, "{}", variable);
        }
    }

    #[test]
    fn any_bytes_can_be_read_as_kept_values(kept in bytes()) {
        let kept = Kept::read(&kept);
        for variable in variables() {
            let value = kept.get(&variable);
            prop_assert!(value.is_none_or(|value| serde_json::from_str::<IgnoredAny>(&value).is_ok()));
        }
    }
}
