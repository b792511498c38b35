//! Rules about the end of a delivery: `webhook:NAME:delivered` and `webhook:NAME:failed`. They wait from the moment at
//! which the delivery is scheduled, with the facts of its occasion.

use super::past::Past;
use super::rule::Triggered;
use super::schedule::{KnownFacts, Scheduler};
use crate::domain::{
    Deferred, Delivery, Due, Event, Facts, Pending, Phase, Rendering, Rule, SharedList, SkipReason,
    SmsId, Trigger,
};
use std::sync::Arc;

/// Returns whether there are rules about the end of `delivery`.
pub(super) fn is_watched(scheduler: &Scheduler<'_>, delivery: &Delivery) -> bool {
    let Scheduler { policy, scope, .. } = scheduler;
    policy.accounts.get(&delivery.account).is_some_and(|account| {
        let mut upon = account.upon_end_of(&delivery.webhook, &*policy.definitions);
        upon.any(|(of, rule)| scope.includes(*of, rule))
    })
}

/// Makes the rules about the end of `delivery` wait for it. The body of `delivery` is the predefined one.
pub(super) fn begin(
    scheduler: &Scheduler<'_>,
    delivery: &Delivery,
    known: &dyn KnownFacts,
    sms: &SharedList<SmsId>,
    events: &mut Vec<Event>,
) {
    let Scheduler { policy, scope, .. } = scheduler;
    let Some(account) = policy.accounts.get(&delivery.account) else { return };
    let upon = account.upon_end_of(&delivery.webhook, &*policy.definitions);
    for (_, rule) in upon.filter(|(of, rule)| scope.includes(*of, rule)) {
        for trigger in rule.upon_end_of(&delivery.webhook) {
            let facts = Arc::clone(known.facts());
            let deferred = deferred(scheduler, delivery, (rule, trigger), facts, sms.clone());
            wait(scheduler, Ok(deferred), events);
        }
    }
}

/// Like `begin`, for a delivery that is replayed. A rule that needs facts that were deleted is skipped once the
/// delivery has ended as the rule says.
pub(super) fn begin_again(
    scheduler: &Scheduler<'_>,
    delivery: &Delivery,
    past: &Past,
    events: &mut Vec<Event>,
) {
    let definitions = &*scheduler.policy.definitions;
    let Some(account) = scheduler.policy.accounts.get(&delivery.account) else { return };
    let predefined = past.predefined.clone().unwrap_or_default();
    let predefined = Delivery { body: predefined, ..delivery.clone() };
    let is_possible = |of, rule: &Rule| past.applies(of, rule) != Some(false);
    let is_known = |of, rule: &Rule| past.applies(of, rule) == Some(true);
    let upon = account.upon_end_of(&delivery.webhook, definitions);
    for (_, rule) in upon.filter(|(of, rule)| is_possible(*of, rule)) {
        for trigger in rule.upon_end_of(&delivery.webhook) {
            // Rules that send the same webhook upon the same end are judged together.
            let mut same = account.rules.iter().filter(|(of, other)| {
                other.webhook == rule.webhook
                    && other.on.contains(trigger)
                    && is_possible(*of, other)
            });
            let is_judged =
                same.all(|(of, other)| is_known(*of, other) && past.is_enough(other, definitions));
            let facts = past.facts.clone().unwrap_or_default();
            // The reports belong to the webhooks of the first life.
            let deferred =
                deferred(scheduler, &predefined, (rule, trigger), facts, SharedList::default());
            let to_wait =
                if is_judged { Ok(deferred) } else { Err((deferred, SkipReason::RunEnded)) };
            wait(scheduler, to_wait, events);
        }
    }
}

/// Makes a rule wait: until it is judged, or until it is skipped for this reason. A rule for which the row has no room is
/// skipped too.
fn wait(
    scheduler: &Scheduler<'_>,
    deferred: Result<Deferred, (Deferred, SkipReason)>,
    events: &mut Vec<Event>,
) {
    let (deferred, reason) = match deferred {
        Ok(deferred) if scheduler.defer(&deferred, events) => return,
        Ok(deferred) => (deferred, SkipReason::NoRoom),
        Err((deferred, reason)) => (deferred, reason),
    };
    let deferred = deferred.skipping(reason);
    if !scheduler.defer(&deferred, events) {
        let Deferred { delivery, trigger, .. } = &deferred;
        let triggered = Triggered {
            account: delivery.account,
            webhook: &delivery.webhook,
            trigger,
            sms: delivery.sms.first(),
            source: &delivery.source,
        };
        events.push(triggered.skipped(reason, None));
    }
}

fn deferred(
    scheduler: &Scheduler<'_>,
    delivery: &Delivery,
    (rule, trigger): (&Rule, &Trigger),
    facts: Arc<Facts>,
    sms: SharedList<SmsId>,
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
        ..Pending::of(facts)
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
        sms,
        scope: scheduler.scope,
    }
}
