//! How large a stored row may become: an upper bound, without writing it.
//!
//! A row is one record of the changelog. One that is too large for a record could never be committed, and its partition would
//! stand still. So whatever may make a state grow later without another record (attempts, time-outs) is counted from the start,
//! as if the rules that make most of it held: rules change, and rows stay. The bound of a state grows by records only.

use super::outcome::{ERROR_BYTES_STORED, RESPONSE_BYTES_STORED};
use super::state::SEEN_MAX;
use super::{
    Collected, Collection, Correlation, Delivery, Facts, Flow, Header, Mapped, PhononUuid,
    Rendering, SmsId, Source, State, WebhookName,
};
use bytes::Bytes;

/// The largest row: what a record of 20 MiB surely holds, and what Avro libraries read in one piece.
pub const STATE_BYTES_MAX: usize = 16 << 20;

/// The reports that one uuid keeps may be so long together, so that the webhook that tells of all of them, with the flow's
/// keys, still fits into a record when it is a dead letter, where each of its quotes is two characters.
pub const REPORTS_BYTES_MAX: usize = 4 << 20;

/// What is kept of what answers gave to one uuid.
const MAPPED_BYTES_MAX: usize = 64 * 1024;

/// A number, or the length of a text.
const LONG: usize = 10;
const SOURCE: usize = 4 * LONG;
/// The schema's fingerprint, the numbers of the variants, the ends of arrays, and the markers that hold nothing else.
const STATE: usize = 160 + MAPPED_BYTES_MAX;
const OUTCOME: usize = 7 * LONG + RESPONSE_BYTES_STORED + ERROR_BYTES_STORED;
const DELIVERY: usize = 16 + 13 * LONG + SOURCE + OUTCOME;
const COLLECTED: usize = 10 * LONG + SOURCE + 8 * SEEN_MAX;
const FLOW: usize = 16 * LONG + SOURCE;
/// A control character in JSON.
const ESCAPE: usize = 6;
/// What stands around reports and keys in a body of phase 2, and around the id of an SMS of which nothing is known.
const BODY: usize = 128 + ESCAPE * PhononUuid::BYTES_MAX;

impl State {
    /// No row is larger, neither this one nor any that it becomes without another record.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        let correlation = match &self.correlation {
            Correlation::Unknown | Correlation::Silent { .. } | Correlation::Ended { .. } => 0,
            Correlation::AwaitingFlow(reports) => reports.iter().map(collected).sum(),
            Correlation::Open(open) => flow(open),
        };
        STATE + self.deliveries_bytes_max() + correlation
    }

    /// The same of the state once it is `open`, with a phase 1 of `phase_one` bytes.
    pub(super) fn bytes_max_with_flow(&self, open: &Flow, phase_one: usize) -> usize {
        STATE + self.deliveries_bytes_max() + phase_one + flow(open)
    }

    fn deliveries_bytes_max(&self) -> usize {
        self.deliveries.iter().map(Delivery::bytes_max).sum()
    }

    /// The same of the state with `report`, in place of the one known of its SMS.
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

    /// What the reports are long together with `report`, in place of the one known of its SMS.
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
    /// What it takes of its row, whatever comes of its attempts.
    pub(super) fn bytes_max(&self) -> usize {
        let rendering = match &self.rendering {
            Rendering::Fixed => 0,
            Rendering::Done(rendered) => {
                let content_type = rendered.content_type.as_ref().map_or(0, |text| text.len());
                2 * LONG + content_type + rendered.values.len()
            }
            Rendering::Pending(pending) => facts(&pending.facts) + LONG + 16 * pending.after.len(),
        };
        DELIVERY + topic(&self.source) + self.webhook.as_str().len() + self.body.len() + rendering
    }
}

fn facts(facts: &Facts) -> usize {
    let reports: usize = facts.reports.iter().map(|report| LONG + report.len()).sum();
    4 * LONG + length(facts.record.as_ref()) + reports + mapped(&facts.mapped)
}

fn mapped(mapped: &[Mapped]) -> usize {
    mapped.iter().map(|it| 2 * LONG + it.save_in.len() + it.value.len()).sum()
}

/// Forgets the oldest, so that answers never make a row too large.
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

/// A flow with its reports, and with the deliveries that may be made of them and of the SMS that never report.
fn flow(flow: &Flow) -> usize {
    let list = flow.sms.as_deref().unwrap_or_default();
    let listed: usize = list.iter().map(|sms| LONG + sms.as_str().len()).sum();
    let reports: usize = flow.reports.iter().map(collected).sum();
    let webhook = flow.webhook.as_ref().map_or(0, |name| name.as_str().len());
    let record = length(flow.record.as_ref());
    let kept = FLOW + topic(&flow.source) + webhook + length(flow.keys.as_ref()) + record;
    kept + listed + reports + to_come(flow)
}

/// The deliveries of phase 2 that are not made yet: at most one per SMS.
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

/// What a report adds of which no list tells beforehand.
fn unlisted(flow: &Flow, report: &Collected) -> usize {
    let is_told = flow.sms.is_none() && report.body.is_some();
    match flow.collection {
        Collection::Open { .. } if is_told => phase_two(flow, &report.sms),
        Collection::Open { .. }
        | Collection::Complete
        | Collection::TimedOut
        | Collection::NotWanted => 0,
    }
}

/// A delivery about `sms`, without the report, which is there already.
fn phase_two(flow: &Flow, sms: &SmsId) -> usize {
    let texts = topic(&flow.source) + WebhookName::BYTES_MAX + ESCAPE * sms.as_str().len();
    DELIVERY + BODY + texts + length(flow.keys.as_ref())
}

fn collected(report: &Collected) -> usize {
    // The delivery that will carry it names where it stands.
    let topics = if report.body.is_some() { 2 } else { 1 };
    COLLECTED
        + report.sms.as_str().len()
        + topics * topic(&report.source)
        + length(report.body.as_ref())
        + length(report.raw.as_ref())
        + report.status.as_ref().map_or(0, |status| status.len())
        + report.headers.iter().map(header).sum::<usize>()
}

fn header(header: &Header) -> usize {
    3 * LONG + header.name.len() + length(header.value.as_ref())
}

fn topic(source: &Source) -> usize {
    source.topic.len()
}

fn length(text: Option<&Bytes>) -> usize {
    text.map_or(0, Bytes::len)
}
