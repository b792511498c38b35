//! The rules: which webhooks beside the two phases a source event triggers, and on which conditions.

use super::schedule::{Carried, KnownFacts, Scheduler, unfinished};
use crate::domain::{
    AccountId, AccountPolicy, Collected, Delivery, DeliveryId, Event, Facts, Flow, FlowId, Phase,
    PhononUuid, Reading, Rule, SkipReason, SkippedRule, SmsId, Source, State, StatusClass, Test,
    Trigger, WebhookName,
};
use bytes::Bytes;
use std::cell::OnceCell;

/// An occurrence that may trigger rules.
pub(super) struct Occasion<'a> {
    pub(super) uuid: &'a PhononUuid,
    pub(super) account: AccountId,
    pub(super) flow: Option<FlowId>,
    /// All triggers that describe the occurrence.
    pub(super) triggers: &'a [Trigger],
    /// The parts of a delivery's id that distinguish occurrences with the same trigger.
    pub(super) parts: [&'a str; 2],
    pub(super) source: &'a Source,
    /// The SMS whose reports the webhooks send.
    pub(super) sms: Vec<SmsId>,
    /// The SMS that the webhooks are about.
    pub(super) about: Vec<SmsId>,
}

/// Schedules the webhooks of the rules that are triggered and whose conditions hold.
pub(super) fn fire(
    scheduler: &Scheduler<'_>,
    occasion: &Occasion<'_>,
    known: &dyn KnownFacts,
    predefined: &dyn Fn() -> Bytes,
    events: &mut Vec<Event>,
) {
    let policy = scheduler.policy;
    let Some(account) = policy.accounts.get(&occasion.account) else { return };
    for rule in account.rules_of(occasion.flow) {
        let Some(trigger) = rule.on.iter().find(|on| occasion.triggers.contains(on)) else {
            continue;
        };
        let name = trigger.to_string();
        if !rule.when.is_empty() {
            match judge(rule, known.reading(), scheduler, occasion.account, events) {
                Verdict::Holds => {}
                Verdict::Fails => continue,
                Verdict::Unknown(reason, variable) => {
                    events.push(skipped(occasion, &rule.webhook, name.into(), reason, variable));
                    continue;
                }
            }
        }
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
        let delivery = Delivery { sms: occasion.about.clone(), ..delivery };
        let carried = Carried { sms: occasion.sms.clone(), frees: 0 };
        scheduler.schedule(delivery, known, carried, events);
    }
}

/// The result of a rule's conditions together.
enum Verdict {
    Holds,
    Fails,
    /// A condition could not be judged, for this reason, because of this variable.
    Unknown(SkipReason, Box<str>),
}

/// Judges the conditions of a rule. One that fails decides; otherwise one that can't be judged makes the result
/// unknown.
fn judge(
    rule: &Rule,
    reading: &dyn Reading,
    scheduler: &Scheduler<'_>,
    account: AccountId,
    events: &[Event],
) -> Verdict {
    let mut verdict = Verdict::Holds;
    for condition in &rule.when {
        let variable = &condition.variable;
        let value = reading.text(variable);
        let unknown = match (&value, &condition.test) {
            (Some(_), _) => None,
            (None, _) if is_awaited(variable, scheduler, account, events) => {
                Some(SkipReason::Unanswered)
            }
            (None, Test::OneOf(_)) => Some(SkipReason::NoValue),
            (None, Test::Present(_)) => None,
        };
        match unknown {
            None if !condition.holds(value.as_deref()) => return Verdict::Fails,
            Some(reason) if matches!(verdict, Verdict::Holds) => {
                verdict = Verdict::Unknown(reason, variable.clone());
            }
            None | Some(_) => {}
        }
    }
    verdict
}

/// Returns whether a delivery that has not ended may give the variable a value.
fn is_awaited(
    variable: &str,
    scheduler: &Scheduler<'_>,
    account: AccountId,
    events: &[Event],
) -> bool {
    let definitions = &scheduler.policy.definitions;
    let gives = |other: &&Delivery| {
        let saves = definitions.saves(&other.webhook);
        other.account == account && saves.iter().any(|it| **it == *variable)
    };
    unfinished(scheduler.state, events).iter().any(gives)
}

fn skipped(
    occasion: &Occasion<'_>,
    webhook: &WebhookName,
    trigger: Box<str>,
    reason: SkipReason,
    variable: Box<str>,
) -> Event {
    Event::RuleSkipped(Box::new(SkippedRule {
        account: occasion.account,
        webhook: webhook.clone(),
        trigger,
        reason,
        variable: Some(variable),
        sms: occasion.sms.first().cloned(),
        source: occasion.source.clone(),
    }))
}

/// Records the rules that were triggered by a report that waited for its flow, and that a newer report of the same SMS
/// replaces. Its flow will not be known, so that they are skipped.
pub(super) fn skip_replaced(
    account: &AccountPolicy,
    replaced: &Collected,
    events: &mut Vec<Event>,
) {
    let Some(status) = &replaced.status else { return };
    let trigger = Trigger::Sms(status.to_ascii_uppercase().into());
    for (_, rule) in account.rules.iter().filter(|(_, rule)| rule.on.contains(&trigger)) {
        events.push(Event::RuleSkipped(Box::new(SkippedRule {
            account: replaced.account,
            webhook: rule.webhook.clone(),
            trigger: trigger.to_string().into(),
            reason: SkipReason::Replaced,
            variable: None,
            sms: Some(replaced.sms.clone()),
            source: replaced.source.clone(),
        })));
    }
}

/// Schedules the webhooks of the rules on a report that `flow` has accepted, with `status` as it came.
pub(super) fn fire_of_report(
    scheduler: &Scheduler<'_>,
    uuid: &PhononUuid,
    flow: &Flow,
    report: &Collected,
    status: &str,
    events: &mut Vec<Event>,
) {
    let account = scheduler.policy.accounts.get(&flow.identity.account);
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
        about: vec![report.sms.clone()],
    };
    let reports: Vec<Bytes> = report.body.iter().cloned().collect();
    let attached = account.is_some_and(|account| account.attach_flow_keys);
    let keys = flow.keys.as_ref().filter(|_| attached);
    let predefined = || scheduler.policy.definitions.phase2(uuid.as_str(), &reports, keys);
    let (make, kept) = (|| scheduler.facts_about(&reports), OnceCell::new());
    fire(scheduler, &occasion, &scheduler.about(&make, &kept), &predefined, events);
}

/// Returns the facts of `flow` beside its reports. If it came before its account used variables, its record is not
/// kept, and only its keys are known, if any.
pub(super) fn facts(flow: &Flow, state: &State) -> Facts {
    let keys = flow.keys.as_ref();
    let of_keys = || Some(Bytes::from([&br#"{"keys":"#[..], keys?, b"}"].concat()));
    let is_own = state.started.is_none_or(|started| started.account == flow.identity.account);
    let mapped = if is_own { state.mapped.clone() } else { Vec::new() };
    Facts { record: flow.record.clone().or_else(of_keys), reports: Vec::new(), mapped }
}
