//! The cells of facts, for events of this and other versions.

use super::{Fact, Found, Origin};
use crate::domain::{RecordKind, Timestamp};
use serde_json::json;
use std::borrow::Cow;

const AT: &str = "2026-01-31T12:00:00.000Z";

fn fact(origin: Origin, headers: &[(&'static str, &'static str)], value: &[u8]) -> Fact {
    let headers =
        headers.iter().map(|(name, value)| (Cow::Borrowed(*name), Some(value.as_bytes())));
    Fact::of(&Found {
        origin,
        partition: 3,
        offset: 17,
        at: Timestamp::from_ms(0),
        headers: headers.collect(),
        value,
        waits: false,
    })
}

fn event(value: &str) -> [String; 7] {
    let [at, what, phase, webhook, attempt, status, reason, more] =
        fact(Origin::Event, &[], value.as_bytes()).columns();
    assert_eq!(at, AT);
    [what, phase, webhook, attempt, status, reason, more]
}

#[test]
fn an_event_shows_each_member_in_its_column() {
    assert_eq!(
        event(
            r#"{"type":"delivered","phonon_uuid":"u","account_id":28,"at":"2026-01-31T12:00:00.000Z","webhook":"crm",
            "webhook_id":"msg_1","phase":2,"attempt":3,"attempts":3,"sms_id":"a","response_status_code":204}"#
        ),
        ["delivered", "2", "crm", "3", "204", "", "SMS a, msg_1"]
    );
    assert_eq!(
        event(
            r#"{"type":"dead_lettered","at":"2026-01-31T12:00:00.000Z","webhook":"crm","webhook_id":"msg_1","phase":0,
            "kind":"delivery","reason":"refused","attempts":2,"replays":0,
            "last_outcome":{"response_status_code":410,"response_error":"the endpoint answered 410"}}"#
        ),
        ["dead_lettered", "0", "crm", "2", "410", "refused", "msg_1, the endpoint answered 410"]
    );
    // `response_error` was a text in earlier versions, and is a Boolean now.
    for members in [
        r#""response_error":"no answer","error_reason":"TIMEOUT""#,
        r#""response_raw":null,"response_error":true,"error_detail":"no answer","error_reason":"TIMEOUT""#,
    ] {
        let at = r#""at":"2026-01-31T12:00:00.000Z""#;
        let failed = format!(r#"{{"type":"attempt_failed",{at},"attempt":1,{members}}}"#);
        assert_eq!(event(&failed)[5..], ["TIMEOUT", "no answer"]);
        let letter = format!(r#"{{"last_outcome":{{{members}}}}}"#);
        let letter = fact(Origin::DeadLetter, &[("ringback.kind", "delivery")], letter.as_bytes());
        assert_eq!(letter.columns()[7], "no answer, at 3:17");
    }
    assert_eq!(
        event(
            r#"{"type":"delivery_scheduled","at":"2026-01-31T12:00:00.000Z","due_at":null,"sms":["a","b"],
            "source":{"topic":"t","partition":1,"offset":9}}"#
        )[6],
        "SMS a, b, due after phase 1, from t 1:9"
    );
}

#[test]
fn an_event_of_a_later_version_shows_as_far_as_its_members_are_known() {
    let unknown = r#"{"type":"to_come","at":"2026-01-31T12:00:00.000Z","webhook":"crm","phase":2,"reason":"x","more":[1]}"#;
    assert_eq!(event(unknown), ["to_come", "2", "crm", "", "", "x", ""]);
    let view = fact(Origin::Event, &[], unknown.as_bytes()).view(false);
    assert_eq!(view.fact["more"], json!([1]));
    // Members whose JSON types differ from this version's.
    let other = r#"{"type":"delivered","at":"2026-01-31T12:00:00.000Z","webhook":"crm","phase":"two","attempt":[1]}"#;
    assert_eq!(event(other), ["delivered", "two", "crm", "", "", "", ""]);
}

#[test]
fn a_value_that_is_no_event_is_shown_as_it_is() {
    let noise = fact(Origin::Event, &[("a", "b")], b"noise");
    assert_eq!(noise.columns()[1], "");
    assert_eq!(noise.view(true).fact, json!({"headers": {"a": "b"}, "body": "noise"}));
    assert_eq!(noise.view(false).fact, json!({"headers": {"a": "b"}}));
}

#[test]
fn letters_and_forwarded_records_show_their_headers() {
    let headers = [
        ("ringback.kind", "record"),
        ("ringback.reason", "undecodable"),
        ("ringback.source.topic", "t"),
        ("ringback.source.partition", "1"),
        ("ringback.source.offset", "9"),
        ("ringback.detail", "noise"),
    ];
    let [_, what, .., reason, more] = fact(Origin::DeadLetter, &headers, b"noise").columns();
    assert_eq!([&*what, &*reason], ["dead_letter", "undecodable"]);
    assert_eq!(more, "noise, from t 1:9, at 3:17");
    let value =
        br#"{"webhook_id":"msg_1","webhook":"crm","phase":1,"attempts":2,"reason":"refused",
        "request":{"url":"https://a/b?token=c","body":"{}"},"last_outcome":{"response_raw":"no"}}"#;
    let letter = fact(Origin::DeadLetter, &[("ringback.kind", "delivery")], value);
    let [_, _, phase, webhook, attempt, ..] = letter.columns();
    assert_eq!([&*phase, &*webhook, &*attempt], ["1", "crm", "2"]);
    let view = letter.view(false).fact;
    assert_eq!(view["request"], json!({"url": "https://a/b?***"}));
    assert_eq!(view["last_outcome"], json!({}));
    assert_eq!(letter.bodies(), [("body", "{}".to_owned()), ("answer", "no".to_owned())]);
    let forwarded = fact(Origin::Inbox, &[("ringback.kind", "flow_complete")], b"{}").columns();
    assert_eq!([&*forwarded[1], &*forwarded[7]], ["forwarded", "flow_complete, at 3:17"]);
    let waiting = fact(Origin::Source(RecordKind::Flow), &[], b"{}").columns();
    assert_eq!(waiting[1], "flow_complete");
}
