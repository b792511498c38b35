//! The value that each variable finds. No input causes a panic.

mod derived;
mod properties;

use super::record::Record;
use super::{Facts, Kept, write_values};
use crate::definition::template::{BodyTemplate, Language, Tokens, Values, Variable};
use bytes::Bytes;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;

const FLOW: &str = include_str!("../../../tests/ringback/samples/flow-complete.json");
const REPORT: &str = include_str!("../../../tests/ringback/samples/sms-delivery-report.json");

fn variable(spelt: &str) -> Variable {
    spelt.parse().unwrap()
}

fn got(values: &dyn Values, spelt: &str) -> Option<String> {
    values.get(&variable(spelt)).map(String::from)
}

/// Checks the value of each variable in a record and mapped values. An empty value means none.
#[track_caller]
fn check(record: &str, mapped: &[(&str, &str)], expected: &[(&str, &str)]) {
    let nested = BTreeSet::new();
    let facts = Facts::new(Some(record.as_bytes()), &[], mapped, &nested);
    for (spelt, value) in expected {
        assert_eq!(got(&facts, spelt).unwrap_or_default(), *value, "{spelt} of {record}");
    }
}

#[test]
fn each_variable_finds_its_field_in_the_samples() {
    let (reports, nested) = ([Bytes::from_static(REPORT.as_bytes())], BTreeSet::new());
    let facts = Facts::new(Some(FLOW.as_bytes()), &reports, &[], &nested);
    for (spelt, value) in [
        ("$flow.key.type", "\"template\""),
        ("$flow.key.isTTSUsed", "true"),
        ("$flow.syskey.phononUuid", "\"bd706f90-aa14-47ea-9844-3d1e1123f4ee\""),
        ("$flow.syskey.accountID", "28"),
        ("$call.calleeNumber", "\"919879072567\""),
        ("$call.duration", "\"15962\""),
        ("$call.incoming", "false"),
        ("$call.completedAt", "\"2023-10-19T11:55:21.000+05:30\""),
        ("$call.sms", "[\"290a4138-5729-475f-95e1-9ff30f851d67\"]"),
        ("$sms.deliveryStatus", "\"DELIVERED\""),
        ("$sms.cost.amount", "0.75"),
        ("$sms.cost.currency.currencyName", "\"INR\""),
        ("$sms.cost.currency", r#"{"currencyID":1,"currencyName":"INR"}"#),
    ] {
        assert_eq!(got(&facts, spelt).unwrap(), value, "{spelt}");
    }
    for spelt in ["$flow.key.none", "$user.key.type", "$call.none", "$sms.cost.none", "$sms.id.x"] {
        assert_eq!(got(&facts, spelt), None, "{spelt}");
    }
}

#[test]
fn the_last_mapped_value_replaces_the_first_key() {
    let record = r#"{"keys":[{"name":"$flow.key.a","value":1},{"name":"$flow.key.a","value":2},
        {"name":"$user.key.a","value":3},{"name":"$flow.key.b","value":4}],"c":5}"#;
    let mapped = [("$flow.key.a", "6"), ("$flow.key.a", "7"), ("$user.key.c", " \"8\" ")];
    let unmapped = [("$flow.key.a", "1"), ("$user.key.a", "3"), ("$user.key.c", "")];
    check(record, &[], &unmapped);
    check(
        record,
        &mapped,
        &[
            ("$flow.key.a", "7"),
            ("$user.key.a", "3"),
            ("$flow.key.b", "4"),
            ("$user.key.c", "\"8\""),
        ],
    );
    // Mapped text without a value is ignored.
    check(
        record,
        &[("$flow.key.a", "6"), ("$flow.key.a", "null"), ("$flow.key.a", "{")],
        &[("$flow.key.a", "6")],
    );
    check(record, &[("$flow.key.a", "null")], &[("$flow.key.a", "1")]);
}

