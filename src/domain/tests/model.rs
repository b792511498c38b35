//! Thousands of random histories of one uuid on a virtual clock, and the invariants of all of them.
//!
//! `RINGBACK_SEED` repeats one run.

mod setting;

use super::{OTHER, OURS, STRANGER, flow, flow_of, outcome, report_of, source, uuid};
use crate::domain::fates::Fates;
use crate::domain::{
    Command, Correlation, Delivery, DeliveryId, Due, Event, FlowComplete, IgnoredRecord, Mapped,
    Outcome, Phase, Phase2Order, Phase2Wait, Policy, Rendering, SharedList, SmsId, State,
    Timestamp, Verdict, decide, evolve,
};
use setting::{random_account, random_rules};
use std::collections::{BTreeMap, BTreeSet};

const HISTORIES: u64 = 8000;
const STEPS: usize = 60;

#[test]
#[expect(clippy::disallowed_methods, reason = "the one thing that a person says to this test")]
fn random_histories_keep_the_invariants() {
    if let Some(seed) = std::env::var("RINGBACK_SEED").ok().and_then(|text| text.parse().ok()) {
        return run(seed);
    }
    for seed in 0..HISTORIES {
        if std::panic::catch_unwind(|| run(seed)).is_err() {
            panic!("RINGBACK_SEED={seed} repeats it");
        }
    }
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new(&mut dice);
    for _ in 0..STEPS {
        world.step(&mut dice);
    }
    world.drain();
}

/// SplitMix64: a small generator with the same numbers on every platform.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let index = self.below(of.len() as u64);
        of[usize::try_from(index).unwrap()]
    }
}

/// The deliveries of one life of the uuid, which ends when the uuid is forgotten.
#[derive(Default)]
struct Life {
    scheduled: BTreeMap<DeliveryId, Phase>,
    /// The SMS that each scheduled delivery is about.
    about: BTreeMap<DeliveryId, SharedList<SmsId>>,
    ended: BTreeSet<DeliveryId>,
    /// Deliveries beside this life: those replayed from an earlier life of the uuid, and those of rules upon their ends.
    revived: BTreeSet<DeliveryId>,
    /// The SMS that a phase 2 reported.
    reported: BTreeSet<SmsId>,
    accepted: bool,
    closed: bool,
}

