//! One endpoint's live client: what all attempts share is built once.

use super::address::{AddressPolicy, BlockedAddress};
use super::resolver::{self, Resolver};
use super::signature::sign;
use super::tls::{TlsError, Trust};
use super::webhook::{Auth, Webhook};
use crate::domain::{DeliveryId, ErrorReason, Outcome, RESPONSE_BYTES_KEPT, Verdict};
use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::dns::Resolve;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const AGENT: &str = concat!("Ringback/", env!("CARGO_PKG_VERSION"));

/// Why an endpoint can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its certificates.
    #[error("webhook {0}")]
    Tls(String, #[source] TlsError),
    /// Its client.
    #[error("webhook {0}: the HTTP client can't be built")]
    Client(String, #[source] reqwest::Error),
    /// Its credentials.
    #[error("webhook {0}: the credentials can't be sent as a header")]
    Credentials(String),
}

/// A webhook and its connections.
pub struct Endpoint {
    webhook: Arc<Webhook>,
    client: reqwest::Client,
    /// What every request carries; credentials are marked as sensitive.
    headers: HeaderMap,
    /// The URL's own address, where it names one that is not allowed.
    blocked: Option<BlockedAddress>,
}

impl Endpoint {
    /// The client of `webhook`, which calls only what `addresses` allows.
    ///
    /// # Errors
    /// When its certificates or credentials can't be used.
    pub fn new(
        webhook: Arc<Webhook>,
        trust: &Trust,
        addresses: &AddressPolicy,
    ) -> Result<Self, EndpointError> {
        Self::resolving(webhook, trust, Resolver::new(addresses.clone(), resolver::look_up))
    }

    /// The client of `webhook`, whose names `resolver` looks up.
    pub(super) fn resolving<L>(
        webhook: Arc<Webhook>,
        trust: &Trust,
        resolver: Resolver<L>,
    ) -> Result<Self, EndpointError>
    where
        Resolver<L>: Resolve + 'static,
    {
        let name = || webhook.name.to_string();
        let literal = literal_address(&webhook.url);
        let blocked = literal.and_then(|address| resolver.policy().check(address).err());
        let tls = trust.config(&webhook).map_err(|error| EndpointError::Tls(name(), error))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would connect to addresses that nobody has checked.
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(webhook.connect_timeout)
            .pool_max_idle_per_host(
                usize::try_from(webhook.limits.in_flight_max.get()).unwrap_or(usize::MAX),
            )
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| EndpointError::Client(name(), error))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Auth::Basic { username, password } = &webhook.auth {
            let pair = format!("{username}:{}", password.reveal());
            let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            let mut value =
                HeaderValue::try_from(value).map_err(|_| EndpointError::Credentials(name()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { webhook, client, headers, blocked })
    }

    /// What the configuration says of it.
    #[must_use]
    pub fn webhook(&self) -> &Arc<Webhook> {
        &self.webhook
    }

    /// Why every attempt is given up before anything is sent, if so.
    #[must_use]
    pub fn blocked(&self) -> Option<&BlockedAddress> {
        self.blocked.as_ref()
    }

    /// The headers that every request carries, without secrets.
    pub fn public_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let public = self.headers.iter().filter(|(_, value)| !value.is_sensitive());
        public.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// Makes one attempt. Whatever happens is an outcome.
    pub async fn attempt(
        &self,
        id: DeliveryId,
        attempt: u32,
        body: Bytes,
        unix_seconds: i64,
    ) -> Outcome {
        // One trace per delivery, one span per attempt: the endpoint's own tracing shows retries side by side.
        let trace = u128::from_be_bytes(id.to_bytes());
        let request = self.request(id.to_string(), trace, attempt, body, unix_seconds);
        self.exchange(request, |_| {}).await
    }

    /// Sends `request`, and shows the head of its answer to `see_head`.
    pub(super) async fn exchange(
        &self,
        request: reqwest::Request,
        see_head: impl FnOnce(&reqwest::Response),
    ) -> Outcome {
        if let Some(blocked) = &self.blocked {
            return refused(blocked);
        }
        let started = Instant::now();
        let deadline = tokio::time::Instant::from_std(started + self.webhook.request_timeout);
        let outcome = match timeout_at(deadline, self.client.execute(request)).await {
            Err(_) => failure(
                ErrorReason::Timeout,
                Verdict::Retry,
                "no answer within request_timeout_ms".to_owned(),
            ),
            Ok(Err(error)) => from_error(&error),
            Ok(Ok(response)) => {
                see_head(&response);
                self.answered(response, deadline).await
            }
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Outcome { duration_ms, ..outcome }
    }

    /// The request of an attempt of the message `id`, whose attempts have one `trace`.
    pub(super) fn request(
        &self,
        id: String,
        trace: u128,
        attempt: u32,
        body: Bytes,
        unix_seconds: i64,
    ) -> reqwest::Request {
        let mut request =
            reqwest::Request::new(self.webhook.method.clone(), self.webhook.url.clone());
        let timestamp = unix_seconds.to_string();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let mut insert = |name: HeaderName, value: String| {
            // Ids, numbers and base64 are always valid header values.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        if !self.webhook.signing_secrets.is_empty() {
            insert(WEBHOOK_SIGNATURE, sign(&self.webhook.signing_secrets, &id, &timestamp, &body));
        }
        insert(TRACEPARENT, format!("00-{trace:032x}-{:016x}-01", u64::from(attempt)));
        insert(WEBHOOK_ID, id);
        insert(WEBHOOK_TIMESTAMP, timestamp);
        *request.body_mut() = Some(body.into());
        request
    }

    /// Once the status is there, the status decides, however the body goes on.
    async fn answered(
        &self,
        mut response: reqwest::Response,
        deadline: tokio::time::Instant,
    ) -> Outcome {
        let status = response.status();
        let mut kept = BytesMut::new();
        let truncated = loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(None)) => break false,
                Ok(Ok(Some(chunk))) => {
                    let room = RESPONSE_BYTES_KEPT - kept.len();
                    kept.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                    if chunk.len() > room {
                        break true;
                    }
                }
                Ok(Err(_)) | Err(_) => break true,
            }
        };
        let (verdict, reason) = self.judge(status);
        Outcome {
            verdict,
            status: Some(status.as_u16()),
            duration_ms: 0,
            response: kept.freeze(),
            response_truncated: truncated,
            retry_after_ms: None,
            reason,
            error: None,
        }
    }

    fn judge(&self, status: StatusCode) -> (Verdict, Option<ErrorReason>) {
        if self.webhook.success.contains(status.as_u16()) {
            return (Verdict::Delivered, None);
        }
        let reason = if status == StatusCode::UNAUTHORIZED {
            ErrorReason::AuthenticationFailure
        } else {
            ErrorReason::Refused
        };
        let passing =
            [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        let retry = passing.contains(&status) || status.as_u16() >= 500;
        (if retry { Verdict::Retry } else { Verdict::GiveUp }, Some(reason))
    }
}

/// The address in `url`: the client connects to it without asking the resolver. However it was spelt (decimal, octal,
/// shortened), a parsed URL has it in the usual form.
fn literal_address(url: &reqwest::Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn refused(blocked: &BlockedAddress) -> Outcome {
    failure(ErrorReason::BlockedAddress, Verdict::GiveUp, blocked.to_string())
}

fn from_error(error: &reqwest::Error) -> Outcome {
    if let Some(blocked) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return refused(blocked);
    }
    let text = chain(error);
    if error.is_builder() {
        failure(ErrorReason::InvalidRequest, Verdict::GiveUp, text)
    } else if error.is_timeout() {
        failure(ErrorReason::Timeout, Verdict::Retry, text)
    } else if error.is_connect() || !is_parse(error) {
        failure(ErrorReason::Unreachable, Verdict::Retry, text)
    } else {
        failure(ErrorReason::InvalidResponse, Verdict::Retry, text)
    }
}

/// The endpoint answered with something that is no HTTP.
fn is_parse(error: &reqwest::Error) -> bool {
    let mut causes = causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    causes.any(hyper::Error::is_parse)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// What the error and its causes say; without the URL, which may hold a customer's secret.
fn chain(error: &reqwest::Error) -> String {
    let text = if error.is_connect() { "no connection" } else { "the request failed" };
    causes(error).fold(text.to_owned(), |text, cause| format!("{text}: {cause}"))
}

fn failure(reason: ErrorReason, verdict: Verdict, error: String) -> Outcome {
    Outcome {
        verdict,
        status: None,
        duration_ms: 0,
        response: Bytes::new(),
        response_truncated: false,
        retry_after_ms: None,
        reason: Some(reason),
        error: Some(error.into()),
    }
}
