//! One Kafka transaction: changelog, events, dead letters, forwarded records and offsets, together or not at all.

use super::client::{self, LogError, start_thread};
use super::group::{self, NativeError, OffsetsError};
use super::ports::Transactions;
use super::position::GroupOffset;
use super::reader::KafkaMember;
use super::record::TopicPartition;
use super::refusal::{self, Refused};
use super::report;
use super::rights::{self, Missing, NeededBy, Right};
use super::settings::{KafkaSettings, TopicNames};
use crate::clock;
use crate::domain::{self, Timestamp};
#[cfg(feature = "failpoints")]
use crate::failpoint::{self, Failpoint};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);
/// rust-rdkafka spins during the last millisecond of a poll, so polls are long. The threaded producer's polls of 100 ms
/// would cost an idle daemon a hundredth of a core. A closed producer keeps its connections for this time.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// The meaning of a failed call, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionFault {
    /// The producer is unusable, and it is unknown whether the transaction was committed.
    Fatal,
    /// Another producer with the same id has taken over, or another member in the group.
    Fenced,
    /// The transaction must be aborted, and may be tried again.
    Abortable,
    /// The same call may be made again.
    Retriable,
}

impl TransactionFault {
    /// Returns the value of the metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Fenced => "fenced",
            Self::Abortable => "abortable",
            Self::Retriable => "retriable",
        }
    }
}

/// A transactional call failed.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {text}")]
pub struct TransactionError {
    /// The name of the call.
    pub call: &'static str,
    /// The possible next calls.
    pub fault: TransactionFault,
    /// The cause: the error of a refused record, or librdkafka's text.
    pub text: String,
}

/// A record to be written.
#[derive(Default)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// The partition; `None`: the key decides.
    pub partition: Option<i32>,
    /// The record is a row of the changelog, whose offset is remembered.
    pub changelog: bool,
    pub key: Option<&'a [u8]>,
    /// The value; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'static str, String)],
    /// Headers of the source record. They follow ours.
    pub foreign: &'a [domain::Header],
    /// The record's timestamp; `None`: the time of the transaction.
    pub at: Option<Timestamp>,
}

/// The offsets of the changelog that a transaction wrote: per partition, the first one after it.
#[derive(Debug, Default)]
pub struct Committed(pub Vec<(i32, i64)>);

/// Remembers, per partition, the highest delivered changelog offset plus one (0: none), and the first record that was
/// refused.
struct Context {
    delivered: Vec<AtomicI64>,
    /// The offset of a record is unknown because an earlier try has written it.
    unknown: AtomicBool,
    refused: Mutex<Option<Refused>>,
}

impl Context {
    fn refused(&self) -> MutexGuard<'_, Option<Refused>> {
        // Every change is one assignment, so that a panic elsewhere leaves nothing half done.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        report::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report::fault(&error, reason);
    }
}

impl ProducerContext for Context {
    /// 0, or a changelog partition plus one.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let message = match result {
            Ok(message) => message,
            // The commit fails too, and its error does not name the cause.
            Err((error, message)) => {
                let bytes = message.key_len() + message.payload_len();
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                let refused = Refused::new(message.topic(), bytes, code);
                let mut first = self.refused();
                *first = first.take().or(refused);
                return;
            }
        };
        if message.offset() < 0 {
            self.unknown.store(true, Ordering::Release);
            return;
        }
        if let Some(slot) = opaque.checked_sub(1).and_then(|index| self.delivered.get(index)) {
            slot.fetch_max(message.offset() + 1, Ordering::AcqRel);
        }
    }
}

/// A transactional producer.
pub(super) struct Producer {
    producer: Arc<BaseProducer<Context>>,
    context: Arc<Context>,
    /// The timestamp of the transaction's records.
    written_ms: AtomicI64,
    id: String,
    settings: KafkaSettings,
    /// The rights that transactions of this producer need on topics and groups, as far as they are known.
    rights: Vec<Right>,
    /// Ends the thread that polls. Without it, a producer can't flush while it aborts.
    done: Arc<AtomicBool>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

impl Producer {
    /// Opens a producer of an instance, and aborts a transaction that its predecessor with the same id left open. Blocks.
    ///
    /// # Errors
    /// A property is wrong, or Kafka does not answer.
    pub(super) fn open(
        id: &str,
        settings: &KafkaSettings,
        names: &TopicNames,
        partitions: u32,
    ) -> Result<Self, LogError> {
        let rights = NeededBy::Run.rights(settings, names);
        let mut transactions = Self::open_as(id, settings, partitions)?;
        transactions.rights = rights;
        Ok(transactions)
    }

