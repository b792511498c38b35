//! The proxy through which endpoints are called, if the operator configures one.
//!
//! Every connection goes to the proxy, which connects to the endpoint. TLS goes through a tunnel that the proxy can't
//! read; without TLS, the proxy forwards each request. The proxy resolves the endpoint's name itself, so the final
//! address is its responsibility. The daemon checks all that it can before the proxy learns of the request.

use super::webhook::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;

/// A proxy. Its credentials are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Secret,
    /// Scheme, host and port, without credentials.
    shown: String,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The reason why a text is not a valid proxy. It does not quote the text, which may contain a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProxyError {
    /// The text is not a URL.
    #[error("is not a URL: write it as in \"http://user:password@proxy.example:3128\"")]
    Url,
    /// The scheme is not `http`. TLS to the proxy would send it the webhooks' client certificates, and SOCKS is not
    /// supported.
    #[error(
        "is not an http:// proxy, the only supported kind: write it as in \"http://proxy.example:3128\""
    )]
    Scheme,
    /// The URL has a path, a query or a fragment.
    #[error("has a path, a query or a fragment: remove everything after the port")]
    Path,
}

impl Proxy {
    /// Parses `http://host:port`, with or without `user:password@`. User and password may be percent-encoded.
    ///
    /// # Errors
    /// The text is not such a URL.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let url = reqwest::Url::parse(text).map_err(|_| ProxyError::Url)?;
        if url.scheme() != "http" {
            return Err(ProxyError::Scheme);
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(ProxyError::Url);
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyError::Path);
        }
        let shown = format!("http://{host}:{port}");
        Ok(Self { url: Secret::new(url.into()), shown })
    }

    /// Returns scheme, host and port for logs and pages.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns scheme, host and port for the look-up.
    pub(super) fn url(&self) -> Option<reqwest::Url> {
        // `shown` was built from a URL, so it parses.
        self.shown.parse().ok()
    }

    /// Returns the value of `proxy-authorization`, if the proxy has credentials.
    pub(super) fn credentials(&self) -> Option<HeaderValue> {
        let url = reqwest::Url::parse(self.url.reveal()).ok()?;
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(url.password().unwrap_or_default()));
        // Base64 is always a valid header value.
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Proxy, ProxyError};

    #[test]
    fn credentials_are_not_shown() {
        for (text, shown) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("http://user:hu%40sh@10.0.0.1/", "http://10.0.0.1:80"),
            ("http://hush@[::1]:1", "http://[::1]:1"),
        ] {
            assert_eq!(format!("{:?}", Proxy::parse(text).unwrap()), shown);
        }
    }

    #[test]
    fn invalid_proxies_are_refused_without_being_quoted() {
        for (text, error) in [
            ("hush", ProxyError::Url),
            ("http://", ProxyError::Url),
            ("proxy.example:3128", ProxyError::Scheme),
            ("https://u:hush@proxy.example", ProxyError::Scheme),
            ("socks5://u:hush@proxy.example", ProxyError::Scheme),
            ("http://proxy.example/hush", ProxyError::Path),
            ("http://proxy.example?hush", ProxyError::Path),
        ] {
            assert_eq!(Proxy::parse(text).unwrap_err(), error, "{text}");
            assert!(error.to_string().contains(": "), "the problem, then the advice: {error}");
        }
    }
}
