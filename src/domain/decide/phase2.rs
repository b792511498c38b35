//! Rules 2, 3 and 5: when phase 2 is due, and its content.

use super::after::After;
use super::ignored_after_all;
use super::schedule::{Carried, Scheduler, waiting};
use crate::domain::{
    Collected, Collection, Deferred, Delivery, DeliveryId, Event, Flow, IgnoreReason, Phase,
    Phase2Wait, PhononUuid, SharedList, SmsId, State, StatusClass, size,
};
use bytes::Bytes;
use std::cell::OnceCell;

/// Schedules the deliveries of phase 2 that are due, and closes the collection when it waits for no further report.
pub(super) fn schedule(
    scheduler: &Scheduler<'_>,
    uuid: &PhononUuid,
    flow: &Flow,
    events: &mut Vec<Event>,
) {
    let Collection::Open { .. } = flow.collection else { return };
    let writer = Writer { scheduler, uuid, flow };
    let complete = match scheduler.policy.correlation.phase2_wait {
        Phase2Wait::All => writer.all(events),
        Phase2Wait::Each => writer.each(false, events),
    };
    if complete {
        events.push(Event::CollectionClosed(Collection::Complete));
    }
}

/// The entry of one SMS in a delivery.
pub(super) struct Entry<'a> {
    pub(super) sms: &'a SmsId,
    pub(super) body: Bytes,
    /// The report; `None` if there is none, and the entry says so.
    report: Option<&'a Collected>,
}

/// Schedules phase 2 of a flow without a list when the time for gathering its reports is over. Returns whether the
/// collection waits for no further report. If `is_over`, it closes in any case.
pub(super) fn schedule_gathered(
    scheduler: &Scheduler<'_>,
    uuid: &PhononUuid,
    flow: &Flow,
    is_over: bool,
    events: &mut Vec<Event>,
) -> bool {
    Writer { scheduler, uuid, flow }.gathered(is_over, events)
}

/// If `events` complete the collection of `flow`, records each accepted report that no webhook carries as ignored. The
/// rules on the reports must have been evaluated before.
pub(super) fn end_rest(state: &State, flow: &Flow, reason: IgnoreReason, events: &mut Vec<Event>) {
    let completes = |it: &Event| matches!(it, Event::CollectionClosed(Collection::Complete));
    if events.iter().any(completes) {
        ignore_rest(state, flow, reason, events);
    }
}

/// Like `end_rest`, but for a collection that was completed before.
pub(super) fn end_rest_of_closed(state: &State, flow: &Flow, events: &mut Vec<Event>) {
    if flow.collection == Collection::Complete {
        ignore_rest(state, flow, reason_for_rest(flow), events);
    }
}

/// Returns why a report is left when the collection is complete.
pub(super) fn reason_for_rest(flow: &Flow) -> IgnoreReason {
    if flow.webhook.is_some() { IgnoreReason::Late } else { flow.no_webhook() }
}

fn ignore_rest(state: &State, flow: &Flow, reason: IgnoreReason, events: &mut Vec<Event>) {
    let carries = |event: &Event, report: &Collected| {
        if let Event::DeliveryScheduled { delivery, sms } = event {
            return delivery.account == report.account && sms.contains(&report.sms);
        }
        false
    };
    // The delivery of a rule that waits may carry the report. If it does not, the report ends with the correlation.
    let waiting = waiting(state, events);
    let may_carry = |report: &Collected| {
        let of =
            |it: &&Deferred| it.delivery.account == report.account && it.sms.contains(&report.sms);
        waiting.iter().any(of)
    };
    let is_left = |report: &&Collected| {
        !report.sent && !may_carry(report) && !events.iter().any(|event| carries(event, report))
    };
    let left: Vec<Event> = flow
        .reports
        .iter()
        .filter(is_left)
        .map(|report| ignored_after_all(report, reason))
        .collect();
    events.extend(left);
}

/// Returns the entries that are not sent at the report time-out: reports, and a placeholder for each SMS without one.
pub(super) fn rest<'a>(
    scheduler: &'a Scheduler<'_>,
    uuid: &'a PhononUuid,
    flow: &'a Flow,
) -> Vec<Entry<'a>> {
    Writer { scheduler, uuid, flow }.rest()
}

