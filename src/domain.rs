//! The meaning of the pipeline, as pure functions over plain data.
//!
//! A *source event* (call begin, flow complete, or delivery report) is accepted into the *correlation* of its
//! phonon-uuid. The correlation schedules *deliveries*: those of phase 1 and phase 2, and those of the account's
//! *rules*. A rule sends a webhook for one kind of source event if its conditions hold. A delivery takes *attempts*,
//! each with an *outcome*, until it is delivered or becomes a *dead letter*.
//!
//! [`decide`] returns the events that a command causes, and [`evolve`] applies an event to the state. Neither does I/O,
//! reads a clock or draws a random number. Time is an argument and jitter is derived, so that a replay of the events
//! gives the same state.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod command;
mod decide;
mod endpoint;
mod event;
mod evolve;
mod finding;
mod id;
mod outcome;
mod policy;
mod relations;
mod render;
mod retry;
mod shared_list;
mod size;
mod source;
mod state;
mod status;
mod time;
mod trace;

pub use command::Command;
pub use decide::decide;
pub use endpoint::{
    DisableCause, Disabled, EndpointCommand, EndpointEvent, EndpointState, apply_command,
    busy_pause_ms, decide_endpoint, evolve_endpoint, hold_ms, is_busy_for_a_while, merge_endpoints,
};
pub use event::{
    DeadLetterReason, Event, IgnoreReason, IgnoredRecord, RawRecord, RecordKind, SkipReason,
    SkippedRule,
};
pub use evolve::evolve;
pub use finding::{
    Finding, FindingKind, Letters, NOTICE_INTERVAL_MS, NoticePolicy, Notices, Reported,
    notice_delivery_id, notices_id, notices_owner,
};
pub use id::{
    AccountId, DeliveryId, FlowId, PhononUuid, SmsId, WebhookName, canonical_uuid, owner,
};
pub use outcome::{ErrorReason, Mapped, Outcome, RESPONSE_BYTES_KEPT, StatusType, Verdict};
pub use policy::{
    AccountPolicy, CorrelationPolicy, OnReportTimeout, Phase2Order, Phase2Wait, Policy, Scope,
    WebhookPolicy,
};
pub use relations::Computed;
pub use render::{
    Condition, ContentType, Definitions, Facts, OUTCOME_VARIABLES, Pending, Reading, Rendered,
    Rendering, Rule, Test, Trigger, WebhookEnd,
};
pub use retry::RetrySchedule;
pub use shared_list::SharedList;
pub use size::{REPORTS_BYTES_MAX, STATE_BYTES_MAX};
pub use source::{DeliveryReport, FlowComplete, FlowStarted, Header, Headers, Source};
pub use state::{
    Class, Collected, Collection, Correlation, Deferred, Delivery, Due, EndedWebhook, Flow,
    FlowIdentity, Phase, Started, State,
};
pub use status::{
    STATUS_BYTES_MAX, Status, StatusClass, StatusMeaning, StatusPattern, StatusTable, status_word,
};
pub use time::Timestamp;
pub use trace::TraceContext;

#[cfg(test)]
pub(crate) mod fates;
#[cfg(test)]
mod tests;
