//! Compares the requests that a receiver saw with the events.

use super::Options;
use super::history::History;
use super::life::Life;
use super::violation::{Book, Violation, What, shown};
use crate::domain::{DeliveryId, Timestamp};
use std::collections::HashMap;

/// The largest tolerated difference of receivers' clocks, where a time decides whether something is judged.
const CLOCKS_DIFFER_MS: u64 = 60_000;

/// A request as a receiver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverEntry {
    /// When it had arrived, by the receiver's clock.
    pub at: Timestamp,
    /// The value of `webhook-id`.
    pub id: DeliveryId,
    /// The status of the answer.
    pub status: u16,
    /// A hash of the body. Equal bodies have equal hashes.
    pub body: u128,
}

/// All requests with the same webhook-id.
struct Seen {
    count: u32,
    body: u128,
    bodies_differ: bool,
    first: Timestamp,
    /// The statuses of the answers, each with its first time.
    answers: Vec<(u16, Timestamp)>,
}

/// The requests that receivers saw, by webhook-id.
#[derive(Default)]
pub(super) struct Requests {
    seen: HashMap<DeliveryId, Seen>,
    /// Whether a log was given, which may be empty.
    given: bool,
    pub(super) count: u64,
}

impl Requests {
    pub(super) fn given(&mut self) {
        self.given = true;
    }

    pub(super) fn take(&mut self, entry: ReceiverEntry) {
        self.given = true;
        self.count += 1;
        let seen = self.seen.entry(entry.id).or_insert_with(|| Seen {
            count: 0,
            body: entry.body,
            bodies_differ: false,
            first: entry.at,
            answers: Vec::new(),
        });
        seen.count = seen.count.saturating_add(1);
        seen.bodies_differ |= seen.body != entry.body;
        seen.first = seen.first.min(entry.at);
        match seen.answers.iter_mut().find(|(status, _)| *status == entry.status) {
            Some((_, at)) => *at = entry.at.min(*at),
            None => seen.answers.push((entry.status, entry.at)),
        }
    }

    /// Compares a uuid's deliveries with their requests, and removes these. Returns how many requests were repeats.
    pub(super) fn compare(&mut self, uuid: &str, history: &History, book: &mut Book) -> u64 {
        if !self.given {
            return 0;
        }
        let mut repeats = 0;
        let phase_one = history.lives.iter().find(|life| life.phase == 1);
        let free = phase_one.and_then(|life| self.answered(life).map(|at| (life, at)));
        for life in &history.lives {
            let mut say = |what, says: String| {
                book.note(Violation::new(what, says).of(uuid).about(life.id));
            };
            if life.delivered && life.status != 0 && self.answered(life).is_none() {
                let says = format!(
                    "an event reports that it was delivered with the status {}, but the receiver answered no request \
                     of it with this status",
                    life.status
                );
                say(What::Unseen, says);
            }
            let Some(seen) = self.seen.get(&life.id) else { continue };
            // A delivery that was forgotten and scheduled again may have another body.
            if seen.bodies_differ && life.scheduled < 2 {
                say(What::Body, format!("its {} requests had different bodies", seen.count));
            }
            if life.held
                && !life.former
                && let Some((one, at)) = free
                && one.delivered
                && one.scheduled < 2
                && one.replays_max == 0
                && seen.first < at
            {
                let says = format!(
                    "the receiver saw it at {}, but answered phase 1 only at {}",
                    shown(seen.first),
                    shown(at)
                );
                say(What::Early, says);
            }
            if !life.unsure {
                repeats += u64::from(seen.count.saturating_sub(life.attempts_total));
            }
        }
        for life in &history.lives {
            self.seen.remove(&life.id);
        }
        repeats
    }

    /// Returns the time of the first request that was answered with the delivery's status.
    fn answered(&self, life: &Life) -> Option<Timestamp> {
        let seen = self.seen.get(&life.id)?;
        seen.answers.iter().find(|(status, _)| *status == life.status).map(|(_, at)| *at)
    }

    /// Reports requests of deliveries that no event mentions. All events from `since` on are there.
    pub(super) fn finish(&self, since: Option<Timestamp>, options: &Options, book: &mut Book) {
        for (id, seen) in &self.seen {
            let whole =
                since.is_none_or(|since| seen.first >= since.plus_ms(CLOCKS_DIFFER_MS * 10));
            let is_due = options.at_rest || seen.first.plus_ms(CLOCKS_DIFFER_MS) < options.now;
            if whole && is_due {
                let says = format!(
                    "the receiver saw {} requests of it, but no event reports that it was scheduled",
                    seen.count
                );
                book.note(Violation::new(What::Unscheduled, says).about(*id));
            }
        }
    }
}
