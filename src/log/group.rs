//! What rust-rdkafka has no way to say, or says too slowly, through librdkafka's own functions.
//!
//! For the group's word in a transaction, rust-rdkafka hides the generation of the
//! group's metadata, and with a generation below 0 the broker accepts offsets from a member that was never, or is no longer,
//! in the group: unfenced. So metadata are fetched, checked and handed over in one go.
#![expect(
    unsafe_code,
    reason = "librdkafka's C functions; every pointer lives and dies in this function"
)]

use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::types::{RDKafka, RDKafkaErrorCode};
use rdkafka::{ClientContext, TopicPartitionList};
use std::ffi::CStr;

/// What a transactional call answered.
#[derive(Debug)]
pub(super) struct NativeError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) text: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) abortable: bool,
}

/// Waits until every record of `producer` was delivered or has failed; `false` when the time ran out before.
///
/// rust-rdkafka's own flush polls for a fixed 100 ms before it looks again, and so would its commit; this one is woken. The
/// delivery reports must be served by another thread meanwhile.
pub(super) fn flush<C: ClientContext>(producer: &Client<C>, timeout_ms: i32) -> bool {
    // SAFETY: the handle is the client's own, and lives as long as it is borrowed here.
    let code = unsafe { native::rd_kafka_flush(producer.native_ptr(), timeout_ms) };
    code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Why offsets were not sent.
#[derive(Debug)]
pub(super) enum OffsetsError {
    /// The consumer is not a member of its group right now.
    NotMember,
    /// The call failed.
    Native(NativeError),
}

/// Adds `offsets` to the producer's transaction in the name of the consumer's current generation.
///
/// # Safety
/// `producer` and `consumer` must be live handles of librdkafka.
pub(super) unsafe fn send_offsets(
    producer: *mut RDKafka,
    consumer: *mut RDKafka,
    offsets: &TopicPartitionList,
    timeout_ms: i32,
) -> Result<(), OffsetsError> {
    // SAFETY: the handles are live by this function's contract; metadata and error are destroyed exactly once.
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
