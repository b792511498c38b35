//! Properties of all values, not only of samples. Records have the same content in each encoding, and a replay restores
//! a dead letter's delivery.

use crate::targets::record::{FLOW_SCHEMA, REPORT_SCHEMA};
use crate::targets::sample;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use ringback::codec::command::{InboxCommand, REPLAY, read_command, write_replay};
use ringback::codec::event::{
    EventContext, Fact, delivery_headers, read_notice, write_delivery_dead_letter, write_event,
};
use ringback::codec::letter::{LetterHead, read_delivery};
use ringback::codec::source::{Decoded, Decoder};
use ringback::domain::{
    AccountId, Command, DeadLetterReason, Delivery, DeliveryId, Due, Event, Phase, PhononUuid,
    RecordKind, SmsId, Source, State, Timestamp, TraceContext, WebhookName,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn text() -> impl Strategy<Value = Value> {
    prop_oneof!["\\PC{0,12}", "[\\x00-\\x20\"\\\\]{0,6}"].prop_map(Value::from)
}

fn scalar() -> impl Strategy<Value = Value> {
    let double = any::<f64>().prop_filter("JSON has no other", |number| number.is_finite());
    prop_oneof![
        text(),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        double.prop_map(Value::from),
    ]
}

/// Returns an object with the members that have a value.
fn object(members: Vec<(&'static str, Option<Value>)>) -> Value {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

prop_compose! {
    fn flow()(
        uuid in "\\PC{1,20}", account: i64, flow_id in of(any::<i64>()), enabled in of(any::<bool>()),
        legs in of(vec((of(text()), of(text()), of(any::<bool>())), 0..3)),
        keys in of(vec((text(), of(scalar())), 0..4)),
        recordings in of(vec(of(text()), 0..3)),
        sms in of(vec("\\PC{1,8}", 0..4)),
    ) -> Value {
        let leg = |(number, duration, incoming)| object(vec![
            ("calleeNumber", number), ("duration", duration), ("incoming", Option::map(incoming, Value::from)),
        ]);
        let key = |(name, value)| object(vec![("name", Some(name)), ("value", value)]);
        object(vec![
            ("phononUuid", Some(uuid.into())), ("accountID", Some(account.into())), ("completedAt", Some("".into())),
            ("flowId", flow_id.map(Value::from)), ("webhookEnabled", enabled.map(Value::from)),
            ("callDetails", legs.map(|legs| legs.into_iter().map(leg).collect())),
            ("keys", keys.map(|keys| keys.into_iter().map(key).collect())),
            ("recordingUrls", recordings.map(|names| names.into_iter()
                .map(|name| object(vec![("recordedFileName", name)])).collect())),
            ("sms", sms.map(Value::from)),
        ])
    }
}

prop_compose! {
    fn report()(
        id in "\\PC{1,20}", uuid in "\\PC{1,20}", account: i64, status in "[A-Z]{1,9}", flow_id in of(any::<i64>()),
        amount in of(scalar()), currency in of(of(any::<i64>())), content in of(text()),
    ) -> Value {
        // No amount is a boolean.
        let amount = amount.filter(|amount| !amount.is_boolean());
        let cost = currency.map(|id| object(vec![
            ("currency", Some(object(vec![("currencyID", id.map(Value::from))]))), ("amount", amount),
        ]));
        object(vec![
            ("id", Some(id.into())), ("phononUuid", Some(uuid.into())), ("accountID", Some(account.into())),
            ("deliveryStatus", Some(status.into())), ("flowId", flow_id.map(Value::from)), ("cost", cost),
            ("text", content),
        ])
    }
}

fn decoded(kind: RecordKind, payload: &[u8]) -> Decoded {
    Decoder::new(false).decode(kind, payload)
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("a body is JSON")
}

fn time() -> impl Strategy<Value = Timestamp> {
    // Times whose year has four digits.
    (-60_000_000_000_000_i64..250_000_000_000_000).prop_map(Timestamp::from_ms)
}

fn trace() -> impl Strategy<Value = TraceContext> {
    let parts = (1..=u128::MAX, 1..=u64::MAX, 0..4_u8, of("[a-z]{1,9}=[ -+.-<>-~]{0,9}[a-z]"));
    parts.prop_map(|(trace_id, span_id, flags, state)| {
        TraceContext::new(trace_id, span_id, flags, state.map(Into::into)).expect("no id is 0")
    })
}

prop_compose! {
    fn any_delivery()(
        uuid in "\\PC{1,20}", id: [u8; 16], phase in select(Phase::ALL.to_vec()), account: i64,
        webhook in "[a-z._-]{1,20}", body in "(\\PC|[\\x00-\\x20\"\\\\]){0,60}", topic in "[a-z.]{1,9}",
        place: (i32, i64), at in time(), attempts: u32, replays: u32, first in of(time()), tried: bool,
        sms in vec("\\PC{1,20}", 0..3), trace in of(trace()),
    ) -> (PhononUuid, Delivery) {
        let source = Source { topic: topic.into(), partition: place.0, offset: place.1, timestamp: at, index: None, trace: trace.map(Arc::new) };
        let sms = sms.iter().map(|id| SmsId::new(id).expect("an id")).collect();
        let delivery = Delivery { rendering: ringback::domain::Rendering::Fixed, sms,
            id: DeliveryId::from_bytes(id), phase, account: AccountId(account),
            webhook: WebhookName::new(&webhook).expect("a name"), body: Bytes::from(body),
            source, scheduled_at: at, due: Due::At(at), attempts, replays, first_attempt_at: first,
            last_attempt_at: first, last_outcome: tried.then(|| sample::outcome().into()),
        };
        (PhononUuid::new(&uuid).expect("a uuid"), delivery)
    }
}

proptest! {
    #[test]
    fn a_flow_has_the_same_content_in_json_and_avro(record in flow()) {
        let json = decoded(RecordKind::Flow, record.to_string().as_bytes());
        let avro = decoded(RecordKind::Flow, &sample::single_object(FLOW_SCHEMA, &record));
        let (Decoded::Flow(json), Decoded::Flow(avro)) = (&json, &avro) else {
            return Err(TestCaseError::fail(format!("{json:?} and {avro:?}")));
        };
        prop_assert_eq!(json.content, avro.content);
        prop_assert_eq!((&json.uuid, json.account, json.flow), (&avro.uuid, avro.account, avro.flow));
        prop_assert_eq!((json.webhook_enabled, &json.sms), (avro.webhook_enabled, &avro.sms));
        prop_assert_eq!(parsed(&json.body), parsed(&avro.body));
        prop_assert_eq!(parsed(&json.body[json.keys.clone()]), parsed(&avro.body[avro.keys.clone()]));
    }

    #[test]
    fn a_report_has_the_same_content_in_json_and_avro(record in report()) {
        let json = decoded(RecordKind::Report, record.to_string().as_bytes());
        let avro = decoded(RecordKind::Report, &sample::single_object(REPORT_SCHEMA, &record));
        let (Decoded::Report(json), Decoded::Report(avro)) = (&json, &avro) else {
            return Err(TestCaseError::fail(format!("{json:?} and {avro:?}")));
        };
        prop_assert_eq!(json.content, avro.content);
        prop_assert_eq!((&json.uuid, json.account), (&avro.uuid, avro.account));
        prop_assert_eq!((&json.sms, &json.status), (&avro.sms, &avro.status));
        prop_assert_eq!(parsed(&json.body), parsed(&avro.body));
        // The comparison goes through text, because the library does not read doubles exactly.
        prop_assert_eq!(parsed(&json.body), parsed(record.to_string().as_bytes()));
    }

    /// From the dead letter through the letter's reader and the command, the delivery stays the same except for its
    /// attempts.
    #[test]
    fn a_replay_restores_the_delivery_of_a_dead_letter((uuid, delivery) in any_delivery(), reason in select(DeadLetterReason::ALL.to_vec())) {
        let headers = delivery_headers(&delivery, reason);
        let find = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, text)| text.as_str());
        let head = LetterHead::read(find, Timestamp::default()).expect("the headers are valid");
        prop_assert_eq!(head.id, Some(delivery.id));
        prop_assert_eq!((head.attempts, head.phase), (Some(delivery.attempts), Some(delivery.phase.number())));
        let mut letter = Vec::new();
        write_delivery_dead_letter(&mut letter, &uuid, &delivery, reason, None);
        let (of, next) = read_delivery(&letter, head.source.expect("a source")).expect("a delivery");
        let wanted = Delivery {
            attempts: 0, first_attempt_at: None, last_attempt_at: None, last_outcome: None, ..delivery.clone()
        };
        prop_assert_eq!((&of, &next), (&uuid, &wanted));
        let mut command = Vec::new();
        write_replay(&mut command, &of, &next);
        let read = read_command(REPLAY, &command);
        let Ok(InboxCommand::Of(of, Command::Replay(replayed))) = read else {
            return Err(TestCaseError::fail(format!("{read:?}")));
        };
        // Two equal positions may have different traces.
        prop_assert_eq!(&replayed.source.trace, &delivery.source.trace);
        prop_assert_eq!((of, *replayed), (uuid, wanted));
    }

    /// Each event reads back with the delivery's id.
    #[test]
    fn an_event_reads_back_as_it_was_written((uuid, delivery) in any_delivery(), at in time()) {
        let (id, reason) = (delivery.id, DeadLetterReason::Refused);
        let delivery = Box::new(delivery);
        let outcome = sample::outcome();
        let events = [
            (Event::Delivered { delivery: delivery.clone(), attempt: 1, outcome: outcome.clone(), at }, "delivered"),
            (Event::DeadLettered { delivery: delivery.clone(), reason, at }, "dead_lettered"),
            (Event::AttemptFailed { delivery: id, attempt: 1, outcome, at, retry_at: None }, "attempt_failed"),
            (Event::Replayed { delivery }, "replayed"),
        ];
        for (event, kind) in events {
            let mut out = Vec::new();
            let context = EventContext { uuid: &uuid, account: None, at };
            prop_assert!(write_event(&mut out, &context, &State::default(), &event));
            let fact = read_notice(&out).map(|notice| notice.fact);
            let is_it = match kind {
                "delivered" => matches!(&fact, Some(Fact::Delivered { about, .. }) if about.id == id),
                "dead_lettered" => matches!(&fact, Some(Fact::DeadLettered { about, .. }) if about.id == id),
                "attempt_failed" => matches!(&fact, Some(Fact::AttemptFailed { about, .. }) if about.id == id),
                _ => matches!(&fact, Some(Fact::Replayed { about, .. }) if about.id == id),
            };
            prop_assert!(is_it, "{kind}: {fact:?}");
            let json = parsed(&out);
            prop_assert_eq!(&json["phonon_uuid"], &json!(uuid.as_str()));
        }
    }
}
