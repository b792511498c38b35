//! Avro source records: a datum becomes the JSON text of the same shape, so that everything after is one road.

mod plan;

use super::schema::{self, Known};
use crate::domain::RecordKind;
use crate::json;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use plan::{NoJson, Plan};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// So many values a record may hold that is resolved to our schema: the library's tree takes some hundred bytes of each.
const RESOLVED_VALUES_MAX: usize = 250_000;

/// No record is longer as JSON: a few bytes of Avro can stand for a hundred, and what is passed on has to fit into rows and
/// dead letters.
pub(super) const JSON_BYTES_MAX: usize = super::source::RECORD_BYTES_MAX;

/// So many schemas of a registry are kept for the life of the process.
const REGISTRY_SCHEMAS_MAX: usize = 1000;

/// Why a schema of the registry can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is no Avro schema.
    #[error("the schema can't be parsed")]
    Unparsable(#[source] Box<apache_avro::Error>),
    /// A datum of it could nest without end.
    #[error("the schema is recursive, which no source record needs")]
    Recursive,
    /// A datum of it could claim any number of items in no bytes.
    #[error("the schema has an array or a map of items without content")]
    EmptyItems,
    /// The program's own limit.
    #[error("{REGISTRY_SCHEMAS_MAX} schemas of the registry are in use already")]
    TooMany,
}

/// Why a datum is no record that we take. The library's errors quote the payload, and so are not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    BreaksOff,
    Mismatch,
    Surplus,
    TooMany,
    TooLong,
    Unresolvable,
    NoJson,
}

/// A schema that records are written by.
#[derive(Clone)]
pub(super) struct Writer(&'static Readers<'static>);

pub(super) struct Readers<'s> {
    /// As written.
    plan: Arc<Plan>,
    /// Resolved to our schema; `None` when that is the same.
    flow: Option<GenericDatumReader<'s>>,
    report: Option<GenericDatumReader<'s>>,
}

struct Embedded {
    flow: Known,
    report: Known,
}

static EMBEDDED: LazyLock<Result<Embedded, apache_avro::Error>> = LazyLock::new(|| {
    Ok(Embedded {
        flow: Known::parse(schema::FLOW_COMPLETE)?,
        report: Known::parse(schema::DELIVERY_REPORT)?,
    })
});

/// The writers that a fingerprint can name. That the embedded schemas parse is under test.
static BY_FINGERPRINT: LazyLock<Vec<([u8; 8], Readers<'static>)>> = LazyLock::new(|| {
    let Ok(embedded) = &*EMBEDDED else { return Vec::new() };
    let retired = schema::RETIRED_SCHEMAS.iter();
    let known = [&embedded.flow, &embedded.report].into_iter().chain(retired);
    known.filter_map(|known| Some((known.fingerprint, Readers::new(&known.schema).ok()?))).collect()
});

/// Schemas of the registry by their text. A schema lives as long as the process, since its readers borrow it; there are few,
/// and every decoder of the process shares them.
static REGISTRY: Mutex<Vec<(String, &'static Readers<'static>)>> = Mutex::new(Vec::new());

impl<'s> Readers<'s> {
    pub(super) fn new(schema: &'s Schema) -> Result<Self, SchemaError> {
        let resolving = |own: &'static Schema| {
            if own == schema {
                return Ok(None);
            }
            let reader = GenericDatumReader::builder(schema).reader_schema(own).build();
            reader.map(Some).map_err(|error| SchemaError::Unparsable(Box::new(error)))
        };
        let plan = Plan::new(schema)?;
        let (flow, report) = match &*EMBEDDED {
            Ok(embedded) => {
                (resolving(&embedded.flow.schema)?, resolving(&embedded.report.schema)?)
            }
            Err(_) => (None, None),
        };
        Ok(Self { plan, flow, report })
    }
}

impl Writer {
    /// The embedded schema that has this fingerprint.
    pub(super) fn by_fingerprint(fingerprint: [u8; 8]) -> Option<Self> {
        BY_FINGERPRINT.iter().find(|(known, _)| *known == fingerprint).map(|(_, r)| Self(r))
    }

