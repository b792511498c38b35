//! No row is longer than `State::bytes_max` and its limit, for any inputs in any order and under any configuration.

use super::row;
use crate::codec::event::write_delivery_dead_letter;
use crate::domain::{
    AccountId, AccountPolicy, Command, Correlation, CorrelationPolicy, DeadLetterReason, Delivery,
    DeliveryReport, Event, FlowComplete, FlowId, Headers, OnReportTimeout, Outcome, Phase2Order,
    Phase2Wait, PhononUuid, Policy, RESPONSE_BYTES_KEPT, RetrySchedule, Rule, STATE_BYTES_MAX,
    SmsId, Source, State, StatusTable, Timestamp, Trigger, Verdict, WebhookEnd, WebhookName,
    WebhookPolicy, decide, evolve,
};
use bytes::Bytes;
use imbl::OrdMap;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;
use std::sync::LazyLock;

/// The largest number takes the most bytes.
const OURS: AccountId = AccountId(i64::MIN);
const START: i64 = i64::MAX / 2;
/// The longest source record in bytes.
const RECORD: usize = 4 << 20;
/// The longest dead letter in bytes, without its headers and those of its request.
const LETTER_BYTES_MAX: usize = 19 << 20;

/// Quotes are twice as long in a dead letter, unlike any other character of a body.
static QUOTES: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![b'"'; RECORD]));

fn blob(length: usize) -> Bytes {
    QUOTES.slice(..length.min(RECORD))
}

#[derive(Clone, Debug)]
enum RowChange {
    Flow { list: Option<u16>, rest: usize, keys: usize, content: u64 },
    Report { sms: u16, status: &'static str, body: usize, raw: Option<usize>, content: u64 },
    Outcome { which: usize, verdict: Verdict, error: usize },
    GiveUp { which: usize },
    Fire,
    Replay { which: usize },
    Policy([bool; 6]),
}

/// Steps with texts of at most `longest` bytes, and lists of at most `listed` SMS.
fn steps(longest: usize, listed: u16) -> impl Strategy<Value = Vec<RowChange>> {
    let length = move || prop_oneof![Just(0), 0..100_usize, 0..=longest];
    let statuses = select(vec!["SENT", "DELIVERED", "FAILED"]);
    let step = prop_oneof![
        2 => (of(0..=listed), length(), length(), any::<u64>())
            .prop_map(|(list, rest, keys, content)| RowChange::Flow { list, rest, keys, content }),
        6 => (0..listed.max(8), statuses, length(), of(length()), any::<u64>()).prop_map(
            |(sms, status, body, raw, content)| RowChange::Report { sms, status, body, raw, content }
        ),
        3 => (any::<usize>(), select(vec![Verdict::Delivered, Verdict::Retry, Verdict::GiveUp]), length())
            .prop_map(|(which, verdict, error)| RowChange::Outcome { which, verdict, error }),
        1 => any::<usize>().prop_map(|which| RowChange::GiveUp { which }),
        1 => Just(RowChange::Fire),
        2 => any::<usize>().prop_map(|which| RowChange::Replay { which }),
        1 => any::<[bool; 6]>().prop_map(RowChange::Policy),
    ];
    vec(step, 1..40)
}

/// The webhook of phase 1 and phase 2, with the longest name.
fn default_webhook() -> WebhookName {
    WebhookName::new(&"w".repeat(WebhookName::BYTES_MAX)).unwrap()
}

/// Returns rules upon both ends of the default webhook, whose trigger has the longest text.
fn rules() -> Vec<(Option<FlowId>, Rule)> {
    let rule = |(number, end)| {
        let on = vec![Trigger::Webhook(default_webhook(), end)];
        let webhook = WebhookName::new(&format!("{number:w>64}")).unwrap();
        (None, Rule { on, when: Vec::new(), webhook, after: None, any_flow: false })
    };
    WebhookEnd::ALL.into_iter().enumerate().map(rule).collect()
}

fn policy([each, notify, strict, keys, gather, ruled]: [bool; 6]) -> Policy {
    let ours = AccountPolicy {
        rules: if ruled { rules() } else { Vec::new() },
        uses_variables: ruled,
        notify_on_delivery: true,
        attach_flow_keys: keys,
        webhook_enabled: Some(true),
        default_webhook: Some(default_webhook()),
        ..AccountPolicy::default()
    };
    Policy {
        definitions: Arc::new(crate::definition::Defined::default()),
        correlation: CorrelationPolicy {
            phase2_wait: if each { Phase2Wait::Each } else { Phase2Wait::All },
            phase2_order: if strict { Phase2Order::Strict } else { Phase2Order::Independent },
            on_report_timeout: if notify { OnReportTimeout::Notify } else { OnReportTimeout::End },
            phase2_gather_ms: if gather { 10 } else { 0 },
            correlation_ttl_ms: 1000,
            report_timeout_ms: 1000,
            dedup_window_ms: 1,
        },
        statuses: StatusTable::default(),
        accounts: OrdMap::unit(OURS, ours),
        webhooks: OrdMap::new(),
        webhook_defaults: WebhookPolicy {
            attempts_max: 3,
            age_max_ms: u64::MAX,
            retry_after_max_ms: 1,
            disable_after_ms: 1,
            retry: RetrySchedule { intervals_ms: vec![10], randomization_factor: 0.0 },
        },
    }
}

struct World {
    uuid: PhononUuid,
    policy: Policy,
    state: State,
    now: i64,
    letters: Vec<Delivery>,
}

impl World {
    fn new(id: &str) -> Self {
        let uuid = PhononUuid::new(id).unwrap();
        let policy = policy([true, true, true, true, false, false]);
        Self { uuid, policy, state: State::default(), now: START, letters: Vec::new() }
    }

