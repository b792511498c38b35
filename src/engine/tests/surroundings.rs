//! Changes around the instances: recreated topics and wrong settings.

use super::dice::Dice;
use super::plan::{Action, DELETE_RETENTION_MS, Item};
use super::setting::Setting;
use super::world::World;
use crate::codec::event::ReloadEvent;
use crate::codec::row::{self, Meta};
use crate::engine::config::EngineSettings;
use crate::engine::input::Input;
use crate::log::TopicPartition;
use crate::store::RowKey;
use std::collections::BTreeMap;

/// Adds an input that is deleted and created again. Instances notice it sooner or later.
pub(super) fn recreate(at: u64, setting: &Setting, dice: &mut Dice, items: &mut Vec<Item>) {
    let topic = dice.pick(&["flow-complete", "sms-delivery-report"]);
    items.push((at, Action::Recreate(topic)));
    for node in 0..setting.nodes {
        // Without ids, each look confirms the records that were read before.
        for _ in 0..if setting.has_ids { 0 } else { dice.between(0, 3) } {
            items.push((dice.between(0, at), Action::Look(node)));
        }
        items.push((at + dice.between(100, 5000), Action::Look(node)));
        items.push((at + 6000, Action::Look(node)));
    }
}

/// A wrong setting that leads an instance to rows of another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// `bootstrap_servers` leads to another cluster.
    Cluster,
    /// `group_id` is another one.
    Group,
    /// The changelog seems to have one partition more.
    Partitions,
    /// `[topics] changelog` leads to a topic without rows, as if the changelog was deleted and created again.
    Changelog,
}

impl Wrong {
    pub(super) const ALL: [Self; 4] =
        [Self::Cluster, Self::Group, Self::Partitions, Self::Changelog];

    /// Returns the name of the changelog that such a process uses.
    pub(super) fn changelog(self, name: &str) -> String {
        match self {
            Self::Changelog => format!("{name}-other"),
            Self::Cluster | Self::Group | Self::Partitions => name.to_owned(),
        }
    }

    /// Returns the settings with the fault in them.
    pub(super) fn settings(self, settings: &EngineSettings) -> EngineSettings {
        let mut settings = settings.clone();
        match self {
            // The simulated brokers report the other cluster.
            Self::Cluster => {}
            Self::Group => settings.kafka.group_id.push_str("-other"),
            Self::Partitions => settings.partitions += 1,
            Self::Changelog => {
                settings.topics.changelog = self.changelog(&settings.topics.changelog)
            }
        }
        settings
    }
}

impl World {
    pub(super) fn kafka_is_away(&self, for_ms: u64) {
        self.kafka_away_until_ms.set(self.passed_ms.get() + for_ms);
    }

    /// Moves the time and all planned actions by `ms`.
    pub(super) fn skip(&self, ms: u64) {
        self.passed_ms.set(self.passed_ms.get() + ms);
        self.skipped_ms.set(self.skipped_ms.get() + ms);
        let mut agenda = self.agenda.borrow_mut();
        let moved = std::mem::take(&mut *agenda).into_iter();
        *agenda = moved.map(|((at, number), action)| ((at + ms, number), action)).collect();
    }

    /// Deletes an input and creates it again, so that offsets begin at 0.
    pub(super) fn recreate(&self, topic: &str) {
        self.count("recreated");
        self.broker.borrow_mut().recreate(topic);
        self.ledger.borrow_mut().recreated.insert(topic.to_owned());
    }

    /// Lets an instance compare the present topics with those it reads, by id or by landmark.
    pub(super) fn look(&self, node: usize) {
        let broker = self.broker.borrow();
        let identity = broker.identity();
        let process = self.nodes[node].process.borrow();
        let Some(process) = &*process else { return };
        if identity.lacks_ids() {
            let landmarks = process.landmarks();
            let sights = landmarks.look();
            let mut found = BTreeMap::new();
            for (topic, partitions) in sights.by_topic() {
                for (partition, landmark) in partitions {
                    let place = TopicPartition { topic: topic.into(), partition };
                    found.insert(place.clone(), broker.found(&place, landmark));
                }
            }
            let is_dense = |place: &TopicPartition| *place.topic == *self.names.inbox;
            let others = landmarks.take(&sights, &found, is_dense);
            if !others.is_empty() {
                process.send(Input::Replaced(others));
            }
        }
        process.send(Input::Identity(identity));
    }

    /// Starts an instance with a wrong setting, but only once all rows name their owner: before that it can't be
    /// noticed.
    pub(super) fn misconfigure(&self, node: usize, wrong: Wrong) {
        let mut partitions = 0..self.setting.partitions.cast_signed();
        if !partitions.all(|partition| self.is_owned(partition, wrong)) {
            return;
        }
        self.count("misconfigured");
        self.kill(node);
        self.nodes[node].wrong.set(Some(wrong));
        self.start(node);
    }

    /// Lets more time pass than tombstones are kept, while all instances are down.
    pub(super) fn skip_days(&self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
        self.skip(u64::try_from(DELETE_RETENTION_MS).unwrap() + 1);
        for partition in 0..self.setting.partitions.cast_signed() {
            self.compact(partition, 0);
        }
    }

    /// Publishes that an instance has refused a configuration.
    pub(super) fn reload(&self, node: usize) {
        let instance = &self.nodes[node];
        let reason = format!("refused-{}-", self.reloads.borrow().len());
        if let Some(reloads) = instance.reloads() {
            reloads.publish(ReloadEvent::refused(&reason));
            self.count("reload");
            self.reloads.borrow_mut().push((node, instance.incarnation.get(), reason));
        }
    }

    fn is_owned(&self, partition: i32, wrong: Wrong) -> bool {
        let place = |topic: &str| TopicPartition { topic: topic.into(), partition };
        // A process with neither the rows nor a store can notice only by the group's offsets that there were rows.
        let broker = self.broker.borrow();
        let inbox = broker.offsets.get(&place(&self.names.inbox));
        let is_known = inbox.is_some_and(|committed| committed.changelog.is_some());
        self.newest_meta(&place(&self.names.changelog)).is_some()
            && (is_known || wrong != Wrong::Changelog)
    }

    /// Returns the newest meta row of a partition of a changelog.
    pub(super) fn newest_meta(&self, place: &TopicPartition) -> Option<Meta> {
        let broker = self.broker.borrow();
        let metas =
            broker.committed(place).filter(|entry| entry.key.as_deref() == Some(RowKey::META));
        row::decode_meta(metas.last()?.value.as_ref()?).ok()
    }
}
