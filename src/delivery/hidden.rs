//! Hides secrets in what an endpoint answers: many endpoints repeat the request.

use super::webhook::{Auth, Webhook};
use crate::domain::{Mapped, Outcome, RESPONSE_BYTES_KEPT};
use crate::json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

/// Replaces a secret in shown text.
const HIDDEN: &str = "***";
/// A shorter part of a URL's query is not treated as a secret: it would occur in any text.
const QUERY_SECRET_BYTES_MIN: usize = 8;
/// A shorter beginning of a secret gives nothing away.
const CUT_SECRET_BYTES_MIN: usize = 4;

/// The secrets that an answer may repeat: many test endpoints echo the whole request.
pub(super) struct Hidden(Vec<String>);

impl Hidden {
    /// Returns the secrets that requests of `webhook` contain as they are written: those of headers,
    /// query, body and credentials.
    pub(super) fn sent_by(webhook: &Webhook) -> Self {
        Self::sorted(Self::secrets(webhook))
    }

    fn secrets(webhook: &Webhook) -> Vec<String> {
        let mut secrets = Vec::new();
        match &webhook.auth {
            Auth::None => {}
            Auth::Basic { username, password } => {
                secrets.push(STANDARD.encode(format!("{username}:{}", password.reveal())));
                secrets.push(password.reveal().to_owned());
            }
            Auth::Bearer(token) => secrets.push(token.reveal().to_owned()),
            Auth::OAuth2(credentials) => {
                secrets.push(credentials.client_secret.reveal().to_owned());
            }
        }
        secrets.extend(webhook.secrets.iter().map(|secret| secret.reveal().to_owned()));
        secrets
    }

    /// Like `sent_by`, and with the parts of the URL's query, which may be secrets too.
    pub(super) fn of(webhook: &Webhook) -> Self {
        let mut secrets = Self::secrets(webhook);
        let query = webhook.url.query().unwrap_or_default();
        secrets.push(query.to_owned());
        let spelt = query.split(['&', '=']).map(str::to_owned);
        let meant = webhook.url.query_pairs().map(|(_, value)| value.into_owned());
        secrets.extend(spelt.chain(meant).filter(|part| part.len() >= QUERY_SECRET_BYTES_MIN));
        Self::sorted(secrets)
    }

    /// A secret may be part of another one, so the longest is hidden first. An answer may repeat a secret as JSON.
    fn sorted(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| !secret.is_empty());
        let escaped = secrets.iter().filter_map(|secret| {
            let mut json = Vec::new();
            json::write_escaped(&mut json, secret);
            String::from_utf8(json).ok().filter(|json| json != secret)
        });
        let escaped: Vec<String> = escaped.collect();
        secrets.extend(escaped);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The fetched token is a secret too.
    pub(super) fn add_token(&mut self, header: &HeaderValue) {
        let token = String::from_utf8_lossy(header.as_bytes());
        let token = token.strip_prefix("Bearer ").unwrap_or(&token).to_owned();
        let mut secrets = std::mem::take(&mut self.0);
        secrets.push(token);
        *self = Self::sorted(secrets);
    }

    /// Credentials may have been rendered.
    pub(super) fn add_credentials(&mut self, header: &HeaderValue) {
        let header = String::from_utf8_lossy(header.as_bytes());
        let Some(pair) = header.strip_prefix("Basic ") else { return };
        let decoded = STANDARD.decode(pair).ok().and_then(|it| String::from_utf8(it).ok());
        let password = decoded.and_then(|it| Some(it.split_once(':')?.1.to_owned()));
        let mut secrets = std::mem::take(&mut self.0);
        secrets.extend(password.into_iter().chain([pair.to_owned()]));
        *self = Self::sorted(secrets);
    }

    /// Returns the outcome without secrets.
    pub(super) fn outcome(&self, outcome: Outcome) -> Outcome {
        if self.0.is_empty() {
            return outcome;
        }
        let mut response = self.bytes(&outcome.response);
        if outcome.response_truncated {
            response = self.without_cut_secret(&response);
        }
        response.truncate(RESPONSE_BYTES_KEPT);
        Outcome {
            response,
            mapped: self.mapped(outcome.mapped),
            error: outcome.error.map(|error| self.text(&error).into()),
            ..outcome
        }
    }

    /// Returns `bytes` without the beginning of a secret at its end, where a long answer was cut off.
    fn without_cut_secret(&self, bytes: &Bytes) -> Bytes {
        let cut = self.0.iter().filter_map(|secret| {
            let secret = secret.as_bytes();
            let mut lengths = (CUT_SECRET_BYTES_MIN..secret.len()).rev();
            lengths.find(|length| secret.get(..*length).is_some_and(|cut| bytes.ends_with(cut)))
        });
        bytes.slice(..bytes.len() - cut.max().unwrap_or(0))
    }

    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    /// Returns `bytes` itself if it contains no secret.
    fn bytes(&self, bytes: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(bytes);
        if self.0.iter().any(|secret| text.contains(secret)) {
            Bytes::from(self.text(&text))
        } else {
            bytes.clone()
        }
    }

    fn mapped(&self, mapped: Vec<Mapped>) -> Vec<Mapped> {
        mapped
            .into_iter()
            .map(|Mapped { save_in, value }| Mapped { save_in, value: self.json(value) })
            .collect()
    }

    /// Returns the JSON text `value` without secrets. It stays JSON: a secret of digits may be a number there.
    fn json(&self, value: Box<str>) -> Box<str> {
        if !self.0.iter().any(|secret| value.contains(secret)) {
            return value;
        }
        let text = self.text(&value);
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => text.into(),
            Err(_) => format!("\"{HIDDEN}\"").into(),
        }
    }

    /// A cookie in the answer is the endpoint's secret.
    pub(super) fn headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let shown = headers.iter().map(|(name, value)| {
            let secret = value.is_sensitive() || *name == http::header::SET_COOKIE;
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = if secret { HIDDEN.to_owned() } else { self.text(&value) };
            (name.to_string(), value)
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Hidden;
    use crate::domain::Mapped;

    #[test]
    fn mapped_values_without_their_secret_are_json() {
        let hidden = Hidden::sorted(vec!["12345678".to_owned()]);
        for (value, shown) in [
            ("12345678", "\"***\""),
            ("\"a 12345678\"", "\"a ***\""),
            ("{\"a\":[12345678]}", "\"***\""),
            ("{\"a\":\"12345678\"}", "{\"a\":\"***\"}"),
            ("7", "7"),
        ] {
            let mapped = Mapped { save_in: "$flow.key.a".into(), value: value.into() };
            assert_eq!(&*hidden.mapped(vec![mapped])[0].value, shown, "{value}");
        }
    }
}
