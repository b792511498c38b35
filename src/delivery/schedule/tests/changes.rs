//! Tests of changes of a few webhooks.

use super::*;
use crate::delivery::LaneChanges;

#[test]
fn a_change_concerns_only_its_own_lanes() {
    let mut scene =
        Scene::new(limits(100), vec![webhook("a", None, 8), webhook("b", None, 8)], None);
    scene.prove(&["a", "b"], 4);
    scene.push("a", 1, 6);
    scene.push("b", 1, 6);
    assert_eq!(scene.all().len(), 8);
    scene.schedule.returned.clear();
    let changes = LaneChanges {
        endpoints: vec![(name("b"), None), (name("c"), Some(endpoint(webhook("c", None, 8))))],
        account_rates: Vec::new(),
    };
    scene.schedule.change(changes, scene.now);
    assert_eq!(scene.schedule.returned.len(), 2, "the jobs of the removed lane go back");
    assert_eq!(scene.demand("b"), Demand::Unconfigured);
    assert!(matches!(scene.demand("c"), Demand::Jobs { .. }));
    let Demand::Jobs { first, .. } = scene.demand("a") else { panic!("a works") };
    assert_eq!(first, 4, "the other lane keeps what it has learnt");
    assert_eq!(scene.schedule.breakers(), []);
}

#[test]
fn a_changed_endpoint_keeps_its_lanes_breaker_and_gets_the_next_attempts() {
    let mut scene = Scene::new(limits(100), vec![webhook("a", None, 8)], None);
    scene.prove(&["a"], 4);
    let moved = endpoint(Webhook {
        url: "https://moved.example.com/".parse().unwrap(),
        ..webhook("a", None, 8)
    });
    let changes = LaneChanges {
        endpoints: vec![(name("a"), Some(moved.clone()))],
        account_rates: Vec::new(),
    };
    scene.schedule.change(changes, scene.now);
    scene.push("a", 1, 1);
    let ticket = scene.all().remove(0);
    assert!(Arc::ptr_eq(&ticket.endpoint, &moved));
    assert!(scene.schedule.endpoint(&name("a")).is_some_and(|it| Arc::ptr_eq(it, &moved)));
}

#[test]
fn the_rate_of_an_account_is_set_changed_and_removed() {
    let mut scene = Scene::new(limits(100), vec![webhook("a", None, 8)], None);
    scene.prove(&["a"], 8);
    let set = |scene: &mut Scene, rate: Option<u32>| {
        let account_rates = vec![(ACCOUNT, rate.map(per_second))];
        let changes = LaneChanges { endpoints: Vec::new(), account_rates };
        scene.schedule.change(changes, scene.now);
        scene.schedule.take_back_of(&name("a"));
        scene.push("a", 1, 500);
        scene.run(Duration::from_secs(2), 200)["a"]
    };
    let limited = set(&mut scene, Some(10));
    assert!((18..=22).contains(&limited), "{limited}");
    assert_eq!(set(&mut scene, None), 500, "without a limit, all leave");
}
