//! Copies the unread records of the inbox, while the group has no members.
//!
//! The new inbox may have copies of an interrupted run, of records that an instance has read since. So the group
//! begins behind everything that the new inbox has now.

use super::place::{Destination, destination};
use super::{REQUEST_TIMEOUT, Repartition, RepartitionError};
use crate::clock;
use crate::codec::command::{COMMAND_HEADER, REPORT_ENDPOINT, write_report_endpoint};
use crate::codec::event::write_endpoint_event;
use crate::codec::row::{InputOffset, TopicId};
use crate::domain::{
    EndpointCommand, EndpointEvent, Finding, FindingKind, Header, Timestamp, WebhookName,
    apply_command, evolve_endpoint, notices_owner,
};
use crate::log::{self, Outgoing, ScanFrom, ScanRange, ScanRecord, Steward};
use crate::offsets::Position;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const RECORDS_MAX: usize = 1000;
const BYTES_MAX: usize = 4 << 20;

/// A record to be copied.
struct CopiedRecord {
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
    at: Timestamp,
}

/// The result of copying the unread records.
pub(super) struct Unread {
    /// The positions at which the new inbox is read.
    pub(super) positions: Vec<InputOffset>,
    /// The former inbox up to its end.
    pub(super) former: Vec<ScanRange>,
    /// The events of the commands that the repartition has carried out, each with its webhook.
    pub(super) events: Vec<(WebhookName, Vec<u8>)>,
    /// The number of copied records.
    pub(super) copied: u64,
}

/// Copies records in transactions of bounded size, and carries out commands about endpoints.
struct InboxCopier<'a> {
    repartition: &'a Repartition,
    steward: &'a Steward,
    former_partitions: u32,
    endpoints: &'a mut super::compare::Endpoints,
    events: Vec<(WebhookName, Vec<u8>)>,
    /// The endpoints that a command has enabled after a report that they are disabled.
    enabled: BTreeMap<WebhookName, Timestamp>,
    records: Vec<CopiedRecord>,
    bytes: usize,
    copied: u64,
}

impl Repartition {
    /// Copies the records of the former inbox that are not read by `positions`. Changes `endpoints` as their commands
    /// say.
    pub(super) fn copy_inbox(
        &self,
        steward: &Steward,
        positions: &[Position],
        former_partitions: u32,
        endpoints: &mut super::compare::Endpoints,
    ) -> Result<Unread, RepartitionError> {
        let (old, new) = (self.topics.inbox.as_str(), self.new.inbox.as_str());
        let begin = self.positions.settled(&self.scanner, new, ScanFrom::Beginning)?;
        let former = self.positions.settled(&self.scanner, old, ScanFrom::Beginning)?;
        let next: BTreeMap<i32, i64> = positions
            .iter()
            .filter(|position| *position.place.topic == *old)
            .map(|position| (position.place.partition, position.next()))
            .collect();
        let unread = former.iter().map(|range| {
            let from = next.get(&range.partition).copied().unwrap_or(range.first);
            ScanRange { from: from.clamp(range.first, range.end), ..*range }
        });
        let unread: Vec<ScanRange> = unread.collect();
        let (records, events) = (Vec::new(), Vec::new());
        let mut copier = InboxCopier {
            repartition: self,
            steward,
            former_partitions,
            endpoints,
            events,
            enabled: BTreeMap::new(),
            records,
            bytes: 0,
            copied: 0,
        };
        let mut failed = None;
        let mut watch = |_: log::Progress<'_>| ControlFlow::Continue(());
        let _whole = self.scanner.scan(old, &unread, &mut watch, &mut |record| {
            copier.take(record).map_or_else(
                |error| {
                    failed = Some(error);
                    ControlFlow::Break(())
                },
                ControlFlow::Continue,
            )
        })?;
        failed.map_or(Ok(()), Err)?;
        // Behind the reports that they are disabled.
        for (webhook, at) in std::mem::take(&mut copier.enabled) {
            copier.report_enabled(&webhook, at);
        }
        copier.commit()?;
        let InboxCopier { events, copied, .. } = copier;
        let topic_id = self.cluster.identity(&[new], REQUEST_TIMEOUT)?.topic(new).cloned();
        let position = |range: &ScanRange| self.inbox_position(range, topic_id.clone());
        let positions = begin.iter().map(position).collect();
        Ok(Unread { positions, former, events, copied })
    }

