//! Stored rows.

use super::{sample, seen};
use crate::target::Target;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use bytes::Bytes;
use ringback::codec::row::{
    RowError, decode_endpoint, decode_meta, decode_state, encode_endpoint, encode_meta,
    encode_state,
};
use ringback::store::Derived;
use std::fmt::Debug;
use std::sync::LazyLock;

pub(super) const STATE: Target = Target {
    name: "state-row",
    run: |input| {
        let state = row(input, &STATE_SCHEMA, decode_state, encode_state, &sample::states()[0]);
        if let Some(state) = &state {
            let _ = (Derived::of(state), state.timer());
        }
        seen(state)
    },
    seeds: || sample::states().iter().map(|state| written(encode_state, state)).collect(),
    words: &["flow-complete", "crm"],
    bytes_per_byte: 500,
};

pub(super) const ENDPOINT: Target = Target {
    name: "endpoint-row",
    run: |input| {
        seen(row(
            input,
            &ENDPOINT_SCHEMA,
            decode_endpoint,
            encode_endpoint,
            &sample::endpoints()[0],
        ))
    },
    seeds: || sample::endpoints().iter().map(|row| written(encode_endpoint, row)).collect(),
    words: &[],
    bytes_per_byte: 500,
};

pub(super) const META: Target = Target {
    name: "meta-row",
    run: |input| seen(row(input, &META_SCHEMA, decode_meta, encode_meta, &sample::metas()[0])),
    seeds: || sample::metas().iter().map(|row| written(encode_meta, row)).collect(),
    words: &["flow-complete"],
    bytes_per_byte: 500,
};

static STATE_SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| schema(include_str!("../../../schemas/state.avsc")));
static ENDPOINT_SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| schema(include_str!("../../../schemas/endpoint.avsc")));
static META_SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| schema(include_str!("../../../schemas/meta.avsc")));

fn schema(text: &str) -> Schema {
    Schema::parse_str(text).expect("a valid schema")
}

fn written<T>(encode: fn(&T, &mut Vec<u8>), row: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode(row, &mut out);
    out
}

/// Decodes the input, a row or a datum without a row's head. A valid row that is written again must read the same, must
/// not be longer, and must be readable by the library.
fn row<T: PartialEq + Debug>(
    input: &[u8],
    schema: &Schema,
    decode: fn(&Bytes) -> Result<T, RowError>,
    encode: fn(&T, &mut Vec<u8>),
    any: &T,
) -> Option<T> {
    let head = written(encode, any)[..10].to_vec();
    let whole =
        if input.starts_with(&head[..2]) { input.to_vec() } else { [&head, input].concat() };
    let value = match decode(&Bytes::from(whole.clone())) {
        Ok(value) => value,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let again = Bytes::from(written(encode, &value));
    assert!(again.len() <= whole.len(), "varints are minimal, and blocks as few as possible");
    assert_eq!(decode(&again).expect("the written row can be read"), value);
    let mut datum = &again[10..];
    let reader = GenericDatumReader::builder(schema).build().expect("a reader");
    assert!(reader.read_value(&mut datum).is_ok() && datum.is_empty(), "the library reads it too");
    Some(value)
}
