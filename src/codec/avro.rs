//! Source records in Avro. A datum becomes the JSON text of the same shape, so that all records are decoded in the same
//! way.

mod plan;

use super::schema::{self, Known};
use crate::domain::RecordKind;
use crate::json;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use plan::{NoJson, Plan};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The largest number of values in a record that is resolved to our schema. The library's tree needs some hundred bytes
/// per value.
const RESOLVED_VALUES_MAX: usize = 250_000;

/// The longest JSON of a record, in bytes. A few bytes of Avro can become a hundred, and the parts that are passed on
/// must fit into rows and dead letters.
pub(super) const JSON_BYTES_MAX: usize = super::source::RECORD_BYTES_MAX;

/// The largest number of a registry's schemas that are kept for the life of the process.
const REGISTRY_SCHEMAS_MAX: usize = 1000;

/// Why a schema of the registry can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The text is no Avro schema.
    #[error("the schema can't be parsed")]
    Unparsable(#[source] Box<apache_avro::Error>),
    /// A datum could be nested without an end.
    #[error("the schema is recursive, which no source record needs")]
    Recursive,
    /// A datum could claim any number of items without a byte for them.
    #[error("the schema has an array or a map of items without content")]
    EmptyItems,
    /// The process keeps the largest allowed number of schemas already.
    #[error("{REGISTRY_SCHEMAS_MAX} schemas of the registry are in use already")]
    TooMany,
}

/// Why a datum is refused. The library's errors quote the payload, so they are not passed on.
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

/// A schema by which records are written.
#[derive(Clone)]
pub(super) struct Writer(&'static Readers<'static>);

pub(super) struct Readers<'s> {
    /// Reads a datum as it was written.
    plan: Arc<Plan>,
    /// Resolves a datum to the schema of the source event; `None` if the schemas are equal.
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

/// The embedded schemas by fingerprint. A test shows that all of them can be parsed.
static BY_FINGERPRINT: LazyLock<Vec<([u8; 8], Readers<'static>)>> = LazyLock::new(|| {
    let Ok(embedded) = &*EMBEDDED else { return Vec::new() };
    let retired = schema::RETIRED_SCHEMAS.iter();
    let known = [&embedded.flow, &embedded.report].into_iter().chain(retired);
    known.filter_map(|known| Some((known.fingerprint, Readers::new(&known.schema).ok()?))).collect()
});

/// The registry's schemas by their text. Each lives as long as the process, because its readers borrow it. All decoders
/// of the process share them.
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
    /// Returns the embedded schema with this fingerprint.
    pub(super) fn by_fingerprint(fingerprint: [u8; 8]) -> Option<Self> {
        BY_FINGERPRINT.iter().find(|(known, _)| *known == fingerprint).map(|(_, r)| Self(r))
    }

    /// Returns the registry's schema with this text, and keeps it.
    pub(super) fn by_text(text: &str) -> Result<Self, SchemaError> {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, readers)) = registry.iter().find(|(known, _)| known == text) {
            return Ok(Self(readers));
        }
        if registry.len() >= REGISTRY_SCHEMAS_MAX {
            return Err(SchemaError::TooMany);
        }
        let schema = parse(text)?;
        // A schema without a plan is refused before anything is leaked.
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
            // There is no schema of ours for this kind. The JSON has the shape of the writer's schema.
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
        // The library reads the end of the bytes as a null, and limits only single allocations. So this pass checks the
        // datum first.
        plan::transcode(&self.plan, datum, RESOLVED_VALUES_MAX, out)?;
        let value = reader.read_value(&mut &*datum).map_err(|_| Fault::Unresolvable)?;
        out.clear();
        write_value(out, &value)?;
        if out.len() > JSON_BYTES_MAX { Err(Fault::TooLong) } else { Ok(()) }
    }

    /// Writes the JSON of `datum` as it was written, for records that can't be resolved.
    pub(super) fn to_json_unresolved(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        out.clear();
        plan::transcode(&self.plan, datum, RESOLVED_VALUES_MAX, out).map(|_| ())
    }
}

/// Parses the text of a schema.
pub(super) fn parse(text: &str) -> Result<Schema, SchemaError> {
    Schema::parse_str(text).map_err(|error| SchemaError::Unparsable(Box::new(error)))
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Null)
        || matches!(value, Value::Union(_, inner) if matches!(**inner, Value::Null))
}

/// Writes the JSON of `value`. Members that are null are left out, as in the gateways' JSON.
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
        // Our schemas have none of these types. JSON has neither infinities nor NaN.
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
