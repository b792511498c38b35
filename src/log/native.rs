//! Asks Kafka for its cluster's id, and for descriptions of topics and groups: ids, members, and the operations that it
//! allows the client. It uses librdkafka's own functions, since rust-rdkafka has none for this.
#![expect(
    unsafe_code,
    reason = "librdkafka's C functions; every pointer lives and dies in this module, and each object is destroyed once"
)]

use super::record::TopicPartition;
use crate::codec::row::TopicId;
use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;
use std::time::Duration;

/// Kafka's number of an operation.
pub(super) type Code = native::rd_kafka_AclOperation_t;

/// Kafka's description of a topic or a group.
pub(super) struct Described {
    pub(super) name: String,
    pub(super) error: Option<RDKafkaErrorCode>,
    /// The allowed operations; `None`: this broker does not report them.
    pub(super) allowed: Option<Vec<Code>>,
    /// A group's members; empty for a topic.
    pub(super) members: Vec<GroupMember>,
    /// The id of a topic; `None`: a group, or this broker has no topic ids.
    pub(super) id: Option<TopicId>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub client_id: String,
    /// The address from which it is connected, as the broker writes it.
    pub host: String,
    pub partitions: Vec<TopicPartition>,
}

/// Returns the id of the cluster; `None`: this broker does not report it. Blocks.
pub(super) fn cluster_id<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Option<Arc<str>> {
    let handle = client.native_ptr();
    // SAFETY: the handle is the client's own, and lives as long as it is borrowed here. The text belongs to librdkafka,
    // and is freed once.
    unsafe {
        let found = native::rd_kafka_clusterid(handle, milliseconds(timeout));
        if found.is_null() {
            return None;
        }
        let id = text(found).into();
        native::rd_kafka_mem_free(handle, found.cast());
        Some(id)
    }
}

/// Describes the topics `names`. Blocks.
pub(super) fn topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Described>, KafkaError> {
    let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let strings = strings(names)?;
    let mut pointers: Vec<*const c_char> = strings.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the strings outlive the collection, which copies them. The collection outlives the call, which copies it.
    unsafe {
        let all =
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let answer = ask(client, operation, timeout, |options, queue| {
            native::rd_kafka_DescribeTopics(client.native_ptr(), all, options, queue);
        });
        native::rd_kafka_TopicCollection_destroy(all);
        answer?.read(|event| {
            let mut count = 0;
            let result = native::rd_kafka_event_DescribeTopics_result(event);
            let found = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            let each = (0..count).map(|index| {
                let topic = *found.add(index);
                let mut allowed = 0;
                let codes = native::rd_kafka_TopicDescription_authorized_operations(
                    topic,
                    &raw mut allowed,
                );
                Described {
                    name: text(native::rd_kafka_TopicDescription_name(topic)),
                    error: code(native::rd_kafka_TopicDescription_error(topic)),
                    allowed: list(codes, allowed),
                    members: Vec::new(),
                    id: id(native::rd_kafka_TopicDescription_topic_id(topic)),
                }
            });
            each.collect()
        })
    }
}

/// Describes the groups `names`. Blocks.
pub(super) fn groups<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Described>, KafkaError> {
    let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let strings = strings(names)?;
    let mut pointers: Vec<*const c_char> = strings.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the strings outlive the call, which copies them.
    unsafe {
        let answer = ask(client, operation, timeout, |options, queue| {
            native::rd_kafka_DescribeConsumerGroups(
                client.native_ptr(),
                pointers.as_mut_ptr(),
                pointers.len(),
                options,
                queue,
            );
        });
        answer?.read(|event| {
            let mut count = 0;
            let result = native::rd_kafka_event_DescribeConsumerGroups_result(event);
            let found =
                native::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            let each = (0..count).map(|index| {
                let group = *found.add(index);
                let mut allowed = 0;
                let codes = native::rd_kafka_ConsumerGroupDescription_authorized_operations(
                    group,
                    &raw mut allowed,
                );
                Described {
                    name: text(native::rd_kafka_ConsumerGroupDescription_group_id(group)),
                    error: code(native::rd_kafka_ConsumerGroupDescription_error(group)),
                    allowed: list(codes, allowed),
                    members: members(group),
                    id: None,
                }
            });
            each.collect()
        })
    }
}

/// Returns the members of a group.
///
/// # Safety
/// The group belongs to an event that lives longer than the call.
unsafe fn members(group: *const native::rd_kafka_ConsumerGroupDescription_t) -> Vec<GroupMember> {
    // SAFETY: by the caller, the group lives. Its members and their texts belong to it, and are copied.
    unsafe {
        let count = native::rd_kafka_ConsumerGroupDescription_member_count(group);
        let each = (0..count).map(|index| {
            let member = native::rd_kafka_ConsumerGroupDescription_member(group, index);
            let assigned = native::rd_kafka_MemberDescription_assignment(member);
            let partitions = native::rd_kafka_MemberAssignment_partitions(assigned);
            GroupMember {
                client_id: text(native::rd_kafka_MemberDescription_client_id(member)),
                host: text(native::rd_kafka_MemberDescription_host(member)),
                partitions: partitions_of(partitions),
            }
        });
        each.collect()
    }
}

