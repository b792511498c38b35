//! Values that are derived from the record.

use crate::definition::catalogue::{nested, tokens};
use crate::definition::facts::{Facts, Kept, write_values};
use crate::definition::template::{Values, Variable};
use std::borrow::Cow;

fn value(record: &str, token: &str) -> Option<String> {
    let facts = Facts::new(Some(record.as_bytes()), &[], &[], nested());
    facts.get(&tokens()[token]).map(|json| json.into_owned())
}

#[track_caller]
fn check(record: &str, expected: &[(&str, Option<&str>)]) {
    for (token, wanted) in expected {
        assert_eq!(value(record, token).as_deref(), *wanted, "{token} of {record}");
    }
}

/// Returns a record whose customer's leg has these fields.
fn leg(fields: &str) -> String {
    format!(
        r#"{{"callDetails":[{{"calleeType":"AGENT","hangupCause":"17"}},{{"calleeType":"VISITOR",{fields}}}]}}"#
    )
}

const TIMES: &str = r#""startTime":"2023-10-19T11:54:21.952+05:30","connectTime":"2023-10-19T11:54:28.889+05:30",
    "endTime":"2023-10-19T11:54:44.851+05:30","hangupCause":"16""#;

#[test]
fn times_durations_and_the_result_come_from_the_leg() {
    check(
        &leg(TIMES),
        &[
            ("dialed_time", Some("22")),
            ("answered_time", Some("15")),
            ("dialstatus", Some("\"ANSWER\"")),
            ("call_start_time", Some("\"2023-10-19T06:24:21.952Z\"")),
            ("call_end_time", Some("\"2023-10-19T06:24:44.851Z\"")),
        ],
    );
    // The manual of the platform shows blanks in times.
    let spaced =
        r#""startTime":"2022-01-17T18: 07: 31.153+05: 30","endTime":"2022-01-17T12:37:44Z""#;
    check(
        &leg(spaced),
        &[
            ("dialed_time", Some("12")),
            ("answered_time", None),
            ("call_start_time", Some("\"2022-01-17T12:37:31.153Z\"")),
            ("call_end_time", Some("\"2022-01-17T12:37:44.000Z\"")),
        ],
    );
    let odd = r#""startTime":"soon","endTime":7,"connectTime":" ","hangupCause":"19""#;
    check(
        &leg(odd),
        &[
            ("dialed_time", None),
            ("dialstatus", Some("\"NOANSWER\"")),
            ("call_start_time", Some("\"soon\"")),
            ("call_end_time", Some("7")),
        ],
    );
    let backwards = r#""startTime":"2023-01-01T00:00:01Z","endTime":"2023-01-01T00:00:00Z""#;
    check(&leg(backwards), &[("dialed_time", None)]);
    // A call begin record has the fields itself.
    let bare = format!("{{{TIMES}}}");
    check(&bare, &[("dialed_time", Some("22")), ("dialstatus", Some("\"ANSWER\""))]);
    check("{}", &[("dialed_time", None), ("dialstatus", None), ("rec_audiourl", None)]);
}

