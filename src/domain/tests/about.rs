//! Deliveries name the SMS that they are about, from the record that triggers them to their end.

use super::*;
use crate::domain::{Rule, Trigger};

/// Returns the SMS of the deliveries that `events` schedule, replay or end, each separated by blanks.
fn about(events: &[Event]) -> Vec<String> {
    let deliveries = events.iter().filter_map(|event| event.begun().or(event.ended()));
    let texts = |sms: &[SmsId]| sms.iter().map(SmsId::as_str).collect::<Vec<_>>().join(" ");
    deliveries.map(|delivery| texts(&delivery.sms)).collect()
}

struct Scene(Policy, State);

impl Scene {
    #[track_caller]
    fn play(&mut self, at: i64, command: &Command, expected: &[&str]) -> Vec<Event> {
        let events = decide(&self.1, command, &self.0, Timestamp::from_ms(at));
        self.1 = events.iter().fold(std::mem::take(&mut self.1), evolve);
        assert_eq!(about(&events), expected, "{events:?}");
        events
    }

    #[track_caller]
    fn flow(&mut self, list: &str, expected: &[&str]) {
        let record = Box::new(flow_of(list));
        self.play(0, &Command::AcceptFlow(record, source(0)), expected);
    }

    #[track_caller]
    fn report(&mut self, id: &str, status: &str, expected: &[&str]) {
        let record = Box::new(report(id, status));
        self.play(1, &Command::AcceptReport(record, source(1)), expected);
    }

    fn last(&self) -> DeliveryId {
        self.1.deliveries.last().unwrap().id
    }
}

fn ruled(on: Trigger, change: impl FnOnce(&mut Policy)) -> Scene {
    let webhook = WebhookName::new("beside").unwrap();
    let (on, when) = (vec![on], Vec::new());
    let rule = Rule { on, when, webhook, after: None, any_flow: false };
    let mut policy = account(|account| account.rules = vec![(None, rule)]);
    change(&mut policy);
    Scene(policy, State::default())
}

#[test]
fn a_phase_2_of_several_sms_names_them_all_until_its_end_and_in_a_replay() {
    let mut scene = Scene(policy(), State::default());
    scene.flow("a b", &[""]);
    scene.play(1, &delivered(phase_1()), &[""]);
    scene.report("b", "DELIVERED", &[]);
    scene.report("a", "FAILED", &["a b"]);
    let refused = final_failure(phase_2("a b"), 1, ErrorReason::Refused);
    let events = scene.play(2, &refused, &["a b"]);
    let letter = events.iter().find_map(Event::ended).unwrap().clone();
    scene.play(5000, &timer(), &[]);
    assert_eq!(scene.1, State::default(), "nothing is known of the uuid");
    scene.play(5001, &Command::Replay(Box::new(letter)), &["a b"]);
    scene.play(5002, &delivered(phase_2("a b")), &["a b"]);
}

#[test]
fn a_rules_delivery_names_its_sms_after_another_report_of_it() {
    let mut scene = ruled(Trigger::Sms("SENT".into()), |_| {});
    scene.flow("a", &[""]);
    scene.report("a", "SENT", &["a"]);
    let sent = scene.last();
    scene.report("a", "DELIVERED", &["a"]);
    scene.play(2, &delivered(phase_1()), &[""]);
    scene.play(3, &delivered(sent), &["a"]);
}

#[test]
fn deliveries_at_the_report_time_out_name_every_sms_that_was_left() {
    let mut scene = ruled(Trigger::ReportTimedOut, |policy| {
        policy.correlation.on_report_timeout = OnReportTimeout::Notify;
        policy.correlation.phase2_wait = Phase2Wait::Each;
    });
    scene.flow("a b c", &[""]);
    scene.report("a", "DELIVERED", &["a"]);
    scene.report("b", "SENT", &[]);
    scene.play(2000, &timer(), &["b", "c", "b c"]);
}

#[test]
fn a_rule_on_the_flow_is_about_no_sms() {
    let mut scene = ruled(Trigger::FlowComplete, |_| {});
    scene.flow("a", &["", ""]);
}