    /// The schema that a registry gave.
    pub(super) fn by_text(text: &str) -> Result<Self, SchemaError> {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, readers)) = registry.iter().find(|(known, _)| known == text) {
            return Ok(Self(readers));
        }
        if registry.len() >= REGISTRY_SCHEMAS_MAX {
            return Err(SchemaError::TooMany);
        }
        let schema = parse(text)?;
        // Before anything is leaked.
        Plan::new(&schema)?;
        let readers = Readers::new(Box::leak(Box::new(schema)))?;
        let readers: &'static Readers<'static> = Box::leak(Box::new(readers));
        registry.push((text.to_owned(), readers));
        Ok(Self(readers))
    }

    pub(super) fn readers(&self) -> &'static Readers<'static> {
        self.0
    }
}

impl Readers<'_> {
    /// Writes the JSON of `datum`, resolved to the schema of `kind`, into `out`.
    pub(super) fn to_json(
        &self,
        kind: RecordKind,
        datum: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let resolving = match kind {
            // It has no schema of ours: it is what its writer says.
            RecordKind::Start => &None,
            RecordKind::Flow => &self.flow,
            RecordKind::Report => &self.report,
        };
        out.clear();
        let Some(reader) = resolving else {
            return match plan::transcode(&self.plan, datum, usize::MAX, out)? {
                NoJson(false) => Ok(()),
                NoJson(true) => Err(Fault::NoJson),
            };
        };
        // The library takes the end of the bytes for a null, and bounds nothing but single allocations: this pass bounds it.
        plan::transcode(&self.plan, datum, RESOLVED_VALUES_MAX, out)?;
        let value = reader.read_value(&mut &*datum).map_err(|_| Fault::Unresolvable)?;
        out.clear();
        write_value(out, &value)?;
        if out.len() > JSON_BYTES_MAX { Err(Fault::TooLong) } else { Ok(()) }
    }

    /// Writes the JSON of `datum` as it was written: what can be told of a record that is no source event.
    pub(super) fn to_json_unresolved(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        out.clear();
        plan::transcode(&self.plan, datum, RESOLVED_VALUES_MAX, out).map(|_| ())
    }
}

/// The schema that `text` spells.
pub(super) fn parse(text: &str) -> Result<Schema, SchemaError> {
    Schema::parse_str(text).map_err(|error| SchemaError::Unparsable(Box::new(error)))
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Null)
        || matches!(value, Value::Union(_, inner) if matches!(**inner, Value::Null))
}

/// Members that are null are left out, as the gateways' JSON leaves them out.
fn write_value(out: &mut Vec<u8>, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => json::write_integer(out, i64::from(*number)),
        Value::Long(number) => json::write_integer(out, *number),
        Value::Float(number) if number.is_finite() => write_shortest(out, number)?,
        Value::Double(number) if number.is_finite() => write_shortest(out, number)?,
        Value::String(text) | Value::Enum(_, text) => json::write_string(out, text),
        Value::Union(_, inner) => write_value(out, inner)?,
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(out, item)?;
            }
            out.push(b']');
        }
        Value::Record(fields) => {
            write_members(out, fields.iter().map(|(name, value)| (name, value)))?;
        }
        Value::Map(entries) => write_members(out, entries.iter())?,
        // Our schemas have none of these, nor infinities in their samples; JSON has no word for them.
        Value::Float(_)
        | Value::Double(_)
        | Value::Bytes(_)
        | Value::Fixed(..)
        | Value::Date(_)
        | Value::Decimal(_)
        | Value::BigDecimal(_)
        | Value::TimeMillis(_)
        | Value::TimeMicros(_)
        | Value::TimestampMillis(_)
        | Value::TimestampMicros(_)
        | Value::TimestampNanos(_)
        | Value::LocalTimestampMillis(_)
        | Value::LocalTimestampMicros(_)
        | Value::LocalTimestampNanos(_)
        | Value::Duration(_)
        | Value::Uuid(_) => return Err(Fault::NoJson),
    }
    Ok(())
}

fn write_members<'v>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'v String, &'v Value)>,
) -> Result<(), Fault> {
    out.push(b'{');
    let mut separator: &[u8] = b"";
    for (name, value) in members.filter(|(_, value)| !is_null(value)) {
        out.extend_from_slice(separator);
        json::write_string(out, name);
        out.push(b':');
        write_value(out, value)?;
        separator = b",";
    }
    out.push(b'}');
    Ok(())
}

fn write_shortest(out: &mut Vec<u8>, number: &impl serde::Serialize) -> Result<(), Fault> {
    serde_json::to_writer(out, number).map_err(|_| Fault::NoJson)
}
