//! A configured webhook, parsed once: everything that an attempt needs and that is the same for all deliveries.

use super::expiry::CertificateFile;
use super::header_signature::HeaderSignature;
use super::proxy::Proxy;
use super::rate::PerSecond;
use super::response::Response;
use super::secret::SigningSecret;
use super::token::ClientCredentials;
use crate::definition::facts::Kept;
use crate::definition::{BodySecrets, Request, RequestParts};
use crate::domain::{AccountId, Rendered, RetrySchedule, WebhookName};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A customer's configured HTTP target.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The webhook's unique name, which is also its endpoint's name.
    pub name: WebhookName,
    /// The account that owns the webhook.
    pub account: AccountId,
    /// The URL: `https`, or `http` where the account allows it. It never contains credentials.
    pub url: reqwest::Url,
    pub method: http::Method,
    /// How requests are authorised.
    pub auth: Auth,
    /// The live secrets. Each makes one signature.
    pub signing_secrets: Vec<SigningSecret>,
    /// Signatures in headers of their own.
    pub signatures: Vec<HeaderSignature>,
    /// The statuses that count as delivered.
    pub success: SuccessCodes,
    /// Statuses after which a delivery is retried, beside those that always are.
    pub retried: BTreeSet<u16>,
    /// Limits of rate and concurrency.
    pub limits: Limits,
    /// The limit from the first byte sent to the last byte read.
    pub request_timeout: Duration,
    /// The limit for name look-up, TCP connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// An older connection gets no further request, so that a moved name is noticed.
    pub connection_max_age: Duration,
    /// Certificates and keys beside the system's roots.
    pub tls: Tls,
    /// When the circuit breaker opens, and for how long.
    pub breaker: BreakerPolicy,
    /// The retry schedule. A 429 without a time holds the lane for the row's next interval.
    pub retry: RetrySchedule,
    /// The upper limit for a `Retry-After`.
    pub retry_after_max: Duration,
    /// Whether HTTP/2 is not offered.
    pub http1_only: bool,
    /// The proxy for its requests, if there is one.
    pub proxy: Option<Proxy>,
    /// What to read from its answers besides the status, if anything.
    pub response: Option<Arc<Response>>,
    /// URL, query and headers, if the definition has more than `url` or uses variables.
    pub request: Option<Arc<Request>>,
    /// Like `request`, without secrets, for people.
    pub shown: Option<Arc<Request>>,
    /// The secrets in `request` and in the body.
    pub secrets: Vec<Secret>,
    /// The secrets that replace the placeholders in stored bodies.
    pub body_secrets: Option<Arc<BodySecrets>>,
    /// A note for people.
    pub notes: Option<Box<str>>,
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
    /// Returns whether `other` means the same, so that the endpoint of one also serves for the other.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        // Each field is named, so that a new one can't be forgotten.
        let Self {
            name,
            account,
            url,
            method,
            success,
            retried,
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
            signatures: _,
            body_secrets: _,
            // Only people read it.
            notes: _,
        } = self;
        *written == other.written
            && *name == other.name
            && *account == other.account
            && *url == other.url
            && *method == other.method
            && *success == other.success
            && *retried == other.retried
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

    /// Returns URL and headers of a request with `rendered` without secrets, or `None` if it can't be rendered.
    #[must_use]
    pub fn shown_parts(&self, rendered: Option<&Rendered>) -> Option<RequestParts> {
        let values = rendered.map_or(&b"{}"[..], |rendered| &rendered.values);
        self.shown.as_ref()?.render(&Kept::read(values)).ok()
    }

    /// Returns the URL without its query, which may hold a customer's token.
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
    None,
    Basic {
        username: String,
        password: Secret,
    },
    /// A fixed token (RFC 6750).
    Bearer(Secret),
    /// Tokens from a token server.
    OAuth2(Box<ClientCredentials>),
}

/// Limits of an endpoint's rate and concurrency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Attempts per second; `None` means no limit.
    pub rate_per_second: Option<PerSecond>,
    /// How many attempts may start at once after a pause.
    pub burst: Option<NonZeroU32>,
    /// How many requests may be unanswered.
    pub in_flight_max: NonZeroU32,
}

impl Limits {
    /// Returns how many requests may be unanswered.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        usize::try_from(self.in_flight_max.get()).unwrap_or(usize::MAX)
    }
}

/// The settings of a circuit breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// The breaker opens when this ratio of attempts fails within `window`.
    pub failure_ratio: f64,
    /// The time over which attempts are counted.
    pub window: Duration,
    /// The breaker does not open with fewer attempts than this.
    pub attempts_min: u32,
    /// How long the breaker stays open before a probe.
    pub open: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        let (window, open) = (Duration::from_secs(30), Duration::from_secs(30));
        Self { failure_ratio: 0.5, window, attempts_min: 20, open }
    }
}

/// The statuses that count as delivered, as inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessCodes(pub Vec<(u16, u16)>);

impl SuccessCodes {
    /// Returns whether `status` counts as delivered.
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

/// A webhook's own certificates as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The client's certificate and key.
    pub client_pem: Option<(Vec<u8>, Secret)>,
    /// The files that have the certificates.
    pub certificates: Vec<CertificateFile>,
}

/// The least number of characters of a secret that is hidden where an answer repeats it. A shorter one occurs in any
/// text by chance, and stars in its place would damage mapped values.
pub const HIDDEN_CHARS_MIN: usize = 4;

/// Text that is never shown: not in logs, events, metrics or pages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text, so that `Debug` shows `***` instead.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for the one place that sends it.
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
