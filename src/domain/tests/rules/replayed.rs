//! Rules about the end of a webhook that is replayed: they are judged as in its first life, or skipped if facts that
//! they need were deleted.

use super::after::{STATUS, bodies, ends, refused, ruled};
use super::skipped::skipped;
use super::*;
use crate::domain::{Delivery, SkipReason, WebhookEnd};

/// Returns the usual configuration with webhooks beside the default one, all of which have the predefined body unless
/// `change` defines them.
fn predefined(webhooks: &[(&str, Trigger)], change: impl FnOnce(&mut Said)) -> Policy {
    let webhooks: Vec<Beside<'_>> =
        webhooks.iter().map(|(to, on)| (*to, &[][..], &[][..], on.clone())).collect();
    beside_but(&webhooks, |said| {
        for (to, ..) in &webhooks {
            said.insert(name(to), Says::Predefined, &[]);
        }
        said.insert(name("crm"), Says::Predefined, &[]);
        change(said);
    })
}

fn letter(events: &[Event], to: &str) -> Delivery {
    let found = events.iter().filter_map(Event::ended).find(|it| it.webhook == name(to));
    found.unwrap_or_else(|| panic!("{events:?}")).clone()
}

fn replay(letter: &Delivery) -> Command {
    Command::Replay(Box::new(letter.clone()))
}

fn deferred(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::RuleDeferred(_))).count()
}

fn with_facts(policy: &Policy) -> Play {
    let mut play = Play::new(policy.clone());
    play.flow();
    play
}

#[test]
fn rules_about_a_replayed_webhook_are_judged_at_its_end_while_the_run_is_open() {
    let wants: &[&str] = &["$flow.key.record", STATUS];
    let on = [WebhookEnd::Delivered, WebhookEnd::Failed].map(|end| ends("call", end));
    let [good, bad] = on;
    let mut policy =
        predefined(&[("call", Trigger::FlowComplete), ("good", good), ("bad", bad)], |said| {
            said.insert(name("good"), Says::Values(wants), &[]);
            said.insert(name("bad"), Says::Values(wants), &[]);
        });
    // Rules of the flow are judged too, and rules of another flow are not.
    for (index, flow) in [(1, FLOW), (2, FLOW)] {
        policy.accounts.get_mut(&OURS).unwrap().rules[index].0 = Some(flow);
    }
    let other =
        (Some(FlowId(201)), rule("good", &Trigger::Webhook(name("call"), WebhookEnd::Failed)));
    policy.accounts.get_mut(&OURS).unwrap().rules.push(other);
    for (command, to, wanted) in [
        (delivered as fn(DeliveryId) -> Command, "good", "flow K R SUCCESS"),
        (refused, "bad", "flow K R FAILED"),
    ] {
        let mut play = with_facts(&policy);
        let events = play.step(&refused(id(&play.state, "call")));
        assert_eq!(bodies(&events, "bad").len(), 1);
        let first = id(&play.state, "bad");
        play.step(&delivered(first));
        let events = play.step(&replay(&letter(&events, "call")));
        assert_eq!(skipped(&events), []);
        assert_eq!(deferred(&events), 2);
        let events = play.step(&command(id(&play.state, "call")));
        assert_eq!(bodies(&events, to), [wanted]);
        assert_eq!((events.iter().filter_map(Event::begun).count(), skipped(&events)), (1, vec![]));
        assert_ne!(id(&play.state, to), first, "another life, another id");
    }
}

#[test]
fn a_rule_whose_facts_were_deleted_with_the_run_is_skipped_once_at_the_end_that_it_names() {
    let wants: &[&str] = &["$flow.key.record"];
    for flow in [None, Some(FLOW)] {
        let mut policy = predefined(
            &[
                ("call", Trigger::FlowComplete),
                ("good", ends("call", WebhookEnd::Delivered)),
                ("bad", ends("call", WebhookEnd::Failed)),
            ],
            |said| {
                said.insert(name("good"), Says::Values(wants), &[]);
                said.insert(name("bad"), Says::Values(wants), &[]);
            },
        );
        for (of, _) in &mut policy.accounts.get_mut(&OURS).unwrap().rules {
            *of = flow;
        }
        let mut play = with_facts(&policy);
        let events = play.step(&refused(id(&play.state, "call")));
        let letter = letter(&events, "call");
        for (command, to) in [(delivered as fn(DeliveryId) -> Command, "good"), (refused, "bad")] {
            play.state = State::default();
            let events = play.step(&replay(&letter));
            assert_eq!(skipped(&events), [], "nothing has ended yet");
            let events = play.step(&command(id(&play.state, "call")));
            assert_eq!(skipped(&events), [(to, SkipReason::RunEnded, None)]);
            assert!(play.state.is_empty(), "{:?}", play.state);
        }
    }
}

