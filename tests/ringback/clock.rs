//! The system's clock jumps while deliveries wait: no delivery is late, and none becomes a dead letter early.

use crate::harness::PATIENCE;
use crate::harness::clock::Clock;
use crate::harness::daemon::Daemon;
use crate::harness::receiver::{Received, now_ms};
use crate::harness::samples::flow;
use crate::harness::stage::Stage;
use std::time::Duration;

const HOUR_S: i64 = 3600;
const RETRY_MS: u128 = 4000;
const JUMPS: &str = "ringback_clock_jumps_total";

/// A stage whose daemons have a clock that can be set.
struct Scene {
    stage: Stage,
    clock: Clock,
}

impl Scene {
    /// Creates a stage whose receiver fails twice and then accepts every request. Retries come every four seconds.
    fn new(name: &str) -> Self {
        let mut stage = Stage::new(name);
        stage.receiver.statuses(&[500, 500, 200]);
        let retry_ms = i64::try_from(RETRY_MS).expect("small");
        stage.set("delivery.retry.initial_interval_ms", retry_ms);
        stage.set("delivery.retry.interval_max_ms", retry_ms);
        stage.set("delivery.age_max_s", 120);
        let clock = Clock::of(&mut stage);
        Self { stage, clock }
    }

    /// Starts the daemon, sends a flow and waits for the first failed attempt.
    fn fail_once(&self) -> Daemon {
        let daemon = self.stage.start();
        self.stage.send_flows(&[flow("waits", &[])]);
        let mut events = self.stage.events();
        events.wait("a failed attempt", PATIENCE, |events| {
            events.iter().any(|event| event.json()["type"] == "attempt_failed")
        });
        daemon
    }

    /// Panics unless the third attempt succeeds in time and there is no dead letter. An attempt may be late by
    /// `restart_ms`, the duration of a restart.
    #[track_caller]
    fn assert_delivered_in_time(&self, restart_ms: u128) -> Vec<Received> {
        let requests = self.stage.receiver.wait_for(3, Duration::from_secs(60));
        for pair in requests.windows(2) {
            let waited_ms = pair[1].at_ms - pair[0].at_ms;
            let range = RETRY_MS * 98 / 100..RETRY_MS * 3 + restart_ms;
            assert!(range.contains(&waited_ms), "{waited_ms} ms between two attempts");
        }
        let mut events = self.stage.events();
        let types = events.wait("the delivery's end", PATIENCE, |events| {
            events.iter().any(|event| event.json()["type"] == "correlation_ended")
        });
        let types: Vec<String> =
            types.iter().map(|event| event.json()["type"].to_string()).collect();
        assert!(!types.iter().any(|one| one.contains("dead_letter")), "{types:?}");
        requests
    }
}

#[track_caller]
fn assert_timestamp(request: &Received, ahead_s: i64) {
    let said: i64 = request.header("webhook-timestamp").parse().expect("seconds");
    let real = i64::try_from(now_ms() / 1000).expect("small");
    assert!((said - real - ahead_s).abs() < 60, "{said} is not {ahead_s} s ahead of {real}");
}

/// Sets the clock off by `by_s` seconds while a retry waits, and back while the next retry waits.
fn jumps(name: &str, by_s: i64, there: &str, back: &str) {
    let scene = Scene::new(name);
    let mut daemon = scene.fail_once();
    scene.clock.set(by_s);
    scene.stage.receiver.wait_for(2, Duration::from_secs(20));
    assert_eq!(daemon.metric(JUMPS, &[("direction", there)]), Some(1.0));
    assert_eq!(daemon.metric(JUMPS, &[("direction", back)]), Some(0.0));
    scene.clock.set(0);
    let requests = scene.assert_delivered_in_time(0);
    assert_eq!(daemon.metric(JUMPS, &[("direction", there)]), Some(1.0));
    assert_eq!(daemon.metric(JUMPS, &[("direction", back)]), Some(1.0));
    // The header follows the system's clock, because a receiver compares it with its own clock.
    assert_timestamp(&requests[0], 0);
    assert_timestamp(&requests[1], by_s);
    assert_timestamp(&requests[2], 0);
    daemon.stop();
    let logged = daemon.logged();
    assert_eq!(logged.matches("clock has jumped").count(), 2, "{logged}");
    scene.stage.verify();
}

#[test]
fn retries_go_on_when_the_clock_is_set_back_by_two_hours() {
    jumps("clock-back", -2 * HOUR_S, "backward", "forward");
}

#[test]
fn no_delivery_expires_when_the_clock_is_set_forward_by_two_days() {
    jumps("clock-forward", 48 * HOUR_S, "forward", "backward");
}

#[test]
fn retries_go_on_when_the_clock_was_set_back_before_a_restart() {
    let scene = Scene::new("clock-restart");
    let mut daemon = scene.fail_once();
    daemon.kill();
    scene.clock.set(-2 * HOUR_S);
    let mut daemon = scene.stage.start();
    let requests = scene.assert_delivered_in_time(30_000);
    assert_timestamp(&requests[2], -2 * HOUR_S);
    assert_eq!(daemon.metric(JUMPS, &[("direction", "backward")]), Some(1.0));
    assert!(daemon.logged().contains("the state was committed later than the clock says"));
    daemon.stop();
    scene.stage.verify();
}
