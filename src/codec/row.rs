//! Stored rows: the same bytes in the store and in the changelog.
//!
//! A row is Avro in single-object encoding, by `schemas/state.avsc`, `schemas/meta.avsc` or `schemas/endpoint.avsc`, so
//! that any Avro tool can read the changelog. Hand-written code reads and writes it, because the library's tree of
//! values is too slow here; tests compare the two. The library resolves rows of a retired schema into the current one,
//! except for rows of states.

mod meta;
mod read;
mod write;

pub use meta::{Difference, InputOffset, Landmark, Meta, Owner, Replacement, TopicId};

#[cfg(test)]
mod tests;

use super::schema::{self, Known};
use crate::domain::{EndpointState, State};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use std::sync::LazyLock;

/// The fingerprint of `schemas/state.avsc`. When the schema changes, its former text moves to `schemas/retired/`.
const STATE: [u8; 8] = 0x5184_def1_e647_8a1c_u64.to_le_bytes();
/// The fingerprint of `schemas/retired/state-1.avsc`. Its rows are read by hand too. When the library resolves a union
/// into another, it chooses the record that the value fits, not the record with the same name.
const STATE_1: [u8; 8] = 0xdfb1_191a_b3d9_21ba_u64.to_le_bytes();
/// The fingerprint of `schemas/retired/state-2.avsc`, which is read by hand too.
const STATE_2: [u8; 8] = 0xc270_f0aa_9a5b_07e4_u64.to_le_bytes();
/// The fingerprint of `schemas/retired/state-3.avsc`, which is read by hand too.
const STATE_3: [u8; 8] = 0x0c7c_896e_452c_f78f_u64.to_le_bytes();
/// The fingerprint of `schemas/retired/state-4.avsc`, which is read by hand too.
const STATE_4: [u8; 8] = 0x52ed_7876_bc8f_7568_u64.to_le_bytes();
/// The fingerprint of `schemas/retired/state-5.avsc`, which is read by hand too.
const STATE_5: [u8; 8] = 0x19d5_baae_6c91_07e7_u64.to_le_bytes();
/// The fingerprint of `schemas/meta.avsc`.
const META: [u8; 8] = 0xda61_be12_9a75_c0a9_u64.to_le_bytes();
/// The fingerprint of `schemas/endpoint.avsc`.
const ENDPOINT: [u8; 8] = 0xddd8_4f20_ea83_97af_u64.to_le_bytes();

