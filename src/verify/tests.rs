//! Correct histories have no violation, and each kind of damage is found and named.

mod damage;
mod inputs;
mod items;
mod large;
mod random;
mod received;
mod reports;
mod scan;
mod stores;
mod unseen;
mod world;

use super::What;
use crate::domain::{
    Command, DeliveryId, Outcome, Phase2Order, PhononUuid, SmsId, Verdict, WebhookName,
};
use bytes::Bytes;
use world::{OTHER, OURS, STRANGER, Said, World, flow, report, time, uuid};

fn outcome(verdict: Verdict, status: u16) -> Outcome {
    Outcome {
        verdict,
        status: Some(status),
        duration_ms: 5,
        response: Bytes::new(),
        response_truncated: false,
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        reason: None,
        error: None,
    }
}

fn id(of: &str, phase: u8, sms: &[&str]) -> DeliveryId {
    let sms: Vec<SmsId> = sms.iter().filter_map(|id| SmsId::new(id)).collect();
    DeliveryId::derive(&uuid(of), phase, &sms)
}

impl World {
    fn flow(&mut self, of: &str, sms: &[&str]) {
        self.say(&Said::Flow(flow(&uuid(of), OURS, Some(sms))), false);
    }

    fn report(&mut self, of: &str, sms: &str, status: &str) {
        self.say(&Said::Report(report(&uuid(of), OURS, sms, status)), false);
    }

    fn attempt(&mut self, of: &str, delivery: DeliveryId, verdict: Verdict) {
        self.now = self.now.plus_ms(1);
        let made = self.state(&uuid(of)).delivery(delivery).map_or(0, |row| row.attempts);
        let outcome = outcome(verdict, if verdict == Verdict::Delivered { 200 } else { 500 });
        let command = Command::RecordOutcome { delivery, attempt: made + 1, outcome };
        assert!(self.tick(&uuid(of), &command) > 0, "{of}: nothing came of it");
    }

    fn fire(&mut self, of: &PhononUuid) {
        self.now = self.now.max(self.state(of).timer().unwrap());
        assert!(self.tick(of, &Command::FireTimer(of.clone())) > 0);
    }
}

impl World {
    /// Fires all timers that are due.
    fn fire_all(&mut self) {
        let uuids: Vec<PhononUuid> = self.states.keys().cloned().collect();
        for of in uuids {
            if self.state(&of).timer().is_some_and(|due| due <= self.now) {
                self.fire(&of);
            }
        }
    }
}

/// Creates a world in which uuids go through everything that can happen to one.
fn story() -> World {
    let mut world = World::new();
    let mut next = 0;
    let mut later = |world: &mut World| {
        next += 1;
        world.now = world.now.max(time(next));
    };
    // Reports wait, and their flow never comes.
    world.report("missing", "a", "SENT");
    world.report("missing", "a", "DELIVERED");
    world.report("missing", "b", "SENT");
    world.fire(&uuid("missing"));
    // Both phases are retried and delivered; then late records come, and the uuid is forgotten.
    world.flow("good", &["a"]);
    world.attempt("good", id("good", 1, &[]), Verdict::Retry);
    world.attempt("good", id("good", 1, &[]), Verdict::Retry);
    world.report("good", "a", "SENT");
    world.report("good", "a", "DELIVERED");
    world.flow("good", &["a"]);
    later(&mut world);
    world.attempt("good", id("good", 1, &[]), Verdict::Delivered);
    world.attempt("good", id("good", 2, &["a"]), Verdict::Delivered);
    world.report("good", "a", "FAILED");
    world.flow("good", &["a"]);
    world.fire(&uuid("good"));
    // A delivery becomes a dead letter, is replayed, and is delivered.
    world.flow("replayed", &[]);
    for _ in 0..3 {
        world.attempt("replayed", id("replayed", 1, &[]), Verdict::Retry);
    }
    let letters = world.delivery_letters();
    world.replay(letters.last().unwrap());
    world.replay(letters.last().unwrap());
    world.attempt("replayed", id("replayed", 1, &[]), Verdict::Delivered);
    // A report waits for a flow that sends nothing.
    world.policy.accounts.get_mut(&OTHER).unwrap().webhook_enabled = Some(false);
    world.say(&Said::Report(report(&uuid("silent"), OTHER, "a", "SENT")), false);
    world.say(&Said::Flow(flow(&uuid("silent"), OTHER, None)), false);
    world.say(&Said::Report(report(&uuid("silent"), OTHER, "a", "DELIVERED")), false);
    // A record of an unknown account, and one that can't be decoded.
    world.say(&Said::Flow(flow(&uuid("strange"), STRANGER, None)), false);
    world.say(&Said::Bad, false);
    // Records are in the wrong partition, and the reports time out.
    world.say(&Said::Flow(flow(&uuid("astray"), OURS, Some(&["a", "b"]))), true);
    world.say(&Said::Report(report(&uuid("astray"), OURS, "a", "DELIVERED")), true);
    world.attempt("astray", id("astray", 1, &[]), Verdict::GiveUp);
    world.fire(&uuid("astray"));
    world.fire_all();
    // These are not finished: phase 2 waits for phase 1, which is retried; another delivery is due; reports wait.
    world.report("pending", "a", "DELIVERED");
    world.say(&Said::Report(report(&uuid("pending"), OTHER, "a", "DELIVERED")), false);
    world.flow("pending", &["a"]);
    world.attempt("pending", id("pending", 1, &[]), Verdict::Retry);
    world.flow("due", &["a"]);
    world.report("due", "a", "DELIVERED");
    world.attempt("due", id("due", 1, &[]), Verdict::Delivered);
    world.flow("waits", &["a"]);
    world.report("awaiting", "a", "SENT");
    world.report("awaiting", "b", "SENT");
    world
}

