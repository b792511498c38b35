//! Rules about the end of a delivery: `webhook:NAME:delivered` and `webhook:NAME:failed`. They wait from the moment at
//! which the delivery is scheduled, with the facts of its occasion.

use super::rule;
use super::schedule::{KnownFacts, Scheduler};
use crate::domain::{
    Correlation, Deferred, Delivery, Due, Event, Facts, Pending, Phase, Rendering, Rule, Scope,
    SkipReason, SkippedRule, SmsId, State, Trigger,
};

/// Returns whether there are rules about the end of `delivery`.
pub(super) fn is_watched(scheduler: &Scheduler<'_>, delivery: &Delivery) -> bool {
    scheduler.policy.accounts.get(&delivery.account).is_some_and(|account| {
        let upon = |rule: &Rule| rule.upon_end_of(&delivery.webhook).next().is_some();
        account.rules_of(scheduler.scope).any(upon)
    })
}

/// Makes the rules about the end of `delivery` wait for it. The body of `delivery` is the predefined one.
pub(super) fn begin(
    scheduler: &Scheduler<'_>,
    delivery: &Delivery,
    known: &dyn KnownFacts,
    sms: &[SmsId],
    events: &mut Vec<Event>,
) {
    let Some(account) = scheduler.policy.accounts.get(&delivery.account) else { return };
    for rule in account.rules_of(scheduler.scope) {
        for trigger in rule.upon_end_of(&delivery.webhook) {
            let deferred = deferred(scheduler, delivery, rule, trigger, known.facts(), sms);
            if !scheduler.defer(deferred, events) {
                events.push(skipped(delivery, rule, trigger, SkipReason::NoRoom));
            }
        }
    }
}

fn deferred(
    scheduler: &Scheduler<'_>,
    delivery: &Delivery,
    rule: &Rule,
    trigger: &Trigger,
    facts: &Facts,
    sms: &[SmsId],
) -> Deferred {
    let trigger: Box<str> = trigger.to_string().into();
    // An old dead letter may be replayed several times, each time as the same life.
    let life = match delivery.replays {
        0 => String::new(),
        replays => format!("{replays}@{}", delivery.scheduled_at.as_ms()),
    };
    let id = delivery.id.followed_by([rule.webhook.as_str(), &trigger, &life]);
    let pending = Pending {
        after: vec![delivery.id],
        outcome_of: vec![delivery.webhook.clone()],
        ..Pending::of(facts.clone())
    };
    let (webhook, body) = (rule.webhook.clone(), delivery.body.clone());
    let (account, source) = (delivery.account, delivery.source.clone());
    let next = Delivery::new(id, Phase::Rule, account, webhook, body, source, scheduler.now);
    let rendering = Rendering::Pending(Box::new(pending));
    let (due, about) = (Due::Waiting, delivery.sms.clone());
    Deferred {
        delivery: Delivery { due, rendering, sms: about, ..next },
        trigger,
        upon: Some(delivery.id),
        sms: sms.to_vec(),
        scope: scheduler.scope,
    }
}

/// Like `begin`, for a delivery that was replayed. Its facts are known while its run is open. Otherwise the rules are
/// skipped.
pub(super) fn begin_again(
    state: &State,
    scheduler: &Scheduler<'_>,
    given_up: &Delivery,
    delivery: &Delivery,
    events: &mut Vec<Event>,
) {
    let Some(account) = scheduler.policy.accounts.get(&delivery.account) else { return };
    if !is_watched(scheduler, delivery) {
        return;
    }
    let own = |account| account == delivery.account;
    let flow = match &state.correlation {
        Correlation::Open(flow) if own(flow.identity.account) => Some(flow),
        Correlation::Open(_)
        | Correlation::Unknown
        | Correlation::AwaitingFlow(_)
        | Correlation::Silent { .. }
        | Correlation::Ended { .. } => None,
    };
    let is_open = flow.is_some() || state.started.is_some_and(|started| own(started.account));
    let of_flow = flow.map(|flow| rule::facts(flow, state));
    let (facts, has_predefined) = match &given_up.rendering {
        Rendering::Pending(pending) => (is_open.then(|| pending.facts.clone()), true),
        Rendering::Fixed => (of_flow, true),
        Rendering::Done(_) => (of_flow, false),
    };
    let predefined = Delivery { body: given_up.body.clone(), ..delivery.clone() };
    for rule in account.rules_of(scheduler.scope) {
        for trigger in rule.upon_end_of(&delivery.webhook) {
            // A rendered body does not show the predefined one.
            let needs = !scheduler.policy.definitions.is_rendered(&rule.webhook);
            let reason = match &facts {
                Some(facts) if has_predefined || !needs => {
                    let deferred =
                        deferred(scheduler, &predefined, rule, trigger, facts, &delivery.sms);
                    (!scheduler.defer(deferred, events)).then_some(SkipReason::NoRoom)
                }
                Some(_) | None => Some(SkipReason::RunEnded),
            };
            events.extend(reason.map(|reason| skipped(delivery, rule, trigger, reason)));
        }
    }
}

/// Returns the scope of the rules about deliveries of `state`. If the flow is over, every rule may be meant.
pub(super) fn scope(state: &State) -> Scope {
    match &state.correlation {
        Correlation::Open(flow) => flow.scope(),
        Correlation::Unknown
        | Correlation::AwaitingFlow(_)
        | Correlation::Silent { .. }
        | Correlation::Ended { .. } => Scope { flow: None, enabled: true },
    }
}

fn skipped(delivery: &Delivery, rule: &Rule, trigger: &Trigger, reason: SkipReason) -> Event {
    Event::RuleSkipped(Box::new(SkippedRule {
        account: delivery.account,
        webhook: rule.webhook.clone(),
        trigger: trigger.to_string().into(),
        reason,
        variable: None,
        sms: delivery.sms.first().cloned(),
        source: delivery.source.clone(),
    }))
}
