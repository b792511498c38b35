//! Tests of the states that the metrics show.

use super::{Scene, limits, name, outcome, per_second, webhook};
use crate::delivery::{InstanceLimits, LaneState, Obstacle};
use std::time::Duration;

/// Returns the state of the lane `crm` once its jobs have been asked for.
fn state(scene: &Scene) -> LaneState {
    scene.schedule.states(scene.now).get(&name("crm")).copied().unwrap_or_default()
}

#[test]
fn a_lane_that_lacks_a_token_of_itself_its_account_or_the_instance_is_rate_limited() {
    for (own, account, instance) in
        [(Some(1), None, None), (None, Some(1), None), (None, None, Some(1))]
    {
        let limits = InstanceLimits { rate_per_second: instance.map(per_second), ..limits(100) };
        let mut scene = Scene::new(limits, vec![webhook("crm", own, 32)], account);
        assert_eq!(state(&scene), LaneState::default(), "it is at rest");
        scene.push("crm", 1, 5);
        drop(scene.all());
        let obstacle = state(&scene).obstacle;
        assert_eq!(obstacle, Some(Obstacle::RateLimit), "{own:?} {account:?} {instance:?}");
    }
}

#[test]
fn a_lane_without_an_obstacle_shows_its_unanswered_requests() {
    let mut scene = Scene::new(limits(100), vec![webhook("crm", None, 32)], None);
    scene.push("crm", 1, 1);
    let tickets = scene.all();
    assert_eq!(state(&scene), LaneState { in_flight: 1, obstacle: None });
    scene.end(&tickets[0], &outcome(Some(200)));
    assert_eq!(state(&scene), LaneState::default());
}

#[test]
fn a_pause_and_an_open_breaker_are_different_obstacles() {
    let mut scene = Scene::new(limits(100), vec![webhook("crm", None, 32)], None);
    scene.schedule.hold(&name("crm"), Duration::from_secs(60), scene.now);
    assert_eq!(state(&scene).obstacle, Some(Obstacle::Hold));
    scene.now += Duration::from_secs(61);
    assert_eq!(state(&scene).obstacle, None, "the pause is over");
    for _ in 0..4 {
        scene.push("crm", 1, 1);
        for ticket in scene.all() {
            scene.end(&ticket, &outcome(Some(500)));
        }
    }
    assert_eq!(state(&scene).obstacle, Some(Obstacle::Breaker));
}
