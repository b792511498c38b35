//! Checks that each replay in the inbox begins at most one life, and exactly one if it is not superfluous.

use super::Cuts;
use super::history::History;
use super::ledger::Ledgers;
use super::letters::Letters;
use super::violation::{Book, Violation, What};
use crate::domain::{DeliveryId, Timestamp};
use std::collections::HashMap;

/// The largest tolerated difference between clocks, where a time decides whether a command may be deleted.
const CLOCKS_DIFFER_MS: u64 = 600_000;

/// A replay in the inbox.
struct Sent {
    partition: i32,
    offset: i64,
    replays: u32,
}

#[derive(Default)]
struct Replays {
    uuid: Box<str>,
    sent: Vec<Sent>,
    revived: Vec<Timestamp>,
}

/// The replays of all deliveries.
#[derive(Default)]
pub(super) struct Commands(HashMap<DeliveryId, Replays>);

impl Commands {
    fn of(&mut self, id: DeliveryId, uuid: &str) -> &mut Replays {
        let replays = self.0.entry(id).or_default();
        if replays.uuid.is_empty() {
            replays.uuid = uuid.into();
        }
        replays
    }

    /// Takes a replay in the partition of the inbox where it is decided.
    pub(super) fn sent(
        &mut self,
        id: DeliveryId,
        uuid: &str,
        (partition, offset): (i32, i64),
        replays: u32,
    ) {
        self.of(id, uuid).sent.push(Sent { partition, offset, replays });
    }

    /// Takes an event about the begin of a new life.
    pub(super) fn revived(&mut self, id: DeliveryId, uuid: &str, at: Timestamp) {
        self.of(id, uuid).revived.push(at);
    }

    /// Reports replays without effect, and lives without a replay.
    pub(super) fn finish<'a>(
        &self,
        ledgers: &Ledgers,
        letters: &Letters,
        inbox: &Cuts,
        history: &dyn Fn(&str) -> Option<&'a History>,
        book: &mut Book,
    ) {
        for (id, replays) in &self.0 {
            let history = history(&replays.uuid).filter(|history| !history.cut);
            let life =
                history.and_then(|history| history.life(*id)).filter(|life| life.scheduled < 2);
            for sent in &replays.sent {
                let place = ledgers.inbox(sent.partition);
                let committed = ledgers.committed(place);
                let read = committed.is_some_and(|(before, _)| sent.offset < before);
                // The life that it replays must have ended. Then only another replay can make it superfluous: a later
                // one, or a second one of an older letter, which retention may have removed.
                let older = replays.sent.iter().filter(|other| other.replays < sent.replays);
                let needed = letters.is_reported(*id, sent.replays)
                    && older.count() as u64 == u64::from(sent.replays)
                    && (sent.replays == 0 || !inbox.is_cut(sent.partition));
                if read && needed && life.is_some_and(|life| life.replays_max <= sent.replays) {
                    let says = "the replay was read, but it had no effect".to_owned();
                    let at = ledgers.spot(place, sent.offset);
                    book.note(Violation::new(What::Lost, says).of(&replays.uuid).about(*id).at(at));
                }
            }
            let since = inbox.since(replays.uuid.as_bytes());
            let whole =
                |at: &&Timestamp| since.is_none_or(|since| **at >= since.plus_ms(CLOCKS_DIFFER_MS));
            let revived = replays.revived.iter().filter(whole).count();
            let read = |sent: &&Sent| {
                let committed = ledgers.committed(ledgers.inbox(sent.partition));
                committed.is_none_or(|(_, after)| sent.offset < after)
            };
            let sent = replays.sent.iter().filter(read).count();
            if revived > sent {
                let says = format!(
                    "it was replayed {revived} times, but the inbox has {sent} commands that request it"
                );
                let what = if sent == 0 { What::UnexplainedEvent } else { What::Twice };
                book.note(Violation::new(what, says).of(&replays.uuid).about(*id));
            }
        }
    }
}