/// Schedules phase 2 for the `entries` that are not sent at the report time-out.
pub(super) fn schedule_what_is_known(
    scheduler: &Scheduler<'_>,
    uuid: &PhononUuid,
    flow: &Flow,
    entries: Vec<Entry<'_>>,
    events: &mut Vec<Event>,
) {
    let writer = Writer { scheduler, uuid, flow };
    match scheduler.policy.correlation.phase2_wait {
        Phase2Wait::All => {
            scheduler.room.close(flow);
            if !entries.is_empty() {
                writer.push(Content::of(entries, flow), events);
            }
        }
        Phase2Wait::Each => writer.push_each(entries, true, events),
    }
}

/// Returns the SMS of the flow's list that have no final status.
pub(super) fn missing(flow: &Flow) -> Vec<SmsId> {
    let listed = flow.sms.iter().flatten();
    listed.filter(|sms| final_report(flow, sms).is_none()).cloned().collect()
}

/// The content of one delivery.
#[derive(Default)]
struct Content {
    sms: Vec<SmsId>,
    /// The bodies of the entries, in the same order.
    details: Vec<Bytes>,
    /// The bytes of the flow that are not counted any more once the delivery is.
    frees: usize,
}

impl Content {
    fn of(entries: Vec<Entry<'_>>, flow: &Flow) -> Self {
        let mut content = Self::default();
        let all = entries.len();
        content.add_all(entries, all, flow);
        content
    }

    /// Adds entries. There will be up to `all` entries together.
    fn add_all<'a>(
        &mut self,
        entries: impl IntoIterator<Item = Entry<'a>>,
        all: usize,
        flow: &Flow,
    ) {
        for entry in entries {
            if self.sms.is_empty() {
                self.sms = Vec::with_capacity(all);
                self.details = Vec::with_capacity(all);
            }
            self.frees += match entry.report {
                Some(report) => size::spent(flow, report),
                None => size::unreported(flow, entry.sms),
            };
            self.sms.push(entry.sms.clone());
            self.details.push(entry.body);
        }
    }
}

struct Writer<'a, 's> {
    scheduler: &'a Scheduler<'s>,
    uuid: &'a PhononUuid,
    flow: &'a Flow,
}

