//! Finds out why Kafka can't be reached, and logs librdkafka's own cause in one line, once a minute for as long as it
//! lasts.
//!
//! librdkafka reports each try of each client with different numbers in the text. The error that a call returns says
//! only that the transport failed. So this module records causes as librdkafka reports them, and the code that waits
//! for Kafka logs the last one.

use super::client;
use super::report::is_due;
use super::settings::KafkaSettings;
use crate::clock;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A cause that is not reported again within this time is over: librdkafka repeats a lasting one every 30 s.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(90);

/// The time for a connection. A slower one is a cause by itself.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
const LOOK_PAUSE: Duration = Duration::from_millis(50);
const LOOKS_MAX: usize = 20;

/// The kind of problem between a client and a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProblemKind {
    /// Nothing listens at the address.
    Refused,
    /// The host name does not resolve.
    UnknownHost,
    /// The TLS handshake fails.
    Tls,
    /// The broker rejects the credentials.
    Authentication,
    /// Anything else, such as a connection that breaks or is not made in time.
    Connection,
}

impl ProblemKind {
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

/// The reason why a broker can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    kind: ProblemKind,
    /// Host and port, as the configuration or Kafka itself spells them.
    broker: String,
    /// librdkafka's text, without the parts that differ from try to try.
    text: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.broker, self.text)
    }
}

/// The last cause with the time of its report, and whether the outage was logged since Kafka last answered.
static LAST: Mutex<(Option<(Cause, Instant)>, bool)> = Mutex::new((None, false));

/// Records an error of librdkafka if it is about a connection, and returns whether it is. Logs at once a cause that
/// lasts until someone corrects the configuration.
pub(super) fn note(code: Option<RDKafkaErrorCode>, reason: &str) -> bool {
    let is_noted = code.is_some_and(is_about_connections);
    // "All brokers are down" gives no cause.
    if is_noted && code != Some(RDKafkaErrorCode::AllBrokersDown) {
        note_text(reason);
    }
    is_noted
}

/// Records a line of librdkafka's log. A client that is not polled reports nothing else.
pub(super) fn note_line(line: &str) {
    // The line may begin with `[thrd:NAME]: `.
    let thread = line.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: "));
    note_text(thread.map_or(line, |(_, text)| text));
}

fn note_text(text: &str) {
    let Some(cause) = cause(text) else { return };
    // Other causes may be harmless: brokers close idle connections and accept them again.
    let lasts = matches!(cause.kind, ProblemKind::Tls | ProblemKind::Authentication);
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

/// Returns the last cause that was reported, unless it is over.
#[must_use]
pub fn last_cause() -> Option<Cause> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = last.0.as_ref().filter(|(_, at)| clock::since(*at) < FORGOTTEN_AFTER);
    fresh.map(|(cause, _)| cause.clone())
}

/// Sends a request to Kafka to learn why it does not answer, unless a cause is known. Blocks for some seconds.
///
/// A client reports the cause to the thread that polls it, and clients that only send requests are not polled.
pub fn look(settings: &KafkaSettings) {
    if last_cause().is_some() {
        return;
    }
    // A client that can't be created fails for another reason.
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

/// Returns whether the outage was logged and Kafka has not answered since.
#[must_use]
pub fn is_said() -> bool {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).1
}

/// Logs that Kafka can't be reached, at most once a minute for each kind of cause. `brokers` names the brokers for the
/// case that no cause is known.
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

/// Logs that Kafka answers again, if the outage was logged.
pub fn over() {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, was_said) = std::mem::take(&mut *last);
    drop(last);
    if was_said {
        tracing::info!("Kafka answers again");
    }
}

/// Parses librdkafka's `[sasl_ssl://]host:port/id: text (after 3ms in state CONNECT, 2 identical error(s) suppressed)`.
fn cause(reason: &str) -> Option<Cause> {
    let (head, text) = reason.split_once(": ")?;
    let (name, _) = head.rsplit_once('/')?;
    let broker = name.rsplit_once("://").map_or(name, |(_, broker)| broker);
    let text = text.rfind(" (after ").and_then(|end| text.get(..end)).unwrap_or(text);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kind = if has(&["resolve"]) {
        ProblemKind::UnknownHost
    } else if has(&["SASL", "uthentication"]) {
        ProblemKind::Authentication
    } else if has(&["SSL", "TLS", "certificate"]) {
        ProblemKind::Tls
    } else if has(&["refused"]) {
        ProblemKind::Refused
    } else {
        ProblemKind::Connection
    };
    Some(Cause { kind, broker: broker.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_the_broker_and_the_text_that_is_the_same_for_each_try() {
        for (reason, kind, then) in [
            (
                "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT, 4 identical error(s) suppressed)",
                ProblemKind::Refused,
                "127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
            ),
            (
                "none.invalid:9092/bootstrap: Failed to resolve 'none.invalid:9092': Name or service not known (after 7ms in state CONNECT)",
                ProblemKind::UnknownHost,
                "none.invalid:9092: Failed to resolve 'none.invalid:9092': Name or service not known",
            ),
            (
                "ssl://[::1]:9093/1: SSL handshake failed: certificate verify failed (after 3ms in state SSL_HANDSHAKE)",
                ProblemKind::Tls,
                "[::1]:9093: SSL handshake failed: certificate verify failed",
            ),
            (
                "sasl_plaintext://k:9092/bootstrap: SASL authentication error: Authentication failed (after 305ms in state AUTH_REQ)",
                ProblemKind::Authentication,
                "k:9092: SASL authentication error: Authentication failed",
            ),
        ] {
            let cause = cause(reason).unwrap();
            assert_eq!((cause.kind, cause.to_string().as_str()), (kind, then));
        }
        assert_eq!(cause("1/1 brokers are down"), None);
    }
}
