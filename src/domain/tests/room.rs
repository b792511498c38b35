//! The room in a row: what is scheduled fits to the byte, and no delivery makes a decision count the others again.

use super::said::{Said, Says};
use super::*;
use crate::domain::{
    DeadLetterReason, Delivery, Header, Mapped, Rule, STATE_BYTES_MAX, Trigger, WebhookEnd,
};

fn name(text: &str) -> WebhookName {
    WebhookName::new(text).unwrap()
}

/// Returns a configuration in which the webhook `long` has a body of this many bytes. A rule sends it after two others.
fn policy_of(on: &Trigger, bytes: usize, change: &dyn Fn(&mut Policy, &mut Said)) -> Policy {
    let rule = |to| {
        (
            None,
            Rule {
                on: vec![on.clone()],
                when: Vec::new(),
                webhook: name(to),
                after: None,
                any_flow: false,
            },
        )
    };
    let mut policy = account(|account| {
        account.uses_variables = true;
        account.attach_flow_keys = true;
        account.rules = ["fixed", "short", "long"].map(rule).to_vec();
    });
    let mut said = Said::default();
    said.insert(name("long"), Says::Long(bytes), &[]);
    said.insert(name("short"), Says::Values(&[]), &[]);
    change(&mut policy, &mut said);
    said.apply(&mut policy);
    policy
}

/// Plays `before`, and returns the state and the events of `last`.
fn play(policy: &Policy, before: &[Command], last: &Command) -> (State, Vec<Event>) {
    let now = Timestamp::from_ms(2000);
    let state = before.iter().fold(State::default(), |state, command| {
        let events = decide(&state, command, policy, Timestamp::from_ms(0));
        events.iter().fold(state, evolve)
    });
    let events = decide(&state, last, policy, now);
    (state, events)
}

fn is_refused(events: &[Event]) -> bool {
    let refused = |event: &Event| {
        matches!(event, Event::DeadLettered { delivery, reason: DeadLetterReason::InvalidRequest, .. }
            if delivery.webhook == name("long"))
    };
    events.iter().any(refused)
}

/// Asserts that `last` schedules or renders the webhook `long` if the row can hold it, and only then.
#[track_caller]
fn assert_exact(
    on: &Trigger,
    change: &dyn Fn(&mut Policy, &mut Said),
    before: &[Command],
    last: &Command,
) {
    let (state, events) = play(&policy_of(on, 0, change), before, last);
    assert!(!is_refused(&events), "{events:?}");
    let is_long =
        |delivery: Option<&Delivery>| delivery.is_some_and(|it| it.webhook == name("long"));
    let puts = |event: &Event| {
        if let Event::DeliveryRendered { delivery, .. } = event {
            return is_long(state.delivery(*delivery));
        }
        is_long(event.begun())
    };
    let end =
        events.iter().rposition(puts).unwrap_or_else(|| panic!("nothing is sent: {events:?}"));
    let bytes = events[..=end].iter().fold(state, evolve).bytes_max();
    let left = STATE_BYTES_MAX - bytes;
    let (_, fits) = play(&policy_of(on, left, change), before, last);
    assert!(!is_refused(&fits), "there is room for {left} bytes");
    let (_, exceeds) = play(&policy_of(on, left + 1, change), before, last);
    assert!(is_refused(&exceeds), "there is no room for more than {left} bytes");
}

fn flow_command(flow: FlowComplete) -> Command {
    let record = Bytes::from_static(b"the whole record");
    Command::AcceptFlow(Box::new(FlowComplete { record, ..flow }), source(0))
}

fn report_command(id: &str, status: &str) -> Command {
    let headers = [Header { name: "trace".into(), value: Some(Bytes::from_static(b"abc")) }].into();
    let raw = Some(Bytes::from_static(b"the report as it came"));
    let report = DeliveryReport { raw, headers, ..report(id, status) };
    Command::AcceptReport(Box::new(report), source(1))
}

fn as_it_is(_: &mut Policy, _: &mut Said) {}

