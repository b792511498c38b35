//! The customer's side: an HTTP server that checks each webhook's signature and shows the webhooks that arrive. One
//! path accepts every webhook; the other one fails until the demo repairs it.

use super::checklist::Checklist;
use super::pretty::pretty;
use super::screen::{About, Screen};
use crate::clock;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The path that accepts every webhook.
pub(super) const GOOD_PATH: &str = "/hooks/crm";
/// The path that fails at first.
pub(super) const BAD_PATH: &str = "/hooks/broken";

/// The largest difference between `webhook-timestamp` and the clock. A receiver rejects other requests, because they
/// may be replayed by an attacker.
const TOLERANCE_S: u64 = 300;
const MARGIN: &str = "                           ";

struct Desk {
    screen: Screen,
    checklist: Checklist,
    key: hmac::Key,
    /// The last body of each `webhook-id`, and how often it came.
    known: Mutex<BTreeMap<String, (Bytes, u32)>>,
    /// Whether [`BAD_PATH`] is repaired and accepts webhooks too.
    repaired: Arc<AtomicBool>,
}

/// Starts the receiver with the signing `secret`, and returns its address.
pub(super) async fn start(
    secret: &[u8],
    screen: Screen,
    checklist: Checklist,
    repaired: Arc<AtomicBool>,
) -> io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let desk = Arc::new(Desk { screen, checklist, key, known: Mutex::default(), repaired });
    let router =
        Router::new().route(GOOD_PATH, post(accept)).route(BAD_PATH, post(fail)).with_state(desk);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            screen.line(About::Demo, &format!("the receiver stopped: {error}"));
        }
    });
    Ok(address)
}

async fn accept(
    State(desk): State<Arc<Desk>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let signed = desk.is_signed(&headers, &body);
    let status = if signed { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    desk.show(&method, &uri, &headers, body.clone(), status);
    if signed {
        desk.checklist.arrived(&body);
    }
    (status, "")
}

async fn fail(
    State(desk): State<Arc<Desk>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    if desk.repaired.load(Ordering::SeqCst) {
        return accept(State(desk), method, uri, headers, body).await;
    }
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    desk.show(&method, &uri, &headers, body, status);
    (status, "out of order")
}

impl Desk {
    fn show(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        status: StatusCode,
    ) {
        let id = header(headers, "webhook-id");
        let signature = if self.is_signed(headers, &body) { "ok" } else { "WRONG" };
        let line = format!("{method} {uri}  webhook-id {id}  signature {signature}  -> {status}");
        match self.times(id, &body) {
            1 => {
                let text = pretty(&String::from_utf8_lossy(&body), MARGIN);
                self.screen.block(About::Webhook, &line, &text);
            }
            times => {
                let again = format!("{MARGIN}the same webhook-id and body, now {times} times");
                self.screen.block(About::Webhook, &line, &again);
            }
        }
    }

    /// Counts this webhook, and returns how often it came with this body.
    fn times(&self, id: &str, body: &Bytes) -> u32 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, times) = known.entry(id.to_owned()).or_default();
        if last != body {
            (*last, *times) = (body.clone(), 0);
        }
        *times += 1;
        *times
    }

    /// Checks the signature and the timestamp as the Standard Webhooks specification demands of every receiver.
    fn is_signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let (id, timestamp) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
        let now = u64::try_from(clock::wall().as_ms() / 1000).unwrap_or_default();
        let fresh = timestamp.parse().is_ok_and(|sent: u64| sent.abs_diff(now) <= TOLERANCE_S);
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let mut signatures = header(headers, "webhook-signature").split(' ');
        fresh
            && signatures.any(|signature| {
                let tag = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
                tag.is_some_and(|tag| hmac::verify(&self.key, &signed, &tag).is_ok())
            })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
