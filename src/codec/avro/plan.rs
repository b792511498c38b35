//! Reads a datum of a writer's schema directly into JSON, without a tree of values.

use super::{Fault, JSON_BYTES_MAX, Unresolvable, number};
use crate::codec::varint::{self, Unread};
use crate::json;
use std::ops::Range;
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
    /// Bytes of this size, or with their length in front.
    Raw(Option<usize>, Content),
    Array(Arc<Plan>),
    Map(Arc<Plan>),
    Union(Vec<Arc<Plan>>),
    Record(Record),
    /// A datum of this type can't be read as what is expected.
    Unresolvable(Arc<Unresolvable>),
}

/// The meaning of bytes.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// Anything. It becomes text if it is UTF-8. If not, each byte becomes a character, as in Avro's own JSON.
    Any,
    Text,
    Uuid,
    /// A number that is divided by ten to the power of this scale.
    Decimal(i64),
    /// A number with its length in front, and its scale behind it.
    BigDecimal,
}

/// The parts of a record's schema that reading needs.
pub(super) struct Record {
    fields: Vec<Field>,
    /// Whether the fields have the order in which they are written as JSON.
    in_order: bool,
    /// The number of members that the JSON may have.
    width: usize,
    has_bytes: bool,
}

/// A field of a record.
pub(super) struct Field {
    /// The name of the member with quotes and colon.
    pub(super) name: Vec<u8>,
    /// The place of the member in the JSON. `None`: the field is left out.
    pub(super) rank: Option<usize>,
    pub(super) plan: Arc<Plan>,
}

impl Record {
    pub(super) fn new(fields: Vec<Field>) -> Self {
        let ranks = || fields.iter().filter_map(|field| field.rank);
        let in_order = ranks().is_sorted();
        let width = ranks().max().map_or(0, |rank| rank + 1);
        let has_bytes = fields.iter().any(|field| field.plan.has_bytes());
        Self { fields, in_order, width, has_bytes }
    }
}

impl Plan {
    /// Returns whether every datum has at least one byte.
    pub(super) fn has_bytes(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Raw(size, _) => size.is_none_or(|size| size > 0),
            Self::Record(record) => record.has_bytes,
            Self::Boolean
            | Self::Integer
            | Self::Float
            | Self::Double
            | Self::Text
            | Self::Symbol(_)
            | Self::Array(_)
            | Self::Map(_)
            | Self::Union(_)
            // Reading ends there.
            | Self::Unresolvable(_) => true,
        }
    }
}

/// Whether a number became null because JSON can't express it: an infinity or NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoJson(pub(super) bool);

/// The largest number of values. A value without bytes costs time too.
const VALUES_MAX: usize = 2 * JSON_BYTES_MAX;

/// The length of all names together. The name of a value that is null costs time too.
const NAMES_BYTES_MAX: usize = 16 * JSON_BYTES_MAX;

/// Appends the JSON of the whole of `datum`. Returns whether a number became null because JSON can't express it.
pub(super) fn transcode(plan: &Plan, datum: &[u8], out: &mut Vec<u8>) -> Result<NoJson, Fault> {
    let mut reader = Reader {
        rest: datum,
        values_left: VALUES_MAX,
        names_left: NAMES_BYTES_MAX,
        // The scan of the JSON refuses deeper values too.
        depth_left: json::DEPTH_MAX,
        no_json: false,
        fault: None,
        out,
    };
    match (reader.value(plan), reader.fault) {
        (Err(Failed), Some(fault)) => Err(fault),
        _ if reader.out.len() > JSON_BYTES_MAX => Err(Fault::TooLong),
        _ if !reader.rest.is_empty() => Err(Fault::Surplus),
        _ => Ok(NoJson(reader.no_json)),
    }
}

/// Whether a value is null, so that a member of a record is left out.
#[derive(PartialEq, Eq)]
enum Written {
    Null,
    Value,
}

/// The reader failed, and keeps the fault. Results without the fault itself fit into a register.
struct Failed;

struct Reader<'d, 'o> {
    rest: &'d [u8],
    values_left: usize,
    names_left: usize,
    depth_left: usize,
    no_json: bool,
    fault: Option<Fault>,
    out: &'o mut Vec<u8>,
}

