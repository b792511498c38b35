//! The size of a stored row: an upper bound, computed without writing the row.
//!
//! A row is one record of the changelog. A row that is too large for a record can't be committed, and its partition
//! would stop. So everything that may make a state grow later without another record (attempts, time-outs) counts from
//! the start. Rules change and rows stay, so the bound assumes the rules that need the most. The bound of a state grows
//! only by records.

use super::outcome::{ERROR_BYTES_STORED, RESPONSE_BYTES_STORED};
use super::state::SEEN_MAX;
use super::{
    Collected, Collection, Correlation, Deferred, Delivery, EndedWebhook, Facts, Flow, Header,
    Mapped, PhononUuid, Rendering, SmsId, Source, State, WebhookName,
};
use bytes::Bytes;

/// The largest row in bytes. It fits into a record of 20 MiB, and Avro libraries read it in one piece.
pub const STATE_BYTES_MAX: usize = 16 << 20;

/// The largest total length of the reports of one uuid, in bytes. One webhook must carry all of them with the flow's
/// keys. As a dead letter, in which each quote takes two characters, it must still fit into a record.
pub const REPORTS_BYTES_MAX: usize = 4 << 20;

/// The largest total length of the values that answers gave to one uuid, in bytes.
const MAPPED_BYTES_MAX: usize = 64 * 1024;

/// The largest total length of the outcomes that are kept for later webhooks of one uuid, in bytes.
const OUTCOMES_BYTES_MAX: usize = 64 * 1024;

/// The longest form of a number, or of the length of a text.
const LONG: usize = 10;
const SOURCE: usize = 5 * LONG;
/// The ids of a trace and of a span, the flags, and the length of the state.
const TRACE: usize = 16 + 8 + 3 * LONG;
/// The schema's fingerprint, the numbers of the variants, the ends of arrays, and the markers that contain nothing
/// else.
pub(super) const STATE: usize = 200 + MAPPED_BYTES_MAX + OUTCOMES_BYTES_MAX;
const OUTCOME: usize = 7 * LONG + RESPONSE_BYTES_STORED + ERROR_BYTES_STORED;
const DELIVERY: usize = 16 + 14 * LONG + SOURCE + OUTCOME;
const COLLECTED: usize = 10 * LONG + SOURCE + 8 * SEEN_MAX;
const FLOW: usize = 18 * LONG + SOURCE + PhononUuid::BYTES_MAX;
/// The length of an escaped control character in JSON.
const ESCAPE: usize = 6;
/// The text around reports and keys in a body of phase 2, and around the id of an SMS without a report.
const BODY: usize = 128 + ESCAPE * PhononUuid::BYTES_MAX;

impl State {
    /// Returns an upper bound of the row's size in bytes, now and in every state that follows without another record.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        STATE + self.deliveries_bytes_max() + correlation(&self.correlation)
    }

    /// Returns the part of the deliveries in the bound, and of the rules that wait.
    pub(super) fn deliveries_bytes_max(&self) -> usize {
        let deliveries: usize = self.deliveries.iter().map(Delivery::bytes_max).sum();
        deliveries + self.deferred.iter().map(Deferred::bytes_max).sum::<usize>()
    }

    /// Like `bytes_max`, but with `report` in place of the known report of its SMS.
    pub(super) fn bytes_max_with(&self, report: &Collected) -> usize {
        let cost = |report: &Collected| match &self.correlation {
            Correlation::Open(flow) => collected(report) + unlisted(flow, report),
            Correlation::Unknown
            | Correlation::AwaitingFlow(_)
            | Correlation::Silent { .. }
            | Correlation::Ended { .. } => collected(report),
        };
        let replaced = self.reports().iter().find(|known| known.is_about_the_same(report));
        (self.bytes_max() + cost(report)).saturating_sub(replaced.map_or(0, cost))
    }

    /// Returns the total length of the reports, with `report` in place of the known report of its SMS.
    pub(super) fn report_bytes_with(&self, report: &Collected) -> usize {
        let others = self.reports().iter().filter(|known| !known.is_about_the_same(report));
        others.chain([report]).map(|report| length(report.body.as_ref())).sum()
    }

    fn reports(&self) -> &[Collected] {
        match &self.correlation {
            Correlation::AwaitingFlow(reports) => reports,
            Correlation::Open(flow) => &flow.reports,
            Correlation::Unknown | Correlation::Silent { .. } | Correlation::Ended { .. } => &[],
        }
    }
}

