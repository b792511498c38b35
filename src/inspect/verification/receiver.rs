//! A receiver's log: a JSON object per line.

use crate::codec::event::parse_rfc3339;
use crate::domain::DeliveryId;
use crate::verify::ReceiverEntry;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// The reason why a receiver's log can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The file can't be opened or read.
    #[error("it can't be read")]
    File(#[from] std::io::Error),
    /// A line, whose number comes first, is not a request.
    #[error("line {0} does not have the format that `ringback verify --help` shows: {1}")]
    Line(u64, String),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    webhook_id: Cow<'a, str>,
    status: u16,
    body: Option<String>,
    body_sha256: Option<String>,
}

/// Passes each request of the log to `take`.
pub(super) fn read(file: &Path, take: &mut dyn FnMut(ReceiverEntry)) -> Result<(), ReceiverError> {
    let mut lines = BufReader::new(File::open(file)?);
    let (mut line, mut number) = (String::new(), 0);
    loop {
        line.clear();
        number += 1;
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let text = line.trim();
        if !text.is_empty() {
            take(entry(text).map_err(|what| ReceiverError::Line(number, what))?);
        }
    }
}

fn entry(text: &str) -> Result<ReceiverEntry, String> {
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let at = parse_rfc3339(&line.at).ok_or("`at` is not an RFC 3339 time")?;
    let id = DeliveryId::parse(&line.webhook_id).ok_or("`webhook_id` is not an id of Ringback")?;
    let body = match (&line.body, &line.body_sha256) {
        (Some(body), _) => first_half(digest(&SHA256, body.as_bytes()).as_ref()),
        (None, Some(hash)) => hash.get(..32).and_then(|half| u128::from_str_radix(half, 16).ok()),
        (None, None) => None,
    };
    let body = body.ok_or("it has neither `body` nor a `body_sha256` of 64 hexadecimal digits")?;
    Ok(ReceiverEntry { at, id, status: line.status, body })
}

fn first_half(hash: &[u8]) -> Option<u128> {
    hash.first_chunk().map(|half| u128::from_be_bytes(*half))
}

#[cfg(test)]
mod tests {
    use super::entry;

    #[test]
    fn a_body_and_its_hash_are_equal_and_a_wrong_line_has_an_explanation() {
        let line = |rest: &str| {
            let id = "msg_000000000000000000000000000000ff";
            entry(&format!(
                r#"{{"at":"2026-01-31T12:00:00Z","webhook_id":"{id}","status":200{rest}}}"#
            ))
        };
        let plain = line(r#","body":"abc","more":1"#).unwrap();
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(plain, line(&format!(r#","body_sha256":"{hash}""#)).unwrap());
        assert_eq!((plain.status, plain.at.as_ms()), (200, 1_769_860_800_000));
        assert!(line("").unwrap_err().contains("neither"));
        assert!(line(r#","body_sha256":"x""#).unwrap_err().contains("neither"));
        assert!(entry("{}").unwrap_err().contains("missing field"));
        assert!(
            entry(r#"{"at":"now","webhook_id":"msg_1","status":1}"#)
                .unwrap_err()
                .contains("RFC 3339")
        );
    }
}