fn each_and_notify(policy: &mut Policy, _: &mut Said) {
    policy.correlation.phase2_wait = Phase2Wait::Each;
    policy.correlation.on_report_timeout = OnReportTimeout::Notify;
}

fn all_and_notify(policy: &mut Policy, _: &mut Said) {
    policy.correlation.on_report_timeout = OnReportTimeout::Notify;
}

#[test]
fn the_room_for_a_rule_on_the_flow_is_exact() {
    let letter = Delivery::new(
        phase_2("z"),
        Phase::Two,
        OURS,
        name("crm"),
        Bytes::from_static(b"as it was"),
        source(0),
        Timestamp::default(),
    );
    let replayed = Command::Replay(Box::new(letter));
    let on = Trigger::FlowComplete;
    assert_exact(&on, &as_it_is, std::slice::from_ref(&replayed), &flow_command(flow_of("a b")));
    let waiting = [replayed, report_command("a", "SENT"), report_command("x", "FAILED")];
    assert_exact(&on, &as_it_is, &waiting, &flow_command(flow_of("a b")));
    assert_exact(&on, &as_it_is, &waiting, &flow_command(flow()));
}

#[test]
fn the_room_for_a_rule_on_a_report_is_exact() {
    let flow = || flow_command(flow_of("a b"));
    for change in [&as_it_is as &dyn Fn(&mut Policy, &mut Said), &each_and_notify] {
        let on = Trigger::Sms("FAILED".into());
        let failed = report_command("a", "FAILED");
        // Phase 2 is sent for the first SMS or for none.
        assert_exact(&on, change, &[flow()], &failed);
        assert_exact(&on, change, &[flow(), report_command("a", "SENT")], &failed);
        // The collection is complete.
        assert_exact(&on, change, &[flow(), report_command("b", "DELIVERED")], &failed);
        assert_exact(&on, change, &[flow_command(super::flow())], &failed);
        // The reports waited for the flow.
        assert_exact(&Trigger::SmsFinal, change, std::slice::from_ref(&failed), &flow());
        let both = [report_command("a", "SENT"), report_command("b", "FAILED")];
        assert_exact(&on, change, &both, &flow());
        assert_exact(&on, change, &both, &flow_command(super::flow()));
    }
}

#[test]
fn the_room_for_a_rule_at_the_report_time_out_is_exact() {
    let before = [
        flow_command(flow_of("a b c")),
        report_command("a", "DELIVERED"),
        report_command("b", "SENT"),
    ];
    for change in [&as_it_is as &dyn Fn(&mut Policy, &mut Said), &each_and_notify, &all_and_notify]
    {
        assert_exact(&Trigger::ReportTimedOut, change, &before, &timer());
    }
}

#[test]
fn the_room_for_a_delivery_that_waited_for_an_answer_is_exact() {
    let gives = |_: &mut Policy, said: &mut Said| {
        said.insert(name("short"), Says::Values(&[]), &["$flow.key.long"]);
    };
    let before = [flow_command(flow_of("")), delivered(phase_1())];
    let (state, _) = play(&policy_of(&Trigger::FlowComplete, 0, &gives), &before, &timer());
    let short = state.deliveries.iter().find(|row| row.webhook == name("short")).unwrap().id;
    let mapped = vec![Mapped { save_in: "$flow.key.long".into(), value: "1".into() }];
    let outcome = Outcome { mapped: mapped.into(), ..outcome(Verdict::Delivered, None) };
    let answer = Command::RecordOutcome { delivery: short, attempt: 1, outcome };
    assert_exact(&Trigger::FlowComplete, &gives, &before, &answer);
}

