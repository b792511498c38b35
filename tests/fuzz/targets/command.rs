//! Commands of the inbox, and dead letters as a replay reads them.

use super::{sample, seen, split};
use crate::target::{Seen, Target};
use ringback::codec::command::{
    self, DISABLE_ENDPOINT, ENABLE_ENDPOINT, InboxCommand, read_command, write_disable_endpoint,
    write_enable_endpoint, write_replay,
};
use ringback::codec::event::{delivery_headers, record_headers, write_delivery_dead_letter};
use ringback::codec::letter::{LetterHead, read_delivery};
use ringback::domain::{
    Command, DeadLetterReason, Delivery, EndpointCommand, Phase, PhononUuid, Timestamp,
};

pub(super) const REPLAY: Target = Target {
    name: "replay-command",
    run: replay,
    seeds: || {
        let replay = |phase| replay_of(&sample::uuid(), &sample::delivery(phase));
        Phase::ALL.map(replay).to_vec()
    },
    words: WORDS,
    bytes_per_byte: 16,
};

pub(super) const ENDPOINT: Target = Target {
    name: "endpoint-command",
    run: endpoint,
    seeds: || {
        let (mut enable, mut disable) = (Vec::new(), Vec::new());
        write_enable_endpoint(&mut enable, &sample::webhook());
        let disabled = sample::endpoints().into_iter().find_map(|endpoint| endpoint.disabled);
        write_disable_endpoint(
            &mut disable,
            &sample::webhook(),
            &disabled.expect("a disabled one"),
        );
        vec![enable, disable]
    },
    words: WORDS,
    bytes_per_byte: 16,
};

pub(super) const LETTER: Target =
    Target { name: "dead-letter", run: letter, seeds: letters, words: WORDS, bytes_per_byte: 32 };

const WORDS: &[&str] = &[
    "\"webhook_id\":",
    "\"phonon_uuid\":",
    "\"account_id\":",
    "\"webhook\":",
    "\"phase\":",
    "\"replays\":",
    "\"source\":{",
    "\"topic\":",
    "\"partition\":",
    "\"offset\":",
    "\"timestamp\":",
    "\"body\":",
    "\"request\":{",
    "\"at\":",
    "\"cause\":",
    "gone",
    "failing",
    "msg_",
    "msg_+",
    "ringback.kind=",
    "ringback.reason=",
    "ringback.source.timestamp=",
    "ringback.truncated-from-bytes=",
    "record",
    "delivery",
    "2023-10-19T06:25:21.000Z",
    "-009999-01-01T00:00:00Z",
    "9999-12-31T23:59:60+23:59",
    "2023-10-19T06:25:21.0005-00:00[UTC]",
];

fn replay_of(uuid: &PhononUuid, delivery: &Delivery) -> Vec<u8> {
    let mut out = Vec::new();
    write_replay(&mut out, uuid, delivery);
    out
}

/// Panics unless a replay's delivery stays the same when it is written and read again, as in a forwarded record.
fn assert_replays(uuid: &PhononUuid, delivery: &Delivery) {
    let read = read_command(command::REPLAY, &replay_of(uuid, delivery));
    let Ok(InboxCommand::Of(of, Command::Replay(again))) = read else { panic!("{read:?}") };
    assert_eq!((&of, &*again), (uuid, delivery));
}

fn replay(input: &[u8]) -> Seen {
    let read = read_command(command::REPLAY, input);
    match &read {
        Ok(InboxCommand::Of(uuid, Command::Replay(delivery))) => {
            assert!(delivery.body.len() <= input.len());
            assert_replays(uuid, delivery);
        }
        Ok(other) => panic!("a replay is read as {other:?}"),
        Err(why) => assert!(!why.is_empty()),
    }
    seen(read)
}

fn endpoint(input: &[u8]) -> Seen {
    let both = [ENABLE_ENDPOINT, DISABLE_ENDPOINT].map(|name| {
        let read = read_command(name, input);
        let mut again = Vec::new();
        match &read {
            Ok(InboxCommand::About(webhook, EndpointCommand::Enable)) => {
                write_enable_endpoint(&mut again, webhook);
            }
            Ok(InboxCommand::About(webhook, EndpointCommand::Disable(disabled))) => {
                write_disable_endpoint(&mut again, webhook, disabled);
            }
            Ok(other) => panic!("a command about an endpoint is read as {other:?}"),
            Err(why) => {
                assert!(!why.is_empty());
                return format!("{read:?}");
            }
        }
        let same = read_command(name, &again).expect("the written command can be read");
        assert_eq!(format!("Ok({same:?})"), format!("{read:?}"));
        format!("{read:?}")
    });
    seen(both)
}

/// Returns dead letters as inputs: headers as lines, an empty line, and the value.
fn letters() -> Vec<Vec<u8>> {
    let delivery = sample::delivery(Phase::One);
    let reason = DeadLetterReason::Refused;
    let mut value = Vec::new();
    write_delivery_dead_letter(&mut value, &sample::uuid(), &delivery, reason, None);
    let record = record_headers(&sample::source(), DeadLetterReason::Undecodable, None, "no JSON");
    [(delivery_headers(&delivery, reason), value), (record, b"{}".to_vec())]
        .into_iter()
        .map(|(headers, value)| {
            let lines: String =
                headers.iter().map(|(name, text)| format!("{name}={text}\n")).collect();
            [lines.as_bytes(), b"\n", &value].concat()
        })
        .collect()
}

/// The name and the bytes of a header.
type Header<'i> = (&'i [u8], &'i [u8]);

/// Returns the headers and the value of an input. Headers are bytes and need not be text.
pub(super) fn headers_and_value(input: &[u8]) -> (Vec<Header<'_>>, &[u8]) {
    let (lines, value) = split(input);
    let header = |line: &'_ [u8]| line.iter().position(|byte| *byte == b'=');
    let headers = lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| header(line).map(|at| (&line[..at], &line[at + 1..])))
        .collect();
    (headers, value)
}

fn letter(input: &[u8]) -> Seen {
    let (headers, value) = headers_and_value(input);
    let find = |name: &str| {
        let (_, text) = headers.iter().find(|(key, _)| *key == name.as_bytes())?;
        std::str::from_utf8(text).ok()
    };
    let head = LetterHead::read(find, Timestamp::default());
    let source = head.as_ref().and_then(|head| head.source.clone()).unwrap_or_else(sample::source);
    let read = read_delivery(value, source.clone());
    if let Some((uuid, delivery)) = &read {
        let mut again = Vec::new();
        let reason = DeadLetterReason::Refused;
        write_delivery_dead_letter(&mut again, uuid, delivery, reason, None);
        assert_eq!(read_delivery(&again, source).as_ref(), Some(&(uuid.clone(), delivery.clone())));
        let headers = delivery_headers(delivery, reason);
        let find = |name: &str| {
            headers.iter().find(|(key, _)| *key == name).map(|(_, text)| text.as_str())
        };
        let head = LetterHead::read(find, Timestamp::default()).expect("the headers are valid");
        assert_eq!((head.id, head.source.as_ref()), (Some(delivery.id), Some(&delivery.source)));
        assert_replays(uuid, delivery);
    }
    seen((format!("{head:?}"), read))
}
