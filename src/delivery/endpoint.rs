//! The live client of one endpoint. It builds once what all attempts share.

use super::address::{AddressPolicy, BlockedAddress};
use super::answer::{self, NoAnswer};
use super::client::{Client, Request, Response, Setup};
use super::guard::Guard;
use super::header_signature::Signed;
use super::hidden::Hidden;
use super::names::Names;
use super::resolver::Resolver;
use super::route::Destinations;
use super::shortage::Shortage;
use super::signature::sign;
use super::tls::{TlsError, Trust};
use super::token::Tokens;
use super::webhook::{Auth, Webhook};
use crate::codec::trace_context;
use crate::definition::facts::Kept;
use crate::definition::{BodySecrets, RequestParts};
use crate::domain::{DeliveryId, Outcome, Rendered, TraceContext};
use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use reqwest::dns::Resolve;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::{Instant as Deadline, timeout_at};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static(trace_context::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(trace_context::TRACESTATE);
/// Requests with these methods declare their content, even if it is empty.
const EXPECT_CONTENT: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];
const AGENT: &str = concat!("Ringback/", env!("CARGO_PKG_VERSION"));

/// Why an endpoint can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its certificates or keys are wrong.
    #[error("webhook {0}")]
    Tls(String, #[source] TlsError),
    /// Its request can't be rendered.
    #[error("{0}")]
    Unrenderable(String),
    /// Its credentials can't be used.
    #[error("webhook {0}: the credentials can't be sent as a header")]
    Credentials(String),
    /// This host lacks a resource, and nothing was sent.
    #[error("webhook {0}: nothing was sent: {1}")]
    Short(String, Shortage),
}

/// The variable content of a request.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub body: Bytes,
    /// URL and headers, if they vary between deliveries.
    pub rendered: Option<&'a Rendered>,
    /// The trace that the endpoint gets. `None`: the delivery's own, as if it were recorded.
    pub trace: Option<&'a TraceContext>,
}

/// A webhook and its connections.
pub struct Endpoint {
    webhook: Arc<Webhook>,
    client: Client,
    /// The headers of every request. Credentials are marked as sensitive.
    headers: HeaderMap,
    /// The address of every request. `None`: each delivery has its own, or HTTP has no form for the URL.
    uri: Option<Uri>,
    guard: Guard,
    /// The URL, or the template that makes it.
    destinations: Destinations,
    /// Fetches the token that authorises the requests, if the webhook uses one.
    tokens: Option<Tokens>,
    /// The secrets that requests contain. An answer that repeats them is kept without them.
    hidden: Hidden,
    /// The policy that it was built with.
    policy: AddressPolicy,
    /// The number of connections that it keeps without a request at most.
    kept_max: usize,
}

impl Endpoint {
    /// Creates the client of `webhook`, which calls only what `addresses` allows.
    ///
    /// # Errors
    /// The webhook's certificates or credentials can't be used.
    pub fn new(
        webhook: Arc<Webhook>,
        trust: &Trust,
        addresses: &AddressPolicy,
    ) -> Result<Self, EndpointError> {
        Self::keeping(webhook, trust, addresses, &Names::default(), usize::MAX)
    }

    /// Like `new`, but resolves names with `names` and keeps at most `kept_max` idle connections (0: none).
    ///
    /// # Errors
    /// The webhook's certificates or credentials can't be used.
    pub fn keeping(
        webhook: Arc<Webhook>,
        trust: &Trust,
        addresses: &AddressPolicy,
        names: &Names,
        kept_max: usize,
    ) -> Result<Self, EndpointError> {
        let shared = names.clone();
        let look_up = move |name| {
            let names = shared.clone();
            async move { names.look_up(name).await }
        };
        let resolver = Resolver::new(addresses.clone(), look_up);
        Self::build(webhook, trust, resolver, names, kept_max)
    }

    /// Creates the client of `webhook`. `resolver` resolves endpoint names, `names` the name of a proxy.
    pub(super) fn resolving<L>(
        webhook: Arc<Webhook>,
        trust: &Trust,
        resolver: Resolver<L>,
        names: &Names,
    ) -> Result<Self, EndpointError>
    where
        Resolver<L>: Resolve + 'static,
    {
        Self::build(webhook, trust, resolver, names, usize::MAX)
    }

