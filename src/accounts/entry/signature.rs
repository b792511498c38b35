//! Entries of signatures in headers of their own.

use crate::document::SecretText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A signature in a header of its own.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignatureEntry {
    /// The name of the header, as in X-Signature-256.
    #[schemars(required, length(min = 1))]
    pub(in crate::accounts) header: Option<String>,
    /// The algorithm.
    #[schemars(required)]
    pub(in crate::accounts) scheme: Option<SchemeName>,
    /// How the signature is written. Default: hex.
    #[serde(default)]
    pub(in crate::accounts) encoding: EncodingName,
    /// Text before the signature, as in sha256=. It may contain {timestamp} and {id}.
    #[serde(default)]
    pub(in crate::accounts) prefix: String,
    /// The signed text, with {body}, {timestamp} and {id}: the body as it is sent, the Unix seconds in
    /// webhook-timestamp, and the webhook-id. Default: {body}.
    pub(in crate::accounts) content: Option<String>,
    /// The secret that sender and receiver share. Its bytes are the key.
    #[schemars(required)]
    pub(in crate::accounts) secret: Option<SecretText>,
}

/// The algorithm of a signature.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
pub(crate) enum SchemeName {
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
    /// HMAC with SHA-1, for receivers that support nothing else.
    #[serde(rename = "hmac-sha1")]
    HmacSha1,
}

/// How a signature is written.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EncodingName {
    /// Lower-case hexadecimal digits.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}
