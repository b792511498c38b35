//! Rows: they are read as they were written, agree with the Avro library in both directions, and other bytes are
//! refused.

mod endpoints;
mod size;

use super::{ENDPOINT, ENDPOINT_SCHEMA, META_SCHEMA, STATE_SCHEMA, migrate};
use super::{
    InputOffset, META, Meta, Owner, Replacement, RowError, STATE, TopicId, decode_meta,
    decode_state, encode_meta, encode_state,
};
use crate::codec::schema::Known;
use crate::domain::{
    AccountId, Collected, Collection, Correlation, Deferred, Delivery, DeliveryId, Due,
    EndedWebhook, ErrorReason, Facts, Flow, FlowId, FlowIdentity, Header, Headers, IgnoreReason,
    Mapped, Outcome, Pending, Phase, Rendered, Rendering, Scope, SmsId, Source, Started, State,
    StatusClass, Timestamp, TraceContext, Verdict, WebhookName,
};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;

fn row(state: &State) -> Bytes {
    let mut out = Vec::new();
    encode_state(state, &mut out);
    Bytes::from(out)
}

fn meta_row(meta: &Meta) -> Bytes {
    let mut out = Vec::new();
    encode_meta(meta, &mut out);
    Bytes::from(out)
}

fn schema(
    known: &'static std::sync::LazyLock<Result<Known, apache_avro::Error>>,
) -> &'static Known {
    known.as_ref().expect("the embedded schema parses")
}

/// Returns the value that the library reads from the datum of `row`, and the row that it writes from the value.
fn through_library(row: &Bytes, schema: &Schema) -> (Value, Bytes) {
    let mut datum = &row[10..];
    let value =
        GenericDatumReader::builder(schema).build().unwrap().read_value(&mut datum).unwrap();
    assert!(datum.is_empty(), "the library has not read the whole datum");
    let written =
        GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value.clone());
    let again = [&row[..10], &written.unwrap()].concat();
    (value, Bytes::from(again))
}

#[test]
fn the_fingerprints_are_those_of_the_schemas() {
    assert_eq!(
        STATE,
        schema(&STATE_SCHEMA).fingerprint,
        "state.avsc has changed: move its former text to schemas/retired/"
    );
    assert_eq!(
        ENDPOINT,
        schema(&ENDPOINT_SCHEMA).fingerprint,
        "endpoint.avsc has changed: move its former text to schemas/retired/"
    );
    assert_eq!(
        META,
        schema(&META_SCHEMA).fingerprint,
        "meta.avsc has changed: move its former text to schemas/retired/"
    );
}

#[test]
fn a_body_stays_a_slice_of_the_row() {
    let state = State { deliveries: vec![sample_delivery()], ..State::default() };
    let row = row(&state);
    let body = decode_state(&row).unwrap().deliveries.remove(0).body;
    assert!(row.as_ptr_range().contains(&body.as_ptr()));
}

fn sample_delivery() -> Delivery {
    Delivery {
        rendering: crate::domain::Rendering::Fixed,
        sms: [SmsId::new("a").unwrap()].into(),
        id: DeliveryId::from_bytes([7; 16]),
        phase: Phase::Two,
        account: AccountId(28),
        webhook: WebhookName::new("crm").unwrap(),
        body: Bytes::from_static(b"{\"phonon-uuid\":\"u\"}"),
        source: Source {
            topic: "flow-complete".into(),
            partition: 3,
            offset: 1 << 40,
            timestamp: Timestamp::from_ms(1_697_700_000_000),
            index: None,
            trace: None,
        },
        scheduled_at: Timestamp::from_ms(1),
        due: Due::Waiting,
        attempts: 2,
        replays: 1,
        first_attempt_at: Some(Timestamp::from_ms(2)),
        last_attempt_at: None,
        last_outcome: Some(Box::new(Outcome {
            verdict: Verdict::Retry,
            status: Some(503),
            duration_ms: 12,
            response: Bytes::from_static(b"busy"),
            response_truncated: true,
            retry_after_ms: None,
            disables: false,
            mapped: Default::default(),
            reason: Some(ErrorReason::Refused),
            error: Some("the endpoint answered 503".into()),
        })),
    }
}

