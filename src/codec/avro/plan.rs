//! Reads a datum of a writer's schema directly into JSON, without a tree of values.
//!
//! For a record of our own schema this is enough. The library resolves a record of another version, and its tree needs
//! far more memory than the datum. So the datum is read by the plan first, which limits its values.

use super::{Fault, JSON_BYTES_MAX, SchemaError};
use crate::codec::varint::{self, Unread};
use crate::json;
use apache_avro::Schema;
use apache_avro::schema::{FixedSchema, InnerDecimalSchema, Name, RecordSchema, UuidSchema};
use std::collections::HashMap;
use std::sync::Arc;

/// The parts of a schema that reading needs.
pub(super) enum Plan {
    Null,
    Boolean,
    Integer,
    Float,
    Double,
    Text,
    Symbol(Vec<String>),
    /// Bytes, which JSON can't express. They are left out like null.
    Bytes,
    Fixed(usize),
    Array(Arc<Plan>),
    Map(Arc<Plan>),
    Union(Vec<Arc<Plan>>),
    Record(Record),
}

/// The parts of a record's schema that reading needs.
pub(super) struct Record {
    /// The names with quotes and colon, as in the JSON.
    fields: Vec<(Vec<u8>, Arc<Plan>)>,
    has_bytes: bool,
}

/// The named types that are compiled. A type that is missing here while it is referred to contains itself.
type Named = HashMap<Name, Arc<Plan>>;

impl Plan {
    /// Compiles the plan of `schema`. Fails if the size of a datum would have no bound.
    pub(super) fn new(schema: &Schema) -> Result<Arc<Self>, SchemaError> {
        compile(schema, &mut Named::new())
    }

    /// Returns whether every datum has at least one byte.
    fn has_bytes(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Fixed(size) => *size > 0,
            Self::Record(record) => record.has_bytes,
            Self::Boolean
            | Self::Integer
            | Self::Float
            | Self::Double
            | Self::Text
            | Self::Symbol(_)
            | Self::Bytes
            | Self::Array(_)
            | Self::Map(_)
            | Self::Union(_) => true,
        }
    }
}

fn compile(schema: &Schema, named: &mut Named) -> Result<Arc<Plan>, SchemaError> {
    Ok(Arc::new(match schema {
        Schema::Null => Plan::Null,
        Schema::Boolean => Plan::Boolean,
        Schema::Int
        | Schema::Long
        | Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Plan::Integer,
        Schema::Float => Plan::Float,
        Schema::Double => Plan::Double,
        Schema::String | Schema::Uuid(UuidSchema::String) => Plan::Text,
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Plan::Bytes,
        Schema::Array(array) => Plan::Array(items(&array.items, named)?),
        // Each entry has a name, and so at least one byte.
        Schema::Map(map) => Plan::Map(compile(&map.types, named)?),
        Schema::Union(union) => Plan::Union(
            union
                .variants()
                .iter()
                .map(|branch| compile(branch, named))
                .collect::<Result<_, _>>()?,
        ),
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => Plan::Bytes,
            InnerDecimalSchema::Fixed(fixed) => return Ok(fixed_plan(fixed, named)),
        },
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            return Ok(fixed_plan(fixed, named));
        }
        Schema::Enum(symbols) => {
            let plan = Arc::new(Plan::Symbol(symbols.symbols.clone()));
            named.insert(symbols.name.clone(), Arc::clone(&plan));
            return Ok(plan);
        }
        Schema::Record(record) => return compile_record(record, named),
        Schema::Ref { name } => return named.get(name).cloned().ok_or(SchemaError::Recursive),
    }))
}

/// Compiles the schema of an array's items. Items without bytes are refused, because a datum could claim any number of
/// them.
fn items(schema: &Schema, named: &mut Named) -> Result<Arc<Plan>, SchemaError> {
    let plan = compile(schema, named)?;
    if plan.has_bytes() { Ok(plan) } else { Err(SchemaError::EmptyItems) }
}

fn fixed_plan(fixed: &FixedSchema, named: &mut Named) -> Arc<Plan> {
    let plan = Arc::new(Plan::Fixed(fixed.size));
    named.insert(fixed.name.clone(), Arc::clone(&plan));
    plan
}

fn compile_record(record: &RecordSchema, named: &mut Named) -> Result<Arc<Plan>, SchemaError> {
    let field = |field: &apache_avro::schema::RecordField, named: &mut Named| {
        let mut name = Vec::with_capacity(field.name.len() + 3);
        json::write_string(&mut name, &field.name);
        name.push(b':');
        Ok((name, compile(&field.schema, named)?))
    };
    let fields: Vec<(Vec<u8>, Arc<Plan>)> =
        record.fields.iter().map(|f| field(f, named)).collect::<Result<_, _>>()?;
    let has_bytes = fields.iter().any(|(_, field)| field.has_bytes());
    let plan = Arc::new(Plan::Record(Record { fields, has_bytes }));
    named.insert(record.name.clone(), Arc::clone(&plan));
    Ok(plan)
}

/// Whether a number became null because JSON can't express it: an infinity or NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoJson(pub(super) bool);

/// The average length that names may have. The library's tree contains a copy of the name of each value.
const NAME_BYTES_MAX: usize = 64;

