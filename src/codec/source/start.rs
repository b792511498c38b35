//! Decodes a call begin record. The record is kept whole, because variables may use any of its members.

use super::fields::content_hash;
use super::look::other_kind;
use super::{Bad, Fields, json_fault};
use crate::domain::{FlowStarted, RecordKind};
use crate::json::scan::{self, Scanned};
use bytes::Bytes;

const FIELDS: [&str; 8] = [
    "phononUuid",
    "accountID",
    "flowId",
    "webhookEnabled",
    "deliveryStatus",
    "completedAt",
    "recordingUrls",
    "sms",
];

/// A call that begins has none of these.
const OF_OTHERS: [(&str, RecordKind); 4] = [
    ("deliveryStatus", RecordKind::Report),
    ("completedAt", RecordKind::Flow),
    ("recordingUrls", RecordKind::Flow),
    ("sms", RecordKind::Flow),
];

pub(super) fn decode(record: &[u8], compact: &mut Vec<u8>) -> Result<FlowStarted, Bad> {
    let Scanned { members, content } = scan::scan(record, &FIELDS, compact).map_err(json_fault)?;
    let [uuid, account, flow, enabled, others @ ..] = members;
    let fields = Fields { compact };
    let account = fields.account(account.as_ref())?;
    let uuid = fields.uuid(uuid.as_ref(), account)?;
    let other = OF_OTHERS.iter().zip(&others).find(|(_, part)| part.is_some());
    if let Some(((field, kind), _)) = other {
        return Err(other_kind(RecordKind::Start, field, *kind).of(account));
    }
    let flow = fields.flow(flow.as_ref()).map_err(|bad| bad.of(account))?;
    let enabled = fields.boolean("webhookEnabled", enabled.as_ref());
    let webhook_enabled = enabled.map_err(|bad| bad.of(account))?;
    let record = Bytes::copy_from_slice(compact);
    let content = content_hash(content, &uuid);
    Ok(FlowStarted { uuid, account, flow, webhook_enabled, record, content })
}
