//! Compiles the plans by which the data of a writer's schema are read.

use super::number::SCALE_MAX;
use super::plan::{Content, Field, Plan, Record};
use super::{SchemaError, Unresolvable};
use crate::domain::RecordKind;
use crate::json;
use apache_avro::Schema;
use apache_avro::schema::{
    DecimalSchema, InnerDecimalSchema, Name, RecordField, RecordSchema, UuidSchema,
};
use std::collections::HashMap;
use std::sync::Arc;

/// The length of a UUID in bytes.
const UUID_BYTES: usize = 16;

/// The names that schemas of each kind have, without the namespace and in lower case.
const NAMES: [(RecordKind, &[&str]); 3] = [
    (RecordKind::Start, &["flowstarted", "flowstart", "callbegin", "callstarted"]),
    (RecordKind::Flow, &["flowcomplete", "flowcompleted"]),
    (RecordKind::Report, &["smsdeliveryreport", "deliveryreport", "smsdetaildocument"]),
];

/// Returns the kind whose schemas have this name.
fn kind_of(name: &str) -> Option<RecordKind> {
    let name = name.to_ascii_lowercase();
    NAMES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(kind, _)| *kind)
}

/// Compiles plans for one writer's schema.
pub(super) struct Compiler<'s> {
    /// The named types of the schema, and of those that it refers to.
    types: HashMap<&'s Name, &'s Schema>,
    /// The plans of named types. `None` while the plan is compiled: the type contains itself.
    natural: HashMap<Name, Option<Arc<Plan>>>,
}

impl<'s> Compiler<'s> {
    pub(super) fn new(schema: &'s Schema, others: &'s [Schema]) -> Self {
        let mut types = HashMap::new();
        for schema in others.iter().chain([schema]) {
            collect(schema, &mut types);
        }
        Self { types, natural: HashMap::new() }
    }

    /// Compiles the plan of the whole schema for records of `kind`, resolved to the schema `wanted`.
    pub(super) fn of_kind(
        &mut self,
        schema: &'s Schema,
        kind: RecordKind,
        wanted: Option<&Schema>,
    ) -> Result<Arc<Plan>, SchemaError> {
        let schema = self.defined(schema)?;
        if let Schema::Union(union) = schema {
            let branches: Result<_, _> =
                union.variants().iter().map(|it| self.of_kind(it, kind, wanted)).collect();
            return Ok(Arc::new(Plan::Union(branches?)));
        }
        if let Schema::Record(record) = schema
            && let Some(other) = kind_of(record.name.name()).filter(|other| *other != kind)
        {
            return Ok(Arc::new(Plan::Unresolvable(Arc::new(Unresolvable::Record(other)))));
        }
        match wanted {
            Some(wanted) => self.resolved(schema, &Wanted::of(wanted), ""),
            None => self.natural(schema),
        }
    }

    /// Compiles the plan that reads `schema` as it was written. Fails if the size of a datum would have no bound.
    pub(super) fn natural(&mut self, schema: &'s Schema) -> Result<Arc<Plan>, SchemaError> {
        let Some(name) = schema.name().cloned() else { return self.unnamed(schema) };
        match self.natural.get(&name) {
            Some(Some(plan)) => return Ok(plan.clone()),
            Some(None) => return Err(SchemaError::Recursive),
            None => {}
        }
        self.natural.insert(name.clone(), None);
        let defined = self.defined(schema)?;
        let plan = self.unnamed(defined)?;
        self.natural.insert(name, Some(plan.clone()));
        Ok(plan)
    }

    /// Compiles the plan of a type without looking for its name.
    fn unnamed(&mut self, schema: &'s Schema) -> Result<Arc<Plan>, SchemaError> {
        Ok(Arc::new(if let Schema::Array(array) = schema {
            Plan::Array(self.items(&array.items)?)
        } else if let Schema::Map(map) = schema {
            // Each entry has a name, and so at least one byte.
            Plan::Map(self.natural(&map.types)?)
        } else if let Schema::Union(union) = schema {
            let branches: Result<_, _> =
                union.variants().iter().map(|it| self.natural(it)).collect();
            Plan::Union(branches?)
        } else if let Schema::Record(record) = schema {
            let fields: Result<Vec<Field>, _> = record
                .fields
                .iter()
                .enumerate()
                .map(|(rank, field)| {
                    let plan = self.natural(&field.schema)?;
                    Ok(Field { name: member(&field.name), rank: Some(rank), plan })
                })
                .collect();
            Plan::Record(Record::new(fields?))
        } else {
            natural_plan_of_scalar(schema)
        }))
    }

    /// Compiles the schema of an array's items. Items without bytes are refused, because a datum could claim any number
    /// of them.
    fn items(&mut self, schema: &'s Schema) -> Result<Arc<Plan>, SchemaError> {
        let plan = self.natural(schema)?;
        if plan.has_bytes() { Ok(plan) } else { Err(SchemaError::EmptyItems) }
    }

