//! The rights that Kafka's authorizer must grant, by command, and the check for missing ones.
//!
//! [`needs`] is the complete list, which `ops/guide/rights.md` shows to operators. Kafka itself reports which
//! operations it allows on topics and groups ([`missing`]). It does not report them for transactional ids, so those are
//! tried ([`check_transactional`]).

mod needs;

pub use needs::{Need, NeededBy, needs, repartition_group, replay_groups, sink_group};
pub(super) use needs::{instance_ids, operator_id, rebuild_id, replay_id, sink_id};

use super::client::{self, LogError};
use super::native::{self, Code, Described, GroupMember};
use super::report::Reports;
use super::settings::{KafkaSettings, TopicNames};
use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use std::fmt;
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// No broker allows a transaction to stay open for this long, so a request with it has no effect.
const TOO_LONG_MS: &str = "2147480000";

/// An operation of Kafka's authorizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Reading records, or being a member of a group.
    Read,
    /// Writing records, or running transactions.
    Write,
    Create,
    /// Seeing that the resource exists.
    Describe,
    /// Reading the settings of a topic.
    DescribeConfigs,
    /// Changing the settings of a topic.
    AlterConfigs,
    /// Adding partitions to a topic.
    Alter,
}

impl Operation {
    /// All variants, in declaration order.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Describe,
        Self::DescribeConfigs,
        Self::AlterConfigs,
        Self::Alter,
    ];

    /// Returns Kafka's name of the operation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::AlterConfigs => "AlterConfigs",
            Self::Alter => "Alter",
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::Read => Code::RD_KAFKA_ACL_OPERATION_READ,
            Self::Write => Code::RD_KAFKA_ACL_OPERATION_WRITE,
            Self::Create => Code::RD_KAFKA_ACL_OPERATION_CREATE,
            Self::Describe => Code::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            Self::DescribeConfigs => Code::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
            Self::AlterConfigs => Code::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS,
            Self::Alter => Code::RD_KAFKA_ACL_OPERATION_ALTER,
        }
    }
}

/// The resource that a right applies to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Topic(String),
    Group(String),
    /// Every consumer group whose name has this prefix.
    Groups(String),
    TransactionalId(String),
}

/// The permission to do an operation on a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub resource: Resource,
    pub operation: Operation,
}

impl Right {
    /// Returns the right to do `operation` on the topic `name`.
    #[must_use]
    pub fn on_topic(operation: Operation, name: &str) -> Self {
        Self { resource: Resource::Topic(name.to_owned()), operation }
    }

    /// Returns the right to run transactions with the transactional id `id`.
    #[must_use]
    pub fn transactional(id: &str) -> Self {
        Self { resource: Resource::TransactionalId(id.to_owned()), operation: Operation::Write }
    }

    /// Returns the command of Kafka's own tool that grants the right.
    #[must_use]
    pub fn grant(&self, settings: &KafkaSettings) -> String {
        // Only a client with a SASL user name knows its own principal.
        let name = settings.client.get("sasl.username").map_or("NAME", String::as_str);
        let on = match &self.resource {
            Resource::Topic(name) => format!("--topic {name}"),
            Resource::Group(name) => format!("--group {name}"),
            Resource::Groups(start) => {
                format!("--group {start} --resource-pattern-type prefixed")
            }
            Resource::TransactionalId(id) => format!("--transactional-id {id}"),
        };
        let (servers, operation) = (&settings.bootstrap_servers, self.operation.as_str());
        format!(
            "kafka-acls.sh --bootstrap-server {servers} --add --allow-principal User:{name} --operation {operation} {on}"
        )
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation.as_str())?;
        match &self.resource {
            Resource::Topic(name) => write!(f, " on topic {name}"),
            Resource::Group(name) => write!(f, " on group {name}"),
            Resource::Groups(start) => write!(f, " on groups {start}*"),
            Resource::TransactionalId(id) => write!(f, " on transactional id {id}"),
        }
    }
}

/// Formats rights as "the right A is" or "the rights A, B are".
pub(super) fn named(rights: &[Right]) -> String {
    let names: Vec<String> = rights.iter().map(Right::to_string).collect();
    match names.as_slice() {
        [one] => format!("the right {one} is"),
        several => format!("the rights {} are", several.join(", ")),
    }
}

/// Formats missing rights for operators, one per line, with the commands that grant them.
pub struct Missing<'a>(pub &'a [Right], pub &'a KafkaSettings);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, right) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "the right {right} is missing; grant it: {}", right.grant(self.1))?;
        }
        Ok(())
    }
}

/// Returns whether the error code means that a right is missing.
pub(super) fn is_refusal(code: Option<RDKafkaErrorCode>) -> bool {
    let refusals = [
        RDKafkaErrorCode::TopicAuthorizationFailed,
        RDKafkaErrorCode::GroupAuthorizationFailed,
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
        RDKafkaErrorCode::ClusterAuthorizationFailed,
    ];
    code.is_some_and(|code| refusals.contains(&code))
}

