//! The JSON of a delivery as its dead letter and the command that replays it share it. Each of them has further members.
//!
//! `webhook_id`, `phonon_uuid`, `account_id`, `webhook`, `phase`, `replays`, `sms_id` or `sms`, `traceparent` and
//! `tracestate` if the record's producer sent them, and the members of [`super::rendering`].

use super::rendering;
use super::sms;
use super::trace_context::{self, TRACEPARENT, TRACESTATE};
use crate::domain::{AccountId, Delivery, DeliveryId, Phase, PhononUuid, Source, WebhookName};
use crate::json::Object;
use bytes::Bytes;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// Writes the members that say which delivery it is.
pub(super) fn write_identity(object: &mut Object<'_>, uuid: &PhononUuid, delivery: &Delivery) {
    object.display("webhook_id", &delivery.id);
    object.text("phonon_uuid", uuid.as_str());
    object.integer("account_id", delivery.account.0);
    object.text("webhook", delivery.webhook.as_str());
    object.integer("phase", i64::from(delivery.phase.number()));
    if let Some(trace) = &delivery.source.trace {
        object.display(TRACEPARENT, trace);
        if let Some(state) = trace.state() {
            object.text(TRACESTATE, state);
        }
    }
}

/// The members of a dead letter or a command from which its delivery is made.
#[derive(Deserialize)]
pub(super) struct Members<'a> {
    #[serde(borrow)]
    webhook_id: Cow<'a, str>,
    #[serde(borrow)]
    phonon_uuid: Cow<'a, str>,
    account_id: i64,
    #[serde(borrow)]
    webhook: Cow<'a, str>,
    phase: u8,
    replays: u32,
    #[serde(borrow, default)]
    sms_id: Option<Cow<'a, str>>,
    #[serde(default)]
    sms: Vec<String>,
    #[serde(borrow, default)]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tracestate: Option<Cow<'a, str>>,
    /// The record that triggered the delivery, in a command. The source of a dead letter is in its headers.
    #[serde(borrow)]
    pub(super) source: Option<SourcePosition<'a>>,
    /// The body, in a command.
    #[serde(borrow)]
    pub(super) body: Option<Text<'a>>,
    /// The request, in a dead letter.
    #[serde(borrow)]
    pub(super) request: Option<Request<'a>>,
}

/// A text that is borrowed unless a character in it is escaped.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

#[derive(Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub(super) body: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct SourcePosition<'a> {
    #[serde(borrow)]
    pub(super) topic: Cow<'a, str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    #[serde(borrow)]
    pub(super) timestamp: Cow<'a, str>,
    /// The index in the array, if the record is an array.
    #[serde(default)]
    pub(super) index: Option<u32>,
}

impl<'a> Members<'a> {
    /// Reads the members of the object `value`.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// Returns the delivery, as it is before its first attempt, and its uuid. `value` is the whole object. Returns
    /// `None` if a member has an impossible value.
    pub(super) fn delivery(
        &self,
        value: &[u8],
        body: &str,
        source: Source,
    ) -> Option<(PhononUuid, Delivery)> {
        let at = source.timestamp;
        let state = self.tracestate.iter().map(|state| state.as_bytes());
        let trace = |parent: &Cow<'_, str>| trace_context::read(parent.as_bytes(), state);
        let trace = self.traceparent.as_ref().and_then(trace);
        let source = Source { trace: trace.map(Arc::new), ..source };
        let delivery = Delivery {
            replays: self.replays,
            rendering: rendering::Text::read(value)?,
            sms: sms::read(self.sms_id.as_deref(), &self.sms)?,
            ..Delivery::new(
                DeliveryId::parse(&self.webhook_id)?,
                Phase::ALL.into_iter().find(|phase| phase.number() == self.phase)?,
                AccountId(self.account_id),
                WebhookName::new(&self.webhook)?,
                Bytes::copy_from_slice(body.as_bytes()),
                source,
                at,
            )
        };
        Some((PhononUuid::new(&self.phonon_uuid)?, delivery))
    }
}