    fn source(&self) -> Source {
        Source {
            // Longer than the name of any topic in Kafka.
            topic: "t".repeat(300).into(),
            partition: i32::MIN,
            offset: i64::MIN,
            timestamp: Timestamp::from_ms(START),
            index: Some(u32::MAX),
            trace: None,
        }
    }

    fn sms(&self, number: u16) -> SmsId {
        // The longest id, of characters that JSON escapes, if the uuid is long too.
        let width = if self.uuid.as_str().len() > 1 { SmsId::BYTES_MAX } else { 1 };
        SmsId::new(&format!("{number:\u{1}>width$}")).unwrap()
    }

    fn command(&mut self, step: &RowChange) -> Option<Command> {
        let row = |which: usize, rows: &[Delivery]| rows.get(which % rows.len().max(1)).cloned();
        Some(match *step {
            RowChange::Flow { list, rest, keys, content } => {
                let keys = keys.min(RECORD - rest);
                let flow = FlowComplete {
                    record: blob(rest),
                    uuid: self.uuid.clone(),
                    account: OURS,
                    flow: Some(FlowId(i64::MIN)),
                    webhook_enabled: None,
                    sms: list.map(|count| (0..count).map(|number| self.sms(number)).collect()),
                    body: blob(rest + keys),
                    keys: rest..rest + keys,
                    content,
                };
                Command::AcceptFlow(Box::new(flow), self.source())
            }
            RowChange::Report { sms, status, body, raw, content } => {
                let report = DeliveryReport {
                    uuid: self.uuid.clone(),
                    account: OURS,
                    sms: self.sms(sms),
                    status: status.into(),
                    body: blob(body),
                    raw: raw.map(blob),
                    headers: Headers::default(),
                    content,
                };
                Command::AcceptReport(Box::new(report), self.source())
            }
            RowChange::Outcome { which, verdict, error } => {
                let row = row(which, &self.state.deliveries)?;
                let outcome = Outcome {
                    verdict,
                    status: Some(u16::MAX),
                    duration_ms: u64::MAX,
                    response: blob(error.min(RESPONSE_BYTES_KEPT)),
                    response_truncated: true,
                    retry_after_ms: Some(1),
                    disables: false,
                    mapped: Default::default(),
                    reason: None,
                    error: Some("é".repeat(error.min(RESPONSE_BYTES_KEPT)).into()),
                };
                Command::RecordOutcome { delivery: row.id, attempt: row.attempts + 1, outcome }
            }
            RowChange::GiveUp { which } => {
                let delivery = row(which, &self.state.deliveries)?.id;
                Command::GiveUp { delivery, reason: DeadLetterReason::EndpointDisabled }
            }
            RowChange::Fire => {
                self.now = self.now.max(self.state.timer()?.as_ms());
                Command::FireTimer(self.uuid.clone())
            }
            RowChange::Replay { which } => Command::Replay(Box::new(row(which, &self.letters)?)),
            RowChange::Policy(switches) => {
                self.policy = policy(switches);
                return None;
            }
        })
    }

