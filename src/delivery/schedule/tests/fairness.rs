//! Tests that lanes which hold slots for long do not delay healthy lanes.

use super::*;
use crate::delivery::answer::BODY_PATIENCE;

/// Returns the answers of a failing endpoint, and the time after which each comes.
fn ways() -> [(&'static str, Outcome, Duration); 5] {
    let ends = |status, ms| Outcome { duration_ms: ms, ..outcome(status) };
    let endless = Outcome { response_truncated: true, ..ends(Some(200), 2001) };
    let ways = [
        ("times out", ends(None, 15_000)),
        ("answers late", ends(Some(200), 14_000)),
        ("fails late", ends(Some(500), 14_000)),
        ("refuses late", Outcome { verdict: Verdict::GiveUp, ..ends(Some(400), 14_000) }),
        ("never ends its answer", endless),
    ];
    ways.map(|(way, outcome)| {
        let took = Duration::from_millis(outcome.duration_ms);
        (way, outcome, took)
    })
}

/// Returns `count` names of webhooks.
fn many(kind: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{kind}-{n}")).collect()
}

fn scene_of(in_flight_max: usize, names: &[String]) -> Scene {
    let webhooks = names.iter().map(|name| {
        let breaker = BreakerPolicy { attempts_min: 1_000_000, ..webhook(name, None, 32).breaker };
        Webhook { breaker, ..webhook(name, None, 32) }
    });
    Scene::new(limits(in_flight_max), webhooks.collect(), None)
}

#[test]
fn an_attempt_that_used_most_of_its_time_counts_against_its_lane_whatever_its_outcome() {
    for (way, outcome, _) in ways() {
        let mut scene = scene_of(1024, &many("failing", 1));
        scene.prove(&["failing-0"], 32);
        scene.push("failing-0", 1, 1000);
        for most in [32, 16, 8, 4, 2, 1, 1] {
            let tickets = scene.all();
            assert_eq!(tickets.len(), most, "{way}");
            scene.end(&tickets[0], &outcome);
            // Refusals neither raise nor lower the limit.
            for ticket in &tickets[1..] {
                scene.end(ticket, &super::outcome(Some(400)));
            }
        }
    }
}

#[test]
fn an_answer_in_good_time_counts_for_its_lane_however_short_the_time_out_is() {
    for (timeout_ms, took_ms, status) in [(15_000, 7000, 200), (15_000, 1999, 200), (300, 290, 200)]
    {
        let request_timeout = Duration::from_millis(timeout_ms);
        let webhook = Webhook { request_timeout, ..webhook("a", None, 32) };
        let mut scene = Scene::new(limits(1024), vec![webhook], None);
        scene.push("a", 1, 1000);
        let mut tickets = scene.all();
        for _ in 0..100 {
            let ticket = tickets.remove(0);
            let outcome = Outcome { duration_ms: took_ms, ..outcome(Some(status)) };
            scene.end(&ticket, &outcome);
            tickets.extend(scene.all());
        }
        assert_eq!(tickets.len(), 32, "{took_ms} of {timeout_ms} ms");
    }
    // An answer that was cut at the size limit was read as far as needed, so it counts as complete.
    let mut scene = scene_of(1024, &many("long", 1));
    scene.prove(&["long-0"], 8);
    scene.push("long-0", 1, 100);
    let response = Bytes::from(vec![b'x'; crate::domain::RESPONSE_BYTES_KEPT]);
    let took = u64::try_from(BODY_PATIENCE.as_millis()).unwrap();
    let cut =
        Outcome { duration_ms: took, response, response_truncated: true, ..outcome(Some(200)) };
    let tickets = scene.all();
    scene.end(&tickets[0], &cut);
    assert_eq!(scene.all().len(), 2, "the limit grows");
}

/// Forty failing lanes always have work, and healthy lanes get new jobs. The failing lanes fail from the start, or
/// after a healthy time.
#[test]
fn a_healthy_lane_gets_a_slot_at_once_beside_forty_slow_lanes() {
    for in_flight_max in [64, 1024] {
        for (way, outcome, took) in ways() {
            for were_healthy in [false, true] {
                let failing = many("failing", 40);
                let healthy = many("healthy", 4);
                let names: Vec<String> = failing.iter().chain(&healthy).cloned().collect();
                let mut scene = scene_of(in_flight_max, &names);
                if were_healthy {
                    let names: Vec<&str> = failing.iter().map(String::as_str).collect();
                    scene.prove(&names, 4);
                }
                for name in &failing {
                    scene.push(name, 1, 300);
                }
                let mut stuck: Vec<(Instant, Ticket)> = Vec::new();
                for step in 0..600 {
                    let now = scene.now;
                    let all = scene.all();
                    stuck.extend(all.into_iter().map(|ticket| (now + took, ticket)));
                    for name in &healthy {
                        scene.push(name, 1, 1);
                        let tickets = scene.all();
                        let ours = of(&tickets, name).count();
                        let what = format!("{way}, {in_flight_max}, {were_healthy}, step {step}");
                        assert_eq!(ours, 1, "{name} waits: {what}");
                        for ticket in tickets {
                            if ticket.job.webhook.to_string() == *name {
                                scene.end(&ticket, &super::outcome(Some(200)));
                            } else {
                                stuck.push((now + took, ticket));
                            }
                        }
                    }
                    scene.now += 100 * MS;
                    let ended = stuck.extract_if(.., |(at, _)| *at <= scene.now);
                    for (_, ticket) in ended.collect::<Vec<_>>() {
                        scene.end(&ticket, &outcome);
                    }
                }
            }
        }
    }
}