fn sample() -> State {
    let report = Collected {
        status: None,
        account: AccountId(28),
        sms: SmsId::new("s").unwrap(),
        class: StatusClass::Final,
        seen: vec![1, u64::MAX],
        body: Some(Bytes::from_static(b"{}")),
        raw: Some(Bytes::from_static(b" {}")),
        headers: Headers::default(),
        sent: false,
        source: sample_delivery().source,
        expires_at: Some(Timestamp::from_ms(9)),
    };
    let flow = Flow {
        record: None,
        spelling: None,
        identity: FlowIdentity { account: AccountId(28), flow: Some(FlowId(200)), content: 5 },
        accepted_at: Timestamp::from_ms(3),
        source: sample_delivery().source,
        webhook: WebhookName::new("crm"),
        enabled: true,
        keys: Some(Bytes::from_static(b"[]")),
        sms: Some(vec![SmsId::new("s").unwrap()]),
        reports: vec![report],
        collection: Collection::Open { until: Timestamp::from_ms(4) },
        gathers_until: None,
    };
    let values = vec![Mapped { save_in: "$flow.key.a".into(), value: "1".into() }];
    let crm = WebhookName::new("crm").unwrap();
    let deferred = Deferred {
        delivery: sample_delivery(),
        trigger: "webhook:crm:failed".into(),
        upon: Some(DeliveryId::from_bytes([8; 16])),
        sms: [SmsId::new("s").unwrap()].into(),
        scope: Scope { flow: Some(FlowId(200)), enabled: true },
    };
    State {
        correlation: Correlation::Open(flow),
        deliveries: vec![sample_delivery()],
        deferred: vec![deferred],
        outcomes: vec![EndedWebhook { account: AccountId(28), webhook: crm, values }],
        ..State::default()
    }
}

#[test]
fn a_row_that_is_cut_anywhere_or_followed_by_bytes_is_refused() {
    let whole = row(&sample());
    assert_eq!(decode_state(&whole).unwrap(), sample());
    for length in 0..whole.len() {
        assert!(decode_state(&whole.slice(..length)).is_err(), "cut to {length} bytes");
    }
    let longer = Bytes::from([&whole[..], &[0]].concat());
    assert!(matches!(decode_state(&longer), Err(RowError::Surplus)));
}

#[test]
fn bytes_that_are_no_row_are_refused_with_their_own_error() {
    assert!(matches!(decode_state(&Bytes::from_static(b"{}")), Err(RowError::NotARow)));
    let foreign = Bytes::from_static(&[0xc3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 5]);
    assert!(matches!(decode_state(&foreign), Err(RowError::UnknownSchema(1))));
    let meta = meta_row(&Meta::default());
    assert!(matches!(decode_state(&meta), Err(RowError::UnknownSchema(_))));
    // An array that claims 2^62 items.
    let huge = [&[0xc3, 1][..], &STATE, &[0], &[0xff; 8], &[0x7f]].concat();
    assert!(matches!(decode_state(&Bytes::from(huge)), Err(RowError::BreaksOff)));
}

#[test]
fn array_blocks_with_a_size_are_read() {
    let state = State { deliveries: vec![sample_delivery()], ..State::default() };
    let plain = row(&state);
    // A count of -1, then the size of the block, which is not needed.
    let sized = [&plain[..11], &[1, 2], &plain[12..]].concat();
    assert_eq!(decode_state(&Bytes::from(sized)).unwrap(), state);
}

