//! Arguments by which operators choose dead letters, and the note of a replay about its progress.

use super::seen;
use crate::target::Target;
use ringback::domain::{DeliveryId, Timestamp};
use ringback::replay::{Filter, Note, Passed, When};

pub(super) const AGE: Target = Target {
    name: "age",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let now = Timestamp::from_ms(1_700_000_000_000);
        let when = When::parse(&text, now);
        if let Ok(when) = &when {
            assert_eq!(when.spelt, text);
            let filter = |when: &When| Filter { since: Some(when.clone()), ..Filter::default() };
            assert_eq!(filter(when).fingerprint(), filter(when).fingerprint());
        }
        seen(when)
    },
    seeds: || {
        ["2h", "30s", "15min", "7d", "2026-11-21T09:00:00Z", "2026-11-21T09:00:00.123+05:30"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
    },
    words: &[
        "s",
        "m",
        "min",
        "h",
        "d",
        "w",
        "T",
        "Z",
        "+05:30",
        "[UTC]",
        "-009999",
        "9223372036854775807",
        "٣",
    ],
    bytes_per_byte: 16,
};

pub(super) const TARGET: Target = Target {
    name: "letter-target",
    run: |input| {
        use ringback::replay::Target;
        let text = String::from_utf8_lossy(input);
        let target = Target::parse(&text);
        match target {
            Ok(Target::Delivery(id)) => assert_eq!(DeliveryId::parse(&id.to_string()), Some(id)),
            Ok(Target::Place(partition, offset)) => {
                assert!(partition >= 0 && offset >= 0);
                assert_eq!(Target::parse(&format!("{partition}:{offset}")), target);
            }
            Err(_) => {}
        }
        seen(target)
    },
    seeds: || vec![b"msg_000000000000000000000000000000ff".to_vec(), b"3:42".to_vec()],
    words: &["msg_", ":", "+", "-", "2147483647", "2147483648", "9223372036854775807"],
    bytes_per_byte: 8,
};

pub(super) const NOTE: Target = Target {
    name: "replay-note",
    run: |input| {
        let note = Note::read(&String::from_utf8_lossy(input));
        if let Some(note) = &note {
            assert_eq!(Note::read(&note.write()).as_ref(), Some(note));
            let _ = note.filter(&Filter::default());
        }
        seen(note)
    },
    seeds: || {
        let passed = Passed { replayed: 1, delivered: u64::MAX, older: 2, sent: 3, unfit: 4 };
        let note = Note {
            start: 1,
            end: i64::MAX,
            since_ms: Some(-1),
            until_ms: None,
            done: true,
            passed,
        };
        vec![note.write().into_bytes()]
    },
    words: &["\"start\":", "\"end\":", "\"since_ms\":", "\"done\":", "\"passed\":{", "null"],
    bytes_per_byte: 32,
};
