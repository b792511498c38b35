//! The replays that were started on this instance.

use super::super::replays::{Order, ReplayView, filter_fields};
use super::super::{Fields, Which};
use super::layout::{Tab, page};
use super::letters::outcome;
use super::table::Column;
use super::{Shown, grouped, proof};
use crate::console::failure::Failure;
use crate::console::visitor::{Asked, Posted};
use axum::extract::Path;
use axum::response::Redirect;
use maud::{Markup, html};

const COLUMNS: &[Column] = &[
    Column::Text("Replay"),
    Column::Text("State"),
    Column::Text("Filter"),
    Column::Text("Operator"),
    Column::Text("Began"),
];

pub(super) async fn list(Asked { console, visitor, fields }: Asked) -> Shown {
    fields.end()?;
    let all = console.replays.all();
    let body = html! {
        p { "The latest replays that were started here or by the API of this instance. Commands and other instances have their own. "
            a href="/dead-letters" { "Select dead letters" } " to start one." }
        @if all.is_empty() { p { "None since the start of this instance." } } @else {
            (super::table::table("Replays", COLUMNS, all.iter().map(row)))
        }
    };
    Ok(page(&visitor, Tab::Replays, "Replays", &body))
}

fn row(replay: &ReplayView) -> Markup {
    html! {
        tr {
            td { a href={ "/replays/" (replay.id) } { (replay.id) } }
            td { (replay.state) } td { (replay.filter) } td { (replay.operator) }
            td { time datetime=(replay.began_at) { (replay.began_at) } }
        }
    }
}

pub(super) async fn begin(
    Posted(Asked { console, visitor, mut fields }): Posted,
) -> Result<Redirect, Failure> {
    let order = Order::take(&mut fields)?;
    fields.end()?;
    let run = console.begin_replay(&visitor, order).await?;
    Ok(Redirect::to(&format!("/replays/{}", run.id())))
}

pub(super) async fn show(Path(id): Path<u64>, Asked { console, visitor, fields }: Asked) -> Shown {
    fields.end()?;
    let run = console.replays.find(id)?;
    let view = run.view();
    let title = format!("Replay {id}");
    let body = html! {
        dl {
            dt { "Filter" } dd { (view.filter) }
            dt { "Rate" } dd { @match view.rate { Some(rate) => { (rate) " per second" } None => "as fast as possible" } }
            dt { "At most" } dd { @match view.max { Some(max) => (grouped(max)), None => "all" } }
            dt { "Operator" } dd { (view.operator) }
            dt { "Began" } dd { time datetime=(view.began_at) { (view.began_at) } }
        }
        div data-live=[(view.state == "running").then(|| format!("/live/replays/{id}"))] { (state(&view)) }
        @if view.state == "running" {
            form method="post" action={ "/replays/" (id) "/stop" } { (proof(&visitor)) button type="submit" { "Stop" } }
        }
        @if view.state == "stopped" {
            form method="post" action="/replays" {
                (proof(&visitor))
                @for (name, value) in filter_fields(&run.order.filter) { input type="hidden" name=(name) value=(value); }
                @if let Some(rate) = view.rate { input type="hidden" name="rate" value=(rate); }
                @if let Some(max) = view.max { input type="hidden" name="max" value=(max); }
                button type="submit" { "Resume" }
            }
        }
    };
    Ok(if view.state == "running" {
        super::layout::live(&visitor, Tab::Replays, &title, &body)
    } else {
        page(&visitor, Tab::Replays, &title, &body)
    })
}

/// The part of the page that changes.
pub(super) fn state(view: &ReplayView) -> Markup {
    html! {
        section.card aria-labelledby="replay-state" {
            h2 #replay-state { "State: " (view.state) }
            @if let (Some(stage), Some(done), Some(all)) = (view.stage, view.done, view.all) {
                p role="status" { (stage) ": " (grouped(done)) " of " (grouped(all)) }
                progress value=(done) max=(all.max(1)) aria-label="Progress of the replay" {}
            }
            @if let Some(ended_at) = &view.ended_at { p { "Ended " time datetime=(ended_at) { (ended_at) } } }
            @if let Some(error) = &view.error { p.problem { (error) } }
            @if let Some(summary) = &view.summary { (outcome(summary)) }
        }
    }
}

pub(super) async fn stop(
    Path(id): Path<u64>,
    Posted(Asked { console, visitor, fields }): Posted,
) -> Result<Redirect, Failure> {
    fields.end()?;
    console.stop_replay(&visitor, id).await?;
    Ok(Redirect::to(&format!("/replays/{id}")))
}

impl Order {
    /// Takes the parameters of a replay.
    pub(in crate::console) fn take(fields: &mut Fields) -> Result<Self, Failure> {
        let (rate, max) = (fields.number("rate")?, fields.number("max")?);
        if max == Some(0) {
            return Err(Failure::BadRequest("max: it is at least 1".to_owned()));
        }
        let Which { filter, .. } = Which::take(fields)?;
        Ok(Self { filter, rate, max })
    }
}