/// Returns those of `wanted` on topics and groups that Kafka does not allow, in their order. Rights on a topic that
/// does not exist are unknown and not returned. A broker that does not report rights counts as one that allows
/// everything. Blocks.
///
/// # Errors
/// Kafka does not answer.
pub fn missing(settings: &KafkaSettings, wanted: &[Right]) -> Result<Vec<Right>, LogError> {
    let client: AdminClient<Reports> =
        client::admin(settings).create_with_context(Reports).map_err(LogError::Client)?;
    let failed = || LogError::request("Kafka does not report the client's rights");
    let mut topics: Vec<&str> = wanted.iter().filter_map(|right| right.topic()).collect();
    topics.sort_unstable();
    topics.dedup();
    let mut groups: Vec<&str> = wanted.iter().filter_map(|right| right.group()).collect();
    groups.sort_unstable();
    groups.dedup();
    let of_topics = match topics.as_slice() {
        [] => Vec::new(),
        topics => native::topics(client.inner(), topics, REQUEST_TIMEOUT).map_err(failed())?,
    };
    let of_groups = match groups.as_slice() {
        [] => Vec::new(),
        groups => native::groups(client.inner(), groups, REQUEST_TIMEOUT).map_err(failed())?,
    };
    let lacks = |right: &&Right| {
        let of = |all: &[Described], name: Option<&str>| {
            let found = all.iter().find(|described| Some(described.name.as_str()) == name);
            found.is_some_and(|described| described.lacks(right.operation))
        };
        of(&of_topics, right.topic()) || of(&of_groups, right.group())
    };
    Ok(wanted.iter().filter(lacks).cloned().collect())
}

/// Checks the rights on groups first: a client that may not describe its group waits for the group until it times out.
///
/// # Errors
/// A right on a group is missing, or Kafka does not answer.
pub fn insist_on_groups(
    settings: &KafkaSettings,
    names: &TopicNames,
    by: NeededBy,
) -> Result<(), LogError> {
    let wanted: Vec<Right> =
        by.rights(settings, names).into_iter().filter(|right| right.group().is_some()).collect();
    let missing = missing(settings, &wanted)?;
    if missing.is_empty() { Ok(()) } else { Err(LogError::Denied(missing)) }
}

/// Returns the members of the consumer group from its coordinator, or none if there is no such group. Kafka's list of
/// groups omits groups that the client may not see, and groups whose coordinator does not answer.
///
/// # Errors
/// The coordinator does not answer within `timeout`, or denies the request.
pub(super) fn members<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> Result<Vec<GroupMember>, LogError> {
    let failed = || {
        let right =
            Right { resource: Resource::Group(group.to_owned()), operation: Operation::Describe };
        LogError::request_by(right, format!("the members of group {group} can't be read"))
    };
    let described = native::groups(client, &[group], timeout).map_err(failed())?;
    match described.into_iter().next().map(|described| (described.error, described.members)) {
        Some((None, members)) => Ok(members),
        Some((Some(RDKafkaErrorCode::GroupIdNotFound), _)) => Ok(Vec::new()),
        Some((Some(code), _)) => Err(failed()(KafkaError::Global(code))),
        None => Err(failed()(KafkaError::NoMessageReceived)),
    }
}

impl Right {
    /// Returns the topic, if Kafka can be asked about the right. Only an attempt shows whether a topic may be created.
    fn topic(&self) -> Option<&str> {
        match &self.resource {
            Resource::Topic(name) if self.operation != Operation::Create => Some(name),
            Resource::Topic(_)
            | Resource::Group(_)
            | Resource::Groups(_)
            | Resource::TransactionalId(_) => None,
        }
    }

    /// Returns the group. For a prefix, this is a group that may exist.
    fn group(&self) -> Option<&str> {
        match &self.resource {
            Resource::Group(name) | Resource::Groups(name) => Some(name),
            Resource::Topic(_) | Resource::TransactionalId(_) => None,
        }
    }
}

impl Described {
    fn lacks(&self, operation: Operation) -> bool {
        if self.error.is_some() {
            // The right to read or write includes the right to describe. Other operations are unknown in this case.
            let describes =
                matches!(operation, Operation::Read | Operation::Write | Operation::Describe);
            return describes && is_refusal(self.error);
        }
        let code = operation.code();
        self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&code))
    }
}

/// Returns whether Kafka allows transactions with the transactional id `id`. It asks for a transaction timeout that is
/// longer than any broker allows. A broker checks the right first, and the refusal has no effect on a producer that
/// uses the id. Blocks.
///
/// # Errors
/// Kafka does not answer.
pub fn check_transactional(settings: &KafkaSettings, id: &str) -> Result<bool, LogError> {
    let mut config = client::producer(settings, id);
    config.set("transaction.timeout.ms", TOO_LONG_MS);
    config.set("socket.timeout.ms", "10000");
    config.remove("message.timeout.ms");
    config.remove("delivery.timeout.ms");
    let producer: BaseProducer<Reports> =
        config.create_with_context(Reports).map_err(LogError::Client)?;
    match producer.init_transactions(REQUEST_TIMEOUT) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(error.rdkafka_error_code()) => Ok(false),
        Err(error) if is_too_long(&error) => Ok(true),
        Err(error) => {
            Err(LogError::request("Kafka does not report whether it allows transactions")(error))
        }
    }
}

fn is_too_long(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidTransactionTimeout)
}
