//! Each event and dead letter, byte for byte, because consumers depend on them.

mod letter;
mod schema;

use super::{
    EventContext, Fact, Notice, read_notice, read_notice_of, rfc3339, write_event,
    write_record_dead_lettered,
};
use crate::domain::{
    AccountId, Collected, Collection, Correlation, DeadLetterReason, Delivery, DeliveryId, Due,
    ErrorReason, Event, Flow, FlowId, FlowIdentity, Headers, IgnoreReason, IgnoredRecord, Outcome,
    Phase, PhononUuid, RawRecord, RecordKind, SmsId, Source, State, StatusClass, Timestamp,
    Verdict, WebhookName,
};
use bytes::Bytes;

const AT: Timestamp = Timestamp::from_ms(1_697_696_721_000);
const LATER: Timestamp = Timestamp::from_ms(1_697_696_726_250);
const ACCOUNT: AccountId = AccountId(28);

fn uuid() -> PhononUuid {
    PhononUuid::new("u-1").unwrap()
}

fn sms(id: &str) -> SmsId {
    SmsId::new(id).unwrap()
}

fn source() -> Source {
    Source {
        topic: "sms-delivery-report".into(),
        partition: 3,
        offset: 42,
        timestamp: AT,
        index: None,
        trace: None,
    }
}

fn identity() -> FlowIdentity {
    FlowIdentity { account: ACCOUNT, flow: Some(FlowId(200)), content: 1 }
}

fn flow() -> Flow {
    Flow {
        enabled: true,
        record: None,
        spelling: None,
        identity: identity(),
        accepted_at: AT,
        source: source(),
        webhook: WebhookName::new("crm"),
        keys: None,
        sms: Some(vec![sms("a"), sms("b")]),
        reports: Vec::new(),
        collection: Collection::NotWanted,
        gathers_until: None,
    }
}

fn outcome() -> Outcome {
    Outcome {
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        verdict: Verdict::Retry,
        status: Some(503),
        duration_ms: 1042,
        response: Bytes::from_static(b"busy \"now\" \xff"),
        response_truncated: false,
        reason: Some(ErrorReason::Refused),
        error: Some("the endpoint answered 503".into()),
    }
}

fn delivery() -> Delivery {
    Delivery {
        rendering: crate::domain::Rendering::Fixed,
        sms: [SmsId::new("a").unwrap()].into(),
        id: DeliveryId::from_bytes([0xab; 16]),
        phase: Phase::Two,
        account: ACCOUNT,
        webhook: WebhookName::new("crm").unwrap(),
        body: Bytes::from_static("{\"text\":\"फोनन\"}".as_bytes()),
        source: source(),
        scheduled_at: AT,
        due: Due::Waiting,
        attempts: 2,
        replays: 1,
        first_attempt_at: Some(AT),
        last_attempt_at: Some(LATER),
        last_outcome: Some(outcome().into()),
    }
}

/// Returns the JSON of `event`, after a check by the schema.
fn written(state: &State, event: &Event) -> Option<String> {
    let uuid = uuid();
    let context = EventContext { uuid: &uuid, account: None, at: AT };
    let mut out = b"before".to_vec();
    let published = write_event(&mut out, &context, state, event);
    let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
    assert_eq!(published, !text.is_empty());
    if published {
        schema::check(text.as_bytes());
    }
    published.then_some(text)
}

fn check(event: &Event, expected: &str) {
    check_in(&State::default(), event, expected);
}

fn check_in(state: &State, event: &Event, expected: &str) {
    // The expected text is wrapped for reading.
    let expected: String = expected.lines().map(str::trim_start).collect();
    assert_eq!(written(state, event).unwrap(), expected);
}

