//! A customer's endpoint: a real HTTP server that records every request and answers by a script.

use super::runtime;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The time at which the request was complete, in Unix milliseconds.
    pub(crate) at_ms: u128,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
    /// The client's port, by which connections that are open together differ.
    pub(crate) from: u16,
}

impl Received {
    /// Returns the `webhook-id`.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// Returns a header's value, or an empty text without such a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body is UTF-8")
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Returns the `phonon-uuid` of a predefined body.
    pub(crate) fn uuid(&self) -> String {
        self.json()["phonon-uuid"].as_str().expect("a phonon-uuid").to_owned()
    }

    /// Returns the phase of a predefined body, 1 or 2.
    pub(crate) fn phase(&self) -> u8 {
        if self.json().get("smsDetails").is_some() { 2 } else { 1 }
    }
}

/// The endpoint's answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    pub(crate) delay: Duration,
    pub(crate) gate: Option<watch::Receiver<bool>>,
}

impl Answer {
    /// Returns an immediate answer with this status and no body.
    pub(crate) fn status(status: u16) -> Self {
        let (headers, body, delay) = (Vec::new(), String::new(), Duration::ZERO);
        Self { status, headers, body, delay, gate: None }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    /// Delays the answer.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Holds the answer until the gate is open.
    pub(crate) fn behind(self, gate: &watch::Receiver<bool>) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    /// Returns an answer that comes later than any client waits.
    pub(crate) fn never() -> Self {
        Self::status(200).after(Duration::from_secs(3600))
    }
}

/// Returns the answer to the nth request (the first is 1) of a `webhook-id`.
pub(crate) type Script = dyn Fn(&Received, usize) -> Answer + Send + Sync;

struct Shared {
    script: Mutex<Arc<Script>>,
    requests: Mutex<Vec<Received>>,
    attempts: Mutex<BTreeMap<String, usize>>,
    /// The statuses of answered requests, by the index of the request. Requests without an answer are missing.
    answered: Mutex<BTreeMap<usize, u16>>,
    came: Condvar,
}

/// The endpoint. It runs until the test's process ends.
pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Starts an endpoint that accepts everything.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(|_: &Received, _: usize| Answer::status(200))),
            requests: Mutex::new(Vec::new()),
            attempts: Mutex::new(BTreeMap::new()),
            answered: Mutex::new(BTreeMap::new()),
            came: Condvar::new(),
        });
        let _inside = runtime().enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket for Tokio");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let serve = async move { axum::serve(listener, app).await };
        drop(runtime().spawn(serve));
        Self { port, shared }
    }

    /// Answers by `script` from now on.
    pub(crate) fn script(
        &self,
        script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static,
    ) {
        *self.shared.script.lock().expect("no panic inside") = Arc::new(script);
    }

    /// Answers a delivery's attempts with these statuses in order. The last one is repeated.
    pub(crate) fn statuses(&self, statuses: &'static [u16]) {
        self.script(move |_, nth| Answer::status(statuses[nth.min(statuses.len()) - 1]));
    }

    /// Returns the endpoint's port of 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL of `path` at this endpoint.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns all requests so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().expect("no panic inside").clone()
    }

    /// Returns the number of requests so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.requests.lock().expect("no panic inside").len()
    }

    /// Returns the number of answered requests.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.lock().expect("no panic inside").len()
    }

    /// Returns the requests so far by delivery.
    pub(crate) fn by_id(&self) -> BTreeMap<String, Vec<Received>> {
        let mut by_id: BTreeMap<String, Vec<Received>> = BTreeMap::new();
        for request in self.requests() {
            by_id.entry(request.id().to_owned()).or_default().push(request);
        }
        by_id
    }

    /// Writes all requests so far in the format of `ringback verify`. Requests without an answer have the status 0.
    pub(crate) fn write_log(&self, path: &std::path::Path) {
        let requests = self.requests();
        let answered = self.shared.answered.lock().expect("no panic inside");
        let line = |(place, request): (usize, &Received)| {
            let at = i64::try_from(request.at_ms).ok();
            let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            let status = answered.get(&place).copied().unwrap_or(0);
            let line = serde_json::json!({
                "at": at.expect("a time of today").to_string(),
                "webhook_id": request.id(),
                "status": status,
                "body": String::from_utf8_lossy(&request.body),
            });
            format!("{line}\n")
        };
        let lines: String = requests.iter().enumerate().map(line).collect();
        std::fs::write(path, lines).expect("a log of requests");
    }

    /// Waits until there are `count` requests in total, and returns all.
    pub(crate) fn wait_for(&self, count: usize, timeout: Duration) -> Vec<Received> {
        self.wait(&format!("{count} requests"), timeout, |requests| requests.len() >= count)
    }

    /// Waits until the requests satisfy `enough`, and returns them.
    pub(crate) fn wait(
        &self,
        what: &str,
        timeout: Duration,
        enough: impl Fn(&[Received]) -> bool,
    ) -> Vec<Received> {
        let deadline = Instant::now() + timeout;
        let mut requests = self.shared.requests.lock().expect("no panic inside");
        while !enough(&requests) {
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = requests.len();
            if left.is_zero() {
                // The lock is released first, because the failing test still reads the requests.
                drop(requests);
                panic!("the endpoint did not see {what} in time; {seen} requests came");
            }
            let waited = self.shared.came.wait_timeout(requests, left);
            requests = waited.expect("no panic inside").0;
        }
        requests.clone()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else {
        // The client closed the connection before the request was complete, so nothing is recorded.
        return respond(&Answer::status(400));
    };
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let received = Received {
        from: from.expect("a client has an address").0.port(),
        at_ms: now_ms(),
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: parts.headers.iter().map(|(name, v)| (name.to_string(), text(v))).collect(),
        body,
    };
    let (nth, place) = {
        let mut attempts = shared.attempts.lock().expect("no panic inside");
        let nth = attempts.entry(received.id().to_owned()).or_default();
        *nth += 1;
        let mut requests = shared.requests.lock().expect("no panic inside");
        requests.push(received.clone());
        (*nth, requests.len() - 1)
    };
    shared.came.notify_all();
    let script = Arc::clone(&shared.script.lock().expect("no panic inside"));
    let answer = script(&received, nth);
    tokio::time::sleep(answer.delay).await;
    if let Some(mut gate) = answer.gate.clone() {
        // A gate without a sender counts as open.
        let _opened = gate.wait_for(|open| *open).await;
    }
    shared.answered.lock().expect("no panic inside").insert(place, answer.status);
    respond(&answer)
}

fn respond(answer: &Answer) -> Response {
    let response = answer
        .headers
        .iter()
        .fold(Response::builder().status(answer.status), |response, (name, value)| {
            response.header(*name, value)
        });
    response.body(Body::from(answer.body.clone())).expect("a valid answer")
}

/// Returns the present time in Unix milliseconds.
pub(crate) fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}
