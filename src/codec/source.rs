//! Decodes records of the input topics into source events.
//!
//! A record is JSON, Avro in single-object encoding (`0xC3 0x01`, fingerprint), or Avro or JSON that a schema of the
//! registry describes (`framing`). Avro becomes JSON of the same shape first. So one scan checks any record, hashes
//! its content and copies the parts that are passed on.
//!
//! A record that is no source event may be an envelope with one inside (`envelope`), or something else (`look`). Only
//! a record whose scan failed is looked at again, so that this costs nothing for all others.

mod envelope;
mod extended;
mod fields;
mod flow;
mod framing;
mod items;
mod known;
mod look;
mod report;
mod start;

#[cfg(test)]
mod tests;

use super::avro::Readers;
use super::schema;
use crate::domain::{
    AccountId, DeadLetterReason, DeliveryReport, FlowComplete, FlowStarted, Header, RecordKind,
};
use crate::json;
use crate::json::scan;
use envelope::Opened;
use fields::Fields;
use framing::Framed;
use known::{KnownSchemas, Schema};

pub use super::avro::SchemaError;
pub use envelope::{Envelope, Unwrap};
pub use framing::{RegisteredSchema, SchemaId, is_framing_header};
pub use items::{Item, ItemContent};
pub(super) use look::called;

/// The longest source event in bytes.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The number of envelopes that may be inside each other.
const ENVELOPES_MAX: usize = 4;

/// The largest number of the registry's schemas that one record may name. The items of an array name one each, and all
/// of them must be known at the same time.
const SCHEMAS_OF_RECORD_MAX: usize = 16;

/// The first bytes of UTF-8 text that some programs write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The result of decoding a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A call begin record.
    Start(Box<FlowStarted>),
    /// A flow complete record.
    Flow(Box<FlowComplete>),
    Report(Box<DeliveryReport>),
    /// A record that holds an array of reports.
    Items(Vec<Item>),
    /// The record says nothing that concerns the daemon, such as that a document was deleted.
    Skipped,
    /// The schema with this id must be requested from the registry. Then the record is decoded again.
    NeedsSchema(SchemaId),
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
    /// Returns the fault of a record that can't be decoded.
    pub fn undecodable(detail: impl Into<String>) -> Self {
        Self { reason: DeadLetterReason::Undecodable, detail: detail.into(), account: None }
    }

    fn unknown_schema(detail: impl Into<String>) -> Self {
        Self { reason: DeadLetterReason::UnknownSchema, detail: detail.into(), account: None }
    }

    /// Returns whether only the record's schema is missing.
    #[must_use]
    pub fn is_unknown_schema(&self) -> bool {
        self.reason == DeadLetterReason::UnknownSchema
    }

    fn of(self, account: AccountId) -> Self {
        Self { account: Some(account), ..self }
    }
}

/// Decodes records. Keeps the registry's schemas, and buffers.
pub struct Decoder {
    registry_configured: bool,
    unwrap: Unwrap,
    registry: KnownSchemas,
    /// The ids that the present record has named so far.
    named: Vec<SchemaId>,
    /// The JSON of an Avro record.
    json: Vec<u8>,
    /// The record's JSON without white space.
    compact: Vec<u8>,
}

impl Decoder {
    /// Creates a decoder that knows the embedded schemas, and no schema of a registry yet. It takes records out of the
    /// envelopes `unwrap`.
    #[must_use]
    pub fn unwrapping(unwrap: Unwrap, registry_configured: bool) -> Self {
        Self {
            registry_configured,
            unwrap,
            registry: KnownSchemas::default(),
            named: Vec::new(),
            json: Vec::new(),
            compact: Vec::new(),
        }
    }

    /// Creates a decoder that takes records out of no envelope.
    #[must_use]
    pub fn new(registry_configured: bool) -> Self {
        Self::unwrapping(Unwrap::default(), registry_configured)
    }

    /// Returns whether records are taken from envelopes.
    #[must_use]
    pub fn unwraps(&self) -> bool {
        self.unwrap.is_any()
    }

    /// Adds the registry's schema with the id `id`.
    ///
    /// # Errors
    /// Records of the schema can't be read. The caller then rejects the id.
    pub fn add(&mut self, id: SchemaId, schema: &RegisteredSchema) -> Result<(), SchemaError> {
        self.registry.add(id, schema)
    }

    /// Returns whether the registry's schema with this id is known, or rejected.
    #[must_use]
    pub fn knows(&self, id: SchemaId) -> bool {
        self.registry.holds(id)
    }