    /// Compiles the plan that reads `schema` as one of the `wanted` types. The depth is that of the wanted types.
    fn resolved(
        &mut self,
        schema: &'s Schema,
        wanted: &Wanted<'_>,
        path: &str,
    ) -> Result<Arc<Plan>, SchemaError> {
        let schema = self.defined(schema)?;
        let plan = if let Schema::Union(union) = schema {
            let branches: Result<_, _> =
                union.variants().iter().map(|it| self.resolved(it, wanted, path)).collect();
            Plan::Union(branches?)
        } else if let (Schema::Array(array), Some(items)) = (schema, wanted.items) {
            // The plan as it was written shows whether each item has a byte.
            self.items(&array.items)?;
            let path = format!("{path}[]");
            Plan::Array(self.resolved(&array.items, &Wanted::of(items), &path)?)
        } else if let (Schema::Record(record), Some(wanted)) = (schema, wanted.record) {
            Plan::Record(self.record(record, wanted, path)?)
        } else if wanted.accepts(Class::of(schema)) {
            plan_of_scalar(schema)
        } else {
            Plan::Unresolvable(Arc::new(Unresolvable::Field {
                path: path.to_owned(),
                written: type_name(schema),
                wanted: wanted.names.join(" or "),
            }))
        };
        Ok(Arc::new(plan))
    }

    fn record(
        &mut self,
        record: &'s RecordSchema,
        wanted: &RecordSchema,
        path: &str,
    ) -> Result<Record, SchemaError> {
        let mut fields = Vec::with_capacity(record.fields.len());
        let mut taken = Vec::new();
        for field in &record.fields {
            // Of several fields with an alias of one name, the first counts. A member may be there only once.
            let found = target(field, record, wanted).filter(|(rank, _)| !taken.contains(rank));
            taken.extend(found.map(|(rank, _)| rank));
            let plan = match found {
                None => self.natural(&field.schema)?,
                Some((_, target)) => {
                    let separator = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{separator}{}", target.name);
                    self.resolved(&field.schema, &Wanted::of(&target.schema), &path)?
                }
            };
            let name = member(found.map_or(&field.name, |(_, target)| &target.name));
            fields.push(Field { name, rank: found.map(|(rank, _)| rank), plan });
        }
        Ok(Record::new(fields))
    }

    /// Follows a reference to a named type.
    fn defined(&self, schema: &'s Schema) -> Result<&'s Schema, SchemaError> {
        let Schema::Ref { name } = schema else { return Ok(schema) };
        self.types.get(name).copied().ok_or(SchemaError::Undefined)
    }
}

/// Returns the field of `wanted` that `field` is, by its name or an alias on either side, and its rank there.
fn target<'w>(
    field: &RecordField,
    record: &RecordSchema,
    wanted: &'w RecordSchema,
) -> Option<(usize, &'w RecordField)> {
    let named = |name: &str| wanted.fields.iter().enumerate().find(|(_, it)| it.name == name);
    if let Some(found) = named(&field.name) {
        return Some(found);
    }
    // A field that has the name itself comes before one that only has it as an alias.
    let is_free = |name: &str| record.fields.iter().all(|other| other.name != name);
    let of_writer = field.aliases.iter().filter(|alias| is_free(alias)).find_map(|a| named(a));
    of_writer.or_else(|| {
        let mut fields = wanted.fields.iter().enumerate();
        fields.find(|(_, it)| it.aliases.contains(&field.name) && is_free(&it.name))
    })
}

/// Returns a member's name with quotes and colon.
fn member(name: &str) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(name.len() + 3);
    json::write_string(&mut quoted, name);
    quoted.push(b':');
    quoted
}

/// Returns the plan of a type without parts. Bytes are read as text, as in Avro's own promotion.
fn plan_of_scalar(schema: &Schema) -> Plan {
    match schema {
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
        Schema::String | Schema::Bytes | Schema::Uuid(UuidSchema::String) => Plan::Text,
        Schema::Enum(symbols) => Plan::Symbol(symbols.symbols.clone()),
        Schema::Uuid(UuidSchema::Bytes) => Plan::Raw(None, Content::Uuid),
        Schema::Uuid(UuidSchema::Fixed(fixed)) => Plan::Raw(Some(fixed.size), Content::Uuid),
        Schema::Fixed(fixed) if fixed.size == UUID_BYTES => {
            Plan::Raw(Some(fixed.size), Content::Uuid)
        }
        Schema::Fixed(fixed) => Plan::Raw(Some(fixed.size), Content::Text),
        Schema::Duration(fixed) => Plan::Raw(Some(fixed.size), Content::Any),
        Schema::Decimal(decimal) => plan_of_decimal(decimal),
        Schema::BigDecimal => Plan::Raw(None, Content::BigDecimal),
        Schema::Null
        | Schema::Array(_)
        | Schema::Map(_)
        | Schema::Union(_)
        | Schema::Record(_)
        | Schema::Ref { .. } => Plan::Null,
    }
}

