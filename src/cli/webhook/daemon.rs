//! Compares the configuration of the running daemon with the one that a command has read.

use crate::app;
use crate::cli::healthcheck::reachable;
use crate::config::{Difference, Effective, HttpSettings};
use crate::delivery::{Names, Trust};
use crate::telemetry::err_line;
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::time::Duration;

/// A daemon answers within milliseconds. The command must not wait long for anything else.
const TIMEOUT: Duration = Duration::from_secs(1);
/// No configuration page is larger.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// The number of different keys that the warning names.
const KEYS_MAX: usize = 8;

/// The daemon that answers on `http.listen`.
#[derive(Debug, Serialize)]
pub(super) struct Daemon {
    address: SocketAddr,
    configuration: Compared,
    /// The keys whose values differ.
    differs: Vec<String>,
    secrets_differ: bool,
    #[serde(skip)]
    differences: Vec<Difference>,
}

/// The result of comparing configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Compared {
    /// The daemon runs this configuration.
    Same,
    /// The daemon runs another configuration.
    Other,
    /// The daemon runs another configuration: it requires another token.
    OtherToken,
    /// The daemon does not show its configuration.
    Unknown,
}

/// Asks the daemon on `http.listen` for its configuration. Returns `None` if nothing answers.
pub(super) async fn ask(
    http: &HttpSettings,
    effective: &Effective,
    trust: &Trust,
) -> Option<Daemon> {
    let address = reachable(http.listen)?;
    let client = app::service_client(trust, &Names::default());
    let get = |path: &str| {
        let request = client.get(format!("http://{address}{path}")).timeout(TIMEOUT);
        match &http.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
        .send()
    };
    let answer = get("/api/v1/config/hash").await.ok()?;
    let mut daemon = Daemon {
        address,
        configuration: Compared::Unknown,
        differs: Vec::new(),
        secrets_differ: false,
        differences: Vec::new(),
    };
    match answer.status() {
        StatusCode::UNAUTHORIZED => daemon.configuration = Compared::OtherToken,
        StatusCode::OK => {
            if let Some(page) = json(answer).await {
                daemon.compare(effective, &page);
            }
        }
        _ => {}
    }
    if daemon.configuration == Compared::Other
        && let Ok(answer) = get("/api/v1/config").await
        && let Some(page) = json(answer).await
    {
        daemon.differences = effective.differences(&page);
        daemon.differs = daemon.differences.iter().map(|it| it.key.clone()).collect();
    }
    Some(daemon)
}

/// Returns the answer's JSON, or `None` if the body is no JSON, too large or incomplete.
async fn json(mut answer: Response) -> Option<Json> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > PAGE_BYTES_MAX {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

impl Daemon {
    fn compare(&mut self, effective: &Effective, page: &Json) {
        let theirs = |name: &str| page.get(name).and_then(Json::as_u64);
        let (Some(all), Some(secrets)) = (theirs("hash"), theirs("secrets_hash")) else { return };
        let ours = effective.hashes();
        self.configuration = if ours.all == all { Compared::Same } else { Compared::Other };
        self.secrets_differ = ours.secrets != secrets;
    }

    /// Warns on stderr when the test says nothing about the daemon, because its configuration differs or is unknown.
    pub(super) fn warn(&self) {
        let address = self.address;
        match self.configuration {
            Compared::Same => {}
            Compared::Unknown => err_line!(
                "ringback: can't compare configurations: the server at {address} does not serve /api/v1/config/hash"
            ),
            Compared::OtherToken => err_line!(
                "ringback: warning: the daemon at {address} runs another configuration: its http.token differs from \
                 the one in this configuration; a restart applies the new one"
            ),
            Compared::Other => {
                let mut text = format!(
                    "ringback: warning: the daemon at {address} runs another configuration than this command has read"
                );
                let of = |needs_restart| {
                    let keys = self.differences.iter();
                    let keys = keys.filter(move |it| it.needs_restart == needs_restart);
                    names(keys.map(|it| it.key.as_str()).collect())
                };
                for (what, keys) in [("SIGHUP", of(false)), ("a restart", of(true))] {
                    if let Some(keys) = keys {
                        text = format!("{text}; {what} applies {keys}");
                    }
                }
                if self.secrets_differ {
                    text.push_str("; a secret or a named file differs");
                }
                err_line!("{text}");
            }
        }
    }
}

/// Returns the first of `keys` and the number of the others. `None` if there are none.
fn names(keys: Vec<&str>) -> Option<String> {
    let more = keys.len().saturating_sub(KEYS_MAX);
    let mut text = keys.iter().take(KEYS_MAX).copied().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text = format!("{text} and {more} more");
    }
    (!keys.is_empty()).then_some(text)
}
