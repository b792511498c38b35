//! Signatures of the Standard Webhooks specification, version 1.0.0.

use super::secret::SigningSecret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// Returns the value of `webhook-signature`: one signature per live secret, separated by spaces.
#[must_use]
pub fn sign(secrets: &[SigningSecret], id: &str, timestamp: &str, body: &[u8]) -> String {
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let mut value = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        if !value.is_empty() {
            value.push(' ');
        }
        match secret {
            SigningSecret::Symmetric(key) => {
                let mut context = hmac::Context::with_key(key);
                for part in content {
                    context.update(part);
                }
                value.push_str("v1,");
                STANDARD.encode_string(context.sign(), &mut value);
            }
            SigningSecret::Asymmetric(pair) => {
                // Ed25519 reads the content twice, and so needs it in one piece.
                value.push_str("v1a,");
                STANDARD.encode_string(pair.sign(&content.concat()), &mut value);
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::sign;
    use crate::delivery::{SecretError, SigningSecret};

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    /// The key of RFC 8032's first test, as the reference implementation writes one, and its seed alone.
    const KEY: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
    const SEED: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

    const V1: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    /// The signature that PyCA's `cryptography` makes.
    const V1A: &str = "v1a,jfp5j4J3Buv9EPOcc9Bqo8rJqAO1H6lrRl0WZQdzVZI6IttNPT8HSLyPvUvY54dJJt2BQGA01di1ePvigCwlCw==";

    /// Signs the specification's message.
    fn signed(secrets: &[&str]) -> String {
        let secrets: Vec<_> =
            secrets.iter().map(|secret| SigningSecret::parse(secret).unwrap()).collect();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        sign(&secrets, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553", body)
    }

    #[test]
    fn agrees_with_the_specifications_vector() {
        assert_eq!(signed(&[SECRET]), V1);
        assert_eq!(signed(&[SECRET, SECRET]), format!("{V1} {V1}"));
    }

    #[test]
    fn ed25519_agrees_with_another_implementation() {
        assert_eq!(signed(&[KEY]), V1A);
        assert_eq!(signed(&[SEED]), V1A, "the public half follows from the seed");
        assert_eq!(signed(&[KEY, SECRET, SEED]), format!("{V1A} {V1} {V1A}"));
    }

    #[test]
    fn invalid_secrets_are_refused_without_being_quoted() {
        let swapped = "whsk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURqdYbGd7/1aYLqESvSS7CzEREnFaXsyaRlwO6wDHK5/YA==";
        for (text, error) in [
            ("hunter2", SecretError::Prefix),
            ("whsec_***", SecretError::Base64("whsec_")),
            ("whsec_AAAA", SecretError::Length(3)),
            ("whsk_***", SecretError::Base64("whsk_")),
            ("whsk_AAAA", SecretError::KeyLength(3)),
            (swapped, SecretError::KeyHalves),
            ("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", SecretError::Public),
        ] {
            assert_eq!(SigningSecret::parse(text).unwrap_err(), error);
            assert!(error.to_string().contains(": "), "the problem, then the advice: {error}");
        }
        for text in [SECRET, KEY, SEED] {
            assert_eq!(format!("{:?}", SigningSecret::parse(text).unwrap()), "***");
        }
    }
}
