//! The latest row of a phonon-uuid and the endpoints that its deliveries wait for, as answers that can be serialised.

use super::Trace;
use crate::codec::event::{outcome_json, rfc3339};
use crate::domain::{
    self, Collected, Collection, Deferred, Delivery, Due, EndpointState, SmsId, State, StatusClass,
    Timestamp,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The current state of a phonon-uuid. Without a row, nothing is stored about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Now {
    /// The topic of the row: always `changelog`.
    pub from: &'static str,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub state: Option<StateView>,
    /// The endpoints that its deliveries wait for, by webhook.
    pub endpoints: BTreeMap<String, EndpointView>,
}

impl Now {
    /// Returns the state that `trace` has read from the changelog.
    pub(super) fn of(trace: &Trace, bodies: bool) -> Self {
        let row = trace.row.as_ref();
        let endpoints = trace.endpoints.iter();
        Self {
            from: "changelog",
            partition: row.map(|row| row.partition),
            offset: row.map(|row| row.offset),
            state: row.map(|row| StateView::of(&row.state, bodies)),
            endpoints: endpoints
                .map(|(name, endpoint)| (name.to_string(), EndpointView::of(endpoint)))
                .collect(),
        }
    }
}

/// The content of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateView {
    /// The progress of the execution.
    pub correlation: Correlation,
    /// The deliveries that are not finished.
    pub deliveries: Vec<DeliveryView>,
    /// The rules that wait for deliveries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting_rules: Vec<WaitingRule>,
    /// When the uuid's timer fires next (RFC 3339).
    pub timer_at: Option<String>,
}

/// The progress of an execution.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Correlation {
    /// Nothing is known about the execution.
    Unknown,
    /// Reports wait for their flow complete record.
    AwaitingFlow {
        /// The reports that wait.
        reports: Vec<Report>,
    },
    /// The flow is complete, and not all of its webhooks are done.
    Open {
        account_id: i64,
        /// The flow's id, where it is known.
        flow_id: Option<i64>,
        /// The name of the webhook of phase 1.
        webhook: Option<String>,
        /// When the flow complete record was accepted (RFC 3339).
        accepted_at: String,
        /// The place of the flow complete record.
        source: Source,
        /// The SMS of the flow. `None` if the gateway does not know them.
        sms: Option<Vec<String>>,
        /// The reports that were accepted so far.
        reports: Vec<Report>,
        /// The state of the collection of reports: `open`, `complete`, `timed_out` or `not_wanted`.
        collection: &'static str,
        /// The end of an open collection (RFC 3339).
        until: Option<String>,
        /// When phase 2 is due that gathers the reports of a flow without a list (RFC 3339).
        #[serde(skip_serializing_if = "Option::is_none")]
        gathers_until: Option<String>,
    },
    /// No webhook is sent for the flow.
    Silent {
        account_id: i64,
        /// The flow's id, where it is known.
        flow_id: Option<i64>,
        /// The reason why nothing is sent.
        reason: &'static str,
        /// When the uuid is forgotten (RFC 3339).
        until: String,
    },
    /// All webhooks are done. The row remains so that late records are recognised.
    Ended {
        account_id: i64,
        /// When the uuid is forgotten (RFC 3339).
        until: String,
    },
}

/// The report of one SMS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The id of the SMS.
    pub sms_id: String,
    pub account_id: i64,
    /// Whether its status is final.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether a delivery contains it.
    pub sent: bool,
    /// The place of the report.
    pub source: Source,
    /// When a report whose flow is unknown expires (RFC 3339).
    pub expires_at: Option<String>,
}

/// The place of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The place in the array that the record is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
}

/// A rule that is judged when other deliveries have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingRule {
    /// The webhook that it may send.
    pub webhook: String,
    /// Its trigger.
    pub on: String,
    /// The ids of the deliveries that it waits for.
    pub after: Vec<String>,
}

/// A delivery that is not finished.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeliveryView {
    pub webhook_id: String,
    /// The phase: 1 or 2, or 0 for a delivery of a rule.
    pub phase: u8,
    pub webhook: String,
    /// When it was scheduled (RFC 3339).
    pub scheduled_at: String,
    /// When the next attempt is due (RFC 3339). `None` while it waits for another delivery.
    pub due_at: Option<String>,
    /// The number of attempts that were made.
    pub attempts: u32,
    /// The number of replays before.
    pub replays: u32,
    /// When the first attempt ended (RFC 3339).
    pub first_attempt_at: Option<String>,
    /// When the last attempt ended (RFC 3339).
    pub last_attempt_at: Option<String>,
    /// The outcome of the last attempt.
    pub last_outcome: Option<Value>,
    /// The body, if bodies were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// The recorded state of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointView {
    /// When it was disabled (RFC 3339).
    pub disabled_at: Option<String>,
    /// The reason why it is disabled.
    pub disabled_cause: Option<&'static str>,
    /// The end of the pause that the endpoint asked for (RFC 3339).
    pub held_until: Option<String>,
    /// The time since which no attempt succeeded (RFC 3339).
    pub failing_since: Option<String>,
}

