//! Decodes a delivery report, which is passed on whole.

use super::fields::content_hash;
use super::flow::sms_id;
use super::look::{field_of_flow, other_kind};
use super::{Bad, Fields, json_fault};
use crate::domain::{DeliveryReport, Headers, RecordKind, SmsId};
use crate::json;
use crate::json::scan::{self, MemberValue, Scanned, ValueKind};
use bytes::Bytes;
use std::borrow::Cow;

const FIELDS: [&str; 4] = ["id", "phononUuid", "accountID", "deliveryStatus"];

/// Decodes `record`, the JSON of the record whose bytes are `payload`.
pub(super) fn decode(
    record: &[u8],
    payload: &[u8],
    compact: &mut Vec<u8>,
) -> Result<DeliveryReport, Bad> {
    let Scanned { members, content } = scan::scan(record, &FIELDS, compact).map_err(json_fault)?;
    let [id, uuid, account, status] = members;
    let fields = Fields { compact };
    let account = fields.account(account.as_ref())?;
    let uuid = fields.uuid(uuid.as_ref(), account)?;
    let rest = || {
        if status.is_none()
            && let Some(field) = field_of_flow(record)
        {
            return Err(other_kind(RecordKind::Report, field, RecordKind::Flow));
        }
        Ok((sms(&fields, id.as_ref())?, delivery_status(&fields, status.as_ref())?))
    };
    let (sms, status) = rest().map_err(|bad: Bad| bad.of(account))?;
    let body = Bytes::copy_from_slice(compact);
    let raw = (body != payload).then(|| Bytes::copy_from_slice(payload));
    // The caller has the record's headers and adds them.
    let headers = Headers::default();
    let content = content_hash(content, &uuid);
    Ok(DeliveryReport { uuid, account, sms, status, body, raw, headers, content })
}

fn sms(fields: &Fields<'_>, member: Option<&MemberValue>) -> Result<SmsId, Bad> {
    member.and_then(|member| sms_id(member.kind, fields.text_of(member))).ok_or_else(|| {
        let max = SmsId::BYTES_MAX;
        Bad::undecodable(format!("the field id is missing or is not an id of 1 to {max} bytes"))
    })
}

/// Reads the status as the gateway spelt it: a text, or a number.
fn delivery_status(fields: &Fields<'_>, member: Option<&MemberValue>) -> Result<Box<str>, Bad> {
    let text = member.and_then(|member| match member.kind {
        ValueKind::Text => json::read_string(fields.text_of(member)),
        ValueKind::Number => std::str::from_utf8(fields.text_of(member)).ok().map(Cow::Borrowed),
        ValueKind::Null | ValueKind::Boolean(_) | ValueKind::Array | ValueKind::Object => None,
    });
    let text = text.filter(|text| text.chars().any(|char| !char.is_whitespace()));
    text.map(|text| text.into_owned().into_boxed_str()).ok_or_else(|| {
        Bad::undecodable(
            "the field deliveryStatus is missing, or is neither a non-empty string nor a number",
        )
    })
}