struct World {
    policy: Policy,
    state: State,
    now: i64,
    life: Life,
    fates: Fates,
    history: Vec<Event>,
    /// The dead letters so far.
    letters: Vec<Delivery>,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let policy = random_rules(dice);
        let (state, life, fates) = (State::default(), Life::default(), Fates::default());
        Self { policy, state, now: 0, life, fates, history: Vec::new(), letters: Vec::new() }
    }

    fn step(&mut self, dice: &mut Dice) {
        self.now += dice.pick(&[0, 1, 1, 5, 50, 400]);
        match dice.below(13) {
            12 => self.replay(dice),
            0 => self.accept_flow(dice),
            1..6 => self.accept_report(dice),
            6..9 => self.end_attempt(dice),
            9 => self.fire(),
            10 => {
                self.now = self.now.max(self.state.timer().map_or(self.now, Timestamp::as_ms));
                self.fire();
            }
            _ if dice.one_in(4) => {
                let account = dice.pick(&[OURS, OTHER]);
                if dice.one_in(4) {
                    self.policy.accounts.remove(&account);
                } else {
                    self.policy.accounts.insert(account, random_account(dice));
                }
                self.policy.correlation.phase2_wait =
                    dice.pick(&[Phase2Wait::All, Phase2Wait::Each]);
                self.policy.correlation.phase2_gather_ms = dice.pick(&[0, 10, 300]);
            }
            _ => self.stale_outcome(dice),
        }
    }

    fn accept_flow(&mut self, dice: &mut Dice) {
        let record = match dice.below(5) {
            0 => flow(),
            1 => flow_of(""),
            2 => flow_of("a"),
            3 => flow_of("a b"),
            _ => flow_of("c a b"),
        };
        let record = FlowComplete {
            account: dice.pick(&[OURS, OURS, OURS, OURS, OTHER, STRANGER]),
            content: dice.pick(&[1, 1, 2]),
            ..record
        };
        let before = self.waiting();
        let events = self.play(&Command::AcceptFlow(Box::new(record), source(0)));
        let heads = events.iter().filter(|event| {
            matches!(
                event,
                Event::FlowAccepted(_)
                    | Event::FlowSilenced { .. }
                    | Event::RecordIgnored(IgnoredRecord { waited: false, .. })
                    | Event::RecordDeadLettered { .. }
            )
        });
        assert_eq!(heads.count(), 1, "a flow record has one fate: {events:?}");
        let opened =
            matches!(events.first(), Some(Event::FlowAccepted(_) | Event::FlowSilenced { .. }));
        let settled = settled(&events);
        assert_eq!(
            settled,
            if opened { before } else { Vec::new() },
            "each waiting report ends once: {events:?}"
        );
    }

    fn accept_report(&mut self, dice: &mut Dice) {
        let account = dice.pick(&[OURS, OURS, OURS, OURS, OURS, OTHER, STRANGER]);
        let id = dice.pick(&["a", "b", "c", "x"]);
        let status = dice.pick(&["QUEUED", " sent ", "DELIVRD", "DELIVERED", "FAILED", "VANISHED"]);
        let report = Box::new(report_of(account, id, status));
        let events = self.play(&Command::AcceptReport(report, source(0)));
        let fates = events.iter().filter(|event| {
            matches!(
                event,
                Event::ReportAccepted { .. }
                    | Event::RecordIgnored(IgnoredRecord { waited: false, .. })
                    | Event::RecordDeadLettered { .. }
            )
        });
        assert_eq!(fates.count(), 1, "a report has one fate: {events:?}");
    }

    /// Ends an attempt of a delivery that is due, with a random outcome.
    fn end_attempt(&mut self, dice: &mut Dice) {
        let now = Timestamp::from_ms(self.now);
        let due = |due: Due| matches!(due, Due::At(at) if at <= now);
        let Some(row) = self.state.deliveries.iter().find(|row| due(row.due)) else { return };
        let verdict = dice.pick(&[Verdict::Delivered, Verdict::Retry, Verdict::GiveUp]);
        let value = dice.pick(&["1", "2"]);
        self.end(row.id, row.attempts + 1, verdict, value);
    }

    /// Ends an attempt. The answer of a success gives `value` to the variable on which conditions depend.
    fn end(&mut self, delivery: DeliveryId, attempt: u32, verdict: Verdict, value: &str) {
        let mapped = vec![Mapped { save_in: setting::GIVEN.into(), value: value.into() }];
        let outcome = Outcome { mapped: mapped.into(), ..outcome(verdict, None) };
        let events = self.play(&Command::RecordOutcome { delivery, attempt, outcome });
        assert!(!events.is_empty());
    }

    fn stale_outcome(&mut self, dice: &mut Dice) {
        let known: Vec<DeliveryId> = self.life.scheduled.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let delivery = dice.pick(&known);
        let made = self.state.delivery(delivery).map_or(0, |row| row.attempts);
        let attempt = dice.pick(&[made, made + 2]);
        let before = self.state.clone();
        let outcome = outcome(Verdict::Delivered, None);
        let events = self.play(&Command::RecordOutcome { delivery, attempt, outcome });
        assert!(
            events.is_empty() && self.state == before,
            "a stale outcome changes nothing: {events:?}"
        );
    }

    /// Replays one of the dead letters so far. It may be from an earlier life of the uuid.
    fn replay(&mut self, dice: &mut Dice) {
        if self.letters.is_empty() {
            return;
        }
        let index = usize::try_from(dice.below(self.letters.len() as u64)).unwrap();
        let letter = self.letters[index].clone();
        let before = self.state.clone();
        let events = self.play(&Command::Replay(Box::new(letter.clone())));
        if before.delivery(letter.id).is_some() {
            assert!(
                events.is_empty() && self.state == before,
                "the delivery is in the outbox already: {events:?}"
            );
            return;
        }
        let revived = events.iter().filter(|event| matches!(event, Event::Replayed { .. }));
        assert_eq!(revived.count(), 1, "a replay is one event, beside those of rules: {events:?}");
        let Some(row) = self.state.delivery(letter.id) else {
            let is_again = |event: &Event| event.ended().is_some_and(|it| it.id == letter.id);
            assert!(
                events.iter().any(is_again),
                "it can't be rendered, and is a dead letter again"
            );
            return;
        };
        assert_eq!((row.attempts, row.replays), (0, letter.replays + 1));
        assert_eq!(row.webhook, letter.webhook);
        assert_eq!(row.sms, letter.sms, "a replay is about the same SMS");
        if !matches!(letter.rendering, Rendering::Pending(_)) {
            assert_eq!(row.body, letter.body);
        }
    }

    fn fire(&mut self) {
        let expired: Vec<_> = self.expired();
        let events = self.play(&Command::FireTimer(uuid()));
        assert_eq!(
            dead_lettered_sms(&events),
            expired,
            "each expired report becomes a dead letter once: {events:?}"
        );
        let now = Timestamp::from_ms(self.now);
        assert!(
            self.state.timer().is_none_or(|due| due > now),
            "the timer is still due after it fired"
        );
    }

    fn play(&mut self, command: &Command) -> Vec<Event> {
        let now = Timestamp::from_ms(self.now);
        let events = decide(&self.state, command, &self.policy, now);
        for event in &events {
            let is_open = matches!(self.state.correlation, Correlation::Open(_));
            self.life.observe(event, is_open);
            self.state = evolve(std::mem::take(&mut self.state), event);
            if let Event::DeadLettered { delivery, .. } = event {
                self.letters.push(delivery.as_ref().clone());
            }
            if *event == Event::MarkerExpired {
                let rows = &self.state.deliveries;
                let is_left =
                    |row: &Delivery| row.replays > 0 || self.life.revived.contains(&row.id);
                assert!(
                    rows.iter().all(is_left),
                    "a forgotten uuid has only replays and what follows them left"
                );
                assert_eq!(self.state.correlation, Correlation::Unknown);
                let revived = rows.iter().map(|row| row.id).collect();
                self.life = Life { revived, ..Life::default() };
            }
        }
        if self.state.is_empty() {
            self.life = Life::default();
        }
        assert_eq!(self.fates.decided(&events, &self.state), [""; 0], "{events:?}");
        self.history.extend(events.iter().cloned());
        self.assert_state();
        events
    }

    fn assert_state(&self) {
        let rows = &self.state.deliveries;
        let pending = rows.iter().any(|row| row.phase == Phase::One);
        for row in rows {
            assert!(
                !self.life.ended.contains(&row.id),
                "a delivery that has ended is in the outbox"
            );
            let free = matches!(row.due, Due::At(_));
            if row.phase == Phase::Two
                && self.policy.correlation.phase2_order == Phase2Order::Strict
            {
                // A delivery that did not wait before phase 1 was replayed does not wait afterwards.
                let replays = rows.iter().any(|row| row.replays > 0);
                assert!(free || pending, "phase 2 waits without a phase 1");
                assert!(!free || !pending || replays, "strict phase 2 is due once phase 1 ended");
            }
        }
        let ids: BTreeSet<DeliveryId> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), rows.len(), "two rows have the same id");
        self.assert_waiting(&ids);
        let known = matches!(self.state.correlation, Correlation::Open(_));
        let is_left = |row: &Delivery| row.replays > 0 || self.life.revived.contains(&row.id);
        assert!(known || rows.iter().all(is_left), "a delivery outlives its correlation");
        if let Correlation::AwaitingFlow(reports) = &self.state.correlation {
            assert!(!reports.is_empty(), "a correlation without reports is stored");
        }
    }

    /// Checks that everything that waits for other deliveries waits for one that has not ended.
    fn assert_waiting(&self, rows: &BTreeSet<DeliveryId>) {
        let deferred: BTreeSet<DeliveryId> =
            self.state.deferred.iter().map(|rule| rule.delivery.id).collect();
        assert_eq!(deferred.len(), self.state.deferred.len(), "a rule waits twice");
        let rules = self.state.deferred.iter().map(|rule| rule.after());
        let pending = self.state.deliveries.iter().filter_map(|row| match &row.rendering {
            Rendering::Pending(pending) if row.due == Due::Waiting => Some(&pending.after[..]),
            Rendering::Pending(_) | Rendering::Fixed | Rendering::Done(_) => None,
        });
        for after in rules.chain(pending) {
            let left = after.iter().any(|id| rows.contains(id) || deferred.contains(id));
            assert!(left, "something waits for what has ended: {:?}", self.state);
        }
        assert!(deferred.is_empty() || !rows.is_empty(), "a rule waits for ever");
    }

    fn waiting(&self) -> Vec<SmsId> {
        self.waiting_where(|_| true)
    }

    fn expired(&self) -> Vec<SmsId> {
        let now = Timestamp::from_ms(self.now);
        self.waiting_where(|expires_at| expires_at.is_some_and(|at| at <= now))
    }

    fn waiting_where(&self, which: impl Fn(Option<Timestamp>) -> bool) -> Vec<SmsId> {
        let Correlation::AwaitingFlow(reports) = &self.state.correlation else { return Vec::new() };
        let reports = reports.iter().filter(|report| which(report.expires_at));
        let mut waiting: Vec<SmsId> = reports.map(|report| report.sms.clone()).collect();
        waiting.sort();
        waiting
    }

    /// Lets time pass until the state is empty, within a limited number of steps.
    fn drain(&mut self) {
        for _ in 0..100 {
            if self.state.is_empty() {
                assert!(self.state.deferred.is_empty(), "a rule outlives its deliveries");
                let replayed = self.history.iter().fold(State::default(), evolve);
                assert_eq!(
                    replayed, self.state,
                    "the events lead to another state when they are applied again"
                );
                return;
            }
            let row = self.state.deliveries.iter().find(|row| row.due != Due::Waiting);
            if let Some((id, attempt)) = row.map(|row| (row.id, row.attempts + 1)) {
                self.end(id, attempt, Verdict::Delivered, "1");
            } else {
                let timer = self.state.timer().unwrap_or_else(|| {
                    panic!(
                        "the state has neither a delivery that is due nor a timer: {:?}",
                        self.state
                    )
                });
                self.now = self.now.max(timer.as_ms());
                self.fire();
            }
            let replayed = self.history.iter().fold(State::default(), evolve);
            assert_eq!(
                replayed, self.state,
                "the events lead to another state when they are applied again"
            );
        }
        panic!("the state is never empty: {:?}", self.state);
    }
}