impl StateView {
    fn of(state: &State, bodies: bool) -> Self {
        let deliveries = state.deliveries.iter();
        Self {
            correlation: Correlation::of(&state.correlation),
            deliveries: deliveries.map(|delivery| DeliveryView::of(delivery, bodies)).collect(),
            waiting_rules: state.deferred.iter().map(WaitingRule::of).collect(),
            timer_at: state.timer().map(rfc3339),
        }
    }
}

impl Correlation {
    fn of(correlation: &domain::Correlation) -> Self {
        let reports = |reports: &[Collected]| reports.iter().map(Report::of).collect();
        match correlation {
            domain::Correlation::Unknown => Self::Unknown,
            domain::Correlation::AwaitingFlow(waiting) => {
                Self::AwaitingFlow { reports: reports(waiting) }
            }
            domain::Correlation::Open(flow) => {
                let (collection, until) = match flow.collection {
                    Collection::Open { until } => ("open", Some(until)),
                    Collection::Complete => ("complete", None),
                    Collection::TimedOut => ("timed_out", None),
                    Collection::NotWanted => ("not_wanted", None),
                };
                let sms = flow.sms.as_ref();
                Self::Open {
                    account_id: flow.identity.account.0,
                    flow_id: flow.identity.flow.map(|flow| flow.0),
                    webhook: flow.webhook.as_ref().map(ToString::to_string),
                    accepted_at: rfc3339(flow.accepted_at),
                    source: Source::of(&flow.source),
                    sms: sms.map(|sms| sms.iter().map(SmsId::to_string).collect()),
                    reports: reports(&flow.reports),
                    collection,
                    until: until.map(rfc3339),
                    gathers_until: flow.gathers_until.map(rfc3339),
                }
            }
            domain::Correlation::Silent { flow, reason, until } => Self::Silent {
                account_id: flow.account.0,
                flow_id: flow.flow.map(|flow| flow.0),
                reason: reason.as_str(),
                until: rfc3339(*until),
            },
            domain::Correlation::Ended { account, until } => {
                Self::Ended { account_id: account.0, until: rfc3339(*until) }
            }
        }
    }
}

impl WaitingRule {
    fn of(deferred: &Deferred) -> Self {
        Self {
            webhook: deferred.delivery.webhook.to_string(),
            on: deferred.trigger.to_string(),
            after: deferred.after().iter().map(ToString::to_string).collect(),
        }
    }
}

impl Report {
    fn of(report: &Collected) -> Self {
        Self {
            sms_id: report.sms.to_string(),
            account_id: report.account.0,
            is_final: report.class == StatusClass::Final,
            sent: report.sent,
            source: Source::of(&report.source),
            expires_at: report.expires_at.map(rfc3339),
        }
    }
}

impl Source {
    fn of(source: &domain::Source) -> Self {
        let (partition, offset) = (source.partition, source.offset);
        Self { topic: source.topic.to_string(), partition, offset, index: source.index }
    }
}

impl DeliveryView {
    fn of(delivery: &Delivery, bodies: bool) -> Self {
        let outcome = delivery.last_outcome.as_ref().map(|outcome| {
            let json = outcome_json(outcome);
            let mut outcome: Value = serde_json::from_slice(&json).unwrap_or_default();
            if let Some(outcome) = outcome.as_object_mut().filter(|_| !bodies) {
                outcome.remove("response_raw");
            }
            outcome
        });
        Self {
            webhook_id: delivery.id.to_string(),
            phase: delivery.phase.number(),
            webhook: delivery.webhook.to_string(),
            scheduled_at: rfc3339(delivery.scheduled_at),
            due_at: due_at(delivery).map(rfc3339),
            attempts: delivery.attempts,
            replays: delivery.replays,
            first_attempt_at: delivery.first_attempt_at.map(rfc3339),
            last_attempt_at: delivery.last_attempt_at.map(rfc3339),
            last_outcome: outcome,
            body: bodies.then(|| String::from_utf8_lossy(&delivery.body).into_owned()),
        }
    }
}

const fn due_at(delivery: &Delivery) -> Option<Timestamp> {
    match delivery.due {
        Due::At(at) => Some(at),
        Due::Waiting => None,
    }
}

impl EndpointView {
    fn of(endpoint: &EndpointState) -> Self {
        Self {
            disabled_at: endpoint.disabled.map(|disabled| rfc3339(disabled.at)),
            disabled_cause: endpoint.disabled.map(|disabled| disabled.cause.as_str()),
            held_until: endpoint.held_until.map(rfc3339),
            failing_since: endpoint.failing_since.map(rfc3339),
        }
    }
}