#[test]
fn the_outcome_of_another_webhook_replaces_the_one_in_the_record_as_a_whole() {
    let record = r#"{"keys":[{"name":"$flow.key.response_status","value":"FAILED"},
        {"name":"$flow.key.error_reason","value":"TIMEOUT"},{"name":"$flow.key.a","value":1}]}"#;
    let own =
        [("$flow.key.response_status", "\"FAILED\""), ("$flow.key.error_reason", "\"TIMEOUT\"")];
    check(record, &[], &own);
    let outcome = [("$flow.key.response_status", "\"SUCCESS\"")];
    let after = [
        ("$flow.key.response_status", "\"SUCCESS\""),
        // A success has no reason, and the record's reason is that of another webhook.
        ("$flow.key.error_reason", ""),
        ("$flow.key.a", "1"),
    ];
    check(record, &outcome, &after);
}

#[test]
fn mapped_values_need_no_record() {
    let (mapped, nested) =
        ([("$flow.key.a", "1"), ("$call.b", "2"), ("$sms.c", "3")], BTreeSet::new());
    for record in [None, Some(&b"{"[..]), Some(b"null"), Some(b"[]"), Some(b"\xff"), Some(b"")] {
        let facts = Facts::new(record, &[], &mapped, &nested);
        assert_eq!(got(&facts, "$flow.key.a").unwrap(), "1");
        // Answers give values to keys, not to fields of the gateways' records.
        for spelt in ["$flow.key.b", "$flow.syskey.b", "$call.b", "$sms.c"] {
            assert_eq!(got(&facts, spelt), None, "{spelt}");
        }
    }
}

