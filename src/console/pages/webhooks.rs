//! The webhooks: a list with a search, and a page for each.

use super::super::Console;
use super::super::figures::{WebhookFacts, WebhookState};
use super::super::readings::Answer;
use super::layout::{Tab, page};
use super::table::{self, Column, ROWS_MAX};
use super::{PATIENCE, Shown, grouped, progress, proof};
use crate::console::visitor::{Asked, Posted, Visitor};
use crate::domain::Phase;
use crate::inspect::trial::TrialView;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};

const COLUMNS: &[Column] = &[
    Column::Text("Webhook"),
    Column::Text("Account"),
    Column::Text("State"),
    Column::Number("Waiting"),
    Column::Number("Success"),
    Column::Number("Mean latency"),
    Column::Text("Last failure"),
];

pub(super) async fn list(Asked { console, visitor, mut fields }: Asked) -> Shown {
    let search = fields.text("q").unwrap_or_default();
    let after = fields.text("after");
    fields.end()?;
    let found = console.webhooks(&search, after.as_deref(), ROWS_MAX + 1)?;
    let body = html! {
        form.search method="get" action="/webhooks" role="search" {
            label for="q" { "Name or account" }
            input #q name="q" value=(search);
            button type="submit" { "Search" }
        }
        p.hint { "States and figures are those of this instance since its start. The page of a webhook can read what all instances have recorded." }
        (table::list(("Webhooks", COLUMNS), &found, row, |last| {
            format!("/webhooks?{}", encoded(&[("q", &search), ("after", &last.name)]))
        }))
    };
    Ok(page(&visitor, Tab::Webhooks, "Webhooks", &body))
}

fn row(webhook: &WebhookFacts) -> Markup {
    let figures = webhook.figures.as_ref();
    html! {
        tr {
            td { a href={ "/webhooks/" (path_segment(&webhook.name)) } { (webhook.name) } }
            td { a href={ "/accounts/" (webhook.account_id) } { (webhook.account_id) } }
            td { (state(webhook.state)) }
            td.number { (figures.map_or_else(|| "–".to_owned(), |it| grouped(it.backlog))) }
            td.number { (figures.and_then(|it| it.success_percent).map_or_else(|| "–".to_owned(), |it| format!("{it:.1} %"))) }
            td.number { (figures.and_then(|it| it.mean_latency_seconds).map_or_else(|| "–".to_owned(), |it| format!("{it:.2} s"))) }
            td { (figures.and_then(|it| it.last_failure.as_deref()).unwrap_or("–")) }
        }
    }
}

fn state(state: WebhookState) -> Markup {
    let class = match state {
        WebhookState::Closed => "good",
        WebhookState::HalfOpen | WebhookState::Held => "warning",
        WebhookState::Open | WebhookState::Disabled => "bad",
    };
    html! { span class=(class) { (state.as_str().replace('_', " ")) } }
}

pub(super) async fn show(
    Path(name): Path<String>,
    Asked { console, visitor, mut fields }: Asked,
) -> Shown {
    let is_recorded = fields.flag("recorded")?;
    fields.end()?;
    let webhook = console.webhook(&name)?;
    let recorded = if is_recorded { Some(console.endpoints(PATIENCE).await?) } else { None };
    let Some(Answer::Running(advance)) = &recorded else {
        let states = match &recorded {
            Some(Answer::Ready(states)) => Some(&**states),
            Some(Answer::Running(_)) | None => None,
        };
        let view = console.webhook_view(&webhook, states)?;
        let body =
            html! { (about(&visitor, &webhook)) (definition(&view, states.is_some(), &name)) };
        return Ok(page(&visitor, Tab::Webhooks, &name, &body));
    };
    Ok(super::layout::loading(&visitor, Tab::Webhooks, &name, &progress(&visitor, advance)))
}

