//! The HTTP client of an endpoint: it keeps connections, and repeats an exchange that a kept connection lost.
//!
//! A kept connection may end at any moment, and then the request that was sent on it is lost although the endpoint
//! works. The client repeats such an exchange at once on a new connection, within the same attempt and at most once
//! (`again`). A `Link` knows the age of its connection, and the status of an answer whose head can't be parsed.

mod again;
mod connector;
mod link;
mod sniff;

pub(super) use connector::ConnectTimedOut;

use super::proxy::Proxy;
use again::Again;
use bytes::Bytes;
use connector::{Connector, Proxied};
use http::header::{ACCEPT, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{Extensions, HeaderValue, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use link::Link;
use reqwest::dns::Resolve;
use rustls::ClientConfig;
use rustls::client::Resumption;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::time::timeout_at;
use tower_http::decompression::{Decompression, DecompressionBody};
use tower_service::Service as _;

/// Shorter than the 5 s after which common servers end an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// All attempts share one HTTP/2 connection. Without pings, a dead connection would make all of them time out.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// The library's default is 100. Only the status is known of a head that has more.
const HEADERS_MAX: usize = 256;
/// HTTP/2 limits bytes instead of headers. Nothing is known of a larger head, not even its status.
const HEADER_BYTES_MAX: u32 = 256 * 1024;
/// How many bytes of an HTTP/2 answer may arrive before they are read, for one answer and for all answers of a
/// connection together. Endpoints fill this memory. It is enough for what is kept of one answer.
const WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Protocols in the order of preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
const ALPN_HTTP1: [&[u8]; 1] = [b"http/1.1"];

/// The parameters of a client.
pub(super) struct Setup {
    /// Resolves the names of endpoints.
    pub(super) resolver: Arc<dyn Resolve>,
    /// Certificates and keys for TLS.
    pub(super) tls: ClientConfig,
    /// The limit for name look-up, TCP connect and TLS handshake together.
    pub(super) connect_timeout: Duration,
    /// An older connection gets no further request.
    pub(super) connection_max_age: Duration,
    /// The proxy for all requests, if there is one.
    pub(super) proxy: Option<Proxy>,
    /// How many idle connections are kept.
    pub(super) kept_max: usize,
    /// Whether HTTP/2 is not offered.
    pub(super) http1_only: bool,
}

/// Why there is no answer.
pub(super) struct Broken {
    pub(super) cause: Cause,
    /// The status of the answer, if the answer began but its head can't be parsed.
    pub(super) status: Option<StatusCode>,
}

/// Why an exchange failed.
pub(super) enum Cause {
    /// The connection could not be made, or the exchange was interrupted.
    Exchange(legacy::Error),
    /// The deadline passed first.
    Late,
}

/// A request with its whole body. A copy shares the body and the values of headers.
pub(super) type Request = http::Request<Full<Bytes>>;
/// The head of an answer, with a body that is still to be read.
pub(super) type Response = http::Response<DecompressionBody<Incoming>>;
type Service = Decompression<legacy::Client<Connector, Full<Bytes>>>;

/// The client of an endpoint.
pub(super) struct Client {
    setup: Setup,
    /// Connections that offer HTTP/2. Most of many endpoints are rarely called, so channels are made at the first use.
    any: OnceLock<Channels>,
    /// Connections that offer HTTP/1.1 only.
    http1: OnceLock<Channels>,
    /// Whether only `http1` is used: the webhook's definition or the endpoint demands it, or the endpoint's HTTP/2
    /// can't be parsed.
    by_http1: AtomicBool,
    repeated: AtomicU64,
}

struct Channels {
    kept: Service,
    /// Makes a new connection for each exchange.
    fresh: Service,
    proxy_credentials: Option<HeaderValue>,
    connection_max_age: Duration,
}

impl Client {
    pub(super) fn new(setup: Setup) -> Self {
        let by_http1 = AtomicBool::new(setup.http1_only);
        let (any, http1) = (OnceLock::new(), OnceLock::new());
        Self { setup, any, http1, by_http1, repeated: AtomicU64::new(0) }
    }

    /// Returns how many exchanges were repeated since the last call.
    pub(super) fn take_repeated(&self) -> u64 {
        // A swap costs more than a load, and is rarely needed.
        if self.repeated.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.repeated.swap(0, Ordering::Relaxed)
    }

    /// Sends `request` and returns the head of the answer. Repeats the exchange if only its connection failed.
    pub(super) async fn execute(
        &self,
        request: Request,
        deadline: tokio::time::Instant,
    ) -> Result<Response, Broken> {
        let again = request.clone();
        let started = Instant::now();
        let channels = self.channels();
        let first = channels.exchange(&channels.kept, request, started, deadline).await;
        self.learn(&first);
        if !matches!(first.again, Some(Again::Fresh | Again::Http1)) {
            return first.result;
        }
        self.repeated.fetch_add(1, Ordering::Relaxed);
        // An endpoint that serves one connection at a time waits until this one is closed.
        drop(first);
        let channels = self.channels();
        channels.exchange(&channels.fresh, again, Instant::now(), deadline).await.result
    }

    /// Chooses the HTTP version for the endpoint's next requests.
    fn learn(&self, exchange: &Exchange) {
        match exchange.again {
            Some(Again::Http1 | Again::LaterByHttp1) => {
                self.by_http1.store(true, Ordering::Relaxed)
            }
            // The endpoint may support HTTP/2 only. If it demanded HTTP/1.1, it will do so again.
            None if exchange.is_unconnected() => {
                self.by_http1.store(self.setup.http1_only, Ordering::Relaxed);
            }
            Some(Again::Fresh) | None => {}
        }
    }

    fn channels(&self) -> &Channels {
        if self.by_http1.load(Ordering::Relaxed) {
            self.http1.get_or_init(|| Channels::new(&self.setup, &ALPN_HTTP1))
        } else {
            self.any.get_or_init(|| Channels::new(&self.setup, &ALPN))
        }
    }
}

/// The result of one exchange.
struct Exchange {
    result: Result<Response, Broken>,
    again: Option<Again>,
}

impl Exchange {
    /// Returns whether the connection could not be made.
    fn is_unconnected(&self) -> bool {
        let Err(Broken { cause: Cause::Exchange(error), .. }) = &self.result else { return false };
        error.is_connect()
    }

    fn broken(cause: Cause, status: Option<StatusCode>, again: Option<Again>) -> Self {
        Self { result: Err(Broken { cause, status }), again }
    }
}

impl Channels {
    fn new(setup: &Setup, alpn: &[&[u8]]) -> Self {
        let mut tls = setup.tls.clone();
        // Its own sessions: the settings may be shared, and the memory for sessions is large.
        tls.resumption = Resumption::default();
        tls.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let proxied = setup.proxy.as_ref().and_then(Proxied::of);
        let proxy_credentials = proxied.as_ref().and_then(|proxy| proxy.credentials().cloned());
        let connector = Connector::new(setup.resolver.clone(), tls, proxied, setup.connect_timeout);
        let service = |kept_max| Decompression::new(library(kept_max).build(connector.clone()));
        Self {
            kept: service(setup.kept_max),
            fresh: service(0),
            proxy_credentials,
            connection_max_age: setup.connection_max_age,
        }
    }

    async fn exchange(
        &self,
        service: &Service,
        mut request: Request,
        started: Instant,
        deadline: tokio::time::Instant,
    ) -> Exchange {
        let is_plain = request.uri().scheme() == Some(&Scheme::HTTP);
        let headers = request.headers_mut();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // For an `https` endpoint, only the proxy gets them, when the tunnel is made.
        if let Some(credentials) = self.proxy_credentials.as_ref().filter(|_| is_plain) {
            headers.entry(PROXY_AUTHORIZATION).or_insert_with(|| credentials.clone());
        }
        let captured = capture_connection(&mut request);
        let mut service = service.clone();
        match timeout_at(deadline, service.call(request)).await {
            Ok(Ok(answer)) => {
                Exchange::answered(answer, &captured, started, self.connection_max_age)
            }
            Ok(Err(error)) => {
                let link = error.connect_info().and_then(link_of);
                let again = again::after_error(&error, link.as_deref(), started);
                let status = link.as_ref().and_then(|link| link.status());
                Exchange::broken(Cause::Exchange(error), status, again)
            }
            Err(_) => {
                let link = captured.connection_metadata().as_ref().and_then(link_of);
                let status = link.as_ref().and_then(|link| link.status());
                Exchange::broken(Cause::Late, status, None)
            }
        }
    }
}

impl Exchange {
    fn answered(
        answer: Response,
        captured: &CaptureConnection,
        started: Instant,
        connection_max_age: Duration,
    ) -> Self {
        let Some(link) = answer.extensions().get::<Arc<Link>>() else {
            return Self { result: Ok(answer), again: None };
        };
        let was_older = link.is_older_than(started);
        link.answered();
        let again = again::after_answer(&answer, link, was_older);
        // Another exchange on this connection would fail again, or the connection is old and its name may have moved.
        if (again.is_some() || link.age() > connection_max_age)
            && let Some(connected) = captured.connection_metadata().as_ref()
        {
            connected.poison();
        }
        Self { result: Ok(answer), again }
    }
}

fn link_of(connected: &legacy::connect::Connected) -> Option<Arc<Link>> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.remove()
}

/// The library's settings. It parses heads as leniently as it can, because most headers are never read.
fn library(kept_max: usize) -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(kept_max)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_max_headers(HEADERS_MAX)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_initial_stream_window_size(WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT);
    builder
}