#[test]
fn a_correct_history_has_no_violation() {
    let world = story();
    let report = world.verify(&world.options());
    assert_eq!(report.violations, []);
    let counts = report.counts;
    assert_eq!((counts.given_up, counts.replayed, counts.unread, counts.moving), (2, 1, 0, 0));
    assert!(counts.records > 25 && counts.rows >= 5 && counts.scattered == 0, "{counts:?}");
    // Nothing was due yet, and everything was read.
    assert_eq!(world.verify(&world.at_rest()).violations, []);
}

#[test]
fn changed_rules_cause_no_violation() {
    let mut world = World::new();
    world.flow("u", &["a"]);
    world.policy.correlation.phase2_order = Phase2Order::Independent;
    world.report("u", "a", "DELIVERED");
    world.attempt("u", id("u", 2, &["a"]), Verdict::Delivered);
    world.policy.accounts.get_mut(&OURS).unwrap().default_webhook = WebhookName::new("new");
    world.attempt("u", id("u", 1, &[]), Verdict::GiveUp);
    let letters = world.delivery_letters();
    world.replay(&letters[0]);
    assert_eq!(world.verify(&world.options()).violations, []);
}

/// After the uuid is forgotten, its flow comes again as a new execution, with deliveries of the same ids.
#[test]
fn deliveries_replayed_for_a_forgotten_uuid_may_be_scheduled_again() {
    let mut world = World::new();
    let (one, two) = (id("u", 1, &[]), id("u", 2, &["a"]));
    world.flow("u", &["a"]);
    world.report("u", "a", "DELIVERED");
    world.attempt("u", one, Verdict::GiveUp);
    world.attempt("u", two, Verdict::GiveUp);
    world.fire(&uuid("u"));
    let letters = world.delivery_letters();
    world.replay(letters.last().unwrap());
    world.flow("u", &["a"]);
    world.attempt("u", two, Verdict::GiveUp);
    world.attempt("u", one, Verdict::Delivered);
    world.report("u", "a", "DELIVERED");
    world.attempt("u", two, Verdict::Delivered);
    assert_eq!(world.verify(&world.at_rest()).violations, []);
}

/// Panics unless `damage` to the story is reported as the violation `what` of the uuid `of`.
#[track_caller]
fn check(what: What, of: &str, damage: impl FnOnce(&mut World)) {
    let mut world = story();
    damage(&mut world);
    check_in(&world, what, of);
}

#[track_caller]
fn check_in(world: &World, what: What, of: &str) {
    let report = world.verify(&world.at_rest());
    let reported =
        |v: &&super::Violation| v.what == what && v.uuid.as_deref().unwrap_or_default() == of;
    assert!(
        report.violations.iter().any(|v| reported(&v)),
        "{what:?} of {of}: {:#?}",
        report.violations
    );
}
