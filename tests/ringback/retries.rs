//! Attempts, retries and dead letters.

use crate::harness::check::{Scene, Then, check};
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, phase_1, phase_2, report};
use crate::harness::signature;
use crate::harness::stage::Stage;
use serde_json::Value;

/// Returns a field of the outcome in an event or a dead letter, nested or not.
fn outcome_field<'a>(record: &'a Value, field: &str) -> &'a Value {
    let nested = ["last_outcome", "outcome"].iter().find_map(|name| record[name].get(field));
    nested.unwrap_or(&record[field])
}

#[test]
fn two_failures_and_a_success_are_three_attempts_of_one_delivery() {
    let mut stage = Stage::new("retries-three");
    stage.set_webhook("signing_secrets", vec![signature::SECRET]);
    stage.receiver.statuses(&[500, 500, 200]);
    let flow = flow("three", &[]);
    let then = Then::default()
        .attempted(phase_1(&flow))
        .attempted(phase_1(&flow))
        .delivered(phase_1(&flow))
        .event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
    let [first, rest @ ..] = outcome.webhooks.as_slice() else { panic!("three requests") };
    assert!(rest.iter().all(|r| r.id() == first.id() && r.body == first.body));
    signature::verify(signature::SECRET, &outcome.webhooks);
    let attempts: Vec<_> = outcome.events("attempt_failed").iter().map(|e| &e["attempt"]).collect();
    assert_eq!(attempts, [1, 2]);
    assert_eq!(outcome.events("delivered")[0]["attempt"], 3);
    let failed = outcome.events("attempt_failed")[0];
    assert_eq!(*outcome_field(failed, "response_status_code"), 500, "{failed}");
    assert_eq!(*outcome_field(failed, "response_status_type"), "SERVER_ERROR", "{failed}");
}

#[test]
fn due_times_and_attempt_counts_survive_a_crash() {
    const INTERVAL_MS: u16 = 3000;
    let mut stage = Stage::new("retries-crash");
    stage.set("delivery.retry.initial_interval_ms", i64::from(INTERVAL_MS));
    stage.set("delivery.retry.interval_max_ms", i64::from(INTERVAL_MS));
    stage.receiver.statuses(&[500, 500, 200]);
    let flow = flow("crash", &[]);
    let then = Then::default()
        .attempted(phase_1(&flow))
        .attempted(phase_1(&flow))
        .delivered(phase_1(&flow))
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(&[flow]);
        for attempt in 1..=2 {
            scene.wait_for("attempt_failed", attempt);
            scene.daemon.kill();
            scene.daemon = scene.stage.start();
        }
    };
    let outcome = check(&stage, when, then);
    assert_eq!(stage.verify()["repeats"], 0);
    for pair in outcome.webhooks.windows(2) {
        let waited_ms = pair[1].at_ms - pair[0].at_ms;
        assert!(waited_ms >= u128::from(INTERVAL_MS), "the retry came after {waited_ms} ms");
        assert_eq!((pair[0].id(), &pair[0].body), (pair[1].id(), &pair[1].body));
    }
    assert_eq!(outcome.events("delivered")[0]["attempt"], 3);
}

