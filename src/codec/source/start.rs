//! Decodes a call begin record. The record is kept whole, because variables may use any of its members.

use super::flow::boolean;
use super::{Bad, Fields, json_fault};
use crate::domain::FlowStarted;
use crate::json::scan::{self, Scanned};
use bytes::Bytes;

const FIELDS: [&str; 4] = ["phononUuid", "accountID", "flowId", "webhookEnabled"];

pub(super) fn decode(record: &[u8], compact: &mut Vec<u8>) -> Result<FlowStarted, Bad> {
    let Scanned { members, content } = scan::scan(record, &FIELDS, compact).map_err(json_fault)?;
    let [uuid, account, flow, enabled] = members;
    let fields = Fields { compact };
    let account = fields.account(account.as_ref())?;
    let uuid = fields.uuid(uuid.as_ref(), account)?;
    let flow = fields.flow(flow.as_ref()).map_err(|bad| bad.of(account))?;
    let enabled = boolean("webhookEnabled", enabled.as_ref());
    let webhook_enabled = enabled.map_err(|bad| bad.of(account))?;
    let record = Bytes::copy_from_slice(compact);
    Ok(FlowStarted { uuid, account, flow, webhook_enabled, record, content })
}
