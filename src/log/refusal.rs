//! Explains why Kafka refuses a record or a transaction, and what to do about it.
//!
//! The error of a failed commit does not name its cause. The cause is the error of the first record that was refused.

use super::client::LogError;
use rdkafka::error::RDKafkaErrorCode;

/// A record that Kafka has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    topic: String,
    bytes: usize,
    code: RDKafkaErrorCode,
}

impl Refused {
    /// Creates the refusal of a record of `bytes` for `topic` with `code`. Returns `None` if the record was only
    /// dropped with its transaction.
    pub(super) fn new(topic: &str, bytes: usize, code: RDKafkaErrorCode) -> Option<Self> {
        let is_consequence =
            [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight].contains(&code);
        (!is_consequence).then(|| Self { topic: topic.to_owned(), bytes, code })
    }

    /// Returns the refusal with the error code of the whole batch, if that is more precise. If Kafka refuses several
    /// records of a batch, librdkafka reports for each only that it is invalid.
    pub(super) fn by_batch(&self, batch: Option<RDKafkaErrorCode>) -> Self {
        let vague = [RDKafkaErrorCode::InvalidRecord, RDKafkaErrorCode::InvalidDifferentRecord];
        let code = batch.filter(|_| vague.contains(&self.code)).unwrap_or(self.code);
        Self { code, ..self.clone() }
    }
}

/// The reasons for which a broker refuses a record.
const REFUSALS: [(RDKafkaErrorCode, &str); 12] = [
    (
        RDKafkaErrorCode::TopicAuthorizationFailed,
        "not authorised to write: grant Write on the topic to this client",
    ),
    (
        RDKafkaErrorCode::InvalidTimestamp,
        "the broker refuses the record's timestamp: set this machine's clock right, or widen the topic's \
         message.timestamp.before.max.ms and message.timestamp.after.max.ms",
    ),
    (RDKafkaErrorCode::UnknownTopicOrPartition, GONE),
    (RDKafkaErrorCode::UnknownTopic, GONE),
    (RDKafkaErrorCode::UnknownPartition, GONE),
    (RDKafkaErrorCode::UnknownTopicId, GONE),
    (RDKafkaErrorCode::NotEnoughReplicas, REPLICAS),
    (RDKafkaErrorCode::NotEnoughReplicasAfterAppend, REPLICAS),
    (
        RDKafkaErrorCode::MessageTimedOut,
        "the broker did not take the record in time: the topic was deleted, or its partition has no leader",
    ),
    (RDKafkaErrorCode::InvalidRecord, POLICY),
    (RDKafkaErrorCode::InvalidDifferentRecord, POLICY),
    (RDKafkaErrorCode::PolicyViolation, POLICY),
];
const GONE: &str = "the topic or one of its partitions no longer exists";
const REPLICAS: &str = "fewer replicas are in sync than min.insync.replicas requires";
const POLICY: &str = "the topic's settings or a policy of the broker forbid the record";

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic, bytes, code } = self;
        write!(f, "topic {topic}: ")?;
        let too_large =
            [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::MessageBatchTooLarge];
        if too_large.contains(code) {
            return write!(
                f,
                "a record of {bytes} bytes, or the batch that it was sent in, is larger than the topic's \
                 max.message.bytes (or message.max.bytes of the broker or of [kafka.client]): raise it"
            );
        }
        match REFUSALS.iter().find(|(known, _)| known == code) {
            Some((_, why)) => f.write_str(why),
            None => write!(f, "{code}"),
        }
    }
}

/// Returns an explanation of a call's error code, if there is one beyond librdkafka's text.
pub(super) fn words(code: RDKafkaErrorCode) -> Option<&'static str> {
    const WORDS: [(RDKafkaErrorCode, &str); 4] = [
        (
            RDKafkaErrorCode::TopicAuthorizationFailed,
            "not authorised to read or write one of the topics: see ops/guide/rights.md",
        ),
        (
            RDKafkaErrorCode::GroupAuthorizationFailed,
            "not authorised to commit the group's offsets: grant Read on the group to this client",
        ),
        (
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
            "not authorised to use the transactional id: grant Write and Describe on it to this client",
        ),
        (
            RDKafkaErrorCode::ClusterAuthorizationFailed,
            "not authorised in the cluster: grant IdempotentWrite to this client",
        ),
    ];
    WORDS.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

