//! The rules: which webhooks beside the two phases a source event triggers, and on which conditions.

use super::after::After;
use super::outbox::Blocked;
use super::schedule::{Carried, Known, KnownFacts, Scheduler};
use crate::domain::{
    AccountId, Collected, Condition, Deferred, Delivery, DeliveryId, Due, Event, Facts, Flow,
    Mapped, OUTCOME_VARIABLES, Pending, Phase, PhononUuid, Policy, Rendering, Rule, SharedList,
    SkipReason, SkippedRule, SmsId, Source, State, StatusClass, Test, Trigger, WebhookName,
};
use bytes::Bytes;
use std::cell::OnceCell;
use std::sync::Arc;

/// An occurrence that may trigger rules.
pub(super) struct Occasion<'a> {
    pub(super) uuid: &'a PhononUuid,
    pub(super) account: AccountId,
    /// All triggers that describe the occurrence.
    pub(super) triggers: &'a [Trigger],
    /// The parts of a delivery's id that distinguish occurrences with the same trigger.
    pub(super) parts: [&'a str; 2],
    pub(super) source: &'a Source,
    /// The SMS whose reports the webhooks send.
    pub(super) sms: SharedList<SmsId>,
    /// The SMS that the webhooks are about.
    pub(super) about: SharedList<SmsId>,
}

/// Schedules the webhooks of the rules that are triggered and whose conditions hold. Rules whose conditions need an
/// answer that has not come yet wait for it.
pub(super) fn fire(
    scheduler: &Scheduler<'_>,
    occasion: &Occasion<'_>,
    known: &dyn KnownFacts,
    predefined: &dyn Fn() -> Bytes,
    events: &mut Vec<Event>,
) {
    let policy = scheduler.policy;
    let Some(account) = policy.accounts.get(&occasion.account) else { return };
    for (number, rule) in account.numbered_rules_of(scheduler.scope) {
        let is_met = |on: &&Trigger| occasion.triggers.iter().any(|it| is_same(on, it, policy));
        let Some(trigger) = rule.on.iter().find(is_met) else { continue };
        let name = trigger.to_string();
        let after = After::of_rule(policy, account, (number, rule));
        let outcome = scheduler.outbox.kept(occasion.account, &after.outcome_of, events);
        let blocked = Blocked::default();
        let givers = |condition: &Condition| {
            scheduler.outbox.givers_of(condition, occasion.account, &after, &blocked, events)
        };
        let verdict = judge(rule, known, outcome, policy, &givers);
        let [first, second] = occasion.parts;
        let parts = [rule.webhook.as_str(), &name, first, second];
        let triggered = Triggered {
            account: occasion.account,
            webhook: &rule.webhook,
            trigger: &name,
            sms: occasion.sms.first(),
            source: occasion.source,
        };
        let make = || Delivery {
            sms: occasion.about.clone(),
            ..Delivery::new(
                DeliveryId::of_rule(occasion.uuid, parts),
                Phase::Rule,
                occasion.account,
                rule.webhook.clone(),
                predefined(),
                occasion.source.clone(),
                scheduler.now,
            )
        };
        match verdict {
            Verdict::Holds => {
                let carried = Carried { sms: occasion.sms.clone(), frees: 0 };
                scheduler.schedule(Box::new(make()), known, &after, carried, events);
            }
            Verdict::Fails => {}
            Verdict::NoValue(variable) => {
                events.push(triggered.skipped(SkipReason::NoValue, Some(variable)));
            }
            Verdict::Awaits(awaited) => {
                let pending = Pending {
                    after: awaited,
                    outcome_of: after.outcome_of.to_vec(),
                    ..Pending::of(Arc::clone(known.facts()))
                };
                let rendering = Rendering::Pending(Box::new(pending));
                let deferred = Deferred {
                    delivery: Delivery { due: Due::Waiting, rendering, ..make() },
                    trigger: name.as_str().into(),
                    upon: None,
                    sms: occasion.sms.clone(),
                    scope: scheduler.scope,
                };
                if !scheduler.defer(&deferred, events) {
                    events.push(triggered.skipped(SkipReason::NoRoom, None));
                }
            }
        }
    }
}

/// Returns whether the trigger `on` of a rule means the occurrence `met`. A status has several spellings.
fn is_same(on: &Trigger, met: &Trigger, policy: &Policy) -> bool {
    if let (Trigger::Sms(word), Trigger::Sms(name)) = (on, met) {
        return policy.statuses.is_same(word, name);
    }
    on == met
}

/// The result of a rule's conditions together.
pub(super) enum Verdict {
    Holds,
    Fails,
    /// A condition can't be judged, because this variable has no value.
    NoValue(Box<str>),
    /// These deliveries may give values to the variables of conditions.
    Awaits(Vec<DeliveryId>),
}