#[test]
fn a_row_of_a_retired_schema_is_resolved_into_the_current_one() {
    let old = r#"{"type": "record", "name": "Meta", "namespace": "ringback", "fields": [
        {"name": "committed_at", "type": "int"},
        {"name": "offsets", "type": {"type": "array", "items": "ringback.InputOffset"}}]}"#;
    let offset = r#"{"type": "record", "name": "InputOffset", "fields": [
        {"name": "partition", "type": "int"}, {"name": "topic", "type": "string"},
        {"name": "next_offset", "type": "int"}, {"name": "dropped", "type": "string"}]}"#;
    let old = Known::parse(&old.replace("\"ringback.InputOffset\"", offset)).unwrap();
    // `committed_at` is 5, and there is one offset: 1, "t", 9, "x".
    let datum = [10, 2, 2, 2, b't', 18, 2, b'x', 0];
    let migrated = migrate(&datum, &old, schema(&META_SCHEMA)).unwrap();
    let row = Bytes::from([&[0xc3, 1][..], &META, &migrated].concat());
    let offsets = vec![input("t", 1, 9, None)];
    let meta = Meta { offsets, committed_at: Timestamp::from_ms(5), owner: None };
    assert_eq!(decode_meta(&row).unwrap(), meta);
    assert!(migrate(&datum[..3], &old, schema(&META_SCHEMA)).is_err());
}

fn input(topic: &str, partition: i32, next_offset: i64, id: Option<&str>) -> InputOffset {
    let topic_id = id.map(TopicId::from);
    InputOffset { topic: topic.into(), partition, next_offset, topic_id, landmark: None }
}

prop_compose! {
    fn owner()(
        cluster in of("[a-z]{0,9}"), group in "[a-z]{0,9}", changelog in of("[a-z]{0,9}"),
        partitions in 0..=u32::try_from(i32::MAX).unwrap(), replaces in of("[a-z]{0,9}"),
        rebuilt in of("[a-z]{0,9}"), copies in of("[a-z]{0,9}"), by in of(("[a-z]{0,9}", "[a-z]{0,9}")),
        earlier in vec("[a-z]{0,9}", 0..3),
    ) -> Owner {
        let id = |id: Option<String>| id.as_deref().map(TopicId::from);
        Owner {
            cluster: cluster.map(Into::into),
            group: group.into(),
            changelog: id(changelog),
            partitions,
            replaces: id(replaces),
            rebuilt_up_to: rebuilt.map(Into::into),
            copies: copies.map(Into::into),
            replaced_by: by.map(|(changelog, inbox)| Replacement {
                changelog: changelog.into(),
                inbox: inbox.into(),
            }),
            earlier: earlier.iter().map(|id| TopicId::from(id.as_str())).collect(),
        }
    }
}

fn trace() -> impl Strategy<Value = TraceContext> {
    let parts = (1..=u128::MAX, 1..=u64::MAX, 0..4_u8, of("[a-z]{1,9}=[a-z]{1,9}"));
    parts.prop_map(|(trace_id, span_id, flags, state)| {
        TraceContext::new(trace_id, span_id, flags, state.map(Into::into)).unwrap()
    })
}

prop_compose! {
    fn source()(
        topic in "[a-z.-]{0,20}", partition: i32, offset: i64, ts: i64, index in of(0..10_000_u32), trace in of(trace()),
    ) -> Source {
        let trace = trace.map(Arc::new);
        Source { topic: topic.into(), partition, offset, timestamp: Timestamp::from_ms(ts), index, trace }
    }
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_ms)
}

fn sms() -> impl Strategy<Value = SmsId> {
    "\\PC{1,20}".prop_map(|text| SmsId::new(&text).unwrap())
}

fn webhook() -> impl Strategy<Value = WebhookName> {
    "[a-z-]{1,20}".prop_map(|text| WebhookName::new(&text).unwrap())
}

fn body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

prop_compose! {
    fn collected()(
        account: i64, sms in sms(), last: bool, seen in vec(any::<u64>(), 0..17), body in of(body()),
        raw in of(body()), sent: bool, source in source(), expires_at in of(time()),
        status in of("\\PC{0,9}"), headers in vec(("\\PC{0,9}", of(body())), 0..4),
    ) -> Collected {
        let status = status.map(String::into_boxed_str);
        let class = if last { StatusClass::Final } else { StatusClass::Intermediate };
        let account = AccountId(account);
        let headers = headers.into_iter();
        let headers = headers.map(|(name, value)| Header { name: name.into(), value }).collect();
        Collected { status, account, sms, class, seen, body, raw, headers, sent, source, expires_at }
    }
}

