//! Random histories of a few uuids, made by the daemon's own decisions and writers, have no violation: at the end, at
//! any moment that a scan beside a running daemon sees, and after retention has removed any part.
//!
//! `RINGBACK_SEED` repeats one run.

use super::scan::Moment;
use super::world::{
    FLOWS, INBOX, OTHER, OURS, OWNERS, REPORTS, STRANGER, Said, UNIT_MS, World, flow, report, uuid,
};
use super::{Outcome, outcome};
use crate::domain::{
    AccountPolicy, Command, Computed, DeadLetterReason, Due, OnReportTimeout, Phase2Order,
    Phase2Wait, PhononUuid, Source, Timestamp, Verdict, WebhookName, owner,
};
use crate::verify::{Changelog, Evidence, Layout, Options};

const HISTORIES: u64 = 1500;
const STEPS: usize = 60;
const UUIDS: [&str; 4] = ["u", "v", "w", "x"];

/// The SplitMix64 generator, which gives the same numbers everywhere.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

fn account(dice: &mut Dice) -> AccountPolicy {
    AccountPolicy {
        rules: Vec::new(),
        uses_variables: false,
        notify_on_delivery: !dice.one_in(6),
        attach_flow_keys: dice.one_in(2),
        webhook_enabled: dice.pick(&[Some(true), Some(true), Some(true), Some(false), None]),
        default_webhook: WebhookName::new("crm").filter(|_| !dice.one_in(8)),
        flows: std::collections::BTreeMap::new(),
        notices: None,
        relations: Computed::default(),
    }
}

/// A record in the wrong partition whose copy was not read yet.
struct Copied {
    own: i32,
    said: Said,
    source: Source,
}

