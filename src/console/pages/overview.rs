//! The overview: is this instance ready, what do the instances do, how much waits, and for what.

use super::super::Console;
use super::super::instances::InstancesView;
use super::super::readings::Answer;
use super::layout::{Tab, page};
use super::{PATIENCE, Shown, chart, grouped};
use crate::console::failure::Failure;
use crate::console::visitor::Visitor;
use axum::extract::State;
use maud::{Markup, html};
use std::sync::Arc;

pub(super) async fn show(State(console): State<Arc<Console>>, visitor: Visitor) -> Shown {
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
                table {
                    thead { tr { th scope="col" { "State" } th.number scope="col" { "Deliveries" } } }
                    tbody {
                        @for (state, count) in &sample.outbox {
                            tr { td { (state.as_str().replace('_', " ")) } td.number { (grouped(*count)) } }
                        }
                    }
                }
            }
            section.card aria-labelledby="letters" {
                h2 #letters { "Open dead letters: " (grouped(letters)) }
                @if letters == 0 {
                    p { "None on the partitions of this instance." }
                } @else {
                    table {
                        thead { tr { th scope="col" { "Reason" } th.number scope="col" { "Open" } } }
                        tbody {
                            @for (reason, count) in sample.open_letters.iter().filter(|(_, count)| *count > 0) {
                                tr {
                                    td { a href={ "/dead-letters?open=true&reason=" (reason.as_str()) } { (reason.as_str()) } }
                                    td.number { (grouped(*count)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
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
        div.scroll tabindex="0" role="region" aria-label="Instances" { (members(&view)) }
    }
}

fn members(view: &InstancesView) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Instance" } th scope="col" { "Connected from" }
                    th.number scope="col" { "Partitions" } th scope="col" { "State" }
                }
            }
            tbody {
                @for instance in &view.instances {
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
        }
    }
}