#[test]
fn the_room_counts_rules_that_wait_for_the_end_of_a_webhook() {
    let waits = |policy: &mut Policy, _: &mut Said| {
        let on = vec![Trigger::Webhook(name("crm"), WebhookEnd::Failed)];
        let (when, webhook) = (Vec::new(), name("short"));
        let rule = Rule { on, when, webhook, after: None, any_flow: false };
        policy.accounts.get_mut(&OURS).unwrap().rules.insert(0, (None, rule));
    };
    let flow = || flow_command(flow_of("a b"));
    assert_exact(&Trigger::FlowComplete, &waits, &[], &flow());
    let failed = report_command("a", "FAILED");
    assert_exact(&Trigger::SmsFinal, &waits, &[flow()], &failed);
}

#[test]
fn the_room_for_a_rule_at_the_end_of_a_webhook_is_exact() {
    let on = Trigger::Webhook(name("crm"), WebhookEnd::Delivered);
    let before = [flow_command(flow_of("a b"))];
    assert_exact(&on, &as_it_is, &before, &delivered(phase_1()));
}

/// Work is an event that is applied, or a delivery whose size is computed.
#[test]
fn the_work_of_a_decision_grows_with_its_deliveries_and_not_with_their_square() {
    for deliveries in [10, 1000] {
        let mut policy = policy_of(&Trigger::FlowComplete, 10, &as_it_is);
        let rules = &mut policy.accounts.get_mut(&OURS).unwrap().rules;
        let rule = rules.last().unwrap().clone();
        *rules = vec![rule; deliveries];
        let mut said = Said::default();
        for (number, (_, rule)) in rules.iter_mut().enumerate() {
            rule.webhook = name(&format!("long{number}"));
            said.insert(rule.webhook.clone(), Says::Long(10), &[]);
        }
        said.apply(&mut policy);
        work::done();
        let events =
            decide(&State::default(), &flow_command(flow_of("a")), &policy, Timestamp::from_ms(0));
        let done = work::done();
        assert_eq!(events.iter().filter_map(Event::begun).count(), deliveries + 1);
        assert!(done <= 2 * deliveries + 2, "{deliveries} deliveries, {done} pieces of work");
    }
}

/// The rules about phase 2 wait with its body and with the keys as facts. They have the room that the flow reserved for keys and further reports.
#[test]
fn a_collection_that_closes_leaves_its_room_to_the_rules_about_phase_2() {
    const KEYS: usize = STATE_BYTES_MAX / 8;
    let on = WebhookEnd::ALL.map(|end| Trigger::Webhook(name("crm"), end));
    let rules = on.map(|on| {
        let (on, when, webhook) = (vec![on], Vec::new(), name("short"));
        (None, Rule { on, when, webhook, after: None, any_flow: false })
    });
    let mut policy = account(|account| {
        account.attach_flow_keys = true;
        account.rules = rules.into();
    });
    let mut said = Said::default();
    said.insert(name("short"), Says::Predefined, &[]);
    said.apply(&mut policy);
    policy.correlation.on_report_timeout = OnReportTimeout::Notify;
    let body = || Bytes::from(vec![b'a'; KEYS]);
    let listed = || FlowComplete { body: body(), keys: 0..KEYS, ..flow_of("a") };
    let unlisted = || FlowComplete { body: body(), keys: 0..KEYS, ..flow() };
    let skips = |policy: &Policy, flow: FlowComplete, reports: &[(&str, &str)]| {
        let mut before = vec![flow_command(flow), delivered(phase_1())];
        before.extend(reports.iter().map(|(id, status)| report_command(id, status)));
        let (state, events) = play(policy, &before, &timer());
        let after = events.iter().fold(state, evolve);
        assert!(after.deliveries.iter().any(|row| row.phase == Phase::Two), "{events:?}");
        assert_eq!(after.deferred.len(), 2);
        assert!(after.bytes_max() <= STATE_BYTES_MAX);
        after.deferred.iter().filter(|rule| rule.skip_reason().is_some()).count()
    };
    assert_eq!(skips(&policy, listed(), &[]), 0, "at the report time-out");
    policy.correlation.phase2_gather_ms = 10;
    policy.correlation.report_timeout_ms = 5000;
    assert_eq!(skips(&policy, unlisted(), &[("b", "SENT"), ("a", "FAILED")]), 0, "after gathering");
}
