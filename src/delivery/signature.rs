//! Signatures of the Standard Webhooks specification, version 1.0.0.

use super::webhook::SigningSecret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The value of `webhook-signature`: one signature per live secret, separated by spaces.
#[must_use]
pub fn sign(secrets: &[SigningSecret], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut value = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        if !value.is_empty() {
            value.push(' ');
        }
        match secret {
            SigningSecret::Symmetric(key) => {
                let mut context = hmac::Context::with_key(key);
                for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                    context.update(part);
                }
                value.push_str("v1,");
                STANDARD.encode_string(context.sign(), &mut value);
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

    #[test]
    fn agrees_with_the_specifications_vector() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let (id, timestamp) = ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553");
        let one = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(sign(std::slice::from_ref(&secret), id, timestamp, body), one);
        assert_eq!(sign(&[secret.clone(), secret], id, timestamp, body), format!("{one} {one}"));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_quoted() {
        assert_eq!(SigningSecret::parse("hunter2").unwrap_err(), SecretError::Prefix);
        assert_eq!(SigningSecret::parse("whsec_***").unwrap_err(), SecretError::Base64);
        assert_eq!(SigningSecret::parse("whsec_AAAA").unwrap_err(), SecretError::Length(3));
        assert_eq!(format!("{:?}", SigningSecret::parse(SECRET).unwrap()), "***");
    }
}
