//! Hides secrets in what an endpoint answers: many endpoints repeat the request.
//!
//! A secret is found as it was sent and in each [`Spelling`] of it. A text is searched once for all secrets.

mod spelling;

use super::proxy::Proxy;
use super::webhook::{Auth, HIDDEN_CHARS_MIN, Webhook};
use crate::domain::{Mapped, Outcome, SharedList};
use crate::json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use spelling::{Spelling, Start};
use std::borrow::Cow;

/// Replaces a secret in shown text.
const HIDDEN: &str = "***";
/// A shorter part of a URL's query is not treated as a secret: it would occur in any text.
const QUERY_SECRET_BYTES_MIN: usize = 8;
/// A shorter beginning of a secret gives nothing away.
const CUT_SECRET_BYTES_MIN: usize = 4;

/// The secrets that an answer may repeat: many test endpoints echo the whole request.
#[derive(Clone, Default)]
pub(super) struct Hidden(Vec<Box<str>>);

impl Hidden {
    /// Returns the secrets that all requests of `webhook` contain: those of headers, query, body, credentials and proxy.
    pub(super) fn sent_by(webhook: &Webhook) -> Self {
        let mut hidden = Self::default();
        match &webhook.auth {
            Auth::None => {}
            Auth::Basic { username, password } => {
                hidden.add(&STANDARD.encode(format!("{username}:{}", password.reveal())));
                hidden.add(password.reveal());
            }
            Auth::Bearer(token) => hidden.add(token.reveal()),
            Auth::OAuth2(credentials) => hidden.add(credentials.client_secret.reveal()),
        }
        for secret in &webhook.secrets {
            hidden.add(secret.reveal());
        }
        if let Some(header) = webhook.proxy.as_ref().and_then(Proxy::credentials) {
            hidden.add_authorization(&header);
        }
        hidden
    }

    /// Like `sent_by`, and with the parts of the URL's query, which may be secrets too.
    pub(super) fn of(webhook: &Webhook) -> Self {
        let mut hidden = Self::sent_by(webhook);
        let query = webhook.url.query().unwrap_or_default();
        hidden.add(query);
        let spelt = query.split(['&', '=']).map(Cow::Borrowed);
        let meant = webhook.url.query_pairs().map(|(_, value)| value);
        for part in spelt.chain(meant).filter(|part| part.len() >= QUERY_SECRET_BYTES_MIN) {
            hidden.add(&part);
        }
        hidden
    }

    /// Adds a secret as it is, and as JSON: an answer may contain the JSON text of a request as a string.
    fn add(&mut self, secret: &str) {
        if secret.chars().count() < HIDDEN_CHARS_MIN {
            return;
        }
        let mut escaped = Vec::new();
        json::write_escaped(&mut escaped, secret);
        let escaped = String::from_utf8(escaped).unwrap_or_default();
        for secret in [secret, &escaped] {
            if !self.0.iter().any(|known| **known == *secret) {
                self.0.push(secret.into());
            }
        }
    }

    /// Adds the token or the password in the value of a header `authorization` or `proxy-authorization`.
    fn add_authorization(&mut self, header: &HeaderValue) {
        let header = String::from_utf8_lossy(header.as_bytes());
        // Both schemes are followed by a blank and one word.
        let secret = header.split_once(' ').map_or(&*header, |(_, secret)| secret);
        self.add(secret);
        if header.starts_with("Basic ")
            && let Ok(pair) = STANDARD.decode(secret)
            && let Some((_, password)) = String::from_utf8_lossy(&pair).split_once(':')
        {
            self.add(password);
        }
    }

    /// Returns these secrets, and those in `authorizations`, which are headers of single requests.
    pub(super) fn and(&self, authorizations: &[HeaderValue]) -> Cow<'_, Self> {
        if authorizations.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut hidden = self.clone();
        for header in authorizations {
            hidden.add_authorization(header);
        }
        Cow::Owned(hidden)
    }

    /// Returns the outcome without secrets.
    pub(super) fn outcome(&self, outcome: Outcome) -> Outcome {
        let response = self.replaced(&outcome.response, outcome.response_truncated);
        Outcome {
            response: response.map_or_else(|| outcome.response.clone(), Into::into),
            mapped: self.mapped(&outcome.mapped),
            error: outcome.error.map(|error| self.text(&error).into()),
            ..outcome
        }
    }

    /// Returns `text` without secrets, or `None` if it contains none. `is_cut`: the text may end within a secret.
    fn replaced(&self, text: &[u8], is_cut: bool) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let begins = self.begins();
        let mut out = Vec::new();
        // The text from `run` on is not copied yet.
        let (mut at, mut run) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let can_begin = |byte: &u8| begins.get(usize::from(*byte)) == Some(&true);
            let Some(skipped) = rest.iter().position(can_begin) else { break };
            at += skipped;
            let before = text.get(run..at).unwrap_or_default();
            match self.start(rest.get(skipped..).unwrap_or_default()) {
                Start::Whole(length) => {
                    out.extend_from_slice(before);
                    out.extend_from_slice(HIDDEN.as_bytes());
                    at += length;
                    run = at;
                }
                Start::Cut(length) if is_cut && length >= CUT_SECRET_BYTES_MIN => {
                    out.extend_from_slice(before);
                    return Some(out);
                }
                Start::Cut(_) | Start::Other => at += 1,
            }
        }
        if run == 0 {
            return None;
        }
        out.extend_from_slice(text.get(run..).unwrap_or_default());
        Some(out)
    }

    /// Returns for each byte whether a spelling of a secret may begin with it.
    fn begins(&self) -> [bool; 256] {
        let mut begins = [false; 256];
        let first = self.0.iter().filter_map(|secret| secret.bytes().next());
        for byte in first.chain(Spelling::MARKS) {
            if let Some(begins) = begins.get_mut(usize::from(byte)) {
                *begins = true;
            }
        }
        begins
    }

    /// Compares the beginning of `text` with each secret. The longest one that is found counts.
    fn start(&self, text: &[u8]) -> Start {
        let starts = self.0.iter().flat_map(|secret| {
            Spelling::ALL.into_iter().map(|spelling| spelling.compare(text, secret))
        });
        starts.max().unwrap_or(Start::Other)
    }

    fn text(&self, text: &str) -> String {
        let replaced = self.replaced(text.as_bytes(), false);
        replaced.map_or_else(
            || text.to_owned(),
            |replaced| String::from_utf8_lossy(&replaced).into_owned(),
        )
    }

    fn mapped(&self, mapped: &[Mapped]) -> SharedList<Mapped> {
        let hidden = |Mapped { save_in, value }| Mapped { save_in, value: self.json(value) };
        mapped.iter().cloned().map(hidden).collect()
    }

    /// Returns the JSON text `value` without secrets. It stays JSON: a secret of digits may be a number there.
    fn json(&self, value: Box<str>) -> Box<str> {
        let Some(replaced) = self.replaced(value.as_bytes(), false) else { return value };
        let text = String::from_utf8(replaced).ok();
        let is_json = |text: &String| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        text.filter(is_json).unwrap_or_else(|| format!("\"{HIDDEN}\"")).into()
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
mod tests;
