//! Keys of the store and the changelog, and checkpoints.

use super::{sample, seen};
use crate::target::{Seen, Target};
use ringback::domain::{Class, DeliveryId};
use ringback::store::{AwaitingKey, Checkpoint, DueKey, RowKey, Tally, TimerKey};

pub(super) const KEY: Target = Target {
    name: "store-key",
    run: key,
    seeds: || {
        let (mut state, mut endpoint, mut timer, mut due) = (vec![], vec![], vec![], vec![]);
        RowKey::write_state(&sample::uuid(), &mut state);
        RowKey::write_endpoint(&sample::webhook(), &mut endpoint);
        TimerKey::write(sample::AT, b"u", &mut timer);
        let id = DeliveryId::from_bytes([7; 16]);
        DueKey { class: Class::Retry, due: sample::AT, id }.write(&sample::webhook(), &mut due);
        let mut awaiting = Vec::new();
        AwaitingKey::write(sample::AT, b"u", &mut awaiting);
        vec![RowKey::META.to_vec(), state, endpoint, timer, due, awaiting]
    },
    words: &["m", "s", "e", "k", "t", "d", "w"],
    bytes_per_byte: 8,
};

pub(super) const CHECKPOINT: Target = Target {
    name: "checkpoint",
    run: |input| {
        let read = Checkpoint::from_bytes(input);
        if let Some(checkpoint) = read {
            assert_eq!(checkpoint.to_bytes(), input, "each checkpoint has only one encoding");
        }
        seen(read)
    },
    seeds: || {
        let (awaiting_flow, open, silent, ended, held, awaiting_reports) =
            (1, u64::MAX, 3, 4, 5, 6);
        let tally = Tally { awaiting_flow, open, silent, ended, held, awaiting_reports };
        let checkpoint = Checkpoint { next_offset: i64::MAX, at: sample::AT, tally };
        vec![Checkpoint::default().to_bytes(), checkpoint.to_bytes()]
    },
    words: &[],
    bytes_per_byte: 8,
};

/// Checks that a key of any kind is the same when it is read and written again.
fn key(input: &[u8]) -> Seen {
    let mut again = Vec::new();
    let row = RowKey::parse(input);
    match &row {
        Some(RowKey::Meta) => again.extend_from_slice(RowKey::META),
        Some(RowKey::State(uuid)) => RowKey::write_state(uuid, &mut again),
        Some(RowKey::Endpoint(webhook)) => RowKey::write_endpoint(webhook, &mut again),
        None => {}
    }
    let timer = TimerKey::parse(input);
    if let Some(key) = &timer {
        TimerKey::write(key.due, key.uuid.as_str().as_bytes(), &mut again);
    }
    let awaiting = AwaitingKey::parse(input);
    if let Some(key) = &awaiting {
        AwaitingKey::write(key.since, key.uuid.as_str().as_bytes(), &mut again);
    }
    let due = DueKey::parse(input);
    if let Some((webhook, key)) = &due {
        key.write(webhook, &mut again);
    }
    if row.is_some() || timer.is_some() || awaiting.is_some() || due.is_some() {
        assert_eq!(again, input, "a key is of one kind, and has only one encoding");
    }
    seen((row, timer, due))
}