impl Delivery {
    /// Returns an upper bound of the delivery's part of the row, whatever the outcomes of its attempts.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max_with(&self.body, &self.rendering)
    }

    /// Like `bytes_max`, but once the delivery is rendered.
    pub(super) fn bytes_max_with(&self, body: &Bytes, rendering: &Rendering) -> usize {
        #[cfg(test)]
        super::tests::work::count();
        let rendering = match rendering {
            Rendering::Fixed => 0,
            Rendering::Done(rendered) => {
                let content_type = rendered.content_type.as_ref().map_or(0, |text| text.len());
                2 * LONG + content_type + rendered.values.len()
            }
            Rendering::Pending(pending) => {
                let outcome_of = pending.outcome_of.iter().map(|it| LONG + it.as_str().len());
                let after = LONG + 16 * pending.after.len();
                facts(&pending.facts) + after + LONG + outcome_of.sum::<usize>()
            }
        };
        let texts = position(&self.source) + self.webhook.as_str().len() + body.len();
        DELIVERY + texts + list(&self.sms) + rendering
    }
}

fn list(sms: &[SmsId]) -> usize {
    sms.iter().map(|sms| LONG + sms.as_str().len()).sum()
}

fn facts(facts: &Facts) -> usize {
    let reports: usize = facts.reports.iter().map(|report| LONG + report.len()).sum();
    4 * LONG + length(facts.record.as_ref()) + reports + mapped(&facts.mapped)
}

fn mapped(mapped: &[Mapped]) -> usize {
    mapped.iter().map(|it| 2 * LONG + it.save_in.len() + it.value.len()).sum()
}

/// Removes the oldest values, so that answers never make a row too large.
pub(super) fn bounded_mapped(values: &mut Vec<Mapped>) {
    let mut bytes = mapped(values);
    values.retain(|it| {
        let fits = bytes <= MAPPED_BYTES_MAX;
        if !fits {
            bytes -= mapped(std::slice::from_ref(it));
        }
        fits
    });
}

/// Removes the oldest outcomes, so that they never make a row too large.
pub(super) fn bounded_outcomes(ended: &mut Vec<EndedWebhook>) {
    let bytes = |it: &EndedWebhook| 4 * LONG + it.webhook.as_str().len() + mapped(&it.values);
    let mut total: usize = ended.iter().map(bytes).sum();
    ended.retain(|it| {
        let fits = total <= OUTCOMES_BYTES_MAX;
        if !fits {
            total -= bytes(it);
        }
        fits
    });
}

impl Deferred {
    /// Returns an upper bound of the part in the row of a rule that waits.
    pub(super) fn bytes_max(&self) -> usize {
        let scope = 3 * LONG;
        let texts = self.trigger.len() + list(&self.sms);
        self.delivery.bytes_max() + 16 + 3 * LONG + texts + scope
    }
}

/// Returns the part of the correlation in the bound.
pub(super) fn correlation(correlation: &Correlation) -> usize {
    match correlation {
        Correlation::Unknown | Correlation::Silent { .. } | Correlation::Ended { .. } => 0,
        Correlation::AwaitingFlow(reports) => reports.iter().map(collected).sum(),
        Correlation::Open(open) => flow(open),
    }
}

/// Returns the bound of a flow with its reports, and with the deliveries for them and for the SMS that never report.
pub(super) fn flow(flow: &Flow) -> usize {
    let reports: usize = flow.reports.iter().map(collected).sum();
    fixed(flow) + length(flow.keys.as_ref()) + reports + to_come(flow)
}

