//! The state of an endpoint beside its deliveries: a pause that it asked for, a time without success, whether it is
//! disabled, and the notices to its owner.
//!
//! Each partition keeps its own copy, which moves with the partition to another instance. Limits, concurrency and
//! breaker are not stored: an instance finds them out again in seconds.

use super::finding::{Occasion, decide_notice, find};
use super::{
    DeliveryId, ErrorReason, Finding, FindingKind, Letters, NoticePolicy, Notices, Outcome,
    Reported, RetrySchedule, Timestamp, Verdict, WebhookPolicy,
};

/// The longest pause after a 429 without a time. The interval of an old delivery may be hours.
const BUSY_PAUSE_MAX_MS: u64 = 60_000;

/// The state of an endpoint in one partition. The default state has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EndpointState {
    /// The first failure after which no delivery succeeded.
    pub failing_since: Option<Timestamp>,
    /// The end of the pause that the endpoint asked for.
    pub held_until: Option<Timestamp>,
    /// Set while the endpoint is disabled. Its deliveries become dead letters until an operator enables it.
    pub disabled: Option<Disabled>,
    /// The failure that this partition has reported for a notice, until it has reported its end.
    pub reported: Option<Reported>,
    /// The notices to the owner of the endpoint, in the partition that decides about them.
    pub notices: Notices,
}

impl EndpointState {
    /// Returns whether nothing is known against the endpoint.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.failing_since.is_none() && self.held_until.is_none() && self.disabled.is_none()
    }
}

/// When and why an endpoint was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled {
    pub at: Timestamp,
    pub cause: DisableCause,
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisableCause {
    /// The endpoint answered 410, or asked for it by a header.
    Gone,
    /// All attempts failed for `disable_after_s`.
    Failing,
}

impl DisableCause {
    /// All variants, in declaration order.
    pub const ALL: [Self; 2] = [Self::Gone, Self::Failing];

    /// Returns the word that events use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// Returns the cause that `word` names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// An input to [`decide_endpoint`].
#[derive(Clone, Copy, Debug)]
pub enum EndpointCommand<'a> {
    RecordOutcome {
        delivery: DeliveryId,
        /// The number of the attempt; the first is 1.
        attempt: u32,
        outcome: &'a Outcome,
        /// When a delivery to the endpoint last succeeded, in any partition.
        delivered_at: Option<Timestamp>,
    },
    /// Another partition has disabled the endpoint.
    Disable(Disabled),
    /// An operator enables the endpoint.
    Enable,
    /// A partition has a finding for the owner of the endpoint.
    Report(Finding),
}

/// A fact about one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// An attempt failed, for the first time since the last success.
    Failing { since: Timestamp },
    /// A delivery succeeded again.
    Recovered {
        /// The pause, if it is not over. The successful request left before the endpoint asked for the pause.
        held_until: Option<Timestamp>,
    },
    /// The endpoint asked for a pause.
    Held { until: Timestamp },
    /// The endpoint is disabled. Its deliveries become dead letters from now on.
    Disabled {
        disabled: Disabled,
        /// The first failure after which no delivery succeeded.
        failing_since: Option<Timestamp>,
    },
    /// Another partition has disabled the endpoint.
    DisabledElsewhere(Disabled),
    /// An operator has enabled the endpoint.
    Enabled,
    /// This partition reports a finding to the partition that decides about notices.
    Reported { finding: Finding, at: Timestamp },
    /// More deliveries became dead letters, but not enough for a notice.
    LettersCounted(Letters),
    /// The owner gets a notice of a finding.
    NoticeDue {
        finding: Finding,
        /// When the notice is sent at the earliest.
        due: Timestamp,
    },
}

/// Returns the events that `command` causes in `state` at the time `now`. `notices` returns the wish of the account for
/// notices about this endpoint; it is called only if there may be a finding.
#[must_use]
pub fn decide_endpoint<'p>(
    state: &EndpointState,
    command: EndpointCommand<'_>,
    policy: &WebhookPolicy,
    notices: impl FnOnce() -> Option<&'p NoticePolicy>,
    now: Timestamp,
) -> Vec<EndpointEvent> {
    if let EndpointCommand::Report(finding) = command {
        let due = notices().and_then(|policy| decide_notice(&state.notices, finding, policy, now));
        return due.into_iter().collect();
    }
    let occasion = match command {
        EndpointCommand::RecordOutcome { outcome, .. } => Some(match outcome.verdict {
            Verdict::Delivered => Occasion::Delivered,
            Verdict::Retry => Occasion::Retried,
            Verdict::GiveUp => Occasion::Refused,
        }),
        EndpointCommand::Enable => Some(Occasion::Enabled),
        // The partition that disabled it has reported it.
        EndpointCommand::Disable(_) | EndpointCommand::Report(_) => None,
    };
    let mut events = change(state, command, policy, now);
    let may_find = !events.is_empty() || state.failing_since.is_some() || state.reported.is_some();
    if let Some(occasion) = occasion.filter(|_| may_find)
        && let Some(policy) = notices()
    {
        let after = events.iter().fold(*state, evolve_endpoint);
        events.extend(find(state, &after, occasion, policy, now));
    }
    events
}

