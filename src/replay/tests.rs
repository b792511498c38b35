//! Filters, which operators write, and notes, which runs write.

use super::note::{Note, Passed};
use super::{Filter, Target, When};
use crate::codec::letter::{LetterHead, LetterKind};
use crate::domain::{AccountId, DeliveryId, PhononUuid, Timestamp};

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

#[test]
fn times_are_rfc_3339_or_an_age() {
    let at = |text| When::parse(text, NOW).map(|when| when.at.as_ms());
    assert_eq!(at("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
    assert_eq!(at("2023-11-15T03:43:20.5+05:30"), Ok(1_700_000_000_500));
    for (text, ms) in
        [("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000), ("7d", 604_800_000), ("0s", 0)]
    {
        assert_eq!(at(text), Ok(NOW.as_ms() - ms), "{text}");
    }
    for text in ["", "2", "h", "-2h", "2 h", "2y", "yesterday", "2023-11-14", "99999999999999999d"]
    {
        assert!(at(text).is_err(), "{text}");
    }
}

#[test]
fn a_target_is_a_delivery_or_a_place() {
    let id = DeliveryId::derive(&PhononUuid::new("u").unwrap(), 1, []);
    assert_eq!(Target::parse(&id.to_string()), Ok(Target::Delivery(id)));
    assert_eq!(Target::parse("3:42"), Ok(Target::TopicPartition(3, 42)));
    for text in ["", "3", "3:", ":3", "-1:3", "3:-1", "+3:4", "msg_1", "3:4:5"] {
        assert!(Target::parse(text).is_err(), "{text}");
    }
}

fn head() -> LetterHead<'static> {
    LetterHead {
        kind: LetterKind::Delivery,
        reason: "refused",
        id: None,
        webhook: Some("crm"),
        account: Some(AccountId(28)),
        phase: Some(1),
        attempts: None,
        first_attempt_at: None,
        last_attempt_at: None,
        source: None,
        detail: None,
        truncated_from: None,
    }
}

#[test]
fn a_filter_selects_letters_that_meet_all_conditions() {
    let fits = |filter: &Filter| filter.fits((3, 42), NOW, &head());
    let none = Filter::default();
    let when =
        |ms: i64| Some(When { spelt: String::new(), at: Timestamp::from_ms(NOW.as_ms() + ms) });
    let text = |text: &str| Some(text.to_owned());
    assert!(fits(&none));
    for (filter, fit) in [
        (Filter { webhook: text("crm"), ..none.clone() }, true),
        (Filter { webhook: text("cr"), ..none.clone() }, false),
        (Filter { account: Some(AccountId(28)), ..none.clone() }, true),
        (Filter { account: Some(AccountId(29)), ..none.clone() }, false),
        (Filter { phase: Some(2), ..none.clone() }, false),
        (Filter { reason: text("refused"), phase: Some(1), ..none.clone() }, true),
        (Filter { reason: text("age_exceeded"), ..none.clone() }, false),
        (Filter { since: when(0), until: when(1), ..none.clone() }, true),
        (Filter { since: when(1), ..none.clone() }, false),
        (Filter { until: when(0), ..none.clone() }, false),
        (Filter { target: Some(Target::TopicPartition(3, 42)), ..none.clone() }, true),
        (Filter { target: Some(Target::TopicPartition(3, 43)), ..none.clone() }, false),
    ] {
        assert_eq!(fits(&filter), fit, "{filter:?}");
    }
}

#[test]
fn equal_filters_have_the_same_run_and_different_filters_do_not() {
    let aged = |now| Filter {
        since: When::parse("2h", now).ok(),
        reason: Some("refused".to_owned()),
        ..Filter::default()
    };
    assert_eq!(aged(NOW).fingerprint(), aged(NOW.plus_ms(9_000)).fingerprint());
    let webhook = Filter { webhook: Some("refused".to_owned()), ..Filter::default() };
    let reason = Filter { reason: Some("refused".to_owned()), ..Filter::default() };
    assert_ne!(webhook.fingerprint(), reason.fingerprint());
    assert_ne!(webhook.fingerprint(), Filter::default().fingerprint());
}

#[test]
fn a_note_reads_back_and_keeps_the_runs_times() {
    let begun = When::parse("2h", NOW).unwrap();
    let note = Note {
        start: 7,
        end: i64::MAX,
        since_ms: Some(begun.at.as_ms()),
        until_ms: None,
        done: false,
        passed: Passed { replayed: u64::MAX, delivered: u64::MAX, older: 3, sent: 4, unfit: 5 },
    };
    let text = note.write();
    assert!(text.len() < 512, "brokers keep 4096 bytes: {text}");
    assert_eq!(Note::read(&text), Some(note.clone()));
    let later = NOW.plus_ms(60_000);
    let filter = Filter { since: When::parse("2h", later).ok(), ..Filter::default() };
    assert_eq!(note.filter(&filter).since.map(|when| when.at), Some(begun.at));
    for text in ["", "{}", "something else"] {
        assert_eq!(Note::read(text), None, "{text}");
    }
}
