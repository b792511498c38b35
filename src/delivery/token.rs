//! OAuth 2 access tokens by client credentials (RFC 6749, section 4.4): fetched when needed, kept while valid.

use super::address::BlockedAddress;
use super::answer::{self, BODY_PATIENCE, NoAnswer};
use super::client::{Client, Request, Response};
use super::guard::Guard;
use super::retry_after::retry_after_ms;
use super::webhook::Secret;
use crate::domain::{ErrorReason, Outcome, RESPONSE_BYTES_KEPT, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;
use tokio::time::{Instant as Deadline, timeout};
use url::Url;
use url::form_urlencoded::{self, byte_serialize};

/// A token is renewed this long before it expires, because the answer and the next request take time.
const MARGIN: Duration = Duration::from_secs(10);
/// How long to keep a token without an expiry time. A 401 renews it anyway.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);
/// The least time between two renewals, for an endpoint that refuses every token.
const RENEWAL_PAUSE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// How long a failure to get a token is kept for attempts that waited for it, so that they do not ask again at once.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// The credentials that a client sends to a token server.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The token server's URL; `https`, or `http` where the account allows it.
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    /// The requested scope, if any.
    pub scope: Option<String>,
    /// The requested audience, if any.
    pub audience: Option<String>,
    /// How id and secret are sent.
    pub sent_in: SentIn,
}

/// How a client's id and secret are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentIn {
    /// As basic authentication, which every server must support.
    Header,
    /// In the request's body, which some servers require.
    Body,
}

/// The tokens of an endpoint.
pub(super) struct Tokens {
    credentials: ClientCredentials,
    guard: Guard,
    connect_timeout: Duration,
    /// Whether requests go through a proxy. A 407 is then the proxy's and not the token server's.
    has_proxy: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    token: Option<Token>,
    failed: Option<(Instant, Outcome)>,
    fetched: u64,
}

/// A token as a header value.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    number: u64,
    fetched_at: Instant,
    until: Instant,
}

/// RFC 6749, section 5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<Seconds>,
}