prop_compose! {
    fn identity()(account: i64, flow in of(any::<i64>()), content: u64) -> FlowIdentity {
        FlowIdentity { account: AccountId(account), flow: flow.map(FlowId), content }
    }
}

fn collection() -> impl Strategy<Value = Collection> {
    prop_oneof![
        time().prop_map(|until| Collection::Open { until }),
        Just(Collection::Complete),
        Just(Collection::TimedOut),
        Just(Collection::NotWanted),
    ]
}

prop_compose! {
    fn flow()(
        identity in identity(), accepted_at in time(), source in source(), webhook in of(webhook()),
        keys in of(body()), sms in of(vec(sms(), 0..5)), reports in vec(collected(), 0..4),
        collection in collection(), record in of(body()), enabled: bool,
        spelling in of("[A-F{}-]{1,38}"), gathers_until in of(time()),
    ) -> Flow {
        let spelling = spelling.map(Into::into);
        Flow {
            record, spelling, identity, accepted_at, source, webhook, enabled, keys, sms, reports, collection,
            gathers_until,
        }
    }
}

prop_compose! {
    fn mapped()(save_in in "\\PC{0,9}", value in "\\PC{0,9}") -> Mapped {
        Mapped { save_in: save_in.into(), value: value.into() }
    }
}

fn rendering() -> impl Strategy<Value = Rendering> {
    let done = (of("\\PC{0,9}"), body()).prop_map(|(content_type, values)| {
        let content_type = content_type.map(Into::into);
        Rendering::Done(Rendered { content_type, values })
    });
    let facts = (of(body()), vec(body(), 0..3), vec(mapped(), 0..3))
        .prop_map(|(record, reports, mapped)| Facts { record, reports, mapped });
    let after = vec(any::<[u8; 16]>(), 0..3);
    let pending = (facts, after, vec(webhook(), 0..3)).prop_map(|(facts, after, outcome_of)| {
        let after = after.into_iter().map(DeliveryId::from_bytes).collect();
        Rendering::Pending(Box::new(Pending { facts: facts.into(), after, outcome_of }))
    });
    prop_oneof![Just(Rendering::Fixed), done, pending]
}

prop_compose! {
    fn started()(account: i64, content: u64, until in time()) -> Started {
        Started { account: AccountId(account), content, until }
    }
}

fn correlation() -> impl Strategy<Value = Correlation> {
    prop_oneof![
        Just(Correlation::Unknown),
        vec(collected(), 0..4).prop_map(Correlation::AwaitingFlow),
        flow().prop_map(Correlation::Open),
        (identity(), select(IgnoreReason::ALL), time())
            .prop_map(|(flow, reason, until)| Correlation::Silent { flow, reason, until }),
        (any::<i64>(), time())
            .prop_map(|(id, until)| Correlation::Ended { account: AccountId(id), until }),
    ]
}

prop_compose! {
    fn outcome()(
        verdict in select(vec![Verdict::Delivered, Verdict::Retry, Verdict::GiveUp]),
        status in of(any::<u16>()), duration_ms: u64, response in body(), response_truncated: bool,
        reason in of(select(ErrorReason::ALL.to_vec())), error in of("\\PC{0,40}"),
    ) -> Outcome {
        let error = error.map(String::into_boxed_str);
        Outcome { verdict, status, duration_ms, response, response_truncated, retry_after_ms: None, disables: false, mapped: Default::default(), reason, error }
    }
}

prop_compose! {
    fn delivery()(
        id: [u8; 16], phase in select(Phase::ALL.to_vec()), account: i64, webhook in webhook(),
        body in body(), source in source(), scheduled_at in time(), due in of(time()), lives: (u32, u32),
        first_attempt_at in of(time()), last_attempt_at in of(time()), last_outcome in of(outcome().prop_map(Box::new)),
        rendering in rendering(), sms in vec(sms(), 0..3),
    ) -> Delivery {
        Delivery { rendering, sms: sms.into(),
            id: DeliveryId::from_bytes(id), phase, account: AccountId(account), webhook, body, source,
            scheduled_at, due: due.map_or(Due::Waiting, Due::At), attempts: lives.0,
            replays: lives.1, first_attempt_at, last_attempt_at, last_outcome,
        }
    }
}

