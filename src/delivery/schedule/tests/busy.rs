//! Tests of endpoints that are busy and do not say for how long.

use super::*;

fn asks(status: u16, ms: Option<u64>) -> Outcome {
    Outcome { retry_after_ms: ms, ..outcome(Some(status)) }
}

fn held(scene: &mut Scene) -> Option<Duration> {
    match scene.demand("a") {
        Demand::Held(time) => Some(time),
        Demand::Jobs { .. } | Demand::Unconfigured => None,
    }
}

/// Returns how many first attempts the lane may start, or 0 while it is held.
fn limit(scene: &mut Scene) -> usize {
    match scene.demand("a") {
        Demand::Jobs { first, .. } => first,
        Demand::Held(_) | Demand::Unconfigured => 0,
    }
}

fn scene() -> Scene {
    let breaker = BreakerPolicy { attempts_min: 1_000_000, ..webhook("a", None, 32).breaker };
    let webhook = Webhook { breaker, ..webhook("a", None, 32) };
    let mut scene = Scene::new(limits(1024), vec![webhook], None);
    scene.prove(&["a"], 32);
    scene
}

#[test]
fn a_429_without_a_time_halves_the_lane_and_holds_it_for_the_rows_own_interval() {
    for without in [None, Some(0)] {
        let mut scene = scene();
        scene.push("a", 1, 100);
        let tickets = scene.all();
        assert_eq!(tickets.len(), 32);
        for ticket in &tickets[..8] {
            scene.end(ticket, &asks(429, without));
            assert_eq!(held(&mut scene), Some(Duration::from_secs(5)));
        }
        assert_eq!(scene.schedule.returned.len(), 68, "waiting jobs are returned");
        for ticket in &tickets[8..] {
            scene.end(ticket, &outcome(Some(400)));
        }
        scene.now += Duration::from_secs(5);
        assert_eq!(limit(&mut scene), 16, "those that left together count once");
        // A row with two failed attempts has a longer interval, but the hold is limited.
        scene.schedule.reset(&name("a"), scene.now);
        scene.push("a", 2, 1);
        let ticket = scene.all().remove(0);
        scene.end(&ticket, &asks(429, without));
        assert_eq!(held(&mut scene), Some(Duration::from_secs(60)), "instead of 90");
        scene.now += Duration::from_secs(60);
        assert_eq!(limit(&mut scene), 8);
    }
}

#[test]
fn the_hold_is_no_longer_than_retry_after_may_be() {
    let limited = Webhook { retry_after_max: Duration::from_secs(2), ..webhook("a", None, 8) };
    let mut scene = Scene::new(limits(100), vec![limited], None);
    scene.push("a", 1, 1);
    let ticket = scene.all().remove(0);
    scene.end(&ticket, &asks(429, None));
    assert_eq!(held(&mut scene), Some(Duration::from_secs(2)));
}

#[test]
fn a_429_with_a_time_holds_the_lane_for_that_time() {
    let mut scene = scene();
    scene.push("a", 1, 100);
    let tickets = scene.all();
    scene.end(&tickets[0], &asks(429, Some(1000)));
    assert_eq!(held(&mut scene), Some(Duration::from_secs(1)));
    scene.now += Duration::from_secs(1);
    assert_eq!(limit(&mut scene), 32);
}

#[test]
fn a_503_without_a_time_halves_the_lane_and_three_in_a_row_hold_it() {
    let mut scene = scene();
    let answer = |scene: &mut Scene, status| {
        scene.push("a", 1, 1);
        let ticket = scene.all().remove(0);
        scene.end(&ticket, &asks(status, None));
    };
    // One of several servers behind the endpoint is being restarted.
    for _ in 0..3 {
        for status in [503, 503, 200] {
            answer(&mut scene, status);
            assert_eq!(held(&mut scene), None);
        }
    }
    assert_eq!(limit(&mut scene), 2, "one, and one more for the delivered attempt");
    for wanted in [None, None, Some(Duration::from_secs(5))] {
        answer(&mut scene, 503);
        assert_eq!(held(&mut scene), wanted);
    }
    scene.now += Duration::from_secs(5);
    answer(&mut scene, 503);
    assert_eq!(held(&mut scene), Some(Duration::from_secs(5)), "nothing has changed");
    scene.now += Duration::from_secs(5);
    answer(&mut scene, 200);
    assert_eq!(held(&mut scene), None);
    answer(&mut scene, 503);
    assert_eq!(held(&mut scene), Some(Duration::from_secs(5)), "the limiter is known");
    // A rate limiter would have accepted something by now. So the endpoint is down, which is the breaker's
    // responsibility.
    scene.now += Duration::from_secs(60);
    answer(&mut scene, 503);
    assert_eq!(held(&mut scene), None);
}

#[test]
fn a_token_server_that_is_busy_holds_the_lane_as_long_as_it_asks() {
    let mut scene = scene();
    let reason = Some(ErrorReason::AuthenticationFailure);
    let busy = Outcome { reason, retry_after_ms: Some(7000), ..outcome(None) };
    scene.push("a", 1, 1);
    let ticket = scene.all().remove(0);
    scene.end(&ticket, &busy);
    assert_eq!(held(&mut scene), Some(Duration::from_secs(7)));
}

/// A limiter accepts 20 requests a second and answers 429 or 503 to the others. No delivery of a burst is refused
/// often.
#[test]
fn a_burst_passes_a_limiter_that_gives_no_time() {
    for status in [429, 503] {
        let own = RetrySchedule { intervals_ms: vec![1000], randomization_factor: 0.0 };
        let limited = Webhook { retry: own, ..webhook("a", None, 32) };
        let breaker = BreakerPolicy { attempts_min: 1_000_000, ..limited.breaker.clone() };
        let mut scene = Scene::new(limits(1024), vec![Webhook { breaker, ..limited }], None);
        scene.prove(&["a"], 32);
        let mut waiting: Vec<(Instant, u32)> = vec![(scene.now, 1); 1000];
        let (mut delivered, mut most) = (0, 0);
        let mut taken = (scene.now, 0);
        for _ in 0..300_000 {
            let now = scene.now;
            if now >= taken.0 + Duration::from_secs(1) {
                taken = (now, 0);
            }
            if let Demand::Jobs { first, .. } = scene.demand("a") {
                for _ in 0..first {
                    let Some(at) = waiting.iter().position(|(due, _)| *due <= now) else { break };
                    let (_, attempt) = waiting.swap_remove(at);
                    scene.push("a", attempt, 1);
                }
            }
            for ticket in scene.all() {
                taken.1 += 1;
                if taken.1 <= 20 {
                    delivered += 1;
                    scene.end(&ticket, &outcome(Some(200)));
                } else {
                    most = most.max(ticket.job.attempt);
                    waiting.push((now + Duration::from_secs(1), ticket.job.attempt + 1));
                    scene.end(&ticket, &asks(status, None));
                }
            }
            for job in std::mem::take(&mut scene.schedule.returned) {
                waiting.push((now, job.attempt));
            }
            if delivered == 1000 {
                break;
            }
            scene.now += 5 * MS;
            scene.schedule.wake(scene.now);
        }
        assert_eq!(delivered, 1000, "{status}");
        assert!(most <= 8, "{status}: one was refused {most} times");
    }
}
