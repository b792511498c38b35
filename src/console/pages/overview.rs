//! The overview: is this instance ready, what do the instances do, how much waits, and for what.

use super::super::Console;
use super::super::history::History;
use super::super::instances::{InstanceView, InstancesView};
use super::super::readings::Answer;
use super::layout::{Tab, page};
use super::table::{Column, table};
use super::{PATIENCE, Shown, chart, grouped};
use crate::console::failure::Failure;
use crate::console::visitor::Asked;
use crate::domain::DeadLetterReason;
use crate::telemetry::{OutboxState, Sample};
use maud::{Markup, html};

/// The maximum number of reasons that are shown alone.
const REASONS_MAX: usize = 8;

const INSTANCES: &[Column] = &[
    Column::Text("Instance"),
    Column::Text("Connected from"),
    Column::Number("Partitions"),
    Column::Text("State"),
];

pub(super) async fn show(Asked { console, visitor, fields }: Asked) -> Shown {
    fields.end()?;
    let instances = console.instances(PATIENCE).await;
    let body = html! {
        div data-live="/live/overview" { (figures(&console)) }
        section.card aria-labelledby="instances" {
            h2 #instances { "Instances of the group" }
            (group(instances))
        }
    };
    Ok(page(&visitor, Tab::Overview, "Overview", &body))
}

/// The part of the page that changes.
pub(super) fn figures(console: &Console) -> Markup {
    let (health, history) = (&console.health, &console.history);
    let sample = console.metrics.sample();
    let not_ready = health.reasons_not_ready();
    let letters: u64 = sample.open_letters.iter().map(|(_, count)| count).sum();
    html! {
        section.card aria-labelledby="state" {
            h2 #state { "This instance: " (console.kafka.instance_id) }
            @if not_ready.is_empty() {
                p.good { @if health.is_standby() { "Ready: standby, no partitions for now" } @else { "Ready" } }
            } @else {
                p.bad { "Not ready" }
                ul { @for reason in &not_ready { li { (reason) } } }
            }
            @for reason in health.reasons_not_live() { p.bad { "Stalled: " (reason) } }
            @if let Some(reason) = health.accounts_outdated() { p.warning { "The accounts may be outdated: " (reason) } }
        }
        section.charts aria-label="The last hour of this instance" {
            (chart::line("Records read", "per second", &history.rates(|sample| sample.records)))
            (chart::line("Attempts", "per second", &history.rates(|sample| sample.attempts)))
            (chart::line("Delivered", "per second", &history.rates(|sample| sample.delivered)))
            (chart::line("Dead letters", "per second", &history.rates(|sample| sample.dead_lettered)))
            (chart::line("Flows that wait for reports", "flows", &history.values(|sample| sample.awaiting_reports)))
            (chart::line("Deliveries that wait", "deliveries", &history.values(|sample| {
                sample.outbox.iter().map(|(_, count)| count).sum()
            })))
        }
        div.columns {
            section.card aria-labelledby="backlog" {
                h2 #backlog { "Deliveries by what they wait for" }
                (breakdown("Waiting deliveries", "State", &backlog(history, &sample)))
            }
            section.card aria-labelledby="letters" {
                h2 #letters { "Open dead letters by reason: " (grouped(letters)) }
                @let parts = letters_by_reason(history, &sample);
                @if parts.is_empty() {
                    p { "None on the partitions of this instance in the last hour." }
                } @else {
                    (breakdown("Open dead letters", "Reason", &parts))
                }
            }
        }
    }
}

/// One of the kinds that a number consists of.
struct Part {
    name: String,
    /// The page that lists what is counted.
    link: Option<String>,
    now: u64,
    /// The numbers of the last hour.
    hour: Vec<f64>,
}

/// Returns the number of deliveries by what they wait for.
fn backlog(history: &History, sample: &Sample) -> Vec<Part> {
    let part = |state: &OutboxState| Part {
        name: state.as_str().replace('_', " "),
        link: None,
        now: sample.waiting(*state),
        hour: history.values(|sample| sample.waiting(*state)),
    };
    OutboxState::ALL.iter().map(part).collect()
}

