//! Decodes records of the input topics into source events.
//!
//! Each record has one of three encodings: Confluent framing (`0x00`, schema id), Avro single-object encoding (`0xC3
//! 0x01`, fingerprint) or JSON. Avro becomes JSON of the same shape first. So one scan checks any record, hashes its
//! content and copies the parts that are passed on.

mod flow;
mod report;
mod start;

#[cfg(test)]
mod tests;

use super::avro::{self, Readers, Writer};
use super::schema;
use crate::domain::{
    AccountId, DeadLetterReason, DeliveryReport, FlowComplete, FlowId, FlowStarted, PhononUuid,
    RecordKind,
};
use crate::json;
use crate::json::scan::{self, MemberValue, ValueKind};
use std::collections::HashMap;

pub use super::avro::SchemaError;

/// The longest source event in bytes.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The largest id of a schema. Registries use signed integers of 32 bits and refuse questions about larger ids. A
/// larger one comes from bytes that are no Confluent framing.
const SCHEMA_ID_MAX: u32 = i32::MAX.cast_unsigned();

/// The largest number of ids that are kept as unknown to the registry. It bounds the memory if records contain random
/// ids.
const REJECTED_IDS_MAX: usize = 10_000;

/// The result of decoding a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A call begin record.
    Start(Box<FlowStarted>),
    /// A flow complete record.
    Flow(Box<FlowComplete>),
    Report(Box<DeliveryReport>),
    /// The schema with this id must be requested from the registry. Then the record is decoded again.
    NeedsSchema(u32),
    /// The record is no source event.
    Bad(Bad),
}

/// Why a record is no source event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// `Undecodable`, `UnknownSchema` or `NoUuid`.
    pub reason: DeadLetterReason,
    /// One sentence for the operator. It quotes nothing of the record.
    pub detail: String,
    /// The account that the record names, if it could be read.
    pub account: Option<AccountId>,
}

impl Bad {
    fn undecodable(detail: impl Into<String>) -> Self {
        Self { reason: DeadLetterReason::Undecodable, detail: detail.into(), account: None }
    }

    fn unknown_schema(detail: impl Into<String>) -> Self {
        Self { reason: DeadLetterReason::UnknownSchema, detail: detail.into(), account: None }
    }

    fn of(self, account: AccountId) -> Self {
        Self { account: Some(account), ..self }
    }
}

/// Decodes records. Keeps the registry's schemas, and buffers.
pub struct Decoder {
    registry_configured: bool,
    /// The schemas by id; `None` if the registry does not know the id.
    registry: HashMap<u32, Option<Writer>>,
    rejected: usize,
    /// The JSON of an Avro record.
    json: Vec<u8>,
    /// The record's JSON without white space.
    compact: Vec<u8>,
}

impl Decoder {
    /// Creates a decoder that knows the embedded schemas, and no schema of a registry yet.
    #[must_use]
    pub fn new(registry_configured: bool) -> Self {
        schema::limit_allocations();
        Self {
            registry_configured,
            registry: HashMap::new(),
            rejected: 0,
            json: Vec::new(),
            compact: Vec::new(),
        }
    }

    /// Adds the registry's schema with the id `id`.
    ///
    /// # Errors
    /// Records of the schema can't be read. The caller then rejects the id.
    pub fn add_schema(&mut self, id: u32, schema_json: &str) -> Result<(), SchemaError> {
        let writer = Writer::by_text(schema_json)?;
        if let Some(None) = self.registry.insert(id, Some(writer)) {
            self.rejected -= 1;
        }
        Ok(())
    }

    /// Decodes a record with the content `datum` by a schema that is not kept for other records.
    ///
    /// # Errors
    /// Records of the schema can't be read.
    pub fn decode_by(
        &mut self,
        schema_json: &str,
        kind: RecordKind,
        datum: &[u8],
    ) -> Result<Decoded, SchemaError> {
        let schema = avro::parse(schema_json)?;
        Ok(self.decode_avro(kind, datum, &Readers::new(&schema)?, datum))
    }

    /// Removes the schema with this id. The next record that names it needs it again.
    pub fn forget_schema(&mut self, id: u32) {
        if let Some(None) = self.registry.remove(&id) {
            self.rejected -= 1;
        }
    }

