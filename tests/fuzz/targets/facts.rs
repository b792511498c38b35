//! The sources of variables: records of a gateway, and values that were kept.

use super::{FLOW, JSON_WORDS, REPORT, seen, split};
use crate::target::{Seen, Target};
use bytes::Bytes;
use ringback::definition::catalogue;
use ringback::definition::facts::{Facts, Kept, write_values};
use ringback::definition::template::{Values, Variable};
use serde_json::value::RawValue;

pub(super) const FACTS: Target = Target {
    name: "facts",
    run: facts,
    seeds: || vec![[FLOW.as_bytes(), b"\n\n", REPORT.as_bytes()].concat()],
    words: JSON_WORDS,
    bytes_per_byte: 256,
};

pub(super) const KEPT: Target = Target {
    name: "kept-values",
    run: kept,
    seeds: || {
        vec![br#"{"$flow.key.type":"template","$sms.id":0.10,"$call.a.b":{"a":[1]}}"#.to_vec()]
    },
    words: JSON_WORDS,
    bytes_per_byte: 256,
};

fn variables() -> Vec<Variable> {
    let names = [
        "$flow.key.type",
        "$flow.key.tags",
        "$user.key.a",
        "$flow.syskey.phononUuid",
        "$flow.syskey.callDetails",
        "$call.calleeNumber",
        "$call.a.b",
        "$sms.cost.currency.currencyName",
        "$sms.id",
        "$flow.key.response_status",
        "$flow.key.response_raw",
    ];
    let plain = names.map(|name| name.parse().expect("a variable"));
    plain.into_iter().chain(catalogue::tokens().values().cloned()).collect()
}

/// Looks all variables up. Panics unless each value is JSON and stays the same when it is kept and read again.
fn found(values: &dyn Values) -> Vec<Option<String>> {
    let all = variables();
    let found: Vec<Option<String>> =
        all.iter().map(|it| values.get(it).map(|json| json.into_owned())).collect();
    for json in found.iter().flatten() {
        serde_json::from_str::<&RawValue>(json).expect("the value is JSON");
    }
    let mut out = Vec::new();
    write_values(&all, values, &mut out);
    let again = Kept::read(&out);
    for (variable, json) in all.iter().zip(&found) {
        assert_eq!(again.get(variable).as_deref(), json.as_deref(), "{variable:?}");
    }
    found
}

fn facts(input: &[u8]) -> Seen {
    let (record, report) = split(input);
    let reports = [Bytes::copy_from_slice(report)];
    let without = found(&Facts::new(Some(record), &reports, &[], catalogue::nested()));
    // With the outcome of another webhook, the record gives no other part of an outcome.
    let outcome = [("$flow.key.response_status", "\"SUCCESS\"")];
    let facts = Facts::new(Some(record), &reports, &outcome, catalogue::nested());
    let with = found(&facts);
    let raw = "$flow.key.response_raw".parse().expect("a variable");
    assert_eq!(facts.get(&raw), None);
    seen((without, with))
}

fn kept(input: &[u8]) -> Seen {
    seen(found(&Kept::read(input)))
}
