//! Kafka: the consumer, the transactions, the restore and the topics.
//!
//! Blocking calls never run on a Tokio worker. One thread consumes and decodes ([`KafkaLog`]). Transactions
//! ([`Producers`]) and restores ([`Restoration`]) run on threads of their own. Commands that inspect
//! topics read them once, to their end ([`Scanner`]).

mod accounts;
mod away;
mod bell;
mod broadcast;
mod client;
mod connection;
mod describe;
mod group;
mod headers;
mod landmark;
mod native;
mod newest;
mod ports;
mod position;
mod position_reader;
mod producers;
mod reader;
mod record;
mod refusal;
mod registry;
mod replayer;
mod report;
mod restore;
mod rights;
mod scan;
mod sender;
mod settings;
mod steward;
mod subscription;
mod topics;
mod transaction;
mod trial;
mod unavailable;

pub use accounts::AccountSource;
pub use away::{
    Cause, is_said as is_away_said, last_cause, look as look_for_cause, over as back,
    say as say_away,
};
pub use bell::Bell;
pub use broadcast::{BroadcastError, broadcast};
pub use client::{
    CLIENT_DEFAULTS, Cluster, HasMembers, LogError, MESSAGE_BYTES_MAX, blocking, start_thread,
};
pub use describe::Identity;
pub use landmark::{Found, LandmarkReader, Landmarks, Sights, generated_id};
pub use native::GroupMember;
#[cfg(test)]
pub(crate) use native::known_properties;
pub use newest::Newest;
pub use ports::{Log, Offsets, Transactions};
pub use position::{Begin, GroupOffset};
pub use position_reader::PositionReader;
pub use producers::Producers;
pub use reader::{
    Assignment, End, From, KafkaLog, KafkaMember, KafkaParts, KafkaRestoring, LogEvent,
    OffsetsClient, Start,
};
#[cfg(test)]
pub(crate) use record::Reading;
pub use record::{
    FORWARDED_HEADERS, Forward, Record, RecordBody, Role, TopicPartition, Topics, forward_headers,
    origin,
};
pub use registry::{Registry, read_answer};
pub use replayer::{Mark, Marks, Replayer};
pub use report::is_due;
pub use restore::{
    Changelog, Continuation, KafkaChangelog, Polled, Restoration, RestoreError, Restored, Want,
};
pub use rights::{
    Missing, Need, NeededBy, Operation, Resource, Right, check_transactional, insist_on_groups,
    missing, needs, repartition_group, replay_groups, sink_group,
};
pub use scan::{Progress, ScanFrom, ScanRange, ScanRecord, Scanned, Scanner, Watch};
pub use sender::Sender;
pub use settings::{KafkaSettings, RegistrySettings, TopicNames};
pub use steward::{GroupName, Steward};
pub use subscription::{LetterProducer, Subscription, SubscriptionError};
pub use topics::{
    INBOX_KEPT_MS, TopicFault, TopicState, compacted, could_create_missing, create_missing,
    create_with_inputs, create_with_partitions, repair, survey,
};
pub use transaction::{Committed, Outgoing, TransactionError, TransactionFault};
pub use trial::{ClientRefusal, try_clients};
pub use unavailable::Unavailable;