/// Judges the conditions of a rule. One that fails decides. Otherwise, all wait if one needs an answer that has not
/// come: `givers` returns the deliveries that may give a value to its variable. `outcome` has the values of the webhook
/// that the rule comes after.
pub(super) fn judge(
    rule: &Rule,
    known: &dyn KnownFacts,
    outcome: Option<&[Mapped]>,
    policy: &Policy,
    givers: &dyn Fn(&Condition) -> Vec<DeliveryId>,
) -> Verdict {
    let mut awaited: Vec<DeliveryId> = Vec::new();
    let mut left: Vec<&Condition> = Vec::with_capacity(rule.when.len());
    for condition in &rule.when {
        let of = givers(condition);
        if of.is_empty() {
            left.push(condition);
        }
        awaited.extend(of);
    }
    let asks = |it: &Condition| OUTCOME_VARIABLES.contains(&&*it.variable);
    let outcome = outcome.filter(|_| rule.when.iter().any(asks));
    match outcome.map(|values| Facts::clone(known.facts()).with_outcome(values)) {
        None => judge_all(&left, known, awaited),
        Some(facts) => {
            let facts = OnceCell::from(Arc::new(facts));
            judge_all(&left, &Known::new(&Facts::default, policy, &facts), awaited)
        }
    }
}

/// Judges conditions that need no further answer. Those that do wait for `awaited`.
fn judge_all(
    conditions: &[&Condition],
    known: &dyn KnownFacts,
    awaited: Vec<DeliveryId>,
) -> Verdict {
    let mut missing = None;
    for condition in conditions {
        let value = known.reading().text(&condition.variable);
        match (&value, &condition.test) {
            (None, Test::OneOf(_)) => missing = missing.or(Some(&condition.variable)),
            _ if !condition.holds(value.as_deref()) => return Verdict::Fails,
            _ => {}
        }
    }
    match missing {
        Some(variable) => Verdict::NoValue(variable.clone()),
        None if awaited.is_empty() => Verdict::Holds,
        None => Verdict::Awaits(awaited),
    }
}

/// A rule that was triggered, in the words of the event that reports it as skipped.
pub(super) struct Triggered<'a> {
    pub(super) account: AccountId,
    pub(super) webhook: &'a WebhookName,
    pub(super) trigger: &'a str,
    /// The SMS, if a report triggered the rule.
    pub(super) sms: Option<&'a SmsId>,
    pub(super) source: &'a Source,
}

impl Triggered<'_> {
    /// Returns the event that the rule is skipped. `variable` is the one without a value, if that is the reason.
    pub(super) fn skipped(&self, reason: SkipReason, variable: Option<Box<str>>) -> Event {
        Event::RuleSkipped(Box::new(SkippedRule {
            account: self.account,
            webhook: self.webhook.clone(),
            trigger: self.trigger.into(),
            reason,
            variable,
            sms: self.sms.cloned(),
            source: self.source.clone(),
        }))
    }
}

/// Records the rules that were triggered by a report that waited for its flow, and that a newer report of the same SMS
/// replaces. Its flow will not be known, so that they are skipped.
pub(super) fn skip_replaced(policy: &Policy, replaced: &Collected, events: &mut Vec<Event>) {
    let Some(status) = &replaced.status else { return };
    let Some(account) = policy.accounts.get(&replaced.account) else { return };
    let met = Trigger::Sms(policy.statuses.read(status).name.into());
    for (_, rule) in &account.rules {
        let Some(trigger) = rule.on.iter().find(|on| is_same(on, &met, policy)) else { continue };
        let triggered = Triggered {
            account: replaced.account,
            webhook: &rule.webhook,
            trigger: &trigger.to_string(),
            sms: Some(&replaced.sms),
            source: &replaced.source,
        };
        events.push(triggered.skipped(SkipReason::Replaced, None));
    }
}

/// Schedules the webhooks of the rules on a report that `flow` has accepted. `status` is the name of its status.
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
    let mut triggers = vec![Trigger::Sms(status.into())];
    if report.class == StatusClass::Final {
        triggers.push(Trigger::SmsFinal);
    }
    let content = report.seen.last().map(|hash| format!("{hash:016x}")).unwrap_or_default();
    let sms = SharedList::from(vec![report.sms.clone()]);
    let occasion = Occasion {
        uuid,
        account: flow.identity.account,
        triggers: &triggers,
        parts: [report.sms.as_str(), &content],
        source: &report.source,
        sms: sms.clone(),
        about: sms,
    };
    let reports: Vec<Bytes> = report.body.iter().cloned().collect();
    let attached = account.is_some_and(|account| account.attach_flow_keys);
    let keys = flow.keys.as_ref().filter(|_| attached);
    let predefined = || scheduler.policy.definitions.phase2(flow.spelling_of(uuid), &reports, keys);
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