impl<'a> Writer<'a, '_> {
    /// Schedules one webhook when every SMS has a final status, or without a list at the first final report, unless
    /// that webhook gathers others. Returns whether phase 2 is complete.
    fn all(&self, events: &mut Vec<Event>) -> bool {
        let mut content = Content::default();
        // A report may be sent already, if the configuration was `each` before.
        if let Some(list) = &self.flow.sms {
            for sms in list {
                let Some(report) = final_report(self.flow, sms) else { return false };
                content.add_all(entry(report), list.len(), self.flow);
            }
        } else {
            let Some(first) = finals(self.flow).find_map(entry) else { return false };
            if self.gathers(events) {
                return false;
            }
            content.add_all([first], 1, self.flow);
        }
        self.scheduler.room.close(self.flow);
        self.push(content, events);
        true
    }

    /// Returns whether the webhook of a flow without a list waits for further reports. The first final report starts
    /// the time, which a reload does not change any more.
    fn gathers(&self, events: &mut Vec<Event>) -> bool {
        if self.flow.gathers_until.is_some() {
            return true;
        }
        let gather_ms = self.scheduler.policy.correlation.phase2_gather_ms;
        let Collection::Open { until } = self.flow.collection else { return false };
        if gather_ms == 0 {
            return false;
        }
        // At the report time-out, phase 2 leaves with what is known.
        let gathered = self.scheduler.now.plus_ms(gather_ms).min(until);
        events.push(Event::Gathering(Some(gathered)));
        true
    }

    /// Schedules the webhook with the reports that were gathered. Returns whether phase 2 is complete.
    fn gathered(&self, is_over: bool, events: &mut Vec<Event>) -> bool {
        match self.scheduler.policy.correlation.phase2_wait {
            Phase2Wait::All => {
                // None is left if the configuration was `each` meanwhile.
                let entries: Vec<_> = finals(self.flow).filter_map(entry).collect();
                self.scheduler.room.close(self.flow);
                if !entries.is_empty() {
                    self.push(Content::of(entries, self.flow), events);
                }
                true
            }
            Phase2Wait::Each => self.each(is_over, events),
        }
    }

    /// Schedules one webhook per SMS with a final status. Returns whether phase 2 is complete; without a list only the
    /// time-out ends it.
    fn each(&self, is_over: bool, events: &mut Vec<Event>) -> bool {
        let is_complete = self.flow.sms.is_some() && missing(self.flow).is_empty();
        let entries: Vec<_> = finals(self.flow).filter_map(entry).collect();
        self.push_each(entries, is_complete || is_over, events);
        is_complete
    }

    /// Schedules a webhook for each of `entries`. If these close the collection, the flow's reserve is free before the
    /// last one is scheduled: until then, it is the room of those to come.
    fn push_each(&self, entries: Vec<Entry<'_>>, closes: bool, events: &mut Vec<Event>) {
        let room = &self.scheduler.room;
        let last = entries.len().saturating_sub(1);
        for (number, entry) in entries.into_iter().enumerate() {
            if closes && number == last {
                room.close(self.flow);
            }
            self.push(Content::of(vec![entry], self.flow), events);
        }
        if closes {
            room.close(self.flow);
        }
    }

    /// Returns the entries that are not sent at the time-out: reports, and a placeholder for each SMS without one.
    fn rest(&self) -> Vec<Entry<'a>> {
        match &self.flow.sms {
            Some(list) => list.iter().filter_map(|sms| self.known_or_unknown(sms)).collect(),
            None => self.flow.reports.iter().filter_map(entry).collect(),
        }
    }

    fn known_or_unknown(&self, sms: &'a SmsId) -> Option<Entry<'a>> {
        match self.flow.reports.iter().find(|report| report.sms == *sms) {
            Some(report) => entry(report),
            None => {
                let body = self.scheduler.policy.definitions.unknown(sms.as_str());
                Some(Entry { sms, body, report: None })
            }
        }
    }

    fn push(&self, content: Content, events: &mut Vec<Event>) {
        let Scheduler { policy, now, .. } = self.scheduler;
        if !self.flow.enabled {
            return;
        }
        let account = policy.accounts.get(&self.flow.identity.account);
        // The account may have lost its default webhook since phase 1 was scheduled. Phase 2 is still sent.
        let webhook =
            account.and_then(|a| a.default_webhook.as_ref()).or(self.flow.webhook.as_ref());
        // Without a webhook, the reports are for rules only.
        let Some(webhook) = webhook else { return };
        let Content { sms, details, frees } = content;
        let keys = self.flow.keys.as_ref().filter(|_| account.is_none_or(|a| a.attach_flow_keys));
        // Reports are kept in the order in which they came, and the last one triggered the delivery.
        let trigger = self.flow.reports.iter().rfind(|report| sms.contains(&report.sms));
        let delivery = Delivery::new(
            DeliveryId::derive(self.uuid, Phase::Two.number(), &sms),
            Phase::Two,
            self.flow.identity.account,
            webhook.clone(),
            policy.definitions.phase2(self.flow.spelling_of(self.uuid), &details, keys),
            trigger.map_or(&self.flow.source, |report| &report.source).clone(),
            *now,
        );
        let sms = SharedList::from(sms);
        let carried = Carried { sms: sms.clone(), frees };
        let delivery = Box::new(Delivery { sms, ..delivery });
        let (make, kept) = (|| self.scheduler.facts_about(&details), OnceCell::new());
        let known = self.scheduler.about(&make, &kept);
        let after = After::of_phase(policy, account, &delivery.webhook);
        self.scheduler.schedule(delivery, &known, &after, carried, events);
    }
}

fn finals(flow: &Flow) -> impl Iterator<Item = &Collected> {
    flow.reports.iter().filter(|report| report.class == StatusClass::Final)
}

fn final_report<'a>(flow: &'a Flow, sms: &SmsId) -> Option<&'a Collected> {
    finals(flow).find(|report| report.sms == *sms)
}

/// Returns the report's entry in a delivery, or `None` if a delivery already carries it.
fn entry(report: &Collected) -> Option<Entry<'_>> {
    let body = report.body.clone()?;
    Some(Entry { sms: &report.sms, body, report: Some(report) })
}
