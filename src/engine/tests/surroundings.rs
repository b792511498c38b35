//! What changes around the instances: topics that are another log from now on, and settings that are wrong.

use super::world::World;
use crate::codec::row;
use crate::engine::config::EngineSettings;
use crate::engine::input::Input;
use crate::log::Place;
use crate::store::RowKey;

/// A setting that leads an instance to rows that are not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// `bootstrap_servers` leads to another cluster.
    Cluster,
    /// `group_id` is another one.
    Group,
    /// The changelog seems to have more partitions.
    Partitions,
}

impl Wrong {
    /// The settings with what is wrong in them.
    pub(super) fn settings(self, settings: &EngineSettings) -> EngineSettings {
        let mut settings = settings.clone();
        match self {
            // The brokers say so.
            Self::Cluster => {}
            Self::Group => settings.kafka.group_id.push_str("-other"),
            Self::Partitions => settings.partitions += 1,
        }
        settings
    }
}

impl World {
    pub(super) fn kafka_is_away(&self, for_ms: u64) {
        self.kafka_away_until_ms.set(self.passed_ms.get() + for_ms);
    }

    /// Moves what is planned by so much, and the time too.
    pub(super) fn skip(&self, ms: u64) {
        self.passed_ms.set(self.passed_ms.get() + ms);
        self.skipped_ms.set(self.skipped_ms.get() + ms);
        let mut agenda = self.agenda.borrow_mut();
        let moved = std::mem::take(&mut *agenda).into_iter();
        *agenda = moved.map(|((at, number), action)| ((at + ms, number), action)).collect();
    }

    /// Deletes an input and creates it again: offsets count anew.
    pub(super) fn recreate(&self, topic: &str) {
        self.count("recreated");
        self.broker.borrow_mut().recreate(topic);
        self.ledger.borrow_mut().recreated.insert(topic.to_owned());
    }

    /// An instance learns what topics there are now.
    pub(super) fn look(&self, node: usize) {
        let identity = self.broker.borrow().identity();
        if let Some(process) = &*self.nodes[node].process.borrow() {
            process.tell(Input::Identity(identity));
        }
    }

    /// Starts an instance with a wrong setting, once all rows say whose they are: before that nobody can know.
    pub(super) fn misconfigure(&self, node: usize, wrong: Wrong) {
        if !(0..self.setting.partitions).all(|partition| self.is_owned(partition)) {
            return;
        }
        self.count("misconfigured");
        self.kill(node);
        self.nodes[node].wrong.set(Some(wrong));
        self.start(node);
    }

    fn is_owned(&self, partition: u32) -> bool {
        let topic = self.names.changelog.as_str().into();
        let broker = self.broker.borrow();
        let place = Place { topic, partition: partition.cast_signed() };
        let mut rows = broker.committed(&place);
        rows.any(|entry| {
            entry.key.as_deref() == Some(RowKey::META)
                && entry.value.as_ref().is_some_and(|value| row::decode_meta(value).is_ok())
        })
    }
}
