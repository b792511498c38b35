//! The latest row of a phonon-uuid, and the endpoints that its deliveries wait for, as answers that can be serialised.

use super::Trace;
use crate::codec::event::{outcome_json, rfc3339};
use crate::domain::{
    self, Collected, Collection, Delivery, Due, EndpointState, SmsId, State, StatusClass, Timestamp,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a phonon-uuid waits for. Without a row nothing of it is kept any more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Now {
    /// Where the row was found.
    pub from: &'static str,
    /// The row's partition.
    pub partition: Option<i32>,
    /// The row's offset.
    pub offset: Option<i64>,
    /// The row.
    pub state: Option<StateView>,
    /// The endpoints that its deliveries wait for, by the name of their webhook.
    pub endpoints: BTreeMap<String, EndpointView>,
}

impl Now {
    /// What the changelog says in `trace`.
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

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateView {
    /// What is known of the execution.
    pub correlation: Correlation,
    /// The deliveries that are not finished.
    pub deliveries: Vec<DeliveryView>,
    /// When its timer fires next.
    pub timer_at: Option<String>,
}

/// What is known of an execution.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Correlation {
    /// Nothing.
    Unknown,
    /// Reports wait for their flow complete record.
    AwaitingFlow {
        /// The reports.
        reports: Vec<Report>,
    },
    /// The flow is complete, and its webhooks are on their way.
    Open {
        /// The account.
        account_id: i64,
        /// The flow.
        flow_id: Option<i64>,
        /// Where phase 1 goes.
        webhook: Option<String>,
        /// When the flow complete record was accepted.
        accepted_at: String,
        /// That record.
        source: Source,
        /// The SMS of the flow, where the gateway knows them.
        sms: Option<Vec<String>>,
        /// The reports so far.
        reports: Vec<Report>,
        /// `open`, `complete`, `timed_out` or `not_wanted`.
        collection: &'static str,
        /// Until when reports are waited for.
        until: Option<String>,
    },
    /// The flow sends nothing.
    Silent {
        /// The account.
        account_id: i64,
        /// The flow.
        flow_id: Option<i64>,
        /// Why.
        reason: &'static str,
        /// Until when it is remembered.
        until: String,
    },
    /// Everything is done.
    Ended {
        /// The account.
        account_id: i64,
        /// Until when it is remembered.
        until: String,
    },
}

/// The report of one SMS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The SMS.
    pub sms_id: String,
    /// The account.
    pub account_id: i64,
    /// Whether its status is final.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether a delivery carries it.
    pub sent: bool,
    /// The record.
    pub source: Source,
    /// Until when it waits for its flow.
    pub expires_at: Option<String>,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// A delivery that is not finished.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeliveryView {
    /// Its id.
    pub webhook_id: String,
    /// 0, 1 or 2.
    pub phase: u8,
    /// Its webhook.
    pub webhook: String,
    /// When it was scheduled.
    pub scheduled_at: String,
    /// When it may be attempted; `None`: it waits.
    pub due_at: Option<String>,
    /// How many attempts were made.
    pub attempts: u32,
    /// How many lives it had before.
    pub replays: u32,
    /// When the first attempt ended.
    pub first_attempt_at: Option<String>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<String>,
    /// The outcome of that.
    pub last_outcome: Option<Value>,
    /// Its body, where bodies are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What is remembered of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointView {
    /// Since when it is disabled.
    pub disabled_at: Option<String>,
    /// Why.
    pub disabled_cause: Option<&'static str>,
    /// Until when it asked to be left alone.
    pub held_until: Option<String>,
    /// Since when nothing was delivered.
    pub failing_since: Option<String>,
}

impl StateView {
    fn of(state: &State, bodies: bool) -> Self {
        let deliveries = state.deliveries.iter();
        Self {
            correlation: Correlation::of(&state.correlation),
            deliveries: deliveries.map(|delivery| DeliveryView::of(delivery, bodies)).collect(),
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
        Self { topic: source.topic.to_string(), partition, offset }
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