impl<'d> Reader<'d, '_> {
    fn value(&mut self, plan: &Plan) -> Result<Written, Failed> {
        self.values_left = self.require(self.values_left.checked_sub(1), Fault::TooMany)?;
        self.depth_left = self.require(self.depth_left.checked_sub(1), Fault::TooMany)?;
        if self.out.len() > JSON_BYTES_MAX {
            return self.fail(Fault::TooLong);
        }
        let written = self.any(plan)?;
        self.depth_left += 1;
        Ok(written)
    }

    fn any(&mut self, plan: &Plan) -> Result<Written, Failed> {
        match plan {
            Plan::Null => return Ok(self.null()),
            Plan::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|i| branches.get(i));
                let branch = self.require(branch, Fault::Mismatch)?;
                return self.value(branch);
            }
            Plan::Boolean => {
                let word: &[u8] = match self.take(1)? {
                    [0] => b"false",
                    [1] => b"true",
                    _ => return self.fail(Fault::Mismatch),
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
            Plan::Raw(size, content) => {
                let bytes = self.raw(*size)?;
                self.content(*content, bytes)?;
            }
            Plan::Unresolvable(why) => return self.fail(Fault::Unresolvable(why.clone())),
            Plan::Symbol(symbols) => {
                let symbol = usize::try_from(self.long()?).ok().and_then(|i| symbols.get(i));
                let symbol = self.require(symbol, Fault::Mismatch)?;
                json::write_string(self.out, symbol);
            }
            Plan::Array(items) => self.blocks(b"[", b"]", |reader| reader.value(items))?,
            Plan::Map(values) => self.blocks(b"{", b"}", |reader| {
                let name = reader.text()?;
                json::write_string(reader.out, name);
                reader.out.push(b':');
                reader.value(values)
            })?,
            Plan::Record(record) if record.in_order => self.record(&record.fields)?,
            Plan::Record(record) => self.record_in_another_order(record)?,
        }
        Ok(Written::Value)
    }

    fn null(&mut self) -> Written {
        self.out.extend_from_slice(b"null");
        Written::Null
    }

    fn record(&mut self, fields: &[Field]) -> Result<(), Failed> {
        self.out.push(b'{');
        let mut separator: &[u8] = b"";
        for field in fields {
            if field.rank.is_none() {
                self.skip(&field.plan)?;
                continue;
            }
            let before = self.out.len();
            self.out.extend_from_slice(separator);
            match self.member(field)? {
                Written::Null => self.out.truncate(before),
                Written::Value => separator = b",",
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Reads a record, and then moves its members to their places.
    fn record_in_another_order(&mut self, record: &Record) -> Result<(), Failed> {
        let start = self.out.len();
        let mut members: Vec<Range<usize>> = vec![0..0; record.width];
        for field in &record.fields {
            let Some(rank) = field.rank else {
                self.skip(&field.plan)?;
                continue;
            };
            let before = self.out.len();
            if self.member(field)? == Written::Null {
                self.out.truncate(before);
            } else if let Some(place) = members.get_mut(rank) {
                *place = before - start..self.out.len() - start;
            }
        }
        let read = self.out.split_off(start);
        self.out.push(b'{');
        let mut separator: &[u8] = b"";
        for member in members.into_iter().filter(|member| !member.is_empty()) {
            self.out.extend_from_slice(separator);
            self.out.extend_from_slice(read.get(member).unwrap_or_default());
            separator = b",";
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Writes the name and the value of a field.
    fn member(&mut self, field: &Field) -> Result<Written, Failed> {
        self.names_left =
            self.require(self.names_left.checked_sub(field.name.len()), Fault::TooLong)?;
        self.out.extend_from_slice(&field.name);
        self.value(&field.plan)
    }

    /// Moves behind a value that is left out.
    fn skip(&mut self, plan: &Plan) -> Result<(), Failed> {
        self.values_left = self.require(self.values_left.checked_sub(1), Fault::TooMany)?;
        self.depth_left = self.require(self.depth_left.checked_sub(1), Fault::TooMany)?;
        match plan {
            Plan::Null => {}
            Plan::Boolean => drop(self.take(1)?),
            Plan::Integer | Plan::Symbol(_) => drop(self.long()?),
            Plan::Float => drop(self.take(4)?),
            Plan::Double => drop(self.take(8)?),
            Plan::Text => drop(self.slice()?),
            Plan::Raw(size, _) => drop(self.raw(*size)?),
            Plan::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|i| branches.get(i));
                let branch = self.require(branch, Fault::Mismatch)?;
                self.skip(branch)?;
            }
            Plan::Array(items) => self.each(|reader| reader.skip(items))?,
            Plan::Map(values) => self.each(|reader| {
                reader.slice()?;
                reader.skip(values)
            })?,
            Plan::Record(record) => {
                record.fields.iter().try_for_each(|field| self.skip(&field.plan))?;
            }
            Plan::Unresolvable(why) => return self.fail(Fault::Unresolvable(why.clone())),
        }
        self.depth_left += 1;
        Ok(())
    }

    /// Writes the items of an array or a map.
    fn blocks(
        &mut self,
        open: &[u8],
        close: &[u8],
        mut item: impl FnMut(&mut Self) -> Result<Written, Failed>,
    ) -> Result<(), Failed> {
        self.out.extend_from_slice(open);
        let mut separator: &[u8] = b"";
        self.each(|reader| {
            reader.out.extend_from_slice(separator);
            separator = b",";
            item(reader).map(drop)
        })?;
        self.out.extend_from_slice(close);
        Ok(())
    }

    /// Reads blocks of items up to the empty block. After a negative count comes the size of the block.
    fn each(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
            }
            // A wrong count ends at the end of the datum, because every item has bytes.
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
        }
    }

    fn content(&mut self, content: Content, bytes: &'d [u8]) -> Result<(), Failed> {
        match (content, std::str::from_utf8(bytes)) {
            (Content::Any | Content::Text, Ok(text)) => json::write_string(self.out, text),
            (Content::Any, Err(_)) => {
                let text: String = bytes.iter().copied().map(char::from).collect();
                json::write_string(self.out, &text);
            }
            (Content::Text, Err(_)) => return self.fail(Fault::Mismatch),
            (Content::Uuid, _) => {
                let bytes = self.require(bytes.try_into().ok(), Fault::Mismatch)?;
                number::uuid(self.out, bytes);
            }
            (Content::Decimal(scale), _) => self.decimal(bytes, scale)?,
            (Content::BigDecimal, _) => {
                let behind = std::mem::replace(&mut self.rest, bytes);
                let (digits, scale) = (self.slice()?, self.long()?);
                self.rest = behind;
                self.decimal(digits, scale)?;
            }
        }
        Ok(())
    }

    fn float(&mut self, number: f64) -> Result<Written, Failed> {
        if !number.is_finite() {
            self.no_json = true;
            return Ok(self.null());
        }
        let written = serde_json::to_writer(&mut *self.out, &number);
        self.require(written.ok(), Fault::NoJson)?;
        Ok(Written::Value)
    }

    fn decimal(&mut self, digits: &[u8], scale: i64) -> Result<(), Failed> {
        number::decimal(self.out, digits, scale).or_else(|fault| self.fail(fault))
    }

    fn text(&mut self) -> Result<&'d str, Failed> {
        let text = std::str::from_utf8(self.slice()?).ok();
        self.require(text, Fault::Mismatch)
    }

    fn raw(&mut self, size: Option<usize>) -> Result<&'d [u8], Failed> {
        match size {
            Some(size) => self.take(size),
            None => self.slice(),
        }
    }

    fn slice(&mut self) -> Result<&'d [u8], Failed> {
        let length = usize::try_from(self.long()?).ok();
        let length = self.require(length, Fault::Mismatch)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'d [u8], Failed> {
        let (taken, rest) = self.require(self.rest.split_at_checked(length), Fault::BreaksOff)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a zig-zag varint.
    fn long(&mut self) -> Result<i64, Failed> {
        match varint::read(&mut self.rest) {
            // Avro's own libraries do the same.
            Ok(number) | Err(Unread::Overflows(number)) => Ok(number),
            Err(Unread::BreaksOff) => self.fail(Fault::BreaksOff),
            Err(Unread::Endless) => self.fail(Fault::Mismatch),
        }
    }

    #[inline]
    fn require<T>(&mut self, value: Option<T>, fault: Fault) -> Result<T, Failed> {
        match value {
            Some(value) => Ok(value),
            None => self.fail(fault),
        }
    }

    #[cold]
    fn fail<T>(&mut self, fault: Fault) -> Result<T, Failed> {
        self.fault = Some(fault);
        Err(Failed)
    }
}
