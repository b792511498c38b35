//! Endpoints that report in various ways that they are busy, and rates below one per second.

use super::{Answer, SOON_MS, Stage, WEBHOOK, flows, wait_delivered, wait_events};
use crate::harness::PATIENCE;
use crate::harness::receiver::Received;
use crate::harness::samples::{flow, with};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns answers that ask for a pause of two seconds or until `until`, each as status, header and value.
fn spellings(until: SystemTime) -> Vec<(u16, &'static str, String)> {
    let epoch = until.duration_since(UNIX_EPOCH).expect("after 1970");
    let date = httpdate::fmt_http_date(until);
    vec![
        (429, "retry-after", "2.0".to_owned()),
        (503, "retry-after", "1.2".to_owned()),
        (429, "retry-after", "2, 9".to_owned()),
        (503, "retry-after", "2s".to_owned()),
        (429, "ratelimit-reset", "2".to_owned()),
        (503, "x-ratelimit-reset", "2".to_owned()),
        (429, "x-ratelimit-reset", epoch.as_secs().to_string()),
        (429, "x-ratelimit-reset", epoch.as_millis().to_string()),
        (503, "retry-after", date.replace("GMT", "UTC")),
    ]
}

#[test]
fn a_request_for_a_pause_is_obeyed_in_every_spelling() {
    let mut stage = Stage::new("lanes-spellings");
    // Late enough for the daemon to be ready before.
    let until = SystemTime::now() + Duration::from_secs(20);
    let spellings = spellings(until);
    let mut first = Vec::new();
    for (account, n) in (100..).zip(0..spellings.len()) {
        stage.add_account(account);
        let url = stage.receiver.url(&format!("/{n}"));
        stage.add_webhook(&format!("busy-{n}"), account, &url);
        first.push(with(flow(&format!("busy-{n}"), &[]), "accountID", account.into()));
    }
    let asked = spellings.clone();
    stage.receiver.script(move |request, nth| {
        let number: usize = request.path.trim_start_matches('/').parse().expect("a number");
        let (status, header, value) = &asked[number];
        if nth > 1 { Answer::status(200) } else { Answer::status(*status).header(header, value) }
    });
    let _daemon = stage.start();
    stage.send_flows(&first);
    let requests = stage.receiver.wait_for(2 * spellings.len(), PATIENCE);
    for (n, (status, header, value)) in spellings.iter().enumerate() {
        let path = format!("/{n}");
        let times = requests.iter().filter(|request| request.path == path);
        let times: Vec<u128> = times.map(|request| request.at_ms).collect();
        let least = if value.len() > 9 {
            let until = until.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
            // The header's time is in whole seconds.
            until.saturating_sub(times[0] + 1000)
        } else {
            1900
        };
        let what = format!("{status} {header}: {value}");
        assert!(times[1] >= times[0] + least, "{what}: {times:?}, {least} ms");
        assert!(times[1] < times[0] + least + 1000 + SOON_MS, "{what}: {times:?}, {least} ms");
    }
}

#[test]
fn a_429_without_a_time_holds_the_whole_lane_until_the_row_is_due_again() {
    let mut stage = Stage::new("lanes-429-only");
    stage.set("delivery.retry.initial_interval_ms", 3000);
    stage.set("delivery.retry.interval_max_ms", 3000);
    let pause = super::pause_after_answer(&stage, || Answer::status(429));
    assert!((3000..3000 + SOON_MS).contains(&pause), "{pause} ms");
    let held = wait_events(&stage, "endpoint_held", 1);
    assert_eq!(held[0]["webhook"], WEBHOOK, "{held:?}");
}

/// Accepts ten requests per second, and answers others with `status` and without a time.
fn limiter(status: u16) -> impl Fn(&Received, usize) -> Answer + Send + Sync + 'static {
    let taken: Mutex<VecDeque<Instant>> = Mutex::default();
    move |_, _| {
        let mut taken = taken.lock().expect("no panic inside");
        let now = Instant::now();
        while taken.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            taken.pop_front();
        }
        if taken.len() < 10 {
            taken.push_back(now);
            return Answer::status(200);
        }
        Answer::status(status)
    }
}

fn a_burst_gets_through(name: &str, status: u16) {
    let mut stage = Stage::new(name);
    stage.set("delivery.attempts_max", 5);
    stage.set("delivery.retry.initial_interval_ms", 500);
    stage.set("delivery.retry.interval_max_ms", 500);
    stage.receiver.script(limiter(status));
    let _daemon = stage.start();
    let (uuids, burst) = flows("burst", 150);
    stage.send_flows(&burst);
    wait_delivered(&stage, &uuids);
    let letters = stage.kafka.read(&stage.topic("dead-letter"));
    assert!(letters.is_empty(), "{} dead letters", letters.len());
    // Each pause costs one attempt or a few.
    let requests = stage.receiver.count();
    assert!(requests < 450, "{requests} requests");
}

#[test]
fn a_burst_gets_through_a_limiter_that_answers_429_without_a_time() {
    a_burst_gets_through("lanes-limiter-429", 429);
}

#[test]
fn a_burst_gets_through_a_limiter_that_answers_503_without_a_time() {
    a_burst_gets_through("lanes-limiter-503", 503);
}

#[test]
fn a_rate_may_be_given_per_minute() {
    let mut stage = Stage::new("lanes-minute");
    stage.set_webhook("rate", "30/min");
    let _daemon = stage.start();
    let (_, some) = flows("minute", 4);
    stage.send_flows(&some);
    let requests = stage.receiver.wait_for(4, PATIENCE);
    let times: Vec<u128> = requests.iter().map(|request| request.at_ms).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1900), "{times:?}");
    assert!(times[3] - times[0] < 6000 + 2 * SOON_MS, "{times:?}");
    let list = stage.command(&["webhook", "list", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(list.out.trim()).expect("a line of JSON");
    assert_eq!((&shown["rate_per_second"], &shown["burst"]), (&0.5.into(), &1.into()), "{list:?}");
    let people = stage.command(&["webhook", "list"]);
    assert!(people.out.contains(" 0.5 "), "{people:?}");
}
