//! Tests of endpoints that are busy and do not say for how long.

use super::*;
use std::collections::VecDeque;

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
        assert_eq!(
            limit(&mut scene),
            1,
            "a single request shows whether the pause was long enough"
        );
        scene.push("a", 1, 1);
        let probe = scene.all().remove(0);
        scene.end(&probe, &outcome(Some(400)));
        assert_eq!(limit(&mut scene), 16, "those that left together count once");
        // A row with two failed attempts has a longer interval, but the hold is limited.
        scene.schedule.reset(&name("a"), scene.now);
        scene.push("a", 2, 1);
        let ticket = scene.all().remove(0);
        scene.end(&ticket, &asks(429, without));
        assert_eq!(held(&mut scene), Some(Duration::from_secs(60)), "instead of 90");
        scene.now += Duration::from_secs(60);
        scene.push("a", 1, 1);
        let probe = scene.all().remove(0);
        scene.end(&probe, &outcome(Some(400)));
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

/// A burst, and a limiter that accepts some requests per second and refuses the others without a time.
#[derive(Debug)]
struct Burst {
    deliveries: usize,
    per_second: usize,
    retry_ms: u64,
    status: u16,
}

/// Returns a generator of numbers in a range, always the same ones for a seed.
fn spread(seed: u64) -> impl FnMut(std::ops::Range<u64>) -> u64 {
    let mut state = seed.wrapping_mul(2) + 1;
    move |range| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        range.start + (state >> 33) % (range.end - range.start)
    }
}

impl Burst {
    /// Delivers all, with times that depend on `seed`. Returns how many deliveries needed each number of attempts.
    fn deliver(&self, seed: u64) -> BTreeMap<u32, usize> {
        let ms = Duration::from_millis;
        let mut spread = spread(seed);
        let own = RetrySchedule { intervals_ms: vec![self.retry_ms], randomization_factor: 0.0 };
        let limited = Webhook { retry: own, ..webhook("a", None, 32) };
        let breaker = BreakerPolicy { attempts_min: 1_000_000, ..limited.breaker.clone() };
        let mut scene = Scene::new(limits(1024), vec![Webhook { breaker, ..limited }], None);
        let begin = scene.now;
        // When its next attempt is due, and the number of that.
        let mut waiting: Vec<(Instant, u32)> = vec![(begin, 1); self.deliveries];
        let mut in_flight: Vec<(Instant, Ticket)> = Vec::new();
        let mut taken: VecDeque<Instant> = VecDeque::new();
        let mut needed: BTreeMap<u32, usize> = BTreeMap::new();
        while needed.values().sum::<usize>() < self.deliveries {
            let now = scene.now;
            assert!(now < begin + Duration::from_secs(3600), "delivered: {needed:?}");
            let (ended, others) = in_flight.into_iter().partition(|(ends, _)| *ends <= now);
            in_flight = others;
            for (_, ticket) in ended {
                while taken.front().is_some_and(|at| now - *at >= ms(1000)) {
                    taken.pop_front();
                }
                let attempt = ticket.job.attempt;
                if taken.len() < self.per_second {
                    taken.push_back(now);
                    *needed.entry(attempt).or_default() += 1;
                    scene.end(&ticket, &outcome(Some(200)));
                } else {
                    // The row waits for its commit and for its time.
                    let due = now + ms(self.retry_ms).max(ms(spread(5..40)));
                    waiting.push((due, attempt + 1));
                    scene.end(&ticket, &asks(self.status, None));
                }
            }
            scene.schedule.wake(now);
            for job in std::mem::take(&mut scene.schedule.returned) {
                waiting.push((now + ms(spread(1..10)), job.attempt));
            }
            if let Demand::Jobs { first, retry, .. } = scene.demand("a") {
                let mut free = [first, retry].map(|most| most.saturating_sub(in_flight.len()));
                waiting.sort();
                waiting.retain(|(due, attempt)| {
                    let free = &mut free[usize::from(*attempt > 1)];
                    let leaves = *due <= now && *free > 0;
                    if leaves {
                        *free -= 1;
                        scene.push("a", *attempt, 1);
                    }
                    !leaves
                });
            }
            for ticket in scene.all() {
                in_flight.push((now + ms(spread(1..6)), ticket));
            }
            scene.now += MS;
        }
        needed
    }
}

#[test]
fn no_delivery_of_a_burst_is_refused_often_by_a_limiter_that_gives_no_time() {
    for status in [429, 503] {
        for (deliveries, per_second, retry_ms) in [(150, 10, 500), (500, 20, 1000), (300, 20, 5000)]
        {
            let burst = Burst { deliveries, per_second, retry_ms, status };
            for seed in 0..10 {
                let needed = burst.deliver(seed);
                assert!(
                    needed.keys().all(|attempts| *attempts <= 3),
                    "{burst:?}, {seed}: {needed:?}"
                );
            }
        }
    }
}
