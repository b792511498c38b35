//! Dead letters are read as they were written.

use super::*;
use crate::codec::event::{delivery_headers, record_headers, write_delivery_dead_letter};
use crate::domain::{DeadLetterReason, Due, Phase, WebhookName};
use bytes::Bytes;

const AT: Timestamp = Timestamp::from_ms(1_697_696_721_042);

fn source() -> Source {
    Source {
        topic: "flow-complete".into(),
        partition: 3,
        offset: 42,
        timestamp: AT,
        index: None,
        trace: None,
    }
}

fn delivery() -> (PhononUuid, Delivery) {
    let uuid = PhononUuid::new("u-1").unwrap();
    let delivery = Delivery {
        rendering: crate::domain::Rendering::Fixed,
        sms: [crate::domain::SmsId::new("a").unwrap()].into(),
        id: DeliveryId::derive(&uuid, 2, []),
        phase: Phase::Two,
        account: AccountId(28),
        webhook: WebhookName::new("crm").unwrap(),
        body: Bytes::from_static("{\"text\":\"फोनन\"}".as_bytes()),
        source: source(),
        scheduled_at: AT,
        due: Due::At(AT),
        attempts: 7,
        replays: 2,
        first_attempt_at: Some(AT),
        last_attempt_at: Some(AT),
        last_outcome: None,
    };
    (uuid, delivery)
}

fn find<'h>(headers: &'h [(&'static str, String)]) -> impl Fn(&str) -> Option<&'h str> {
    move |name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_deliverys_dead_letter_contains_all_that_a_replay_needs() {
    let (uuid, delivery) = delivery();
    let headers = delivery_headers(&delivery, DeadLetterReason::Refused);
    let head = LetterHead::read(find(&headers), Timestamp::default()).unwrap();
    assert_eq!((head.kind, head.reason), (LetterKind::Delivery, "refused"));
    assert_eq!((head.id, head.webhook), (Some(delivery.id), Some("crm")));
    assert_eq!((head.account, head.phase), (Some(AccountId(28)), Some(2)));
    assert_eq!((head.attempts, head.truncated_from), (Some(7), None));
    assert_eq!(head.source, Some(source()));
    let mut value = Vec::new();
    write_delivery_dead_letter(&mut value, &uuid, &delivery, DeadLetterReason::Refused, None);
    let (of, read) = read_delivery(&value, head.source.unwrap()).unwrap();
    assert_eq!(of, uuid);
    let next = Delivery { attempts: 0, first_attempt_at: None, last_attempt_at: None, ..delivery };
    assert_eq!(read, next);
}

#[test]
fn a_records_dead_letter_names_the_records_position() {
    let headers = record_headers(&source(), DeadLetterReason::Undecodable, None, "no JSON");
    let head = LetterHead::read(find(&headers), Timestamp::default()).unwrap();
    assert_eq!((head.kind, head.reason), (LetterKind::Record, "undecodable"));
    assert_eq!((head.source, head.detail), (Some(source()), Some("no JSON")));
    assert_eq!((head.id, head.account), (None, None));
}

#[test]
fn records_of_other_programs_are_no_dead_letters() {
    assert_eq!(LetterHead::read(|_| None, AT), None);
    assert_eq!(LetterHead::read(|name| (name == "ringback.kind").then_some("what"), AT), None);
    for value in ["", "{}", "{\"webhook_id\":\"msg_1\"}", "[]"] {
        assert_eq!(read_delivery(value.as_bytes(), source()), None, "{value}");
    }
}
