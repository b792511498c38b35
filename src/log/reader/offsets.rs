//! What the group committed.

use super::callbacks::Context;
use super::list;
use crate::log::client::LogError;
use crate::log::record::Place;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const COMMITTED_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks what the group committed. It blocks, and so has no place on the engine's thread.
#[derive(Clone)]
pub struct OffsetsClient(pub(super) Arc<BaseConsumer<Context>>);

impl OffsetsClient {
    /// The offsets that the group committed for `places`; those without one are left out. Waits for transactions that
    /// are still open.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn committed(&self, places: &[Place]) -> Result<BTreeMap<Place, i64>, LogError> {
        let asked = self.0.committed_offsets(list(places), COMMITTED_TIMEOUT);
        let answer = asked.map_err(LogError::request("the group's offsets can't be read"))?;
        let elements = answer.elements();
        let known = elements.iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((
                Place { topic: element.topic().into(), partition: element.partition() },
                offset,
            )),
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => None,
        });
        Ok(known.collect())
    }
}