    fn build<L>(
        webhook: Arc<Webhook>,
        trust: &Trust,
        resolver: Resolver<L>,
        unchecked: &Names,
        kept_max: usize,
    ) -> Result<Self, EndpointError>
    where
        Resolver<L>: Resolve + 'static,
    {
        let name = || webhook.name.to_string();
        let kept_max = webhook.limits.in_flight_max().min(kept_max);
        let policy = resolver.policy().clone();
        let tls = trust.config(&webhook).map_err(|error| EndpointError::Tls(name(), error))?;
        let token_url = match &webhook.auth {
            Auth::OAuth2(credentials) => Some(&credentials.token_url),
            Auth::None | Auth::Basic { .. } | Auth::Bearer(_) => None,
        };
        let (names, destinations, behind_proxy) = match &webhook.proxy {
            None => {
                let resolver: Arc<dyn Resolve> = Arc::new(resolver);
                let urls = [Some(&webhook.url), token_url].into_iter().flatten();
                (resolver.clone(), Destinations::new(urls, resolver), None)
            }
            // All connections go to the proxy, which the operator chose: the policy does not apply to its address.
            Some(proxy) => {
                let resolver: Arc<dyn Resolve> = Arc::new(resolver.strict());
                let unchecked: Arc<dyn Resolve> = Arc::new(unchecked.clone());
                let destinations = Destinations::new(&proxy.url(), unchecked.clone());
                (unchecked, destinations, Some(resolver))
            }
        };
        let client = Client::new(Setup {
            resolver: names,
            tls,
            connect_timeout: webhook.connect_timeout,
            connection_max_age: webhook.connection_max_age,
            proxy: webhook.proxy.clone(),
            kept_max,
            http1_only: webhook.http1_only,
        });
        let headers = shared_headers(&webhook)?;
        let guard = |url| Guard::of(url, &policy, behind_proxy.as_ref());
        let tokens = match &webhook.auth {
            Auth::OAuth2(credentials) => Some(Tokens::new(
                (**credentials).clone(),
                guard(&credentials.token_url),
                webhook.connect_timeout,
                webhook.proxy.is_some(),
            )),
            Auth::None | Auth::Basic { .. } | Auth::Bearer(_) => None,
        };
        let guard = guard(&webhook.url);
        let hidden = Hidden::sent_by(&webhook);
        let is_fixed = webhook.request.is_none();
        let uri = is_fixed.then(|| Uri::try_from(webhook.url.as_str()).ok()).flatten();
        Ok(Self {
            webhook,
            client,
            headers,
            uri,
            guard,
            destinations,
            tokens,
            hidden,
            policy,
            kept_max,
        })
    }

    /// Returns whether this endpoint can serve `webhook` like a new one, built with the same trust and name look-ups.
    /// Then its connections and its token can be kept. `kept_max`: as in [`keeping`](Self::keeping).
    #[must_use]
    pub fn serves(&self, webhook: &Webhook, addresses: &AddressPolicy, kept_max: usize) -> bool {
        // An endpoint may keep fewer connections than allowed, but not none.
        let keeps_enough = self.kept_max == kept_max || (1..kept_max).contains(&self.kept_max);
        keeps_enough && self.policy == *addresses && self.webhook.is_same(webhook)
    }

