//! The facts of a replayed delivery's first life, as far as they are kept: by its run while this is open, and by its dead
//! letter.

use super::rule;
use crate::domain::{
    AccountPolicy, Collected, Correlation, Definitions, Delivery, Facts, Flow, FlowId,
    OUTCOME_VARIABLES, Phase, Policy, Rendering, Rule, Scope, State,
};
use bytes::Bytes;
use std::sync::Arc;

/// The variables of a record by which rules apply to its flow.
const FLOW_ID: &str = "$flow.syskey.flowId";
const ENABLED: &str = "$flow.syskey.webhookEnabled";

/// The kept facts of the occasion on which a replayed delivery was scheduled.
pub(super) struct Past {
    /// The flow as far as rules depend on it.
    scope: Option<Scope>,
    /// Whether the flow is known to enable its webhooks.
    is_enabled: bool,
    pub(super) facts: Option<Arc<Facts>>,
    /// The predefined body.
    pub(super) predefined: Option<Bytes>,
}

impl Past {
    /// Returns the facts of the delivery of a dead letter.
    pub(super) fn of(state: &State, letter: &Delivery, policy: &Policy) -> Self {
        let flow = match &state.correlation {
            Correlation::Open(flow) if flow.identity.account == letter.account => Some(flow),
            Correlation::Open(_)
            | Correlation::Unknown
            | Correlation::AwaitingFlow(_)
            | Correlation::Silent { .. }
            | Correlation::Ended { .. } => None,
        };
        let of_body = || Some(policy.definitions.reports(&letter.body));
        // A rendered body does not show the predefined one.
        let (of_letter, predefined, reports) = match &letter.rendering {
            Rendering::Fixed => (None, Some(letter.body.clone()), of_body()),
            Rendering::Pending(pending) => {
                let facts = pending.facts.record.is_some().then(|| Arc::clone(&pending.facts));
                (facts, Some(letter.body.clone()), of_body())
            }
            Rendering::Done(_) => (None, None, flow.and_then(|flow| reports(flow, letter))),
        };
        let of_run = || {
            let (flow, reports) = flow.zip(reports)?;
            Some(Arc::new(Facts { reports, ..rule::facts(flow, state) }))
        };
        let account = policy.accounts.get(&letter.account);
        let scope = flow
            .map(Flow::scope)
            .or_else(|| scope(&*policy.definitions, account?, of_letter.as_ref()?));
        let facts = of_letter.or_else(of_run);
        Self { scope, is_enabled: letter.phase != Phase::Rule, facts, predefined }
    }

    /// Returns the flow with which rules wait. If it is unknown, only rules of all flows wait to be judged.
    pub(super) fn scope(&self) -> Scope {
        self.scope.unwrap_or(Scope { flow: None, enabled: true })
    }

    /// Returns whether `rule`, which belongs to the flow `of`, applies to the flow, or `None` if this is unknown.
    pub(super) fn applies(&self, of: Option<FlowId>, rule: &Rule) -> Option<bool> {
        match self.scope {
            Some(scope) => Some(scope.includes(of, rule)),
            None => (of.is_none() && (rule.any_flow || self.is_enabled)).then_some(true),
        }
    }

    /// Returns whether the kept facts are enough to judge `rule` and to send its webhook.
    pub(super) fn is_enough(&self, rule: &Rule, definitions: &dyn Definitions) -> bool {
        let is_fact = |variable: &str| !OUTCOME_VARIABLES.contains(&variable);
        let needs_facts = definitions.is_rendered(&rule.webhook)
            || rule.when.iter().any(|condition| is_fact(&condition.variable));
        let needs_predefined = definitions.has_predefined_body(&rule.webhook);
        (!needs_facts || self.facts.is_some()) && (!needs_predefined || self.predefined.is_some())
    }
}

/// Returns the reports of a rendered delivery, or `None` if `flow` does not keep them any more.
fn reports(flow: &Flow, letter: &Delivery) -> Option<Vec<Bytes>> {
    match &*letter.sms {
        [] if letter.phase == Phase::Two => None,
        [] => Some(Vec::new()),
        [sms] => {
            let is_it = |it: &&Collected| it.sms == *sms && it.source == letter.source;
            flow.reports.iter().find(is_it)?.body.clone().map(|report| vec![report])
        }
        [_, _, ..] => None,
    }
}

/// Returns the flow that the record among `facts` names, as far as rules depend on it.
fn scope(definitions: &dyn Definitions, account: &AccountPolicy, facts: &Facts) -> Option<Scope> {
    let reading = definitions.read(facts);
    let flow = reading.text(FLOW_ID)?.parse().ok().map(FlowId)?;
    let enabled = reading.text(ENABLED).and_then(|text| text.parse().ok());
    Some(Scope { flow: Some(flow), enabled: account.enables(Some(flow), enabled) })
}