    /// Opens a producer with the transactional id `id`, like [`Producer::open`].
    pub(super) fn open_as(
        id: &str,
        settings: &KafkaSettings,
        partitions: u32,
    ) -> Result<Self, LogError> {
        let delivered = (0..partitions).map(|_| AtomicI64::new(0)).collect();
        let context =
            Context { delivered, unknown: AtomicBool::new(false), refused: Mutex::new(None) };
        let config = client::producer(settings, id);
        let producer: BaseProducer<Context> =
            config.create_with_context(context).map_err(LogError::Client)?;
        let (producer, done) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (polled, ended) = (producer.clone(), done.clone());
        let poll = move || {
            while !ended.load(Ordering::Relaxed) {
                polled.poll(POLL_TIMEOUT);
            }
        };
        let context = producer.client().context().clone();
        let transactions = Self {
            producer,
            context,
            written_ms: AtomicI64::new(0),
            id: id.to_owned(),
            settings: settings.clone(),
            rights: Vec::new(),
            done,
        };
        start_thread("producer", poll)?;
        transactions.producer.init_transactions(Duration::from_secs(30)).map_err(
            LogError::request_by(
                Right::transactional(id),
                "the transactional producer can't be initialised",
            ),
        )?;
        Ok(transactions)
    }

    /// Adds the cause to an error, if that is a missing right or a refused record.
    fn blamed(&self, code: Option<RDKafkaErrorCode>, error: TransactionError) -> TransactionError {
        let refused = self.context.refused().clone();
        let cause =
            self.denied(code).or_else(|| refused.map(|refused| refused.by_batch(code).to_string()));
        match cause {
            Some(text) => TransactionError { text, ..error },
            None => error,
        }
    }

    /// Returns the missing rights, if Kafka's authorizer has refused a request: its answer does not name them.
    fn denied(&self, code: Option<RDKafkaErrorCode>) -> Option<String> {
        if !rights::is_refusal(code) {
            return None;
        }
        let missing = match code {
            Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
                vec![Right::transactional(&self.id)]
            }
            Some(_) | None => rights::missing(&self.settings, &self.rights).ok()?,
        };
        let text = Missing(&missing, &self.settings).to_string();
        (!missing.is_empty()).then(|| text.replace('\n', "; "))
    }

    /// Adds offsets of a group without members.
    pub(super) fn offsets_of_nobody(
        &self,
        group: &ConsumerGroupMetadata,
        offsets: &TopicPartitionList,
    ) -> Result<(), TransactionError> {
        self.producer
            .send_offsets_to_transaction(offsets, group, CALL_TIMEOUT)
            .map_err(|error| fault("offsets", &error))
    }

    /// Returns whether another producer with the same id has taken over; not every call's own error says so.
    pub(super) fn is_fenced(&self) -> bool {
        self.producer.client().fatal_error().is_some_and(|(code, _)| is_fenced(code))
    }
}

impl Transactions for Producer {
    type Member = KafkaMember;

