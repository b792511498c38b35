//! Tests of the sink's pure part: answers, batches, replies, letters. The module `writing` tests the writer.

mod writing;

use super::answer::field_name;
use super::batch::{Batch, EventRecord, Update};
use super::letters;
use super::reply::{self, Done, Reply, UnknownCodes};
use super::settings::{MissingDocument, MongoSettings, WriteConcern, check_uri};
use super::writer::{Refused, WrittenCounts, commands};
use crate::codec::event::read_ended;
use crate::delivery::Secret;
use crate::domain::{AccountId, DeliveryId, Timestamp};
use crate::log::TopicNames;
use mongodb::bson::{Document, doc};
use std::time::Duration;

const ID: &str = "msg_abababababababababababababababab";
const OTHER: &str = "msg_cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

fn settings() -> MongoSettings {
    MongoSettings {
        uri: Secret::new("mongodb://localhost".to_owned()),
        shown: "localhost".to_owned(),
        database: "phonon".to_owned(),
        collection: "SMSDetailDocument".to_owned(),
        id_field: "_id".to_owned(),
        field: "notify_on_delivery".to_owned(),
        missing: MissingDocument::Skip,
        write_concern: WriteConcern::Majority,
        batch_documents_max: 1000,
        batch_bytes_max: 1 << 20,
        request_timeout: Duration::from_secs(1),
        listen: ([127, 0, 0, 1], 0).into(),
    }
}

/// Returns a `delivered` event about these SMS.
fn delivered(id: &str, second: u8, sms: &str, body: &str) -> String {
    format!(
        r#"{{"type":"delivered","phonon_uuid":"u","account_id":28,"at":"2026-01-31T12:00:{second:02}.000Z",
        "webhook":"crm","webhook_id":"{id}","phase":2,"attempt":3,"attempts":3,{sms},
        "response_status":"SUCCESS","response_status_code":204,"response_status_type":"SUCCESSFUL",
        "response_duration":0.007,"response_raw":{body},"response_truncated":false,
        "response_variables":{{"a.b":"x","$c":1,"d":0.10,"e":[1,[2]],"f":true,"g":null}},"response_error":false}}"#
    )
}

const DEAD: &str = r#"{"type":"dead_lettered","phonon_uuid":"u","account_id":28,"at":"2026-01-31T12:00:01.000Z",
    "webhook":"crm","webhook_id":"msg_abababababababababababababababab","phase":0,"kind":"delivery",
    "reason":"attempts_exhausted","attempts":16,"replays":2,"sms_id":"s-1","last_outcome":{"response_status":"FAILED",
    "response_duration":5.000,"response_raw":null,"response_error":true,"error_detail":"connection refused",
    "error_reason":"UNREACHABLE"}}"#;

fn event(offset: i64, value: &str) -> EventRecord {
    EventRecord {
        partition: 3,
        offset,
        timestamp: Timestamp::from_ms(5),
        account: Some(AccountId(28)),
        key: Some(b"u".as_slice().into()),
        value: value.as_bytes().into(),
    }
}

fn add(batch: &mut Batch, offset: i64, value: &str) {
    let ended = read_ended(value.as_bytes()).unwrap().unwrap();
    batch.insert(&ended, event(offset, value));
}

fn updates(events: &[(i64, String)]) -> Vec<Update> {
    let mut batch = Batch::new(&settings());
    for (offset, value) in events {
        add(&mut batch, *offset, value);
    }
    batch.take_updates()
}

fn document(update: &Update) -> Document {
    Document::try_from(&update.answer.document).unwrap()
}

