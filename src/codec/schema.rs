//! The Avro schemas that are part of the program, and the header of the single-object encoding.

use apache_avro::rabin::Rabin;
use apache_avro::{Schema, schema::SchemaFingerprint};
use std::sync::LazyLock;

pub(super) const FLOW_COMPLETE: &str = include_str!("../../schemas/flow-complete.avsc");
pub(super) const DELIVERY_REPORT: &str = include_str!("../../schemas/sms-delivery-report.avsc");
pub(super) const STATE: &str = include_str!("../../schemas/state.avsc");
pub(super) const META: &str = include_str!("../../schemas/meta.avsc");
pub(super) const ENDPOINT: &str = include_str!("../../schemas/endpoint.avsc");

/// All earlier versions: each file of `schemas/retired/`.
pub(super) const RETIRED: &[&str] = &[
    include_str!("../../schemas/retired/endpoint-1.avsc"),
    include_str!("../../schemas/retired/meta-1.avsc"),
    include_str!("../../schemas/retired/meta-2.avsc"),
    include_str!("../../schemas/retired/meta-3.avsc"),
    include_str!("../../schemas/retired/state-1.avsc"),
    include_str!("../../schemas/retired/state-2.avsc"),
    include_str!("../../schemas/retired/state-3.avsc"),
    include_str!("../../schemas/retired/state-4.avsc"),
    include_str!("../../schemas/retired/state-5.avsc"),
];

/// The first two bytes of the single-object encoding.
pub(super) const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];

/// The largest allocation for one string, or for the items of one array, while Avro is decoded.
const ALLOCATION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A parsed schema and its fingerprint.
pub(super) struct Known {
    pub(super) schema: Schema,
    pub(super) fingerprint: [u8; 8],
}

impl Known {
    pub(super) fn parse(text: &str) -> Result<Self, apache_avro::Error> {
        let schema = Schema::parse_str(text)?;
        let SchemaFingerprint { bytes } = schema.fingerprint::<Rabin>();
        let fingerprint = bytes.first_chunk().copied().unwrap_or_default();
        Ok(Self { schema, fingerprint })
    }
}

/// The retired schemas. A test shows that each of them can be parsed, so that none is missing here.
pub(super) static RETIRED_SCHEMAS: LazyLock<Vec<Known>> =
    LazyLock::new(|| RETIRED.iter().filter_map(|text| Known::parse(text).ok()).collect());

/// Limits the memory that the Avro library allocates for a claimed length. Only the first call in a process has an
/// effect.
pub(super) fn limit_allocations() {
    apache_avro::util::max_allocation_bytes(ALLOCATION_BYTES_MAX);
}

/// Returns the fingerprint and the datum of `bytes` in single-object encoding.
pub(super) fn split_single_object(bytes: &[u8]) -> Option<([u8; 8], &[u8])> {
    let rest = bytes.strip_prefix(&SINGLE_OBJECT)?;
    rest.split_first_chunk().map(|(fingerprint, datum)| (*fingerprint, datum))
}