/// Returns a client's error with its explanation.
pub(super) fn explained(code: RDKafkaErrorCode, text: &str) -> String {
    let text = without_durations(text);
    words(code).map_or_else(|| format!("{text} ({code:?})"), |words| format!("{words} ({text})"))
}

/// Returns the text without "(after 5 ms)", so that one cause has the same text at each try.
fn without_durations(text: &str) -> String {
    let mut parts = text.split(" (after ");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let after = part
            .split_once("ms)")
            .filter(|(time, _)| time.trim_end().bytes().all(|byte| byte.is_ascii_digit()));
        match after {
            Some((_, rest)) => left.push_str(rest),
            None => {
                left.push_str(" (after ");
                left.push_str(part);
            }
        }
    }
    left
}

impl LogError {
    /// Returns the failed request and its cause in one line.
    #[must_use]
    pub fn cause(&self) -> String {
        let (Self::Client(source) | Self::Request { source, .. }) = self else {
            return self.to_string();
        };
        let known = source.rdkafka_error_code().and_then(words);
        known.map_or_else(
            || format!("{self}: {source}"),
            |words| format!("{self}: {words} ({source})"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::KafkaError;

    #[test]
    fn a_refused_record_names_its_topic_and_the_remedy() {
        let says = |code| Refused::new("ringback.events", 421, code).unwrap().to_string();
        for (code, parts) in [
            (
                RDKafkaErrorCode::TopicAuthorizationFailed,
                &["topic ringback.events: not authorised to write", "grant Write"][..],
            ),
            (
                RDKafkaErrorCode::MessageSizeTooLarge,
                &["topic ringback.events: a record of 421 bytes", "max.message.bytes"],
            ),
            (
                RDKafkaErrorCode::InvalidTimestamp,
                &["refuses the record's timestamp", "clock", "message.timestamp.after.max.ms"],
            ),
            (RDKafkaErrorCode::UnknownTopicOrPartition, &["no longer exists"]),
            (RDKafkaErrorCode::MessageTimedOut, &["did not take the record in time"]),
            (RDKafkaErrorCode::KafkaStorageError, &["topic ringback.events: "]),
        ] {
            for part in parts {
                assert!(says(code).contains(part), "{part}: {}", says(code));
            }
        }
    }

    #[test]
    fn the_error_of_a_batch_replaces_the_vague_errors_of_its_records() {
        let refused = |code| Refused::new("t", 1, code).unwrap();
        let vague = refused(RDKafkaErrorCode::InvalidRecord);
        let batch = Some(RDKafkaErrorCode::InvalidTimestamp);
        assert!(vague.by_batch(batch).to_string().contains("the record's timestamp"));
        assert_eq!(vague.by_batch(None), vague);
        let exact = refused(RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(exact.by_batch(batch), exact);
    }

    #[test]
    fn one_cause_has_the_same_text_at_each_try() {
        let says = |text| explained(RDKafkaErrorCode::Fail, text);
        assert_eq!(says("no (after 5 ms)"), says("no (after 12ms)"));
        assert_eq!(says("no (after 5 ms) x (after all)"), "no x (after all) (Fail)");
    }

    #[test]
    fn a_record_that_was_dropped_with_its_transaction_is_not_a_cause() {
        for code in [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight] {
            assert_eq!(Refused::new("t", 1, code), None);
        }
    }

    #[test]
    fn a_missing_right_is_named_for_every_call() {
        for (code, right) in [
            (RDKafkaErrorCode::GroupAuthorizationFailed, "Read on the group"),
            (RDKafkaErrorCode::TransactionalIdAuthorizationFailed, "on it"),
            (RDKafkaErrorCode::ClusterAuthorizationFailed, "IdempotentWrite"),
        ] {
            assert!(explained(code, "Broker: no").contains(right));
            let source = KafkaError::MessageProduction(code);
            let error = LogError::Request { what: "the producer can't be made".into(), source };
            let cause = error.cause();
            assert!(cause.starts_with("the producer can't be made: ") && cause.contains(right));
        }
        assert_eq!(explained(RDKafkaErrorCode::Fail, "no"), "no (Fail)");
    }
}