fn change(
    state: &EndpointState,
    command: EndpointCommand<'_>,
    policy: &WebhookPolicy,
    now: Timestamp,
) -> Vec<EndpointEvent> {
    match command {
        EndpointCommand::RecordOutcome { outcome, .. } if outcome.verdict == Verdict::Delivered => {
            if outcome.disables && state.disabled.is_none() {
                let disabled = Disabled { at: now, cause: DisableCause::Gone };
                return vec![EndpointEvent::Disabled { disabled, failing_since: None }];
            }
            recovered(state, now)
        }
        EndpointCommand::RecordOutcome { delivery, attempt, outcome, delivered_at } => {
            let asked_ms = hold_ms(outcome, &policy.retry, delivery, attempt);
            let asked_ms = asked_ms.map(|ms| ms.min(policy.retry_after_max_ms));
            failed(state, outcome, delivered_at, asked_ms, policy, now)
        }
        EndpointCommand::Disable(_) | EndpointCommand::Enable => {
            apply_command(state, command).into_iter().collect()
        }
        EndpointCommand::Report(_) => Vec::new(),
    }
}

/// Returns the event that a command of another partition or of an operator causes in `state`: one that disables or
/// enables the endpoint. No policy matters for it.
#[must_use]
pub fn apply_command(state: &EndpointState, command: EndpointCommand<'_>) -> Option<EndpointEvent> {
    match command {
        EndpointCommand::Disable(disabled) => {
            state.disabled.is_none().then_some(EndpointEvent::DisabledElsewhere(disabled))
        }
        EndpointCommand::Enable => (!state.works()).then_some(EndpointEvent::Enabled),
        EndpointCommand::RecordOutcome { .. } | EndpointCommand::Report(_) => None,
    }
}

fn recovered(state: &EndpointState, now: Timestamp) -> Vec<EndpointEvent> {
    let held_until = state.held_until.filter(|until| *until > now);
    let changes = state.failing_since.is_some() || held_until != state.held_until;
    let is_news = changes && state.disabled.is_none();
    if is_news { vec![EndpointEvent::Recovered { held_until }] } else { Vec::new() }
}

fn failed(
    state: &EndpointState,
    outcome: &Outcome,
    delivered_at: Option<Timestamp>,
    asked_ms: Option<u64>,
    policy: &WebhookPolicy,
    now: Timestamp,
) -> Vec<EndpointEvent> {
    let mut events = Vec::new();
    if state.disabled.is_some() || !asked(outcome) {
        return events;
    }
    // A success in another partition counts too.
    let since = state.failing_since.filter(|since| delivered_at.is_none_or(|at| at <= *since));
    if since.is_none() {
        events.push(EndpointEvent::Failing { since: now });
    }
    let is_gone = outcome.status == Some(410) && outcome.verdict == Verdict::GiveUp;
    let cause = if is_gone || outcome.disables {
        Some(DisableCause::Gone)
    } else {
        let failing = |since: Timestamp| now.ms_since(since) >= policy.disable_after_ms;
        since.is_some_and(failing).then_some(DisableCause::Failing)
    };
    if let Some(cause) = cause {
        let disabled = Disabled { at: now, cause };
        events.push(EndpointEvent::Disabled { disabled, failing_since: since.or(Some(now)) });
        return events;
    }
    let until = asked_ms.map(|ms| now.plus_ms(ms));
    if let Some(until) = until.filter(|until| state.held_until.is_none_or(|held| held < *until)) {
        events.push(EndpointEvent::Held { until });
    }
    events
}

/// Returns whether the endpoint caused the failure. A forbidden address, an invalid request and a missing variable have
/// their cause in the daemon.
fn asked(outcome: &Outcome) -> bool {
    !matches!(
        outcome.reason,
        Some(
            ErrorReason::BlockedAddress | ErrorReason::InvalidRequest | ErrorReason::InvalidFlowVar
        )
    )
}

