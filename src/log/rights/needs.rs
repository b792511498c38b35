//! The complete list: which command needs which right. A test compares it with `ops/guide/rights.md`.

use super::{Operation, Resource, Right};
use crate::log::settings::{KafkaSettings, TopicNames};

/// A command that needs rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeededBy {
    Run,
    /// `ringback verify`
    Verify,
    /// `ringback trace`
    Trace,
    /// `ringback dead-letter list` and `show`
    Letters,
    /// `ringback dead-letter replay`
    Replay,
    /// `ringback webhook list`
    Webhooks,
    /// `ringback webhook enable`
    Enable,
    /// `ringback offsets show`
    Offsets,
    /// `ringback offsets reset` and `skip`
    Move,
    /// `ringback changelog rebuild`
    Rebuild,
    /// `ringback repartition`
    Repartition,
    /// `ringback topics`
    Topics,
    /// `ringback topics --create`
    Create,
    /// `ringback topics --mend`
    Alter,
    /// `ringback sink mongodb`
    Sink,
    /// `ringback send`
    Send,
}

impl NeededBy {
    /// All variants, in declaration order.
    pub const ALL: [Self; 16] = [
        Self::Run,
        Self::Verify,
        Self::Trace,
        Self::Letters,
        Self::Replay,
        Self::Webhooks,
        Self::Enable,
        Self::Offsets,
        Self::Move,
        Self::Rebuild,
        Self::Repartition,
        Self::Topics,
        Self::Create,
        Self::Alter,
        Self::Sink,
        Self::Send,
    ];

    /// Returns the command as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Verify => "verify",
            Self::Trace => "trace",
            Self::Letters => "dead-letter list",
            Self::Replay => "dead-letter replay",
            Self::Webhooks => "webhook list",
            Self::Enable => "webhook enable",
            Self::Offsets => "offsets show",
            Self::Move => "offsets reset",
            Self::Rebuild => "changelog rebuild",
            Self::Repartition => "repartition",
            Self::Topics => "topics",
            Self::Create => "topics --create",
            Self::Alter => "topics --mend",
            Self::Sink => "sink mongodb",
            Self::Send => "send",
        }
    }

    /// Returns the rights that the command needs.
    #[must_use]
    pub fn rights(self, settings: &KafkaSettings, names: &TopicNames) -> Vec<Right> {
        let all = needs(settings, names).into_iter();
        all.filter(|need| need.by.contains(&self)).map(|need| need.right).collect()
    }

    /// Returns the rights that the command needs on the topic `name`, which it creates.
    #[must_use]
    pub fn rights_on_new(self, name: &str) -> Vec<Right> {
        let on_new =
            |row: &&(Operation, Upon, &[Self])| matches!(row.1, Upon::New) && row.2.contains(&self);
        LIST.iter().filter(on_new).map(|row| Right::on_topic(row.0, name)).collect()
    }
}

/// A right, and the commands that need it.
pub struct Need {
    pub right: Right,
    /// The commands that need it.
    pub by: &'static [NeededBy],
}

/// The kind of resource that a right applies to. The configuration contains its name.
#[derive(Clone, Copy)]
enum Upon {
    Inputs,
    Inbox,
    Changelog,
    Events,
    DeadLetters,
    /// Our own four topics.
    Own,
    /// The topics that `ringback repartition` creates. The configuration does not contain their names.
    New,
    Group,
    ReplayGroups,
    RepartitionGroup,
    Instance,
    /// The second transactional id of an instance. With the first one alone, the daemon is slower.
    SecondOfInstance,
    Operator,
    Replay,
    Rebuild,
    SinkGroup,
    SinkInstance,
}

use NeededBy::{
    Alter, Create, Enable, Letters, Move, Offsets, Rebuild, Repartition, Replay, Run, Send, Sink,
    Topics, Trace, Verify, Webhooks,
};

