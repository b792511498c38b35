//! Access tokens by OAuth 2's client credentials (RFC 6749, section 4.4): fetched when they are needed, kept while they hold.

use super::address::BlockedAddress;
use super::answer::{self, BODY_PATIENCE, NoAnswer};
use super::client::Client;
use super::guard::Guard;
use super::retry_after::retry_after_ms;
use super::webhook::Secret;
use crate::domain::{ErrorReason, Outcome, RESPONSE_BYTES_KEPT, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use reqwest::{Request, Response, Url};
use serde::Deserialize;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;
use tokio::time::{Instant as Deadline, timeout};
use url::form_urlencoded::{self, byte_serialize};

/// A token is renewed so long before it ends, since the answer and the next request take their time.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a token counts whose answer does not say it; a 401 renews it all the same.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);
/// An endpoint that refuses whatever token it is shown is not asked twice each time, nor the token server once.
const RENEWAL_PAUSE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// Whoever waited for a token that could not be had is told so, instead of asking again at once.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// What a client shows to a token server.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Where tokens are fetched; `https`, or `http` where the account allows it.
    pub token_url: Url,
    /// The client's name.
    pub client_id: String,
    /// The client's password.
    pub client_secret: Secret,
    /// What the token is to allow, if that is asked for.
    pub scope: Option<String>,
    /// For whom it is to count, where the server wants to know.
    pub audience: Option<String>,
    /// How name and password are sent.
    pub sent_in: SentIn,
}

/// How a client's name and password are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentIn {
    /// As basic authentication, which every server must understand.
    Header,
    /// In the request's body, which some servers want.
    Body,
}

/// The tokens of an endpoint.
pub(super) struct Tokens {
    credentials: ClientCredentials,
    guard: Guard,
    connect_timeout: Duration,
    /// What says 407 is not the token server.
    has_proxy: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    token: Option<Token>,
    failed: Option<(Instant, Outcome)>,
    fetched: u64,
}

/// A token, as the header that carries it.
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

/// Some servers spell the number as a string.
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

    /// Why no token is ever asked for, if so.
    pub(super) fn blocked(&self) -> Option<&BlockedAddress> {
        self.guard.blocked()
    }

    /// A token that holds. Who comes while one is being fetched waits for that one.
    pub(super) async fn get(&self, client: &Client, deadline: Deadline) -> Result<Token, NoAnswer> {
        let asked_at = Instant::now();
        let mut known = self.known.lock().await;
        match &known.token {
            Some(token) if token.until > Instant::now() => Ok(token.clone()),
            _ => self.fetch(client, deadline, &mut known, asked_at).await,
        }
    }

    /// Another token than `refused`; `None` when that one is not old enough for another to fare better.
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

    /// The token that is known, for whoever has to hide it.
    pub(super) async fn shown(&self) -> Option<HeaderValue> {
        self.known.lock().await.token.as_ref().map(|token| token.header.clone())
    }

    async fn fetch(
        &self,
        client: &Client,
        deadline: Deadline,
        known: &mut Known,
        asked_at: Instant,
    ) -> Result<Token, NoAnswer> {
        // Nobody who asks after the failure is told of it, nor for long.
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
        let answered = client.execute(self.request(), deadline).await;
        let mut response = answered.map_err(|broken| match answer::broken(&broken.cause) {
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
            read(&mut response).await
        } else {
            // Without the server's word for it a refusal is one, too.
            timeout(BODY_PATIENCE, read(&mut response)).await.unwrap_or_default()
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

    fn request(&self) -> Request {
        let ClientCredentials { token_url, client_id, client_secret, scope, audience, sent_in } =
            &self.credentials;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", scope), ("audience", audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let mut request = Request::new(Method::POST, token_url.clone());
        let headers = request.headers_mut();
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
        *request.body_mut() = Some(form.finish().into());
        request
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

/// As much of the answer as a token server has to say.
async fn read(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > RESPONSE_BYTES_KEPT {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body
}

/// The server's own word for why is told when it is one of those that RFC 6749 knows, and nothing else of what it says.
fn refused(status: StatusCode, body: &[u8]) -> Outcome {
    const CODES: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let told = serde_json::from_slice::<Refusal>(body).ok();
    let code = told.and_then(|told| CODES.into_iter().find(|code| *code == told.error));
    let code = code.map(|code| format!(": {code}")).unwrap_or_default();
    let text = format!("the token server answered {}{code}", status.as_u16());
    let verdict = if answer::is_passing(status) { Verdict::Retry } else { Verdict::GiveUp };
    Outcome::unanswered(verdict, ErrorReason::AuthenticationFailure, text)
}
