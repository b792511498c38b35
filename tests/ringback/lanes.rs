//! Each endpoint has its own lane: the lane respects the endpoint's limits, and its failures do not affect other
//! endpoints.

mod busy;
mod neighbours;

use crate::harness::daemon::Daemon;
use crate::harness::kafka::Message;
use crate::harness::receiver::{Answer, Received};
use crate::harness::samples::{flow, with};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A retry by the stage's own schedule takes less time than this.
const SOON_MS: u128 = 1500;

fn flows(prefix: &str, count: usize) -> (Vec<String>, Vec<Value>) {
    let uuids: Vec<String> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
    let flows = uuids.iter().map(|uuid| flow(uuid, &[])).collect();
    (uuids, flows)
}

fn of_type(events: &[Message], kind: &str) -> Vec<Value> {
    events.iter().map(Message::json).filter(|event| event["type"] == kind).collect()
}

fn wait_events(stage: &Stage, kind: &str, count: usize) -> Vec<Value> {
    let mut tail = stage.events();
    let what = format!("{count} events {kind}");
    of_type(tail.wait(&what, PATIENCE, |events| of_type(events, kind).len() >= count), kind)
}

fn wait_delivered(stage: &Stage, uuids: &[String]) {
    let mut tail = stage.events();
    tail.wait("all deliveries", PATIENCE, |events| {
        let delivered = of_type(events, "delivered");
        let names: BTreeSet<&str> =
            delivered.iter().filter_map(|event| event["phonon_uuid"].as_str()).collect();
        uuids.iter().all(|uuid| names.contains(uuid.as_str()))
    });
}

/// Returns the time in milliseconds between the first two requests, if the first answer has this status and
/// `retry-after`.
fn pause_after(
    stage: &Stage,
    status: u16,
    retry_after: impl Fn() -> String + Send + Sync + 'static,
) -> u128 {
    let answer = move || Answer::status(status).header("retry-after", &retry_after());
    pause_after_answer(stage, answer)
}

/// Returns the time in milliseconds between the first two requests, if `answer` is the first answer.
fn pause_after_answer(stage: &Stage, answer: impl Fn() -> Answer + Send + Sync + 'static) -> u128 {
    let answered = AtomicBool::new(false);
    stage.receiver.script(move |_, _| {
        if answered.swap(true, Ordering::SeqCst) {
            return Answer::status(200);
        }
        answer()
    });
    let daemon = stage.start();
    let (mut uuids, first) = flows("first", 1);
    stage.send_flows(&first);
    wait_events(stage, "attempt_failed", 1);
    let (others, second) = flows("others", 5);
    uuids.extend(others);
    stage.send_flows(&second);
    wait_delivered(stage, &uuids);
    let requests = stage.receiver.requests();
    assert_eq!(requests.len(), 7, "nothing was sent during the pause");
    drop(daemon);
    requests[1].at_ms - requests[0].at_ms
}

#[test]
fn retry_after_holds_the_whole_lane() {
    let stage = Stage::new("lanes-retry-after");
    let pause = pause_after(&stage, 429, || "2".to_owned());
    assert!((2000..2000 + SOON_MS).contains(&pause), "{pause} ms");
    let held = wait_events(&stage, "endpoint_held", 1);
    assert_eq!((&held[0]["webhook"], &held[0]["account_id"]), (&WEBHOOK.into(), &28.into()));
}

#[test]
fn retry_after_may_be_a_date() {
    let stage = Stage::new("lanes-retry-after-date");
    let date = || {
        let at = std::time::SystemTime::now() + Duration::from_secs(3);
        httpdate::fmt_http_date(at)
    };
    let pause = pause_after(&stage, 503, date);
    assert!((1900..3000 + SOON_MS).contains(&pause), "a date has whole seconds: {pause} ms");
}

#[test]
fn retry_after_of_days_is_clamped() {
    let mut stage = Stage::new("lanes-retry-after-days");
    stage.set("delivery.retry_after_max_s", 2);
    let pause = pause_after(&stage, 429, || "864000".to_owned());
    assert!((2000..2000 + SOON_MS).contains(&pause), "{pause} ms");
}

#[test]
fn an_invalid_retry_after_leaves_the_lane_to_its_own_intervals() {
    let stage = Stage::new("lanes-retry-after-garbage");
    let pause = pause_after(&stage, 429, || "soon".to_owned());
    assert!(pause < SOON_MS, "{pause} ms");
}

