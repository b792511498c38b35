//! Reads the group's committed offsets and the identity of the inputs.

use super::callbacks::Context;
use crate::codec::row::{Landmark, Owner};
use crate::log::client::LogError;
use crate::log::describe::{self, Identity};
use crate::log::landmark::{Found, LandmarkReader};
use crate::log::newest::Newest;
use crate::log::ports::Offsets;
use crate::log::position::{Begin, GroupOffset};
use crate::log::position_reader::{self, PositionReader};
use crate::log::record::TopicPartition;
use crate::log::scan::{ScanFrom, Scanner};
use crate::log::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for requests that block, and so must not be made on the engine's thread.
pub struct OffsetsClient {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) landmarks: Arc<LandmarkReader>,
    pub(super) settings: KafkaSettings,
    pub(super) changelog: String,
    pub(super) meta_key: &'static [u8],
}

impl Offsets for OffsetsClient {
    fn committed(
        &self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError> {
        position_reader::group_offsets(&self.consumer, places)
    }

    fn offset_at(&self, place: &TopicPartition, begin: Begin) -> Result<i64, LogError> {
        let TopicPartition { topic, partition } = place;
        let failed = || LogError::request(format!("the offsets of {topic} can't be read"));
        let (first, end) =
            self.consumer.fetch_watermarks(topic, *partition, REQUEST_TIMEOUT).map_err(failed())?;
        let at = match begin {
            Begin::Beginning => return Ok(first),
            Begin::End => return Ok(end),
            Begin::Time(at) => Offset::Offset(at.as_ms().max(0)),
        };
        let mut times = TopicPartitionList::new();
        times.add_partition_offset(topic, *partition, at).map_err(failed())?;
        let found = self.consumer.offsets_for_times(times, REQUEST_TIMEOUT).map_err(failed())?;
        let found = found.elements().first().map(|element| element.offset());
        Ok(match found {
            Some(Offset::Offset(offset)) => offset.max(first),
            // No record has this time or a later one.
            _ => end,
        })
    }

    fn found(&self, place: &TopicPartition, landmark: Landmark) -> Result<Found, LogError> {
        self.landmarks.find_one(place, landmark)
    }

    fn identity(&self, topics: &[&str]) -> Result<Identity, LogError> {
        describe::identity(self.consumer.client(), topics, REQUEST_TIMEOUT)
    }

    fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError> {
        let topic = &self.changelog;
        let scanner = Scanner::new(&self.settings)?;
        PositionReader::new(&self.settings)?.settled(&scanner, topic, ScanFrom::Beginning)?;
        let newest = scanner.newest(topic, self.meta_key)?;
        // A broker that has just started may not know the topic yet; that does not mean that the topic has no rows.
        if newest.is_empty() {
            let what = "Kafka reports no partitions of the topic".to_owned();
            return Err(LogError::Topic { topic: topic.clone(), what });
        }
        let owner = |newest: Newest| Some((newest.partition, newest.owner()?));
        Ok(newest.into_iter().filter_map(owner).collect())
    }
}