    fn inbox_position(&self, range: &ScanRange, topic_id: Option<TopicId>) -> InputOffset {
        InputOffset {
            topic: self.new.inbox.as_str().into(),
            partition: range.partition,
            next_offset: range.end,
            topic_id,
            landmark: None,
        }
    }
}

impl InboxCopier<'_> {
    fn take(&mut self, record: &ScanRecord<'_>) -> Result<(), RepartitionError> {
        let partitions = self.repartition.request.partitions;
        let payload = (record.key(), record.value().unwrap_or_default());
        let header = |name: &str| record.header(name);
        match destination(record.partition(), payload, header, partitions) {
            Destination::Endpoint(webhook, command) => {
                self.apply(record.partition(), webhook, command, record.timestamp());
                return Ok(());
            }
            Destination::Partition(partition) => {
                let headers = record.headers().map(|(name, value)| Header {
                    name: name.into_owned().into(),
                    value: value.map(Bytes::copy_from_slice),
                });
                let (key, value) = (record.key(), record.value());
                self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                self.records.push(CopiedRecord {
                    partition,
                    key: key.map(<[u8]>::to_vec),
                    value: value.map(<[u8]>::to_vec),
                    headers: headers.collect(),
                    at: record.timestamp(),
                });
            }
        }
        if self.records.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX {
            self.commit()?;
        }
        Ok(())
    }

    /// Carries out the command as the owner of the former partition would do it.
    fn apply(
        &mut self,
        partition: i32,
        webhook: WebhookName,
        command: EndpointCommand<'_>,
        at: Timestamp,
    ) {
        // A partition that the changelog does not have owns no rows, so no instance applies it.
        if partition.cast_unsigned() >= self.former_partitions {
            return;
        }
        let state = self.endpoints.entry((partition, webhook.clone())).or_default();
        let Some(event) = apply_command(state, command) else { return };
        let is_reported = state.reported.is_some_and(|it| it.kind == FindingKind::Disabled);
        *state = evolve_endpoint(*state, &event);
        if is_reported && event == EndpointEvent::Enabled {
            self.enabled.insert(webhook.clone(), at);
        }
        self.publish(webhook, &event);
    }

    /// Lets the partition that decides about the notices of the endpoint know that it is enabled.
    fn report_enabled(&mut self, webhook: &WebhookName, at: Timestamp) {
        let Some(partition) = notices_owner(webhook, self.repartition.request.partitions) else {
            return;
        };
        let mut value = Vec::new();
        write_report_endpoint(&mut value, webhook, &Finding::Recovered { enabled: true });
        let command = Header {
            name: COMMAND_HEADER.into(),
            value: Some(Bytes::from_static(REPORT_ENDPOINT.as_bytes())),
        };
        let key = Some(webhook.as_str().as_bytes().to_vec());
        let (value, headers) = (Some(value), vec![command]);
        self.records.push(CopiedRecord { partition, key, value, headers, at });
    }

    fn publish(&mut self, webhook: WebhookName, event: &EndpointEvent) {
        let mut value = Vec::new();
        if write_endpoint_event(&mut value, &webhook, None, clock::now(), event) {
            self.events.push((webhook, value));
        }
    }

    fn commit(&mut self) -> Result<(), RepartitionError> {
        if self.records.is_empty() {
            return Ok(());
        }
        self.steward.begin()?;
        for record in &self.records {
            self.steward.send(&Outgoing {
                topic: &self.repartition.new.inbox,
                partition: Some(record.partition),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                foreign: &record.headers,
                // Inputs are read in the order of their timestamps.
                at: Some(record.at),
                ..Outgoing::default()
            })?;
        }
        self.steward.commit(&BTreeMap::new())?;
        self.copied += self.records.len() as u64;
        self.records.clear();
        self.bytes = 0;
        Ok(())
    }
}
