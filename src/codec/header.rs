//! The names of the headers that the daemon writes. All other headers come from producers and are passed on.

/// The kind of the record: a delivery, a source event of a kind, or a command.
pub const KIND: &str = "ringback.kind";
/// Why the record became a dead letter.
pub const REASON: &str = "ringback.reason";
/// An explanation for operators.
pub const DETAIL: &str = "ringback.detail";
/// The topic of the source record.
pub const SOURCE_TOPIC: &str = "ringback.source.topic";
/// The partition of the source record.
pub const SOURCE_PARTITION: &str = "ringback.source.partition";
/// The offset of the source record.
pub const SOURCE_OFFSET: &str = "ringback.source.offset";
/// The timestamp of the source record.
pub const SOURCE_TIMESTAMP: &str = "ringback.source.timestamp";
/// The index in the array, if the source record is an array.
pub const SOURCE_INDEX: &str = "ringback.source.index";
/// How often the record was sent from one partition of the inbox to another.
pub const INBOX_HOPS: &str = "ringback.inbox-hops";
/// The name of the webhook that the delivery belongs to.
pub const WEBHOOK: &str = "ringback.webhook";
/// The id of the delivery, which the request has as its `webhook-id`.
pub const WEBHOOK_ID: &str = "ringback.webhook-id";
/// The id of the account.
pub const ACCOUNT: &str = "ringback.account";
/// The phase: 0, 1 or 2.
pub const PHASE: &str = "ringback.phase";
/// The number of attempts.
pub const ATTEMPTS: &str = "ringback.attempts";
/// When the first attempt ended, as RFC 3339.
pub const FIRST_ATTEMPT_AT: &str = "ringback.first-attempt-at";
/// When the last attempt ended, as RFC 3339.
pub const LAST_ATTEMPT_AT: &str = "ringback.last-attempt-at";
/// The length of the record in bytes, if the dead letter does not contain all of it.
pub const TRUNCATED_FROM_BYTES: &str = "ringback.truncated-from-bytes";
/// The name of the command that the record contains.
pub const COMMAND: &str = "ringback.command";
/// The position of a dead letter, `PARTITION:OFFSET`, on the record or command that replays it.
pub const LETTER: &str = "ringback.letter";

/// Every name that the daemon writes, on any topic. Headers with these names on records of other programs are not
/// passed on: in the inbox they would be commands, and on a dead letter they would describe it.
const OWN: [&str; 19] = [
    KIND,
    REASON,
    DETAIL,
    SOURCE_TOPIC,
    SOURCE_PARTITION,
    SOURCE_OFFSET,
    SOURCE_TIMESTAMP,
    SOURCE_INDEX,
    INBOX_HOPS,
    WEBHOOK,
    WEBHOOK_ID,
    ACCOUNT,
    PHASE,
    ATTEMPTS,
    FIRST_ATTEMPT_AT,
    LAST_ATTEMPT_AT,
    TRUNCATED_FROM_BYTES,
    COMMAND,
    LETTER,
];

/// Returns whether a header of this name is the daemon's own.
#[must_use]
pub fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::event::{delivery_headers, record_headers};
    use crate::domain::{
        AccountId, DeadLetterReason, Delivery, DeliveryId, Phase, Source, Timestamp, WebhookName,
    };
    use bytes::Bytes;

    #[test]
    fn every_header_that_is_written_is_known_as_the_daemons_own() {
        let at = Timestamp::from_ms(1);
        let source = Source {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: at,
            index: Some(3),
            trace: None,
        };
        let (account, reason) = (AccountId(1), DeadLetterReason::Refused);
        let id = DeliveryId::from_bytes([1; 16]);
        let webhook = WebhookName::new("w").unwrap();
        let delivery =
            Delivery::new(id, Phase::One, account, webhook, Bytes::new(), source.clone(), at);
        let delivery =
            Delivery { first_attempt_at: Some(at), last_attempt_at: Some(at), ..delivery };
        let names = delivery_headers(&delivery, reason)
            .into_iter()
            .chain(record_headers(&source, reason, Some(account), "detail"))
            .map(|(name, _)| name)
            .chain([COMMAND]);
        for name in names {
            assert!(is_own(name), "{name}");
        }
        assert!(!is_own("ringback.custom") && !is_own("traceparent"));
    }
}