    /// Returns whether this endpoint makes the same requests as `other`, whatever number of idle connections they keep.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.policy == other.policy && self.webhook.is_same(&other.webhook)
    }

    /// Returns the webhook's configuration.
    #[must_use]
    pub fn webhook(&self) -> &Arc<Webhook> {
        &self.webhook
    }

    /// Returns the forbidden address that makes every attempt fail before anything is sent, if there is one.
    #[must_use]
    pub fn blocked(&self) -> Option<&BlockedAddress> {
        self.guard.blocked().or_else(|| self.tokens.as_ref().and_then(Tokens::blocked))
    }

    /// Returns the headers that every request carries, without secrets.
    pub fn public_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let public = self.headers.iter().filter(|(_, value)| !value.is_sensitive());
        public.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// Makes one attempt. Success and failure are both outcomes.
    ///
    /// # Errors
    /// This host lacks a resource that the attempt needs: no attempt was made.
    pub async fn attempt(
        &self,
        id: DeliveryId,
        attempt: u32,
        message: Message<'_>,
        unix_seconds: i64,
    ) -> Result<Outcome, Shortage> {
        match self.request(id, id.to_string(), attempt, message, unix_seconds) {
            Ok(request) => self.exchange(request, |_| {}, &mut Vec::new()).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// Returns how many requests were repeated within their attempts since the last call.
    pub(super) fn take_repeated(&self) -> u64 {
        self.client.take_repeated()
    }

    /// Returns URL and headers of a request that carries `rendered`.
    ///
    /// # Errors
    /// A variable has no value, or the values make no valid URL; the message is for people.
    pub fn parts(&self, rendered: Option<&Rendered>) -> Result<RequestParts, String> {
        match &self.webhook.request {
            None => Ok(RequestParts { url: self.webhook.url.clone(), headers: Vec::new() }),
            Some(request) => {
                let values = rendered.map_or(&b"{}"[..], |rendered| &rendered.values);
                request.render(&Kept::read(values))
            }
        }
    }

    /// Sends `request`, and passes the head of its answer to `see_head`. Appends the values of `authorization` that
    /// were sent to `own`, except one that all requests have.
    pub(super) async fn exchange(
        &self,
        request: Request,
        see_head: impl FnOnce(&Response),
        own: &mut Vec<HeaderValue>,
    ) -> Result<Outcome, Shortage> {
        let started = Instant::now();
        let outcome = match self.answer(request, see_head, started, own).await {
            Ok(outcome) | Err(NoAnswer::Failed(outcome)) => outcome,
            Err(NoAnswer::Short(Shortage::Ports)) if !self.destinations.are_reachable().await => {
                answer::without_route()
            }
            Err(NoAnswer::Short(shortage)) => return Err(shortage),
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Outcome { duration_ms, ..self.hidden.and(own).outcome(outcome) })
    }

    async fn answer(
        &self,
        request: Request,
        see_head: impl FnOnce(&Response),
        started: Instant,
        own: &mut Vec<HeaderValue>,
    ) -> Result<Outcome, NoAnswer> {
        self.guard.check(self.webhook.connect_timeout).await?;
        let deadline = Deadline::from_std(started + self.webhook.request_timeout);
        let sent = timeout_at(deadline, self.send(request, deadline, own)).await;
        let response = sent.map_err(|_| answer::timed_out())??;
        see_head(&response);
        Ok(answer::read(&self.webhook, response, deadline).await)
    }

    /// Sends `request` and returns the head of its answer. Renews a refused token once.
    async fn send(
        &self,
        mut request: Request,
        deadline: Deadline,
        own: &mut Vec<HeaderValue>,
    ) -> Result<Response, NoAnswer> {
        let Some(tokens) = &self.tokens else { return self.execute(request, deadline, own).await };
        let mut again = request.clone();
        let token = tokens.get(&self.client, deadline).await?;
        request.headers_mut().insert(AUTHORIZATION, token.header.clone());
        let response = self.execute(request, deadline, own).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let renewed = tokens.renew(&self.client, &token, deadline).await?;
        let Some(token) = renewed else { return Ok(response) };
        // An endpoint that serves one connection at a time would wait until this answer is read.
        drop(response);
        again.headers_mut().insert(AUTHORIZATION, token.header);
        self.execute(again, deadline, own).await
    }

    async fn execute(
        &self,
        request: Request,
        deadline: Deadline,
        own: &mut Vec<HeaderValue>,
    ) -> Result<Response, NoAnswer> {
        let shared = self.headers.get(AUTHORIZATION);
        let sent = request.headers().get(AUTHORIZATION).filter(|sent| shared != Some(*sent));
        own.extend(sent.cloned());
        let answered = self.client.execute(request, deadline).await;
        answered.map_err(|broken| match broken.status {
            Some(status) => answer::headless(&self.webhook, status, &broken.cause).into(),
            None => answer::broken(&broken.cause),
        })
    }

    /// Builds the request of an attempt. `id_text` is the message's `webhook-id`.
    pub(super) fn request(
        &self,
        id: DeliveryId,
        id_text: String,
        attempt: u32,
        message: Message<'_>,
        unix_seconds: i64,
    ) -> Result<Request, Outcome> {
        let Message { body, rendered, trace } = message;
        let (uri, own_headers) = self.place(rendered)?;
        // A body may have been rendered when the webhook had secrets that it no longer has.
        let filled = match &self.webhook.body_secrets {
            Some(secrets) => secrets.filled(&body),
            None => BodySecrets::default().filled(&body),
        };
        let body = filled.map_err(|text| answer::unrenderable(&text))?;
        let timestamp = unix_seconds.to_string();
        let mut headers = self.headers.clone();
        // What is not rendered is a predefined body, which the endpoint's own headers are about.
        let content_type = rendered.map(|rendered| rendered.content_type.as_deref());
        match content_type {
            None => {}
            Some(Some(content_type)) => {
                if let Ok(content_type) = HeaderValue::from_str(content_type) {
                    headers.insert(CONTENT_TYPE, content_type);
                }
            }
            Some(None) => drop(headers.remove(CONTENT_TYPE)),
        }
        let mut own = BTreeSet::new();
        for (name, value) in own_headers {
            // A header of the definition replaces ours, and the definition may repeat a name.
            if own.insert(name.as_str().to_owned()) {
                headers.insert(name, value);
            } else {
                headers.append(name, value);
            }
        }
        self.sign(&mut headers, &Signed { id: &id_text, timestamp: &timestamp, body: &body });
        // Ids and numbers are always valid header values.
        let own_trace = || TraceContext::of_attempt(None, id, attempt, unix_seconds, true);
        let trace = trace.map_or_else(|| Cow::Owned(own_trace()), Cow::Borrowed);
        if let Some(state) = trace.state() {
            let state = HeaderValue::try_from(&**state);
            headers.extend(state.ok().map(|state| (TRACESTATE, state)));
        }
        let own = [
            (TRACEPARENT, trace.to_string()),
            (WEBHOOK_ID, id_text),
            (WEBHOOK_TIMESTAMP, timestamp),
        ];
        for (name, value) in own {
            headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        }
        let body = if content_type == Some(None) { Bytes::new() } else { body };
        // The library does not send it by itself, and many servers refuse a request without it (411).
        if body.is_empty() && EXPECT_CONTENT.contains(&self.webhook.method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.webhook.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Returns the address of a request that carries `rendered`, and the headers of the definition.
    fn place(
        &self,
        rendered: Option<&Rendered>,
    ) -> Result<(Uri, Vec<(HeaderName, HeaderValue)>), Outcome> {
        if let Some(uri) = &self.uri {
            return Ok((uri.clone(), Vec::new()));
        }
        let parts = self.parts(rendered).map_err(|text| answer::unrenderable(&text))?;
        let uri = Uri::try_from(parts.url.as_str());
        let uri = uri.map_err(|error| answer::unaddressable(&error.into()))?;
        Ok((uri, parts.headers))
    }

    /// Adds the signatures of both kinds.
    fn sign(&self, headers: &mut HeaderMap, signed: &Signed<'_>) {
        if !self.webhook.signing_secrets.is_empty() {
            let Signed { id, timestamp, body } = signed;
            let value = sign(&self.webhook.signing_secrets, id, timestamp, body);
            // Base64 is always a valid header value.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(WEBHOOK_SIGNATURE, value);
            }
        }
        for signature in &self.webhook.signatures {
            // While a secret is replaced, two signatures may share a header.
            if let Some(value) = signature.sign(signed) {
                headers.append(signature.header().clone(), value);
            }
        }
    }
}

/// Returns the headers of every request of `webhook`. Credentials are marked as sensitive.
fn shared_headers(webhook: &Webhook) -> Result<HeaderMap, EndpointError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let authorization = match &webhook.auth {
        Auth::None | Auth::OAuth2(_) => None,
        Auth::Basic { username, password } => {
            let pair = format!("{username}:{}", password.reveal());
            Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
        Auth::Bearer(token) => Some(format!("Bearer {}", token.reveal())),
    };
    if let Some(value) = authorization {
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| EndpointError::Credentials(webhook.name.to_string()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}