#[test]
fn an_answer_has_what_the_event_has_and_begins_with_its_order() {
    let [update] = &updates(&[(7, delivered(ID, 1, r#""sms_id":"s-1""#, r#""ok \"फ\"""#))])[..]
    else {
        panic!("one SMS")
    };
    let at = mongodb::bson::DateTime::parse_rfc3339_str("2026-01-31T12:00:01Z").unwrap();
    let wanted = doc! {
        "replays": 0_i64, "at": at, "offset": 7_i64, "partition": 3, "type": "delivered", "webhook": "crm", "phase": 2,
        "attempts": 3_i64, "response_status": "SUCCESS", "response_status_code": 204,
        "response_status_type": "SUCCESSFUL", "response_duration": 0.007, "response_raw": "ok \"फ\"",
        "response_truncated": false,
        "response_variables": {
            "\u{ff04}c": 1_i64, "a\u{ff0e}b": "x", "d": "0.10", "e": "[1,[2]]", "f": true, "g": null,
        },
        "response_error": false,
    };
    assert_eq!((&*update.sms, document(update)), ("s-1", wanted));
    let order: Vec<String> = document(update).keys().take(3).cloned().collect();
    assert_eq!(order, ["replays", "at", "offset"], "$max compares these first");
    let [dead] = &updates(&[(8, DEAD.to_owned())])[..] else { panic!("one SMS") };
    let wanted = doc! {
        "replays": 2_i64, "at": at, "offset": 8_i64, "partition": 3, "type": "dead_lettered", "webhook": "crm", "phase": 0,
        "attempts": 16_i64, "reason": "attempts_exhausted", "response_status": "FAILED",
        "response_duration": 5.0, "response_raw": null, "response_error": true,
        "error_detail": "connection refused", "error_reason": "UNREACHABLE",
    };
    assert_eq!(document(dead), wanted);
    assert!(update.answer.order < dead.answer.order);
}

#[test]
fn a_batch_keeps_the_newest_answer_of_a_delivery_for_each_of_its_sms() {
    let both = r#""sms":["s-2","s-1"]"#;
    let (old, new) = (delivered(ID, 1, both, "null"), delivered(ID, 2, both, "\"new\""));
    let other = delivered(OTHER, 1, r#""sms_id":"s-1""#, "null");
    for order in [[1, 2], [2, 1]] {
        let of = |which: i64| (which, if which == 1 { old.clone() } else { new.clone() });
        let events = [of(order[0]), (3, other.clone()), of(order[1])];
        let found = updates(&events);
        let shown: Vec<_> = found
            .iter()
            .map(|it| (&*it.sms, it.delivery.to_string(), it.answer.event.offset))
            .collect();
        let id = |id: &str| id.to_owned();
        assert_eq!(shown, [("s-1", id(ID), 2), ("s-1", id(OTHER), 3), ("s-2", id(ID), 2)]);
    }
    // A clock was set back between the dead letter and the answer of its replay.
    let delivered_later = delivered(ID, 0, r#""replays":3,"sms_id":"s-1""#, "null");
    let found = updates(&[(1, DEAD.to_owned()), (2, delivered_later.clone())]);
    let [only] = &found[..] else { panic!("one SMS") };
    assert_eq!(document(only).get_str("type").unwrap(), "delivered");
    let found = updates(&[(2, delivered_later), (1, DEAD.to_owned())]);
    assert_eq!(document(&found[0]).get_i64("replays").unwrap(), 3);
    // Equal times: the offset decides.
    let found = updates(&[(5, old.clone()), (4, old.clone())]);
    assert!(found.iter().all(|it| it.answer.event.offset == 5));
}

#[test]
fn only_ends_of_deliveries_are_read() {
    let record = r#"{"type":"dead_lettered","at":"2026-01-31T12:00:01.000Z","kind":"record","reason":"undecodable"}"#;
    let accepted = r#"{"type":"report_accepted","status":"delivered"}"#;
    for other in [record, accepted, "", "{}", r#"{"type":"delivery_scheduled"}"#] {
        assert!(matches!(read_ended(other.as_bytes()), Ok(None)), "{other}");
    }
    for unreadable in [
        r#"{"type":"delivered"}"#,
        r#"{"type":"delivered","at":"now","webhook_id":"msg_abababababababababababababababab","attempts":1}"#,
        r#"{"type":"dead_lettered","at":"2026-01-31T12:00:01.000Z","kind":"delivery"}"#,
        r#"{"type":"dead_lettered","at":"2026-01-31T12:00:01.000Z","kind":"delivery","webhook_id":"msg_abababababababababababababababab","reason":"refused","attempts":1}"#,
    ] {
        assert!(read_ended(unreadable.as_bytes()).is_err(), "{unreadable}");
    }
}

#[test]
fn names_of_fields_have_no_dots_dollars_and_nuls() {
    assert_eq!(field_name("$a.b\0c").as_str(), "\u{ff04}a\u{ff0e}b\u{2400}c");
    let id = DeliveryId::from_bytes([0xff; 16]).to_string();
    assert_eq!(field_name(&id).as_str(), id, "a webhook-id needs no escape");
}

#[test]
fn commands_stay_below_their_limit() {
    let body = format!("\"{}\"", "x".repeat(9 << 20));
    let events: Vec<(i64, String)> = (0..3_u8)
        .map(|n| (n.into(), delivered(ID, 1, &format!(r#""sms_id":"s-{n}""#), &body)))
        .collect();
    assert_eq!(commands(&updates(&events), 10, 0), [0..1, 1..2, 2..3]);
    let dead = updates(&[(1, DEAD.to_owned())]);
    assert_eq!(commands(&dead, 10, 0), std::slice::from_ref(&(0..1)));
    assert!(commands(&[], 10, 0).is_empty());
    let sms: Vec<String> = (0..5).map(|n| format!("\"s-{n}\"")).collect();
    let several = delivered(ID, 1, &format!(r#""sms":[{}]"#, sms.join(",")), "null");
    let several = updates(&[(1, several)]);
    assert_eq!(commands(&several, 2, 0), [0..2, 2..4, 4..5], "the number of answers");
    assert_eq!(commands(&several, 10, 5 << 20), [0..2, 2..4, 4..5], "names and ids count");
}

#[test]
fn a_full_batch_ends_the_reading() {
    let mut batch = Batch::new(&MongoSettings { batch_bytes_max: 500, ..settings() });
    assert!(!batch.is_full());
    add(&mut batch, 1, &delivered(ID, 1, r#""sms_id":"s""#, "null"));
    assert!(batch.is_full(), "its bytes");
    let mut batch = Batch::new(&MongoSettings { batch_documents_max: 2, ..settings() });
    add(&mut batch, 1, &delivered(ID, 1, r#""sms":["a","b"]"#, "null"));
    assert!(batch.is_full(), "its documents");
    batch.clear();
    assert!(!batch.is_full() && batch.is_empty());
}

#[test]
fn replies_are_done_refused_or_to_be_repeated() {
    let read = |answer: &Document| reply::read(answer, UnknownCodes::Retry);
    let done = doc! { "n": 3, "nModified": 1_i64, "upserted": [{ "index": 0 }], "ok": 1.0 };
    assert_eq!(read(&done), Ok(Reply::Done(Done { matched: 3, modified: 1, upserted: 1 })));
    let error = |code: i32| doc! { "ok": 1.0, "n": 1, "writeErrors": [{ "index": 0, "code": code, "errmsg": "why" }] };
    for code in [2, 14, 28, 57, 66, 121, 10334, 11000, 17280, 17419, 17420] {
        let refused = Reply::Refused { code, text: "why".to_owned() };
        assert_eq!(read(&error(code)), Ok(refused));
    }
    let transient =
        [13, 61, 65, 70, 72, 83, 91, 112, 175, 189, 202, 249, 365, 371, 10107, 11600, 11601, 14031];
    for code in transient {
        for unknown in [UnknownCodes::Retry, UnknownCodes::Refuse] {
            let failed = reply::read(&error(code), unknown).unwrap_err();
            let wanted = format!("an update failed with code {code}: why");
            assert!(failed.text.starts_with(&wanted) && !failed.has_unknown_code, "{failed}");
        }
    }
    let sharded = read(&error(61)).unwrap_err().to_string();
    assert!(sharded.contains("sink.mongodb.id_field"), "{sharded}");
    for code in [1, 8, 999_999] {
        assert!(read(&error(code)).unwrap_err().has_unknown_code, "{code}");
        let refused = Reply::Refused { code, text: "why".to_owned() };
        assert_eq!(reply::read(&error(code), UnknownCodes::Refuse), Ok(refused));
    }
    let concern = doc! { "ok": 1.0, "n": 1, "nModified": 1, "writeConcernError": { "code": 64, "errmsg": "timed out" } };
    let failed = read(&concern).unwrap_err().to_string();
    assert_eq!(failed, "the write is not acknowledged, code 64: timed out");
}

#[test]
fn answers_are_counted_by_what_became_of_their_documents() {
    let both = r#""sms":["s-1","s-2","s-3","s-4"]"#;
    let part = updates(&[(1, delivered(ID, 1, both, "null")), (2, DEAD.replace("abab", "cdcd"))]);
    assert_eq!(part.len(), 5, "one document gets two answers");
    let mut counts = WrittenCounts::default();
    counts.add(&part, Done { matched: 3, modified: 2, upserted: 0 });
    let wanted = WrittenCounts { written: 3, unchanged: 1, missing: 1, refused: 0 };
    assert_eq!(counts, wanted);
    let mut counts = WrittenCounts::default();
    counts.add(&part, Done { matched: 4, modified: 1, upserted: 3 });
    assert_eq!(counts, WrittenCounts { written: 5, ..WrittenCounts::default() });
}

#[test]
fn an_event_with_refused_documents_has_one_letter() {
    let part = updates(&[
        (2, delivered(ID, 1, r#""sms":["s-1","s-2"]"#, "null")),
        (1, delivered(OTHER, 1, r#""sms_id":"s-3""#, "null")),
    ]);
    let refuse = |update: &Update| Refused { update: update.clone(), code: 28, text: "why".into() };
    let refused: Vec<Refused> = part.iter().map(refuse).collect();
    let topics = TopicNames {
        flow_complete: Vec::new(),
        delivery_report: Vec::new(),
        flow_started: Vec::new(),
        events: "ringback.events".to_owned(),
        dead_letter: String::new(),
        changelog: String::new(),
        inbox: String::new(),
        unwrap: crate::codec::source::Unwrap::default(),
    };
    let letters = letters::of(&refused, &topics);
    let shown: Vec<_> = letters.iter().map(|it| (it.offset, it.detail.as_str())).collect();
    assert_eq!(
        shown,
        [
            (1, "the document of SMS s-3: code 28: why"),
            (2, "the document of SMS s-1: code 28: why (and 1 more)"),
        ]
    );
    let outgoing = letters[0].outgoing("dead");
    assert_eq!((outgoing.topic, outgoing.key), ("dead", Some(b"u".as_slice())));
    let header = |name: &str| outgoing.headers.iter().find(|it| it.0 == name).unwrap().1.as_str();
    assert_eq!(header("ringback.kind"), "record");
    assert_eq!(header("ringback.reason"), "sink_refused");
    assert_eq!(header("ringback.source.topic"), "ringback.events");
    assert_eq!(header("ringback.source.offset"), "1");
    assert_eq!(header("ringback.account"), "28");
}

#[test]
fn the_hosts_of_a_connection_string_are_shown_without_credentials() {
    assert_eq!(check_uri("mongodb://u:hush@a:1,b/db?w=1").unwrap(), "a:1,b:27017");
    assert!(check_uri("mongodb+srv://u:hush@cluster.example.com").unwrap().contains("cluster"));
    for wrong in [
        "",
        "http://a",
        "mongodb://u:hu@sh@a",
        "mongodb://u:hush@",
        "mongodb://u:hush@a/?w=-1",
        "mongodb://u:hush",
        "mongodb://u:hush/db",
        "mongodb://u:hush?9@a",
        "mongodb://u:hush#9@a",
        "mongodb://u:9/hush@a",
        "mongodb://u@a/?authMechanism=MONGODB-AWS&authMechanismProperties=hush",
        "mongodb://u@a/?authMechanism=MONGODB-OIDC&authMechanismProperties=A:b,hush",
        "mongodb://u@a/?readPreference=hush",
    ] {
        let error = check_uri(wrong).unwrap_err();
        assert!(!error.contains("hush") && !error.contains("hu@sh"), "{wrong}: {error}");
    }
    let of = |uri: &str| check_uri(uri).unwrap_err();
    assert!(of("mongodb://u:hush").contains("name a host behind the user and the password"));
    assert!(of("mongodb://u:hush?9@a").contains("percent-encode"));
    let properties = of("mongodb://u@a/?authMechanismProperties=hush");
    assert_eq!(properties, "each entry of authMechanismProperties must be NAME:VALUE");
}
