//! Source records in Avro. A datum becomes the JSON text of the same shape, so that all records are decoded in the same
//! way.
//!
//! The writer's schema is resolved to the schema of the source event as Java's library does it, and where JSON is more
//! lenient, as leniently as JSON: a number may stand for a text and a text for a number. A logical type counts as the
//! type below it. Members have the order of the event's schema, and members that it does not have are left out.

mod compile;
mod number;
mod plan;

use super::schema::{self, Known};
use crate::domain::RecordKind;
use apache_avro::Schema;
use compile::Compiler;
use plan::{NoJson, Plan};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The longest JSON of a record, in bytes. A few bytes of Avro can become a hundred, and the parts that are passed on
/// must fit into rows and dead letters.
pub(super) const JSON_BYTES_MAX: usize = super::source::RECORD_BYTES_MAX;

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
    /// A type is used that neither the schema nor its references define.
    #[error("the schema uses a type that it does not define")]
    Undefined,
}

/// Why a datum is refused. The faults quote nothing of the datum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    BreaksOff,
    Mismatch,
    Surplus,
    TooMany,
    TooLong,
    Unresolvable(Arc<Unresolvable>),
    NoJson,
}

/// The reason why a part of a writer's schema can't be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unresolvable {
    /// The type of a field.
    Field { path: String, written: &'static str, wanted: String },
    /// The whole record, because its schema has the name of another kind.
    Record(RecordKind),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BreaksOff => "the Avro record breaks off before its end",
            Self::Mismatch => "the Avro record is not what its schema says",
            Self::Surplus => "bytes follow after the end of the Avro record",
            Self::TooMany => "the Avro record holds too many values, or nests them too deep",
            Self::TooLong => {
                "the Avro record is longer as JSON than a source event may be, or repeats long names"
            }
            Self::NoJson => "the Avro record holds a value that JSON can't express",
            Self::Unresolvable(why) => return why.fmt(f),
        })
    }
}

impl fmt::Display for Unresolvable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { path, written, wanted } if path.is_empty() => write!(
                f,
                "the record can't be read: its schema has the type {written}, and {wanted} is expected"
            ),
            Self::Field { path, written, wanted } => write!(
                f,
                "the field {path} can't be read: the record's schema has the type {written}, and {wanted} is expected"
            ),
            Self::Record(kind) => {
                write!(
                    f,
                    "the name of the record's schema is that of a {}",
                    super::source::called(*kind)
                )
            }
        }
    }
}

/// The plans by which the data of a schema are read.
pub(super) struct Readers {
    /// Reads a datum as it was written.
    natural: Arc<Plan>,
    start: Arc<Plan>,
    flow: Arc<Plan>,
    report: Arc<Plan>,
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
static BY_FINGERPRINT: LazyLock<Vec<([u8; 8], Arc<Readers>)>> = LazyLock::new(|| {
    let Ok(embedded) = &*EMBEDDED else { return Vec::new() };
    let retired = schema::RETIRED_SCHEMAS.iter();
    let known = [&embedded.flow, &embedded.report].into_iter().chain(retired);
    let readers = |known: &Known| {
        Some((known.fingerprint, Arc::new(Readers::compile(&known.schema, &[]).ok()?)))
    };
    known.filter_map(readers).collect()
});

impl Readers {
    /// Parses the text of a schema, and of the schemas that it refers to.
    pub(super) fn new(text: &str, references: &[String]) -> Result<Self, SchemaError> {
        let unparsable = |error| SchemaError::Unparsable(Box::new(error));
        if references.is_empty() {
            return Self::compile(&Schema::parse_str(text).map_err(unparsable)?, &[]);
        }
        let (schema, others) = Schema::parse_str_with_list(text, references).map_err(unparsable)?;
        Self::compile(&schema, &others)
    }

    /// Returns the readers of the embedded schema with this fingerprint.
    pub(super) fn by_fingerprint(fingerprint: [u8; 8]) -> Option<Arc<Self>> {
        BY_FINGERPRINT.iter().find(|(known, _)| *known == fingerprint).map(|(_, it)| it.clone())
    }

    fn compile(schema: &Schema, others: &[Schema]) -> Result<Self, SchemaError> {
        let mut compiler = Compiler::new(schema, others);
        let natural = compiler.natural(schema)?;
        let start = compiler.of_kind(schema, RecordKind::Start, None)?;
        let (flow, report) = match &*EMBEDDED {
            Ok(Embedded { flow, report }) => (
                compiler.of_kind(schema, RecordKind::Flow, Some(&flow.schema))?,
                compiler.of_kind(schema, RecordKind::Report, Some(&report.schema))?,
            ),
            Err(_) => (natural.clone(), natural.clone()),
        };
        Ok(Self { natural, start, flow, report })
    }

    /// Writes the JSON of `datum`, resolved to the schema of `kind`, into `out`.
    pub(super) fn to_json(
        &self,
        kind: RecordKind,
        datum: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let plan = match kind {
            // There is no schema of ours for this kind. The JSON has the shape of the writer's schema.
            RecordKind::Start => &self.start,
            RecordKind::Flow => &self.flow,
            RecordKind::Report => &self.report,
        };
        transcode(plan, datum, out)
    }

    /// Writes the JSON of `datum` as it was written, into `out`.
    pub(super) fn to_natural_json(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        transcode(&self.natural, datum, out)
    }
}

fn transcode(plan: &Plan, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    out.clear();
    match plan::transcode(plan, datum, out)? {
        NoJson(false) => Ok(()),
        NoJson(true) => Err(Fault::NoJson),
    }
}