#[test]
fn a_hold_survives_a_crash() {
    let stage = Stage::new("lanes-hold-crash");
    stage.receiver.script(|_, nth| {
        let asks = Answer::status(429).header("retry-after", "6");
        if nth == 1 { asks } else { Answer::status(200) }
    });
    let mut daemon = stage.start();
    let (mut uuids, first) = flows("first", 1);
    stage.send_flows(&first);
    wait_events(&stage, "endpoint_held", 1);
    daemon.kill();
    stage.receiver.statuses(&[200]);
    let (others, second) = flows("others", 5);
    uuids.extend(others);
    stage.send_flows(&second);
    let _daemon = stage.start();
    wait_delivered(&stage, &uuids);
    let requests = stage.receiver.requests();
    let pause = requests[1].at_ms - requests[0].at_ms;
    assert!(pause >= 6000, "{pause} ms, although the daemon crashed");
}

/// Panics if there are more requests in any period than the limit allows.
fn assert_never_above(requests: &[Received], per_second: u128, burst: usize) {
    /// How much closer two requests may arrive than they were sent.
    const JITTER_MS: u128 = 60;
    let mut times: Vec<u128> = requests.iter().map(|request| request.at_ms).collect();
    times.sort_unstable();
    for (first, start) in times.iter().enumerate() {
        for (last, end) in times.iter().enumerate().skip(first) {
            let count = last - first + 1;
            let most =
                burst + usize::try_from((end - start + JITTER_MS) * per_second / 1000).unwrap_or(0);
            assert!(count <= most + 1, "{count} requests within {} ms", end - start);
        }
    }
}

fn rate_holds(name: &str, instances: u8) {
    let mut stage = Stage::on(broker::shared(), name, 6);
    stage.set_webhook("rate_per_second", 20);
    stage.set_webhook("burst", 5);
    let mut daemons: Vec<Daemon> = (0..instances).map(|number| stage.spawn(number)).collect();
    for daemon in &mut daemons {
        daemon.wait_ready();
    }
    wait_until("each instance owns something", PATIENCE, || {
        let owns =
            |daemon: &Daemon| daemon.metric("ringback_partition_stalled_seconds", &[]).is_some();
        daemons.iter().all(owns).then_some(())
    });
    let (_, flows) = flows("rate", 600);
    stage.send_flows(&flows);
    let first = stage.receiver.wait_for(1, PATIENCE)[0].at_ms;
    let tenth = first + 10_000;
    let requests = stage.receiver.wait("ten seconds to pass", PATIENCE, |requests| {
        requests.last().is_some_and(|request| request.at_ms > tenth)
    });
    let within = requests.iter().filter(|request| request.at_ms <= tenth).count();
    assert!(within >= 190, "95 % of 200 are used: {within}");
    assert_never_above(&requests, 20, 5);
    let limited: f64 =
        daemons.iter().filter_map(|daemon| daemon.metric("ringback_rate_limited_total", &[])).sum();
    assert!(limited > 0.0);
}

#[test]
fn one_instance_keeps_to_a_rate_and_uses_it() {
    rate_holds("lanes-rate-one", 1);
}

#[test]
fn three_instances_keep_to_a_rate_together_and_use_it() {
    rate_holds("lanes-rate-three", 3);
}

#[test]
fn the_breaker_opens_sends_single_probes_closes_and_counts_no_attempt_of_held_rows() {
    let mut stage = Stage::new("lanes-breaker");
    stage.set("delivery.breaker.attempts_min", 10);
    stage.set("delivery.breaker.open_s", 1);
    stage.set("http.endpoint_labels_max", 1);
    stage.receiver.statuses(&[500]);
    let daemon = stage.start();
    let (uuids, flows) = flows("breaker", 100);
    stage.send_flows(&flows);
    wait_events(&stage, "breaker_changed", 3);
    let state = || daemon.metric("ringback_breaker_state", &[("endpoint", WEBHOOK)]);
    wait_until("the gauge shows an open breaker", PATIENCE, || {
        state().filter(|state| *state > 0.0)
    });
    let before = stage.receiver.requests().len();
    // At least three probes follow, one at a time.
    let requests = stage.receiver.wait_for(before + 3, PATIENCE);
    let probes: Vec<u128> = requests[before..].iter().map(|request| request.at_ms).collect();
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{probes:?}");
    assert!(before < 60, "{before} attempts of 100 rows: the others were held back");
    stage.receiver.statuses(&[200]);
    wait_delivered(&stage, &uuids);
    wait_until("the breaker is closed", PATIENCE, || state().filter(|state| *state == 0.0));
    let changes = wait_events(&stage, "breaker_changed", 4);
    let states: Vec<&str> = changes.iter().filter_map(|event| event["state"].as_str()).collect();
    assert_eq!((states[0], states[1]), ("open", "half_open"), "{states:?}");
    assert_eq!(states[states.len() - 2..], ["half_open", "closed"], "{states:?}");
    // Each counted attempt arrived, and each attempt that arrived is counted.
    invariants::assert_attempts_counted(&stage, 0);
}

