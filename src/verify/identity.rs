//! Checks that positions and rows belong to the current topics, by their ids, and to the owner of the changelog.

use super::violation::{Violation, What};
use super::{Evidence, Spot};
use crate::codec::row::{Difference, InputOffset};

impl Evidence {
    /// Reports rows and positions that belong to something else. Forgets positions in a log that was replaced: nothing
    /// of the current log was read.
    pub(super) fn identity(&mut self) {
        let Self { layout, metas, ledgers, book, store, .. } = self;
        for (partition, (_, meta)) in &*metas {
            let owner = meta.owner.as_ref();
            if let Some(changelog) = owner.and_then(|owner| owner.changelog.as_ref()) {
                store.recognise(*partition, changelog);
            }
        }
        let owners = || metas.values().filter_map(|(_, meta)| meta.owner.as_ref());
        for (partition, difference, changelog) in store.foreign() {
            // If the changelog was rebuilt from another copy of the store, this store is out of date. That is no
            // violation.
            let is_rebuilt = match difference {
                Difference::Cluster(..) | Difference::Changelog(..) => changelog
                    .is_some_and(|id| owners().any(|owner| owner.outdated().any(|it| it == id))),
                Difference::Partitions(..) | Difference::Group(..) => false,
            };
            if !is_rebuilt {
                let says = format!("the store's rows belong to {}", shown(difference));
                let mut violation = Violation::new(What::Identity, says);
                violation.partition = Some(partition);
                book.note(violation);
            }
        }
        for (partition, (stands, meta)) in metas {
            if let Some(owner) = &meta.owner
                && let Some(difference) = layout.owner.as_ref().and_then(|o| owner.difference(o))
            {
                let (topic, offset) = (&*layout.changelog.name, Some(*stands));
                let spot = Spot { topic, partition: *partition, offset };
                let says = format!("the meta row belongs to {}", shown(&difference));
                book.note(Violation::new(What::Identity, says).at(spot));
            }
            for InputOffset { topic, partition, next_offset, topic_id, .. } in &meta.offsets {
                let because = match (topic_id, layout.ids.get(topic)) {
                    (Some(was), Some(is)) if was != is => format!(
                        "the position {next_offset} belongs to the topic with the id {was}, but topic {topic} has \
                         the id {is}"
                    ),
                    (Some(_), Some(_)) => continue,
                    _ if layout.replaced.contains(&(topic.clone(), *partition)) => format!(
                        "the position is {next_offset}, but topic {topic} no longer has a record that was read before"
                    ),
                    _ => continue,
                };
                let says = format!(
                    "{because}: the topic was deleted and created again, and the daemon reads it from its beginning \
                     at its next start"
                );
                let spot = Spot { topic, partition: *partition, offset: Some(*next_offset) };
                book.note(Violation::new(What::Identity, says).at(spot));
                if let Some(which) = ledgers.find(topic, *partition) {
                    ledgers.forget_committed(which);
                }
            }
        }
    }
}

/// Says to what the rows belong, and to what they should belong.
fn shown(difference: &Difference) -> String {
    match difference {
        Difference::Cluster(theirs, ours) => {
            format!("the Kafka cluster {theirs}, but this is the cluster {ours}")
        }
        Difference::Changelog(theirs, ours) => {
            format!("the changelog with the id {theirs}, but the current one has the id {ours}")
        }
        Difference::Partitions(theirs, ours) => {
            format!("a changelog with {theirs} partitions, but the current one has {ours}")
        }
        Difference::Group(theirs, ours) => {
            format!("the consumer group {theirs}, but [kafka] group_id is {ours}")
        }
    }
}
