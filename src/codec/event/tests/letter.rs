//! Dead letters of deliveries with their headers, and the SMS that deliveries name.

use super::{ACCOUNT, LATER, delivery, outcome, sms, source, unreachable, uuid, written};
use crate::codec::event::{
    RequestView, delivery_headers, record_headers, write_delivery_dead_letter,
};
use crate::domain::{DeadLetterReason, Delivery, Event, State};

#[test]
fn a_delivery_about_several_sms_names_them_all() {
    let several = Delivery { sms: [sms("a"), sms("b")].into(), ..unreachable() };
    let (delivery, reason) = (Box::new(several.clone()), DeadLetterReason::Refused);
    let ended = Event::DeadLettered { delivery: delivery.clone(), reason, at: LATER };
    let delivered = Event::Delivered { delivery, attempt: 3, outcome: outcome(), at: LATER };
    for event in [ended, delivered] {
        let text = written(&State::default(), &event).unwrap();
        assert!(text.contains(r#","sms":["a","b"],"#) && !text.contains("sms_id"), "{text}");
    }
    let mut letter = Vec::new();
    write_delivery_dead_letter(&mut letter, &uuid(), &several, reason, None);
    let (_, read) = crate::codec::letter::read_delivery(&letter, source()).unwrap();
    assert_eq!(read.sms, several.sms);
}

#[test]
fn a_dead_letter_contains_the_whole_delivery() {
    let view = RequestView {
        method: "POST",
        url: "https://crm.example.com/hooks/phonon",
        headers: &[("content-type", "application/json"), ("x-a", "1"), ("X-A", "2")],
    };
    let mut out = Vec::new();
    let reason = DeadLetterReason::Refused;
    write_delivery_dead_letter(&mut out, &uuid(), &unreachable(), reason, Some(&view));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"webhook_id":"msg_abababababababababababababababab","phonon_uuid":"u-1","account_id":28,"#,
            r#""webhook":"crm","phase":2,"reason":"refused","attempts":2,"replays":1,"#,
            r#""sms_id":"a","#,
            r#""scheduled_at":"2023-10-19T06:25:21.000Z","first_attempt_at":"2023-10-19T06:25:21.000Z","#,
            r#""last_attempt_at":"2023-10-19T06:25:26.250Z","request":{"method":"POST","#,
            r#""url":"https://crm.example.com/hooks/phonon","#,
            r#""headers":{"content-type":"application/json","x-a":"1, 2"},"#,
            r#""body":"{\"text\":\"फोनन\"}"},"last_outcome":{"response_status":"FAILED","#,
            r#""response_duration":5.000,"response_raw":null,"response_error":true,"#,
            r#""error_detail":"connection refused","error_reason":"UNREACHABLE"}}"#,
        )
    );
    let untried = Delivery { last_outcome: None, first_attempt_at: None, ..delivery() };
    let mut out = Vec::new();
    write_delivery_dead_letter(&mut out, &uuid(), &untried, reason, None);
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["first_attempt_at"], serde_json::Value::Null);
    assert_eq!(json["last_outcome"], serde_json::Value::Null);
    assert_eq!(json["request"], serde_json::json!({ "body": "{\"text\":\"फोनन\"}" }));
}

#[test]
fn the_headers_of_a_dead_letter_name_its_source_and_its_reason() {
    let headers = delivery_headers(&delivery(), DeadLetterReason::AgeExceeded);
    let shown: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        shown,
        [
            "ringback.kind=delivery",
            "ringback.webhook-id=msg_abababababababababababababababab",
            "ringback.reason=age_exceeded",
            "ringback.source.topic=sms-delivery-report",
            "ringback.source.partition=3",
            "ringback.source.offset=42",
            "ringback.source.timestamp=2023-10-19T06:25:21.000Z",
            "ringback.webhook=crm",
            "ringback.account=28",
            "ringback.phase=2",
            "ringback.attempts=2",
            "ringback.first-attempt-at=2023-10-19T06:25:21.000Z",
            "ringback.last-attempt-at=2023-10-19T06:25:26.250Z",
        ]
    );
    let headers = record_headers(&source(), DeadLetterReason::NoUuid, Some(ACCOUNT), "why");
    let shown: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        shown,
        [
            "ringback.kind=record",
            "ringback.reason=no_uuid",
            "ringback.source.topic=sms-delivery-report",
            "ringback.source.partition=3",
            "ringback.source.offset=42",
            "ringback.source.timestamp=2023-10-19T06:25:21.000Z",
            "ringback.account=28",
            "ringback.detail=why",
        ]
    );
    assert_eq!(record_headers(&source(), DeadLetterReason::Undecodable, None, "why").len(), 7);
}
