//! Notices that no broker is connected.

use super::away;
use rdkafka::Statistics;
use rdkafka::statistics::Broker;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of statistics after which missing brokers count as an outage. A broker that closed an idle connection is
/// connected again by then.
const UNCONNECTED_MAX: u64 = 2;

/// The connection of a client, as its statistics show it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// The number of successive statistics without a connected broker.
    unconnected: AtomicU64,
}

impl Connection {
    /// Takes the next statistics, and logs an outage and its end. Returns `Some(true)` when an outage begins, and
    /// `Some(false)` when it ends.
    pub(super) fn see(&self, statistics: &Statistics) -> Option<bool> {
        let is_up = |broker: &Broker| broker.source != "internal" && broker.state == "UP";
        if statistics.brokers.values().any(is_up) {
            let was_away = self.unconnected.swap(0, Ordering::Relaxed) >= UNCONNECTED_MAX;
            if was_away {
                away::over();
            }
            return was_away.then_some(false);
        }
        let unconnected = self.unconnected.fetch_add(1, Ordering::Relaxed) + 1;
        if unconnected >= UNCONNECTED_MAX {
            away::say("");
        }
        (unconnected == UNCONNECTED_MAX).then_some(true)
    }
}
