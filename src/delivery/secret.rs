//! Signing keys in the format of the Standard Webhooks specification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use std::sync::Arc;

const SYMMETRIC: &str = "whsec_";
const PRIVATE: &str = "whsk_";
const PUBLIC: &str = "whpk_";
const SEED_BYTES: usize = 32;
const PUBLIC_BYTES: usize = 32;

/// A key that signs requests, in one of two signature schemes.
#[derive(Clone)]
pub enum SigningSecret {
    /// `whsec_…`: HMAC-SHA256, signature scheme `v1`. Sender and receiver share the key.
    Symmetric(hmac::Key),
    /// `whsk_…`: Ed25519, signature scheme `v1a`. The receiver has only the public key.
    Asymmetric(Arc<Ed25519KeyPair>),
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Why a text is not a signing secret. The message does not quote the text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// It has neither prefix.
    #[error(
        "a signing secret starts with `whsec_` or `whsk_`: make one with `ringback secret new`"
    )]
    Prefix,
    /// It is the public key, which is for the endpoint's owner.
    #[error("`whpk_` is a public key, which cannot sign: name the `whsk_` key that belongs to it")]
    Public,
    /// The part behind the prefix is not base64.
    #[error("the text after `{0}` is not base64: make a secret with `ringback secret new`")]
    Base64(&'static str),
    /// A `whsec_` secret has a length that the specification does not allow.
    #[error(
        "a signing secret has 24 to 64 bytes, this one has {0}: make one with `ringback secret new`"
    )]
    Length(usize),
    /// A `whsk_` key has a wrong length.
    #[error(
        "a `whsk_` key has 64 bytes, or the 32 of its seed, this one has {0}: make one with \
         `ringback secret new --ed25519`"
    )]
    KeyLength(usize),
    /// The two halves of a `whsk_` key do not match: it was assembled by hand, or is damaged.
    #[error(
        "the public half of this `whsk_` key belongs to another key: make one with `ringback secret new --ed25519`"
    )]
    KeyHalves,
}

impl SigningSecret {
    /// Parses a secret of the Standard Webhooks specification.
    ///
    /// # Errors
    /// The text is not such a secret.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
            symmetric(&decode(SYMMETRIC, encoded)?)
        } else if let Some(encoded) = text.strip_prefix(PRIVATE) {
            asymmetric(&decode(PRIVATE, encoded)?)
        } else if text.starts_with(PUBLIC) {
            Err(SecretError::Public)
        } else {
            Err(SecretError::Prefix)
        }
    }
}

fn decode(prefix: &'static str, encoded: &str) -> Result<Vec<u8>, SecretError> {
    STANDARD.decode(encoded).map_err(|_| SecretError::Base64(prefix))
}

fn symmetric(key: &[u8]) -> Result<SigningSecret, SecretError> {
    if !(24..=64).contains(&key.len()) {
        return Err(SecretError::Length(key.len()));
    }
    Ok(SigningSecret::Symmetric(hmac::Key::new(hmac::HMAC_SHA256, key)))
}

/// The reference implementation writes seed and public key. The seed alone is accepted too, since the public key
/// follows from it.
fn asymmetric(key: &[u8]) -> Result<SigningSecret, SecretError> {
    let pair = match key.split_at_checked(SEED_BYTES) {
        Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
        Some((seed, public)) if public.len() == PUBLIC_BYTES => {
            Ed25519KeyPair::from_seed_and_public_key(seed, public)
        }
        Some(_) | None => return Err(SecretError::KeyLength(key.len())),
    };
    pair.map(|pair| SigningSecret::Asymmetric(Arc::new(pair))).map_err(|_| SecretError::KeyHalves)
}
