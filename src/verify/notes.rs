//! Describes what could not be read or judged, for operators.

use super::{Cuts, Evidence, Options, OwnTopic};

impl Evidence {
    pub(super) fn notes(&mut self, options: &Options) -> Vec<String> {
        let mut notes = Vec::new();
        self.changes.finish(&self.layout, &mut self.book, &mut notes);
        if self.doubtful > 0 {
            notes.push(format!(
                "{} events are about records that stood in another partition than their uuid's, in a topic that was deleted and \
                 created again: which of both logs they mean is unknown, and they were not judged",
                self.doubtful
            ));
        }
        self.gaps(&mut notes);
        for input in self.layout.inputs.iter().filter(|input| input.partitions == 0) {
            notes.push(format!("topic {} does not exist: nothing of it was compared", input.topic));
        }
        let own = [
            (&self.layout.events, &self.events),
            (&self.layout.dead_letters, &self.dead_letters),
            (&self.layout.inbox, &self.inbox),
        ];
        notes.extend(own.into_iter().filter_map(|(topic, cuts)| retention(topic, cuts)));
        if self.counts.scattered > 0 {
            notes.push(format!(
                "the events of {} uuids stand in several partitions, which gives them no order: they were not judged",
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
                        "topic {topic}, partition {partition}: the group stands at offset {committed}, and the first offset \
                         that is left is {first}: records between them are gone, and the daemon reports them when it reads on"
                    ));
                } else if let Some(last) = gap {
                    notes.push(format!(
                        "topic {topic}, partition {partition}: no event tells of offsets {} to {}, and Kafka has deleted them: \
                         whether they were read is unknown",
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
            "topic {}: the beginning of {cut} of its {} partitions is gone; what it told was not judged",
            topic.name,
            cuts.0.len()
        )
    })
}