/// Appends the JSON of the whole of `datum`, which may contain at most `values_max` values. Returns whether a number
/// became null because JSON can't express it.
pub(super) fn transcode(
    plan: &Plan,
    datum: &[u8],
    values_max: usize,
    out: &mut Vec<u8>,
) -> Result<NoJson, Fault> {
    let mut reader = Reader {
        rest: datum,
        values_left: values_max,
        names_left: values_max.saturating_mul(NAME_BYTES_MAX),
        // The scan of the JSON refuses deeper values too.
        depth_left: json::DEPTH_MAX,
        no_json: false,
        out,
    };
    reader.value(plan)?;
    if reader.out.len() > JSON_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    if reader.rest.is_empty() { Ok(NoJson(reader.no_json)) } else { Err(Fault::Surplus) }
}

/// Whether a value is null, so that a member of a record is left out.
#[derive(PartialEq, Eq)]
enum Written {
    Null,
    Value,
}

struct Reader<'d, 'o> {
    rest: &'d [u8],
    values_left: usize,
    names_left: usize,
    depth_left: usize,
    no_json: bool,
    out: &'o mut Vec<u8>,
}

impl<'d> Reader<'d, '_> {
    fn value(&mut self, plan: &Plan) -> Result<Written, Fault> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Fault::TooMany)?;
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Fault::TooMany)?;
        if self.out.len() > JSON_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let written = self.any(plan)?;
        self.depth_left += 1;
        Ok(written)
    }

    fn any(&mut self, plan: &Plan) -> Result<Written, Fault> {
        match plan {
            Plan::Null => return Ok(self.null()),
            Plan::Bytes => {
                self.slice()?;
                return Ok(self.null());
            }
            Plan::Fixed(size) => {
                self.take(*size)?;
                return Ok(self.null());
            }
            Plan::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|i| branches.get(i));
                return self.value(branch.ok_or(Fault::Mismatch)?);
            }
            Plan::Boolean => {
                let word: &[u8] = match self.take(1)? {
                    [0] => b"false",
                    [1] => b"true",
                    _ => return Err(Fault::Mismatch),
                };
                self.out.extend_from_slice(word);
            }
            Plan::Integer => {
                let number = self.long()?;
                json::write_integer(self.out, number);
            }
            Plan::Float => {
                let bytes = self.take(4)?.first_chunk().copied().unwrap_or_default();
                return self.float(f64::from(f32::from_le_bytes(bytes)));
            }
            Plan::Double => {
                let bytes = self.take(8)?.first_chunk().copied().unwrap_or_default();
                return self.float(f64::from_le_bytes(bytes));
            }
            Plan::Text => {
                let text = self.text()?;
                json::write_string(self.out, text);
            }
            Plan::Symbol(symbols) => {
                let symbol = usize::try_from(self.long()?).ok().and_then(|i| symbols.get(i));
                json::write_string(self.out, symbol.ok_or(Fault::Mismatch)?);
            }
            Plan::Array(items) => self.blocks(b"[", b"]", |reader| reader.value(items))?,
            Plan::Map(values) => self.blocks(b"{", b"}", |reader| {
                let name = reader.text()?;
                json::write_string(reader.out, name);
                reader.out.push(b':');
                reader.value(values)
            })?,
            Plan::Record(record) => self.record(&record.fields)?,
        }
        Ok(Written::Value)
    }

    fn null(&mut self) -> Written {
        self.out.extend_from_slice(b"null");
        Written::Null
    }

    fn record(&mut self, fields: &[(Vec<u8>, Arc<Plan>)]) -> Result<(), Fault> {
        self.out.push(b'{');
        let mut separator: &[u8] = b"";
        for (name, plan) in fields {
            self.names_left = self.names_left.checked_sub(name.len()).ok_or(Fault::TooLong)?;
            let before = self.out.len();
            self.out.extend_from_slice(separator);
            self.out.extend_from_slice(name);
            match self.value(plan)? {
                Written::Null => self.out.truncate(before),
                Written::Value => separator = b",",
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Reads blocks of items up to the empty block. After a negative count comes the size of the block.
    fn blocks(
        &mut self,
        open: &[u8],
        close: &[u8],
        mut item: impl FnMut(&mut Self) -> Result<Written, Fault>,
    ) -> Result<(), Fault> {
        self.out.extend_from_slice(open);
        let mut separator: &[u8] = b"";
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                self.long()?;
            }
            // A wrong count ends at the end of the datum, because every item has bytes.
            for _ in 0..count.unsigned_abs() {
                self.out.extend_from_slice(separator);
                item(self)?;
                separator = b",";
            }
        }
        self.out.extend_from_slice(close);
        Ok(())
    }

    fn float(&mut self, number: f64) -> Result<Written, Fault> {
        if !number.is_finite() {
            self.no_json = true;
            return Ok(self.null());
        }
        serde_json::to_writer(&mut *self.out, &number).map_err(|_| Fault::NoJson)?;
        Ok(Written::Value)
    }

    fn text(&mut self) -> Result<&'d str, Fault> {
        std::str::from_utf8(self.slice()?).map_err(|_| Fault::Mismatch)
    }

    fn slice(&mut self) -> Result<&'d [u8], Fault> {
        let length = usize::try_from(self.long()?).map_err(|_| Fault::Mismatch)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'d [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::BreaksOff)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a zig-zag varint.
    fn long(&mut self) -> Result<i64, Fault> {
        match varint::read(&mut self.rest) {
            // Avro's own libraries do the same.
            Ok(number) | Err(Unread::Overflows(number)) => Ok(number),
            Err(Unread::BreaksOff) => Err(Fault::BreaksOff),
            Err(Unread::Endless) => Err(Fault::Mismatch),
        }
    }
}
