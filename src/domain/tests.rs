//! The seven rules of the two phases: given a configuration and inputs, these events happen.
//!
//! [`check`] plays inputs at their times and compares every event, one per line, and the final state with a text. The
//! times are small: a report waits 1000 ms for its flow, a flow 2000 ms for its reports, and a marker is kept for 500
//! ms.

mod about;
mod attempts;
mod collection;
mod endpoint;
mod ends;
mod finding;
mod gather;
mod ignored;
mod model;
mod phase1;
mod reload;
mod render;
mod replay;
mod room;
mod rules;
mod said;
mod size;
mod timeout;
mod waiting;
pub(in crate::domain) mod work;

use super::{
    AccountId, AccountPolicy, Command, CorrelationPolicy, DeliveryId, DeliveryReport, ErrorReason,
    Event, FlowComplete, FlowId, FlowStarted, Headers, OnReportTimeout, Outcome, Phase,
    Phase2Order, Phase2Wait, PhononUuid, Policy, RetrySchedule, SmsId, Source, State, StatusTable,
    Timestamp, Verdict, WebhookName, WebhookPolicy, decide, evolve,
};
use bytes::Bytes;
use render::Renderer;
use xxhash_rust::xxh3::xxh3_64;

const UUID: &str = "u";
const OURS: AccountId = AccountId(28);
const OTHER: AccountId = AccountId(29);
const STRANGER: AccountId = AccountId(30);
const FLOW: FlowId = FlowId(200);

enum HistoryStep {
    Do(Command),
    /// The configuration is reloaded.
    Reload(Policy),
}

impl From<Command> for HistoryStep {
    fn from(command: Command) -> Self {
        Self::Do(command)
    }
}

impl From<DeliveryReport> for HistoryStep {
    fn from(report: DeliveryReport) -> Self {
        Self::Do(Command::AcceptReport(Box::new(report), source(0)))
    }
}

impl From<FlowStarted> for HistoryStep {
    fn from(start: FlowStarted) -> Self {
        Self::Do(Command::AcceptStart(Box::new(start), source(0)))
    }
}

impl From<FlowComplete> for HistoryStep {
    fn from(flow: FlowComplete) -> Self {
        Self::Do(Command::AcceptFlow(Box::new(flow), source(0)))
    }
}

impl From<Policy> for HistoryStep {
    fn from(policy: Policy) -> Self {
        Self::Reload(policy)
    }
}

/// Plays `when` under the configuration `given`, and compares the events and the final state with `then`.
#[track_caller]
fn check(given: &Policy, when: impl IntoIterator<Item = (i64, HistoryStep)>, then: &str) {
    let mut policy = given.clone();
    let mut state = State::default();
    let mut renderer = Renderer::default();
    let mut history: Vec<Event> = Vec::new();
    for (index, (at, step)) in when.into_iter().enumerate() {
        let now = Timestamp::from_ms(at);
        let mut command = match step {
            HistoryStep::Do(command) => command,
            HistoryStep::Reload(changed) => {
                policy = changed;
                continue;
            }
        };
        if let Command::AcceptStart(_, from)
        | Command::AcceptFlow(_, from)
        | Command::AcceptReport(_, from) = &mut command
        {
            *from = source(i64::try_from(index).unwrap());
        }
        let events = decide(&state, &command, &policy, now);
        renderer.events(at, &events);
        state = events.iter().fold(state, evolve);
        history.extend(events);
        if matches!(command, Command::FireTimer(_)) {
            assert!(
                state.timer().is_none_or(|due| due > now),
                "the timer is still due after it fired"
            );
        }
    }
    let replayed = history.iter().fold(State::default(), evolve);
    assert_eq!(replayed, state, "the events lead to another state when they are applied again");
    let expected: Vec<&str> = then.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let happened = renderer.finish(&state);
    assert_eq!(happened.lines().collect::<Vec<_>>(), expected, "it was:\n{happened}");
}

/// Creates the inputs of a check: `steps![0 => flow(), 5 => report("a", "SENT")]`.
macro_rules! steps {
    ($($at:expr => $step:expr),* $(,)?) => {
        vec![$(($at, $crate::domain::tests::HistoryStep::from($step))),*]
    };
}
use steps;