    fn begin(&self) -> Result<(), TransactionError> {
        self.context.unknown.store(false, Ordering::Release);
        for slot in &self.context.delivered {
            slot.store(0, Ordering::Release);
        }
        // A broker refuses records that are an hour ahead of its clock. If this machine's wall clock jumps, the earlier
        // of both times is not ahead.
        let written_at = clock::now().min(clock::wall());
        self.written_ms.store(written_at.as_ms(), Ordering::Relaxed);
        *self.context.refused() = None;
        self.producer.begin_transaction().map_err(|error| fault("begin", &error))
    }

    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        let opaque = match outgoing.partition {
            Some(partition) if outgoing.changelog => usize::try_from(partition).unwrap_or(0) + 1,
            Some(_) | None => 0,
        };
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(outgoing.topic, opaque);
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.payload = outgoing.value;
        let written_ms = || self.written_ms.load(Ordering::Relaxed);
        record.timestamp = Some(outgoing.at.map_or_else(written_ms, Timestamp::as_ms));
        if !outgoing.headers.is_empty() || !outgoing.foreign.is_empty() {
            let count = outgoing.headers.len() + outgoing.foreign.len();
            let headers = OwnedHeaders::new_with_capacity(count);
            let add = |headers: OwnedHeaders, (key, value): &(&'static str, String)| {
                headers.insert(Header { key, value: Some(value.as_bytes()) })
            };
            let headers = outgoing.headers.iter().fold(headers, add);
            let pass_on = |headers: OwnedHeaders, foreign: &domain::Header| {
                let value = foreign.value.as_deref();
                headers.insert(Header { key: &foreign.name, value })
            };
            record.headers = Some(outgoing.foreign.iter().fold(headers, pass_on));
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(QUEUE_FULL_PAUSE);
                }
                Err((error, back)) => {
                    let bytes =
                        back.key.map_or(0, <[u8]>::len) + back.payload.map_or(0, <[u8]>::len);
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                    let refused = Refused::new(outgoing.topic, bytes, code);
                    let mut first = self.context.refused();
                    *first = first.take().or(refused);
                    drop(first);
                    return Err(self.blamed(error.rdkafka_error_code(), fault("send", &error)));
                }
            }
        }
    }

    #[expect(unsafe_code, reason = "both handles live as long as what they are borrowed from")]
    fn offsets<'a>(
        &self,
        member: &KafkaMember,
        offsets: impl Iterator<Item = (&'a TopicPartition, &'a GroupOffset)>,
    ) -> Result<(), TransactionError> {
        let list = positions(offsets).map_err(|error| fault("offsets", &error))?;
        if list.count() == 0 {
            return Ok(());
        }
        let timeout_ms = i32::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        #[cfg(feature = "failpoints")]
        if failpoint::armed::strikes(Failpoint::Produced) {
            group::flush(self.producer.client(), timeout_ms);
            failpoint::armed::die(Failpoint::Produced);
        }
        // SAFETY: the producer and the member's consumer are alive while they are borrowed here.
        let sent = unsafe {
            group::send_offsets(
                self.producer.client().native_ptr(),
                member.native(),
                &list,
                timeout_ms,
            )
        };
        sent.map_err(|error| match error {
            OffsetsError::NotMember => TransactionError {
                call: "offsets",
                fault: TransactionFault::Abortable,
                text: "the consumer is not a member of its group".to_owned(),
            },
            OffsetsError::Native(error) => {
                self.blamed(Some(error.code), native_fault("offsets", error))
            }
        })
    }

    fn flush(&self) -> Result<(), TransactionError> {
        let timeout_ms = i32::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        if group::flush(self.producer.client(), timeout_ms) {
            return Ok(());
        }
        Err(TransactionError {
            call: "flush",
            fault: TransactionFault::Retriable,
            text: "the records are not delivered yet".to_owned(),
        })
    }

    fn commit(&self) -> Result<Committed, TransactionError> {
        #[cfg(feature = "failpoints")]
        if failpoint::armed::strikes(Failpoint::CommitSent) {
            // Long enough for the request to be sent.
            let _ = self.producer.commit_transaction(Duration::from_millis(1));
            failpoint::armed::die(Failpoint::CommitSent);
        }
        let committed = self.producer.commit_transaction(CALL_TIMEOUT);
        committed
            .map_err(|error| self.blamed(error.rdkafka_error_code(), fault("commit", &error)))?;
        Ok(self.written())
    }

    fn written(&self) -> Committed {
        if self.context.unknown.load(Ordering::Acquire) {
            return Committed(Vec::new());
        }
        let delivered = self.context.delivered.iter().map(|slot| slot.load(Ordering::Acquire));
        let written = delivered.zip(0_i32..).filter(|(next, _)| *next > 0);
        Committed(written.map(|(next, partition)| (partition, next)).collect())
    }

    fn abort(&self) -> Result<(), TransactionError> {
        self.producer.abort_transaction(CALL_TIMEOUT).map_err(|error| fault("abort", &error))
    }
}

/// Converts offsets, with their metadata, for librdkafka.
pub(super) fn positions<'a>(
    offsets: impl IntoIterator<Item = (&'a TopicPartition, &'a GroupOffset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (place, offset) in offsets {
        let mut element = list.add_partition(&place.topic, place.partition);
        element.set_offset(Offset::Offset(offset.offset))?;
        element.set_metadata(offset.metadata());
    }
    Ok(list)
}

fn fault(call: &'static str, error: &KafkaError) -> TransactionError {
    let classified = |fault| TransactionError { call, fault, text: error.to_string() };
    if let KafkaError::Transaction(error) = error {
        let described = NativeError {
            code: error.code(),
            text: error.string(),
            fatal: error.is_fatal(),
            retriable: error.is_retriable(),
            abortable: error.txn_requires_abort(),
        };
        return native_fault(call, described);
    }
    if let KafkaError::MessageProduction(code) = error {
        // librdkafka rejected a record locally, which says nothing about the transaction.
        return classified(if is_fenced(*code) {
            TransactionFault::Fenced
        } else {
            TransactionFault::Abortable
        });
    }
    // The flush before a commit only ran out of time. Any other unknown error counts as the most severe.
    classified(if matches!(error, KafkaError::Flush(_)) {
        TransactionFault::Retriable
    } else {
        TransactionFault::Fatal
    })
}

fn native_fault(call: &'static str, error: NativeError) -> TransactionError {
    let fault = if error.fatal {
        if is_fenced(error.code) { TransactionFault::Fenced } else { TransactionFault::Fatal }
    } else if error.abortable {
        TransactionFault::Abortable
    } else if error.retriable {
        TransactionFault::Retriable
    } else {
        TransactionFault::Fatal
    };
    let hint = match rights::is_refusal(Some(error.code)) {
        true => "; `ringback check --online` names the right that is missing",
        false => "",
    };
    let text = refusal::explained(error.code, &error.text);
    TransactionError { call, fault, text: format!("{text}{hint}") }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    [
        RDKafkaErrorCode::Fenced,
        RDKafkaErrorCode::ProducerFenced,
        RDKafkaErrorCode::InvalidProducerEpoch,
    ]
    .contains(&code)
}
