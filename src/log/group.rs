//! Calls that rust-rdkafka lacks, or makes too slowly, through librdkafka's own functions.
//!
//! A transaction commits offsets under the group's metadata, and rust-rdkafka hides their generation. With a generation
//! below 0, the broker accepts offsets without fencing from a member that is not in the group. So the metadata are
//! fetched, checked and passed on in one function.
#![expect(
    unsafe_code,
    reason = "librdkafka's C functions; every pointer lives and dies in this function"
)]

use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::types::{RDKafka, RDKafkaErrorCode};
use rdkafka::{ClientContext, TopicPartitionList};
use std::ffi::CStr;

/// The error of a transactional call.
#[derive(Debug)]
pub(super) struct NativeError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) text: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) abortable: bool,
}

/// Waits until every record of `producer` is delivered or has failed. Returns `false` if the time runs out first.
///
/// rust-rdkafka's own flush polls for a fixed 100 ms before it checks again, and so would its commit. This flush is
/// woken. Meanwhile another thread must serve the delivery reports.
pub(super) fn flush<C: ClientContext>(producer: &Client<C>, timeout_ms: i32) -> bool {
    // SAFETY: the handle belongs to the client, and lives as long as the client is borrowed here.
    let code = unsafe { native::rd_kafka_flush(producer.native_ptr(), timeout_ms) };
    code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// The reason why offsets were not sent.
#[derive(Debug)]
pub(super) enum OffsetsError {
    /// The consumer is not a member of its group at the moment.
    NotMember,
    Native(NativeError),
}

/// Adds `offsets` to the producer's transaction, with the consumer's current generation.
///
/// # Safety
/// `producer` and `consumer` must be live handles of librdkafka.
pub(super) unsafe fn send_offsets(
    producer: *mut RDKafka,
    consumer: *mut RDKafka,
    offsets: &TopicPartitionList,
    timeout_ms: i32,
) -> Result<(), OffsetsError> {
    // SAFETY: the handles are live by this function's contract. Metadata and error are destroyed exactly once.
    unsafe {
        let metadata = native::rd_kafka_consumer_group_metadata(consumer);
        if metadata.is_null() {
            return Err(OffsetsError::NotMember);
        }
        let generation = native::rd_kafka_consumer_group_metadata_generation_id(metadata);
        if generation < 0 {
            native::rd_kafka_consumer_group_metadata_destroy(metadata);
            return Err(OffsetsError::NotMember);
        }
        let error = native::rd_kafka_send_offsets_to_transaction(
            producer,
            offsets.ptr(),
            metadata,
            timeout_ms,
        );
        native::rd_kafka_consumer_group_metadata_destroy(metadata);
        if error.is_null() {
            return Ok(());
        }
        let described = NativeError {
            code: native::rd_kafka_error_code(error).into(),
            text: CStr::from_ptr(native::rd_kafka_error_string(error))
                .to_string_lossy()
                .into_owned(),
            fatal: native::rd_kafka_error_is_fatal(error) != 0,
            retriable: native::rd_kafka_error_is_retriable(error) != 0,
            abortable: native::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        native::rd_kafka_error_destroy(error);
        Err(OffsetsError::Native(described))
    }
}