/// Some servers write the number as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Tokens {
    pub(super) fn new(
        credentials: ClientCredentials,
        guard: Guard,
        connect_timeout: Duration,
        has_proxy: bool,
    ) -> Self {
        Self { credentials, guard, connect_timeout, has_proxy, known: Mutex::default() }
    }

    /// Returns the forbidden address that prevents every request for a token, if there is one.
    pub(super) fn blocked(&self) -> Option<&BlockedAddress> {
        self.guard.blocked()
    }

    /// Returns a valid token. Callers that come while one is being fetched wait for it.
    pub(super) async fn get(&self, client: &Client, deadline: Deadline) -> Result<Token, NoAnswer> {
        let asked_at = Instant::now();
        let mut known = self.known.lock().await;
        match &known.token {
            Some(token) if token.until > Instant::now() => Ok(token.clone()),
            _ => self.fetch(client, deadline, &mut known, asked_at).await,
        }
    }

    /// Returns another token than `refused`, or `None` if that one is too new for a renewal.
    pub(super) async fn renew(
        &self,
        client: &Client,
        refused: &Token,
        deadline: Deadline,
    ) -> Result<Option<Token>, NoAnswer> {
        if refused.fetched_at.elapsed() < RENEWAL_PAUSE {
            return Ok(None);
        }
        let asked_at = Instant::now();
        let mut known = self.known.lock().await;
        match &known.token {
            Some(token) if token.number > refused.number => Ok(Some(token.clone())),
            _ => self.fetch(client, deadline, &mut known, asked_at).await.map(Some),
        }
    }

    async fn fetch(
        &self,
        client: &Client,
        deadline: Deadline,
        known: &mut Known,
        asked_at: Instant,
    ) -> Result<Token, NoAnswer> {
        // The failure is returned only to callers that waited for it, and only for a short time.
        if let Some((at, outcome)) = &known.failed
            && *at >= asked_at
            && at.elapsed() < FAILURE_KEPT
        {
            return Err(outcome.clone().into());
        }
        match self.ask(client, deadline).await {
            Ok((header, lifetime)) => {
                known.failed = None;
                known.fetched += 1;
                let margin = MARGIN.min(lifetime / 10);
                let fetched_at = Instant::now();
                let until = fetched_at + lifetime.saturating_sub(margin);
                let token = Token { header, number: known.fetched, fetched_at, until };
                known.token = Some(token.clone());
                Ok(token)
            }
            Err(NoAnswer::Failed(outcome)) => {
                known.failed = Some((Instant::now(), outcome.clone()));
                Err(outcome.into())
            }
            // The server was not asked.
            Err(short @ NoAnswer::Short(_)) => Err(short),
        }
    }

    async fn ask(
        &self,
        client: &Client,
        deadline: Deadline,
    ) -> Result<(HeaderValue, Duration), NoAnswer> {
        self.guard.check(self.connect_timeout).await?;
        let request = self.request().map_err(|error| answer::unaddressable(&error))?;
        let answered = client.execute(request, deadline).await;
        let response = answered.map_err(|broken| match answer::broken(&broken.cause) {
            NoAnswer::Failed(outcome) => {
                let text = outcome.error.as_deref().unwrap_or_default();
                let text = format!("the token server: {text}");
                Outcome { error: Some(text.into()), ..outcome }.into()
            }
            short @ NoAnswer::Short(_) => short,
        })?;
        let status = response.status();
        let asked_ms = retry_after_ms(status, response.headers(), SystemTime::now());
        let body = if status.is_success() {
            read(response).await
        } else {
            // A refusal without a readable body is still a refusal.
            timeout(BODY_PATIENCE, read(response)).await.unwrap_or_default()
        };
        if self.has_proxy && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let text = "the proxy answered 407 instead of the token server".to_owned();
            return Err(Outcome::unanswered(Verdict::Retry, ErrorReason::Unreachable, text).into());
        }
        if !status.is_success() {
            let refused = refused(status, &body);
            return Err(Outcome { retry_after_ms: asked_ms, ..refused }.into());
        }
        let answer: Option<Answer> = serde_json::from_slice(&body).ok();
        let bearer = answer.filter(|answer| answer.token_type.eq_ignore_ascii_case("bearer"));
        let token = bearer.and_then(|answer| {
            let mut header =
                HeaderValue::try_from(format!("Bearer {}", answer.access_token)).ok()?;
            header.set_sensitive(true);
            Some((header, answer.expires_in.map_or(LIFETIME_UNSAID, Seconds::duration)))
        });
        token.ok_or_else(|| {
            let text = "the token server's answer holds no bearer token".to_owned();
            Outcome::unanswered(Verdict::Retry, ErrorReason::AuthenticationFailure, text).into()
        })
    }

    fn request(&self) -> Result<Request, http::Error> {
        let ClientCredentials { token_url, client_id, client_secret, scope, audience, sent_in } =
            &self.credentials;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", scope), ("audience", audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        match sent_in {
            SentIn::Body => {
                form.append_pair("client_id", client_id);
                form.append_pair("client_secret", client_secret.reveal());
            }
            SentIn::Header => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(client_id), encoded(client_secret.reveal()));
                // Base64 is always a valid header value.
                if let Ok(mut value) =
                    HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                {
                    value.set_sensitive(true);
                    headers.insert(AUTHORIZATION, value);
                }
            }
        }
        let request = http::Request::post(token_url.as_str());
        let mut request = request.body(Full::from(form.finish()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl Seconds {
    fn duration(self) -> Duration {
        let seconds = match self {
            Self::Number(seconds) => Some(seconds),
            Self::Text(text) => text.parse().ok(),
        };
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map_or(LIFETIME_UNSAID, |time| time.min(Duration::from_secs(86_400)))
    }
}

/// Reads as much of the answer as a token server needs.
async fn read(response: Response) -> Vec<u8> {
    let mut answered = pin!(response.into_body());
    let mut body = Vec::new();
    while let Some(Ok(frame)) = answered.frame().await {
        let Ok(chunk) = frame.into_data() else { continue };
        if body.len() + chunk.len() > RESPONSE_BYTES_KEPT {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body
}

/// Names the server's reason only if RFC 6749 defines it, and quotes nothing else of the answer.
fn refused(status: StatusCode, body: &[u8]) -> Outcome {
    const CODES: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let code = refusal.and_then(|refusal| CODES.into_iter().find(|code| *code == refusal.error));
    let code = code.map(|code| format!(": {code}")).unwrap_or_default();
    let text = format!("the token server answered {}{code}", status.as_u16());
    let verdict = if answer::is_passing(status) { Verdict::Retry } else { Verdict::GiveUp };
    Outcome::unanswered(verdict, ErrorReason::AuthenticationFailure, text)
}
