//! The frame of every page.

use crate::console::visitor::Visitor;
use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

/// The part of the console that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Webhooks,
    Executions,
    DeadLetters,
    Replays,
    Accounts,
}

impl Tab {
    const ALL: [Self; 6] = [
        Self::Overview,
        Self::Webhooks,
        Self::Executions,
        Self::DeadLetters,
        Self::Replays,
        Self::Accounts,
    ];

    const fn link(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => ("/", "Overview"),
            Self::Webhooks => ("/webhooks", "Webhooks"),
            Self::Executions => ("/executions", "Executions"),
            Self::DeadLetters => ("/dead-letters", "Dead letters"),
            Self::Replays => ("/replays", "Replays"),
            Self::Accounts => ("/accounts", "Accounts"),
        }
    }
}

/// When a page loads itself again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reload {
    Never,
    /// After a second.
    Always,
    /// After a second, unless the script updates the page.
    WithoutScript,
}

pub(super) fn page(visitor: &Visitor, tab: Tab, title: &str, body: &Markup) -> Html<String> {
    framed(Some((visitor, tab)), title, Reload::Never, body)
}

/// Returns a page that loads itself again after a second.
pub(super) fn loading(visitor: &Visitor, tab: Tab, title: &str, body: &Markup) -> Html<String> {
    framed(Some((visitor, tab)), title, Reload::Always, body)
}

/// Returns a page that the script updates. Without the script, it loads itself again after a second.
pub(super) fn live(visitor: &Visitor, tab: Tab, title: &str, body: &Markup) -> Html<String> {
    framed(Some((visitor, tab)), title, Reload::WithoutScript, body)
}

/// Returns a page without navigation.
pub(super) fn bare(title: &str, body: &Markup) -> Html<String> {
    framed(None, title, Reload::Never, body)
}

fn framed(
    within: Option<(&Visitor, Tab)>,
    title: &str,
    reload: Reload,
    body: &Markup,
) -> Html<String> {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @match reload {
                    Reload::Never => {}
                    Reload::Always => meta http-equiv="refresh" content="1";,
                    Reload::WithoutScript => noscript { meta http-equiv="refresh" content="1"; },
                }
                title { (title) " · Ringback" }
                link rel="stylesheet" href="/assets/console.css";
                script src="/assets/console.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                @if let Some((visitor, tab)) = within { (navigation(visitor, tab)) }
                main #main tabindex="-1" {
                    h1 { (title) }
                    (body)
                }
                footer {
                    "Ringback " (env!("CARGO_PKG_VERSION")) " · "
                    a href="/metrics" { "metrics" } " · "
                    a href="/readyz" { "readyz" } " · "
                    a href="/livez" { "livez" } " · "
                    a href="/api/v1/openapi.json" { "API" }
                }
            }
        }
    };
    Html(markup.into_string())
}

fn navigation(visitor: &Visitor, current: Tab) -> Markup {
    html! {
        header {
            nav aria-label="Main" {
                ul {
                    @for tab in Tab::ALL {
                        @let (href, name) = tab.link();
                        li { a href=(href) aria-current=[(tab == current).then_some("page")] { (name) } }
                    }
                }
            }
            @if visitor.has_session {
                form.who method="post" action="/sign-out" {
                    span { "Signed in as " strong { (visitor.operator) } }
                    button type="submit" { "Sign out" }
                }
            }
        }
    }
}