/// Returns the number of open dead letters for the [`REASONS_MAX`] most frequent reasons of the last hour, and for all
/// others together.
fn letters_by_reason(history: &History, sample: &Sample) -> Vec<Part> {
    let part = |reasons: &[DeadLetterReason], name: &str, link: String| {
        let open = |sample: &Sample| reasons.iter().map(|reason| sample.open(*reason)).sum();
        let (name, now) = (name.to_owned(), open(sample));
        Part { name, link: Some(link), now, hour: history.values(open) }
    };
    let of_reason = |reason: &DeadLetterReason| {
        let name = reason.as_str();
        let link = format!("/dead-letters?open=true&reason={name}");
        (*reason, part(&[*reason], name, link))
    };
    let most = |part: &Part| part.hour.iter().copied().fold(0.0, f64::max);
    let mut parts: Vec<(DeadLetterReason, Part)> = DeadLetterReason::ALL
        .iter()
        .map(of_reason)
        .filter(|(_, part)| part.now > 0 || most(part) > 0.0)
        .collect();
    parts.sort_by(|(_, a), (_, b)| b.now.cmp(&a.now).then(most(b).total_cmp(&most(a))));
    let rest = parts.split_off(parts.len().min(REASONS_MAX));
    let rest: Vec<DeadLetterReason> = rest.into_iter().map(|(reason, _)| reason).collect();
    let other =
        (!rest.is_empty()).then(|| part(&rest, "other", "/dead-letters?open=true".to_owned()));
    parts.into_iter().map(|(_, part)| part).chain(other).collect()
}

/// Shows each part with its number now and as a line over the last hour.
fn breakdown(label: &str, kind: &'static str, parts: &[Part]) -> Markup {
    let columns = [Column::Text(kind), Column::Number("Now"), Column::Text("Last hour")];
    let row = |part: &Part| {
        let Part { name, link, now, hour } = part;
        html! {
            tr {
                td { @match link { Some(link) => a href=(link) { (name) }, None => (name) } }
                td.number { (grouped(*now)) }
                td.curve { (chart::curve(name, "now", hour)) }
            }
        }
    };
    table(label, &columns, parts.iter().map(row))
}

fn group(instances: Result<Answer<InstancesView>, Failure>) -> Markup {
    let view = match instances {
        Ok(Answer::Ready(view)) => view,
        Ok(Answer::Running(_)) => {
            return html! { p { "Kafka has not answered yet. Load the page again." } };
        }
        Err(failure) => return html! { p.problem { (failure) } },
    };
    html! {
        p { "Consumer group " strong { (view.group_id) } ". What a partition does is known only to its own instance." }
        (table("Instances", INSTANCES, view.instances.iter().map(member)))
    }
}

fn member(instance: &InstanceView) -> Markup {
    html! {
        tr {
            td { (instance.instance_id) @if instance.is_this { " (this one)" } }
            td { (instance.host) }
            td.number title={ @for partition in &instance.partitions { (partition) " " } } { (instance.partitions.len()) }
            td {
                @match &instance.states {
                    Some(states) => {
                        @let restoring = states.iter().filter(|it| it.state == "restoring").count();
                        @let stalled = states.iter().filter(|it| it.stalled_seconds > 0).count();
                        (states.len() - restoring) " running, " (restoring) " restoring"
                        @if stalled > 0 { ", " (stalled) " stalled" }
                    }
                    None => { "ask that instance" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_reasons_are_shown_alone_and_the_rest_together() {
        let history = History::default();
        let mut sample = Sample::default();
        assert!(letters_by_reason(&history, &sample).is_empty());
        sample.open_letters = DeadLetterReason::ALL.iter().copied().zip(1..).collect();
        history.add(sample.clone());
        // A reason without open letters is shown as long as the hour has some.
        sample.open_letters.truncate(DeadLetterReason::ALL.len() - 1);
        history.add(sample.clone());
        let parts = letters_by_reason(&history, &sample);
        assert_eq!(parts.len(), REASONS_MAX + 1);
        let now: Vec<u64> = parts.iter().map(|part| part.now).collect();
        assert!(now[..REASONS_MAX].is_sorted_by(|a, b| a >= b), "{now:?}");
        assert_eq!(parts[REASONS_MAX].name, "other");
        let all = |sample: &Sample| sample.open_letters.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(now.iter().sum::<u64>(), all(&sample));
        let hour = history.values(all);
        let shown: Vec<f64> =
            (0..2).map(|at| parts.iter().map(|part| part.hour[at]).sum()).collect();
        assert_eq!(shown, hour);
    }
}
