//! Events of what operators do by the console or the API. They belong to no phonon-uuid. Their key is the id of the instance.

use super::input::bounded;
use super::open;
use crate::domain::Timestamp;

/// An action of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorAction {
    /// A replay of dead letters was started, or continued.
    ReplayStarted,
    /// A replay was stopped.
    ReplayStopped,
    /// An endpoint is to be enabled.
    EndpointEnabled,
    /// A test message was sent.
    TestSent,
}

impl OperatorAction {
    /// All variants, in declaration order.
    pub const ALL: [Self; 4] =
        [Self::ReplayStarted, Self::ReplayStopped, Self::EndpointEnabled, Self::TestSent];

    /// Returns the word that events use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReplayStarted => "replay_started",
            Self::ReplayStopped => "replay_stopped",
            Self::EndpointEnabled => "endpoint_enabled",
            Self::TestSent => "test_sent",
        }
    }
}

/// An action with the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorEvent {
    pub action: OperatorAction,
    /// The name that the operator gave.
    pub operator: String,
    /// The address of the operator's client.
    pub address: Option<String>,
    /// The webhook that the action is about.
    pub webhook: Option<String>,
    /// The filter of a replay, and other details.
    pub detail: String,
}

/// Appends the published JSON of `event`, which was requested of the instance `instance`.
pub fn write_operator_event(
    out: &mut Vec<u8>,
    at: Timestamp,
    instance: &str,
    event: &OperatorEvent,
) {
    let mut object = open(out, "operator_action", None, None, at);
    if let Some(webhook) = &event.webhook {
        object.text("webhook", webhook);
    }
    object.text("instance", instance);
    object.text("action", event.action.as_str());
    object.text("operator", &event.operator);
    if let Some(address) = &event.address {
        object.text("address", address);
    }
    object.text("detail", bounded(&event.detail));
    object.close();
}
