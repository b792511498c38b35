//! Source events, as the codec hands them over: parsed once, valid, and with the parts that are passed on as they were spelt.

use super::{AccountId, FlowId, PhononUuid, SmsId, Timestamp};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Where a record stands in Kafka, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own timestamp.
    pub timestamp: Timestamp,
}

/// A header of a record that its producer wrote, beside those of this daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name; several may have the same.
    pub name: Box<str>,
    /// Its value; `None`: null.
    pub value: Option<Bytes>,
}

/// A flow complete record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowComplete {
    /// The flow's execution.
    pub uuid: PhononUuid,
    /// Whose flow it was.
    pub account: AccountId,
    /// Which flow it was, when the gateway says so.
    pub flow: Option<FlowId>,
    /// The record's own word on whether its flow triggers webhooks.
    pub webhook_enabled: Option<bool>,
    /// The SMS that the flow sent, without repetition; `None` when the gateway does not know.
    pub sms: Option<Vec<SmsId>>,
    /// The predefined body of phase 1.
    pub body: Bytes,
    /// Where `keys` stands in `body`.
    pub keys: Range<usize>,
    /// The whole record as compact JSON.
    pub record: Bytes,
    /// A hash of the decoded content, the same in every encoding.
    pub content: u64,
}

/// A call begin record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStarted {
    /// The flow's execution.
    pub uuid: PhononUuid,
    /// Whose flow it is.
    pub account: AccountId,
    /// Which flow it is, when the gateway says so.
    pub flow: Option<FlowId>,
    /// The record's own word on whether its flow triggers webhooks.
    pub webhook_enabled: Option<bool>,
    /// The whole record as compact JSON.
    pub record: Bytes,
    /// A hash of the decoded content, the same in every encoding.
    pub content: u64,
}

/// A delivery report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The flow's execution that sent the SMS.
    pub uuid: PhononUuid,
    /// Whose SMS it was.
    pub account: AccountId,
    /// Which SMS it was.
    pub sms: SmsId,
    /// The status as the gateway spelt it.
    pub status: Box<str>,
    /// The report as JSON, spelt as it came.
    pub body: Bytes,
    /// The record as it came, when it is not the same as `body`.
    pub raw: Option<Bytes>,
    /// The record's headers.
    pub headers: Vec<Header>,
    /// A hash of the decoded content, the same in every encoding.
    pub content: u64,
}