/// Returns the topics and partitions of a list of librdkafka.
///
/// # Safety
/// The list is null, or lives longer than the call.
unsafe fn partitions_of(
    partitions: *const native::rd_kafka_topic_partition_list_t,
) -> Vec<TopicPartition> {
    // SAFETY: by the caller, the list lives, and it has `cnt` elements, whose texts are copied.
    unsafe {
        let Some(partitions) = partitions.as_ref() else { return Vec::new() };
        let count = usize::try_from(partitions.cnt).unwrap_or(0);
        let each = (0..count).map(|index| {
            let element = &*partitions.elems.add(index);
            TopicPartition { topic: text(element.topic).into(), partition: element.partition }
        });
        each.collect()
    }
}

/// An answer, with the queue that it came from.
struct Answer {
    queue: *mut native::rd_kafka_queue_t,
    event: *mut native::rd_kafka_event_t,
}

impl Answer {
    /// Passes the event to `take`, unless it is an error.
    fn read<T>(
        self,
        take: impl FnOnce(*mut native::rd_kafka_event_t) -> T,
    ) -> Result<T, KafkaError> {
        // SAFETY: the event belongs to this answer until it is dropped.
        let error = unsafe { native::rd_kafka_event_error(self.event) };
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok(take(self.event))
        } else {
            Err(KafkaError::Global(error.into()))
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: both belong to this answer, and are not used after it.
        unsafe {
            native::rd_kafka_event_destroy(self.event);
            native::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// Sends a request and waits for its answer.
fn ask<C: ClientContext>(
    client: &Client<C>,
    operation: native::rd_kafka_admin_op_t,
    timeout: Duration,
    send: impl FnOnce(*const native::rd_kafka_AdminOptions_t, *mut native::rd_kafka_queue_t),
) -> Result<Answer, KafkaError> {
    let timeout_ms = milliseconds(timeout);
    // SAFETY: options and queue are destroyed exactly once: the options here, the queue by the answer or here.
    unsafe {
        let options = native::rd_kafka_AdminOptions_new(client.native_ptr(), operation);
        let mut unread: [c_char; 256] = [0; 256];
        native::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            unread.as_mut_ptr(),
            unread.len(),
        );
        let error = native::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !error.is_null() {
            native::rd_kafka_error_destroy(error);
        }
        let queue = native::rd_kafka_queue_new(client.native_ptr());
        send(options, queue);
        native::rd_kafka_AdminOptions_destroy(options);
        // librdkafka also reports a timeout as an event, within this time.
        let event = native::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1000));
        if event.is_null() {
            native::rd_kafka_queue_destroy(queue);
            return Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut));
        }
        Ok(Answer { queue, event })
    }
}

fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn strings(names: &[&str]) -> Result<Vec<CString>, KafkaError> {
    names.iter().map(|name| CString::new(*name).map_err(KafkaError::Nul)).collect()
}

/// # Safety
/// `pointer` must be a live string of librdkafka.
unsafe fn text(pointer: *const c_char) -> String {
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// # Safety
/// `error` must be a live error of librdkafka, or null.
unsafe fn code(error: *const native::rd_kafka_error_t) -> Option<RDKafkaErrorCode> {
    // SAFETY: by this function's contract. The called function accepts null and returns "no error" for it.
    let code = unsafe { native::rd_kafka_error_code(error) };
    (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// # Safety
/// `codes` must be a live list of `count` codes of librdkafka, or null.
unsafe fn list(codes: *const Code, count: usize) -> Option<Vec<Code>> {
    if codes.is_null() {
        return None;
    }
    // SAFETY: by this function's contract. Each code is one that librdkafka defines.
    Some((0..count).map(|index| unsafe { *codes.add(index) }).collect())
}

/// # Safety
/// `id` must be a live id of librdkafka, or null.
unsafe fn id(id: *const native::rd_kafka_Uuid_t) -> Option<TopicId> {
    if id.is_null() {
        return None;
    }
    // SAFETY: by this function's contract. The text belongs to the id, and is copied here.
    unsafe {
        // A broker without topic ids returns zero.
        let is_known = native::rd_kafka_Uuid_most_significant_bits(id) != 0
            || native::rd_kafka_Uuid_least_significant_bits(id) != 0;
        is_known.then(|| TopicId::from(text(native::rd_kafka_Uuid_base64str(id)).as_str()))
    }
}

/// Returns the names of all properties that librdkafka documents, including aliases.
#[cfg(test)]
pub(crate) fn known_properties() -> Vec<String> {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn fopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
        fn fclose(file: *mut c_void) -> c_int;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("properties");
    let name = CString::new(path.to_str().expect("a plain path")).expect("no zero");
    // SAFETY: the file is open while librdkafka writes to it, and is closed once.
    unsafe {
        let file = fopen(name.as_ptr(), c"w".as_ptr());
        assert!(!file.is_null(), "a file");
        native::rd_kafka_conf_properties_show(file.cast());
        fclose(file);
    }
    let table = std::fs::read_to_string(path).expect("a table");
    let cells = table.lines().filter_map(|line| line.split_once('|'));
    let names = cells.map(|(name, _)| name.trim().to_owned());
    names.filter(|name| !name.starts_with('-') && name != "Property").collect()
}