#[test]
fn accepted_records_are_published() {
    check(
        &Event::FlowAccepted(Box::new(flow())),
        r#"{"type":"flow_accepted","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "webhook":"crm","flow_id":200,"sms":["a","b"],
        "source":{"topic":"sms-delivery-report","partition":3,"offset":42}}"#,
    );
    let report = Collected {
        status: None,
        account: ACCOUNT,
        sms: sms("a"),
        class: StatusClass::Final,
        seen: vec![1],
        body: None,
        raw: None,
        headers: Headers::default(),
        sent: false,
        source: source(),
        expires_at: Some(LATER),
    };
    check(
        &Event::ReportAccepted { report: Box::new(report), status: "ODD\"".into(), known: false },
        r#"{"type":"report_accepted","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "sms_id":"a","status":"ODD\"","known_status":false,"waiting":true,
        "source":{"topic":"sms-delivery-report","partition":3,"offset":42}}"#,
    );
}

#[test]
fn ignored_records_are_published() {
    check(
        &Event::RecordIgnored(IgnoredRecord {
            kind: RecordKind::Report,
            account: ACCOUNT,
            sms: Some(sms("a")),
            reason: IgnoreReason::Duplicate,
            source: source(),
            waited: false,
        }),
        r#"{"type":"record_ignored","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "record":"delivery_report","reason":"duplicate","sms_id":"a",
        "source":{"topic":"sms-delivery-report","partition":3,"offset":42}}"#,
    );
    check(
        &Event::FlowSilenced {
            identity: identity(),
            reason: IgnoreReason::WebhookDisabled,
            source: source(),
            until: LATER,
        },
        r#"{"type":"record_ignored","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "record":"flow_complete","reason":"webhook_disabled",
        "source":{"topic":"sms-delivery-report","partition":3,"offset":42}}"#,
    );
}

#[test]
fn a_delivery_is_published_from_its_schedule_to_its_end() {
    let event = Event::DeliveryScheduled { delivery: Box::new(delivery()), sms: [sms("a")].into() };
    check(
        &event,
        r#"{"type":"delivery_scheduled","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "webhook":"crm","webhook_id":"msg_abababababababababababababababab","phase":2,"due_at":null,"sms":["a"],
        "source":{"topic":"sms-delivery-report","partition":3,"offset":42}}"#,
    );
    let state = State {
        correlation: Correlation::Unknown,
        deliveries: vec![delivery()],
        ..State::default()
    };
    let failed = Event::AttemptFailed {
        delivery: delivery().id,
        attempt: 3,
        outcome: outcome(),
        at: LATER,
        retry_at: Some(AT),
    };
    check_in(
        &state,
        &failed,
        "{\"type\":\"attempt_failed\",\"phonon_uuid\":\"u-1\",\"account_id\":28,\"at\":\"2023-10-19T06:25:26.250Z\",
        \"webhook\":\"crm\",\"webhook_id\":\"msg_abababababababababababababababab\",\"phase\":2,\"attempt\":3,
        \"response_status\":\"FAILED\",\"response_status_code\":503,\"response_status_type\":\"SERVER_ERROR\",
        \"response_duration\":1.042,\"response_raw\":\"busy \\\"now\\\" \u{fffd}\",\"response_truncated\":false,
        \"response_error\":true,\"error_detail\":\"the endpoint answered 503\",\"error_reason\":\"REFUSED\",
        \"retry_at\":\"2023-10-19T06:25:21.000Z\"}",
    );
    let success = Outcome {
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        verdict: Verdict::Delivered,
        status: Some(204),
        duration_ms: 7,
        response: Bytes::new(),
        response_truncated: false,
        reason: None,
        error: None,
    };
    for (replays, written) in [(0, ""), (1, "\"replays\":1,")] {
        let delivery = Box::new(Delivery { replays, ..delivery() });
        let wanted = r#"{"type":"delivered","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:26.250Z",
            "webhook":"crm","webhook_id":"msg_abababababababababababababababab","phase":2,"attempt":3,"attempts":3,REPLAYS
            "sms_id":"a","response_status":"SUCCESS","response_status_code":204,"response_status_type":"SUCCESSFUL",
            "response_duration":0.007,"response_raw":null,"response_truncated":false,"response_error":false}"#;
        let outcome = success.clone();
        check(
            &Event::Delivered { delivery, attempt: 3, outcome, at: LATER },
            &wanted.replace("REPLAYS", written),
        );
    }
}

