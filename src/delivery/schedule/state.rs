//! The state of the lanes, for the metrics.

use super::Schedule;
use crate::delivery::breaker::BreakerState;
use crate::delivery::lane::Lane;
use crate::domain::WebhookName;
use std::collections::HashMap;
use std::time::Instant;

/// The reason for which a lane's due jobs may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The endpoint's breaker is not closed.
    Breaker,
    /// The endpoint has asked for a pause.
    Hold,
    /// A rate limit of the lane, of its account or of the instance is used up.
    RateLimit,
}

/// The state of a lane. The default is a lane at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LaneState {
    /// The number of unanswered requests.
    pub in_flight: usize,
    pub obstacle: Option<Obstacle>,
}

impl Schedule {
    /// Returns the lanes that are not at rest.
    pub(in crate::delivery) fn states(&self, now: Instant) -> HashMap<WebhookName, LaneState> {
        let state = |(webhook, lane): (&WebhookName, &Lane)| {
            let obstacle = lane.obstacle(now).or_else(|| {
                (self.instance_waits && lane.has_jobs()).then_some(Obstacle::RateLimit)
            });
            let state = LaneState { in_flight: lane.in_flight(), obstacle };
            (state != LaneState::default()).then(|| (webhook.clone(), state))
        };
        self.lanes.iter().filter_map(state).collect()
    }
}

impl Lane {
    fn obstacle(&self, now: Instant) -> Option<Obstacle> {
        if self.breaker() != BreakerState::Closed {
            Some(Obstacle::Breaker)
        } else if self.is_held(now) {
            Some(Obstacle::Hold)
        } else {
            self.is_waiting.then_some(Obstacle::RateLimit)
        }
    }
}
