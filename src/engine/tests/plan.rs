//! The plan of a history, item by item. Shrinking leaves some items out.

mod overlapped;

pub(super) use overlapped::overlapped;

use super::dice::Dice;
use super::fault::{Armed, Call, Fault};
use super::gateway::{produce, records, report};
use super::network::Manner;
use super::setting::{ACCOUNTS, Setting, WEBHOOKS};
use super::surroundings::{Wrong, recreate};
use super::world::World;
use crate::codec::command::{self, COMMAND_HEADER};
use crate::codec::letter;
use crate::domain::{PhononUuid, Source, Timestamp, WebhookName, owner};
use crate::log::{GroupOffset, TopicPartition};
use crate::store::memory::Content;
use std::collections::BTreeMap;

/// Faults strike until this time; then the world is healed.
pub(super) const TROUBLE_MS: u64 = 45_000;

/// The changelog's `delete.retention.ms`.
pub(super) const DELETE_RETENTION_MS: i64 = 7 * DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// An event of a history.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// A gateway writes a record.
    Produce {
        topic: &'static str,
        partition: Option<i32>,
        key: Option<String>,
        value: String,
    },
    /// Starts an instance if it is not running.
    Start(usize),
    Stop(usize),
    Kill(usize),
    /// SIGSTOP, and SIGCONT after this number of milliseconds.
    Pause(usize, u64),
    /// Arms a fault, which waits for its call.
    Arm(usize, Armed),
    /// No broker answers for this number of milliseconds.
    KafkaAway(u64),
    /// A transaction of an unrelated producer stays open in a partition of the changelog.
    Foreign(i32),
    /// The log cleaner runs.
    Compact {
        partition: i32,
        kept: usize,
    },
    /// All instances are down for longer than tombstones are kept.
    Days,
    /// An instance's wall clock jumps.
    Jump(usize, i64),
    /// An endpoint changes its behaviour.
    Behave(&'static str, Manner),
    /// An operator replays all dead letters.
    Replay,
    /// An operator enables an endpoint again.
    Enable(&'static str),
    /// Deletes the store of an instance that is down.
    Wipe(usize),
    /// Copies an instance's store.
    Copy(usize),
    /// Puts the copy back, to the same or another instance that is down.
    PutBack(usize, usize),
    /// While all instances are down, the group's offset is moved on, or Kafka removes it.
    MoveOffsets(TopicPartition, Option<i64>),
    /// An input topic is deleted and created again.
    Recreate(&'static str),
    /// An instance looks at the ids of the topics.
    Look(usize),
    /// Kills an instance and starts it with a wrong setting, which its supervisor corrects.
    Misconfigure(usize, Wrong),
    /// An instance reads its configuration again, and refuses it.
    Reload(usize),
    Heal,
}

/// The time of an action, and the action.
pub(super) type Item = (u64, Action);

/// Returns the items of a seed.
pub(super) fn roll(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items = Vec::new();
    for node in 0..setting.nodes {
        items.push((dice.between(0, 300), Action::Start(node)));
    }
    for number in 0..dice.between(1, 4) {
        records(number, setting, dice, &mut items);
    }
    for _ in 0..dice.between(0, 6) {
        trouble(setting, dice, &mut items);
    }
    for (_, webhook) in WEBHOOKS {
        if dice.one_in(2) {
            let manner = dice.pick(&[
                Manner::Whims,
                Manner::Whims,
                Manner::Fails,
                Manner::Refuses,
                Manner::IsGone,
                Manner::IsBusy(4000),
                Manner::Hangs,
            ]);
            items.push((dice.between(0, 20_000), Action::Behave(webhook, manner)));
        }
        if dice.one_in(5) {
            items.push((dice.between(10_000, 60_000), Action::Enable(webhook)));
        }
    }
    if dice.one_in(3) {
        items.push((dice.between(5_000, 80_000), Action::Replay));
    }
    items
}

/// Kills one instance several times while the endpoints ask for pauses.
pub(super) fn busy(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items = vec![(0, Action::Start(0))];
    for number in 0..4 {
        let (account, _) = dice.pick(&ACCOUNTS);
        produce(&format!("uuid-{number}"), account, dice.between(500, 15_000), setting, &mut items);
    }
    for (_, webhook) in WEBHOOKS {
        items.push((0, Action::Behave(webhook, Manner::IsBusy(8000))));
    }
    for _ in 0..3 {
        let at = dice.between(1000, 25_000);
        items.extend([(at, Action::Kill(0)), (at + dice.between(1, 900), Action::Start(0))]);
    }
    items
}

/// Starts instances and asks them to end, without any fault.
pub(super) fn orderly(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items = vec![(0, Action::Start(0))];
    for number in 0..6 {
        let (account, _) = dice.pick(&ACCOUNTS);
        produce(&format!("uuid-{number}"), account, dice.between(500, 5000), setting, &mut items);
    }
    for _ in 0..4 {
        let (node, at) = (dice.index(setting.nodes), dice.between(500, 6000));
        items.extend([
            (at, Action::Stop(node)),
            (at + dice.between(500, 3000), Action::Start(node)),
        ]);
    }
    items
}

/// Lets the clocks of instances jump by hours and days while the endpoints fail, without any other fault.
pub(super) fn jumpy(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items: Vec<Item> =
        (0..setting.nodes).map(|node| (dice.between(0, 300), Action::Start(node))).collect();
    for number in 0..dice.between(2, 5) {
        records(number, setting, dice, &mut items);
    }
    for (_, webhook) in WEBHOOKS {
        let manner = dice.pick(&[Manner::Whims, Manner::Fails, Manner::IsBusy(4000)]);
        items.push((dice.between(0, 20_000), Action::Behave(webhook, manner)));
    }
    for _ in 0..dice.between(1, 4) {
        let (at, node) = (dice.between(500, TROUBLE_MS), dice.index(setting.nodes));
        let by = dice.pick(&[-7_200_000, -60_000, 20_000, 7_200_000, 2 * DAY_MS, -2 * DAY_MS]);
        items.push((at, Action::Jump(node, by)));
    }
    items
}

/// Makes reports without a flow due when the only instance returns. Its first commits fail.
pub(super) fn overdue(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items = vec![(0, Action::Start(0)), (4000, Action::Kill(0))];
    for number in 0..8 {
        let (uuid, at) = (format!("uuid-{number}"), dice.between(0, 3000));
        let value = report(&uuid, 28, "a", "SENT");
        let partition = Some(owner(uuid.as_bytes(), setting.input_partitions));
        let key = Some(uuid);
        items.push((at, Action::Produce { topic: "sms-delivery-report", partition, key, value }));
    }
    let faults = [
        Fault::FatalBefore,
        Fault::FatalAfter,
        Fault::Abortable,
        Fault::KillAfter,
        Fault::RetriableAfter,
    ];
    for _ in 0..dice.between(1, 4) {
        let call = dice.pick(&[Call::Send, Call::Commit, Call::Commit]);
        let skip = u32::try_from(dice.below(3)).unwrap();
        items.push((43_999, Action::Arm(0, Armed { call, skip, fault: dice.pick(&faults) })));
    }
    items.push((44_000, Action::Start(0)));
    items
}

/// Commits reports without a flow, but loses the answers to these commits. Nothing else happens until they are due.
pub(super) fn unreported(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items = vec![(0, Action::Start(0))];
    for number in 0..dice.between(1, 3) {
        let (uuid, at) = (format!("uuid-{number}"), dice.between(3000, 4000));
        let value = report(&uuid, 28, "a", "SENT");
        let partition = Some(owner(uuid.as_bytes(), setting.input_partitions));
        let key = Some(uuid);
        items.push((at, Action::Produce { topic: "sms-delivery-report", partition, key, value }));
    }
    let armed = Armed { call: Call::Commit, skip: 0, fault: Fault::FatalAfter };
    items.extend([(2999, Action::Arm(0, armed)), (2999, Action::Arm(0, armed))]);
    items
}

/// Recreates an input while a restore is retried, so that some partitions are active and others are not.
pub(super) fn recreated_midway(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items = vec![(0, Action::Start(0)), (4000, Action::Kill(0)), (5000, Action::Start(0))];
    for number in 0..6 {
        let (account, _) = dice.pick(&ACCOUNTS);
        produce(&format!("uuid-{number}"), account, dice.between(500, 2500), setting, &mut items);
    }
    let skip = u32::try_from(dice.between(0, 3)).unwrap();
    let armed = Armed { call: Call::Committed, skip, fault: Fault::Retriable };
    items.push((4900, Action::Arm(0, armed)));
    let at = dice.between(5000, 6200);
    items.push((at, Action::Recreate("flow-complete")));
    // More records than were read before, all at once: so no offset is out of range when a reader asks for it.
    for number in 10..40 {
        let (account, _) = dice.pick(&ACCOUNTS);
        produce(&format!("uuid-{number}"), account, at, setting, &mut items);
    }
    items.extend((1..4).map(|look| (at + look * 5000, Action::Look(0))));
    items
}

/// Adds one fault.
fn trouble(setting: &Setting, dice: &mut Dice, items: &mut Vec<Item>) {
    let at = dice.between(500, TROUBLE_MS);
    let node = dice.index(setting.nodes);
    let partition = i32::try_from(dice.below(u64::from(setting.partitions))).unwrap();
    let back = at + dice.pick(&[500, 3000, 15_000, 15_000]);
    match dice.below(19) {
        0 => items.extend([(at, Action::Kill(node)), (back, Action::Start(node))]),
        1 => items.extend([(at, Action::Stop(node)), (back, Action::Start(node))]),
        2 => items.push((at, Action::Pause(node, dice.pick(&[500, 5000, 12_000, 25_000])))),
        3..8 => {
            let call = dice.pick(&Call::ALL);
            let fault = fault(dice);
            let armed = Armed { call, skip: u32::try_from(dice.below(12)).unwrap(), fault };
            items.extend([(at, Action::Arm(node, armed)), (back, Action::Start(node))]);
        }
        8 => items.push((at, Action::KafkaAway(dice.pick(&[300, 4000, 20_000])))),
        9 => items.push((at, Action::Foreign(partition))),
        10 => {
            if dice.one_in(3) {
                items.push((at, Action::Days));
                items.extend((0..setting.nodes).map(|node| (back, Action::Start(node))));
            } else {
                items.push((at, Action::Compact { partition, kept: dice.index(6) }));
            }
        }
        11 => items.push((
            at,
            Action::Jump(node, dice.pick(&[-7_200_000, -60_000, -2000, 3000, 20_000, 7_200_000])),
        )),
        12 => items.extend([
            (at, Action::Kill(node)),
            (at + 1, Action::Wipe(node)),
            (back, Action::Start(node)),
        ]),
        13 => {
            let from = dice.index(setting.nodes);
            let later = at + dice.between(1000, 10_000);
            items.extend([
                (at, Action::Copy(from)),
                (later, Action::Kill(node)),
                (later + 1, Action::PutBack(from, node)),
                (later + 500, Action::Start(node)),
            ]);
        }
        14 => late_stop(node, dice, items),
        16 => recreate(at, setting, dice, items),
        17 => {
            let mut wrong = dice.pick(&Wrong::ALL);
            // If the inbox is larger, the changelog would have to be larger, too.
            if setting.inbox_partitions != setting.partitions && wrong == Wrong::Partitions {
                wrong = Wrong::Group;
            }
            items.push((at, Action::Misconfigure(node, wrong)));
        }
        // If an input partition has no owner that remembers its position, no instance notices the move.
        15 if setting.input_partitions == setting.inbox_partitions => {
            let topic = dice.pick(&["flow-complete", "sms-delivery-report", "inbox"]);
            let by = (!dice.one_in(3)).then(|| i64::try_from(dice.between(1, 3)).unwrap());
            items.push((
                at,
                Action::MoveOffsets(TopicPartition { topic: topic.into(), partition }, by),
            ));
            items.extend((0..setting.nodes).map(|node| (back, Action::Start(node))));
        }
        _ => items.push((at, Action::Behave(dice.pick(&WEBHOOKS).1, Manner::Whims))),
    }
}

/// Makes a commit fail just when the instance has to stop. The commit is abandoned, and the records must be read again.
fn late_stop(node: usize, dice: &mut Dice, items: &mut Vec<Item>) {
    let records = items.iter().filter(|(_, action)| matches!(action, Action::Produce { .. }));
    let times: Vec<u64> = records.map(|(at, _)| *at).collect();
    if !times.is_empty() {
        let at = times[dice.index(times.len())];
        let call = dice.pick(&[Call::Send, Call::Offsets, Call::Commit]);
        let armed = Armed { call, skip: 0, fault: Fault::Abortable };
        items.extend([
            (at.saturating_sub(1), Action::Arm(node, armed)),
            (at + dice.between(0, 12), Action::Stop(node)),
            (at + 3000, Action::Start(node)),
        ]);
    }
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.below(9) {
        0 | 1 => Fault::Kill,
        2 => Fault::KillAfter,
        3 => Fault::Pause(dice.pick(&[2000, 12_000, 25_000])),
        4 => Fault::PauseAfter(dice.pick(&[2000, 12_000, 25_000])),
        5 => Fault::Retriable,
        6 => Fault::RetriableAfter,
        7 => Fault::Abortable,
        _ => dice.pick(&[Fault::FatalBefore, Fault::FatalAfter]),
    }
}

impl Action {
    /// Carries out the action.
    pub(super) fn happen(self, world: &World) {
        world.trace(|| format!("{self:?}"));
        match self {
            Self::Produce { topic, partition, key, value } => {
                let key = key.as_deref().map(str::as_bytes);
                let partitions = world.setting.input_partitions;
                let own = || owner(key.unwrap_or_default(), partitions);
                let partition = partition.unwrap_or_else(own);
                world.produce(topic, partition, key, value.as_bytes(), &[]);
            }
            Self::Start(node) => world.start(node),
            Self::Stop(node) => world.stop(node),
            Self::Kill(node) => world.kill(node),
            Self::Pause(node, ms) => world.pause(node, ms),
            Self::Arm(node, armed) => world.nodes[node].faults.borrow_mut().push(armed),
            Self::KafkaAway(ms) => world.kafka_is_away(ms),
            Self::Foreign(partition) => world.leave_open(partition),
            Self::Compact { partition, kept } => world.compact(partition, kept),
            Self::Days => world.skip_days(),
            Self::Jump(node, ms) => {
                let wall = &world.nodes[node].wall_ms;
                wall.set(wall.get() + ms);
                world.nodes[node].look_round(world.passed_ms());
                world.count("jump");
            }
            Self::Behave(webhook, manner) => world.network.borrow_mut().behave(webhook, manner),
            Self::Replay => world.replay(),
            Self::Enable(webhook) => world.enable(webhook),
            Self::Wipe(node) => world.while_down(node, BTreeMap::clear),
            Self::Copy(node) => {
                let copy = world.nodes[node].disk.contents().clone();
                *world.nodes[node].copy.borrow_mut() = Some(copy);
            }
            Self::PutBack(from, node) => {
                if let Some(copy) = world.nodes[from].copy.borrow().clone() {
                    world.while_down(node, |contents| *contents = copy);
                }
            }
            Self::MoveOffsets(place, by) => world.move_offsets(&place, by),
            Self::Recreate(topic) => world.recreate(topic),
            Self::Look(node) => world.look(node),
            Self::Misconfigure(node, wrong) => world.misconfigure(node, wrong),
            Self::Reload(node) => world.reload(node),
            Self::Heal => world.heal(),
        }
    }
}

impl World {
    fn while_down(&self, node: usize, change: impl FnOnce(&mut BTreeMap<i32, Content>)) {
        if self.nodes[node].process.borrow().is_none() {
            change(&mut self.nodes[node].disk.contents());
        }
    }

    pub(super) fn compact(&self, partition: i32, kept: usize) {
        let place = TopicPartition { topic: self.names.changelog.as_str().into(), partition };
        let tombstones_before_ms = self.true_ms() - DELETE_RETENTION_MS;
        self.broker.borrow_mut().compact(&place, kept, tombstones_before_ms);
    }

    fn move_offsets(&self, place: &TopicPartition, by: Option<i64>) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
        let mut broker = self.broker.borrow_mut();
        // A commit of an open transaction would overwrite the moved offset.
        broker.abort_all(self.true_ms());
        match by {
            Some(by) => {
                let end = broker.partitions.get(place).map_or(0, |partition| partition.end);
                if let Some(committed) = broker.offsets.get_mut(place) {
                    // Kafka's tool does not keep the metadata of an offset.
                    let offset = (committed.offset + by).min(end);
                    *committed = GroupOffset { offset, ..GroupOffset::default() };
                }
            }
            None => drop(broker.offsets.remove(place)),
        }
    }

    fn leave_open(&self, partition: i32) {
        let mut broker = self.broker.borrow_mut();
        let epoch = broker.initialise("foreign", self.true_ms());
        let entry = super::broker::Entry {
            offset: 0,
            transaction: None,
            is_marker: false,
            key: Some("sforeign".into()),
            value: None,
            headers: Vec::new(),
            at_ms: self.true_ms(),
        };
        let place = TopicPartition { topic: self.names.changelog.as_str().into(), partition };
        let sent = broker.send(("foreign", epoch), &place, entry, self.passed_ms());
        sent.expect("no other producer has the id");
    }

    fn replay(&self) {
        let mut commands = Vec::new();
        {
            let broker = self.broker.borrow();
            for partition in 0..self.setting.partitions.cast_signed() {
                let place =
                    TopicPartition { topic: self.names.dead_letter.as_str().into(), partition };
                for entry in broker.committed(&place) {
                    let header = |name: &str| {
                        let found = entry.headers.iter().find(|(own, _)| own == name);
                        found.map(|(_, value)| value.as_str())
                    };
                    let at = Timestamp::from_ms(entry.at_ms);
                    let head =
                        letter::LetterHead::read(header, at).expect("a dead letter of the engine");
                    if head.kind != letter::LetterKind::Delivery {
                        continue;
                    }
                    let source: Source = head.source.expect("it has one");
                    let value = entry.value.as_deref().expect("it has a value");
                    let (uuid, delivery): (PhononUuid, _) =
                        letter::read_delivery(value, source).expect("a dead letter of the engine");
                    let mut command = Vec::new();
                    command::write_replay(&mut command, &uuid, &delivery);
                    commands.push((uuid, command));
                }
            }
        }
        for (uuid, value) in commands {
            let key = uuid.as_str().as_bytes();
            let headers = [(COMMAND_HEADER, command::REPLAY)];
            let partition = owner(key, self.setting.inbox_partitions);
            self.produce(&self.names.inbox, partition, Some(key), &value, &headers);
        }
    }

    fn enable(&self, webhook: &str) {
        self.ledger.borrow_mut().forget_holds(self.true_ms());
        let mut value = Vec::new();
        command::write_enable_endpoint(&mut value, &WebhookName::new(webhook).unwrap());
        for partition in 0..self.setting.inbox_partitions.cast_signed() {
            let headers = [(COMMAND_HEADER, command::ENABLE_ENDPOINT)];
            self.produce(&self.names.inbox, partition, Some(webhook.as_bytes()), &value, &headers);
        }
    }

    /// Ends all faults.
    fn heal(&self) {
        self.kafka_is_away(0);
        self.is_healed.set(true);
        for (index, node) in self.nodes.iter().enumerate() {
            node.faults.borrow_mut().clear();
            node.wall_ms.set(0);
            self.start(index);
        }
        for (_, webhook) in WEBHOOKS {
            self.network.borrow_mut().behave(webhook, Manner::Takes);
            self.enable(webhook);
        }
    }
}
