//! A configured webhook, parsed once: everything that an attempt needs and no delivery changes.

use super::proxy::Proxy;
use super::rate::PerSecond;
use super::response::Response;
use super::secret::SigningSecret;
use super::token::ClientCredentials;
use crate::codec::definition::{Request, RequestParts};
use crate::codec::facts::Kept;
use crate::domain::{AccountId, Rendered, RetrySchedule, WebhookName};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A customer's configured HTTP target.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The unique name, which is the endpoint's too.
    pub name: WebhookName,
    /// Whose it is.
    pub account: AccountId,
    /// Where it goes; `https`, or `http` where the account allows it. Never with credentials.
    pub url: reqwest::Url,
    /// How it goes.
    pub method: http::Method,
    /// How it is authorised.
    pub auth: Auth,
    /// The live secrets; each signs.
    pub signing_secrets: Vec<SigningSecret>,
    /// The statuses that mean delivered.
    pub success: SuccessCodes,
    /// Rate and concurrency.
    pub limits: Limits,
    /// From the first byte sent to the last byte read.
    pub request_timeout: Duration,
    /// For name look-up, connect and TLS.
    pub connect_timeout: Duration,
    /// An older connection takes no further request, so that a name that has moved is noticed.
    pub connection_max_age: Duration,
    /// Beside the system's roots.
    pub tls: Tls,
    /// When it is left alone for a while.
    pub breaker: BreakerRules,
    /// When a failed attempt is made again; a 429 that names no time holds the lane for as long.
    pub retry: RetrySchedule,
    /// Its `Retry-After` counts up to this.
    pub retry_after_max: Duration,
    /// HTTP/2 is not offered.
    pub http1_only: bool,
    /// Through whom it is called, if not directly.
    pub proxy: Option<Proxy>,
    /// What is read of its answers; without it the status says all.
    pub response: Option<Arc<Response>>,
    /// URL, query and headers, where more than `url` is sent or variables stand in it.
    pub request: Option<Arc<Request>>,
    /// The same without secrets, for people.
    pub shown: Option<Arc<Request>>,
    /// The secrets in it.
    pub secrets: Vec<Secret>,
    /// Changes with what was written, and with the contents of the files and variables that it refers to.
    pub written: Fingerprint,
}

/// A number that differs where two definitions of a webhook were written otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// `digest`: of everything that was written.
    #[must_use]
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The digest of a short secret would give it away.
        f.write_str("***")
    }
}

impl Webhook {
    /// Whether `other` means the same, so that an endpoint of one serves for the other too.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        // Each field is named, so that a new one can't be forgotten.
        let Self {
            name,
            account,
            url,
            method,
            success,
            limits,
            request_timeout,
            connect_timeout,
            connection_max_age,
            breaker,
            retry,
            retry_after_max,
            http1_only,
            proxy,
            written,
            // They are made of what was written alone.
            auth: _,
            signing_secrets: _,
            tls: _,
            response: _,
            request: _,
            shown: _,
            secrets: _,
        } = self;
        *written == other.written
            && *name == other.name
            && *account == other.account
            && *url == other.url
            && *method == other.method
            && *success == other.success
            && *limits == other.limits
            && *request_timeout == other.request_timeout
            && *connect_timeout == other.connect_timeout
            && *connection_max_age == other.connection_max_age
            && *breaker == other.breaker
            && *retry == other.retry
            && *retry_after_max == other.retry_after_max
            && *http1_only == other.http1_only
            && *proxy == other.proxy
    }

    /// What a request that carries `rendered` shows of its URL and of the definition's headers; nothing when it can't be made.
    #[must_use]
    pub fn shown_parts(&self, rendered: Option<&Rendered>) -> Option<RequestParts> {
        let values = rendered.map_or(&b"{}"[..], |rendered| &rendered.values);
        self.shown.as_ref()?.render(&Kept::read(values)).ok()
    }

    /// The URL for people: a query may hold a customer's token, and does not show.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        if url.query().is_some() {
            url.set_query(Some("***"));
        }
        url.into()
    }
}

/// How requests are authorised.
#[derive(Clone, Debug)]
pub enum Auth {
    /// They are not.
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that does not change (RFC 6750).
    Bearer(Secret),
    /// Tokens of a token server.
    OAuth2(Box<ClientCredentials>),
}

/// Rate and concurrency of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// `None`: no limit.
    pub rate_per_second: Option<PerSecond>,
    /// So many may leave at once after a pause.
    pub burst: Option<NonZeroU32>,
    /// So many requests may be unanswered.
    pub in_flight_max: NonZeroU32,
}

impl Limits {
    /// So many requests may be unanswered.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        usize::try_from(self.in_flight_max.get()).unwrap_or(usize::MAX)
    }
}

/// When an endpoint is left alone for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerRules {
    /// The breaker opens when this part of the attempts fails,
    pub failure_ratio: f64,
    /// over this time,
    pub window: Duration,
    /// and not with fewer attempts than these.
    pub attempts_min: u32,
    /// So long it stays open before a probe.
    pub open: Duration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        let (window, open) = (Duration::from_secs(30), Duration::from_secs(30));
        Self { failure_ratio: 0.5, window, attempts_min: 20, open }
    }
}

/// The statuses that mean delivered, as inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessCodes(pub Vec<(u16, u16)>);

impl SuccessCodes {
    /// Whether `status` means delivered.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl Default for SuccessCodes {
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

/// Own certificates of a webhook, as PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Certificate and key to show.
    pub client_pem: Option<(Vec<u8>, Secret)>,
}

/// Text that never shows: not in logs, events, metrics or pages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
