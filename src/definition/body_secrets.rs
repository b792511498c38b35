//! Secrets in calls of the platform's functions.
//!
//! A body is stored when it is rendered: in rows, in the changelog and in dead letters. So it is rendered with a
//! placeholder for each secret, and the secrets replace the placeholders when an attempt is made. The entries of
//! secrets come first in the list `keys`. So no value of a customer is taken for a placeholder.

use crate::json;
use bytes::Bytes;
use std::fmt;

/// Stands for a secret in a stored body.
const PLACEHOLDER: &str = "***secret***";
/// Precedes the entries.
const KEYS: &[u8] = b",\"keys\":[";

/// The secrets of a webhook's body.
#[derive(Clone, Default)]
pub struct BodySecrets(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    /// The entry as it is stored.
    stored: Box<[u8]>,
    /// The entry as it is sent.
    sent: Box<[u8]>,
}

/// Hides the secrets.
impl fmt::Debug for BodySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl BodySecrets {
    /// Adds the secret of the variable `name`.
    pub fn add(&mut self, name: &str, secret: &str) {
        self.0.push(Entry { stored: entry(name, PLACEHOLDER), sent: entry(name, secret) });
    }

    /// Returns whether there are no secrets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the stored `body` with the secrets in place of their placeholders. A body of another kind, which was
    /// rendered before the webhook had secrets, is returned as it is.
    ///
    /// # Errors
    /// The webhook no longer has one of the secrets. The error is a text for operators, and names it.
    pub fn filled(&self, body: &Bytes) -> Result<Bytes, String> {
        let after_method = body.starts_with(b"{\"method\":").then(|| find(body, KEYS)).flatten();
        let Some(start) = after_method.map(|at| at + KEYS.len()) else { return Ok(body.clone()) };
        let (head, mut rest) = body.split_at(start);
        let mut out = head.to_vec();
        loop {
            let known =
                self.0.iter().find_map(|entry| Some((entry, rest.strip_prefix(&*entry.stored)?)));
            let Some((entry, after)) = known else { break };
            out.extend_from_slice(&entry.sent);
            rest = after;
            if let Some(after) = rest.strip_prefix(b",") {
                out.push(b',');
                rest = after;
            }
        }
        if let Some(name) = unfilled(rest) {
            return Err(format!(
                "the webhook no longer has the secret {name}, which the body needs"
            ));
        }
        if out.len() == start {
            return Ok(body.clone());
        }
        out.extend_from_slice(rest);
        Ok(out.into())
    }
}

/// Writes the entry of a secret with its placeholder.
pub(super) fn write_placeholder(out: &mut Vec<u8>) {
    json::write_string(out, PLACEHOLDER);
}

fn entry(name: &str, value: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    let mut entry = json::Object::open(&mut out);
    entry.text("name", name);
    entry.text("value", value);
    entry.close();
    out.into()
}

/// Returns the name, as JSON, of the placeholder at the beginning of `rest`.
fn unfilled(rest: &[u8]) -> Option<String> {
    let name = rest.strip_prefix(b"{\"name\":")?;
    let end = format!(",\"value\":\"{PLACEHOLDER}\"}}");
    let at = find(name, end.as_bytes())?;
    let name = name.get(..at)?;
    // Another entry may come before the placeholder, which is then a customer's text.
    serde_json::from_slice::<String>(name).ok()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::BodySecrets;
    use bytes::Bytes;

    fn filled(secrets: &[(&str, &str)], body: &str) -> Result<String, String> {
        let mut known = BodySecrets::default();
        for (name, secret) in secrets {
            known.add(name, secret);
        }
        assert_eq!(format!("{known:?}"), "***");
        let filled = known.filled(&Bytes::copy_from_slice(body.as_bytes()))?;
        Ok(String::from_utf8(filled.to_vec()).unwrap())
    }

    const TWO: &str = r#"{"method":"m","keys":[{"name":"a","value":"***secret***"},{"name":"b","value":"***secret***"},{"name":"c","value":"***secret***"}]}"#;

    #[test]
    fn only_the_placeholders_at_the_beginning_are_replaced() {
        let known = [("a", "1\"2"), ("b", "x"), ("c", "y")];
        let all = r#"{"method":"m","keys":[{"name":"a","value":"1\"2"},{"name":"b","value":"x"},{"name":"c","value":"y"}]}"#;
        assert_eq!(filled(&known, TWO).unwrap(), all);
        for body in [
            r#"{"method":"m","keys":[]}"#,
            r#"{"method":"m","keys":[{"name":"x","value":"1"},{"name":"a","value":"***secret***"}]}"#,
            r#"{"method":"m","keys":[{"name":"x","value":"{\"name\":\"a\",\"value\":\"***secret***\"}"}]}"#,
            r#"{"callDetails":[],"keys":[{"name":"a","value":"***secret***"}]}"#,
            "",
        ] {
            assert_eq!(filled(&known, body).unwrap(), body);
        }
    }

    #[test]
    fn a_placeholder_is_never_sent_in_place_of_a_secret_that_is_gone() {
        let problem = filled(&[("a", "1")], TWO).unwrap_err();
        assert!(problem.contains(" b,"), "{problem}");
        assert!(filled(&[("x", "1")], TWO).unwrap_err().contains(" a,"));
        assert!(filled(&[], TWO).unwrap_err().contains(" a,"), "the last one is gone");
    }
}
