//! Decodes a flow complete record, and creates the body of its phase 1.

use super::fields::content_hash;
use super::look::{called, other_kind};
use super::{Bad, Fields, json_fault};
use crate::domain::{FlowComplete, RecordKind, SmsId};
use crate::json;
use crate::json::scan::{self, MemberValue, Scanned, ValueKind};
use bytes::Bytes;
use std::collections::HashSet;

const FIELDS: [&str; 10] = [
    "phononUuid",
    "accountID",
    "flowId",
    "webhookEnabled",
    "callDetails",
    "keys",
    "recordingUrls",
    "sms",
    "completedAt",
    "deliveryStatus",
];

/// The number of ids of SMS up to which it is faster to compare all of them than to hash each.
const COMPARED_MAX: usize = 16;

pub(super) fn decode(record: &[u8], compact: &mut Vec<u8>) -> Result<FlowComplete, Bad> {
    let Scanned { members, content } = scan::scan(record, &FIELDS, compact).map_err(json_fault)?;
    let [uuid, account, flow, enabled, calls, keys, recordings, sms, completed, status] = members;
    let fields = Fields { compact };
    let account = fields.account(account.as_ref())?;
    let uuid = fields.uuid(uuid.as_ref(), account)?;
    let rest = || {
        if status.is_some() {
            return Err(other_kind(RecordKind::Flow, "deliveryStatus", RecordKind::Report));
        }
        if [&calls, &keys, &sms, &completed].into_iter().all(Option::is_none) {
            return Err(Bad::undecodable(format!(
                "the record has none of callDetails, keys, sms and completedAt: it looks like a {}, or its fields have \
                 other names",
                called(RecordKind::Start)
            )));
        }
        let flow = fields.flow(flow.as_ref())?;
        let webhook_enabled = fields.boolean("webhookEnabled", enabled.as_ref())?;
        let calls = array(&fields, "callDetails", calls.as_ref())?;
        let keys = array(&fields, "keys", keys.as_ref())?;
        let recordings = array(&fields, "recordingUrls", recordings.as_ref())?;
        let sms = sms_list(array(&fields, "sms", sms.as_ref())?)?;
        let mut body = Vec::with_capacity(
            80 + uuid.spelling().len()
                + [calls, keys, recordings]
                    .iter()
                    .map(|member| member.map_or(2, <[u8]>::len))
                    .sum::<usize>(),
        );
        body.extend_from_slice(br#"{"callDetails":"#);
        body.extend_from_slice(calls.unwrap_or(b"[]"));
        body.extend_from_slice(br#","keys":"#);
        let keys_start = body.len();
        body.extend_from_slice(keys.unwrap_or(b"[]"));
        let keys = keys_start..body.len();
        body.extend_from_slice(br#","phonon-uuid":"#);
        json::write_string(&mut body, uuid.spelling());
        if let Some(recordings) = recordings.filter(|recordings| *recordings != b"[]") {
            body.extend_from_slice(br#","recordingUrls":"#);
            body.extend_from_slice(recordings);
        }
        body.push(b'}');
        Ok((flow, webhook_enabled, sms, Bytes::from(body), keys))
    };
    let (flow, webhook_enabled, sms, body, keys) = rest().map_err(|bad: Bad| bad.of(account))?;
    // Only the rules decide whether the record is needed later. A copy costs little compared with the rest.
    let record = Bytes::copy_from_slice(compact);
    let content = content_hash(content, &uuid);
    Ok(FlowComplete { uuid, account, flow, webhook_enabled, sms, body, keys, record, content })
}

fn array<'c>(
    fields: &Fields<'c>,
    name: &str,
    member: Option<&MemberValue>,
) -> Result<Option<&'c [u8]>, Bad> {
    match member {
        Some(member) if member.kind == ValueKind::Array => Ok(Some(fields.text_of(member))),
        Some(_) => Err(Bad::undecodable(format!("the field {name} is not an array"))),
        None => Ok(None),
    }
}

/// Reads the ids of the SMS, without repetitions and in their order.
fn sms_list(array: Option<&[u8]>) -> Result<Option<Vec<SmsId>>, Bad> {
    let Some(array) = array else { return Ok(None) };
    let fault = || {
        let max = SmsId::BYTES_MAX;
        Bad::undecodable(format!(
            "the field sms contains something other than ids of 1 to {max} bytes"
        ))
    };
    let items = scan::scalars(array).ok_or_else(fault)?;
    let mut seen = (items.len() > COMPARED_MAX).then(|| HashSet::with_capacity(items.len()));
    let mut list = Vec::with_capacity(items.len());
    for (kind, text) in items {
        let id = sms_id(kind, text).ok_or_else(fault)?;
        let is_new = match &mut seen {
            Some(seen) => seen.insert(id.clone()),
            None => !list.contains(&id),
        };
        if is_new {
            list.push(id);
        }
    }
    Ok(Some(list))
}

/// Reads the id of an SMS, which is a string or an integer.
pub(super) fn sms_id(kind: ValueKind, text: &[u8]) -> Option<SmsId> {
    match kind {
        ValueKind::Text => SmsId::new(&json::read_string(text)?),
        ValueKind::Number => {
            let integer = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
            SmsId::new(std::str::from_utf8(text).ok().filter(|_| integer)?)
        }
        ValueKind::Null | ValueKind::Boolean(_) | ValueKind::Array | ValueKind::Object => None,
    }
}
