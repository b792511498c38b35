//! Spellings that mean the same.

use super::keyed;
use crate::harness::check::{Scene, Then, check};
use crate::harness::samples::{UUID, flow, phase_1, phase_2, report, with};
use crate::harness::stage::Stage;
use serde_json::{Value, json};

#[test]
fn records_of_one_uuid_in_several_spellings_belong_together_and_bodies_keep_the_first() {
    // With two partitions, a spelling may be in the partition of another owner.
    let stage = Stage::new("spellings");
    let upper = UUID.to_uppercase();
    let braces = format!("{{{UUID}}}");
    let sms = "290A4138-5729-475F-95E1-9FF30F851D67";
    let flow = flow(&upper, &[sms]);
    let reports = [
        report(UUID, &sms.to_lowercase(), "SENT"),
        report(&braces, &format!("{{{sms}}}"), "DELIVERED"),
    ];
    let reports = reports.map(|report| with(report, "flowId", Value::Null));
    let then = Then::default()
        .delivered(phase_1(&flow))
        .delivered(phase_2(&flow, &reports[1..]))
        .event("correlation_ended");
    let play = |scene: &mut Scene<'_>| {
        scene.flows(std::slice::from_ref(&flow));
        scene.wait_for("delivered", 1);
        scene.reports(&reports);
    };
    let outcome = check(&stage, play, then);
    let traced = stage.command(&["trace", &upper, "--json"]);
    assert_eq!(traced.code, Some(0), "{traced:?}");
    assert!(traced.out.contains("delivered"), "{traced:?}");
    for event in outcome.events.iter().filter(|event| event["phonon_uuid"] != Value::Null) {
        assert_eq!(event["phonon_uuid"], UUID, "events have one form: {event}");
    }
}

#[test]
fn integers_with_a_fraction_of_zeros_and_booleans_as_words_are_read() {
    let mut stage = Stage::new("spellings-numbers");
    stage.set_account("webhook_enabled", false);
    let text = flow("numbers", &[]).to_string();
    let text = text.replace("\"accountID\":28", "\"accountID\":28.0");
    let mut marked = b"\xef\xbb\xbf".to_vec();
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    let text = with(expected.clone(), "webhookEnabled", json!("true")).to_string();
    assert!(text.contains("\"accountID\":28.0"), "{text}");
    marked.extend_from_slice(text.as_bytes());
    let record = keyed(&stage, "flow-complete", "numbers", marked);
    let then = Then::default().delivered(phase_1(&expected)).event("correlation_ended");
    check(&stage, |_| stage.kafka.produce(&[record]), then);
}
