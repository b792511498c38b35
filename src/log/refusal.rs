//! Why Kafka refuses a record or a transaction, in words that say what to do.
//!
//! A transaction that can't be committed says so and no more: the cause is the error of the first record that was refused.

use super::client::LogError;
use rdkafka::error::RDKafkaErrorCode;

/// A record that Kafka did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    topic: String,
    bytes: usize,
    code: RDKafkaErrorCode,
}

impl Refused {
    /// The record of `bytes` for `topic` that was refused with `code`; nothing when it was only given up with its transaction.
    pub(super) fn new(topic: &str, bytes: usize, code: RDKafkaErrorCode) -> Option<Self> {
        let is_consequence =
            [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight].contains(&code);
        (!is_consequence).then(|| Self { topic: topic.to_owned(), bytes, code })
    }

    /// The same by what Kafka says of the whole batch. Where it refuses several records of a batch, librdkafka says of each only
    /// that it is invalid.
    pub(super) fn by_batch(&self, batch: Option<RDKafkaErrorCode>) -> Self {
        let vague = [RDKafkaErrorCode::InvalidRecord, RDKafkaErrorCode::InvalidDifferentRecord];
        let code = batch.filter(|_| vague.contains(&self.code)).unwrap_or(self.code);
        Self { code, ..self.clone() }
    }
}

/// Why a broker does not take a record.
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
const GONE: &str = "the topic or one of its partitions does not exist any more";
const REPLICAS: &str = "fewer replicas are in sync than min.insync.replicas asks for";
const POLICY: &str = "the broker refuses the record by the topic's settings or a policy";

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

/// What a call's error means, where it says more than what was asked and that it failed.
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

/// A client's error with what it means.
pub(super) fn explained(code: RDKafkaErrorCode, text: &str) -> String {
    let text = without_durations(text);
    words(code).map_or_else(|| format!("{text} ({code:?})"), |words| format!("{words} ({text})"))
}

/// The text without "(after 5 ms)": one cause would look like another one at each try.
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
    /// What failed and why, in one line.
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
    fn a_refused_record_names_its_topic_and_what_to_do() {
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
            (RDKafkaErrorCode::UnknownTopicOrPartition, &["does not exist any more"]),
            (RDKafkaErrorCode::MessageTimedOut, &["did not take the record in time"]),
            (RDKafkaErrorCode::KafkaStorageError, &["topic ringback.events: "]),
        ] {
            for part in parts {
                assert!(says(code).contains(part), "{part}: {}", says(code));
            }
        }
    }

    #[test]
    fn a_refused_batch_says_more_than_its_records() {
        let refused = |code| Refused::new("t", 1, code).unwrap();
        let vague = refused(RDKafkaErrorCode::InvalidRecord);
        let batch = Some(RDKafkaErrorCode::InvalidTimestamp);
        assert!(vague.by_batch(batch).to_string().contains("the record's timestamp"));
        assert_eq!(vague.by_batch(None), vague);
        let exact = refused(RDKafkaErrorCode::MessageSizeTooLarge);
        assert_eq!(exact.by_batch(batch), exact);
    }

    #[test]
    fn one_cause_reads_the_same_at_each_try() {
        let says = |text| explained(RDKafkaErrorCode::Fail, text);
        assert_eq!(says("no (after 5 ms)"), says("no (after 12ms)"));
        assert_eq!(says("no (after 5 ms) x (after all)"), "no x (after all) (Fail)");
    }

    #[test]
    fn a_record_that_was_given_up_with_its_transaction_is_no_cause() {
        for code in [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight] {
            assert_eq!(Refused::new("t", 1, code), None);
        }
    }

    #[test]
    fn a_right_that_is_missing_is_named_whichever_call_misses_it() {
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