    /// Adds an Avro schema that refers to no other.
    ///
    /// # Errors
    /// Records of the schema can't be read.
    pub fn add_schema(&mut self, id: u32, text: &str) -> Result<(), SchemaError> {
        let schema = RegisteredSchema::Avro { text: text.to_owned(), references: Vec::new() };
        self.add(SchemaId::Id(id), &schema)
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
        let readers = Readers::new(schema_json, &[])?;
        Ok(self.avro(kind, datum, &readers, datum, 0))
    }

    /// Removes the schema with this id. The next record that names it needs it again.
    pub fn forget_schema(&mut self, id: SchemaId) {
        self.registry.forget(id);
    }

    /// Returns the id of the schema that a record names, if it must be requested from the registry.
    #[must_use]
    pub fn unknown_schema(&self, payload: &[u8], headers: &[Header]) -> Option<SchemaId> {
        let Framed::By(id, _) = framing::split(payload, headers) else { return None };
        let is_unknown = id.is_possible() && !self.knows(id);
        (self.registry_configured && is_unknown).then_some(id)
    }

    /// Marks an id that the registry does not know, or whose schema can't be used.
    pub fn reject_schema(&mut self, id: SchemaId) {
        self.registry.reject(id);
    }

    /// Decodes `payload`, a record without headers of a topic of `kind`.
    pub fn decode(&mut self, kind: RecordKind, payload: &[u8]) -> Decoded {
        self.decode_with(kind, payload, &[])
    }

    /// Decodes `payload`, a record with these headers of a topic of `kind`.
    pub fn decode_with(&mut self, kind: RecordKind, payload: &[u8], headers: &[Header]) -> Decoded {
        if payload.len() > RECORD_BYTES_MAX {
            return Decoded::Bad(Bad::undecodable(format!(
                "the record is {} bytes long, more than the {RECORD_BYTES_MAX} that a source event may have",
                payload.len()
            )));
        }
        self.named.clear();
        self.framed(kind, payload, headers, payload, 0)
    }

    /// Decodes the content of a record, or of an envelope in it. `raw` is the record as it came.
    fn framed(
        &mut self,
        kind: RecordKind,
        payload: &[u8],
        headers: &[Header],
        raw: &[u8],
        envelopes: usize,
    ) -> Decoded {
        match framing::split(payload, headers) {
            Framed::Not => {}
            Framed::Broken(detail) => return Decoded::Bad(Bad::undecodable(detail)),
            Framed::By(id, datum) => return self.by_id(kind, id, datum, raw, envelopes),
        }
        match payload {
            // The tombstone that follows the deletion of a document.
            [] if self.unwrap.has_tombstones() => Decoded::Skipped,
            [] => Decoded::Bad(Bad::undecodable("the record is empty")),
            [0xc3, 0x01, ..] => self.single_object(kind, payload, raw, envelopes),
            _ => self.text(kind, payload, raw, envelopes),
        }
    }

    fn by_id(
        &mut self,
        kind: RecordKind,
        id: SchemaId,
        datum: &[u8],
        raw: &[u8],
        envelopes: usize,
    ) -> Decoded {
        if !self.registry_configured {
            // JSON needs no schema.
            return match first_token(datum) {
                Some(b'{' | b'[') => self.text(kind, datum, raw, envelopes),
                _ => Decoded::Bad(Bad::unknown_schema(format!(
                    "the record names {id}, and no schema registry is configured"
                ))),
            };
        }
        if !id.is_possible() {
            return Decoded::Bad(Bad::unknown_schema(format!(
                "the record names {id}, and a schema registry has none above {}",
                framing::SCHEMA_ID_MAX
            )));
        }
        if !self.named.contains(&id) {
            if self.named.len() == SCHEMAS_OF_RECORD_MAX {
                return Decoded::Bad(Bad::undecodable(format!(
                    "the record names more than {SCHEMAS_OF_RECORD_MAX} schemas of the registry"
                )));
            }
            self.named.push(id);
        }
        match self.registry.get(id) {
            None => Decoded::NeedsSchema(id),
            Some(Schema::Rejected) => Decoded::Bad(Bad::unknown_schema(format!(
                "the schema registry has no usable schema for {id}"
            ))),
            Some(Schema::Protobuf) => Decoded::Bad(Bad::undecodable(format!(
                "the record is Protobuf by {id}, which is not read: write JSON or Avro"
            ))),
            Some(Schema::Json) => self.text(kind, datum, raw, envelopes),
            Some(Schema::Avro(readers)) => self.avro(kind, raw, &readers, datum, envelopes),
        }
    }