/// Shows the figures, and the actions.
fn about(visitor: &Visitor, webhook: &WebhookFacts) -> Markup {
    let path = path_segment(&webhook.name);
    html! {
        section.card aria-labelledby="now" {
            h2 #now { "On this instance: " (state(webhook.state)) }
            @match &webhook.figures {
                None => p { "This webhook is not among the busiest, so it has no figures of its own." },
                Some(figures) => dl {
                    dt { "Waiting" } dd { (grouped(figures.backlog)) @if let Some(oldest) = &figures.oldest_scheduled_at { ", the oldest since " time { (oldest) } } }
                    dt { "Held back by the rate limit" } dd { (grouped(figures.rate_limited)) }
                    dt { "Held by a pause, its breaker or its end" } dd { (grouped(figures.held)) }
                    dt { "Attempts" } dd { (grouped(figures.attempts)) @if let Some(percent) = figures.success_percent { ", " (format!("{percent:.1}")) " % succeeded" } }
                    dt { "Delivered" } dd { (grouped(figures.delivered)) }
                    dt { "Dead letters" } dd { (grouped(figures.dead_lettered)) ", " a href={ "/dead-letters?" (encoded(&[("webhook", &webhook.name)])) } { "list" } }
                    dt { "Mean latency" } dd { (figures.mean_latency_seconds.map_or_else(|| "–".to_owned(), |it| format!("{it:.3} s"))) }
                    dt { "Last failure" } dd { (figures.last_failure.as_deref().unwrap_or("none")) }
                },
            }
        }
        section.card aria-labelledby="actions" {
            h2 #actions { "Actions" }
            form.inline method="post" action={ "/webhooks/" (path) "/test" } {
                (proof(visitor))
                label for="phase" { "Phase" }
                select #phase name="phase" { option value="1" { "1" } option value="2" { "2" } }
                button type="submit" { "Send a test" }
                span.hint { "The test is a real request to the endpoint, marked as a test. It changes no state." }
            }
            form.inline method="post" action={ "/webhooks/" (path) "/enable" } {
                (proof(visitor))
                button type="submit" { "Enable" }
                span.hint { "Ends a pause and the disabled state on all instances. Dead letters are replayed separately." }
            }
        }
    }
}

/// Shows the definition as the API has it.
fn definition(view: &serde_json::Value, is_recorded: bool, name: &str) -> Markup {
    html! {
        section.card aria-labelledby="definition" {
            h2 #definition { "Definition" }
            dl {
                @for (key, value) in view.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                    dt { (key.replace('_', " ")) }
                    dd { @match value { serde_json::Value::String(text) => (text), other => (other) } }
                }
            }
            @if is_recorded {
                p.hint { "State, disabled at, held until and failing since are what the instances have recorded." }
            } @else {
                p { a href={ "/webhooks/" (path_segment(name)) "?recorded=true" } { "Read the state that the instances have recorded" } " (reads the whole changelog)" }
            }
        }
    }
}

pub(super) async fn enable(
    Path(name): Path<String>,
    Posted(Asked { console, visitor, fields }): Posted,
) -> Shown {
    fields.end()?;
    let partitions = console.enable(&visitor, &name).await?;
    let body = html! {
        p.good role="status" { "The command was written to all " (partitions) " partitions of the inbox. The instances execute it within seconds." }
        p { a href={ "/webhooks/" (path_segment(&name)) } { "Back to " (name) } }
    };
    Ok(page(&visitor, Tab::Webhooks, &format!("Enable {name}"), &body))
}

pub(super) async fn test(
    Path(name): Path<String>,
    Posted(Asked { console, visitor, mut fields }): Posted,
) -> Shown {
    let phase = Console::phase(&mut fields)?;
    fields.end()?;
    console.test(&visitor, &name, phase, |shown| test_page(&visitor, &name, phase, shown)).await
}

fn test_page(visitor: &Visitor, name: &str, phase: Phase, shown: &TrialView<'_>) -> Html<String> {
    let request = serde_json::to_string_pretty(&shown.request).unwrap_or_default();
    let answer = serde_json::to_string_pretty(&shown.answer).unwrap_or_default();
    let body = html! {
        @if shown.delivered {
            p.good role="status" { "Delivered: a delivery of phase " (phase.number()) " would be delivered." }
        } @else {
            p.bad role="status" { "Failed: a delivery of phase " (phase.number()) " would fail." }
        }
        h2 { "Outcome" } pre { (shown.outcome.get()) }
        h2 { "Request" } pre { (request) }
        h2 { "Answer" } pre { (answer) }
        p { a href={ "/webhooks/" (path_segment(name)) } { "Back to " (name) } }
    };
    page(visitor, Tab::Webhooks, &format!("Test of {name}"), &body)
}

/// Returns parameters as the query of a URL.
pub(super) fn encoded(parameters: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// Returns a name as a part of a path.
pub(super) fn path_segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}