#[test]
fn the_result_of_a_call_that_was_not_connected_follows_from_its_cause() {
    for (causes, word) in [
        ("16 26", "CANCEL"),
        ("17 21", "BUSY"),
        ("18 19 31", "NOANSWER"),
        ("34 38 41 42 44 47", "CONGESTION"),
        ("1 3 20 22 27 28 50 88 102 127", "CHANUNAVAIL"),
    ] {
        for cause in causes.split(' ') {
            for spelt in [cause.to_owned(), format!("\" {cause}\"")] {
                let record = format!(r#"{{"callDetails":[{{"hangupCause":{spelt}}}]}}"#);
                assert_eq!(value(&record, "dialstatus"), Some(format!("\"{word}\"")), "{cause}");
            }
        }
    }
    for cause in ["0", "128", "-1", "\"\"", "true"] {
        let record = format!(r#"{{"callDetails":[{{"hangupCause":{cause}}}]}}"#);
        assert_eq!(value(&record, "dialstatus"), None, "{cause}");
    }
}

#[test]
fn recordings_are_found_by_their_format() {
    let record = r#"{"recordingUrls":[{"recordedFileName":"x"},
        {"recordedFileName":"a.wav","recordedFilePublicPath":"https:\/\/r.example/a.WAV?k=.mp3"},
        {"recordedFileName":"b.mp3","recordedFilePublicPath":"https://r.example/b"},
        {"recordedFilePublicPath":"https://r.example/c.mp3"}]}"#;
    check(
        record,
        &[
            ("rec_audiourl", Some("\"https://r.example/b\"")),
            ("rec_audiowavurl", Some(r#""https:\/\/r.example/a.WAV?k=.mp3""#)),
        ],
    );
}

#[test]
fn flow_keys_come_before_derived_values() {
    let prompts = r#"[{"question":"one","response":"1"},{"question":"two"}]"#;
    for list in [prompts.to_owned(), serde_json::to_string(prompts).unwrap()] {
        let record =
            format!(r#"{{"keys":[{{"name":"$flow.key.prompt_responses","value":{list}}}]}}"#);
        let known = [
            ("question", Some("\"one\"")),
            ("question_link", None),
            ("response", Some("\"1\"")),
            ("prompt_responses", Some(prompts)),
        ];
        check(&record, &known);
    }
    let keys = [
        "dialed_time",
        "answered_time",
        "dialstatus",
        "rec_audiourl",
        "rec_audiowavurl",
        "question",
    ];
    let given = keys.map(|name| format!(r#"{{"name":"$flow.key.{name}","value":"given"}}"#));
    let record = leg(TIMES).replacen('{', &format!(r#"{{"keys":[{}],"#, given.join(",")), 1);
    check(&record, &keys.map(|name| (name, Some("\"given\""))));
    // The variable itself has no derived value.
    let record = leg(TIMES);
    let facts = Facts::new(Some(record.as_bytes()), &[], &[], nested());
    assert_eq!(facts.get(&"$flow.key.dialed_time".parse().unwrap()), None);
}

#[test]
fn derived_values_are_kept_beside_those_of_their_sources() {
    let record = leg(TIMES);
    let facts = Facts::new(Some(record.as_bytes()), &[], &[], nested());
    let (utc, dialed) = (tokens()["call_start_time"].clone(), tokens()["dialed_time"].clone());
    let all = [utc.plain(), utc.clone(), dialed.clone()];
    let constant = utc.plain().with_constant("1");
    let mut out = Vec::new();
    write_values(all.iter().chain([&constant]), &facts, &mut out);
    let kept = Kept::read(&out);
    for variable in &all {
        assert_eq!(kept.get(variable), facts.get(variable), "{variable:?}");
    }
    assert_eq!(kept.get(&dialed.plain()), None);
    assert_eq!(String::from_utf8(out.clone()).unwrap().matches("startTime").count(), 2);
    // Earlier versions kept only the source.
    let kept = Kept::read(
        br#"{"$call.startTime":"2023-10-19T11:54:21.952+05:30","$flow.key.dialed_time":5}"#,
    );
    let get = |variable: &Variable| kept.get(variable).map(|json| json.into_owned());
    assert_eq!(get(&utc).as_deref(), Some("\"2023-10-19T06:24:21.952Z\""));
    assert_eq!(get(&dialed).as_deref(), Some("5"));
}

#[test]
fn the_platforms_names_of_fields_are_understood_if_no_field_has_them() {
    let record = br#"{"callDetails":[
        {"calleeType":"AGENT","calleeNumber":"a-1","startTime":"t0"},
        {"calleeType":"VISITOR","calleeNumber":"v-1","didNumber":"d-1","startTime":"t1","connectTime":"t2","endTime":"t3","hangupCause":"16"}]}"#;
    let own = br#"{"callDetails":[{"calleeType":"VISITOR","cli":"own","state":{"a":1},"agent":{"dnis":{"number":7}},"calleeNumber":"v"}]}"#;
    let nested = std::collections::BTreeSet::new();
    let value = |record: &[u8], name: &str| {
        let facts = Facts::new(Some(record), &[], &[], &nested);
        let variable: Variable = name.parse().unwrap();
        facts.get(&variable).map(std::borrow::Cow::into_owned)
    };
    for (name, wanted) in [
        ("$call.cli", "\"v-1\""),
        ("$call.cli.number", "\"v-1\""),
        ("$call.agent.dnis.number", "\"a-1\""),
        ("$call.agent.cli", "\"a-1\""),
        ("$call.dnis", "\"d-1\""),
        ("$call.start", "\"t1\""),
        ("$call.answer", "\"t2\""),
        ("$call.end", "\"t3\""),
        ("$call.state", "\"ANSWER\""),
    ] {
        assert_eq!(value(record, name).as_deref(), Some(wanted), "{name}");
    }
    for (name, wanted) in
        [("$call.cli", "\"own\""), ("$call.state", "{\"a\":1}"), ("$call.agent.dnis.number", "7")]
    {
        assert_eq!(value(own, name).as_deref(), Some(wanted), "{name}");
    }
    for name in ["$call.other", "$call.cli.name", "$flow.key.cli", "$call.agent.dnis"] {
        assert_eq!(value(b"{}", name), None, "{name}");
    }
}

#[test]
fn parts_of_derived_values_are_parsed_once() {
    let record = br#"{"callDetails":[{"calleeType":"AGENT","calleeNumber":" a"},{"calleeType":"VISITOR"}],
        "recordingUrls":[{"recordedFilePublicPath":"a.wav"},{"recordedFilePublicPath":"a.mp3"}],
        "keys":[{"name":"$flow.key.prompt_responses","value":"[{\"question\": \"q\", \"response\":  [1 ]}]"}]}"#;
    let facts = Facts::new(Some(record), &[], &[], nested());
    let token = |name: &str| facts.get(&tokens()[name]).unwrap();
    let alias: Variable = "$call.agent.cli".parse().unwrap();
    assert_eq!(facts.get(&alias).unwrap(), "\" a\"");
    assert_eq!((&*token("question"), &*token("response")), ("\"q\"", "[1]"));
    assert_eq!((&*token("rec_audiourl"), &*token("rec_audiowavurl")), ("\"a.mp3\"", "\"a.wav\""));
    // A value that is borrowed comes from a part that is kept.
    let is_kept = |value: Cow<'_, str>| matches!(value, Cow::Borrowed(_));
    assert!(is_kept(facts.get(&alias).unwrap()));
    for name in ["question", "response", "rec_audiourl", "rec_audiowavurl"] {
        assert!(is_kept(token(name)), "{name}");
    }
}
