//! Records count as what they are, and are forwarded with what their owner needs.

use super::{
    FORWARDED_HEADERS, Forward, INBOX_HOPS_MAX, Reading, Record, RecordBody, Role, Topics,
    forward_headers, origin,
};
use crate::codec::header;
use crate::codec::source::{Decoder, Unwrap};
use crate::domain::{Header, RecordKind, Source, Timestamp, owner};
use crate::log::TopicPartition;
use rdkafka::message::{OwnedHeaders, OwnedMessage};
use std::collections::BTreeSet;

/// Returns a record with a header of 5 bytes.
pub(in crate::log) fn record(body: RecordBody, payload: &'static str) -> Record {
    Record {
        place: TopicPartition { topic: "t".into(), partition: 0 },
        offset: 1,
        at: Timestamp::from_ms(0),
        source: Source {
            topic: "t".into(),
            partition: 0,
            offset: 1,
            timestamp: Timestamp::from_ms(0),
            index: None,
            trace: None,
        },
        body,
        key: None,
        payload: Some(payload.into()),
        headers: [Header { name: "ab".into(), value: Some("cde".into()) }].into(),
        letter: None,
        inbox_hops: None,
    }
}

#[test]
fn an_array_counts_as_its_records_with_their_headers() {
    let items = vec![record(RecordBody::Skipped, "{}"), record(RecordBody::Skipped, "{}")];
    let array = record(RecordBody::Items(items), "[{},{}]");
    assert_eq!((array.count(), array.cost(100)), (2, 7 + 2 * (2 + 5 + 100)));
    let single = record(RecordBody::Skipped, "{}");
    assert_eq!((single.count(), single.cost(100)), (1, 102));
}

#[test]
fn the_origin_of_a_forwarded_record_is_read_in_the_present_and_an_earlier_format() {
    let source = Source {
        topic: "flow-complete".into(),
        partition: 3,
        offset: 42,
        timestamp: Timestamp::from_ms(1_697_696_721_042),
        index: None,
        trace: None,
    };
    let written = forward_headers(Forward::Record(RecordKind::Flow), &source);
    let [.., timestamp] = FORWARDED_HEADERS;
    assert_eq!(written.last(), Some(&(timestamp, "2023-10-19T06:25:21.042Z".to_owned())));
    for timestamp in ["2023-10-19T06:25:21.042Z", "1697696721042"] {
        let header = |name: &str| {
            let found = written.iter().find(|(known, _)| *known == name);
            let is_timestamp = FORWARDED_HEADERS.last() == Some(&name);
            if is_timestamp { Some(timestamp) } else { found.map(|(_, value)| value.as_str()) }
        };
        assert_eq!(origin(header), Some((RecordKind::Flow, source.clone())), "{timestamp}");
    }
}

/// The number of partitions that own uuids.
const OWNERS: u32 = 2;
const UUID: &str = "BD706F90-AA14-47EA-9844-3D1E1123F4EE";

/// Reads a report of [`UUID`] with these headers of the daemon.
fn read(topic: &str, partition: i32, headers: &[(&'static str, String)]) -> Record {
    let topics = Topics {
        roles: [
            ("inbox".into(), Role::Inbox),
            ("reports".into(), Role::Source(RecordKind::Report)),
        ]
        .into(),
        partitions: OWNERS,
        other_partition_counts: BTreeSet::new(),
        unwrap: Unwrap::default(),
        continues_traces: false,
    };
    let report =
        format!(r#"{{"id":"s","phononUuid":"{UUID}","accountID":28,"deliveryStatus":"SENT"}}"#);
    let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(rdkafka::message::Header { key, value: Some(value) })
    });
    let time = rdkafka::Timestamp::CreateTime(0);
    let (payload, topic) = (Some(report.into_bytes()), topic.to_owned());
    let message = OwnedMessage::new(payload, None, topic, time, partition, 0, Some(headers));
    match topics.read(&mut Decoder::new(false), &message) {
        Reading::Done(record) => *record,
        Reading::NeedsSchema(id) => panic!("{id}"),
    }
}

/// An earlier version takes another partition for the owner, because it compares the spelling of uuids. It passes on
/// the headers that it does not know.
#[test]
fn instances_of_two_versions_do_not_send_a_record_to_each_other_for_ever() {
    let own = owner(UUID.to_ascii_lowercase().as_bytes(), OWNERS);
    let mut record = read("reports", 1 - own, &[]);
    let mut hops = 0;
    let detail = loop {
        if let RecordBody::Bad(bad) = record.body {
            break bad.detail;
        }
        let RecordBody::Command { owner, forward, .. } = record.body else { panic!("{record:?}") };
        assert_eq!(owner, own);
        let headers = record.forward_headers(forward);
        let is_counted = headers.iter().any(|(name, _)| *name == header::INBOX_HOPS);
        assert_eq!(is_counted, hops > 0, "the way from its topic to the inbox is no hop");
        let arrived = read("inbox", own, &headers);
        assert!(matches!(arrived.body, RecordBody::Command { .. }), "its owner decides it");
        record = read("inbox", 1 - own, &headers);
        hops += 1;
        assert!(hops < 100, "it never ends");
    };
    assert_eq!(hops, 1 + i32::from(INBOX_HOPS_MAX));
    assert!(detail.contains("different versions"), "{detail}");
}