#[test]
fn a_system_key_is_mapped_or_a_key_or_a_field_of_the_record() {
    let record =
        r#"{"a":1,"b":{"c":2},"d":null,"keys":[{"name":"$flow.syskey.e","value":3}],"e":4,"f":5}"#;
    let expected = [("a", "1"), ("b", r#"{"c":2}"#), ("d", ""), ("e", "3"), ("f", "6"), ("g", "")];
    let expected = expected.map(|(name, value)| (format!("$flow.syskey.{name}"), value));
    let expected: Vec<_> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    check(record, &[("$flow.syskey.f", "6")], &expected);
}

#[test]
fn keys_of_another_shape_are_ignored() {
    for keys in [
        r#"[null,1,"x",[],{},{"name":"$flow.key.a"},{"value":1},{"name":7,"value":1},{"name":"$flow.key.a","value":null},
            {"name":["$flow.key.a"],"value":1},{"name":"\ud800","value":1},{"value":"it","name":"$flow.key.a"}]"#,
        r#"[{"n\u0061me":"\u0024flow.key.a","valu\u0065":"it"}]"#,
        r#"[{"name":"$flow.key.b","name":"$flow.key.a","value":1,"value":"it"}]"#,
    ] {
        check(&format!("{{\"keys\":{keys}}}"), &[], &[("$flow.key.a", "\"it\"")]);
    }
    for keys in
        ["null", "1", "{}", "\"$flow.key.a\"", r#"{"name":"$flow.key.a","value":1}"#, "[[]]"]
    {
        check(&format!("{{\"keys\":{keys}}}"), &[], &[("$flow.key.a", "")]);
    }
}

#[test]
fn call_fields_come_from_the_customers_leg_then_the_first_leg_then_the_record() {
    let record = r#"{"callDetails":[null,{"calleeType":"AGENT","a":1,"b":1,"c":{"d":1}},
        {"calleeType":"VISIT\u004fR","a":2,"b":null,"c":{"e":{"f":2}}},{"calleeType":"VISITOR","g":3}],"a":4,"h":4,"g":4}"#;
    check(
        record,
        &[],
        &[
            ("$call.a", "2"),
            ("$call.b", "1"),
            ("$call.c.d", "1"),
            ("$call.c.e.f", "2"),
            ("$call.c.e", r#"{"f":2}"#),
            ("$call.g", "4"),
            ("$call.h", "4"),
            ("$call.H", ""),
            ("$call.a.a", ""),
            ("$call.calleeType", r#""VISIT\u004fR""#),
        ],
    );
    check(r#"{"callDetails":[{"a":1},{"a":2}],"a":3}"#, &[], &[("$call.a", "1")]);
    check(r#"{"callDetails":[{"calleeType":["VISITOR"],"a":1}]}"#, &[], &[("$call.a", "1")]);
    for legs in ["[]", "{}", "null", "7", r#""x""#, "[1,[]]", r#"[{}]"#] {
        check(&format!("{{\"callDetails\":{legs},\"a\":3}}"), &[], &[("$call.a", "3")]);
    }
    // The record of a call that begins has no legs, or one.
    check(r#"{"calleeNumber":"1","phononUuid":"u"}"#, &[], &[("$call.calleeNumber", "\"1\"")]);
}

#[test]
fn the_last_of_several_members_counts_even_when_it_is_null() {
    check(r#"{"a":{"b":1},"a":{"c":2}}"#, &[], &[("$call.a.c", "2"), ("$call.a.b", "")]);
    check(r#"{"a":1,"\u0061":2}"#, &[], &[("$call.a", "2"), ("$flow.syskey.a", "2")]);
    check(r#"{"a":1,"a":null}"#, &[], &[("$call.a", ""), ("$flow.syskey.a", "")]);
    check(
        r#"{"keys":[1],"keys":[{"name":"$flow.key.a","value":2}]}"#,
        &[],
        &[("$flow.key.a", "2")],
    );
}

#[test]
fn only_the_first_report_is_read() {
    let nested = BTreeSet::new();
    let reports = [Bytes::from_static(br#"{"a":1}"#), Bytes::from_static(br#"{"a":2,"b":2}"#)];
    let facts = Facts::new(None, &reports, &[], &nested);
    assert_eq!((got(&facts, "$sms.a"), got(&facts, "$sms.b")), (Some("1".to_owned()), None));
    let broken = [Bytes::from_static(b"{\"a\":"), reports[0].clone()];
    assert_eq!(got(&Facts::new(None, &broken, &[], &nested), "$sms.a"), None);
}

#[test]
fn values_keep_their_spelling_without_white_space_between_tokens() {
    let spelt =
        r#"{ "n" : [0.10, 1234567890123456789, -1E+02 ], "s":"\u0041\/\" \\ \ud800",	"e" : {} }"#;
    let compact = r#"{"n":[0.10,1234567890123456789,-1E+02],"s":"\u0041\/\" \\ \ud800","e":{}}"#;
    let record = format!("\u{feff} {{\"a\": {spelt} , \"t\" :\"\\t \\u0020 \"}}\n");
    let expected = [
        ("$call.a", compact),
        ("$call.t", "\"\\t \\u0020 \""),
        ("$call.a.s", r#""\u0041\/\" \\ \ud800""#),
    ];
    check(&record, &[("$flow.key.m", spelt)], &expected);
    check("{}", &[("$flow.key.m", spelt)], &[("$flow.key.m", compact)]);
}

#[test]
fn the_object_or_array_in_a_string_is_the_value_of_a_nested_variable() {
    let record = r#"{"keys":[
        {"name":"$flow.key.object","value":" {\"a\" : \"\\u0041 \\\" b\", \"n\": 0.10} "},
        {"name":"$flow.key.array","value":"[1, [2]]"},
        {"name":"$flow.key.already","value":{"a": 1}},
        {"name":"$flow.key.text","value":"{no object}"},
        {"name":"$flow.key.number","value":"7"},
        {"name":"$flow.key.string","value":"\"{}\""},
        {"name":"$flow.key.half","value":"{\"a\":\"\ud800\"}"},
        {"name":"$flow.key.other","value":"{}"}]}"#;
    let expected = [
        ("object", r#"{"a":"\u0041 \" b","n":0.10}"#),
        ("array", "[1,[2]]"),
        ("already", "{\"a\":1}"),
        ("text", "\"{no object}\""),
        ("number", "\"7\""),
        ("string", r#""\"{}\"""#),
        ("half", r#""{\"a\":\"\ud800\"}""#),
        ("mapped", "[]"),
    ];
    let name = |(name, _): &(&str, &str)| variable(&format!("$flow.key.{name}"));
    let nested: BTreeSet<_> = expected.iter().map(name).collect();
    let mapped = [("$flow.key.mapped", "\"[ ]\"")];
    let facts = Facts::new(Some(record.as_bytes()), &[], &mapped, &nested);
    for pair in &expected {
        assert_eq!(facts.get(&name(pair)).unwrap(), pair.1, "{}", pair.0);
    }
    assert_eq!(got(&facts, "$flow.key.other").unwrap(), "\"{}\"");
}

#[test]
fn text_that_is_nested_too_deep_gives_no_value() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let record = |levels| format!("{{\"a\":{},\"b\":1}}", deep(levels));
    check(&record(127), &[], &[("$call.a", &deep(127)), ("$call.b", "1")]);
    check(&record(128), &[], &[("$call.a", ""), ("$call.b", "")]);
    check(
        &record(200_000),
        &[("$flow.key.m", &deep(129))],
        &[("$call.b", ""), ("$flow.key.m", "")],
    );
    let nested = BTreeSet::from([variable("$flow.key.m")]);
    let string = format!("\"{}\"", deep(129));
    let mapped = [("$flow.key.m", string.as_str())];
    assert_eq!(got(&Facts::new(None, &[], &mapped, &nested), "$flow.key.m").unwrap(), string);
}

#[test]
fn each_part_is_parsed_once_and_only_if_it_is_needed() {
    let (reports, nested) = ([Bytes::from_static(REPORT.as_bytes())], BTreeSet::new());
    let facts = Facts::new(Some(FLOW.as_bytes()), &reports, &[("$flow.key.m", "1")], &nested);
    let read = || {
        let Record { record, keys, legs, .. } = &*facts;
        let report = facts.report.get().is_some();
        [record.get().is_some(), keys.get().is_some(), legs.get().is_some(), report]
    };
    got(&facts, "$flow.key.m");
    assert_eq!(read(), [false; 4]);
    got(&facts, "$sms.id");
    assert_eq!(read(), [false, false, false, true]);
    got(&facts, "$flow.key.type");
    assert_eq!(read(), [true, true, false, true]);
    got(&facts, "$call.duration");
    assert_eq!(read(), [true; 4]);
    let leg: *const _ = facts.legs();
    got(&facts, "$call.duration");
    assert!(std::ptr::eq(leg, facts.legs()));
}

#[test]
fn facts_with_other_reports_share_all_other_parts() {
    let nested = BTreeSet::new();
    let mapped = [("$flow.key.m", "1")];
    let facts = Facts::new(Some(FLOW.as_bytes()), &[], &mapped, &nested);
    let reports = [Bytes::from_static(br#"{"id":"a"}"#), Bytes::from_static(br#"{"id":"b"}"#)];
    let first = facts.with_reports(&reports[..1]);
    let second = first.with_reports(&reports[1..]);
    assert_eq!(got(&first, "$sms.id").as_deref(), Some("\"a\""));
    assert_eq!(got(&second, "$sms.id").as_deref(), Some("\"b\""));
    assert_eq!(got(&facts, "$sms.id"), None);
    assert_eq!(got(&second, "$flow.key.m").as_deref(), Some("1"));
    assert!(facts.record.get().is_none());
    got(&second, "$call.duration");
    assert!(facts.record.get().is_some() && facts.legs.get().is_some());
    assert!(std::ptr::eq::<Record<'_>>(&*facts, &*second));
}

#[test]
fn kept_values_render_the_same_text_as_the_facts() {
    let (reports, nested) =
        ([Bytes::from_static(REPORT.as_bytes())], BTreeSet::from([variable("$flow.key.tags")]));
    let mapped = [("$flow.key.tags", r#""{\"Region\": \"south\"}""#)];
    let facts = Facts::new(Some(FLOW.as_bytes()), &reports, &mapped, &nested);
    let text = r#"{"t":$flow.key.tags,"s":"is $sms.cost, $flow.key.none","c":"$call.cdrId","x":"$call.none"}"#;
    let json = BodyTemplate::parse(Language::Json, text, &Tokens::new(), &|_| false).unwrap();
    let xml = BodyTemplate::parse(
        Language::Xml,
        "<r a='$call.duration'>$sms.text</r>",
        &Tokens::new(),
        &|_| true,
    )
    .unwrap();
    let render = |values: &dyn Values| {
        let mut out = Vec::new();
        json.render(values, &mut out).unwrap();
        xml.render(values, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let first = render(&facts);
    assert!(
        first.starts_with(r#"{"t":{"Region":"south"},"s":"is {\"currency\":{\"currencyID\":1,"#),
        "{first}"
    );
    let mut kept = Vec::new();
    let uses = json.variables().iter().chain(xml.variables());
    write_values(uses.map(|found| &found.variable), &facts, &mut kept);
    assert_eq!(render(&Kept::read(&kept)), first);
}

#[test]
fn each_value_is_kept_once_by_its_spelling() {
    let nested = BTreeSet::new();
    let facts = Facts::new(
        Some(br#"{"a":{"b": [1]},"c":"\u0041"}"#),
        &[],
        &[("$user.key.c", "0.10")],
        &nested,
    );
    let variables = ["$call.c", "$call.none", "$user.key.c", "$call.a.b", "$call.c"].map(variable);
    let mut out = b"before".to_vec();
    write_values(&variables, &facts, &mut out);
    let json = r#"before{"$call.c":"\u0041","$user.key.c":0.10,"$call.a.b":[1]}"#;
    assert_eq!(String::from_utf8(out).unwrap(), json);
    let mut out = Vec::new();
    write_values(&[], &facts, &mut out);
    assert_eq!(out, b"{}");
}

/// Counts the look-ups.
struct Counted(Cell<usize>);

impl Values for Counted {
    fn get(&self, _: &Variable) -> Option<Cow<'_, str>> {
        self.0.set(self.0.get() + 1);
        Some("1".into())
    }
}

#[test]
fn a_repeated_variable_is_looked_up_once_and_a_constant_never() {
    let constant = variable("$flow.key.c").with_constant("2");
    let variables =
        [variable("$call.a"), variable("$call.b"), constant.clone(), variable("$call.a"), constant];
    let (counted, mut out) = (Counted(Cell::new(0)), Vec::new());
    write_values(&variables, &counted, &mut out);
    assert_eq!((&*out, counted.0.get()), (&br#"{"$call.a":1,"$call.b":1}"#[..], 2));
}

#[test]
fn kept_values_are_read_and_broken_text_gives_none() {
    let kept = Kept::read(
        br#" { "$call.a" : [ 1 ] , "\u0024sms.b":"x", "$call.a":{ }, "$call.n":null, "other":1 } "#,
    );
    assert_eq!(got(&kept, "$call.a").unwrap(), "{}");
    assert_eq!(got(&kept, "$sms.b").unwrap(), "\"x\"");
    assert_eq!((got(&kept, "$call.n"), got(&kept, "$call.other")), (None, None));
    for json in [
        &b""[..],
        b"null",
        b"[]",
        b"7",
        b"{\"$call.a\":1",
        b"{\"$call.a\":1}}",
        b"{\"$call.a\":\"\xff\"}",
    ] {
        assert_eq!(got(&Kept::read(json), "$call.a"), None, "{json:?}");
    }
}

#[test]
fn a_value_of_the_greatest_depth_can_be_kept() {
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    let (mapped, nested) = ([("$flow.key.a", deep.as_str())], BTreeSet::new());
    let mut out = Vec::new();
    write_values(&[variable("$flow.key.a")], &Facts::new(None, &[], &mapped, &nested), &mut out);
    assert_eq!(got(&Kept::read(&out), "$flow.key.a").unwrap(), deep);
}
