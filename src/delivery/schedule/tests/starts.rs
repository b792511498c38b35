//! Tests of lanes whose endpoint has not answered yet.

use super::*;
use crate::delivery::LaneChanges;

fn patient(webhook: Webhook) -> Webhook {
    let breaker = BreakerPolicy { attempts_min: 1_000_000, ..webhook.breaker.clone() };
    Webhook { breaker, ..webhook }
}

fn scene() -> Scene {
    Scene::new(limits(1024), vec![patient(webhook("a", None, 32))], None)
}

/// Returns the most first attempts that the lane may have in flight.
fn limit(scene: &mut Scene) -> usize {
    match scene.demand("a") {
        Demand::Jobs { first, .. } => first,
        demand @ (Demand::Held(_) | Demand::Unconfigured) => panic!("{demand:?}"),
    }
}

#[test]
fn a_lane_starts_with_several_requests_and_grows_to_its_maximum() {
    let mut scene = scene();
    scene.push("a", 1, 500);
    let mut tickets = scene.all();
    assert_eq!(tickets.len(), 8);
    for answers in 1..100 {
        let ticket = tickets.remove(0);
        scene.end(&ticket, &outcome(Some(200)));
        tickets.extend(scene.all());
        assert_eq!(tickets.len(), (answers + 1).clamp(8, 32), "as if it had started with one");
    }
    let mut small = Scene::new(limits(1024), vec![webhook("a", None, 3)], None);
    small.push("a", 1, 500);
    assert_eq!(small.all().len(), 3);
}

#[test]
fn a_slow_first_answer_holds_back_no_other_job() {
    let mut scene = scene();
    scene.push("a", 1, 1);
    let slow = scene.all();
    scene.push("a", 1, 50);
    for _ in 0..50 {
        let tickets = scene.all();
        tickets.iter().for_each(|ticket| scene.end(ticket, &outcome(Some(200))));
    }
    scene.push("a", 1, 1);
    assert_eq!((slow.len(), scene.all().len()), (1, 1), "all others have left and ended");
}

#[test]
fn the_first_failure_of_a_lane_holds_the_others_back_until_all_in_flight_have_ended() {
    let unreachable = Outcome { reason: Some(ErrorReason::Unreachable), ..outcome(None) };
    let asks = |status| Outcome { retry_after_ms: Some(1000), ..outcome(Some(status)) };
    let late = Outcome { duration_ms: 14_000, ..outcome(Some(200)) };
    let ways = [outcome(Some(429)), outcome(Some(503)), outcome(Some(500)), asks(429), asks(503)];
    for way in ways.into_iter().chain([outcome(None), unreachable, late]) {
        let mut scene = scene();
        scene.push("a", 1, 8);
        let mut tickets = scene.all();
        assert_eq!(tickets.len(), 8);
        while let Some(ticket) = tickets.pop() {
            scene.end(&ticket, &way);
            // A pause that the endpoint asks for is over.
            scene.now += Duration::from_secs(60);
            assert_eq!(limit(&mut scene), 1, "{way:?}");
            scene.push("a", 1, 1);
            scene.push("a", 2, 1);
            let left = scene.all();
            if !tickets.is_empty() {
                assert!(left.is_empty(), "{way:?}: {} in flight", tickets.len());
                scene.schedule.take_back_of(&name("a"));
            } else {
                assert_eq!(left.len(), 1, "{way:?}");
            }
        }
    }
}

#[test]
fn a_rejected_job_does_not_hold_the_others_back() {
    let mut scene = scene();
    scene.push("a", 1, 20);
    let tickets = scene.all();
    let rejected = Outcome { verdict: Verdict::GiveUp, ..outcome(Some(400)) };
    scene.end(&tickets[0], &rejected);
    assert_eq!((tickets.len(), scene.all().len()), (8, 1));
}

#[test]
fn lanes_without_an_answer_take_several_slots_only_while_few_are_used() {
    let names: Vec<String> = (0..40).map(|n| format!("untried-{n}")).collect();
    let webhooks = names.iter().map(|name| webhook(name, None, 32)).collect();
    let mut scene = Scene::new(limits(64), webhooks, None);
    let mut left = Vec::new();
    for name in &names {
        scene.push(name, 1, 10);
        left.push(scene.all().len());
    }
    // Three quarters of 64 slots are for endpoints without answers. An eighth of these is for their other attempts.
    assert_eq!(left.remove(0), 6);
    assert!(left.iter().all(|count| *count == 1), "{left:?}");
}