#[rustfmt::skip]
const LIST: [(Operation, Upon, &[NeededBy]); 35] = [
    (Operation::Read, Upon::Inputs, &[Run, Verify, Trace, Offsets, Move, Repartition]),
    (Operation::Read, Upon::Inbox, &[Run, Verify, Trace, Offsets, Move, Letters, Replay, Repartition]),
    (Operation::Read, Upon::Changelog, &[Run, Verify, Trace, Offsets, Move, Rebuild, Webhooks, Repartition]),
    (Operation::Read, Upon::Events, &[Verify, Trace, Letters, Replay, Sink]),
    (Operation::Read, Upon::DeadLetters, &[Verify, Trace, Letters, Replay]),
    (Operation::Write, Upon::Inputs, &[Replay, Send]),
    (Operation::Write, Upon::Inbox, &[Run, Replay, Enable]),
    (Operation::Write, Upon::Changelog, &[Run, Move, Rebuild, Repartition]),
    (Operation::Write, Upon::Events, &[Run, Move, Repartition]),
    (Operation::Write, Upon::DeadLetters, &[Run, Sink]),
    (Operation::Describe, Upon::Inputs, &[Topics, Create, Alter, Rebuild]),
    (Operation::Describe, Upon::Own, &[Topics, Create]),
    (Operation::Describe, Upon::Inbox, &[Rebuild]),
    (Operation::Describe, Upon::Changelog, &[Alter]),
    (Operation::Describe, Upon::Events, &[Alter, Rebuild]),
    (Operation::Describe, Upon::DeadLetters, &[Alter, Rebuild, Repartition]),
    (Operation::DescribeConfigs, Upon::Own, &[Run, Topics, Create]),
    (Operation::Alter, Upon::Inbox, &[Alter]),
    (Operation::AlterConfigs, Upon::Own, &[Alter]),
    (Operation::Create, Upon::Own, &[Create]),
    (Operation::Read, Upon::New, &[Repartition]),
    (Operation::Write, Upon::New, &[Repartition]),
    (Operation::DescribeConfigs, Upon::New, &[Repartition]),
    (Operation::Create, Upon::New, &[Repartition]),
    (Operation::Read, Upon::Group, &[Run, Move, Repartition]),
    (Operation::Describe, Upon::Group, &[Verify, Offsets, Rebuild]),
    (Operation::Read, Upon::ReplayGroups, &[Replay]),
    (Operation::Read, Upon::RepartitionGroup, &[Repartition]),
    (Operation::Read, Upon::SinkGroup, &[Sink]),
    (Operation::Write, Upon::Instance, &[Run]),
    (Operation::Write, Upon::SecondOfInstance, &[Run]),
    (Operation::Write, Upon::Operator, &[Enable]),
    (Operation::Write, Upon::Replay, &[Replay]),
    (Operation::Write, Upon::Rebuild, &[Move, Rebuild, Repartition]),
    (Operation::Write, Upon::SinkInstance, &[Sink]),
];

impl Upon {
    fn resources(self, settings: &KafkaSettings, names: &TopicNames) -> Vec<Resource> {
        let topic = |name: &str| Resource::Topic(name.to_owned());
        let group = &settings.group_id;
        match self {
            Self::Inputs => names.sources().map(|(name, _)| topic(name)).collect(),
            Self::Inbox => vec![topic(&names.inbox)],
            Self::Changelog => vec![topic(&names.changelog)],
            Self::Events => vec![topic(&names.events)],
            Self::DeadLetters => vec![topic(&names.dead_letter)],
            Self::Own => names.own().map(topic).collect(),
            Self::New => Vec::new(),
            Self::Group => vec![Resource::Group(group.clone())],
            Self::ReplayGroups => vec![Resource::Groups(replay_groups(group))],
            Self::RepartitionGroup => vec![Resource::Group(repartition_group(group))],
            Self::Instance | Self::SecondOfInstance => {
                let [first, second] = instance_ids(settings);
                let id = if matches!(self, Self::Instance) { first } else { second };
                vec![Resource::TransactionalId(id)]
            }
            Self::Operator => vec![Resource::TransactionalId(operator_id(group))],
            Self::Replay => vec![Resource::TransactionalId(replay_id(group))],
            Self::Rebuild => vec![Resource::TransactionalId(rebuild_id(group))],
            Self::SinkGroup => vec![Resource::Group(sink_group(group))],
            Self::SinkInstance => vec![Resource::TransactionalId(sink_id(settings))],
        }
    }
}

