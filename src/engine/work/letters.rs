//! The dead letters of a batch. Each keeps its whole delivery or record.

use super::outbound::Target;
use super::{DeferredReport, View, Work};
use crate::codec::event::{self, Became, RequestView};
use crate::codec::header;
use crate::domain::{
    AccountId, DeadLetterReason, Delivery, Event, Headers, IgnoredRecord, PhononUuid, RawRecord,
    Source,
};
use crate::log::Record;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// The maximum bytes of a record in a dead letter.
const RAW_BYTES_MAX: usize = 16 << 20;

impl Work {
    pub(super) fn delivery_dead_letter(
        &mut self,
        uuid: &PhononUuid,
        key: Range<usize>,
        delivery: &Delivery,
        reason: DeadLetterReason,
        view: &View<'_>,
    ) {
        let endpoint = view.lanes.endpoint(&delivery.webhook);
        let rendered = delivery.rendering.rendered();
        let parts = endpoint.as_ref().and_then(|it| it.webhook().shown_parts(rendered));
        let own: Vec<(&str, Cow<'_, str>)> = parts
            .iter()
            .flat_map(|parts| &parts.headers)
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let public = endpoint.iter().flat_map(|endpoint| endpoint.public_headers());
        let public = public.filter(|(name, _)| own.iter().all(|(known, _)| known != name));
        let headers: Vec<(&str, &str)> =
            public.chain(own.iter().map(|(name, value)| (*name, &**value))).collect();
        let request = endpoint.as_ref().map(|endpoint| RequestView {
            method: endpoint.webhook().method.as_str(),
            url: parts.as_ref().map_or(&endpoint.webhook().url, |parts| &parts.url).as_str(),
            headers: &headers,
        });
        let start = self.outbound.buffer.len();
        event::write_delivery_dead_letter(
            &mut self.outbound.buffer,
            uuid,
            delivery,
            reason,
            request.as_ref(),
        );
        let value = start..self.outbound.buffer.len();
        self.outbound.leave(
            Target::DeadLetter,
            Some(key),
            Some(value),
            event::delivery_headers(delivery, reason),
        );
    }

    /// Writes a record that can't be decoded to the dead letters, as it is.
    pub(in crate::engine) fn bad(
        &mut self,
        record: &Record,
        bad: &crate::codec::source::Bad,
        view: &View<'_>,
    ) {
        let raw = RawRecord {
            kind: None,
            account: bad.account,
            sms: None,
            payload: None,
            headers: Headers::default(),
            source: record.source.clone(),
        };
        let key = record.key.as_ref().map(|key| self.outbound.append(key));
        let start = self.outbound.buffer.len();
        event::write_record_dead_lettered(
            &mut self.outbound.buffer,
            view.now,
            &raw,
            bad.reason,
            &bad.detail,
        );
        let value = start..self.outbound.buffer.len();
        self.outbound.leave(Target::Events, key.clone(), Some(value), Vec::new());
        let headers = event::record_headers(&record.source, bad.reason, bad.account, &bad.detail);
        self.raw_dead_letter(key, record.payload.as_ref(), headers, record.headers.clone());
        self.letter_settled(record, None, Became::DeadLettered, view);
        if let Some(traced) = &mut self.traced {
            traced.refused(&record.source, bad);
        }
        let (place, offset) = (record.place.clone(), record.offset);
        let (reason, detail) = (bad.reason, bad.detail.clone());
        self.reports.push(DeferredReport::Bad { place, offset, reason, detail });
    }

    /// Adds the result of a record that was replayed from the dead letters.
    pub(super) fn letter_settled(
        &mut self,
        record: &Record,
        about: Option<(&PhononUuid, Option<AccountId>)>,
        became: Became,
        view: &View<'_>,
    ) {
        let Some(letter) = &record.letter else { return };
        let key = match about {
            Some((uuid, _)) => Some(self.outbound.append(uuid.as_str().as_bytes())),
            None => record.key.as_ref().map(|key| self.outbound.append(key)),
        };
        let start = self.outbound.buffer.len();
        let (out, source) = (&mut self.outbound.buffer, &record.source);
        event::write_record_replayed(out, about, view.now, letter, source, became);
        let value = start..self.outbound.buffer.len();
        self.outbound.leave(Target::Events, key, Some(value), Vec::new());
    }

    /// Reports that the dead letter that was replayed as `record` changes nothing.
    pub(in crate::engine) fn letter_ignored(&mut self, record: &Record, view: &View<'_>) {
        self.letter_settled(record, None, Became::Ignored, view);
    }

    /// Writes the record's bytes as they are. Bytes above the limit of a dead letter are cut off, and a header says so.
    pub(super) fn raw_dead_letter(
        &mut self,
        key: Option<Range<usize>>,
        payload: Option<&Bytes>,
        mut headers: Vec<(&'static str, String)>,
        foreign: Headers,
    ) {
        // A tombstone has no value, and keeps none.
        let value = payload.map(|payload| {
            let kept = payload.get(..RAW_BYTES_MAX).unwrap_or(payload);
            if kept.len() < payload.len() {
                headers.push((header::TRUNCATED_FROM_BYTES, payload.len().to_string()));
            }
            self.outbound.append(kept)
        });
        self.outbound.leave(Target::DeadLetter, key, value, headers);
        self.outbound.pass_on(foreign);
    }
}

/// Returns the result of the record at `source`, according to the decision's events.
pub(super) fn became(events: &[Event], source: &Source) -> Became {
    for event in events {
        if let Event::RecordDeadLettered { record, .. } = event
            && record.source == *source
        {
            return Became::DeadLettered;
        }
        if let Event::RecordIgnored(IgnoredRecord { source: of, .. })
        | Event::FlowSilenced { source: of, .. } = event
            && of == source
        {
            return Became::Ignored;
        }
    }
    Became::Accepted
}
