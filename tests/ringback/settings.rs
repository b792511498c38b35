//! Each setting of an account and of a flow, on and off.

use crate::harness::check::{Scene, Then, check};
use crate::harness::samples::{self, phase_1, phase_2, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};

fn flow() -> Value {
    samples::flow("settings", &["s-1"])
}

fn report() -> Value {
    samples::report("settings", "s-1", "DELIVERED")
}

fn flow_and_report(flow: Value) -> impl FnOnce(&mut Scene<'_>) {
    move |scene| {
        scene.flows(&[flow]);
        scene.reports(&[report()]);
    }
}

/// Returns the expectation of both phases, as with everything switched on.
fn both(flow: &Value) -> Then {
    Then::default()
        .delivered(phase_1(flow))
        .delivered(phase_2(flow, &[report()]))
        .event("correlation_ended")
}

/// Returns the expectation of two records that are ignored for this reason, and nothing else.
fn neither(reason: &str) -> Then {
    let label = format!("record_ignored:{reason}");
    Then::default().event(&label).event(&label)
}

/// Sends the flow, and the report once the flow's event is there, so that their order is certain.
fn silenced(flow: Value, reason: &'static str) -> impl FnOnce(&mut Scene<'_>) {
    move |scene| {
        scene.flows(&[flow]);
        scene.wait_for(&format!("record_ignored:{reason}"), 1);
        scene.reports(&[report()]);
    }
}

#[test]
fn without_notify_on_delivery_only_phase_1_is_sent() {
    let mut stage = Stage::new("settings-notify-off");
    stage.set_account("account.sms.notifyOnDelivery", false);
    let then = Then::default()
        .delivered(phase_1(&flow()))
        .event("correlation_ended")
        .event("record_ignored:notify_off");
    let when = |scene: &mut Scene<'_>| {
        // The report comes before the flow, so that it is not ignored as late.
        scene.reports(&[report()]);
        scene.wait_for("record_ignored:notify_off", 1);
        scene.flows(&[flow()]);
    };
    check(&stage, when, then);
}

#[test]
fn without_attach_flow_keys_phase_2_has_no_keys() {
    let mut stage = Stage::new("settings-attach-off");
    stage.set_account("account.sms.notifyOnDelivery.attachflowkeys", false);
    let body = with(phase_2(&flow(), &[report()]), "keys", Value::Null);
    let then =
        Then::default().delivered(phase_1(&flow())).delivered(body).event("correlation_ended");
    check(&stage, flow_and_report(flow()), then);
}

#[test]
fn without_a_default_webhook_nothing_is_sent_and_an_event_says_so() {
    let mut stage = Stage::new("settings-no-webhook");
    stage.no_webhooks();
    check(&stage, silenced(flow(), "no_default_webhook"), neither("no_default_webhook"));
}

#[test]
fn a_webhook_that_is_not_the_default_gets_nothing() {
    let mut stage = Stage::new("settings-not-default");
    stage.set_webhook("default", false);
    check(&stage, silenced(flow(), "no_default_webhook"), neither("no_default_webhook"));
}

#[test]
fn a_record_that_disables_its_webhook_sends_nothing() {
    let stage = Stage::new("settings-record-off");
    let flow = with(flow(), "webhookEnabled", json!(false));
    check(&stage, silenced(flow, "webhook_disabled"), neither("webhook_disabled"));
}

#[test]
fn a_flow_entry_overrides_the_record() {
    let mut stage = Stage::new("settings-flow-on");
    stage.add_flow(200, true);
    let flow = with(flow(), "webhookEnabled", json!(false));
    let then = both(&flow);
    check(&stage, flow_and_report(flow), then);

    let mut stage = Stage::new("settings-flow-off");
    stage.add_flow(200, false);
    let flow = self::flow();
    check(&stage, silenced(flow, "webhook_disabled"), neither("webhook_disabled"));
}

#[test]
fn the_accounts_setting_applies_if_neither_flow_entry_nor_record_has_one() {
    let mut stage = Stage::new("settings-account-on");
    stage.set_account("webhook_enabled", true);
    let flow = with(flow(), "webhookEnabled", Value::Null);
    check(&stage, flow_and_report(flow.clone()), both(&flow));

    let stage = Stage::new("settings-account-silent");
    check(&stage, silenced(flow, "webhook_disabled"), neither("webhook_disabled"));
}

#[test]
fn each_account_has_its_own_webhook() {
    let mut stage = Stage::new("settings-accounts");
    let other = stage.receiver.url("/other");
    stage.add_account(29);
    stage.add_webhook("other", 29, &other);
    let theirs = with(samples::flow("theirs", &[]), "accountID", json!(29));
    let ours = samples::flow("ours", &[]);
    let then = Then::default()
        .delivered(phase_1(&ours))
        .delivered(phase_1(&theirs))
        .event("correlation_ended")
        .event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[ours, theirs]), then);
    for request in &outcome.webhooks {
        let path = if request.uuid() == "theirs" { "/other" } else { "/hooks/phonon" };
        assert_eq!(request.path, path);
    }
}

#[test]
fn an_account_that_is_not_configured_is_a_dead_letter() {
    let stage = Stage::new("settings-unknown-account");
    let flow = with(flow(), "accountID", json!(4711));
    let then = Then::default().dead_letter("unknown_account");
    let outcome = check(&stage, |scene| scene.flows(std::slice::from_ref(&flow)), then);
    let letter = &outcome.dead_letters[0];
    assert_eq!(letter.json(), flow, "the dead letter holds the raw record");
    assert_eq!(letter.key.as_deref(), Some(b"settings".as_slice()));
}

#[test]
fn method_credentials_and_success_codes_of_a_webhook_are_used() {
    use crate::harness::receiver::Answer;
    let mut stage = Stage::new("settings-webhook");
    stage.set_webhook("method", "PUT");
    stage.set_webhook("success_codes", vec![418]);
    let auth: toml::Table =
        toml::from_str("type = 'basic'\nusername = 'phonon'\npassword = 'open sesame'")
            .expect("TOML");
    stage.set_webhook("auth", auth);
    stage.receiver.script(|_, _| Answer::status(418));
    let flow = samples::flow("webhook", &[]);
    let then = Then::default().delivered(phase_1(&flow)).event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
    let request = &outcome.webhooks[0];
    assert_eq!(request.method, "PUT");
    assert_eq!(request.header("authorization"), "Basic cGhvbm9uOm9wZW4gc2VzYW1l");
}

#[test]
fn sighup_reloads_the_accounts() {
    let mut stage = Stage::new("settings-reload");
    let daemon = stage.start();
    let moved = stage.receiver.url("/moved");
    stage.set_webhook("url", moved);
    stage.write_accounts(0);
    daemon.signal("HUP");
    let mut number = 0;
    wait_until("a webhook to the new address", PATIENCE, || {
        number += 1;
        stage.send_flows(&[samples::flow(&format!("reload-{number}"), &[])]);
        let requests = stage.receiver.wait_for(number, PATIENCE);
        requests.iter().any(|request| request.path == "/moved").then_some(())
    });
}
