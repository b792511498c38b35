//! The event of a repartition. It belongs to no phonon-uuid. Its key is the name of the former changelog.

use super::open;
use crate::domain::Timestamp;

/// The topics before and after a repartition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepartitionEvent<'a> {
    pub changelog: &'a str,
    pub former_changelog: &'a str,
    pub inbox: &'a str,
    pub former_inbox: &'a str,
    /// The number of partitions of the new topics.
    pub partitions: u32,
    /// The number of partitions of the former changelog.
    pub former_partitions: u32,
}

/// Appends the event `repartitioned`.
pub fn write_repartitioned(out: &mut Vec<u8>, at: Timestamp, event: &RepartitionEvent<'_>) {
    let mut object = open(out, "repartitioned", None, None, at);
    object.text("changelog", event.changelog);
    object.text("former_changelog", event.former_changelog);
    object.text("inbox", event.inbox);
    object.text("former_inbox", event.former_inbox);
    object.integer("partitions", i64::from(event.partitions));
    object.integer("former_partitions", i64::from(event.former_partitions));
    object.close();
}