/// Like `plan_of_scalar`, but for bytes of any content.
fn natural_plan_of_scalar(schema: &Schema) -> Plan {
    if matches!(schema, Schema::Bytes) {
        return Plan::Raw(None, Content::Any);
    }
    let plan = plan_of_scalar(schema);
    if let Plan::Raw(size, Content::Text) = plan { Plan::Raw(size, Content::Any) } else { plan }
}

fn plan_of_decimal(decimal: &DecimalSchema) -> Plan {
    let size = match &decimal.inner {
        InnerDecimalSchema::Bytes => None,
        InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
    };
    // A larger scale is refused when the first datum is read.
    let scale = i64::try_from(decimal.scale.min(SCALE_MAX + 1)).unwrap_or(i64::MAX);
    Plan::Raw(size, Content::Decimal(scale))
}

fn collect<'s>(schema: &'s Schema, types: &mut HashMap<&'s Name, &'s Schema>) {
    if let Schema::Record(record) = schema {
        types.insert(&record.name, schema);
        record.fields.iter().for_each(|field| collect(&field.schema, types));
    } else if let Schema::Array(array) = schema {
        collect(&array.items, types);
    } else if let Schema::Map(map) = schema {
        collect(&map.types, types);
    } else if let Schema::Union(union) = schema {
        union.variants().iter().for_each(|branch| collect(branch, types));
    } else if !matches!(schema, Schema::Ref { .. })
        && let Some(name) = schema.name()
    {
        types.insert(name, schema);
    }
}

/// A kind of types that are resolved in the same way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Null,
    Boolean,
    Number,
    Text,
    /// It is resolved part by part, or not at all.
    Other,
}

impl Class {
    fn of(schema: &Schema) -> Self {
        match schema {
            Schema::Null => Self::Null,
            Schema::Boolean => Self::Boolean,
            Schema::String
            | Schema::Enum(_)
            | Schema::Bytes
            | Schema::Fixed(_)
            | Schema::Uuid(_) => Self::Text,
            Schema::Int
            | Schema::Long
            | Schema::Float
            | Schema::Double
            | Schema::Decimal(_)
            | Schema::BigDecimal
            | Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Self::Number,
            Schema::Array(_)
            | Schema::Map(_)
            | Schema::Union(_)
            | Schema::Record(_)
            | Schema::Duration(_)
            | Schema::Ref { .. } => Self::Other,
        }
    }
}

/// The types of a field of the source event.
#[derive(Default)]
struct Wanted<'w> {
    record: Option<&'w RecordSchema>,
    items: Option<&'w Schema>,
    text: bool,
    boolean: bool,
    number: bool,
    names: Vec<&'static str>,
}

impl<'w> Wanted<'w> {
    fn of(schema: &'w Schema) -> Self {
        let mut wanted = Self::default();
        if let Schema::Union(union) = schema {
            union.variants().iter().for_each(|it| wanted.add(it));
        } else {
            wanted.add(schema);
        }
        wanted
    }

    fn add(&mut self, schema: &'w Schema) {
        if let Schema::Record(record) = schema {
            self.record = Some(record);
        } else if let Schema::Array(array) = schema {
            self.items = Some(&array.items);
        }
        let class = Class::of(schema);
        self.text |= class == Class::Text;
        self.boolean |= class == Class::Boolean;
        self.number |= class == Class::Number;
        if class != Class::Null {
            self.names.push(type_name(schema));
        }
    }

    /// Returns whether a type of this class is one of those that are wanted, or JSON's leniency allows it. A null counts
    /// as a missing field.
    fn accepts(&self, class: Class) -> bool {
        match class {
            Class::Null => true,
            Class::Boolean => self.boolean,
            Class::Number => self.text || self.number,
            Class::Text => self.text || self.number || self.boolean,
            Class::Other => false,
        }
    }
}

fn type_name(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int => "int",
        Schema::Long => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::Bytes => "bytes",
        Schema::String => "string",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(_) => "record",
        Schema::Enum(_) => "enum",
        Schema::Fixed(_) => "fixed",
        Schema::Decimal(_) | Schema::BigDecimal => "decimal",
        Schema::Uuid(_) => "uuid",
        Schema::Date => "date",
        Schema::TimeMillis | Schema::TimeMicros => "time",
        Schema::TimestampMillis | Schema::TimestampMicros | Schema::TimestampNanos => "timestamp",
        Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "local timestamp",
        Schema::Duration(_) => "duration",
        Schema::Ref { .. } => "reference",
    }
}