/// Returns for how many milliseconds the `outcome` of an attempt pauses the endpoint, before the limit of
/// `retry_after_max_ms` applies. A 429 without a time gives the pause of [`busy_pause_ms`].
#[must_use]
pub fn hold_ms(
    outcome: &Outcome,
    retry: &RetrySchedule,
    delivery: DeliveryId,
    attempt: u32,
) -> Option<u64> {
    if is_busy_for_a_while(outcome) {
        let says_so = outcome.status == Some(429);
        return says_so.then(|| busy_pause_ms(retry, delivery, attempt));
    }
    outcome.retry_after_ms.filter(|_| asks(outcome))
}

/// Returns whether the endpoint asks for fewer requests without saying for how long.
#[must_use]
pub fn is_busy_for_a_while(outcome: &Outcome) -> bool {
    asks(outcome) && outcome.retry_after_ms.is_none_or(|ms| ms == 0)
}

/// Returns the pause for an endpoint that names no time: the interval until the delivery's next attempt, at most one
/// minute.
#[must_use]
pub fn busy_pause_ms(retry: &RetrySchedule, delivery: DeliveryId, attempt: u32) -> u64 {
    retry.delay_ms(delivery, attempt).min(BUSY_PAUSE_MAX_MS)
}

fn asks(outcome: &Outcome) -> bool {
    // Without a status the token server asks for the pause. No request can be sent before.
    let of_token_server = outcome.status.is_none()
        && outcome.reason == Some(ErrorReason::AuthenticationFailure)
        && outcome.retry_after_ms.is_some_and(|ms| ms > 0);
    let is_busy = matches!(outcome.status, Some(429 | 503)) || of_token_server;
    is_busy && outcome.verdict == Verdict::Retry
}

/// Returns the state after `event`.
#[must_use]
pub fn evolve_endpoint(state: EndpointState, event: &EndpointEvent) -> EndpointState {
    match event {
        EndpointEvent::Failing { since } => EndpointState { failing_since: Some(*since), ..state },
        EndpointEvent::Recovered { held_until } => {
            // Its end is reported in the same decision, or the account wants no notices any more.
            EndpointState { failing_since: None, held_until: *held_until, reported: None, ..state }
        }
        EndpointEvent::Held { until } => EndpointState { held_until: Some(*until), ..state },
        EndpointEvent::Disabled { disabled, .. } | EndpointEvent::DisabledElsewhere(disabled) => {
            EndpointState { disabled: Some(*disabled), held_until: None, ..state }
        }
        EndpointEvent::Enabled => {
            // A failure that is reported goes on until a delivery succeeds.
            let reported = state.reported.filter(|it| it.kind != FindingKind::Disabled);
            let notices = state.notices;
            EndpointState { reported, notices, ..EndpointState::default() }
        }
        EndpointEvent::Reported { finding, at } => {
            let kind = finding.kind();
            let goes_on = kind != FindingKind::Recovered;
            let reported = goes_on.then_some(Reported { kind, at: *at });
            EndpointState { reported, ..state }
        }
        EndpointEvent::LettersCounted(letters) => {
            let notices = Notices { letters: Some(*letters), ..state.notices };
            EndpointState { notices, ..state }
        }
        EndpointEvent::NoticeDue { finding, due } => {
            EndpointState { notices: state.notices.sent(finding, *due), ..state }
        }
    }
}

/// Returns the one state of an endpoint whose partitions had these states, for new partitions with other uuids.
///
/// It is disabled if it was so in any partition, since the first time. A pause ends with the longest one. The time
/// without success is the shortest one that a partition has seen, so that no endpoint is disabled too early. The notices
/// are those of the partition that decided about them last.
#[must_use]
pub fn merge_endpoints(states: impl IntoIterator<Item = EndpointState>) -> EndpointState {
    let merged = states.into_iter().fold(EndpointState::default(), |one, other| EndpointState {
        failing_since: one.failing_since.max(other.failing_since),
        held_until: one.held_until.max(other.held_until),
        disabled: match (one.disabled, other.disabled) {
            (Some(one), Some(other)) => Some(if other.at < one.at { other } else { one }),
            (one, other) => one.or(other),
        },
        reported: match (one.reported, other.reported) {
            (Some(one), Some(other)) => Some(if other.at > one.at { other } else { one }),
            (one, other) => one.or(other),
        },
        notices: one.notices.merged(other.notices),
    });
    EndpointState { held_until: merged.held_until.filter(|_| merged.disabled.is_none()), ..merged }
}