/// After a reload, a lane goes on with the limit that it had, whatever has changed in its webhook.
#[test]
fn a_reload_keeps_what_a_lane_has_learnt() {
    let slower = Webhook { request_timeout: Duration::from_secs(20), ..webhook("a", None, 32) };
    let elsewhere = Webhook { url: "https://example.org/".parse().unwrap(), ..slower.clone() };
    for changed in [webhook("a", None, 32), slower, elsewhere] {
        for is_refused in [false, true] {
            let mut scene = scene();
            scene.prove(&["a"], 16);
            let mut known = 16;
            if is_refused {
                for status in [503, 400] {
                    scene.push("a", 1, 1);
                    let ticket = scene.all().remove(0);
                    scene.end(&ticket, &outcome(Some(status)));
                }
                known = 8;
            }
            assert_eq!(limit(&mut scene), known);
            let after = endpoint(patient(changed.clone()));
            scene.schedule.configure([after.clone()], &BTreeMap::new(), scene.now);
            assert_eq!(limit(&mut scene), known, "all endpoints are replaced");
            let endpoints = vec![(name("a"), Some(after))];
            scene.schedule.change(LaneChanges { endpoints, ..Default::default() }, scene.now);
            assert_eq!(limit(&mut scene), known, "one endpoint is replaced");
        }
    }
    let mut scene = scene();
    scene.push("a", 1, 1);
    let ticket = scene.all().remove(0);
    scene.end(&ticket, &outcome(Some(500)));
    let same = endpoint(patient(webhook("a", None, 32)));
    scene.schedule.configure([same], &BTreeMap::new(), scene.now);
    assert_eq!(limit(&mut scene), 1, "it has failed before");
}

/// A limiter with a window of a second, whose answers arrive after up to 20 ms in any order.
struct Limited {
    scene: Scene,
    seed: u64,
    status: u16,
    taken: Vec<Instant>,
    /// Deliveries, each with the time at which its next attempt is due and the attempt's number.
    waiting: Vec<(Instant, u32)>,
    sent: Vec<(Instant, Ticket, bool)>,
    delivered: usize,
    /// The most refused attempts of a delivery.
    refused: u32,
}

impl Limited {
    fn new(status: u16, seed: u64) -> Self {
        let own = RetrySchedule { intervals_ms: vec![500], randomization_factor: 0.0 };
        let limited = patient(Webhook { retry: own, ..webhook("a", None, 32) });
        let scene = Scene::new(limits(1024), vec![limited], None);
        let waiting = vec![(scene.now, 1); 150];
        let (taken, sent) = Default::default();
        Self { scene, seed, status, taken, waiting, sent, delivered: 0, refused: 0 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % below
    }

    /// Hands the lane as many jobs as it demands. Rows of one class come in the order in which they are due.
    fn fill(&mut self) {
        let now = self.scene.now;
        if let Demand::Jobs { first, retry, .. } = self.scene.demand("a") {
            for (most, is_first) in [(first, true), (retry, false)] {
                for _ in 0..most {
                    let ours = |(due, attempt): &&(Instant, u32)| {
                        *due <= now && (*attempt == 1) == is_first
                    };
                    let Some(next) = self.waiting.iter().filter(ours).min().copied() else { break };
                    let at = self.waiting.iter().position(|row| *row == next).unwrap();
                    self.waiting.remove(at);
                    self.scene.push("a", next.1, 1);
                }
            }
        }
        for ticket in self.scene.all() {
            self.taken.retain(|at| now - *at < Duration::from_secs(1));
            let accepted = self.taken.len() < 10;
            if accepted {
                self.taken.push(now);
            }
            let after = Duration::from_millis(1 + self.random(20));
            self.sent.push((now + after, ticket, accepted));
        }
    }

    fn step(&mut self) {
        self.fill();
        self.scene.now += MS;
        let now = self.scene.now;
        let ended: Vec<_> = self.sent.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, ticket, accepted) in ended {
            if accepted {
                self.delivered += 1;
                self.scene.end(&ticket, &outcome(Some(200)));
            } else {
                self.refused = self.refused.max(ticket.job.attempt);
                self.waiting.push((now + Duration::from_millis(500), ticket.job.attempt + 1));
                self.scene.end(&ticket, &outcome(Some(self.status)));
            }
        }
        let returned = std::mem::take(&mut self.scene.schedule.returned);
        self.waiting.extend(returned.iter().map(|job| (now, job.attempt)));
        self.scene.schedule.wake(now);
    }
}

/// Of a few runs, one may have bad luck: the pauses are shorter than the limiter's window, so that each second costs
/// some attempts. That does not depend on the start.
#[test]
fn a_burst_passes_a_limiter_from_the_start() {
    for status in [429, 503] {
        let refused = (0..20).map(|seed| {
            let mut limited = Limited::new(status, seed);
            while limited.delivered < 150 {
                limited.step();
            }
            limited.refused
        });
        let exhausted = refused.filter(|most| *most >= 5).count();
        assert!(exhausted <= 1, "{status}: {exhausted} runs");
    }
}

#[test]
fn a_start_at_a_limiter_that_is_used_up_costs_each_delivery_one_attempt_at_most() {
    for seed in 0..20 {
        let mut limited = Limited::new(429, seed);
        limited.taken = vec![limited.scene.now; 10];
        let rows = limited.waiting.len();
        while limited.scene.now < limited.taken[0] + Duration::from_millis(500) {
            limited.step();
        }
        assert_eq!((limited.refused, limited.sent.len()), (1, 0));
        // Those that left at the start wait for their retry, all others for their first attempt.
        let retries = limited.waiting.iter().filter(|(_, attempt)| *attempt == 2).count();
        assert_eq!((retries, limited.waiting.len()), (8, rows));
        while limited.delivered == 0 {
            limited.step();
        }
        let refused: u32 = limited.waiting.iter().map(|(_, attempt)| attempt - 1).sum();
        assert!(refused <= 8 + 2, "one at a time after the first pause: {refused}");
    }
}