    /// Returns the id of the schema that `payload` names, if it must be requested from the registry.
    #[must_use]
    pub fn unknown_schema(&self, payload: &[u8]) -> Option<u32> {
        let (id, _) = payload.strip_prefix(&[0])?.split_first_chunk()?;
        let id = u32::from_be_bytes(*id);
        let is_unknown = id <= SCHEMA_ID_MAX && !self.registry.contains_key(&id);
        (self.registry_configured && is_unknown).then_some(id)
    }

    /// Marks an id that the registry does not know, or whose schema can't be used.
    pub fn reject_schema(&mut self, id: u32) {
        if self.rejected >= REJECTED_IDS_MAX {
            self.registry.retain(|_, writer| writer.is_some());
            self.rejected = 0;
        }
        if self.registry.insert(id, None).is_none_or(|known| known.is_some()) {
            self.rejected += 1;
        }
    }

    /// Decodes `payload`, a record of a topic of `kind`.
    pub fn decode(&mut self, kind: RecordKind, payload: &[u8]) -> Decoded {
        if payload.len() > RECORD_BYTES_MAX {
            return Decoded::Bad(Bad::undecodable(format!(
                "the record is {} bytes long, more than the {RECORD_BYTES_MAX} that a source event may have",
                payload.len()
            )));
        }
        match payload {
            [] => Decoded::Bad(Bad::undecodable("the record is empty")),
            [0, rest @ ..] => self.decode_framed(kind, payload, rest),
            [0xc3, 0x01, ..] => self.decode_single_object(kind, payload),
            _ if first_token(payload) == Some(b'{') => {
                decoded(kind, payload, payload, &mut self.compact)
            }
            _ => Decoded::Bad(Bad::undecodable(
                "the record is neither a JSON object nor Avro with a schema id or a fingerprint",
            )),
        }
    }

    fn decode_framed(&mut self, kind: RecordKind, payload: &[u8], rest: &[u8]) -> Decoded {
        let Some((id, datum)) = rest.split_first_chunk() else {
            return Decoded::Bad(Bad::undecodable("the record breaks off in its schema id"));
        };
        let id = u32::from_be_bytes(*id);
        if !self.registry_configured {
            return Decoded::Bad(Bad::unknown_schema(format!(
                "the record names the schema id {id}, and no schema registry is configured"
            )));
        }
        if id > SCHEMA_ID_MAX {
            return Decoded::Bad(Bad::unknown_schema(format!(
                "the record names the schema id {id}, and a schema registry has none above {SCHEMA_ID_MAX}"
            )));
        }
        match self.registry.get(&id).cloned() {
            None => Decoded::NeedsSchema(id),
            Some(None) => Decoded::Bad(Bad::unknown_schema(format!(
                "the schema registry has no usable schema with the id {id}"
            ))),
            Some(Some(writer)) => self.decode_avro(kind, payload, writer.readers(), datum),
        }
    }

    fn decode_single_object(&mut self, kind: RecordKind, payload: &[u8]) -> Decoded {
        let Some((fingerprint, datum)) = schema::split_single_object(payload) else {
            return Decoded::Bad(Bad::undecodable("the record breaks off in its fingerprint"));
        };
        match Writer::by_fingerprint(fingerprint) {
            Some(writer) => self.decode_avro(kind, payload, writer.readers(), datum),
            None => Decoded::Bad(Bad::unknown_schema(format!(
                "the record names a schema by the fingerprint {:016x}, which is not among the embedded schemas",
                u64::from_le_bytes(fingerprint)
            ))),
        }
    }

    fn decode_avro(
        &mut self,
        kind: RecordKind,
        payload: &[u8],
        writer: &Readers<'_>,
        datum: &[u8],
    ) -> Decoded {
        match writer.to_json(kind, datum, &mut self.json) {
            Ok(()) => decoded(kind, &self.json, payload, &mut self.compact),
            Err(fault @ avro::Fault::Unresolvable) => self.unresolvable(kind, writer, datum, fault),
            Err(fault) => Decoded::Bad(Bad::undecodable(avro_detail(fault))),
        }
    }

    /// A record that lacks only the uuid has its own reason. Any other record that can't be resolved is undecodable.
    fn unresolvable(
        &mut self,
        kind: RecordKind,
        writer: &Readers<'_>,
        datum: &[u8],
        fault: avro::Fault,
    ) -> Decoded {
        if writer.to_json_unresolved(datum, &mut self.json).is_ok()
            && let Decoded::Bad(bad) = decoded(kind, &self.json, &[], &mut self.compact)
            && bad.reason == DeadLetterReason::NoUuid
        {
            return Decoded::Bad(bad);
        }
        Decoded::Bad(Bad::undecodable(avro_detail(fault)))
    }
}

