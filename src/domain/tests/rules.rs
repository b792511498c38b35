//! Webhooks beside the two phases, and webhooks whose body is not a predefined one.

mod after;
mod given;
mod many;
mod replayed;
mod skipped;
mod spellings;

use super::render::Renderer;
use super::said::{Said, Says, reads};
use super::*;
use crate::domain::{
    Condition, DeadLetterReason, Mapped, Rendering, Rule, STATE_BYTES_MAX, Test, Trigger,
};

fn name(text: &str) -> WebhookName {
    WebhookName::new(text).unwrap()
}

/// A webhook's name, the variables in its body, the variables that its answer sets, and its trigger.
type Beside<'a> = (&'a str, &'static [&'static str], &'a [&'a str], Trigger);

/// Returns the usual configuration with these webhooks beside the default one.
fn beside(webhooks: &[Beside<'_>]) -> Policy {
    beside_but(webhooks, |_| {})
}

/// Like `beside`, with a change of the definitions.
fn beside_but(webhooks: &[Beside<'_>], change: impl FnOnce(&mut Said)) -> Policy {
    let mut policy = account(|account| {
        account.uses_variables = true;
        account.rules = webhooks.iter().map(|(to, _, _, on)| (None, rule(to, on))).collect();
    });
    let mut said = Said::default();
    for (to, says, saves, _) in webhooks {
        said.insert(name(to), Says::Values(says), saves);
    }
    change(&mut said);
    said.apply(&mut policy);
    policy
}

/// Returns a rule that sends the webhook `to`.
fn rule(to: &str, on: &Trigger) -> Rule {
    let (on, when) = (vec![on.clone()], Vec::new());
    Rule { on, when, webhook: name(to), after: None, any_flow: false }
}

fn failed_sms() -> Trigger {
    Trigger::Sms("FAILED".into())
}

fn id(state: &State, to: &str) -> DeliveryId {
    let mut found = state.deliveries.iter().filter(|row| row.webhook.as_str() == to);
    let id = found.next().unwrap_or_else(|| panic!("nothing to {to}")).id;
    assert!(found.next().is_none());
    id
}

fn gives(delivery: DeliveryId, variable: &str, value: &str) -> Command {
    let mapped = vec![Mapped { save_in: variable.into(), value: value.into() }];
    let outcome = Outcome { mapped: mapped.into(), ..outcome(Verdict::Delivered, None) };
    Command::RecordOutcome { delivery, attempt: 1, outcome }
}

/// Plays commands that depend on the state, and records the events, one per line.
struct Play {
    policy: Policy,
    state: State,
    renderer: Renderer,
    at: i64,
}

impl Play {
    fn new(policy: Policy) -> Self {
        Self { policy, state: State::default(), renderer: Renderer::default(), at: 0 }
    }

    fn step(&mut self, command: &Command) -> Vec<Event> {
        let events = decide(&self.state, command, &self.policy, Timestamp::from_ms(self.at));
        self.renderer.events(self.at, &events);
        self.state = events.iter().fold(std::mem::take(&mut self.state), evolve);
        self.at += 1;
        events
    }

    fn flow(&mut self) -> Vec<Event> {
        let flow = FlowComplete { record: Bytes::from_static(b"R"), ..flow_of("a") };
        self.step(&Command::AcceptFlow(Box::new(flow), source(0)))
    }

    fn report(&mut self, status: &str) -> Vec<Event> {
        self.step(&Command::AcceptReport(Box::new(report("a", status)), source(1)))
    }

    fn end(self, then: &str) {
        let happened = self.renderer.finish(&self.state);
        let expected: Vec<&str> = then.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        assert_eq!(happened.lines().collect::<Vec<_>>(), expected, "it was:\n{happened}");
    }
}

#[test]
fn a_rule_schedules_its_own_delivery_after_phase_1() {
    let policy = beside(&[("call", &["$flow.key.record"], &[], Trigger::FlowComplete)]);
    let mut play = Play::new(policy);
    play.flow();
    play.step(&delivered(phase_1()));
    let call = id(&play.state, "call");
    assert_ne!(call, phase_1());
    play.step(&delivered(call));
    play.end(
        "0: flow, collecting until 2000
        0: P1 to crm at 0, by #0: flow K
        0: R(call) to call after P1, by #0: flow K R
        1: P1 delivered by attempt 1
        2: R(call) delivered by attempt 1
        = collecting until 2000",
    );
}

#[test]
fn a_webhook_that_uses_a_value_from_an_answer_leaves_after_the_webhook_that_gives_it() {
    let policy = beside(&[
        ("call", &["$sms.report"], &["$flow.key.req"], failed_sms()),
        ("tell", &["$flow.key.req"], &[], failed_sms()),
    ]);
    let mut play = Play::new(policy);
    play.flow();
    play.step(&delivered(phase_1()));
    play.report("FAILED");
    play.step(&delivered(phase_2("a")));
    let call = id(&play.state, "call");
    play.step(&failed(call, 1));
    let answered = gives(call, "$flow.key.req", "17");
    let Command::RecordOutcome { outcome, .. } = answered else { panic!() };
    play.step(&Command::RecordOutcome { delivery: call, attempt: 2, outcome });
    let tell = id(&play.state, "tell");
    play.step(&delivered(tell));
    play.end(
        "0: flow, collecting until 2000
        0: P1 to crm at 0, by #0: flow K
        1: P1 delivered by attempt 1
        2: report a FAILED
        2: P2(a) to crm at 2, by #1: u [a FAILED]
        2: complete
        2: R(call) to call at 2, by #1: u [a FAILED] a FAILED
        2: R(tell) to tell after P1, by #1: u [a FAILED]
        3: P2(a) delivered by attempt 1
        4: R(call) attempt 1 failed, next at 14
        5: R(call) delivered by attempt 2
        5: R(tell) rendered: u [a FAILED] 17
        6: R(tell) delivered by attempt 1
        6: ended
        6: marker of 28 until 506
        = marker of 28 until 506",
    );
}

#[test]
fn deliveries_that_waited_for_an_answer_that_never_came_become_dead_letters_with_their_facts() {
    let policy = beside(&[
        ("call", &[], &["$flow.key.req"], failed_sms()),
        ("tell", &["$flow.key.req"], &["$flow.key.more"], failed_sms()),
        ("last", &["$flow.key.more"], &[], failed_sms()),
    ]);
    let mut play = Play::new(policy.clone());
    play.flow();
    play.step(&delivered(phase_1()));
    play.report("FAILED");
    play.step(&delivered(phase_2("a")));
    let call = id(&play.state, "call");
    let reason = DeadLetterReason::EndpointDisabled;
    let events = play.step(&Command::GiveUp { delivery: call, reason });
    let letters: Vec<(&str, DeadLetterReason)> = events
        .iter()
        .filter_map(|event| {
            let Event::DeadLettered { delivery, reason, .. } = event else { return None };
            Some((delivery.webhook.as_str(), *reason))
        })
        .collect();
    let unrendered = DeadLetterReason::InvalidFlowVar;
    assert_eq!(letters, [("call", reason), ("tell", unrendered), ("last", unrendered)]);
    assert!(
        matches!(events.last(), Some(Event::MarkerKept { .. })),
        "the correlation has not ended"
    );
    let Some(Event::DeadLettered { delivery: tell, .. }) = events.get(1) else { panic!() };
    let error = tell.last_outcome.as_ref().and_then(|it| it.error.as_deref());
    assert_eq!((error, tell.attempts), (Some("no $flow.key.req"), 0));
    let Rendering::Pending(pending) = &tell.rendering else { panic!("{tell:?}") };
    assert_eq!(pending.facts.record.as_deref(), Some(&b"R"[..]));

    // Replayed unchanged, it becomes a dead letter again. With a corrected definition it is sent.
    let again = play.step(&Command::Replay(tell.clone()));
    let [Event::Replayed { .. }, Event::DeadLettered { delivery, .. }] = again.as_slice() else {
        panic!("{again:?}")
    };
    assert_eq!(delivery.replays, 1);
    let mut corrected = Said::default();
    corrected.insert(name("tell"), Says::Values(&["$flow.key.record"]), &[]);
    corrected.apply(&mut play.policy);
    play.step(&Command::Replay(delivery.clone()));
    assert_eq!(play.state.deliveries[0].body, "u [a FAILED] R");
    assert!(matches!(play.state.deliveries[0].rendering, Rendering::Done(_)));
}

#[test]
fn a_phase_that_cannot_be_rendered_becomes_a_dead_letter_at_once_and_delays_no_other_delivery() {
    let says = Says::Values(&["$sms.report"]);
    let policy = beside_but(&[], |said| said.insert(name("crm"), says, &[]));
    let mut play = Play::new(policy);
    let events = play.flow();
    assert!(matches!(
        events.last(),
        Some(Event::DeadLettered { reason: DeadLetterReason::InvalidFlowVar, .. })
    ));
    play.report("DELIVERED");
    play.end(
        "0: flow, collecting until 2000
        0: P1 to crm at 0, by #0: flow K
        0: dead letter of P1: invalid_flow_var after 0
        1: report a DELIVERED
        1: P2(a) to crm at 1, by #1: u [a DELIVERED] a DELIVERED
        1: complete
        = complete: a sent; P2(a) at 1",
    );
}

#[test]
fn each_report_with_the_status_triggers_once_in_upper_and_lower_case() {
    let policy = beside(&[("call", &[], &[], Trigger::Sms("SENT".into()))]);
    let mut play = Play::new(policy);
    play.report("sent");
    play.flow();
    play.report("sent");
    let events = play.report("SENT");
    let fired = |events: &[Event]| {
        events.iter().filter(|it| matches!(it, Event::DeliveryScheduled { .. })).count()
    };
    assert_eq!(fired(&events), 1, "another report with the same status");
    let rows = play.state.deliveries.iter().filter(|row| row.phase == Phase::Rule);
    assert_eq!(rows.count(), 2);
}

#[test]
fn conditions_and_flows_choose_the_webhook() {
    let mut policy = beside(&[
        ("yes", &[], &[], Trigger::FlowComplete),
        ("no", &[], &[], Trigger::FlowComplete),
        ("other", &[], &[], Trigger::FlowComplete),
    ]);
    let condition = |variable: &str, test| Condition { variable: variable.into(), test };
    let one_of = |values: &[&str]| Test::OneOf(values.iter().map(|it| (*it).into()).collect());
    let account = policy.accounts.get_mut(&OURS).unwrap();
    account.rules[0].1.when = vec![
        condition("$flow.key.record", one_of(&["Q", "R"])),
        condition("$sms.report", Test::Present(false)),
    ];
    account.rules[1].1.when = vec![condition("$flow.key.record", one_of(&["S"]))];
    account.rules[2].0 = Some(FlowId(201));
    let mut play = Play::new(policy);
    play.flow();
    let to: Vec<&str> = play.state.deliveries.iter().map(|row| row.webhook.as_str()).collect();
    assert_eq!(to, ["crm", "yes"]);
}

#[test]
fn rules_without_a_default_webhook_open_a_flow_and_end_it() {
    let mut policy = beside(&[("call", &[], &[], Trigger::FlowComplete)]);
    policy.accounts.get_mut(&OURS).unwrap().default_webhook = None;
    let mut play = Play::new(policy);
    play.flow();
    let call = id(&play.state, "call");
    play.step(&delivered(call));
    play.end(
        "0: flow, phase 1 only
        0: R(call) to call at 0, by #0: flow K
        1: R(call) delivered by attempt 1
        1: ended
        1: marker of 28 until 501
        = marker of 28 until 501",
    );
}

#[test]
fn rules_without_a_default_webhook_wait_for_reports_and_end_at_the_time_out() {
    let mut policy = beside(&[
        ("call", &["$sms.report"], &[], failed_sms()),
        ("late", &[], &[], Trigger::ReportTimedOut),
    ]);
    policy.accounts.get_mut(&OURS).unwrap().default_webhook = None;
    let mut play = Play::new(policy.clone());
    play.flow();
    play.report("FAILED");
    let call = id(&play.state, "call");
    play.step(&delivered(call));
    assert!(matches!(play.state.correlation, crate::domain::Correlation::Ended { .. }));

    let mut play = Play::new(policy);
    play.flow();
    play.at = 2000;
    play.step(&timer());
    let late = id(&play.state, "late");
    play.step(&delivered(late));
    play.end(
        "0: flow, collecting until 2000
        2000: over
        2000: R(late) to late at 2000, by #0: u [a UNKNOWN]
        2000: timed out, missing [a]
        2001: R(late) delivered by attempt 1
        2001: marker of 28 until 2501
        = marker of 28 until 2501",
    );
}

fn started(content: u64) -> Command {
    let start = FlowStarted {
        uuid: uuid(),
        account: OURS,
        flow: Some(FLOW),
        webhook_enabled: None,
        record: Bytes::from_static(b"S"),
        content,
    };
    Command::AcceptStart(Box::new(start), source(7))
}

#[test]
fn a_call_begin_record_triggers_its_rule_once() {
    let policy = beside(&[("begun", &["$flow.key.record"], &[], Trigger::FlowStarted)]);
    let mut play = Play::new(policy.clone());
    play.step(&started(1));
    let begun = id(&play.state, "begun");
    play.step(&started(1));
    play.step(&started(2));
    play.step(&delivered(begun));
    play.flow();
    assert_eq!(
        play.state.timer(),
        Some(Timestamp::from_ms(1000)),
        "the call begin record expires first"
    );
    play.at = 1000;
    play.step(&timer());
    play.step(&started(1));
    play.end(
        "0: started
        0: R(begun) to begun at 0, by #7: S S
        1: ignored flow of 28: duplicate
        2: ignored flow of 28: conflicting
        3: R(begun) delivered by attempt 1
        4: flow, collecting until 2004
        4: P1 to crm at 4, by #0: flow K
        1000: start forgotten
        1001: ignored flow of 28: late
        = collecting until 2004; P1 at 4",
    );
    let mut off = Play::new(policy);
    off.policy.accounts.get_mut(&OURS).unwrap().webhook_enabled = None;
    off.step(&started(1));
    assert!(off.state.is_empty());
}

/// The rendered body is larger than a row.
#[test]
fn a_delivery_that_does_not_fit_into_a_row_becomes_a_dead_letter_and_the_row_stays_small() {
    let policy = beside_but(&[("call", &[], &[], Trigger::FlowComplete)], |said| {
        said.insert(name("call"), Says::Huge, &[]);
    });
    let mut play = Play::new(policy);
    let events = play.flow();
    assert!(matches!(
        events.last(),
        Some(Event::DeadLettered { reason: DeadLetterReason::InvalidRequest, .. })
    ));
    assert!(play.state.bytes_max() < STATE_BYTES_MAX);
}

#[test]
fn values_from_answers_are_bounded_and_the_newest_are_kept() {
    let names: Vec<String> = (0..40).map(|number| format!("$flow.key.v{number}")).collect();
    let policy = beside(&[("call", &[], &[], Trigger::FlowComplete)]);
    let mut play = Play::new(policy);
    play.flow();
    let call = id(&play.state, "call");
    let mapped = names
        .iter()
        .chain(&names[39..])
        .map(|it| Mapped { save_in: it.as_str().into(), value: "x".repeat(4000).into() })
        .collect();
    let outcome = Outcome { mapped, ..outcome(Verdict::Delivered, None) };
    play.step(&Command::RecordOutcome { delivery: call, attempt: 1, outcome });
    assert_eq!(play.state.mapped.len(), 16);
    assert_eq!(&*play.state.mapped[15].save_in, "$flow.key.v39");
}

#[test]
fn the_facts_of_an_occasion_are_read_once_for_all_its_conditions_and_webhooks() {
    let names: Vec<String> = (0..5).map(|number| format!("call{number}")).collect();
    let webhooks: Vec<Beside<'_>> = names
        .iter()
        .map(|to| (&**to, &["$flow.key.record"][..], &[][..], Trigger::FlowComplete))
        .collect();
    let mut policy = beside_but(&webhooks, |said| {
        said.insert(name("crm"), Says::Values(&["$flow.key.record"]), &[]);
    });
    let present = Condition { variable: "$flow.key.record".into(), test: Test::Present(true) };
    for (_, rule) in &mut policy.accounts.get_mut(&OURS).unwrap().rules {
        rule.when = vec![present.clone(); 10];
    }
    let mut play = Play::new(policy);
    reads();
    let events = play.flow();
    assert_eq!(events.iter().filter_map(Event::begun).count(), 6, "phase 1 and five rules");
    assert_eq!(reads(), 1, "50 conditions and 6 bodies");
}

/// Phase 2 and a rule may be about different reports, and share the record and the saved answers.
#[test]
fn the_facts_of_a_command_are_read_once_for_phase_2_and_rules_together() {
    let wants: &[&str] = &["$flow.key.record", "$sms.report"];
    for wait in [Phase2Wait::All, Phase2Wait::Each] {
        let on = [Trigger::SmsFinal, failed_sms(), Trigger::ReportTimedOut];
        let webhooks = on.map(|on| ("call", wants, &[][..], on));
        let mut policy = beside_but(&webhooks, |said| {
            said.insert(name("crm"), Says::Values(&["$flow.key.record"]), &[]);
        });
        policy.correlation.phase2_wait = wait;
        policy.correlation.on_report_timeout = OnReportTimeout::Notify;
        let flow = FlowComplete { record: Bytes::from_static(b"R"), ..flow_of("a b") };
        let flow = Command::AcceptFlow(Box::new(flow), source(0));
        let failed = |id| Command::AcceptReport(Box::new(report(id, "FAILED")), source(1));
        let mut play = Play::new(policy.clone());
        for command in [&failed("b"), &flow, &failed("a")] {
            reads();
            let events = play.step(command);
            let scheduled = events.iter().filter_map(Event::begun).count();
            assert_eq!(reads(), scheduled.min(1), "{scheduled} deliveries: {events:?}");
        }
        let mut play = Play::new(policy);
        play.step(&flow);
        play.step(&failed("a"));
        play.at = 2000;
        reads();
        let events = play.step(&timer());
        assert!(events.iter().filter_map(Event::begun).count() > 1, "{events:?}");
        assert_eq!(reads(), 1, "{events:?}");
    }
}
