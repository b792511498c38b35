//! Finds the id of the schema by which a record was written.
//!
//! | framing | written by |
//! |---|---|
//! | `0x00`, id of 4 bytes, datum | Confluent's serialisers, for Avro, JSON Schema and Protobuf |
//! | `0x00`, id of 8 bytes, datum | Apicurio's serialisers. The first four bytes are zero, and no registry has the id 0 |
//! | header `__value_schema_id`: `0x00` and an id, or `0x01` and a GUID | Confluent's serialisers with ids in headers |

use crate::domain::Header;
use std::fmt;

/// The largest id of a schema. Registries use signed integers of 32 bits and refuse questions about larger ids. A
/// larger one comes from bytes that are no Confluent framing.
pub(super) const SCHEMA_ID_MAX: u32 = i32::MAX.cast_unsigned();

const VALUE_SCHEMA_ID: &str = "__value_schema_id";
const BREAKS_OFF: &str = "the record breaks off in its schema id";

/// The id of a schema in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaId {
    /// Confluent's id.
    Id(u32),
    /// Confluent's GUID.
    Guid(u128),
    /// Apicurio's global id.
    Global(u64),
}

impl SchemaId {
    /// Returns whether a registry may have such an id.
    pub(super) fn is_possible(self) -> bool {
        match self {
            Self::Id(id) => id <= SCHEMA_ID_MAX,
            Self::Guid(_) | Self::Global(_) => true,
        }
    }

    /// Returns the path of a GUID, or the digits of a number.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Global(id) => id.to_string(),
            Self::Guid(guid) => {
                let hex = format!("{guid:032x}");
                let part = |from, to| hex.get(from..to).unwrap_or_default();
                let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
                parts.join("-")
            }
        }
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Id(_) => "the schema id",
            Self::Guid(_) => "the schema with the GUID",
            Self::Global(_) => "the global schema id",
        };
        write!(f, "{name} {}", self.text())
    }
}

/// A schema as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisteredSchema {
    /// An Avro schema, and the schemas that it refers to.
    Avro {
        text: String,
        /// In any order.
        references: Vec<String>,
    },
    /// A JSON Schema. Reading JSON does not need it.
    Json,
    /// Records by it are not read.
    Protobuf,
}

/// The result of looking for a schema id.
pub(super) enum Framed<'p> {
    Not,
    /// The id, and the datum without it.
    By(SchemaId, &'p [u8]),
    /// It can't be read, for this reason.
    Broken(&'static str),
}

/// Returns whether a header says how the record's value is written. It must not be passed on with another value.
#[must_use]
pub fn is_framing_header(name: &str) -> bool {
    name == VALUE_SCHEMA_ID
}

/// Looks for a schema id in the headers, and then in the first bytes.
pub(super) fn split<'p>(payload: &'p [u8], headers: &[Header]) -> Framed<'p> {
    // A header without a value says nothing.
    let header = headers.iter().find(|header| *header.name == *VALUE_SCHEMA_ID);
    if let Some(value) = header.and_then(|header| header.value.as_ref()) {
        return match of_header(value) {
            Some(id) => Framed::By(id, payload),
            None => Framed::Broken("the header __value_schema_id holds neither an id nor a GUID"),
        };
    }
    let [0, rest @ ..] = payload else { return Framed::Not };
    let Some((id, datum)) = rest.split_first_chunk() else { return Framed::Broken(BREAKS_OFF) };
    let id = u32::from_be_bytes(*id);
    match rest.split_first_chunk() {
        Some((wide, datum)) if id == 0 && !wide.ends_with(&[0; 4]) => {
            Framed::By(SchemaId::Global(u64::from_be_bytes(*wide)), datum)
        }
        Some(_) | None => Framed::By(SchemaId::Id(id), datum),
    }
}

fn of_header(value: &[u8]) -> Option<SchemaId> {
    let (version, id) = value.split_first()?;
    match version {
        0 => id.try_into().ok().map(u32::from_be_bytes).map(SchemaId::Id),
        // The places of a Protobuf message may follow.
        1 => id.first_chunk().map(|guid| SchemaId::Guid(u128::from_be_bytes(*guid))),
        _ => None,
    }
}
