//! Tests that a shortage of the daemon itself slows the instance, and no lane.

use super::*;
use crate::delivery::brake::ShortageNote;
use crate::delivery::shortage::Shortage;

/// Puts back a job that the daemon could not send.
fn put_back(scene: &mut Scene, ticket: Ticket) {
    scene.schedule.put_back(ticket, Shortage::OpenFiles, scene.now);
    scene.schedule.unsettled.settle();
}

#[test]
fn a_shortage_slows_the_instance_and_does_not_count_against_the_endpoint() {
    let mut scene = Scene::new(limits(64), vec![webhook("a", None, 32)], None);
    scene.prove(&["a"], 32);
    scene.push("a", 1, 100);
    let tickets = scene.all();
    let unanswered = tickets.len();
    assert!(unanswered >= 16 && !tickets[0].is_careful, "{unanswered}");
    let before = scene.demand("a");
    for ticket in tickets {
        put_back(&mut scene, ticket);
    }
    assert_eq!(scene.schedule.returned.len(), unanswered, "all of them are returned");
    assert!(scene.schedule.changes.is_empty(), "the breaker would open at 4 failures");
    assert_eq!(scene.demand("a"), before, "the endpoint's limits are unchanged");
    let kinds = |scene: &mut Scene| std::mem::take(&mut scene.schedule.notes);
    let notes = kinds(&mut scene);
    assert_eq!(notes[0], ShortageNote::Began(Shortage::OpenFiles));
    let put_back_notes = vec![ShortageNote::PutBack(Shortage::OpenFiles); unanswered];
    assert_eq!(notes[1..], put_back_notes);
    assert!(scene.all().is_empty(), "nothing is sent during the pause");
    scene.now += 50 * MS;
    scene.schedule.wake(scene.now);
    let fewer = scene.all();
    assert_eq!(fewer.len(), (unanswered - 1) / 2, "fewer are in flight");
    assert!(!fewer[0].is_careful && fewer[1..].iter().all(|ticket| ticket.is_careful));
    for ticket in &fewer {
        scene.end(ticket, &outcome(Some(200)));
    }
    scene.schedule.take_back();
    assert!(kinds(&mut scene).is_empty());
    scene.now += 5000 * MS;
    assert!(scene.schedule.alarm().is_some_and(|at| at <= scene.now), "the alarm ends the pause");
    scene.schedule.wake(scene.now);
    assert_eq!(kinds(&mut scene), [ShortageNote::Ended(unanswered as u64)]);
    assert_eq!(scene.schedule.alarm(), None);
    scene.push("a", 1, 100);
    assert!(scene.all().len() >= unanswered, "as many as before");
}

#[test]
fn a_probe_that_could_not_be_sent_is_repeated() {
    let mut scene = Scene::new(limits(64), vec![webhook("a", None, 8)], None);
    scene.prove(&["a"], 4);
    for _ in 0..20 {
        scene.push("a", 1, 1);
        for ticket in scene.all() {
            scene.end(&ticket, &outcome(Some(500)));
        }
    }
    assert_eq!(scene.schedule.breakers()[0].1, BreakerState::Open);
    scene.now += 30_000 * MS;
    assert!(matches!(scene.demand("a"), Demand::Jobs { most: 1, .. }));
    scene.push("a", 2, 1);
    let probe = scene.all().pop().unwrap();
    put_back(&mut scene, probe);
    scene.now += 1000 * MS;
    scene.schedule.wake(scene.now);
    scene.push("a", 2, 1);
    let probe = scene.all();
    assert_eq!(probe.len(), 1, "the breaker is half open and has a free probe");
    scene.end(&probe[0], &outcome(Some(200)));
    assert_eq!(scene.schedule.breakers(), [], "it is closed");
}

#[test]
fn a_shortage_outlasts_a_rebalance() {
    let mut scene = Scene::new(limits(64), vec![webhook("a", None, 1)], None);
    scene.push("a", 1, 4);
    let ticket = scene.all().pop().unwrap();
    put_back(&mut scene, ticket);
    scene.schedule.set_share(0.5, scene.now);
    assert!(scene.all().is_empty());
    scene.now = scene.schedule.alarm().unwrap();
    scene.schedule.wake(scene.now);
    assert_eq!(scene.all().len(), 1, "waiting jobs leave");
}

#[test]
fn a_shortage_of_ports_holds_only_its_lane() {
    let webhooks = ["a", "b"].map(|name| webhook(name, None, 8));
    let mut scene = Scene::new(limits(64), webhooks.into(), None);
    scene.prove(&["a", "b"], 4);
    scene.push("a", 1, 8);
    let mut tickets = scene.all();
    let one = tickets.pop().unwrap();
    scene.schedule.put_back(one, Shortage::Ports, scene.now);
    scene.schedule.unsettled.settle();
    assert!(matches!(scene.demand("a"), Demand::Held(_)));
    assert!(!scene.schedule.returned.is_empty(), "waiting jobs are returned");
    scene.push("b", 1, 4);
    assert_eq!(of(&scene.all(), "b").count(), 4, "another endpoint is not affected");
    scene.now += 1000 * MS;
    assert!(matches!(scene.demand("a"), Demand::Jobs { .. }));
}