#[test]
fn an_endpoint_that_is_gone_is_disabled_in_every_partition_until_it_is_enabled() {
    let mut stage = Stage::new("lanes-gone");
    stage.set_webhook("in_flight_max", 1);
    stage.receiver.statuses(&[410]);
    let mut daemon = stage.start();
    let (_, many) = flows("gone", 20);
    stage.send_flows(&many);
    let letters = stage.dead_letters(20, PATIENCE);
    let reasons =
        |reason: &str| letters.iter().filter(|l| l.header("ringback.reason") == reason).count();
    let asked = stage.receiver.requests().len();
    assert_eq!((reasons("refused"), reasons("endpoint_disabled")), (asked, 20 - asked));
    assert_eq!(asked, 1, "the others were not tried");
    let disabled = wait_events(&stage, "endpoint_disabled", 1);
    assert_eq!((&disabled[0]["webhook"], &disabled[0]["cause"]), (&WEBHOOK.into(), &"gone".into()));
    let partitions: BTreeSet<i32> = letters.iter().map(|letter| letter.partition).collect();
    assert_eq!(partitions.len(), 2, "in both partitions");
    wait_until("the gauge shows a disabled endpoint", PATIENCE, || {
        daemon.metric("ringback_endpoints", &[("state", "disabled")]).filter(|count| *count == 1.0)
    });
    // The endpoint is still disabled after a crash.
    daemon.kill();
    stage.receiver.statuses(&[200]);
    let _daemon = stage.start();
    let (_, more) = flows("still-gone", 10);
    stage.send_flows(&more);
    stage.dead_letters(30, PATIENCE);
    assert_eq!(stage.receiver.requests().len(), asked);
    // An operator enables it again.
    let done = stage.command(&["webhook", "enable", WEBHOOK, "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    wait_events(&stage, "endpoint_enabled", 2);
    let (uuids_after, after) = flows("well", 10);
    stage.send_flows(&after);
    wait_delivered(&stage, &uuids_after);
    assert_eq!(stage.dead_letters(30, PATIENCE).len(), 30);
}

#[test]
fn an_endpoint_that_only_fails_for_too_long_is_disabled() {
    let mut stage = Stage::new("lanes-failing");
    stage.set("delivery.disable_after_s", 2);
    stage.receiver.statuses(&[503]);
    let _daemon = stage.start();
    let (_, flows) = flows("failing", 4);
    stage.send_flows(&flows);
    let letters = stage.dead_letters(4, PATIENCE);
    assert!(letters.iter().all(|letter| letter.header("ringback.reason") == "endpoint_disabled"));
    let disabled = wait_events(&stage, "endpoint_disabled", 1);
    assert_eq!(disabled[0]["cause"], "failing");
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let since = time(&disabled[0]["failing_since"]).expect("a time");
    let at = time(&disabled[0]["at"]).expect("a time");
    assert!(at.duration_since(since).as_secs() >= 2, "{disabled:?}");
}

#[test]
fn a_slow_answer_after_a_start_delays_no_other_delivery_to_the_endpoint() {
    let mut stage = Stage::new("lanes-start");
    // The time-out of the request does not end the wait.
    stage.set("delivery.request_timeout_ms", 60_000);
    let (gate, opened) = tokio::sync::watch::channel(false);
    stage.receiver.script(move |request, _| match request.uuid().as_str() {
        "slow" => Answer::status(200).behind(&opened),
        _ => Answer::status(200),
    });
    let _daemon = stage.start();
    // The first request of the lane is not answered until all others are delivered.
    stage.send_flows(&[flow("slow", &[])]);
    stage.receiver.wait_for(1, PATIENCE);
    let (uuids, others) = flows("quick", 20);
    stage.send_flows(&others);
    wait_delivered(&stage, &uuids);
    gate.send(true).expect("the receiver waits");
    wait_delivered(&stage, &["slow".to_owned()]);
}

#[test]
fn deliveries_of_a_removed_webhook_do_not_wait_for_ever() {
    let mut stage = Stage::new("lanes-unconfigured");
    stage.set("delivery.age_max_s", 3);
    stage.set("delivery.retry.initial_interval_ms", 500);
    stage.set("delivery.retry.interval_max_ms", 500);
    stage.receiver.statuses(&[500]);
    let daemon = stage.start();
    let (_, flows) = flows("unconfigured", 3);
    stage.send_flows(&flows);
    wait_events(&stage, "attempt_failed", 3);
    stage.no_webhooks();
    stage.write_accounts(0);
    daemon.signal("HUP");
    let letters = stage.dead_letters(3, PATIENCE);
    assert!(letters.iter().all(|letter| letter.header("ringback.reason") == "age_exceeded"));
}

#[test]
fn a_storm_of_retries_leaves_fresh_deliveries_their_slots() {
    let mut stage = Stage::new("lanes-storm");
    stage.set_webhook("in_flight_max", 4);
    stage.set("delivery.retry.initial_interval_ms", 1000);
    stage.set("delivery.retry.interval_max_ms", 1000);
    // Each retry fails after a second; first attempts are answered at once.
    stage.receiver.script(|request, nth| match (request.uuid().starts_with("storm"), nth) {
        (true, 1) => Answer::status(500),
        (true, _) => Answer::status(500).after(Duration::from_secs(1)),
        (false, _) => Answer::status(200),
    });
    let _daemon = stage.start();
    let (_, storm) = flows("storm", 200);
    stage.send_flows(&storm);
    wait_events(&stage, "attempt_failed", 210);
    let (uuids, fresh) = flows("fresh", 20);
    let from = crate::harness::receiver::now_ms();
    stage.send_flows(&fresh);
    wait_delivered(&stage, &uuids);
    let requests = stage.receiver.requests();
    let late = requests.iter().filter(|r| r.uuid().starts_with("fresh")).map(|r| r.at_ms - from);
    let latest = late.max().expect("they came");
    // In a single queue, they would wait behind fifty seconds of retries.
    assert!(latest < 5000, "{latest} ms");
}

#[test]
fn an_accounts_rate_holds_for_all_its_webhooks_together() {
    let mut stage = Stage::new("lanes-account");
    stage.set_account("rate_per_second", 30);
    let other = flow("of-another", &[]);
    let other = with(other, "accountID", 29.into());
    stage.add_account(29);
    let url = stage.receiver.url("/other");
    stage.add_webhook("other", 29, &url);
    let _daemon = stage.start();
    let (_, many) = flows("account", 200);
    stage.send_flows(&many);
    stage.receiver.wait_for(20, PATIENCE);
    stage.send_flows(&[other]);
    let requests = stage.receiver.wait("the other account's", PATIENCE, |requests| {
        requests.iter().any(|request| request.path == "/other")
    });
    assert!(requests.len() < 150, "it did not wait for the limited one: {}", requests.len());
    let ours: Vec<Received> = stage
        .receiver
        .wait_for(120, PATIENCE)
        .into_iter()
        .filter(|request| request.path != "/other")
        .collect();
    assert_never_above(&ours, 30, 30);
}

#[test]
fn a_reload_keeps_the_hold_of_a_lane() {
    let stage = Stage::new("lanes-reload");
    stage.receiver.script(|_, nth| {
        let asks = Answer::status(429).header("retry-after", "5");
        if nth == 1 { asks } else { Answer::status(200) }
    });
    let daemon = stage.start();
    let (uuids, flows) = flows("reload", 1);
    stage.send_flows(&flows);
    wait_events(&stage, "endpoint_held", 1);
    daemon.signal("HUP");
    wait_delivered(&stage, &uuids);
    let requests = stage.receiver.requests();
    let pause = requests[1].at_ms - requests[0].at_ms;
    assert!(pause >= 5000, "{pause} ms: the reload forgot the hold");
}
