//! Records in Avro, written from the schema files with a generic writer instead of the daemon's own code.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};

/// Returns the text of the schema file of `name`.
pub(crate) fn schema_text(name: &str) -> String {
    let path = format!("{}/schemas/{name}.avsc", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the schema without `field`, as it was before the field was added.
pub(crate) fn without_field(schema: &str, field: &str) -> String {
    let mut schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    let fields = schema["fields"].as_array_mut().expect("a record has fields");
    let before = fields.len();
    fields.retain(|known| known["name"] != field);
    assert_eq!(fields.len(), before - 1, "the schema has a field {field}");
    schema.to_string()
}

/// Returns the schema with one more field, as a newer gateway may have it.
pub(crate) fn with_field(schema: &str, field: &str) -> String {
    let mut schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    let fields = schema["fields"].as_array_mut().expect("a record has fields");
    fields.insert(0, json!({"name": field, "type": "string", "default": ""}));
    schema.to_string()
}

/// Returns the datum of `record` by `schema`.
pub(crate) fn datum(schema: &str, record: &Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).expect("a valid schema");
    let value = untyped(record).resolve(&schema).expect("the record fits the schema");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value_to_vec(value).expect("the record can be written")
}

/// Converts JSON to untyped Avro, which is resolved to a schema later: maps become records, and unions get the branch
/// that fits.
fn untyped(json: &Value) -> Avro {
    match json {
        Value::Null => Avro::Null,
        Value::Bool(value) => Avro::Boolean(*value),
        Value::Number(value) => match value.as_i64() {
            Some(value) => Avro::Long(value),
            None => Avro::Double(value.as_f64().expect("a number of 64 bits")),
        },
        Value::String(value) => Avro::String(value.clone()),
        Value::Array(items) => Avro::Array(items.iter().map(untyped).collect()),
        Value::Object(fields) => {
            Avro::Map(fields.iter().map(|(name, value)| (name.clone(), untyped(value))).collect())
        }
    }
}

/// Returns the record that `datum` holds, as JSON without null fields.
pub(crate) fn read(schema: &str, datum: &[u8]) -> Value {
    let schema = Schema::parse_str(schema).expect("a valid schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
    let value = reader.read_value(&mut &*datum).expect("a datum");
    without_nulls(Value::try_from(value).expect("JSON can represent it"))
}

fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(fields) => {
            let present = fields.into_iter().filter(|(_, value)| !value.is_null());
            present.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => json,
    }
}

/// Returns the record in Confluent's framing: a zero and the schema's id come first.
pub(crate) fn confluent(id: u32, schema: &str, record: &Value) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &datum(schema, record)].concat()
}

/// Returns the record in Avro's single-object encoding: two bytes and the schema's fingerprint come first.
pub(crate) fn single_object(schema: &str, record: &Value) -> Vec<u8> {
    let parsed = Schema::parse_str(schema).expect("a valid schema");
    let fingerprint = parsed.fingerprint::<Rabin>().bytes;
    [&[0xc3, 0x01][..], &fingerprint, &datum(schema, record)].concat()
}
