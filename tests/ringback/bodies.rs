//! The two predefined bodies, compared byte for byte, and the requests' headers and signatures.

use crate::harness::check::{Outcome, Then, check};
use crate::harness::daemon::command;
use crate::harness::kafka::Record;
use crate::harness::receiver::Received;
use crate::harness::samples::{self, with};
use crate::harness::signature;
use crate::harness::stage::Stage;
use serde_json::{Value, json};

fn sample_records(stage: &Stage) -> [Record; 2] {
    let keyed = |record| Record { key: Some(samples::UUID.into()), ..record };
    [
        keyed(stage.raw("flow-complete", samples::FLOW)),
        keyed(stage.raw("sms-delivery-report", samples::REPORT)),
    ]
}

fn text_of(outcome: &Outcome, phase: u8) -> &str {
    let request = outcome.webhooks.iter().find(|request| request.phase() == phase);
    request.expect("the phase came").text()
}

/// Runs one flow with one report and expects phase 1 of the flow and `phase_2`.
fn two_phases(stage: &Stage, flow: &Value, report: &Value, phase_2: &Value) -> Outcome {
    let then = Then::default().delivered(samples::phase_1(flow)).delivered(phase_2.clone());
    let when = |scene: &mut crate::harness::check::Scene<'_>| {
        scene.flows(std::slice::from_ref(flow));
        scene.reports(std::slice::from_ref(report));
    };
    check(stage, when, then.event("correlation_ended"))
}

#[test]
fn the_sample_records_produce_the_sample_bodies_with_valid_signatures() {
    let mut stage = Stage::new("bodies-samples");
    stage.set_webhook("signing_secrets", vec![signature::SECRET]);
    let body = |text: &str| serde_json::from_str::<Value>(text).expect("the sample is JSON");
    let then = Then::default()
        .delivered(body(samples::PHASE_1))
        .delivered(body(samples::PHASE_2))
        .event("correlation_ended");
    let outcome =
        check(&stage, |scene| scene.stage.kafka.produce(&sample_records(scene.stage)), then);
    assert_eq!(text_of(&outcome, 1), samples::PHASE_1.trim_end());
    assert_eq!(text_of(&outcome, 2), samples::PHASE_2.trim_end());
    signature::verify(signature::SECRET, &outcome.webhooks);
    for request in &outcome.webhooks {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hooks/phonon"));
        assert!(request.header("content-type").starts_with("application/json"), "{request:?}");
        assert!(!request.header("user-agent").is_empty(), "{request:?}");
        assert!(!request.header("traceparent").is_empty(), "{request:?}");
        assert!(!request.id().contains('.'), "{request:?}");
    }
    for event in outcome.events("delivered") {
        assert_eq!(event["phonon_uuid"], samples::UUID, "{event}");
        assert_eq!(event["account_id"], samples::ACCOUNT, "{event}");
        assert_eq!(event["webhook"], "crm", "{event}");
        assert_eq!(event["attempt"], 1, "{event}");
        let request = outcome.webhooks.iter().find(|r| r.id() == event["webhook_id"]);
        assert_eq!(event["phase"], request.expect("it came").phase(), "{event}");
    }
}

#[test]
fn a_rotation_signs_with_every_live_secret() {
    let mut stage = Stage::new("bodies-rotation");
    let newer = "whsec_bmV3ZXIga2V5LCB0d2VudHktZm91ciBieXRlcw==";
    stage.set_webhook("signing_secrets", vec![signature::SECRET, newer]);
    let flow = samples::flow("rotation", &[]);
    let then = Then::default().delivered(samples::phase_1(&flow)).event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
    signature::verify(signature::SECRET, &outcome.webhooks);
    signature::verify(newer, &outcome.webhooks);
}

/// A retry is the same message with a new timestamp, so that an endpoint that rejects old timestamps accepts it.
#[test]
fn each_attempt_has_its_own_time_signature_and_span() {
    let mut stage = Stage::new("bodies-attempts");
    stage.set_webhook("signing_secrets", vec![signature::SECRET]);
    // The pause is longer than a second, because timestamps have a resolution of one second.
    stage.set("delivery.retry.initial_interval_ms", 1100);
    stage.set("delivery.retry.interval_max_ms", 1100);
    stage.receiver.statuses(&[500, 200]);
    let flow = samples::flow("attempts", &[]);
    let then = Then::default()
        .attempted(samples::phase_1(&flow))
        .delivered(samples::phase_1(&flow))
        .event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
    signature::verify(signature::SECRET, &outcome.webhooks);
    let [first, second] = outcome.webhooks.as_slice() else { panic!("two came") };
    assert_eq!((first.id(), &first.body), (second.id(), &second.body));
    for header in ["webhook-timestamp", "webhook-signature", "traceparent"] {
        assert_ne!(first.header(header), second.header(header), "{header}");
    }
    let [first, second] = [first, second].map(|request| {
        let parts: Vec<_> = request.header("traceparent").split('-').collect();
        let [version, trace, parent, flags] = parts[..] else { panic!("{parts:?}") };
        assert_eq!((version, flags), ("00", "01"));
        for (id, length) in [(trace, 32), (parent, 16)] {
            let digits = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            assert!(id.len() == length && digits && id.bytes().any(|byte| byte != b'0'), "{id}");
        }
        trace
    });
    assert_eq!(first, second, "both attempts belong to one trace");
}

