//! Signatures in headers of their own, as receivers of other platforms already verify them.
//!
//! They are sent beside those of Standard Webhooks, and a webhook may have several. Each covers the bytes that are sent.

use super::webhook::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use ring::hmac;
use std::fmt::Write as _;

/// A signature of each request.
#[derive(Clone)]
pub struct HeaderSignature {
    header: HeaderName,
    encoding: Encoding,
    prefix: SignedText,
    content: SignedText,
    key: hmac::Key,
}

/// Hides the key.
impl std::fmt::Debug for HeaderSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeaderSignature").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    HmacSha256,
    HmacSha512,
    /// For receivers that know nothing better.
    HmacSha1,
}

impl Scheme {
    const fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha512 => hmac::HMAC_SHA512,
            Self::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        }
    }
}

/// How the bytes of a signature become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal digits.
    Hex,
    Base64,
}

/// A text with the placeholders `{body}`, `{timestamp}` and `{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedText(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Body,
    Timestamp,
    Id,
}

/// A text contains braces that are no placeholder. The error has the text in the braces.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{{{0}}}` is no placeholder")]
pub struct ContentError(pub String);

impl SignedText {
    /// Parses `text`. A brace that belongs to no placeholder is refused, because it is most likely a misspelt one.
    ///
    /// # Errors
    /// The text has other braces than those of placeholders.
    pub fn parse(text: &str) -> Result<Self, ContentError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let inner = from_brace.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let (name, after) = inner.ok_or_else(|| ContentError(from_brace.to_owned()))?;
            pieces.push(match name {
                "body" => Piece::Body,
                "timestamp" => Piece::Timestamp,
                "id" => Piece::Id,
                other => return Err(ContentError(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self(pieces))
    }

    /// Returns whether the text contains the body.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.0.contains(&Piece::Body)
    }

    fn each<'a>(&'a self, signed: &Signed<'a>, mut take: impl FnMut(&'a [u8])) {
        for piece in &self.0 {
            take(match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Body => signed.body,
                Piece::Timestamp => signed.timestamp.as_bytes(),
                Piece::Id => signed.id.as_bytes(),
            });
        }
    }
}

/// The parts of a request that a signature may cover.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) id: &'a str,
    /// Unix seconds, as in `webhook-timestamp`.
    pub(super) timestamp: &'a str,
    pub(super) body: &'a [u8],
}

impl HeaderSignature {
    /// Creates a signature. `prefix` stands before it, and contains no `{body}`; `content` is what is signed.
    #[must_use]
    pub fn new(
        header: HeaderName,
        scheme: Scheme,
        encoding: Encoding,
        prefix: SignedText,
        content: SignedText,
        secret: &Secret,
    ) -> Self {
        let key = hmac::Key::new(scheme.algorithm(), secret.reveal().as_bytes());
        Self { header, encoding, prefix, content, key }
    }

    /// Returns the name of the header.
    #[must_use]
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Signs a request. Returns `None` if the prefix makes no valid header.
    pub(super) fn sign(&self, signed: &Signed<'_>) -> Option<HeaderValue> {
        let mut context = hmac::Context::with_key(&self.key);
        self.content.each(signed, |part| context.update(part));
        let tag = context.sign();
        let mut value = Vec::with_capacity(128);
        self.prefix.each(signed, |part| value.extend_from_slice(part));
        let mut text = String::with_capacity(128);
        match self.encoding {
            Encoding::Base64 => STANDARD.encode_string(tag, &mut text),
            Encoding::Hex => {
                for byte in tag.as_ref() {
                    let _ = write!(text, "{byte:02x}");
                }
            }
        }
        value.extend_from_slice(text.as_bytes());
        HeaderValue::from_bytes(&value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{ContentError, Encoding, HeaderSignature, Scheme, Secret, Signed, SignedText};
    use http::HeaderName;

    const SIGNED: Signed<'_> =
        Signed { id: "msg_1", timestamp: "1649367553", body: b"Hello, World!" };

    fn signed(scheme: Scheme, encoding: Encoding, prefix: &str, content: &str) -> String {
        let text = |text| SignedText::parse(text).unwrap();
        let header = HeaderName::from_static("x-signature");
        let secret = Secret::new("It's a Secret to Everybody".to_owned());
        let signature =
            HeaderSignature::new(header, scheme, encoding, text(prefix), text(content), &secret);
        assert!(!format!("{signature:?}").contains("Everybody"));
        signature.sign(&SIGNED).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn agrees_with_the_vector_in_the_documentation_of_a_large_platform() {
        assert_eq!(
            signed(Scheme::HmacSha256, Encoding::Hex, "sha256=", "{body}"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn schemes_encodings_and_contents_agree_with_openssl() {
        for (scheme, encoding, prefix, content, wanted) in [
            (
                Scheme::HmacSha256,
                Encoding::Base64,
                "",
                "{body}",
                "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=",
            ),
            (
                Scheme::HmacSha1,
                Encoding::Hex,
                "sha1=",
                "{body}",
                "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
            ),
            (
                Scheme::HmacSha512,
                Encoding::Hex,
                "",
                "{id}.{timestamp}.{body}",
                "85dca0565e87a2b71f2246a7aa6e2a5422fc8916aacc1d329e815a700afb23555b137ea9d30290fcb78598ed947519734ce1226e451aff1a78b1848aa2e101ee",
            ),
            (
                Scheme::HmacSha256,
                Encoding::Hex,
                "t={timestamp},v1=",
                "{timestamp}.{body}",
                "t=1649367553,v1=30e9545927a58194b5c000d14e5e6b55891f940abbe32d7cf72edcc9eff1b779",
            ),
        ] {
            assert_eq!(signed(scheme, encoding, prefix, content), wanted, "{content}");
        }
    }

    #[test]
    fn braces_of_no_placeholder_are_refused() {
        for (text, inner) in
            [("{bodi}", "bodi"), ("{timestamp}.{}", ""), ("{body", "{body"), ("body}", "}")]
        {
            assert_eq!(SignedText::parse(text), Err(ContentError(inner.to_owned())), "{text}");
        }
        assert!(SignedText::parse("v0:{timestamp}:{body}").unwrap().has_body());
        assert!(!SignedText::parse("{timestamp}").unwrap().has_body());
    }
}
