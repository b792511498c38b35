//! The headers of records: which names are the daemon's own, and which come from producers and are passed on.

/// Every name that the daemon writes, on whichever topic. Of a record of somebody else, headers of these names are not passed on:
/// in the inbox they would be commands, and in a dead letter what became of it.
const OWN: [&str; 17] = [
    "ringback.kind",
    "ringback.reason",
    "ringback.detail",
    "ringback.source.topic",
    "ringback.source.partition",
    "ringback.source.offset",
    "ringback.source.timestamp",
    "ringback.webhook",
    "ringback.webhook-id",
    "ringback.account",
    "ringback.phase",
    "ringback.attempts",
    "ringback.first-attempt-at",
    "ringback.last-attempt-at",
    "ringback.truncated-from-bytes",
    "ringback.command",
    "ringback.letter",
];

/// Whether a header of this name is the daemon's own.
#[must_use]
pub fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::command::COMMAND_HEADER;
    use crate::codec::event::{delivery_headers, record_headers};
    use crate::domain::{
        AccountId, DeadLetterReason, Delivery, DeliveryId, Phase, Source, Timestamp, WebhookName,
    };
    use bytes::Bytes;

    #[test]
    fn every_header_that_is_written_is_known_as_our_own() {
        let at = Timestamp::from_ms(1);
        let source = Source { topic: "t".into(), partition: 0, offset: 0, timestamp: at };
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
            .chain([COMMAND_HEADER]);
        for name in names {
            assert!(is_own(name), "{name}");
        }
        assert!(!is_own("ringback.custom") && !is_own("traceparent"));
    }
}