/// During a rotation, keys of `secret new --ed25519` sign beside the old secret. A receiver verifies with the public
/// key only.
#[test]
fn ed25519_keys_sign_beside_a_secret() {
    let pairs = [(); 2].map(|()| {
        let made = command(&["secret", "new", "--ed25519"]);
        (made.out.trim_end().to_owned(), made.err.trim_end().to_owned())
    });
    let [(private, public), (newer_private, newer_public)] = &pairs;
    let mut stage = Stage::new("bodies-ed25519");
    stage.set_webhook("signing_secrets", vec![private.as_str(), signature::SECRET, newer_private]);
    let flow = samples::flow("ed25519", &[]);
    let then = Then::default().delivered(samples::phase_1(&flow)).event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
    signature::verify(signature::SECRET, &outcome.webhooks);
    signature::verify_ed25519(public, &outcome.webhooks);
    signature::verify_ed25519(newer_public, &outcome.webhooks);
    let header = outcome.webhooks[0].header("webhook-signature");
    let schemes: Vec<_> = header.split(' ').filter_map(|one| one.split(',').next()).collect();
    assert_eq!(schemes, ["v1a", "v1", "v1a"]);
    let forged = Received { body: "{}".into(), ..outcome.webhooks[0].clone() };
    assert!(!signature::is_signed_ed25519(public, &forged), "the signature covers the body");
}

#[test]
fn a_flow_without_recordings_has_no_recording_urls() {
    let stage = Stage::new("bodies-no-recordings");
    let flow = with(samples::flow("no-recordings", &["s-1"]), "recordingUrls", Value::Null);
    let flow = {
        let first_leg = flow["callDetails"][0].clone();
        with(flow, "callDetails", json!([first_leg]))
    };
    let report = samples::report("no-recordings", "s-1", "DELIVERED");
    let phase_2 = samples::phase_2(&flow, std::slice::from_ref(&report));
    let outcome = two_phases(&stage, &flow, &report, &phase_2);
    assert!(!text_of(&outcome, 1).contains("recordingUrls"));
}

#[test]
fn an_empty_list_of_recordings_counts_as_none() {
    let stage = Stage::new("bodies-empty-recordings");
    let flow = with(samples::flow("empty-recordings", &[]), "recordingUrls", json!([]));
    let body = samples::phase_1(&with(flow.clone(), "recordingUrls", Value::Null));
    let then = Then::default().delivered(body).event("correlation_ended");
    check(&stage, |scene| scene.flows(&[flow]), then);
}

#[test]
fn a_flow_without_keys_has_an_empty_list() {
    let stage = Stage::new("bodies-no-keys");
    let flow = with(samples::flow("no-keys", &["s-1"]), "keys", Value::Null);
    let report = samples::report("no-keys", "s-1", "FAILED");
    let phase_2 = samples::phase_2(&flow, std::slice::from_ref(&report));
    let outcome = two_phases(&stage, &flow, &report, &phase_2);
    assert!(text_of(&outcome, 1).contains(r#""keys":[]"#));
}

#[test]
fn without_a_list_of_sms_the_first_final_report_ends_the_correlation() {
    let stage = Stage::new("bodies-no-list");
    let flow = with(samples::flow("no-list", &[]), "sms", Value::Null);
    let report = samples::report("no-list", "s-9", "UNDELIV");
    let phase_2 = samples::phase_2(&flow, std::slice::from_ref(&report));
    two_phases(&stage, &flow, &report, &phase_2);
}

#[test]
fn an_empty_list_of_sms_means_phase_1_only() {
    let stage = Stage::new("bodies-empty-list");
    let flow = samples::flow("empty-list", &[]);
    let then = Then::default().delivered(samples::phase_1(&flow)).event("correlation_ended");
    check(&stage, |scene| scene.flows(&[flow]), then);
}

/// Numbers, escapes and unknown fields are passed on as they were spelt. Only white space between tokens is removed.
#[test]
fn parts_are_passed_on_as_they_were_spelt() {
    let stage = Stage::new("bodies-spelling");
    let flow = r#"{"phononUuid": "spelt", "accountID": 28, "webhookEnabled": true, "sms": ["s-1"],
        "callDetails": [ {"z": 0.10, "a": 1234567890123456789, "e": 1E+2} ],
        "keys": [ {"name": "k", "value": "A\/é\u00e9 \" x"} ] }"#;
    let report = r#"{"phononUuid": "spelt", "accountID": 28, "id": "s-1", "new": [ 1.50, null ],
        "deliveryStatus": "delivered"}"#;
    let keys = r#"[{"name":"k","value":"A\/é\u00e9 \" x"}]"#;
    let legs = r#"[{"z":0.10,"a":1234567890123456789,"e":1E+2}]"#;
    let phase_1 = format!(r#"{{"callDetails":{legs},"keys":{keys},"phonon-uuid":"spelt"}}"#);
    let details = r#"[{"phononUuid":"spelt","accountID":28,"id":"s-1","new":[1.50,null],"deliveryStatus":"delivered"}]"#;
    let phase_2 = format!(r#"{{"phonon-uuid":"spelt","smsDetails":{details},"keys":{keys}}}"#);
    let body = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let then = Then::default()
        .delivered(body(&phase_1))
        .delivered(body(&phase_2))
        .event("correlation_ended");
    let records = [stage.raw("flow-complete", flow), stage.raw("sms-delivery-report", report)];
    let outcome = check(&stage, |scene| scene.stage.kafka.produce(&records), then);
    assert_eq!(text_of(&outcome, 1), phase_1);
    assert_eq!(text_of(&outcome, 2), phase_2);
}
