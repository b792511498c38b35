//! Describes what could not be read or judged, for operators.

use super::violation::shown;
use super::{Cuts, Evidence, Options, OwnTopic};

impl Evidence {
    pub(super) fn notes(&mut self, options: &Options) -> Vec<String> {
        let mut notes = Vec::new();
        self.changes.finish(&self.layout, &mut self.book, &mut notes);
        if self.doubtful > 0 {
            notes.push(format!(
                "{} events were not checked: they are about records of a topic that was deleted and created again, \
                 in another partition than their uuid's, and it is unknown which of both logs they mean",
                self.doubtful
            ));
        }
        self.gaps(&mut notes);
        for input in self.layout.inputs.iter().filter(|input| input.partitions == 0) {
            notes.push(format!("topic {} does not exist, so it was not compared", input.topic));
        }
        let (events, letters) = (&self.layout.events, &self.layout.dead_letters);
        notes.extend(retention(events, &self.events));
        notes.extend(retention(letters, &self.dead_letters));
        notes.extend(match self.inbox_since {
            Some(since) => Some(format!(
                "topic {} is the inbox since the repartition at {}: earlier replays were not compared with their commands",
                self.layout.inbox.name,
                shown(since)
            )),
            None => retention(&self.layout.inbox, &self.inbox),
        });
        if self.counts.scattered > 0 {
            notes.push(format!(
                "the events of {} uuids are in several partitions, so that their order is unknown: they were not \
                 checked",
                self.counts.scattered
            ));
        }
        notes.extend(self.store.notes(options.now));
        notes
    }

    /// Notes inputs whose first offset is above the last one that is known to be read.
    fn gaps(&self, notes: &mut Vec<String>) {
        let is_cut = self.layout.events.firsts.iter().any(|first| *first > 0);
        for (index, input) in self.layout.inputs.iter().enumerate() {
            let topic = &input.topic;
            for (partition, first) in (0_i32..).zip(&input.firsts) {
                let which = (index, partition);
                if *first == 0 || self.changes.is_missed((which, first - 1)) {
                    continue;
                }
                let committed = self.ledgers.committed(which).map(|(before, _)| before);
                let last = self.ledgers.last_word_below(which, *first);
                // The markers of producers' transactions take offsets too.
                let gap = last.filter(|last| !is_cut && !input.compacted && first - last > 2);
                if let Some(committed) = committed.filter(|committed| committed < first) {
                    notes.push(format!(
                        "topic {topic}, partition {partition}: the group's offset is {committed}, but Kafka has \
                         deleted the records below {first}; the daemon reports the missing ones when it continues"
                    ));
                } else if let Some(last) = gap {
                    notes.push(format!(
                        "topic {topic}, partition {partition}: no event is about offsets {} to {}, and Kafka has \
                         deleted them: it is unknown whether they were read",
                        last + 1,
                        first - 1
                    ));
                }
            }
        }
    }
}

fn retention(topic: &OwnTopic, cuts: &Cuts) -> Option<String> {
    let cut = cuts.0.iter().filter(|cut| cut.is_some()).count();
    (cut > 0).then(|| {
        format!(
            "topic {}: Kafka has deleted the beginning of {cut} of its {} partitions; facts that only these records \
             show were not checked",
            topic.name,
            cuts.0.len()
        )
    })
}
