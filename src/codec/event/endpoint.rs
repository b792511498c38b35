//! Events of endpoints. They belong to no phonon-uuid. Their key is the webhook's name.

use super::open;
use crate::codec::time::TimeMembers as _;
use crate::domain::{AccountId, EndpointEvent, Timestamp, WebhookName};
use crate::json::Object;

/// Appends the published JSON of `event`. Returns `false` if the event is not published.
pub fn write_endpoint_event(
    out: &mut Vec<u8>,
    webhook: &WebhookName,
    account: Option<AccountId>,
    at: Timestamp,
    event: &EndpointEvent,
) -> bool {
    let begin = |out, kind| begin(out, kind, webhook, account, at);
    match event {
        EndpointEvent::Held { until } => {
            let mut object = begin(out, "endpoint_held");
            object.time("until", *until);
            object.close();
        }
        EndpointEvent::Disabled { disabled, failing_since } => {
            let mut object = begin(out, "endpoint_disabled");
            object.text("cause", disabled.cause.as_str());
            object.time_or_null("failing_since", *failing_since);
            object.close();
        }
        EndpointEvent::Enabled => begin(out, "endpoint_enabled").close(),
        // Events of attempts show failures and successes. The other partition has published its own event.
        EndpointEvent::Failing { .. }
        | EndpointEvent::Recovered { .. }
        | EndpointEvent::DisabledElsewhere(_)
        // The delivery of a notice has events of its own.
        | EndpointEvent::Reported { .. }
        | EndpointEvent::LettersCounted(_)
        | EndpointEvent::NoticeDue { .. } => return false,
    }
    true
}

/// Appends the event that a breaker has changed to `state`.
pub fn write_breaker_event(
    out: &mut Vec<u8>,
    webhook: &WebhookName,
    account: Option<AccountId>,
    at: Timestamp,
    state: &str,
) {
    let mut object = begin(out, "breaker_changed", webhook, account, at);
    object.text("state", state);
    object.close();
}

fn begin<'o>(
    out: &'o mut Vec<u8>,
    kind: &str,
    webhook: &WebhookName,
    account: Option<AccountId>,
    at: Timestamp,
) -> Object<'o> {
    let mut object = open(out, kind, None, account, at);
    object.text("webhook", webhook.as_str());
    object
}