#[test]
fn a_refusal_is_a_dead_letter_kept_whole() {
    let stage = Stage::new("retries-refused");
    stage.receiver.script(|_, _| Answer::status(400).body("no, thanks"));
    let flow = flow("refused", &[]);
    let then =
        Then::default().attempted(phase_1(&flow)).dead_letter("refused").event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
    let (letter, request) = (&outcome.dead_letters[0], &outcome.webhooks[0]);
    for (name, value) in [
        ("ringback.kind", "delivery"),
        ("ringback.reason", "refused"),
        ("ringback.source.topic", stage.topic("flow-complete").as_str()),
        ("ringback.source.offset", "0"),
        ("ringback.webhook", "crm"),
        ("ringback.account", "28"),
        ("ringback.phase", "1"),
        ("ringback.attempts", "1"),
    ] {
        assert_eq!(letter.header(name), value, "{name} of {letter:?}");
    }
    for name in ["ringback.first-attempt-at", "ringback.last-attempt-at"] {
        let time: Result<jiff::Timestamp, _> = letter.header(name).parse();
        assert!(time.is_ok(), "{name} of {letter:?}");
    }
    assert_eq!(letter.key.as_deref(), Some(b"refused".as_slice()));
    let whole = letter.json();
    assert_eq!(whole["webhook_id"], request.id(), "{whole}");
    assert_eq!(whole["phonon_uuid"], "refused", "{whole}");
    assert_eq!(whole["account_id"], 28, "{whole}");
    assert_eq!(whole["attempts"], 1, "{whole}");
    assert_eq!(whole["replays"], 0, "{whole}");
    assert_eq!(whole["request"]["method"], "POST", "{whole}");
    assert_eq!(whole["request"]["url"], stage.receiver.url("/hooks/phonon"), "{whole}");
    assert_eq!(whole["request"]["body"], request.text(), "{whole}");
    assert_eq!(whole["last_outcome"]["response_status_code"], 400, "{whole}");
    assert_eq!(whole["last_outcome"]["response_status"], "FAILED", "{whole}");
    assert_eq!(whole["last_outcome"]["response_raw"], "no, thanks", "{whole}");
    assert_eq!(whole["last_outcome"]["error_reason"], "REFUSED", "{whole}");
    let events = outcome.events("dead_lettered:refused");
    assert_eq!(events.len(), 1, "one event per dead letter: {:?}", outcome.events);
    assert_eq!(events[0]["webhook_id"], request.id());
}

#[test]
fn phase_2_leaves_after_the_attempts_of_phase_1_are_exhausted() {
    let mut stage = Stage::new("retries-exhausted");
    stage.set("delivery.attempts_max", 3);
    stage
        .receiver
        .script(|request, _| Answer::status(if request.phase() == 1 { 500 } else { 200 }));
    let flow = flow("exhausted", &["s-1"]);
    let report = report("exhausted", "s-1", "DELIVERED");
    let then = (0..3).fold(Then::default(), |then, _| then.attempted(phase_1(&flow)));
    let then = then
        .dead_letter("attempts_exhausted")
        .delivered(phase_2(&flow, std::slice::from_ref(&report)))
        .event("correlation_ended");
    let when = |scene: &mut Scene<'_>| {
        scene.flows(&[flow]);
        scene.reports(&[report]);
    };
    let outcome = check(&stage, when, then);
    assert_eq!(outcome.webhooks[3].phase(), 2, "strict order: after phase 1 became a dead letter");
    assert_eq!(outcome.dead_letters[0].header("ringback.attempts"), "3");
}

#[test]
fn an_endpoint_that_hangs_times_out_and_does_not_affect_others() {
    let mut stage = Stage::new("retries-hang");
    stage.set("delivery.request_timeout_ms", 500);
    stage.set("delivery.attempts_max", 2);
    stage.add_account(29);
    let other = stage.receiver.url("/healthy");
    stage.add_webhook("healthy", 29, &other);
    stage.receiver.script(|request, _| {
        if request.path == "/healthy" { Answer::status(200) } else { Answer::never() }
    });
    let hangs = flow("hangs", &[]);
    let healthy = crate::harness::samples::with(flow("healthy", &[]), "accountID", 29.into());
    let then = Then::default()
        .attempted(phase_1(&hangs))
        .attempted(phase_1(&hangs))
        .dead_letter("attempts_exhausted")
        .delivered(phase_1(&healthy))
        .event("correlation_ended")
        .event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[hangs, healthy]), then);
    let whole = outcome.dead_letters[0].json();
    assert_eq!(whole["last_outcome"]["error_reason"], "TIMEOUT", "{whole}");
}
