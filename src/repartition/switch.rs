//! Completes the new changelog and replaces the former one, in one transaction.

use super::compare::{Compared, Endpoints};
use super::copy::Copier;
use super::inbox::Unread;
use super::place::{Placed, merged, place};
use super::{Plan, REQUEST_TIMEOUT, Repartition, RepartitionError, Summary, Watch};
use crate::clock;
use crate::codec::event::{RepartitionEvent, write_repartitioned};
use crate::codec::row::{self, Meta, Owner};
use crate::domain::{EndpointState, Timestamp, WebhookName};
use crate::failpoint::{self, Failpoint};
use crate::log::{self, GroupOffset, NeededBy, Outgoing, ScanFrom, ScanRange, TopicPartition};
use crate::offsets::Position;
use crate::store::RowKey;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

const ROWS_MAX: usize = 1000;

/// The content of the last transaction, and the facts that it depends on.
struct Last<'a> {
    plan: &'a Plan,
    unread: &'a Unread,
    placed: Placed,
    /// The positions that were read.
    positions: &'a [Position],
    /// The former changelog up to its end.
    former: &'a [ScanRange],
    now: Timestamp,
}

impl Repartition {
    /// Copies and compares the rest, and replaces the former changelog.
    pub(super) fn switch(
        &self,
        plan: &Plan,
        copier: &mut Copier<'_>,
        watch: Watch<'_>,
    ) -> Result<Summary, RepartitionError> {
        let began = Instant::now();
        let former = copier.finish(watch)?;
        let Compared { rows, former: mut endpoints, new } = self.compare(&former, watch)?;
        failpoint::pass(Failpoint::RowsCompared);
        let positions = self.offsets.read(NeededBy::Repartition)?;
        let partitions = plan.former_partitions;
        let unread = self.copy_inbox(copier.steward, &positions, partitions, &mut endpoints)?;
        self.write_endpoints(copier, &merged(&endpoints), &new)?;
        let inputs = positions.iter().filter(|it| *it.place.topic != *self.topics.inbox);
        let inputs = inputs.filter_map(Position::carried).chain(unread.positions.iter().cloned());
        let count = |topic: &str| match topic == self.new.inbox {
            true => Some(self.request.partitions),
            false => plan.counts.get(topic).copied(),
        };
        let placed = place(inputs, &copier.owners, count);
        let (positions, former, now) = (&positions[..], &former[..], clock::now());
        let last = Last { plan, unread: &unread, placed, positions, former, now };
        self.commit_last(copier, &last)?;
        failpoint::pass(Failpoint::Switched);
        let (copied, stopped) = (copier.copied, began.elapsed());
        Ok(Summary { copied, rows, inbox: unread.copied, stopped })
    }