    fn single_object(
        &mut self,
        kind: RecordKind,
        payload: &[u8],
        raw: &[u8],
        envelopes: usize,
    ) -> Decoded {
        let Some((fingerprint, datum)) = schema::split_single_object(payload) else {
            return Decoded::Bad(Bad::undecodable("the record breaks off in its fingerprint"));
        };
        match Readers::by_fingerprint(fingerprint) {
            Some(readers) => self.avro(kind, raw, &readers, datum, envelopes),
            None => Decoded::Bad(Bad::unknown_schema(format!(
                "the record names a schema by the fingerprint {:016x}, which is not among the embedded schemas",
                u64::from_le_bytes(fingerprint)
            ))),
        }
    }

    fn avro(
        &mut self,
        kind: RecordKind,
        raw: &[u8],
        readers: &Readers,
        datum: &[u8],
        envelopes: usize,
    ) -> Decoded {
        let mut json = std::mem::take(&mut self.json);
        let bad = match readers.to_json(kind, datum, &mut json) {
            Ok(()) => {
                let decoded = decoded(kind, &json, raw, &mut self.compact);
                let Decoded::Bad(bad) = decoded else {
                    self.json = json;
                    return decoded;
                };
                bad
            }
            Err(fault) => Bad::undecodable(fault.to_string()),
        };
        // The members that the event's schema lacks show what the record is.
        let decoded = match readers.to_natural_json(datum, &mut json) {
            Ok(()) if bad.account.is_none() => self.inside(kind, &json, raw, envelopes, bad),
            Ok(()) | Err(_) => Decoded::Bad(bad),
        };
        self.json = json;
        decoded
    }

    fn text(&mut self, kind: RecordKind, payload: &[u8], raw: &[u8], envelopes: usize) -> Decoded {
        let text = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
        match first_token(text) {
            Some(b'{') => self.object(kind, text, raw, envelopes),
            Some(b'[') if kind == RecordKind::Report => self.items(kind, text, envelopes),
            _ => Decoded::Bad(Bad::undecodable(look::encoding(text))),
        }
    }

    fn object(&mut self, kind: RecordKind, text: &[u8], raw: &[u8], envelopes: usize) -> Decoded {
        let decoded = decoded(kind, text, raw, &mut self.compact);
        let Decoded::Bad(bad) = decoded else { return decoded };
        if bad.account.is_some() {
            // No envelope has an account.
            return Decoded::Bad(bad);
        }
        self.inside(kind, text, raw, envelopes, bad)
    }

    /// Decodes the record in the envelope `text`. If it is no envelope, the record is `bad`.
    fn inside(
        &mut self,
        kind: RecordKind,
        text: &[u8],
        raw: &[u8],
        envelopes: usize,
        bad: Bad,
    ) -> Decoded {
        match envelope::open(kind, text, self.unwrap) {
            None => Decoded::Bad(bad),
            Some(Err(bad)) => Decoded::Bad(bad),
            Some(Ok(Opened::Nothing)) => Decoded::Skipped,
            Some(Ok(Opened::Record(_))) if envelopes >= ENVELOPES_MAX => Decoded::Bad(
                Bad::undecodable(format!("the record is in more than {ENVELOPES_MAX} envelopes")),
            ),
            Some(Ok(Opened::Record(inner))) => self.framed(kind, &inner, &[], raw, envelopes + 1),
        }
    }

    /// Decodes an array of records, each of its own.
    fn items(&mut self, kind: RecordKind, text: &[u8], envelopes: usize) -> Decoded {
        let ranges = match items::split(text) {
            Ok(ranges) => ranges,
            Err(bad) => return Decoded::Bad(bad),
        };
        let mut items = Vec::with_capacity(ranges.len());
        for range in ranges {
            let raw = text.get(range).unwrap_or_default();
            let decoded = match raw.first() {
                Some(b'{') => self.object(kind, raw, raw, envelopes),
                _ => Decoded::Bad(Bad::undecodable("the item of the array is no JSON object")),
            };
            if let Decoded::NeedsSchema(id) = decoded {
                // The whole array is decoded again when the schema is known.
                return Decoded::NeedsSchema(id);
            }
            items.push(Item::new(raw, decoded));
        }
        Decoded::Items(items)
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
