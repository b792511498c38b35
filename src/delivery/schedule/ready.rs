//! The lanes that wait only for the daemon.

use super::Schedule;
use crate::delivery::lane::Lane;
use crate::domain::{Timestamp, WebhookName};
use std::time::Instant;

/// A lane that could send more at once if the daemon let it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The webhook of the lane.
    pub webhook: WebhookName,
    /// When the first job was due that was handed to the lane and has not begun.
    pub due: Option<Timestamp>,
    /// Whether it can be handed more jobs at once, because no rate limits it.
    pub takes_more: bool,
}

impl Schedule {
    /// Returns all such lanes; none while the instance's own rate is used up.
    pub(in crate::delivery) fn ready(&self, now: Instant) -> Vec<Ready> {
        if self.instance_waits {
            return Vec::new();
        }
        let lanes = self.lanes.iter().filter(|(_, lane)| lane.is_ready(now));
        let ready = |(webhook, lane): (&WebhookName, &Lane)| {
            let account = self.accounts.get(&lane.account()).and_then(|it| it.rate.as_ref());
            let rates = [lane.rate.as_ref(), account, self.rate.as_ref()];
            let takes_more = rates.iter().all(Option::is_none);
            Ready { webhook: webhook.clone(), due: lane.due(), takes_more }
        };
        lanes.map(ready).collect()
    }
}
