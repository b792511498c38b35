//! Source events in the form that the codec returns: parsed once, valid, and with the parts that are passed on as they
//! were spelt.

use super::{AccountId, FlowId, PhononUuid, SharedList, SmsId, Timestamp, TraceContext};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// The position of a record in Kafka, its time, and the trace that its producer sent with it.
#[derive(Clone, Debug)]
pub struct Source {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// The record's own timestamp.
    pub timestamp: Timestamp,
    /// The place in the array that the record is. `None`: the record is no array.
    pub index: Option<u32>,
    /// The producer's trace. `None`: the producer sent none, or the daemon continues no traces.
    pub trace: Option<Arc<TraceContext>>,
}

/// Two positions of the same record are equal. What is known of its trace does not count: a dead letter of an earlier
/// version does not have it.
impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        let Self { topic, partition, offset, timestamp, index, trace: _ } = self;
        *topic == other.topic
            && *partition == other.partition
            && *offset == other.offset
            && *timestamp == other.timestamp
            && *index == other.index
    }
}

impl Eq for Source {}

/// A header that the producer of a record wrote. The daemon's own headers are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name. Several headers may have the same name.
    pub name: Box<str>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
}

/// The headers of a record in their order. All items of an array have the same ones, so that they are shared.
pub type Headers = SharedList<Header>;

/// A flow complete record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowComplete {
    pub uuid: PhononUuid,
    pub account: AccountId,
    /// The flow, if the gateway names it.
    pub flow: Option<FlowId>,
    /// Whether the flow triggers webhooks, if the record says so.
    pub webhook_enabled: Option<bool>,
    /// The SMS that the flow sent, without repetitions; `None` if the gateway does not know them.
    pub sms: Option<Vec<SmsId>>,
    /// The predefined body of phase 1.
    pub body: Bytes,
    /// The range of `keys` in `body`.
    pub keys: Range<usize>,
    /// The whole record as compact JSON.
    pub record: Bytes,
    /// A hash of the decoded content, the same in every encoding.
    pub content: u64,
}

/// A call begin record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStarted {
    pub uuid: PhononUuid,
    pub account: AccountId,
    /// The flow, if the gateway names it.
    pub flow: Option<FlowId>,
    /// Whether the flow triggers webhooks, if the record says so.
    pub webhook_enabled: Option<bool>,
    /// The whole record as compact JSON.
    pub record: Bytes,
    /// A hash of the decoded content, the same in every encoding.
    pub content: u64,
}

/// A delivery report: a status of one SMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The execution of the flow that sent the SMS.
    pub uuid: PhononUuid,
    pub account: AccountId,
    pub sms: SmsId,
    /// The status as the gateway spelt it.
    pub status: Box<str>,
    /// The report as JSON, spelt as it came.
    pub body: Bytes,
    /// The record as it came, if it differs from `body`.
    pub raw: Option<Bytes>,
    pub headers: Headers,
    /// A hash of the decoded content, the same in every encoding.
    pub content: u64,
}