pub(super) struct Random {
    pub(super) world: World,
    pub(super) dice: Dice,
    copies: Vec<Copied>,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut world = World::new();
        world.policy.accounts =
            [OURS, OTHER].map(|id| (id, account(&mut dice))).into_iter().collect();
        let mut random = Self { world, dice, copies: Vec::new() };
        random.reload();
        random
    }

    fn reload(&mut self) {
        let dice = &mut self.dice;
        let policy = &mut self.world.policy;
        policy.correlation.phase2_wait = dice.pick(&[Phase2Wait::All, Phase2Wait::Each]);
        policy.correlation.phase2_order =
            dice.pick(&[Phase2Order::Strict, Phase2Order::Strict, Phase2Order::Independent]);
        policy.correlation.on_report_timeout =
            dice.pick(&[OnReportTimeout::End, OnReportTimeout::Notify]);
        let unit = UNIT_MS.unsigned_abs();
        policy.webhook_defaults.age_max_ms = dice.pick(&[15 * unit, 10_000 * unit]);
        let id = dice.pick(&[OURS, OTHER]);
        if dice.one_in(4) {
            policy.accounts.remove(&id);
        } else {
            policy.accounts.insert(id, account(dice));
        }
    }

    fn any(&mut self) -> PhononUuid {
        uuid(self.dice.pick(&UUIDS))
    }

    pub(super) fn step(&mut self) {
        let units = self.dice.pick(&[0, 0, 1, 1, 5, 50, 400]);
        self.world.now = self.world.now.plus_ms(units * UNIT_MS.unsigned_abs());
        match self.dice.below(16) {
            0..3 => {
                let sms: [Option<&[&str]>; 5] =
                    [None, Some(&[]), Some(&["a"]), Some(&["a", "b"]), Some(&["c", "a", "b"])];
                let sms = self.dice.pick(&sms);
                let of = self.any();
                let account = self.dice.pick(&[OURS, OURS, OURS, OTHER, STRANGER]);
                let mut record = flow(&of, account, sms);
                record.content = self.dice.pick(&[1, 1, 2]);
                self.say(Said::Flow(record));
            }
            3..8 => {
                let of = self.any();
                let account = self.dice.pick(&[OURS, OURS, OURS, OURS, OTHER, STRANGER]);
                let sms = self.dice.pick(&["a", "b", "c", "x"]);
                let status = self.dice.pick(&["QUEUED", "SENT", "DELIVERED", "FAILED"]);
                self.say(Said::Report(report(&of, account, sms, status)));
            }
            8..11 => self.attempt(),
            11 => self.fire(),
            12 => self.replay(),
            13 => self.give_up(),
            14 if self.dice.one_in(3) => self.world.say(&Said::Bad, false),
            14 => self.read_copies(1),
            _ => self.reload(),
        }
    }

    fn say(&mut self, said: Said) {
        if !self.dice.one_in(4) {
            self.world.say(&said, false);
            return;
        }
        let (topic, of) = match &said {
            Said::Flow(flow) => (FLOWS, flow.uuid.clone()),
            Said::Report(report) => (REPORTS, report.uuid.clone()),
            Said::Bad | Said::Skipped => return,
        };
        let own = owner(of.as_str().as_bytes(), OWNERS);
        let key = Some(of.as_str()).filter(|_| self.dice.one_in(2));
        let source =
            self.world.write(topic, (own + 1) % OWNERS.cast_signed(), key, Vec::new(), b"{}");
        self.world.forward(topic, own, of.as_str(), &source);
        self.copies.push(Copied { own, said, source });
    }

    /// Reads copies in their order until `left` remain.
    fn read_copies(&mut self, left: usize) {
        while self.copies.len() > left {
            let Copied { own, said, source } = self.copies.remove(0);
            self.world.read_copy(own, &said, &source);
        }
    }

    fn attempt(&mut self) {
        let now = self.world.now;
        let due = |due: Due| matches!(due, Due::At(at) if at <= now);
        let states = self.world.states.iter();
        let rows = states
            .flat_map(|(of, state)| state.deliveries.iter().map(move |row| (of.clone(), row)));
        let rows: Vec<_> = rows
            .filter(|(_, row)| due(row.due))
            .map(|(of, row)| (of, row.id, row.attempts))
            .collect();
        if rows.is_empty() {
            return;
        }
        let (of, delivery, made) =
            rows[usize::try_from(self.dice.below(rows.len() as u64)).unwrap()].clone();
        let verdict =
            self.dice.pick(&[Verdict::Delivered, Verdict::Retry, Verdict::Retry, Verdict::GiveUp]);
        // Sometimes the attempt is already known, or impossible.
        let attempt = made + self.dice.pick(&[1, 1, 1, 1, 0, 2]);
        let outcome: Outcome = outcome(verdict, 200);
        self.world.tick(&of, &Command::RecordOutcome { delivery, attempt, outcome });
    }

    fn fire(&mut self) {
        let of = self.any();
        if self.dice.one_in(2) {
            let due = self.world.state(&of).timer();
            self.world.now = self.world.now.max(due.unwrap_or(self.world.now));
        }
        self.world.tick(&of, &Command::FireTimer(of.clone()));
    }

    fn replay(&mut self) {
        let letters = self.world.delivery_letters();
        if !letters.is_empty() {
            self.read_copies(0);
            let index = usize::try_from(self.dice.below(letters.len() as u64)).unwrap();
            self.world.replay(&letters[index]);
        }
    }

    fn give_up(&mut self) {
        let of = self.any();
        let state = self.world.state(&of);
        if let Some(row) = state.deliveries.first() {
            let reason = DeadLetterReason::EndpointDisabled;
            self.world.tick(&of, &Command::GiveUp { delivery: row.id, reason });
        }
    }

    /// Lets time pass until no state is left.
    fn drain(&mut self) {
        self.read_copies(0);
        for name in UUIDS {
            let of = uuid(name);
            while let state = self.world.state(&of)
                && !state.is_empty()
            {
                if let Some(row) = state.deliveries.iter().find(|row| row.due != Due::Waiting) {
                    let outcome = outcome(Verdict::Delivered, 200);
                    let command = Command::RecordOutcome {
                        delivery: row.id,
                        attempt: row.attempts + 1,
                        outcome,
                    };
                    self.world.tick(&of, &command);
                } else {
                    self.world.now = self.world.now.max(state.timer().unwrap());
                    self.world.tick(&of, &Command::FireTimer(of.clone()));
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one thing that a person says to this test")]
pub(super) fn seeds(histories: u64, run: fn(u64)) {
    if let Some(seed) = std::env::var("RINGBACK_SEED").ok().and_then(|text| text.parse().ok()) {
        return run(seed);
    }
    for seed in 0..histories {
        if std::panic::catch_unwind(|| run(seed)).is_err() {
            panic!("RINGBACK_SEED={seed} repeats it");
        }
    }
}

fn assert_clean(world: &World, options: &Options) {
    assert_eq!(world.verify(options).violations, []);
}

#[test]
fn random_histories_have_no_violation() {
    seeds(HISTORIES, |seed| {
        let mut random = Random::new(seed);
        for step in 0..STEPS {
            random.step();
            if step % 10 == 0 {
                assert_clean(&random.world, &random.world.options());
            }
        }
        assert_clean(&random.world, &random.world.options());
        random.drain();
        assert_clean(&random.world, &random.world.at_rest());
    });
}

/// The daemon continues during the scan.
#[test]
fn a_scan_beside_a_running_daemon_finds_no_violation() {
    seeds(HISTORIES, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..STEPS {
            random.step();
        }
        let (world, dice) = (&random.world, &mut random.dice);
        for _ in 0..10 {
            let mut now = 1 + dice.below(world.txn);
            let mut later = |dice: &mut Dice| {
                now = (now + dice.pick(&[0, 0, 1, 2, 5])).min(world.txn);
                now
            };
            let committed_before = later(dice);
            let moving = [later(dice), later(dice)];
            let mut order = ["events", "letters", "changelog", "inputs"];
            order.rotate_left(usize::try_from(dice.below(4)).unwrap());
            let moment = Moment {
                committed_before,
                letters: [later(dice), later(dice)],
                events: [later(dice), later(dice), later(dice)],
                inbox: [later(dice), later(dice)],
                changelog: [later(dice), later(dice)],
                committed_after: later(dice),
                order,
            };
            let end = |log: &[super::world::Entry], txn| {
                log.iter().find(|entry| entry.txn > txn).map_or(i64::MAX, |entry| entry.offset)
            };
            let layout = Layout {
                changelog: Changelog {
                    moving_from: world
                        .changelog
                        .iter()
                        .zip(moving)
                        .map(|(log, txn)| end(log, txn))
                        .collect(),
                    ..world.layout().changelog
                },
                ..world.layout()
            };
            let mut evidence = Evidence::new(layout);
            world.feed(&mut evidence, &moment);
            assert_eq!(
                evidence.finish(&world.options()).violations,
                [],
                "{committed_before} to {}",
                moment.committed_after
            );
        }
    });
}

/// Retention removes a random beginning of each partition of events, dead letters and inbox.
#[test]
fn records_that_retention_removed_cause_no_violation() {
    seeds(HISTORIES, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..STEPS {
            random.step();
        }
        // A copy that is removed unread would be lost.
        random.read_copies(0);
        let Random { mut world, mut dice, .. } = random;
        world.cut = true;
        let mut cut = |log: &mut Vec<super::world::Entry>| {
            let gone = usize::try_from(dice.below(log.len().max(1) as u64)).unwrap();
            log.drain(..gone);
        };
        world.events.iter_mut().for_each(&mut cut);
        world.letters.iter_mut().for_each(&mut cut);
        world.inputs.get_mut(INBOX).unwrap().iter_mut().for_each(&mut cut);
        assert_clean(&world, &world.options());
    });
}

/// Events that were written an hour after all deleted ones are judged as usual.
#[test]
fn damage_after_the_cut_is_found() {
    let mut world = World::new();
    let of = uuid("u");
    let own = |name: &str| owner(name.as_bytes(), 3) as usize;
    // All uuids have the same partition of the events.
    let names = (0..).map(|number| format!("t-{number}")).filter(|name| own(name) == own("u"));
    let names: Vec<String> = names.take(2).chain(["u".to_owned()]).collect();
    for name in &names {
        world.now = Timestamp::from_ms(world.now.as_ms() + 3_600_000);
        world.say(&Said::Flow(flow(&uuid(name), OURS, Some(&["a"]))), false);
        world.say(&Said::Report(report(&uuid(name), OURS, "a", "SENT")), false);
    }
    world.cut = true;
    for partition in 0..3 {
        let old = |entry: &super::world::Entry| entry.key.as_deref() == Some(names[0].as_bytes());
        world.events[partition].retain(|entry| !old(entry));
        for entry in &mut world.events[partition] {
            entry.offset += 1000;
        }
    }
    assert_clean(&world, &world.options());
    world.events[own("u")].retain(|entry| entry.key.as_deref() != Some(of.as_str().as_bytes()));
    let report = world.verify(&world.options());
    let reported = |violation: &&crate::verify::Violation| violation.uuid.as_deref() == Some("u");
    assert!(report.violations.iter().any(|v| reported(&v)), "{:?}", report.violations);
}
