//! The handlers of the API's paths.

use super::Admin;
use crate::clock;
use crate::domain::AccountId;
use crate::telemetry::{ClockJump, Format, PartitionHealth};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use std::sync::{Arc, PoisonError, RwLock};

const INDEX_BEGIN: &str = concat!(
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
);
const INDEX_OF_ACCOUNTS: &str = "<li><a href=\"/api/v1/accounts\">accounts</a>: the accounts in force, and faults in their rows, as JSON</li>\n";
const INDEX_END: &str = concat!(
    "<li><a href=\"/metrics\">metrics</a>: Prometheus text or OpenMetrics</li>\n",
    "</ul>\n</body>\n</html>\n",
);

/// The maximum number of accounts in an answer.
const ACCOUNTS_MAX: usize = 1000;

pub(super) async fn index(State(admin): State<Arc<Admin>>) -> Html<String> {
    let accounts = admin.accounts.as_ref().map_or("", |_| INDEX_OF_ACCOUNTS);
    Html([INDEX_BEGIN, accounts, INDEX_END].concat())
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
    let partition = |health: PartitionHealth| {
        json!({
            "partition": health.partition,
            "state": if health.is_restored { "running" } else { "restoring" },
            "restore_remaining": health.restore_remaining,
            "stalled_seconds": health.stalled.as_secs(),
        })
    };
    let partitions = admin.health.partitions().into_iter().map(partition);
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": admin.health.uptime().as_secs(),
        "ready": not_ready.is_empty(),
        "not_ready": not_ready,
        "standby": admin.health.is_standby(),
        "live": not_live.is_empty(),
        "not_live": not_live,
        "accounts_outdated": admin.health.accounts_outdated(),
        "partitions": partitions.collect::<Vec<_>>(),
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

/// Answers about accounts. They arrive as text, because only a higher floor knows the keys.
pub trait AccountPages: Send + Sync {
    /// Returns at most `max` accounts behind the account `after`, and all faults.
    fn list(&self, after: Option<AccountId>, max: usize) -> String;

    /// Returns the settings of an account, or `None` if there is no such account.
    fn account(&self, account: AccountId) -> Option<String>;
}

pub(super) async fn accounts(State(admin): State<Arc<Admin>>, uri: Uri) -> Response {
    let Some(pages) = &admin.accounts else { return not_found().await };
    let (mut after, mut max) = (None, ACCOUNTS_MAX);
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let is_good = match &*name {
            "after" => value.parse().map(|id| after = Some(AccountId(id))).is_ok(),
            "limit" => value.parse().map(|limit: usize| max = limit.min(ACCOUNTS_MAX)).is_ok(),
            _ => false,
        };
        if !is_good {
            let text = "the parameters are after=ID and limit=NUMBER\n";
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    }
    json_page(pages.list(after, max))
}

pub(super) async fn account(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
) -> Response {
    let Some(pages) = &admin.accounts else { return not_found().await };
    let id = account.parse().ok().map(AccountId);
    match id.and_then(|id| pages.account(id)) {
        Some(page) => json_page(page),
        None => (StatusCode::NOT_FOUND, "no such account\n").into_response(),
    }
}

fn json_page(page: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], page).into_response()
}

pub(super) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "no such page\n").into_response()
}
