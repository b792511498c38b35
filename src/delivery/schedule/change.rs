//! Replaces the endpoints of a few webhooks, and leaves all other lanes as they are.

use super::super::lane::renewed;
use super::{Account, Endpoint, Schedule, has_rate};
use crate::delivery::PerSecond;
use crate::domain::{AccountId, WebhookName};
use std::sync::Arc;
use std::time::Instant;

/// The part of a configuration that differs from the one before.
#[derive(Default)]
pub struct LaneChanges {
    /// The webhooks that have another endpoint now, or none.
    pub endpoints: Vec<(WebhookName, Option<Arc<Endpoint>>)>,
    /// The accounts whose attempts per second have another limit now, or none.
    pub account_rates: Vec<(AccountId, Option<PerSecond>)>,
}

impl Schedule {
    /// Applies `changes`. The cost depends on their number, and not on the number of lanes.
    pub(in crate::delivery) fn change(&mut self, changes: LaneChanges, now: Instant) {
        self.time.set(now);
        for (webhook, endpoint) in changes.endpoints {
            self.stop_waiting(&webhook);
            match endpoint {
                Some(endpoint) => self.follow(&webhook, endpoint, now),
                None => {
                    self.endpoints.remove(&webhook);
                    let removed = self.lanes.remove(&webhook);
                    self.returned.extend(removed.into_iter().flat_map(|mut lane| lane.take_back()));
                }
            }
        }
        for (id, per_second) in changes.account_rates {
            self.limit(id, per_second);
        }
    }

    fn follow(&mut self, webhook: &WebhookName, endpoint: Arc<Endpoint>, now: Instant) {
        self.endpoints.insert(webhook.clone(), endpoint.clone());
        match self.lanes.get_mut(webhook) {
            Some(lane) => {
                lane.follow(endpoint);
                lane.share(self.share, &self.time);
            }
            None if has_rate(&endpoint) => self.begin(webhook, now),
            None => {}
        }
        self.offer(webhook);
    }

    /// Ends a lane's wait for a token, so that it is asked again.
    fn stop_waiting(&mut self, webhook: &WebhookName) {
        let Some(lane) = self.lanes.get_mut(webhook) else { return };
        lane.is_waiting = false;
        if let Some(account) = self.accounts.get_mut(&lane.account()) {
            account.waiting.retain(|waiting| waiting != webhook);
        }
    }

    /// Sets the limit of an account. The lanes that wait for a token of it are asked again.
    fn limit(&mut self, id: AccountId, per_second: Option<PerSecond>) {
        let former = self.accounts.remove(&id);
        let (rate, mut progress, waiting) = match former {
            Some(Account { rate, progress, waiting, .. }) => (rate, progress, waiting),
            None => Default::default(),
        };
        if let Some(per_second) = per_second {
            let burst = per_second.burst();
            let rate = renewed(rate, &mut progress, per_second, burst, self.share, &self.time);
            self.accounts.insert(id, Account { progress, ..Account::new(per_second, rate) });
        }
        for webhook in waiting {
            self.resume(&webhook);
        }
    }
}
