//! The blows, and the instances and the broker that they hit.

use super::{INSTANCES, PARTITIONS, wait_progress};
use crate::harness::broker::Broker;
use crate::harness::daemon::Daemon;
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::wait_until;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Longer than a session timeout, a rebalance and a restore on a busy machine.
const TAKEOVER: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A fault of an instance or of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    /// SIGKILL, and a new start at once.
    Kill,
    /// SIGKILL, and a new start once other instances have its partitions.
    KillForLong,
    /// SIGSTOP until other instances have its partitions, then SIGCONT.
    Zombie,
    /// Like `Zombie`, and another instance gets a SIGKILL meanwhile.
    ZombieAndKill,
    /// SIGSTOP for at most four seconds, then SIGCONT.
    Pause,
    /// SIGTERM, and a new start.
    Stop,
    /// SIGKILL of the broker, and a new start.
    Broker,
}

impl Blow {
    /// The blows with their relative frequency.
    pub(super) const DECK: [Self; 12] = [
        Self::Kill,
        Self::Kill,
        Self::Kill,
        Self::Kill,
        Self::KillForLong,
        Self::Zombie,
        Self::ZombieAndKill,
        Self::Pause,
        Self::Pause,
        Self::Stop,
        Self::Stop,
        Self::Broker,
    ];
}

/// The number of blows so far, and their consequences.
#[derive(Default)]
pub(super) struct Struck {
    blows: BTreeMap<Blow, usize>,
    /// The number of SIGKILLs of instances.
    pub(super) kills: usize,
    /// How often an instance found out late that the group had given its partitions away.
    pub(super) evictions: usize,
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blows, kills, evictions } = self;
        write!(f, "{blows:?}; {kills} instances killed, {evictions} assignments lost")
    }
}

/// The instances and the broker.
pub(super) struct Ring<'a> {
    stage: &'a Stage,
    broker: &'a mut Broker,
    daemons: Vec<Daemon>,
    struck: Struck,
    began: Instant,
}

impl<'a> Ring<'a> {
    /// Starts all instances and waits until they are ready.
    pub(super) fn new(stage: &'a Stage, broker: &'a mut Broker) -> Self {
        let daemons = (0..INSTANCES).map(|number| stage.spawn(number)).collect();
        let (struck, began) = (Struck::default(), Instant::now());
        let mut ring = Self { stage, broker, daemons, struck, began };
        ring.heal();
        ring
    }

    /// Waits for some progress since the last blow, and makes the next one.
    pub(super) fn strike(&mut self, nth: u64, of: u64, blow: Blow, random: &mut Random) {
        wait_progress(self.stage, usize::try_from(random.within(10..120)).expect("small"));
        std::thread::sleep(Duration::from_millis(random.within(0..300)));
        let victim = usize::try_from(random.within(0..INSTANCES.into())).expect("small");
        println!("{:4} s  {nth}/{of}  {blow:?} {victim}", self.began.elapsed().as_secs());
        *self.struck.blows.entry(blow).or_default() += 1;
        match blow {
            Blow::Kill => {
                self.kill(victim);
                self.start(victim);
            }
            Blow::KillForLong => {
                self.kill(victim);
                self.taken_over(&[victim]);
                self.start(victim);
            }
            Blow::Zombie => {
                self.daemons[victim].signal("STOP");
                self.taken_over(&[victim]);
                self.daemons[victim].signal("CONT");
            }
            Blow::ZombieAndKill => {
                let other = (victim + 1) % usize::from(INSTANCES);
                self.daemons[victim].signal("STOP");
                self.kill(other);
                self.taken_over(&[victim, other]);
                self.daemons[victim].signal("CONT");
                self.start(other);
            }
            Blow::Pause => {
                self.daemons[victim].signal("STOP");
                std::thread::sleep(Duration::from_millis(random.within(100..4000)));
                self.daemons[victim].signal("CONT");
            }
            Blow::Stop => {
                self.daemons[victim].stop_within(STOP_TIMEOUT);
                self.start(victim);
            }
            Blow::Broker => {
                self.broker.kill();
                std::thread::sleep(Duration::from_millis(random.within(0..2000)));
                self.broker.restart();
            }
        }
    }

    fn kill(&mut self, victim: usize) {
        self.daemons[victim].kill();
        self.struck.kills += 1;
    }

    /// Starts the instance without waiting: it may still be starting at the next blow.
    fn start(&mut self, victim: usize) {
        self.daemons[victim] = self.stage.spawn(u8::try_from(victim).expect("few"));
    }

    /// Waits until the instances other than `gone` have all partitions.
    fn taken_over(&self, gone: &[usize]) {
        let all = usize::try_from(PARTITIONS).expect("some");
        wait_until("the others take over", TAKEOVER, || {
            let others = self.daemons.iter().enumerate().filter(|(at, _)| !gone.contains(at));
            (others.map(|(_, daemon)| daemon.partitions()).sum::<usize>() == all).then_some(())
        });
    }

    /// Waits until all instances are ready.
    pub(super) fn heal(&mut self) {
        self.daemons.iter_mut().for_each(Daemon::wait_ready);
    }

    /// Stops all instances and returns the counts.
    pub(super) fn end(mut self) -> Struck {
        self.daemons.iter_mut().for_each(|daemon| {
            daemon.stop_within(STOP_TIMEOUT);
        });
        let lost = |log: String| {
            let revoked = log.lines().filter(|line| line.contains("\"partitions revoked\""));
            revoked.filter(|line| line.contains("\"lost\":true")).count()
        };
        self.struck.evictions = self.daemons.iter().map(|daemon| lost(daemon.logged())).sum();
        self.struck
    }
}