/// Returns the SMS of the reports that stopped waiting for their flow, once each.
fn settled(events: &[Event]) -> Vec<SmsId> {
    let owner = events.iter().find_map(|event| {
        let Event::FlowAccepted(flow) = event else { return None };
        Some(flow.identity.account)
    });
    let mut settled: Vec<SmsId> = Vec::new();
    for event in events {
        if let Event::ReportAdopted { sms } = event {
            settled.push(sms.clone());
        } else if let Event::RecordIgnored(IgnoredRecord {
            waited: true,
            sms: Some(sms),
            account,
            ..
        }) = event
        {
            // A report that the flow has adopted is counted already, and may be ignored later.
            let adopted = Event::ReportAdopted { sms: sms.clone() };
            if owner != Some(*account) || !events.contains(&adopted) {
                settled.push(sms.clone());
            }
        }
    }
    settled.sort();
    settled
}

/// Returns the SMS of the reports whose flow never came.
fn dead_lettered_sms(events: &[Event]) -> Vec<SmsId> {
    let mut dead_lettered_sms: Vec<SmsId> = Vec::new();
    for event in events {
        if let Event::RecordDeadLettered { record, .. } = event {
            dead_lettered_sms.extend(record.sms.clone());
        }
    }
    dead_lettered_sms.sort();
    dead_lettered_sms
}

