//! Finds the status in the first bytes of an answer, whatever is wrong with the rest of its head.

use http::StatusCode;

/// How much of a status line is kept: version and status. The phrase behind them may have any length.
const LINE_BYTES: usize = 24;

/// Reads an answer byte by byte until the status is known.
#[derive(Default)]
pub(super) struct Sniff {
    at: At,
    line: [u8; LINE_BYTES],
    length: usize,
    has_received: bool,
}

/// The position in the answer.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// No answer is expected.
    #[default]
    Nowhere,
    /// In the status line, or in empty lines before it.
    StatusLine,
    /// In the head of an informational answer; another head follows.
    Informational,
    /// After the status line.
    Behind(StatusCode),
}

impl Sniff {
    /// A request was sent: the next bytes are its answer.
    pub(super) fn begin(&mut self) {
        *self = Self { at: At::StatusLine, ..Self::default() };
    }

    /// The library has parsed the answer's head.
    pub(super) fn settle(&mut self) {
        self.at = At::Nowhere;
    }

    /// Returns whether any byte arrived since the request was sent.
    pub(super) fn has_received(&self) -> bool {
        self.has_received
    }

    /// Returns the status, once its line is complete.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self.at {
            At::Behind(status) => Some(status),
            At::Nowhere | At::StatusLine | At::Informational => None,
        }
    }

    /// Reads bytes of the answer.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.has_received = true;
        for byte in bytes {
            match self.at {
                At::Nowhere | At::Behind(_) => return,
                At::StatusLine | At::Informational => {}
            }
            if *byte == b'\n' {
                self.end_line();
            } else if *byte != b'\r' || self.length > 0 {
                if let Some(place) = self.line.get_mut(self.length) {
                    *place = *byte;
                }
                self.length = self.length.saturating_add(1);
            }
        }
    }

    fn end_line(&mut self) {
        let length = std::mem::take(&mut self.length);
        let line = self.line.get(..length).unwrap_or(&self.line);
        self.at = match (self.at, length) {
            // Empty lines before an answer are skipped; an empty line after an informational head ends that head.
            (At::StatusLine | At::Informational, 0) => At::StatusLine,
            (At::StatusLine, _) => match status_of(line) {
                Some(StatusCode::SWITCHING_PROTOCOLS) => {
                    At::Behind(StatusCode::SWITCHING_PROTOCOLS)
                }
                Some(status) if status.is_informational() => At::Informational,
                Some(status) => At::Behind(status),
                None => At::Nowhere,
            },
            (other, _) => other,
        };
    }
}

/// Returns the status of `line`, which begins like `HTTP/1.1 200`.
fn status_of(line: &[u8]) -> Option<StatusCode> {
    let (protocol, rest) = line.split_at_checked(7)?;
    let (minor, rest) = rest.split_first()?;
    let digits = rest.trim_ascii_start();
    if !protocol.eq_ignore_ascii_case(b"HTTP/1.")
        || !minor.is_ascii_digit()
        || digits.len() == rest.len()
    {
        return None;
    }
    let (digits, rest) = digits.split_at_checked(3)?;
    let ends = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    StatusCode::from_bytes(digits).ok().filter(|_| ends)
}

#[cfg(test)]
mod tests {
    use super::Sniff;
    use http::StatusCode;

    /// Returns the status found in `answer`, whatever the sizes of the pieces in which it arrives.
    fn status(answer: &str) -> Option<u16> {
        let whole = {
            let mut sniff = Sniff::default();
            sniff.begin();
            sniff.receive(answer.as_bytes());
            sniff.status()
        };
        let mut sniff = Sniff::default();
        sniff.begin();
        answer.bytes().for_each(|byte| sniff.receive(&[byte]));
        assert_eq!(sniff.status(), whole, "{answer:?}");
        whole.map(|status| status.as_u16())
    }

    #[test]
    fn a_status_is_found_as_soon_as_its_line_is_complete() {
        for (answer, found) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503\n", Some(503)),
            ("http/1.1 500 small letters\r\n", Some(500)),
            ("HTTP/1.1  404 \u{f6}\u{1}\r\nx", Some(404)),
            ("\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Some(204)),
            (
                "HTTP/1.1 429 a phrase that is longer than what is looked at of a line\r\n",
                Some(429),
            ),
            ("HTTP/1.1 101 Switching Protocols\r\n", Some(101)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.1 103 Hints\r\nHTTP/1.1 500 x\r\n\r\nHTTP/1.1 201 C\r\n", Some(201)),
            ("HTTP/1.1 100 Continue\r\nx: y\r\n", None),
            ("HTTP/1.1 200 O", None),
            ("HTTP/1.1 2000 OK\r\n", None),
            ("HTTP/1.1 20 OK\r\n", None),
            ("HTTP/1.1 099 OK\r\n", None),
            ("HTTP/1.1200 OK\r\n", None),
            ("HTTP/9.9 200 OK\r\n", None),
            ("hello\r\nHTTP/1.1 200 OK\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(answer), found, "{answer:?}");
        }
    }

    #[test]
    fn a_status_belongs_to_the_latest_request_only() {
        let mut sniff = Sniff::default();
        sniff.receive(b"HTTP/1.1 408 Unsolicited\r\n");
        assert_eq!(sniff.status(), None);
        sniff.begin();
        assert!(!sniff.has_received());
        sniff.receive(b"HTTP/1.1 200 OK\r\n");
        assert_eq!((sniff.status(), sniff.has_received()), (Some(StatusCode::OK), true));
        sniff.settle();
        sniff.receive(b"HTTP/1.1 500 in the body\r\n");
        assert_eq!(sniff.status(), None);
        sniff.begin();
        assert_eq!((sniff.status(), sniff.has_received()), (None, false));
    }
}