prop_compose! {
    fn deferred()(
        delivery in delivery(), trigger in "[a-z:_-]{0,40}", upon in of(any::<[u8; 16]>()), sms in vec(sms(), 0..3),
        flow in of(any::<i64>()), enabled: bool,
    ) -> Deferred {
        let scope = Scope { flow: flow.map(FlowId), enabled };
        Deferred { delivery, trigger: trigger.into(), upon: upon.map(DeliveryId::from_bytes), sms: sms.into(), scope }
    }
}

prop_compose! {
    fn ended_webhook()(account: i64, webhook in webhook(), values in vec(mapped(), 0..3)) -> EndedWebhook {
        EndedWebhook { account: AccountId(account), webhook, values }
    }
}

proptest! {
    #[test]
    fn every_state_round_trips_and_the_library_agrees(
        correlation in correlation(), deliveries in vec(delivery(), 0..4), started in of(started()),
        mapped in vec(mapped(), 0..3), deferred in vec(deferred(), 0..3), outcomes in vec(ended_webhook(), 0..3),
    ) {
        let state = State { started, correlation, deliveries, mapped, deferred, outcomes };
        let row = row(&state);
        let read = decode_state(&row).unwrap();
        prop_assert_eq!(&read, &state);
        // Two equal positions may have different traces.
        prop_assert_eq!(&self::row(&read), &row);
        let (_, again) = through_library(&row, &schema(&STATE_SCHEMA).schema);
        prop_assert_eq!(&again, &row);
    }

    #[test]
    fn every_meta_row_round_trips_and_the_library_agrees(
        offsets in vec(
            ("[a-z]{0,9}", any::<i32>(), any::<i64>(), of("[a-z]{0,9}")).prop_map(
                |(topic, partition, offset, id)| input(&topic, partition, offset, id.as_deref())
            ),
            0..9,
        ),
        at in time(),
        owner in of(owner()),
    ) {
        let meta = Meta { offsets, committed_at: at, owner };
        let row = meta_row(&meta);
        prop_assert_eq!(&decode_meta(&row).unwrap(), &meta);
        let (_, again) = through_library(&row, &schema(&META_SCHEMA).schema);
        prop_assert_eq!(&again, &row);
    }

    #[test]
    fn corrupt_rows_never_panic(at in 10_usize..400, byte: u8) {
        let mut bytes = row(&sample()).to_vec();
        let index = at % bytes.len();
        bytes[index] = byte;
        let _ = decode_state(&Bytes::from(bytes));
    }
}

#[test]
fn the_numbers_of_variants_are_those_that_the_library_names() {
    let (value, _) = through_library(&row(&sample()), &schema(&STATE_SCHEMA).schema);
    let text = format!("{value:?}");
    for symbol in ["\"final\"", "\"two\"", "\"retry\"", "\"REFUSED\""] {
        assert!(text.contains(symbol), "{symbol} in {text}");
    }
    for (index, reason) in IgnoreReason::ALL.iter().enumerate() {
        let flow = FlowIdentity { account: AccountId(1), flow: None, content: 0 };
        let until = Timestamp::from_ms(0);
        let correlation = Correlation::Silent { flow, reason: *reason, until };
        let state = State { correlation, ..State::default() };
        let (value, _) = through_library(&row(&state), &schema(&STATE_SCHEMA).schema);
        let symbol = format!("Enum({index}, {:?})", reason.as_str());
        assert!(format!("{value:?}").contains(&symbol), "{symbol}");
    }
    for (index, reason) in ErrorReason::ALL.iter().enumerate() {
        let mut state = sample();
        state.deliveries[0].last_outcome.as_mut().unwrap().reason = Some(*reason);
        let (value, _) = through_library(&row(&state), &schema(&STATE_SCHEMA).schema);
        let symbol = format!("Enum({index}, {:?})", reason.as_str());
        assert!(format!("{value:?}").contains(&symbol), "{symbol}");
    }
}