impl Life {
    /// Checks an event that happens while the flow is open, or before or after.
    fn observe(&mut self, event: &Event, is_open: bool) {
        if let Event::FlowAccepted(_) = event {
            assert!(!std::mem::replace(&mut self.accepted, true), "a second flow is accepted");
        } else if let Event::CollectionClosed(_) = event {
            assert!(!std::mem::replace(&mut self.closed, true), "the collection is closed twice");
        } else if let Event::DeliveryScheduled { delivery, sms } = event {
            assert!(
                !self.scheduled.values().any(|p| (*p, delivery.phase) == (Phase::One, Phase::One))
            );
            if !is_open {
                assert_eq!(delivery.phase, Phase::Rule, "only rules follow a replay");
                assert!(self.revived.insert(delivery.id), "an id is scheduled twice");
                return;
            }
            let before = self.scheduled.insert(delivery.id, delivery.phase);
            assert_eq!(before, None, "an id is scheduled twice");
            match delivery.phase {
                Phase::One => assert!(sms.is_empty(), "phase 1 carries no report"),
                Phase::Two => assert!(!sms.is_empty(), "phase 2 carries reports"),
                Phase::Rule => {}
            }
            // The reports of a replay, and those that are missing at the time-out, belong to no delivery of a rule.
            let is_about = delivery.sms == *sms || delivery.phase == Phase::Rule && sms.is_empty();
            assert!(is_about, "a delivery is about the SMS whose reports it sends");
            self.about.insert(delivery.id, delivery.sms.clone());
            for sms in sms.iter().filter(|_| delivery.phase == Phase::Two) {
                assert!(self.reported.insert(sms.clone()), "phase 2 of {sms} is scheduled twice");
            }
        } else if let Event::Replayed { delivery } = event {
            // The dead letter may be of an earlier life, in which a rule's delivery was about other SMS.
            self.about.insert(delivery.id, delivery.sms.clone());
            if !self.ended.remove(&delivery.id) {
                assert!(self.revived.insert(delivery.id), "a delivery in the outbox was replayed");
            }
        } else if let Event::Delivered { delivery, .. } | Event::DeadLettered { delivery, .. } =
            event
        {
            if self.revived.remove(&delivery.id) {
                return;
            }
            assert!(
                self.scheduled.contains_key(&delivery.id),
                "a delivery ended that was never scheduled"
            );
            assert!(self.ended.insert(delivery.id), "a delivery ended twice");
            assert_eq!(
                delivery.sms, self.about[&delivery.id],
                "a delivery that ended names its SMS, whatever happened to the reports"
            );
        } else if let Event::MarkerKept { .. } = event {
            assert_eq!(
                self.ended.len(),
                self.scheduled.len(),
                "the correlation ended before all deliveries"
            );
        }
    }
}
