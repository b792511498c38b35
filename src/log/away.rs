//! Why Kafka can't be reached: librdkafka's own cause, in one line, and again once a minute as long as it lasts.
//!
//! librdkafka reports each try of each client with other numbers in it, and what a call returns says no more than that the
//! transport failed. So causes are noted here as they are reported, and whoever waits for Kafka says the last one.

use super::client;
use super::report::is_due;
use super::settings::KafkaSettings;
use crate::clock;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A cause that was not reported again for so long has gone: librdkafka repeats one that lasts every 30 s.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(90);

/// To connect takes less, or it is a cause by itself.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
const LOOK_PAUSE: Duration = Duration::from_millis(50);
const LOOKS_MAX: usize = 20;

/// What keeps a client from a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody listens there.
    Refused,
    /// The name leads to no address.
    UnknownHost,
    /// TLS can't be agreed upon.
    Tls,
    /// The broker refuses the credentials.
    Authentication,
    /// Anything else, as a connection that breaks or is not made in time.
    Connection,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::UnknownHost => "unknown_host",
            Self::Tls => "tls",
            Self::Authentication => "authentication",
            Self::Connection => "connection",
        }
    }
}

/// Why a broker can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    kind: Kind,
    /// Host and port, as the configuration or Kafka itself names them.
    broker: String,
    /// What librdkafka says, without what differs from try to try.
    text: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.broker, self.text)
    }
}

/// The last cause, and when it was reported; it was said to people since Kafka was last there.
static LAST: Mutex<(Option<(Cause, Instant)>, bool)> = Mutex::new((None, false));

/// Notes what librdkafka reports, if it is about a connection. Says at once what a client will not get over by itself.
pub(super) fn note(code: Option<RDKafkaErrorCode>, reason: &str) -> bool {
    let is_noted = code.is_some_and(is_about_connections);
    // That all brokers are down says of none of them why.
    if is_noted && code != Some(RDKafkaErrorCode::AllBrokersDown) {
        note_text(reason);
    }
    is_noted
}

/// The same of a line of librdkafka's log: a client that nobody polls reports nothing else.
pub(super) fn note_line(line: &str) {
    // `[thrd:NAME]: ` stands before it.
    let thread = line.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: "));
    note_text(thread.map_or(line, |(_, text)| text));
}

fn note_text(text: &str) {
    let Some(cause) = cause(text) else { return };
    // Brokers close connections that nobody uses, and take them again.
    let lasts = matches!(cause.kind, Kind::Tls | Kind::Authentication);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.0 = Some((cause, clock::instant()));
    drop(last);
    if lasts {
        say("");
    }
}

fn is_about_connections(code: RDKafkaErrorCode) -> bool {
    [
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::Resolve,
        RDKafkaErrorCode::SSL,
        RDKafkaErrorCode::Authentication,
        RDKafkaErrorCode::SaslAuthenticationFailed,
    ]
    .contains(&code)
}

/// The last cause that was reported, unless it is over.
#[must_use]
pub fn last_cause() -> Option<Cause> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = last.0.as_ref().filter(|(_, at)| clock::since(*at) < FORGOTTEN_AFTER);
    fresh.map(|(cause, _)| cause.clone())
}

/// Asks Kafka for nothing in particular, to hear why it does not answer, unless a cause is known. Blocks for some seconds.
///
/// A client reports it to whoever polls it, and those that only ask are not polled.
pub fn look(settings: &KafkaSettings) {
    if last_cause().is_some() {
        return;
    }
    // A client that can't be made has another cause.
    let Ok(client) = client::observe(settings, "read_uncommitted") else { return };
    if client.fetch_metadata(None, LOOK_TIMEOUT).is_ok() {
        return;
    }
    for _ in 0..LOOKS_MAX {
        if client.poll(LOOK_PAUSE).is_none() && last_cause().is_some() {
            return;
        }
    }
}

/// Whether people were told that Kafka is away, and it has not come back since.
#[must_use]
pub fn is_said() -> bool {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).1
}

/// Says that Kafka can't be reached, at most once a minute for each kind of cause. `brokers` are those that were asked, for when no
/// cause is known.
pub fn say(brokers: &str) {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
    let Some(Cause { kind, broker, text }) = last_cause() else {
        if is_due("away") {
            tracing::warn!(broker = brokers, "waiting for Kafka: no broker answers");
        }
        return;
    };
    let (reason, cause) = (kind.as_str(), text);
    if is_due(&format!("away: {reason}")) {
        tracing::warn!(broker, reason, cause, "waiting for Kafka: the broker can't be used");
    }
}

/// Says that Kafka answers again, if it was said that it does not.
pub fn over() {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, was_said) = std::mem::take(&mut *last);
    drop(last);
    if was_said {
        tracing::info!("Kafka answers again");
    }
}

/// librdkafka writes `[sasl_ssl://]host:port/id: text (after 3ms in state CONNECT, 2 identical error(s) suppressed)`.
fn cause(reason: &str) -> Option<Cause> {
    let (head, text) = reason.split_once(": ")?;
    let (name, _) = head.rsplit_once('/')?;
    let broker = name.rsplit_once("://").map_or(name, |(_, broker)| broker);
    let text = text.rfind(" (after ").and_then(|end| text.get(..end)).unwrap_or(text);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kind = if has(&["resolve"]) {
        Kind::UnknownHost
    } else if has(&["SASL", "uthentication"]) {
        Kind::Authentication
    } else if has(&["SSL", "TLS", "certificate"]) {
        Kind::Tls
    } else if has(&["refused"]) {
        Kind::Refused
    } else {
        Kind::Connection
    };
    Some(Cause { kind, broker: broker.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_the_broker_and_what_does_not_differ_from_try_to_try() {
        for (reason, kind, then) in [
            (
                "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT, 4 identical error(s) suppressed)",
                Kind::Refused,
                "127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
            ),
            (
                "none.invalid:9092/bootstrap: Failed to resolve 'none.invalid:9092': Name or service not known (after 7ms in state CONNECT)",
                Kind::UnknownHost,
                "none.invalid:9092: Failed to resolve 'none.invalid:9092': Name or service not known",
            ),
            (
                "ssl://[::1]:9093/1: SSL handshake failed: certificate verify failed (after 3ms in state SSL_HANDSHAKE)",
                Kind::Tls,
                "[::1]:9093: SSL handshake failed: certificate verify failed",
            ),
            (
                "sasl_plaintext://k:9092/bootstrap: SASL authentication error: Authentication failed (after 305ms in state AUTH_REQ)",
                Kind::Authentication,
                "k:9092: SASL authentication error: Authentication failed",
            ),
        ] {
            let cause = cause(reason).unwrap();
            assert_eq!((cause.kind, cause.to_string().as_str()), (kind, then));
        }
        assert_eq!(cause("1/1 brokers are down"), None);
    }
}
