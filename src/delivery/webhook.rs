//! A configured webhook, parsed once: everything that an attempt needs and no delivery changes.

use crate::domain::{AccountId, WebhookName};
use std::num::NonZeroU32;
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
    /// Beside the system's roots.
    pub tls: Tls,
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
}

/// Rate and concurrency of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `None`: no limit.
    pub rate_per_second: Option<NonZeroU32>,
    /// So many may leave at once after a pause.
    pub burst: Option<NonZeroU32>,
    /// So many requests may be unanswered.
    pub in_flight_max: NonZeroU32,
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

/// A key that signs, by the Standard Webhooks specification.
#[derive(Clone)]
pub enum SigningSecret {
    /// `whsec_…`: HMAC-SHA256, signature scheme `v1`.
    Symmetric(ring::hmac::Key),
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Why a text is no signing secret. It does not quote the text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// The prefix tells what kind it is.
    #[error("a signing secret starts with `whsec_`: make one with `ringback secret new`")]
    Prefix,
    /// The rest is base64.
    #[error("what follows `whsec_` is not base64: make one with `ringback secret new`")]
    Base64,
    /// By the specification.
    #[error(
        "a signing secret has 24 to 64 bytes, this one has {0}: make one with `ringback secret new`"
    )]
    Length(usize),
}

impl SigningSecret {
    /// Reads a secret of the Standard Webhooks specification.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        use base64::Engine as _;
        let encoded = text.strip_prefix("whsec_").ok_or(SecretError::Prefix)?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|_| SecretError::Base64)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        Ok(Self::Symmetric(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &bytes)))
    }
}
