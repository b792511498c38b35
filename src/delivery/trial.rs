//! A test message: an attempt without a delivery, made by the same client as all deliveries, with the details that an
//! operator wants to see.

use super::address::AddressPolicy;
use super::endpoint::{Endpoint, EndpointError, Message};
use super::names::Names;
use super::resolver::Resolver;
use super::tls::Trust;
use super::webhook::{Auth, Webhook};
use crate::domain::{DeliveryId, Mapped, Outcome, Rendered};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Replaces a secret in shown text.
const HIDDEN: &str = "***";
/// A shorter part of a URL's query is not treated as a secret: it would occur in any text.
const QUERY_SECRET_BYTES_MIN: usize = 8;

/// The content of a test message.
pub struct TrialMessage {
    /// Makes the id random, so that no receiver mistakes the message for one that it has already seen.
    pub random: u128,
    pub body: Bytes,
    /// URL and headers, if they vary between deliveries.
    pub rendered: Option<Rendered>,
    /// The time of the signature.
    pub unix_seconds: i64,
}

impl TrialMessage {
    /// Returns the `webhook-id`. The ids of deliveries have another prefix.
    #[must_use]
    pub fn id(&self) -> String {
        format!("test_{:032x}", self.random)
    }
}

/// A finished attempt. It contains no secret.
#[derive(Debug)]
pub struct Trial {
    /// The request's headers, without those that HTTP adds.
    pub headers: Vec<(String, String)>,
    /// The head of the answer, if there was one.
    pub head: Option<Head>,
    pub outcome: Outcome,
    /// How long the name look-up took; `None` without a look-up, as for an address.
    pub look_up: Option<Duration>,
    /// From the start of the attempt to its end.
    pub whole: Duration,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// The time since the start of the attempt.
    pub after: Duration,
    /// The HTTP version, such as `HTTP/1.1`.
    pub version: String,
    /// The address of the server.
    pub address: Option<SocketAddr>,
    pub headers: Vec<(String, String)>,
}

impl Trial {
    /// Sends `message` to the endpoint of `webhook`.
    ///
    /// # Errors
    /// The webhook's certificates or credentials can't be used, or the host lacks a resource.
    pub async fn make(
        webhook: &Arc<Webhook>,
        trust: &Trust,
        addresses: &AddressPolicy,
        names: &Names,
        message: &TrialMessage,
    ) -> Result<Self, EndpointError> {
        let looked_up = Arc::new(OnceLock::new());
        let told = looked_up.clone();
        let shared = names.clone();
        let look_up = move |name| {
            let (told, names) = (told.clone(), shared.clone());
            async move {
                let started = Instant::now();
                let found = names.look_up(name).await;
                // A second look-up belongs to another connection.
                let _ = told.set(started.elapsed());
                found
            }
        };
        let resolver = Resolver::new(addresses.clone(), look_up);
        let endpoint = Endpoint::resolving(webhook.clone(), trust, resolver, names)?;
        let TrialMessage { random, body, rendered, unix_seconds } = message;
        let id = DeliveryId::from_bytes(random.to_be_bytes());
        let said = Message { body: body.clone(), rendered: rendered.as_ref() };
        let request =
            endpoint.request(id, message.id(), 1, said, *unix_seconds).map_err(|outcome| {
                EndpointError::Unrenderable(outcome.error.unwrap_or_default().into())
            })?;
        let mut hidden = Hidden::of(webhook);
        if let Some(header) = request.headers().get(AUTHORIZATION) {
            hidden.add_credentials(header);
        }
        let headers = hidden.headers(request.headers());
        let mut head = None;
        let started = Instant::now();
        let see_head = |response: &reqwest::Response| {
            let version = format!("{:?}", response.version());
            let head_of = (version, response.remote_addr(), response.headers().clone());
            head = Some((started.elapsed(), head_of));
        };
        let outcome = endpoint.exchange(request, see_head).await;
        let outcome =
            outcome.map_err(|shortage| EndpointError::Short(webhook.name.to_string(), shortage))?;
        let whole = started.elapsed();
        if let Some(token) = endpoint.fetched_token().await {
            hidden.add_token(&token);
        }
        let head = head.map(|(after, (version, address, headers))| Head {
            after,
            version,
            address,
            headers: hidden.headers(&headers),
        });
        let outcome = Outcome {
            response: hidden.bytes(&outcome.response),
            mapped: hidden.mapped(outcome.mapped),
            error: outcome.error.map(|error| hidden.text(&error).into()),
            ..outcome
        };
        Ok(Self { headers, head, outcome, look_up: looked_up.get().copied(), whole })
    }
}

