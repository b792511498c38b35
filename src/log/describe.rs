//! The ids of a cluster and its topics, through librdkafka's own functions, since rust-rdkafka does not expose them.
//!
//! A topic that was deleted and created again has the same name and another id. Offsets in one of them mean nothing in
//! the other.
#![expect(
    unsafe_code,
    reason = "librdkafka's C functions; every pointer is owned by a guard of this module"
)]

use super::client::{Cluster, LogError};
use crate::codec::row::TopicId;
use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafka, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;
use std::time::Duration;

/// The ids of a cluster and of some of its topics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Identity {
    /// The cluster's id; `None`: the broker does not report it.
    pub cluster: Option<Arc<str>>,
    /// The ids of the topics that exist; `None`: the broker has no topic ids.
    pub topics: BTreeMap<Arc<str>, Option<TopicId>>,
}

impl Identity {
    /// Returns the id of `topic`, if it is known.
    #[must_use]
    pub fn topic(&self, topic: &str) -> Option<&TopicId> {
        self.topics.get(topic).and_then(Option::as_ref)
    }

    /// Returns whether Kafka has given one of the topics no id.
    #[must_use]
    pub fn lacks_ids(&self) -> bool {
        self.topics.values().any(Option::is_none)
    }

    /// Returns whether Kafka has given the topic no id. A topic that is absent from the answer counts like the others
    /// of its cluster.
    #[must_use]
    pub fn is_without_id(&self, topic: &str) -> bool {
        self.topics.get(topic).map_or_else(|| self.lacks_ids(), Option::is_none)
    }
}

impl Cluster {
    /// Returns the ids of the cluster and of `topics`. Topics that do not exist are left out.
    ///
    /// # Errors
    /// Kafka does not answer within `timeout`, or refuses to describe a topic.
    pub fn identity(&self, topics: &[&str], timeout: Duration) -> Result<Identity, LogError> {
        identity(self.client().client(), topics, timeout)
    }
}

/// Requests the ids of the cluster and of `topics` with `client`.
pub(super) fn identity<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Identity, LogError> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let handle = client.native_ptr();
    // SAFETY: the handle is the client's own, and lives as long as it is borrowed here.
    unsafe {
        let cluster = cluster_id(handle, timeout_ms);
        Ok(Identity { cluster, topics: topic_ids(handle, topics, timeout_ms)? })
    }
}

/// Calls librdkafka's destructor of an object when it is dropped.
struct Guard<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka's constructor, and this is its destructor, called once.
        unsafe { (self.1)(self.0) }
    }
}

/// # Safety
/// `handle` must be live.
unsafe fn cluster_id(handle: *mut RDKafka, timeout_ms: i32) -> Option<Arc<str>> {
    // SAFETY: the handle is live by this function's contract. The text belongs to librdkafka, and is freed once.
    unsafe {
        let text = native::rd_kafka_clusterid(handle, timeout_ms);
        if text.is_null() {
            return None;
        }
        let id = CStr::from_ptr(text).to_string_lossy().as_ref().into();
        native::rd_kafka_mem_free(handle, text.cast());
        Some(id)
    }
}

/// # Safety
/// `handle` must be live.
unsafe fn topic_ids(
    handle: *mut RDKafka,
    topics: &[&str],
    timeout_ms: i32,
) -> Result<BTreeMap<Arc<str>, Option<TopicId>>, LogError> {
    let failed = |code: RDKafkaErrorCode| {
        LogError::request("the topics can't be described")(KafkaError::MetadataFetch(code))
    };
    let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the handle is live by this function's contract. The names outlive the call. Guards free librdkafka's
    // objects, and the event before the queue that it came from.
    unsafe {
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = Guard(
            native::rd_kafka_AdminOptions_new(handle, operation),
            native::rd_kafka_AdminOptions_destroy,
        );
        let mut complaint = [0; 256];
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            timeout_ms,
            complaint.as_mut_ptr(),
            complaint.len(),
        );
        let collection = Guard(
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            native::rd_kafka_TopicCollection_destroy,
        );
        let queue = Guard(native::rd_kafka_queue_new(handle), native::rd_kafka_queue_destroy);
        native::rd_kafka_DescribeTopics(handle, collection.0, options.0, queue.0);
        let event = native::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(1000));
        if event.is_null() {
            return Err(failed(RDKafkaErrorCode::OperationTimedOut));
        }
        let event = Guard(event, native::rd_kafka_event_destroy);
        let code = native::rd_kafka_event_error(event.0);
        if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(code.into()));
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(failed(RDKafkaErrorCode::Unknown));
        }
        let mut count = 0;
        let descriptions = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut ids = BTreeMap::new();
        for index in 0..count {
            described(*descriptions.add(index), &mut ids)?;
        }
        Ok(ids)
    }
}

/// # Safety
/// `description` must belong to a result that is live.
unsafe fn described(
    description: *const native::rd_kafka_TopicDescription_t,
    ids: &mut BTreeMap<Arc<str>, Option<TopicId>>,
) -> Result<(), LogError> {
    // SAFETY: names, errors and ids belong to the description, and are copied here.
    unsafe {
        let name = native::rd_kafka_TopicDescription_name(description);
        let name: Arc<str> = CStr::from_ptr(name).to_string_lossy().as_ref().into();
        let error = native::rd_kafka_TopicDescription_error(description);
        let code: RDKafkaErrorCode = native::rd_kafka_error_code(error).into();
        let missing = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
        if missing.contains(&code) {
            return Ok(());
        }
        if code != RDKafkaErrorCode::NoError {
            let what = format!("topic {name} can't be described");
            return Err(LogError::request(what)(KafkaError::MetadataFetch(code)));
        }
        let id = native::rd_kafka_TopicDescription_topic_id(description);
        let is_known = !id.is_null()
            && (native::rd_kafka_Uuid_most_significant_bits(id) != 0
                || native::rd_kafka_Uuid_least_significant_bits(id) != 0);
        let id = is_known.then(|| {
            let text = CStr::from_ptr(native::rd_kafka_Uuid_base64str(id));
            TopicId::from(text.to_string_lossy().as_ref())
        });
        ids.insert(name, id);
        Ok(())
    }
}
