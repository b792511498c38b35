//! The metrics of endpoints' states.

use super::{EndpointState, Metrics, set};
use crate::domain::WebhookName;
use std::collections::BTreeMap;
use std::sync::PoisonError;

impl Metrics {
    /// Sets the states of all endpoints. `all` are their names, and `states` has those that are not closed. Only the
    /// first endpoints have a series of their own, if that is enabled.
    pub fn set_endpoints<'a>(
        &self,
        all: impl ExactSizeIterator<Item = &'a WebhookName>,
        is_configured: impl Fn(&WebhookName) -> bool,
        states: &BTreeMap<WebhookName, EndpointState>,
    ) {
        for state in EndpointState::ALL {
            let count = match state {
                EndpointState::Closed => all.len().saturating_sub(states.len()),
                EndpointState::HalfOpen | EndpointState::Open | EndpointState::Disabled => {
                    states.values().filter(|other| *other == state).count()
                }
            };
            set(self.endpoints.at(*state), i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut shown = self.endpoints_shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|endpoint| {
            let stays = is_configured(endpoint);
            if !stays {
                // The series exists since an earlier call.
                let _ = self.breaker_state.remove_label_values(&[endpoint.as_str()]);
            }
            stays
        });
        for endpoint in all {
            if shown.len() >= self.endpoints_max {
                break;
            }
            shown.insert(endpoint.clone());
        }
        for endpoint in shown.iter() {
            let state = states.get(endpoint).copied().unwrap_or(EndpointState::Closed);
            self.breaker_state.with_label_values(&[endpoint.as_str()]).set(state as i64);
        }
    }
}