fn unreachable() -> Delivery {
    let error = Outcome {
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        verdict: Verdict::Retry,
        status: None,
        duration_ms: 5000,
        response: Bytes::new(),
        response_truncated: false,
        reason: Some(ErrorReason::Unreachable),
        error: Some("connection refused".into()),
    };
    Delivery { last_outcome: Some(error.into()), ..delivery() }
}

#[test]
fn dead_letters_are_published() {
    check(
        &Event::DeadLettered {
            delivery: Box::new(unreachable()),
            reason: DeadLetterReason::AttemptsExhausted,
            at: LATER,
        },
        r#"{"type":"dead_lettered","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:26.250Z",
        "webhook":"crm","webhook_id":"msg_abababababababababababababababab","phase":2,
        "kind":"delivery","reason":"attempts_exhausted","attempts":2,"replays":1,"sms_id":"a",
        "last_outcome":{"response_status":"FAILED","response_duration":5.000,
        "response_raw":null,"response_error":true,"error_detail":"connection refused","error_reason":"UNREACHABLE"}}"#,
    );
    let record = RawRecord {
        kind: Some(RecordKind::Report),
        account: Some(ACCOUNT),
        sms: Some(sms("a")),
        payload: None,
        headers: Headers::default(),
        source: source(),
    };
    check(
        &Event::RecordDeadLettered {
            record,
            reason: DeadLetterReason::FlowMissing,
            detail: "it never came".to_owned(),
        },
        r#"{"type":"dead_lettered","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "kind":"record","reason":"flow_missing","record":"delivery_report","sms_id":"a",
        "source":{"topic":"sms-delivery-report","partition":3,"offset":42},"detail":"it never came"}"#,
    );
    let record = RawRecord {
        kind: None,
        account: None,
        sms: None,
        payload: None,
        headers: Headers::default(),
        source: source(),
    };
    let mut out = Vec::new();
    write_record_dead_lettered(&mut out, AT, &record, DeadLetterReason::Undecodable, "noise");
    schema::check(&out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"type":"dead_lettered","at":"2023-10-19T06:25:21.000Z","kind":"record","reason":"undecodable","source":{"topic":"sms-delivery-report","partition":3,"offset":42},"detail":"noise"}"#
    );
}

#[test]
fn the_end_of_a_correlation_is_published() {
    let state = State {
        correlation: Correlation::Open(flow()),
        deliveries: Vec::new(),
        ..State::default()
    };
    check_in(
        &state,
        &Event::ReportTimedOut { missing: vec![sms("b")] },
        r#"{"type":"report_timed_out","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "missing":["b"]}"#,
    );
    check_in(
        &state,
        &Event::CorrelationEnded,
        r#"{"type":"correlation_ended","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z",
        "reports_sent":0}"#,
    );
    check_in(
        &state,
        &Event::Replayed { delivery: Box::new(Delivery { replays: 2, ..delivery() }) },
        concat!(
            r#"{"type":"replayed","phonon_uuid":"u-1","account_id":28,"at":"2023-10-19T06:25:21.000Z","#,
            r#""webhook":"crm","webhook_id":"msg_abababababababababababababababab","phase":2,"replays":2}"#,
        ),
    );
    for internal in [
        Event::ReportAdopted { sms: sms("a") },
        Event::CollectionClosed(Collection::Complete),
        Event::MarkerKept { account: ACCOUNT, until: AT },
        Event::Gathering(None),
        Event::MarkerExpired,
    ] {
        assert_eq!(written(&state, &internal), None);
    }
}