/// Returns the bound of `flow` once its collection is closed: without keys, and without the bodies of its reports.
pub(super) fn closed_flow(flow: &Flow) -> usize {
    let reports = flow.reports.iter().map(|report| collected(report) - carried(report));
    fixed(flow) + reports.sum::<usize>()
}

/// Returns by how much the bound of `flow` shrinks once a delivery of phase 2 carries `report`.
pub(super) fn spent(flow: &Flow, report: &Collected) -> usize {
    match (&report.body, flow.collection) {
        (Some(_), Collection::Open { .. }) => carried(report) + phase_two(flow, &report.sms),
        (Some(_), Collection::Complete | Collection::TimedOut | Collection::NotWanted) => {
            carried(report)
        }
        (None, _) => 0,
    }
}

/// Returns by how much the bound of `flow` shrinks once a delivery of phase 2 says that there is no report of `sms`.
pub(super) fn unreported(flow: &Flow, sms: &SmsId) -> usize {
    match flow.collection {
        Collection::Open { .. } => phase_two(flow, sms),
        Collection::Complete | Collection::TimedOut | Collection::NotWanted => 0,
    }
}

/// Returns the bound of a flow without its keys, its reports, and the deliveries for them.
fn fixed(flow: &Flow) -> usize {
    let listed = list(flow.sms.as_deref().unwrap_or_default());
    let webhook = flow.webhook.as_ref().map_or(0, |name| name.as_str().len());
    FLOW + position(&flow.source) + webhook + length(flow.record.as_ref()) + listed
}

/// Returns the bound of phase 2's deliveries that are not scheduled yet: at most one per SMS.
fn to_come(flow: &Flow) -> usize {
    match (flow.collection, &flow.sms) {
        (Collection::Complete | Collection::TimedOut | Collection::NotWanted, _) => 0,
        (Collection::Open { .. }, Some(list)) => {
            let all: usize = list.iter().map(|sms| phase_two(flow, sms)).sum();
            let sent = flow.reports.iter().filter(|report| report.body.is_none());
            all.saturating_sub(sent.map(|report| phase_two(flow, &report.sms)).sum())
        }
        (Collection::Open { .. }, None) => {
            flow.reports.iter().map(|report| unlisted(flow, report)).sum()
        }
    }
}

/// Returns the bound of the delivery that a report adds if the flow has no list.
fn unlisted(flow: &Flow, report: &Collected) -> usize {
    let adds_delivery = flow.sms.is_none() && report.body.is_some();
    match flow.collection {
        Collection::Open { .. } if adds_delivery => phase_two(flow, &report.sms),
        Collection::Open { .. }
        | Collection::Complete
        | Collection::TimedOut
        | Collection::NotWanted => 0,
    }
}

/// Returns the bound of a delivery about `sms`, without the report, which is counted elsewhere.
fn phase_two(flow: &Flow, sms: &SmsId) -> usize {
    let texts = position(&flow.source) + WebhookName::BYTES_MAX + ESCAPE * sms.as_str().len();
    DELIVERY + BODY + texts + list(std::slice::from_ref(sms)) + length(flow.keys.as_ref())
}

fn collected(report: &Collected) -> usize {
    COLLECTED
        + report.sms.as_str().len()
        + position(&report.source)
        + carried(report)
        + length(report.raw.as_ref())
        + report.status.as_ref().map_or(0, |status| status.len())
        + report.headers.iter().map(header).sum::<usize>()
}

/// Returns the bound of the part of a report that a delivery will carry: its body, and once more its position.
fn carried(report: &Collected) -> usize {
    report.body.as_ref().map_or(0, |body| body.len() + position(&report.source))
}

fn header(header: &Header) -> usize {
    3 * LONG + header.name.len() + length(header.value.as_ref())
}

/// Returns the parts of a position whose length varies: its topic and the producer's trace.
fn position(source: &Source) -> usize {
    let trace = source
        .trace
        .as_ref()
        .map_or(0, |trace| TRACE + trace.state().map_or(0, |state| state.len()));
    source.topic.len() + trace
}

fn length(text: Option<&Bytes>) -> usize {
    text.map_or(0, Bytes::len)
}
