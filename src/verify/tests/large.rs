//! A delivery or flow that is too large for its row becomes a dead letter, and that is no violation.

use super::id;
use super::world::{OURS, Said, World, flow, report, time, uuid};
use crate::domain::{FlowComplete, Phase2Wait, PhononUuid, Verdict};
use bytes::Bytes;

/// Returns a flow with keys of 2.5 MiB, which each of its webhooks contains.
fn large(of: &PhononUuid, sms: &[&str]) -> Said {
    let body = Bytes::from(format!("{{\"keys\":[\"{}\"]}}", "k".repeat(5 << 19)));
    let keys = 8..body.len() - 1;
    Said::Flow(FlowComplete { body, keys, ..flow(of, OURS, Some(sms)) })
}

#[test]
fn a_flow_and_a_replay_without_room_are_no_violation() {
    let of = uuid("large");
    let mut world = World::new();
    world.policy.correlation.phase2_wait = Phase2Wait::Each;
    world.policy.accounts.get_mut(&OURS).unwrap().attach_flow_keys = true;
    world.say(&large(&of, &["a", "b", "c", "d", "e"]), false);
    assert!(world.state(&of).is_empty(), "five are too many");
    world.say(&large(&of, &["a"]), false);
    world.attempt("large", id("large", 1, &[]), Verdict::Delivered);
    world.say(&Said::Report(report(&of, OURS, "a", "DELIVERED")), false);
    world.attempt("large", id("large", 2, &["a"]), Verdict::GiveUp);
    world.fire(&of);
    // The uuid is forgotten, and comes again with other SMS.
    world.now = world.now.max(time(1000));
    world.say(&large(&of, &["e", "f", "g", "h"]), true);
    let before = world.state(&of);
    let letters = world.delivery_letters();
    world.replay(letters.last().unwrap());
    assert_eq!(world.state(&of), before, "there is no room");
    let newer = world.delivery_letters();
    assert_eq!(newer.len(), letters.len() + 1);
    assert_eq!(newer.last().unwrap().header("ringback.reason"), Some("invalid_request"));
    assert_eq!(world.verify(&world.options()).violations, []);
    // Once there is room, the newer letter is sent.
    world.attempt("large", id("large", 1, &[]), Verdict::Delivered);
    world.fire(&of);
    world.fire(&of);
    world.replay(newer.last().unwrap());
    world.attempt("large", id("large", 2, &["a"]), Verdict::Delivered);
    let at_rest = world.at_rest();
    assert_eq!(world.verify(&at_rest).violations, []);
}