    /// Writes the state of each endpoint to all partitions of the new changelog, unless an interrupted run has done so.
    fn write_endpoints(
        &self,
        copier: &Copier<'_>,
        wanted: &BTreeMap<WebhookName, EndpointState>,
        written: &Endpoints,
    ) -> Result<(), RepartitionError> {
        let mut rows: Vec<(i32, Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        let key = |webhook: &WebhookName| {
            let mut key = Vec::new();
            RowKey::write_endpoint(webhook, &mut key);
            key
        };
        for partition in 0..self.request.partitions.cast_signed() {
            for (webhook, state) in wanted {
                if written.get(&(partition, webhook.clone())) != Some(state) {
                    let mut value = Vec::new();
                    row::encode_endpoint(state, &mut value);
                    rows.push((partition, key(webhook), Some(value)));
                }
            }
        }
        let stale = written.keys().filter(|(_, webhook)| !wanted.contains_key(webhook));
        rows.extend(stale.map(|(partition, webhook)| (*partition, key(webhook), None)));
        for rows in rows.chunks(ROWS_MAX) {
            copier.steward.begin()?;
            for (partition, key, value) in rows {
                copier.send(*partition, key, value.as_deref())?;
            }
            copier.steward.commit(&BTreeMap::new())?;
        }
        Ok(())
    }

    /// Commits the last transaction, unless an instance has started meanwhile.
    fn commit_last(&self, copier: &Copier<'_>, last: &Last<'_>) -> Result<(), RepartitionError> {
        let steward = copier.steward;
        // Before the transaction, which must not time out.
        let marked = self.marked(last)?;
        steward.begin()?;
        let sent = self.send_last(copier, last, marked).and_then(|()| {
            steward.flush()?;
            // Nothing has changed since everything was read. An instance that starts from now on waits: first for the
            // rows of this transaction, then for its offsets.
            self.check_unchanged(last)?;
            steward.offer(&last.placed.group)?;
            failpoint::pass(Failpoint::SwitchSent);
            self.check_alone()
        });
        if let Err(error) = sent {
            steward.abort();
            return Err(error);
        }
        Ok(steward.commit(&BTreeMap::new())?)
    }

    fn send_last(
        &self,
        copier: &Copier<'_>,
        last: &Last<'_>,
        marked: BTreeMap<i32, Meta>,
    ) -> Result<(), RepartitionError> {
        let committed_at = last.now;
        let mut bytes = Vec::new();
        for (number, owner) in (0_i32..).zip(&copier.owners) {
            let offsets = last.placed.rows.get(&number).cloned().unwrap_or_default();
            bytes.clear();
            row::encode_meta(
                &Meta { offsets, committed_at, owner: Some(owner.clone()) },
                &mut bytes,
            );
            copier.send(number, RowKey::META, Some(&bytes))?;
        }
        for (number, meta) in marked {
            bytes.clear();
            row::encode_meta(&meta, &mut bytes);
            copier.steward.send(&Outgoing {
                topic: &self.topics.changelog,
                partition: Some(number),
                changelog: true,
                key: Some(RowKey::META),
                value: Some(&bytes),
                ..Outgoing::default()
            })?;
        }
        for (webhook, value) in &last.unread.events {
            self.publish(copier, webhook.as_str(), value)?;
        }
        bytes.clear();
        let event = RepartitionEvent {
            changelog: &self.new.changelog,
            former_changelog: &self.topics.changelog,
            inbox: &self.new.inbox,
            former_inbox: &self.topics.inbox,
            partitions: self.request.partitions,
            former_partitions: last.plan.former_partitions,
        };
        write_repartitioned(&mut bytes, last.now, &event);
        self.publish(copier, &self.topics.changelog, &bytes)
    }

    fn publish(
        &self,
        copier: &Copier<'_>,
        key: &str,
        value: &[u8],
    ) -> Result<(), RepartitionError> {
        Ok(copier.steward.send(&Outgoing {
            topic: &self.topics.events,
            key: Some(key.as_bytes()),
            value: Some(value),
            ..Outgoing::default()
        })?)
    }

    /// Returns the meta row of each partition of the former changelog, with the mark.
    fn marked(&self, last: &Last<'_>) -> Result<BTreeMap<i32, Meta>, RepartitionError> {
        let topic = &self.topics.changelog;
        let identity = self.cluster.identity(&[topic], REQUEST_TIMEOUT)?;
        let ours = self.ours(&identity, topic, last.plan.former_partitions);
        let mut metas = self.former_metas(&self.scanner.newest(topic, RowKey::META)?)?;
        for ScanRange { partition, .. } in last.former {
            let meta = metas.entry(*partition).or_default();
            let owner = meta.owner.take().unwrap_or_else(|| ours.clone());
            meta.owner = Some(Owner { replaced_by: Some(self.replacement()), ..owner });
            meta.committed_at = meta.committed_at.max(last.now);
        }
        Ok(metas)
    }

    /// Fails if an instance has written something since the rows and positions were read: it has started and stopped
    /// again.
    fn check_unchanged(&self, last: &Last<'_>) -> Result<(), RepartitionError> {
        // This transaction has added the marked row to each partition of the changelog.
        let same_rows = self.is_unchanged(&self.topics.changelog, last.former, 1)?;
        let same_inbox = self.is_unchanged(&self.topics.inbox, &last.unread.former, 0)?;
        let places: Vec<TopicPartition> =
            last.positions.iter().map(|position| position.place.clone()).collect();
        let committed = self.positions.offsets(&places)?;
        let known = last.positions.iter().filter_map(|it| Some((&it.place, it.group.as_ref()?)));
        let known: BTreeMap<&TopicPartition, &GroupOffset> = known.collect();
        if same_rows && same_inbox && committed.iter().collect::<BTreeMap<_, _>>() == known {
            return Ok(());
        }
        Err(RepartitionError::Refused(
            "an instance or a command has written to the topics meanwhile. Nothing was changed for the instances. Run the \
             same command again: it continues"
                .to_owned(),
        ))
    }

    /// Returns whether each partition of `topic` has got no record since it was read as `former`, except for the last
    /// `own` ones, which belong to this transaction. Kafka may have ended the transaction of an instance that was killed:
    /// its marker is no record.
    fn is_unchanged(
        &self,
        topic: &str,
        former: &[ScanRange],
        own: i64,
    ) -> Result<bool, RepartitionError> {
        let wants = former.iter().map(|range| (range.partition, ScanFrom::Offset(range.end)));
        let added = self.scanner.ranges(topic, &wants.collect::<Vec<_>>())?;
        let highs = self.positions.highs(topic, former)?;
        // Nothing but the own records is behind the last stable offset.
        if !added.iter().zip(&highs).all(|(range, high)| range.end + own == *high) {
            return Ok(false);
        }
        let mut watch = |_: log::Progress<'_>| ControlFlow::Continue(());
        let flow = self.scanner.scan(topic, &added, &mut watch, &mut |_| ControlFlow::Break(()))?;
        Ok(flow.is_continue())
    }
}