/// The secrets that an answer may repeat: many test endpoints echo the whole request.
struct Hidden(Vec<String>);

impl Hidden {
    fn of(webhook: &Webhook) -> Self {
        let mut secrets = Vec::new();
        match &webhook.auth {
            Auth::None => {}
            Auth::Basic { username, password } => {
                secrets.push(STANDARD.encode(format!("{username}:{}", password.reveal())));
                secrets.push(password.reveal().to_owned());
            }
            Auth::Bearer(token) => secrets.push(token.reveal().to_owned()),
            Auth::OAuth2(credentials) => {
                secrets.push(credentials.client_secret.reveal().to_owned());
            }
        }
        secrets.extend(webhook.secrets.iter().map(|secret| secret.reveal().to_owned()));
        let query = webhook.url.query().unwrap_or_default();
        secrets.push(query.to_owned());
        let spelt = query.split(['&', '=']).map(str::to_owned);
        let meant = webhook.url.query_pairs().map(|(_, value)| value.into_owned());
        secrets.extend(spelt.chain(meant).filter(|part| part.len() >= QUERY_SECRET_BYTES_MIN));
        Self::sorted(secrets)
    }

    /// A secret may be part of another one, so the longest is hidden first.
    fn sorted(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The fetched token is a secret too.
    fn add_token(&mut self, header: &HeaderValue) {
        let token = String::from_utf8_lossy(header.as_bytes());
        let token = token.strip_prefix("Bearer ").unwrap_or(&token).to_owned();
        let mut secrets = std::mem::take(&mut self.0);
        secrets.push(token);
        *self = Self::sorted(secrets);
    }

    /// Credentials may have been rendered.
    fn add_credentials(&mut self, header: &HeaderValue) {
        let header = String::from_utf8_lossy(header.as_bytes());
        let Some(pair) = header.strip_prefix("Basic ") else { return };
        let decoded = STANDARD.decode(pair).ok().and_then(|it| String::from_utf8(it).ok());
        let password = decoded.and_then(|it| Some(it.split_once(':')?.1.to_owned()));
        let mut secrets = std::mem::take(&mut self.0);
        secrets.extend(password.into_iter().chain([pair.to_owned()]));
        *self = Self::sorted(secrets);
    }

    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    /// Returns `bytes` itself if it contains no secret.
    fn bytes(&self, bytes: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(bytes);
        if self.0.iter().any(|secret| text.contains(secret)) {
            Bytes::from(self.text(&text))
        } else {
            bytes.clone()
        }
    }

    fn mapped(&self, mapped: Vec<Mapped>) -> Vec<Mapped> {
        let hidden =
            |Mapped { save_in, value }: Mapped| Mapped { save_in, value: self.text(&value).into() };
        mapped.into_iter().map(hidden).collect()
    }

    /// A cookie in the answer is the endpoint's secret.
    fn headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let shown = headers.iter().map(|(name, value)| {
            let secret = value.is_sensitive() || *name == http::header::SET_COOKIE;
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = if secret { HIDDEN.to_owned() } else { self.text(&value) };
            (name.to_string(), value)
        });
        shown.collect()
    }
}
