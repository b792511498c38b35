//! The webhooks beside the two phases: what each is sent upon, and on what conditions.

use super::schedule::Scheduler;
use crate::domain::{
    AccountId, Collected, Delivery, DeliveryId, Event, Facts, Flow, FlowId, Phase, PhononUuid,
    SmsId, Source, State, StatusClass, Trigger,
};
use bytes::Bytes;

/// What has happened.
pub(super) struct Occasion<'a> {
    pub(super) uuid: &'a PhononUuid,
    pub(super) account: AccountId,
    pub(super) flow: Option<FlowId>,
    /// By all its names.
    pub(super) triggers: &'a [Trigger],
    /// What tells it from others of the same names.
    pub(super) parts: [&'a str; 2],
    pub(super) source: &'a Source,
    pub(super) sms: Vec<SmsId>,
}

/// Schedules the webhooks of the rules that hold.
pub(super) fn fire(
    scheduler: &Scheduler<'_>,
    occasion: &Occasion<'_>,
    facts: &dyn Fn() -> Facts,
    predefined: &dyn Fn() -> Bytes,
    events: &mut Vec<Event>,
) {
    let rules = scheduler.rules;
    let Some(account) = rules.accounts.get(&occasion.account) else { return };
    for rule in account.rules_of(occasion.flow) {
        let Some(trigger) = rule.on.iter().find(|on| occasion.triggers.contains(on)) else {
            continue;
        };
        if !rule.when.is_empty() {
            let facts = facts();
            let value = |variable: &str| (rules.look_up)(&facts, variable);
            if !rule.when.iter().all(|it| it.holds(value(&it.variable).as_deref())) {
                continue;
            }
        }
        let name = trigger.to_string();
        let [first, second] = occasion.parts;
        let parts = [rule.webhook.as_str(), &name, first, second];
        let delivery = Delivery::new(
            DeliveryId::of_rule(occasion.uuid, parts),
            Phase::Rule,
            occasion.account,
            rule.webhook.clone(),
            predefined(),
            occasion.source.clone(),
            scheduler.now,
        );
        scheduler.schedule(delivery, facts, occasion.sms.clone(), events);
    }
}

/// The rules upon a report that `flow` has accepted; `status` as it came.
pub(super) fn fire_of_report(
    scheduler: &Scheduler<'_>,
    uuid: &PhononUuid,
    flow: &Flow,
    report: &Collected,
    status: &str,
    events: &mut Vec<Event>,
) {
    let account = scheduler.rules.accounts.get(&flow.identity.account);
    if account.is_none_or(|account| account.rules.is_empty()) {
        return;
    }
    let mut triggers = vec![Trigger::Sms(status.to_ascii_uppercase().into())];
    if report.class == StatusClass::Final {
        triggers.push(Trigger::SmsFinal);
    }
    let content = report.seen.last().map(|hash| format!("{hash:016x}")).unwrap_or_default();
    let occasion = Occasion {
        uuid,
        account: flow.identity.account,
        flow: flow.identity.flow,
        triggers: &triggers,
        parts: [report.sms.as_str(), &content],
        source: &report.source,
        sms: vec![report.sms.clone()],
    };
    let reports: Vec<Bytes> = report.body.iter().cloned().collect();
    let attached = account.is_some_and(|account| account.attach_flow_keys);
    let keys = flow.keys.as_ref().filter(|_| attached);
    let predefined = || (scheduler.rules.render_phase2)(uuid.as_str(), &reports, keys);
    fire(
        scheduler,
        &occasion,
        &|| facts(flow, scheduler.state, reports.clone()),
        &predefined,
        events,
    );
}

/// What is known of `flow`, about `reports`. Of one that came before its account used variables, there are the keys, if any.
pub(super) fn facts(flow: &Flow, state: &State, reports: Vec<Bytes>) -> Facts {
    let keys = || {
        let keys = flow.keys.as_ref()?;
        Some(Bytes::from([&br#"{"keys":"#[..], keys, b"}"].concat()))
    };
    let is_own = state.started.is_none_or(|started| started.account == flow.identity.account);
    let mapped = if is_own { state.mapped.clone() } else { Vec::new() };
    Facts { record: flow.record.clone().or_else(keys), reports, mapped }
}