    fn step(&mut self, step: &RowChange) {
        self.now += 1;
        let Some(command) = self.command(step) else { return };
        let is_record = matches!(
            command,
            Command::AcceptFlow(..) | Command::AcceptReport(..) | Command::Replay(_)
        );
        let before = self.state.bytes_max();
        let events = decide(&self.state, &command, &self.policy, Timestamp::from_ms(self.now));
        for event in &events {
            if let Event::DeadLettered { delivery, .. } = event {
                self.letters.push(delivery.as_ref().clone());
            }
        }
        self.state = events.iter().fold(std::mem::take(&mut self.state), evolve);
        let after = self.state.bytes_max();
        let row = row(&self.state).len();
        assert!(row <= after, "the row has {row} bytes, more than its bound of {after}: {step:?}");
        assert!(
            after <= STATE_BYTES_MAX,
            "the bound of an accepted state is {after} bytes: {step:?}"
        );
        // Phase 2 makes the rules about its end wait, whatever causes it. The row has room for them or they are skipped.
        let defers = events.iter().any(|event| matches!(event, Event::RuleDeferred(_)));
        assert!(
            is_record || defers || after <= before,
            "the bound grew from {before} to {after} bytes without a record: {step:?}"
        );
    }

    /// Asserts that the dead letter of every delivery fits into a record.
    fn give_up_all(&self) {
        for delivery in self.state.deliveries.iter().chain(&self.letters) {
            let mut letter = Vec::new();
            let reason = DeadLetterReason::AttemptsExhausted;
            write_delivery_dead_letter(&mut letter, &self.uuid, delivery, reason, None);
            assert!(letter.len() <= LETTER_BYTES_MAX, "a dead letter of {} bytes", letter.len());
        }
    }
}

fn play(uuid: &str, steps: &[RowChange]) {
    let mut world = World::new(uuid);
    for step in steps {
        world.step(step);
    }
    world.give_up_all();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_row_is_longer_than_its_bound(steps in steps(2000, 6), long in any::<bool>()) {
        play(if long { LONG } else { "u" }, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_row_of_long_texts_exceeds_the_limit(steps in steps(RECORD, 5), long in any::<bool>()) {
        play(if long { LONG } else { "u" }, &steps);
    }

    #[test]
    fn no_row_of_a_long_list_exceeds_the_limit(steps in steps(20_000, 4000), long in any::<bool>()) {
        play(if long { LONG } else { "u" }, &steps);
    }
}

/// The longest uuid, of characters that JSON escapes.
const LONG: &str = match str::from_utf8(&[1; PhononUuid::BYTES_MAX]) {
    Ok(text) => text,
    Err(_) => "u",
};

/// The random histories contain what a row may hold: rules that wait, the time for gathering, and the index in an array.
#[test]
fn the_row_of_a_run_whose_rules_wait_is_not_longer_than_its_bound() {
    for uuid in ["u", LONG] {
        let mut world = World::new(uuid);
        world.step(&RowChange::Policy([false, false, false, true, true, true]));
        world.step(&RowChange::Flow { list: None, rest: 1000, keys: 1000, content: 1 });
        let report =
            |sms, status| RowChange::Report { sms, status, body: 1000, raw: None, content: 1 };
        world.step(&report(1, "SENT"));
        world.step(&report(2, "DELIVERED"));
        let Correlation::Open(flow) = &world.state.correlation else { panic!("{:?}", world.state) };
        assert!(flow.gathers_until.is_some());
        world.step(&RowChange::Fire);
        assert_eq!(world.state.deferred.len(), 4, "two each of phase 1 and of phase 2");
        assert!(world.state.deferred.iter().all(|rule| rule.skip_reason().is_none()));
    }
}
