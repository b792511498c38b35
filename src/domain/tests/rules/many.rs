//! A thousand rules that wait: the work of a decision grows with their number, and not with its square.

use super::super::said::asked;
use super::after::{STATUS, ends};
use super::*;
use crate::domain::WebhookEnd;

const GIVEN: &str = "$flow.key.given";

/// Returns a configuration in which so many rules wait for the answer to `giver`, by a condition or for its end.
fn waiting(rules: usize) -> Policy {
    let names: Vec<String> = (0..rules).map(|number| format!("w{number}")).collect();
    let on = |number: usize| match number % 2 {
        0 => Trigger::FlowComplete,
        _ => ends("giver", WebhookEnd::Delivered),
    };
    let waiting = names.iter().enumerate();
    let waiting = waiting.map(|(number, to)| (&**to, &[STATUS][..], &[][..], on(number)));
    let giver = ("giver", &[][..], &[GIVEN][..], Trigger::FlowComplete);
    let webhooks: Vec<Beside<'_>> = std::iter::once(giver).chain(waiting).collect();
    let mut policy = beside(&webhooks);
    let account = policy.accounts.get_mut(&OURS).unwrap();
    for (_, rule) in account.rules.iter_mut().skip(1) {
        if rule.on == [Trigger::FlowComplete] {
            rule.when = vec![Condition { variable: GIVEN.into(), test: Test::Present(true) }];
        }
    }
    account.default_webhook = None;
    policy
}

/// Work is an event that is applied, a delivery whose size is computed, or a webhook that is asked what its answer gives.
#[test]
fn the_work_of_rules_that_wait_grows_with_their_number_and_not_with_its_square() {
    for rules in [10, 1000] {
        let mut play = Play::new(waiting(rules));
        // The relations of the account are computed once.
        play.flow();
        play.state = State::default();
        let counted = |play: &mut Play, command: &Command| {
            work::done();
            asked();
            let events = decide(&play.state, command, &play.policy, Timestamp::from_ms(0));
            let done = (work::done(), asked());
            play.state = events.iter().fold(std::mem::take(&mut play.state), evolve);
            done
        };
        let flow = FlowComplete { record: Bytes::from_static(b"R"), ..flow_of("a") };
        let flow = Command::AcceptFlow(Box::new(flow), source(0));
        let (done, said) = counted(&mut play, &flow);
        assert_eq!(play.state.deferred.len(), rules);
        assert!(done <= 2 * rules + 10 && said <= 3 * rules + 10, "{rules}: {done} {said}");
        let giver = id(&play.state, "giver");
        let (done, said) = counted(&mut play, &gives(giver, GIVEN, "1"));
        assert_eq!((play.state.deferred.len(), play.state.deliveries.len()), (0, rules));
        assert!(done <= 8 * rules + 10 && said <= 4 * rules + 10, "{rules}: {done} {said}");
    }
}