/// Why stored bytes are no row. The store or the changelog is damaged, or a newer version wrote the row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The two bytes at the beginning of every row are missing.
    #[error("the bytes are not an Avro single-object encoding")]
    NotARow,
    /// Another version, or another program, wrote the row.
    #[error("the row names the schema {0:016x}, which this version does not know")]
    UnknownSchema(u64),
    /// The row is incomplete.
    #[error("the row breaks off")]
    BreaksOff,
    /// Bytes follow after the end of the row.
    #[error("bytes follow after the end of the row")]
    Surplus,
    /// A value is out of its range.
    #[error("the row's {0} is invalid")]
    Invalid(&'static str),
    /// A row of a retired schema can't be resolved into the current one.
    #[error("the row can't be brought to the current schema")]
    Migration(#[source] Box<apache_avro::Error>),
}

/// Appends the row of `state`.
pub fn encode_state(state: &State, out: &mut Vec<u8>) {
    head(&STATE, out);
    write::state(state, out);
}

/// Reads the state that was stored as `bytes`. Its bodies are slices of them.
///
/// # Errors
/// The bytes are no row of a state.
pub fn decode_state(bytes: &Bytes) -> Result<State, RowError> {
    let (datum, version) = match schema::split_single_object(bytes) {
        Some((STATE_1, datum)) => (bytes.slice_ref(datum), read::Version::First),
        Some((STATE_2, datum)) => (bytes.slice_ref(datum), read::Version::Second),
        Some((STATE_3, datum)) => (bytes.slice_ref(datum), read::Version::Third),
        Some((STATE_4, datum)) => (bytes.slice_ref(datum), read::Version::Fourth),
        Some((STATE_5, datum)) => (bytes.slice_ref(datum), read::Version::Fifth),
        _ => (current(bytes, &STATE, &STATE_SCHEMA)?, read::Version::Newest),
    };
    let mut datum = read::Datum::of(&datum, version);
    let state = read::state(&mut datum)?;
    datum.finish()?;
    Ok(state)
}

/// Appends the row of `meta`.
pub fn encode_meta(meta: &Meta, out: &mut Vec<u8>) {
    head(&META, out);
    write::meta(meta, out);
}

/// Reads the meta row that was stored as `bytes`.
///
/// # Errors
/// The bytes are no meta row.
pub fn decode_meta(bytes: &Bytes) -> Result<Meta, RowError> {
    let datum = current(bytes, &META, &META_SCHEMA)?;
    let mut datum = read::Datum::new(&datum);
    let meta = read::meta(&mut datum)?;
    datum.finish()?;
    Ok(meta)
}

/// Appends the row of `endpoint`.
pub fn encode_endpoint(endpoint: &EndpointState, out: &mut Vec<u8>) {
    head(&ENDPOINT, out);
    write::endpoint(endpoint, out);
}

/// Reads the row of an endpoint that was stored as `bytes`.
///
/// # Errors
/// The bytes are no row of an endpoint.
pub fn decode_endpoint(bytes: &Bytes) -> Result<EndpointState, RowError> {
    let datum = current(bytes, &ENDPOINT, &ENDPOINT_SCHEMA)?;
    let mut datum = read::Datum::new(&datum);
    let endpoint = read::endpoint(&mut datum)?;
    datum.finish()?;
    Ok(endpoint)
}

static STATE_SCHEMA: LazyLock<Result<Known, apache_avro::Error>> =
    LazyLock::new(|| Known::parse(schema::STATE));
static META_SCHEMA: LazyLock<Result<Known, apache_avro::Error>> =
    LazyLock::new(|| Known::parse(schema::META));

static ENDPOINT_SCHEMA: LazyLock<Result<Known, apache_avro::Error>> =
    LazyLock::new(|| Known::parse(schema::ENDPOINT));

fn head(fingerprint: &[u8; 8], out: &mut Vec<u8>) {
    out.extend_from_slice(&schema::SINGLE_OBJECT);
    out.extend_from_slice(fingerprint);
}

/// Returns the datum of `row` by the current schema, whose fingerprint is `own`.
fn current(
    row: &Bytes,
    own: &[u8; 8],
    schema: &LazyLock<Result<Known, apache_avro::Error>>,
) -> Result<Bytes, RowError> {
    let (fingerprint, datum) = schema::split_single_object(row).ok_or(RowError::NotARow)?;
    if fingerprint == *own {
        return Ok(row.slice_ref(datum));
    }
    let unknown = RowError::UnknownSchema(u64::from_le_bytes(fingerprint));
    let retired = schema::RETIRED_SCHEMAS.iter().find(|known| known.fingerprint == fingerprint);
    match (retired, &**schema) {
        (Some(writer), Ok(reader)) => migrate(datum, writer, reader),
        _ => Err(unknown),
    }
}

/// Resolves a datum that was written by the schema `writer` into the schema `reader`.
fn migrate(mut datum: &[u8], writer: &Known, reader: &Known) -> Result<Bytes, RowError> {
    schema::limit_allocations();
    let mut resolve = || {
        let value = GenericDatumReader::builder(&writer.schema)
            .reader_schema(&reader.schema)
            .build()?
            .read_value(&mut datum)?;
        GenericDatumWriter::builder(&reader.schema).build()?.write_value_to_vec(value)
    };
    let resolved = resolve().map_err(|error| RowError::Migration(Box::new(error)))?;
    Ok(Bytes::from(resolved))
}