#[test]
fn a_rule_that_needs_no_deleted_fact_is_judged_after_the_run() {
    let mut policy = predefined(
        &[
            ("plain", ends("crm", WebhookEnd::Delivered)),
            ("asks", ends("crm", WebhookEnd::Delivered)),
            ("own", ends("crm", WebhookEnd::Delivered)),
            ("no", ends("crm", WebhookEnd::Delivered)),
        ],
        |_| {},
    );
    let rules = &mut policy.accounts.get_mut(&OURS).unwrap().rules;
    let is = |value: &str| {
        let test = Test::OneOf(vec![value.into()]);
        vec![Condition { variable: STATUS.into(), test }]
    };
    rules[1].1.when = is("SUCCESS");
    rules[2].0 = Some(FLOW);
    rules[3].1.when = is("FAILED");
    let mut play = with_facts(&policy);
    let events = play.step(&refused(phase_1()));
    let letter = letter(&events, "crm");
    play.state = State::default();
    play.step(&replay(&letter));
    let events = play.step(&delivered(phase_1()));
    assert_eq!(bodies(&events, "plain"), ["flow K"]);
    assert_eq!(bodies(&events, "asks"), ["flow K"]);
    assert_eq!(bodies(&events, "no"), [""; 0]);
    assert_eq!(skipped(&events), [("own", SkipReason::RunEnded, None)], "its flow is unknown");
}

#[test]
fn a_dead_letter_with_facts_is_enough_after_the_run() {
    let wants: &[&str] = &["$flow.key.record", "$sms.report"];
    let mut policy = predefined(
        &[
            ("call", failed_sms()),
            ("good", ends("call", WebhookEnd::Delivered)),
            ("own", ends("call", WebhookEnd::Delivered)),
            ("others", ends("call", WebhookEnd::Delivered)),
        ],
        |said| {
            said.insert(name("call"), Says::Values(&["$flow.key.none"]), &[]);
            for to in ["good", "own", "others"] {
                said.insert(name(to), Says::Values(wants), &[]);
            }
        },
    );
    let rules = &mut policy.accounts.get_mut(&OURS).unwrap().rules;
    rules[2].0 = Some(FLOW);
    rules[3].0 = Some(FlowId(201));
    let mut play = with_facts(&policy);
    let mut letter = letter(&play.report("FAILED"), "call");
    let Rendering::Pending(pending) = &mut letter.rendering else { panic!("{letter:?}") };
    let known = [("$flow.key.none", "now"), ("$flow.syskey.flowId", "200")];
    let known =
        known.map(|(save_in, value)| Mapped { save_in: save_in.into(), value: value.into() });
    pending.facts = std::sync::Arc::new(pending.facts.as_ref().clone().with(&known));
    play.state = State::default();
    play.step(&replay(&letter));
    let events = play.step(&delivered(id(&play.state, "call")));
    for to in ["good", "own"] {
        assert_eq!(bodies(&events, to), ["u [a FAILED] R a FAILED"]);
    }
    assert_eq!((bodies(&events, "others").len(), skipped(&events)), (0, vec![]));
}

/// A newer report replaces the report that the webhook was about, and phase 2 deletes it.
#[test]
fn a_rendered_webhook_has_its_report_as_long_as_the_run_keeps_it() {
    let policy = predefined(
        &[("call", Trigger::Sms("SENT".into())), ("good", ends("call", WebhookEnd::Delivered))],
        |said| {
            said.insert(name("call"), Says::Values(&[]), &[]);
            said.insert(name("good"), Says::Only(&["$sms.report"]), &[]);
        },
    );
    for newer in [None, Some("QUEUED"), Some("FAILED")] {
        let mut play = with_facts(&policy);
        play.report("SENT");
        let events = play.step(&refused(id(&play.state, "call")));
        let letter = letter(&events, "call");
        let is_kept = newer.is_none();
        if let Some(newer) = newer {
            play.step(&Command::AcceptReport(Box::new(report("a", newer)), source(2)));
        }
        play.step(&replay(&letter));
        let events = play.step(&delivered(id(&play.state, "call")));
        let lost = if is_kept { vec![] } else { vec![("good", SkipReason::RunEnded, None)] };
        assert_eq!((bodies(&events, "good").len(), skipped(&events)), (usize::from(is_kept), lost));
    }
}