#[test]
fn an_answer_is_cut_in_a_failed_attempt_and_whole_when_delivered() {
    // Each character has three bytes, so that the limit falls within one.
    let response = Bytes::from("फ".repeat(4000));
    let outcome = Outcome { response, verdict: Verdict::Delivered, ..outcome() };
    let failed = Event::AttemptFailed {
        delivery: delivery().id,
        attempt: 1,
        outcome: outcome.clone(),
        at: AT,
        retry_at: None,
    };
    let delivered =
        Event::Delivered { delivery: Box::new(delivery()), attempt: 1, outcome, at: AT };
    for (event, letters, truncated) in [(failed, 1365, true), (delivered, 4000, false)] {
        let json: serde_json::Value =
            serde_json::from_str(&written(&State::default(), &event).unwrap()).unwrap();
        assert_eq!(json["response_raw"], "फ".repeat(letters));
        assert_eq!(json["response_truncated"], truncated);
    }
}

#[test]
fn only_events_of_the_wanted_types_are_read() {
    fn fact(value: &[u8]) -> Option<Notice<'_>> {
        read_notice_of(value, &["delivered", "dead_lettered"])
    }
    let context = EventContext { uuid: &uuid(), account: None, at: AT };
    let write = |event: &Event| {
        let mut out = Vec::new();
        write_event(&mut out, &context, &State::default(), event);
        out
    };
    let (delivery, reason) = (Box::new(delivery()), DeadLetterReason::Refused);
    let dead_lettered = write(&Event::DeadLettered { delivery: delivery.clone(), reason, at: AT });
    let replayed = write(&Event::Replayed { delivery: delivery.clone() });
    let Some(Fact::DeadLettered { about, attempts: 2, replays: 1, .. }) =
        fact(&dead_lettered).map(|notice| notice.fact)
    else {
        panic!("{:?}", fact(&dead_lettered))
    };
    assert_eq!(about.id, delivery.id);
    assert_eq!(fact(&replayed), None);
    assert!(read_notice(&replayed).is_some());
    let mut out = Vec::new();
    let raw = RawRecord {
        kind: None,
        account: None,
        sms: None,
        payload: None,
        headers: Headers::default(),
        source: source(),
    };
    write_record_dead_lettered(&mut out, AT, &raw, reason, "why");
    let fact = fact(&out).map(|notice| notice.fact);
    assert!(
        matches!(fact, Some(Fact::RecordDeadLettered { .. })),
        "the dead letter of a record was read as that of a delivery"
    );
    assert_eq!(read_notice_of(b"\"delivered\"", &["delivered"]), None);
}

#[test]
fn a_written_event_reads_back() {
    let (context, state) =
        (EventContext { uuid: &uuid(), account: None, at: AT }, State::default());
    let mut out = Vec::new();
    let mut odd = delivery();
    odd.webhook = WebhookName::new("a \"b\"").unwrap();
    write_event(
        &mut out,
        &context,
        &state,
        &Event::DeliveryScheduled { delivery: Box::new(odd), sms: Default::default() },
    );
    let notice = read_notice(&out).unwrap();
    assert_eq!((notice.uuid.as_deref(), notice.at), (Some("u-1"), AT));
    let Fact::Scheduled { about, due_at, pending: false, .. } = notice.fact else {
        panic!("{notice:?}")
    };
    assert_eq!((about.id, about.phase, due_at), (delivery().id, 2, None));
    assert_eq!(about.webhook, "a \"b\"");
    for none in ["", "{}", "[]", "{\"type\":\"delivered\",\"at\":\"2023-10-19T06:25:21.000Z\"}"] {
        assert_eq!(read_notice(none.as_bytes()), None, "{none}");
    }
    let to_come = br#"{"type":"to_come","at":"2023-10-19T06:25:21.000Z","more":[1]}"#;
    assert_eq!(read_notice(to_come).map(|notice| notice.fact), Some(Fact::Other));
}

#[test]
fn all_times_are_written_in_utc_with_milliseconds() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (253_402_207_200_100, "9999-12-30T22:00:00.100Z"),
        (i64::MAX, "9999-12-30T22:00:00.999Z"),
    ] {
        assert_eq!(rfc3339(Timestamp::from_ms(ms)), text);
    }
    assert!(rfc3339(Timestamp::from_ms(i64::MIN)).starts_with("-009999"));
}
