//! The handlers of the API's paths.

use super::Admin;
use crate::clock;
use crate::console::own_partitions;
use crate::telemetry::{ClockJump, Format};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use std::sync::{Arc, PoisonError, RwLock};

const INDEX: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n",
    "<title>Ringback</title>\n</head>\n<body>\n<h1>Ringback ",
    env!("CARGO_PKG_VERSION"),
    "</h1>\n<ul>\n",
    "<li><a href=\"/readyz\">readyz</a>: ready, or what it waits for</li>\n",
    "<li><a href=\"/livez\">livez</a>: live, or what is stalled</li>\n",
    "<li><a href=\"/api/v1/status\">status</a>: readiness, liveness and partitions, as JSON</li>\n",
    "<li><a href=\"/api/v1/config\">config</a>: the effective keys with their sources, without secrets, as JSON</li>\n",
    "<li><a href=\"/metrics\">metrics</a>: Prometheus text or OpenMetrics</li>\n",
    "</ul>\n</body>\n</html>\n",
);

/// Returns the index of a process without a console.
pub(super) async fn index() -> Html<&'static str> {
    Html(INDEX)
}

pub(super) async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::from_accept(Some(&accept.join(",")));
    admin.health.publish(&*admin.metrics);
    // Clock jumps are detected when the time is read.
    let now = clock::now();
    let jumps = clock::jumps();
    admin.metrics.show_clock_jumps(ClockJump::Forward, jumps.forward);
    admin.metrics.show_clock_jumps(ClockJump::Backward, jumps.backward);
    let content_type = [(header::CONTENT_TYPE, format.content_type())];
    (content_type, [(header::VARY, "accept")], admin.metrics.render(format, now)).into_response()
}

pub(super) async fn live(State(admin): State<Arc<Admin>>) -> Response {
    probe(&admin.health.reasons_not_live(), "ok\n")
}

pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let is_standby = admin.health.is_standby();
    let well = if is_standby { "ok: standby, no partitions for now\n" } else { "ok\n" };
    probe(&admin.health.reasons_not_ready(), well)
}

/// Answers 200 with `well` if there are no `reasons`, and 503 with the reasons otherwise.
fn probe(reasons: &[String], well: &'static str) -> Response {
    if reasons.is_empty() {
        (StatusCode::OK, well).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
    }
}

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Response {
    let not_ready = admin.health.reasons_not_ready();
    let not_live = admin.health.reasons_not_live();
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": admin.health.uptime().as_secs(),
        "ready": not_ready.is_empty(),
        "not_ready": not_ready,
        "standby": admin.health.is_standby(),
        "live": not_live.is_empty(),
        "not_live": not_live,
        "accounts_outdated": admin.health.accounts_outdated(),
        "partitions": own_partitions(&admin.health),
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// The pages that show the effective configuration. They arrive as text, because only a higher floor knows the keys.
#[derive(Default)]
pub struct ConfigPages(RwLock<Pages>);

#[derive(Default)]
struct Pages {
    whole: Bytes,
    hash: Bytes,
}

impl ConfigPages {
    /// Replaces both pages: `whole` has all keys, `hash` only the hashes.
    pub fn set(&self, whole: String, hash: String) {
        let pages = Pages { whole: whole.into(), hash: hash.into() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pages;
    }

    fn page(&self, which: impl FnOnce(&Pages) -> &Bytes) -> Response {
        let pages = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ([(header::CONTENT_TYPE, "application/json")], which(&pages).clone()).into_response()
    }
}

pub(super) async fn config(State(admin): State<Arc<Admin>>) -> Response {
    admin.config.page(|pages| &pages.whole)
}

pub(super) async fn config_hash(State(admin): State<Arc<Admin>>) -> Response {
    admin.config.page(|pages| &pages.hash)
}

pub(super) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "no such page\n").into_response()
}
