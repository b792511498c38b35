//! Events and states as short lines.

use crate::domain::{
    Collected, Collection, Correlation, Delivery, DeliveryId, Due, Event, IgnoredRecord, Phase,
    RawRecord, SmsId, State, StatusClass, Timestamp,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The lines so far, and the short names of deliveries.
#[derive(Default)]
pub(super) struct Renderer {
    text: String,
    names: BTreeMap<DeliveryId, String>,
}

impl Renderer {
    pub(super) fn events(&mut self, at: i64, events: &[Event]) {
        if events.is_empty() {
            writeln!(self.text, "{at}: nothing").unwrap();
        }
        for event in events {
            let line = self.event(event);
            writeln!(self.text, "{at}: {line}").unwrap();
        }
    }

    /// Returns all lines. The last one is the state.
    pub(super) fn finish(mut self, state: &State) -> String {
        let rows: Vec<String> = state.deliveries.iter().map(|row| self.row(row)).collect();
        let left = rows.join(", ");
        let state = format!("= {}; {left}", correlation(&state.correlation));
        self.text.push_str(state.trim_end_matches("; "));
        self.text
    }

    fn name(&self, id: DeliveryId) -> &str {
        self.names.get(&id).map_or("?", String::as_str)
    }

    fn row(&self, row: &Delivery) -> String {
        let attempts = match row.attempts {
            0 => String::new(),
            attempts => format!(" after {attempts}"),
        };
        format!("{} {}{attempts}", self.name(row.id), due(row.due))
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::FlowStarted { .. } => "started".to_owned(),
            Event::StartExpired => "start forgotten".to_owned(),
            Event::DeliveryRendered { delivery, body, .. } => {
                format!("{} rendered: {}", self.name(*delivery), text(Some(body)))
            }
            Event::FlowAccepted(flow) => format!("flow, {}", collection(flow.collection)),
            Event::FlowSilenced { reason, until, .. } => {
                format!("silent flow: {} until {}", reason.as_str(), ms(*until))
            }
            Event::ReportAccepted { report, known, .. } => {
                let word = if *known { "" } else { ", unknown word" };
                format!("report {}{word}", collected(report))
            }
            Event::ReportAdopted { sms } => format!("adopted {sms}"),
            Event::RuleDeferred(deferred) => {
                format!("R({}) upon {} waits", deferred.delivery.webhook, deferred.trigger)
            }
            Event::RuleJudged(_) => "a rule is judged".to_owned(),
            Event::OutcomeKept { ended, .. } => format!("outcome of {} kept", ended.webhook),
            Event::RuleSkipped(skipped) => {
                format!("rule upon {} skipped: {}", skipped.trigger, skipped.reason.as_str())
            }
            Event::RecordIgnored(record) => ignored(record),
            Event::RecordDeadLettered { record, reason, .. } => {
                format!("dead letter of {}: {}", raw(record), reason.as_str())
            }
            Event::DeliveryScheduled { delivery, sms } => self.scheduled(delivery, sms),
            Event::CollectionClosed(closed) => collection(*closed),
            Event::AttemptFailed { delivery, attempt, retry_at, .. } => {
                let next =
                    retry_at.map_or("the last".to_owned(), |at| format!("next at {}", ms(at)));
                format!("{} attempt {attempt} failed, {next}", self.name(*delivery))
            }
            Event::Delivered { delivery, attempt, .. } => {
                format!("{} delivered by attempt {attempt}", self.name(delivery.id))
            }
            Event::DeadLettered { delivery, reason, .. } => {
                let (name, attempts) = (self.name(delivery.id), delivery.attempts);
                format!("dead letter of {name}: {} after {attempts}", reason.as_str())
            }
            Event::Replayed { delivery } => {
                let (name, due) = (self.name(delivery.id), due(delivery.due));
                format!("{name} replayed, {due}, life {}", delivery.replays + 1)
            }
            Event::ReportTimedOut { missing } => format!("timed out, missing [{}]", list(missing)),
            Event::CorrelationEnded => "ended".to_owned(),
            Event::MarkerKept { account, until } => {
                format!("marker of {account} until {}", ms(*until))
            }
            Event::Gathering(Some(until)) => format!("gathering until {}", ms(*until)),
            Event::Gathering(None) => "gathering no longer".to_owned(),
            Event::MarkerExpired => "forgotten".to_owned(),
        }
    }

    fn scheduled(&mut self, delivery: &Delivery, sms: &[SmsId]) -> String {
        let name = match delivery.phase {
            Phase::Rule => format!("R({})", delivery.webhook),
            Phase::One => "P1".to_owned(),
            Phase::Two => format!("P2({})", list(sms)),
        };
        self.names.insert(delivery.id, name.clone());
        let (to, by, due) = (&delivery.webhook, delivery.source.offset, due(delivery.due));
        format!("{name} to {to} {due}, by #{by}: {}", text(Some(&delivery.body)))
    }
}

fn correlation(correlation: &Correlation) -> String {
    match correlation {
        Correlation::Unknown => "unknown".to_owned(),
        Correlation::AwaitingFlow(reports) => format!("waiting: {}", all(reports)),
        Correlation::Open(flow) => {
            let open = collection(flow.collection);
            let keys = if flow.keys.is_some() { ", keys" } else { "" };
            format!("{open}{keys}: {}", all(&flow.reports)).trim_end_matches(": ").to_owned()
        }
        Correlation::Silent { reason, until, .. } => {
            format!("silent {} until {}", reason.as_str(), ms(*until))
        }
        Correlation::Ended { account, until } => {
            format!("marker of {account} until {}", ms(*until))
        }
    }
}

fn all(reports: &[Collected]) -> String {
    reports.iter().map(collected).collect::<Vec<_>>().join(", ")
}

fn collected(report: &Collected) -> String {
    let class = match report.class {
        StatusClass::Intermediate => "~",
        StatusClass::Final => "",
    };
    let sent = if report.sent { " sent" } else { "" };
    let until = report.expires_at.map_or(String::new(), |at| format!(" until {}", ms(at)));
    let body = report.body.as_ref().map_or(report.sms.to_string(), |body| text(Some(body)));
    let account =
        if report.account == super::OURS { String::new() } else { format!("{}/", report.account) };
    format!("{account}{class}{body}{sent}{until}")
}

fn collection(collection: Collection) -> String {
    match collection {
        Collection::Open { until } => format!("collecting until {}", ms(until)),
        Collection::Complete => "complete".to_owned(),
        Collection::TimedOut => "over".to_owned(),
        Collection::NotWanted => "phase 1 only".to_owned(),
    }
}

fn ignored(record: &IgnoredRecord) -> String {
    let waited = if record.waited { " after waiting" } else { "" };
    let sms = record.sms.as_ref().map_or("flow", SmsId::as_str);
    format!("ignored {sms} of {}{waited}: {}", record.account, record.reason.as_str())
}

fn raw(record: &RawRecord) -> String {
    let kind = record.kind.map_or("?", super::super::RecordKind::as_str);
    format!("{kind} {}", text(record.payload.as_ref())).trim_end().to_owned()
}

fn due(due: Due) -> String {
    match due {
        Due::At(at) => format!("at {}", ms(at)),
        Due::Waiting => "after P1".to_owned(),
    }
}

fn list(sms: &[SmsId]) -> String {
    sms.iter().map(SmsId::as_str).collect::<Vec<_>>().join(" ")
}

fn text(bytes: Option<&Bytes>) -> String {
    bytes.map_or(String::new(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn ms(at: Timestamp) -> i64 {
    at.as_ms()
}
