//! A rule on a status fires on every spelling of it.

use super::*;

const RECEIPT: &str =
    "id:1 sub:001 dlvrd:001 submit date:1 done date:2 stat:DELIVRD err:000 text:hi";

/// Returns the webhooks that a report with this status triggers, if each has a rule on one of `words`.
fn fired(words: &[&'static str], status: &str) -> Vec<String> {
    let rules: Vec<Beside<'_>> =
        words.iter().map(|word| (*word, &[][..], &[][..], Trigger::Sms((*word).into()))).collect();
    let mut play = Play::new(beside(&rules));
    play.flow();
    play.report(status);
    let rows = play.state.deliveries.iter().filter(|row| row.phase == Phase::Rule);
    rows.map(|row| row.webhook.as_str().to_owned()).collect()
}

#[test]
fn a_rule_fires_on_short_and_long_forms_in_any_case_and_with_blanks() {
    let words = ["DELIVERED", "DELIVRD", "FAILED"];
    for status in ["DELIVERED", "DELIVRD", "delivrd", " DELIVRD ", "\tDelivered\n", RECEIPT] {
        assert_eq!(fired(&words, status), ["DELIVERED", "DELIVRD"], "{status:?}");
    }
    assert_eq!(fired(&words, " failed "), ["FAILED"]);
    assert_eq!(fired(&["ODD"], " odd"), ["ODD"], "an unknown word is its own status");
    assert_eq!(fired(&["ODD", "DELIVERED"], "STRANGE"), [""; 0]);
}

#[test]
fn a_rule_fires_on_a_report_that_waited_with_another_spelling() {
    let mut play = Play::new(beside(&[("call", &[], &[], Trigger::Sms("DELIVERED".into()))]));
    play.report(RECEIPT);
    play.flow();
    assert!(play.state.deliveries.iter().any(|row| row.webhook == name("call")));
}

#[test]
fn a_rule_is_skipped_by_its_own_spelling_if_a_newer_report_replaces_another_spelling() {
    let mut play = Play::new(beside(&[("queued", &[], &[], Trigger::Sms("SENT".into()))]));
    play.report(" sent ");
    let events = play.report("DELIVERED");
    let skipped = events.iter().find_map(|event| {
        let Event::RuleSkipped(skipped) = event else { return None };
        Some(&*skipped.trigger)
    });
    assert_eq!(skipped, Some("sms:SENT"));
}

#[test]
fn the_bodies_of_rules_spell_the_uuid_as_the_flow_does() {
    const SPELT: &str = "{0AAAAAAA-0000-4000-8000-00000000000B}";
    let on = [Trigger::Sms("SENT".into()), Trigger::ReportTimedOut];
    let rules: Vec<Beside<'_>> = ["sent", "late"]
        .into_iter()
        .zip(on)
        .map(|(webhook, on)| (webhook, &[][..], &[][..], on))
        .collect();
    let mut play = Play::new(beside(&rules));
    let spelt = PhononUuid::spelt(SPELT).unwrap();
    let uuid = PhononUuid::new(spelt.as_str()).unwrap();
    let flow = FlowComplete { uuid: spelt, ..flow_of("a") };
    play.step(&Command::AcceptFlow(Box::new(flow), source(0)));
    let report = DeliveryReport { uuid: uuid.clone(), ..report("a", "SENT") };
    play.step(&Command::AcceptReport(Box::new(report), source(1)));
    play.at = 2000;
    play.step(&Command::FireTimer(uuid));
    for webhook in ["sent", "late"] {
        let row = play.state.deliveries.iter().find(|row| row.webhook == name(webhook)).unwrap();
        assert!(row.body.starts_with(SPELT.as_bytes()), "{webhook}: {:?}", row.body);
    }
}
