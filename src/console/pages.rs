//! The pages of the console. They are complete without JavaScript; a script only updates the parts that change.

mod accounts;
mod chart;
mod executions;
mod layout;
mod letters;
mod live;
mod overview;
mod replays;
pub(super) mod sign_in;
mod table;
mod webhooks;

use super::Console;
use super::failure::Failure;
use super::readings::{Advance, Answer};
use super::visitor::{Asked, CSRF_FIELD, Posted, Visitor};
use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use layout::{Tab, page};
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Duration;

/// The time for which a page waits for a reading. After it, the page shows the progress and loads itself again.
const PATIENCE: Duration = Duration::from_millis(1500);

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");

pub(super) fn router() -> Router<Arc<Console>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/webhooks", get(webhooks::list))
        .route("/webhooks/{name}", get(webhooks::show))
        .route("/webhooks/{name}/enable", post(webhooks::enable))
        .route("/webhooks/{name}/test", post(webhooks::test))
        .route("/executions", get(executions::show))
        .route("/dead-letters", get(letters::list))
        .route("/dead-letters/letter", get(letters::show))
        .route("/dead-letters/plan", get(letters::plan))
        .route("/replays", get(replays::list).post(replays::begin))
        .route("/replays/{id}", get(replays::show))
        .route("/replays/{id}/stop", post(replays::stop))
        .route("/accounts", get(accounts::list))
        .route("/accounts/{id}", get(accounts::show))
        .route("/readings/{reading}/cancel", post(cancel))
        .route("/live/overview", get(live::overview))
        .route("/live/replays/{id}", get(live::replay))
        .layer(middleware::map_response(as_page))
}

/// Returns the style sheet and the script, which need no token.
pub(super) fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let asset = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/assets/console.css", asset("text/css; charset=utf-8", STYLE))
        .route("/assets/console.js", asset("text/javascript; charset=utf-8", SCRIPT))
}

/// A page, or the reason why there is none.
type Shown = Result<Html<String>, Failure>;

/// Shows a failure as a page.
async fn as_page(response: Response) -> Response {
    match response.extensions().get::<Failure>() {
        Some(failure) => (failure.status(), failure_page(failure)).into_response(),
        None => response,
    }
}

fn failure_page(failure: &Failure) -> Html<String> {
    let title = match failure {
        Failure::BadRequest(_) => "The request is wrong",
        Failure::Missing(_) => "Not found",
        Failure::ForeignForm => "The form was refused",
        Failure::Conflict(_) => "Not now",
        Failure::Busy => "Busy",
        Failure::Cancelled => "Cancelled",
        Failure::Unavailable(_) => "Kafka is not available",
        Failure::Internal(_) => "Something failed",
    };
    let body = html! {
        p.problem role="alert" { (failure) }
        p { a href="/" { "Overview" } }
    };
    layout::bare(title, &body)
}

pub(super) async fn not_found() -> Response {
    let failure = Failure::Missing("There is no such page.".to_owned());
    (StatusCode::NOT_FOUND, failure_page(&failure)).into_response()
}

/// The field that proves that a form comes from this page.
fn proof(visitor: &Visitor) -> Markup {
    html! {
        @if let Some(csrf) = &visitor.csrf {
            input type="hidden" name=(CSRF_FIELD) value=(csrf);
        }
    }
}

/// Shows the result of a reading with `show`, or its progress.
fn when_read<T>(
    visitor: &Visitor,
    (tab, title): (Tab, &str),
    answer: Answer<T>,
    show: impl FnOnce(&T) -> Markup,
) -> Html<String> {
    match answer {
        Answer::Ready(result) => page(visitor, tab, title, &show(&result)),
        Answer::Running(advance) => {
            layout::loading(visitor, tab, title, &progress(visitor, &advance))
        }
    }
}

fn progress(visitor: &Visitor, advance: &Advance) -> Markup {
    let Advance { reading, stage, done, all } = advance;
    html! {
        section.card {
            p role="status" { "Reading " (stage) ": " (done) " of " (all) " offsets. This page loads itself again until it is done." }
            progress value=(done) max=((*all).max(1)) aria-label="Progress of the reading" {}
            form method="post" action={ "/readings/" (reading) "/cancel" } {
                (proof(visitor))
                button type="submit" { "Cancel" }
            }
        }
    }
}

async fn cancel(
    Path(reading): Path<u64>,
    Posted(Asked { console, fields, .. }): Posted,
) -> Result<Redirect, Failure> {
    fields.end()?;
    console.cancel(reading);
    Ok(Redirect::to("/"))
}

/// Returns a number with thin spaces between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place % 3 == first {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped() {
        let texts = [0, 12, 999, 1000, 123_456, 1_234_567].map(grouped);
        let expected =
            ["0", "12", "999", "1\u{2009}000", "123\u{2009}456", "1\u{2009}234\u{2009}567"];
        assert_eq!(texts, expected);
    }
}