/// A webhook that sends the predefined body does not get the rendered body of another one.
#[test]
fn a_rendered_body_is_not_taken_for_the_predefined_one() {
    let policy = predefined(
        &[("call", Trigger::FlowComplete), ("good", ends("call", WebhookEnd::Delivered))],
        |said| said.insert(name("call"), Says::Only(&["$flow.key.record"]), &[]),
    );
    let mut play = with_facts(&policy);
    let events = play.step(&refused(id(&play.state, "call")));
    play.step(&replay(&letter(&events, "call")));
    let events = play.step(&delivered(id(&play.state, "call")));
    assert_eq!(skipped(&events), [("good", SkipReason::RunEnded, None)]);
}

/// The newer report waits for phase 2. A rule upon the end of a replay about the older one does not end it.
#[test]
fn a_replay_carries_no_newer_report() {
    let on = [Trigger::Sms("SENT".into()), ends("call", WebhookEnd::Delivered)];
    let [sent, end] = on;
    let policy = predefined(&[("call", sent), ("good", end)], |_| {});
    let mut play = Play::new(policy);
    let flow = FlowComplete { record: Bytes::from_static(b"R"), ..flow_of("a b") };
    play.step(&Command::AcceptFlow(Box::new(flow), source(0)));
    play.report("SENT");
    let events = play.step(&refused(id(&play.state, "call")));
    play.report("FAILED");
    play.step(&replay(&letter(&events, "call")));
    let events = play.step(&delivered(id(&play.state, "call")));
    assert_eq!(bodies(&events, "good"), ["u [a SENT]"]);
    let crate::domain::Correlation::Open(flow) = &play.state.correlation else { panic!() };
    assert!(!flow.reports[0].sent, "{:?}", flow.reports);
}

#[test]
fn each_replay_is_a_life_with_its_own_id_and_a_repeated_command_is_not() {
    let policy = predefined(&[("good", ends("crm", WebhookEnd::Failed))], |_| {});
    let mut play = with_facts(&policy);
    let events = play.step(&refused(phase_1()));
    let first = letter(&events, "crm");
    let mut ids = vec![id(&play.state, "good")];
    // The same dead letter once more, and then the one of its second life.
    let mut replayed = first.clone();
    for _ in 0..3 {
        play.step(&replay(&replayed));
        assert_eq!(play.step(&replay(&replayed)), []);
        let events = play.step(&refused(phase_1()));
        ids.extend(events.iter().filter_map(Event::begun).map(|it| it.id));
        if ids.len() == 3 {
            replayed = letter(&events, "crm");
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

/// The flow comes again with a rule that waits to send the webhook whose dead letter is replayed.
#[test]
fn a_replay_does_not_wait_for_its_own_rule() {
    let q: &[&str] = &["$flow.key.q"];
    let webhooks: [Beside<'_>; 2] =
        [("giver", &[], q, Trigger::FlowComplete), ("again", q, q, Trigger::FlowComplete)];
    let policy = ruled(&webhooks, |rules| {
        let test = Test::Present(true);
        rules[1].1.when = vec![Condition { variable: q[0].into(), test }];
    });
    let mut play = with_facts(&policy);
    let again = play.state.deferred[0].delivery.clone();
    play.step(&replay(&again));
    let row = play.state.delivery(again.id).unwrap();
    assert!(!row.waits_for(row), "{row:?}");
    let giver = id(&play.state, "giver");
    play.step(&delivered(phase_1()));
    let events = play.step(&gives(giver, q[0], "1"));
    assert_eq!(events.iter().filter(|it| it.begun().is_some()).count(), 0, "it is sent once");
    assert!(matches!(play.state.delivery(again.id).unwrap().due, crate::domain::Due::At(_)));
}
