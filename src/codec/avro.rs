//! Avro source records: a datum becomes the JSON text of the same shape, so that everything after is one road.

use super::json;
use super::schema::{self, Known};
use crate::domain::RecordKind;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{Name, RecordSchema};
use apache_avro::types::Value;
use std::io::{self, Read};
use std::sync::{LazyLock, Mutex, PoisonError};

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
    Unresolvable,
    NoJson,
}

/// A schema that records are written by.
#[derive(Clone)]
pub(super) struct Writer(&'static Readers);

struct Readers {
    /// As written.
    plain: GenericDatumReader<'static>,
    /// Resolved to our schema; `None` when that is the same.
    flow: Option<GenericDatumReader<'static>>,
    report: Option<GenericDatumReader<'static>>,
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
static BY_FINGERPRINT: LazyLock<Vec<([u8; 8], Readers)>> = LazyLock::new(|| {
    let Ok(embedded) = &*EMBEDDED else { return Vec::new() };
    let retired = schema::RETIRED_SCHEMAS.iter();
    let known = [&embedded.flow, &embedded.report].into_iter().chain(retired);
    known.filter_map(|known| Some((known.fingerprint, Readers::new(&known.schema).ok()?))).collect()
});

/// Schemas of the registry by their text. A schema lives as long as the process, since its readers borrow it; there are few,
/// and every decoder of the process shares them.
static REGISTRY: Mutex<Vec<(String, &'static Readers)>> = Mutex::new(Vec::new());

impl Readers {
    fn new(schema: &'static Schema) -> Result<Self, Box<apache_avro::Error>> {
        let resolving = |own: &'static Schema| -> Result<_, apache_avro::Error> {
            if own == schema {
                return Ok(None);
            }
            GenericDatumReader::builder(schema).reader_schema(own).build().map(Some)
        };
        let build = || {
            let (flow, report) = match &*EMBEDDED {
                Ok(embedded) => {
                    (resolving(&embedded.flow.schema)?, resolving(&embedded.report.schema)?)
                }
                Err(_) => (None, None),
            };
            let plain = GenericDatumReader::builder(schema).build()?;
            Ok(Self { plain, flow, report })
        };
        build().map_err(Box::new)
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
        let schema =
            Schema::parse_str(text).map_err(|error| SchemaError::Unparsable(Box::new(error)))?;
        bounded(&schema, &mut Names::default())?;
        let readers = Readers::new(Box::leak(Box::new(schema))).map_err(SchemaError::Unparsable)?;
        let readers: &'static Readers = Box::leak(Box::new(readers));
        registry.push((text.to_owned(), readers));
        Ok(Self(readers))
    }

    /// Writes the JSON of `datum`, resolved to the schema of `kind`, into `out`.
    pub(super) fn to_json(
        &self,
        kind: RecordKind,
        datum: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let resolving = match kind {
            RecordKind::Flow => &self.0.flow,
            RecordKind::Report => &self.0.report,
        };
        let value = match resolving {
            None => read(&self.0.plain, datum)?,
            // Whether the datum or its resolution is at fault is worth a second look, as records at fault are rare.
            Some(reader) => match read(reader, datum) {
                Err(Fault::Mismatch) => {
                    read(&self.0.plain, datum)?;
                    return Err(Fault::Unresolvable);
                }
                other => other?,
            },
        };
        out.clear();
        write_value(out, &value)
    }

    /// Writes the JSON of `datum` as it was written: what can be told of a record that is no source event.
    pub(super) fn to_json_unresolved(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        out.clear();
        write_value(out, &read(&self.0.plain, datum)?)
    }
}

/// Bytes that remember whether more was wanted than there are: the library takes the end for a null.
struct Datum<'a> {
    rest: &'a [u8],
    broke_off: bool,
}

impl Read for Datum<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.rest.len());
        self.read_exact(buffer.get_mut(..length).unwrap_or_default())?;
        self.broke_off |= length < buffer.len();
        Ok(length)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Some((wanted, rest)) = self.rest.split_at_checked(buffer.len()) else {
            self.broke_off = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        buffer.copy_from_slice(wanted);
        self.rest = rest;
        Ok(())
    }
}

fn read(reader: &GenericDatumReader<'_>, datum: &[u8]) -> Result<Value, Fault> {
    let mut datum = Datum { rest: datum, broke_off: false };
    let value = reader.read_value(&mut datum);
    if datum.broke_off {
        return Err(Fault::BreaksOff);
    }
    let value = value.map_err(|_| Fault::Mismatch)?;
    if datum.rest.is_empty() { Ok(value) } else { Err(Fault::Surplus) }
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

/// Names met while a schema is walked.
#[derive(Default)]
struct Names {
    /// Records that enclose the place.
    enclosing: Vec<Name>,
    /// Named types whose datum has no bytes.
    empty: Vec<Name>,
}

/// Checks that a datum of `schema` can be no larger in memory than its bytes explain; says whether it can have no bytes.
fn bounded(schema: &Schema, names: &mut Names) -> Result<bool, SchemaError> {
    match schema {
        Schema::Null => Ok(true),
        Schema::Array(array) => nonempty(&array.items, names),
        Schema::Map(map) => nonempty(&map.types, names),
        Schema::Union(union) => {
            for variant in union.variants() {
                bounded(variant, names)?;
            }
            Ok(false)
        }
        Schema::Record(record) => bounded_record(record, names),
        Schema::Ref { name } if names.enclosing.contains(name) => Err(SchemaError::Recursive),
        Schema::Ref { name } => Ok(names.empty.contains(name)),
        Schema::Fixed(fixed) => {
            if fixed.size == 0 {
                names.empty.push(fixed.name.clone());
            }
            Ok(fixed.size == 0)
        }
        Schema::Boolean
        | Schema::Int
        | Schema::Long
        | Schema::Float
        | Schema::Double
        | Schema::Bytes
        | Schema::String
        | Schema::Enum(_)
        | Schema::Decimal(_)
        | Schema::BigDecimal
        | Schema::Uuid(_)
        | Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos
        | Schema::Duration(_) => Ok(false),
    }
}

fn nonempty(items: &Schema, names: &mut Names) -> Result<bool, SchemaError> {
    if bounded(items, names)? { Err(SchemaError::EmptyItems) } else { Ok(false) }
}

fn bounded_record(record: &RecordSchema, names: &mut Names) -> Result<bool, SchemaError> {
    names.enclosing.push(record.name.clone());
    let mut empty = true;
    for field in &record.fields {
        empty &= bounded(&field.schema, names)?;
    }
    names.enclosing.pop();
    if empty {
        names.empty.push(record.name.clone());
    }
    Ok(empty)
}