/// Returns every right, with the names of the resources.
#[must_use]
pub fn needs(settings: &KafkaSettings, names: &TopicNames) -> Vec<Need> {
    let each = LIST.into_iter().flat_map(|(operation, upon, by)| {
        let resources = upon.resources(settings, names).into_iter();
        resources.map(move |resource| Need { right: Right { resource, operation }, by })
    });
    each.collect()
}

/// Returns the transactional ids of an instance. They are stable, so that a restart aborts an open transaction of the
/// predecessor. They differ between groups. No instance id contains `~`, so that the second one is no other instance's.
pub(in crate::log) fn instance_ids(settings: &KafkaSettings) -> [String; 2] {
    let id = format!("{}.{}", settings.group_id, settings.instance_id);
    [id.clone(), format!("{id}~2")]
}

/// Returns the transactional id of operators' commands. With an instance's id, a command would fence that instance's
/// daemon.
pub(in crate::log) fn operator_id(group: &str) -> String {
    format!("{group}.operator")
}

/// Returns the transactional id of replays.
pub(in crate::log) fn replay_id(group: &str) -> String {
    format!("{group}.dead-letter.replay")
}

/// Returns the transactional id of commands that write state while no daemon runs.
pub(in crate::log) fn rebuild_id(group: &str) -> String {
    format!("{group}.rebuild")
}

/// Returns the consumer group of the sinks that write to MongoDB, whatever the number of their processes.
#[must_use]
pub fn sink_group(group: &str) -> String {
    format!("{group}.sink.mongodb")
}

/// Returns the consumer group in which a repartition stores its progress.
#[must_use]
pub fn repartition_group(group: &str) -> String {
    format!("{group}.repartition")
}

/// Returns the transactional id with which the sink of an instance writes dead letters.
pub(in crate::log) fn sink_id(settings: &KafkaSettings) -> String {
    format!("{}.{}", sink_group(&settings.group_id), settings.instance_id)
}

/// Returns the prefix of the groups in which replays store their progress.
#[must_use]
pub fn replay_groups(group: &str) -> String {
    format!("{group}.replay.")
}

#[cfg(test)]
mod tests {
    use super::{LIST, NeededBy, Upon};

    /// Returns the guide's words for a kind of resource.
    fn words(upon: Upon) -> (&'static str, &'static str) {
        match upon {
            Upon::Inputs => ("topic", "each input"),
            Upon::Inbox => ("topic", "`topics.inbox`"),
            Upon::Changelog => ("topic", "`topics.changelog`"),
            Upon::Events => ("topic", "`topics.events`"),
            Upon::DeadLetters => ("topic", "`topics.dead_letter`"),
            Upon::Own => ("topic", "each own topic"),
            Upon::New => ("topic", "each new topic"),
            Upon::Group => ("group", "`group_id`"),
            Upon::ReplayGroups => ("group", "prefix `group_id.replay.`"),
            Upon::Instance => ("transactional id", "`group_id.instance_id`"),
            Upon::SecondOfInstance => ("transactional id", "`group_id.instance_id~2`"),
            Upon::Operator => ("transactional id", "`group_id.operator`"),
            Upon::Replay => ("transactional id", "`group_id.dead-letter.replay`"),
            Upon::Rebuild => ("transactional id", "`group_id.rebuild`"),
            Upon::RepartitionGroup => ("group", "`group_id.repartition`"),
            Upon::SinkGroup => ("group", "`group_id.sink.mongodb`"),
            Upon::SinkInstance => ("transactional id", "`group_id.sink.mongodb.instance_id`"),
        }
    }

    #[test]
    fn the_guide_shows_the_list() {
        let guide = include_str!("../../../ops/guide/rights.md");
        let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        let wanted = LIST.iter().map(|(operation, upon, by)| {
            let by: Vec<&str> = by.iter().map(|command| command.as_str()).collect();
            let (kind, name) = words(*upon);
            format!("| {} | {kind} | {name} | {} |", operation.as_str(), by.join(", "))
        });
        assert_eq!(rows, wanted.collect::<Vec<_>>());
        assert!(NeededBy::ALL.iter().all(|command| LIST.iter().any(|row| row.2.contains(command))));
    }
}