/// Returns a configuration that notifies on delivery, attaches no keys, waits for all SMS in strict order, and ends at
/// the time-out.
fn policy() -> Policy {
    let ours = AccountPolicy {
        notify_on_delivery: true,
        webhook_enabled: Some(true),
        default_webhook: WebhookName::new("crm"),
        ..AccountPolicy::default()
    };
    let other = AccountPolicy { default_webhook: WebhookName::new("other"), ..ours.clone() };
    Policy {
        definitions: std::sync::Arc::new(said::Said::default()),
        correlation: CorrelationPolicy {
            phase2_wait: Phase2Wait::All,
            phase2_order: Phase2Order::Strict,
            on_report_timeout: OnReportTimeout::End,
            phase2_gather_ms: 0,
            correlation_ttl_ms: 1000,
            report_timeout_ms: 2000,
            dedup_window_ms: 500,
        },
        statuses: StatusTable::default(),
        accounts: [(OURS, ours), (OTHER, other)].into_iter().collect(),
        webhooks: imbl::OrdMap::new(),
        webhook_defaults: WebhookPolicy {
            attempts_max: 3,
            age_max_ms: 10_000,
            retry_after_max_ms: 1000,
            disable_after_ms: 5000,
            retry: RetrySchedule { intervals_ms: vec![10, 20], randomization_factor: 0.0 },
        },
    }
}

/// Returns the usual configuration with a change of account 28.
fn account(change: impl FnOnce(&mut AccountPolicy)) -> Policy {
    let mut policy = policy();
    change(policy.accounts.get_mut(&OURS).unwrap());
    policy
}

/// Returns the usual configuration with a change of the correlation's settings.
fn correlation(change: impl FnOnce(&mut CorrelationPolicy)) -> Policy {
    let mut policy = policy();
    change(&mut policy.correlation);
    policy
}

fn each() -> Policy {
    correlation(|c| c.phase2_wait = Phase2Wait::Each)
}

fn notify_at_the_timeout(wait: Phase2Wait) -> Policy {
    correlation(|c| {
        c.phase2_wait = wait;
        c.on_report_timeout = OnReportTimeout::Notify;
    })
}

fn uuid() -> PhononUuid {
    PhononUuid::new(UUID).unwrap()
}

fn sms(text: &str) -> SmsId {
    SmsId::new(text).unwrap()
}

fn source(offset: i64) -> Source {
    Source {
        topic: "t".into(),
        partition: 0,
        offset,
        timestamp: Timestamp::default(),
        index: None,
        trace: None,
    }
}

/// Returns the record of a flow that sent the SMS of `list`, separated by blanks.
fn flow_of(list: &str) -> FlowComplete {
    FlowComplete { sms: Some(list.split_whitespace().map(sms).collect()), ..flow() }
}

/// Returns the record of a flow whose gateway does not know which SMS it sent.
fn flow() -> FlowComplete {
    FlowComplete {
        record: bytes::Bytes::new(),
        uuid: uuid(),
        account: OURS,
        flow: Some(FLOW),
        webhook_enabled: None,
        sms: None,
        body: Bytes::from_static(b"flow K"),
        keys: 5..6,
        content: 1,
    }
}

fn report(id: &str, status: &str) -> DeliveryReport {
    let body = format!("{id} {status}");
    DeliveryReport {
        uuid: uuid(),
        account: OURS,
        sms: sms(id),
        status: status.into(),
        content: xxh3_64(body.as_bytes()),
        body: body.into(),
        raw: None,
        headers: Headers::default(),
    }
}

/// Returns the same report with another account.
fn report_of(account: AccountId, id: &str, status: &str) -> DeliveryReport {
    DeliveryReport { account, ..report(id, status) }
}

fn timer() -> Command {
    Command::FireTimer(uuid())
}

fn phase_1() -> DeliveryId {
    DeliveryId::derive(&uuid(), Phase::One.number(), [])
}

/// Returns the id of phase 2 about the SMS of `list`, separated by blanks.
fn phase_2(list: &str) -> DeliveryId {
    let list: Vec<SmsId> = list.split_whitespace().map(sms).collect();
    DeliveryId::derive(&uuid(), Phase::Two.number(), &list)
}

fn outcome(verdict: Verdict, reason: Option<ErrorReason>) -> Outcome {
    Outcome {
        verdict,
        status: None,
        duration_ms: 1,
        response: Bytes::new(),
        response_truncated: false,
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        reason,
        error: None,
    }
}

fn delivered(delivery: DeliveryId) -> Command {
    delivered_at_attempt(delivery, 1)
}

fn delivered_at_attempt(delivery: DeliveryId, attempt: u32) -> Command {
    Command::RecordOutcome { delivery, attempt, outcome: outcome(Verdict::Delivered, None) }
}

fn failed(delivery: DeliveryId, attempt: u32) -> Command {
    let outcome = outcome(Verdict::Retry, Some(ErrorReason::Timeout));
    Command::RecordOutcome { delivery, attempt, outcome }
}

fn final_failure(delivery: DeliveryId, attempt: u32, reason: ErrorReason) -> Command {
    Command::RecordOutcome { delivery, attempt, outcome: outcome(Verdict::GiveUp, Some(reason)) }
}