fn decoded(kind: RecordKind, json: &[u8], payload: &[u8], compact: &mut Vec<u8>) -> Decoded {
    let decoded = match kind {
        RecordKind::Start => {
            start::decode(json, compact).map(|start| Decoded::Start(Box::new(start)))
        }
        RecordKind::Flow => flow::decode(json, compact).map(|flow| Decoded::Flow(Box::new(flow))),
        RecordKind::Report => {
            report::decode(json, payload, compact).map(|report| Decoded::Report(Box::new(report)))
        }
    };
    decoded.unwrap_or_else(Decoded::Bad)
}

fn first_token(payload: &[u8]) -> Option<u8> {
    payload.iter().copied().find(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
}

fn avro_detail(fault: avro::Fault) -> &'static str {
    match fault {
        avro::Fault::BreaksOff => "the Avro record breaks off before its end",
        avro::Fault::Mismatch => "the Avro record does not match its schema",
        avro::Fault::Surplus => "bytes follow after the end of the Avro record",
        avro::Fault::TooMany => "the Avro record holds too many values, or nests them too deep",
        avro::Fault::TooLong => {
            "the Avro record is longer as JSON than a source event may be, or repeats long names"
        }
        avro::Fault::Unresolvable => {
            "the record's schema can't be resolved to the schema of the source event"
        }
        avro::Fault::NoJson => "the Avro record holds a value that JSON can't express",
    }
}

fn json_fault(fault: scan::Fault) -> Bad {
    Bad::undecodable(match fault {
        scan::Fault::Malformed(at) => format!("the JSON is malformed, or breaks off, at byte {at}"),
        scan::Fault::NotUtf8(at) => format!("the JSON is not UTF-8 at byte {at}"),
        scan::Fault::TooDeep => {
            format!("the JSON is nested deeper than {} levels", json::DEPTH_MAX)
        }
        scan::Fault::Repeated(name) => format!("the JSON has the field {name} more than once"),
    })
}

/// The members of a record, in its JSON without white space.
struct Fields<'c> {
    compact: &'c [u8],
}

impl<'c> Fields<'c> {
    fn text_of(&self, member: &MemberValue) -> &'c [u8] {
        self.compact.get(member.range.clone()).unwrap_or_default()
    }

    fn account(&self, member: Option<&MemberValue>) -> Result<AccountId, Bad> {
        self.integer("accountID", member)?
            .map(AccountId)
            .ok_or_else(|| Bad::undecodable("the field accountID is missing"))
    }

    fn flow(&self, member: Option<&MemberValue>) -> Result<Option<FlowId>, Bad> {
        Ok(self.integer("flowId", member)?.map(FlowId))
    }

    /// Reads an integer, or a string of its digits.
    fn integer(&self, name: &str, member: Option<&MemberValue>) -> Result<Option<i64>, Bad> {
        let Some(member) = member else { return Ok(None) };
        let text = self.text_of(member);
        let number = match member.kind {
            ValueKind::Number => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            ValueKind::Text => json::read_string(text)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok()),
            ValueKind::Null | ValueKind::Boolean(_) | ValueKind::Array | ValueKind::Object => None,
        };
        number.map(Some).ok_or_else(|| {
            Bad::undecodable(format!("the field {name} is not an integer of 64 bits"))
        })
    }

    fn uuid(&self, member: Option<&MemberValue>, account: AccountId) -> Result<PhononUuid, Bad> {
        let no_uuid = |detail: String| Bad {
            reason: DeadLetterReason::NoUuid,
            detail,
            account: Some(account),
        };
        let Some(member) = member else {
            return Err(no_uuid("the field phononUuid is missing".to_owned()));
        };
        let text =
            json::read_string(self.text_of(member)).filter(|_| member.kind == ValueKind::Text);
        text.and_then(|text| PhononUuid::new(&text)).ok_or_else(|| {
            no_uuid(format!(
                "the field phononUuid is not a string of 1 to {} bytes",
                PhononUuid::BYTES_MAX
            ))
        })
    }
}
