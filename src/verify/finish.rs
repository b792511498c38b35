//! Judges the evidence after all of it was passed.

use super::violation::{Book, Violation, What};
use super::{Comparison, Cuts, Evidence, Known, Options, Report, Spot, stored};
use crate::domain::{Timestamp, owner};

impl Evidence {
    /// Returns the violations, the notes and the counts.
    #[must_use]
    pub fn finish(mut self, options: &Options) -> Report {
        self.identity();
        for (partition, at) in self.changes.recreated(self.layout.inputs.len()) {
            self.inbox.cut(partition, at);
        }
        if let Some(since) = self.inbox_since {
            (0_i32..).zip(&self.layout.inbox.firsts).for_each(|(partition, _)| {
                self.inbox.cut(partition, since);
            });
        }
        self.ledgers.settle();
        self.uuids(options);
        let moving = |uuid: &str| self.uuids.get(uuid).is_some_and(|known| known.moving);
        let cuts = (&self.events, &self.dead_letters);
        self.letters.finish(&self.ledgers, cuts, &moving, &mut self.book);
        let history = |uuid: &str| self.uuids.get(uuid).and_then(|known| known.history.as_ref());
        self.commands.finish(&self.ledgers, &self.letters, &self.inbox, &history, &mut self.book);
        self.store.finish(options.now, &self.layout, &self.others, &mut self.book);
        self.requests.finish(self.events.latest(), options, &mut self.book);
        let counts = &mut self.counts;
        let totals = (&mut counts.records, &mut counts.unread);
        self.ledgers.finish(options, &self.changes, &mut self.book, totals);
        self.offsets();
        self.count(options);
        let notes = self.notes(options);
        let Self { uuids, counts, mut book, .. } = self;
        let scattered = |uuid: &str| uuids.get(uuid).is_some_and(|known| known.scattered);
        book.violations.retain(|violation| !violation.uuid.as_deref().is_some_and(scattered));
        book.violations.sort();
        Report { counts, violations: book.violations, more: book.more, notes }
    }

    /// Compares each uuid's events with its row, its store and its requests.
    fn uuids(&mut self, options: &Options) {
        let book = &mut self.book;
        let overdue = options.now.as_ms().saturating_sub_unsigned(options.overdue_ms);
        let overdue = options.at_rest.then_some(Timestamp::from_ms(overdue));
        for (uuid, known) in &self.uuids {
            if let Some(row) = known.row.as_ref().filter(|_| !known.moving) {
                row.stuck(uuid, &mut |violation| book.note(violation));
                if let Some(before) = overdue {
                    row.overdue(uuid, before, &mut |violation| book.note(violation));
                }
            }
            explain(uuid, known, &self.events, book);
            let own = owner(uuid.as_bytes(), self.layout.changelog.partitions);
            if let Some(checkpoint) = self.store.checkpoint(own, options.now) {
                let stored = known.stored.as_deref();
                stored::compare(uuid, stored, known.stands, (own, checkpoint), book);
            }
            if let Some(history) = &known.history {
                self.counts.repeats += self.requests.compare(uuid, history, book);
            }
        }
        if let Some(max) = options.repeats_max.filter(|max| self.counts.repeats > *max) {
            let repeats = self.counts.repeats;
            let says = format!(
                "the receiver saw {repeats} requests for which no event reports an attempt; --repeats-max allows {max}"
            );
            self.book.note(Violation::new(What::Repeats, says));
        }
    }

    /// Checks that the meta rows agree with the group's offsets. The group's offsets in a replaced log are ignored.
    fn offsets(&mut self) {
        let topic = &self.layout.changelog.name;
        for (partition, (stands, meta)) in &self.metas {
            for input in &meta.offsets {
                let (number, offset) = (&input.partition, &input.next_offset);
                let Some(which) = self.ledgers.find(&input.topic, *number) else { continue };
                let Some((before, after)) = self.ledgers.committed(which) else { continue };
                // A row beyond the end was written after the offsets were taken.
                let early = *stands < self.layout.changelog_end(*partition);
                if !self.ledgers.is_aligned(which) {
                    continue;
                }
                if *offset < before || *offset > after && early {
                    let says = format!(
                        "the meta row has the offset {offset}, but the group has committed {after}"
                    );
                    let at = self.ledgers.spot(which, *offset);
                    self.book.note(Violation::new(What::Offsets, says).at(at));
                }
            }
        }
        for which in self.ledgers.places() {
            let owned = i64::from(which.1) < i64::from(self.layout.changelog.partitions);
            let committed = self.ledgers.committed(which).is_some_and(|(before, _)| before > 0);
            if owned
                && committed
                && self.ledgers.is_aligned(which)
                && !self.metas.contains_key(&which.1)
            {
                let says = "the group has committed offsets of this partition, but the changelog has no meta row".to_owned();
                let at = Spot { topic, partition: which.1, offset: None };
                self.book.note(Violation::new(What::Offsets, says).at(at));
            }
        }
    }

    fn count(&mut self, options: &Options) {
        let counts = &mut self.counts;
        let of = |which: fn(&Known) -> bool| {
            self.uuids.values().filter(|known| which(known)).count() as u64
        };
        counts.uuids = self.uuids.len() as u64;
        counts.rows = of(|known| known.row.is_some());
        counts.moving = of(|known| known.moving);
        counts.scattered = of(|known| known.scattered);
        counts.store_partitions = self.store.compared(options.now);
        counts.store_rows = self.store.rows;
        counts.requests = self.requests.count;
    }
}

fn explain(uuid: &str, known: &Known, events: &Cuts, book: &mut Book) {
    // A uuid that only the store has is a fault of the store.
    let nothing = known.history.is_none() && known.row.is_none();
    if known.moving || known.scattered || nothing {
        return;
    }
    let comparison = Comparison {
        uuid,
        history: known.history.as_ref(),
        row: known.row.as_deref(),
        since: events.since(uuid.as_bytes()),
        say: &mut |violation| book.note(violation),
    };
    comparison.compare();
}

impl Cuts {
    /// Returns the time from which all partitions are complete.
    fn latest(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|cut| *cut).max()
    }
}
