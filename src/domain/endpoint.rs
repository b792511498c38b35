//! What is remembered of an endpoint beside its deliveries: that it asked to be left alone, that it only fails, that it is
//! disabled.
//!
//! Each partition keeps its own copy, which moves with it to another instance. Limits, concurrency and breaker are not
//! remembered: they are found out again in seconds.

use super::{DeliveryId, ErrorReason, Outcome, RetrySchedule, Timestamp, Verdict, WebhookPolicy};

/// A 429 that names no time holds the endpoint up to this: the interval of an old delivery may be hours.
const BUSY_PAUSE_MAX_MS: u64 = 60_000;

/// What a partition remembers of an endpoint; the default is nothing, of which there is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EndpointState {
    /// Since then nothing was delivered, though it was tried.
    pub failing_since: Option<Timestamp>,
    /// It asked to be left alone until then.
    pub held_until: Option<Timestamp>,
    /// Its deliveries are given up until an operator enables it.
    pub disabled: Option<Disabled>,
}

/// That an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub cause: DisableCause,
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisableCause {
    /// It answered 410.
    Gone,
    /// Nothing but failures for `disable_after_s`.
    Failing,
}

impl DisableCause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Gone, Self::Failing];

    /// The word that events use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The cause that `word` names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// One input to [`decide_endpoint`].
#[derive(Clone, Copy, Debug)]
pub enum EndpointCommand<'a> {
    /// An attempt ended.
    RecordOutcome {
        /// Whose it was.
        delivery: DeliveryId,
        /// Which one it was.
        attempt: u32,
        /// What came of it.
        outcome: &'a Outcome,
        /// When anything was delivered to the endpoint last, out of whatever partition.
        delivered_at: Option<Timestamp>,
    },
    /// Another partition has learnt that it is disabled.
    Disable(Disabled),
    /// An operator enables it.
    Enable,
}

/// One fact about one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// Something failed, the first time since something was delivered.
    Failing {
        /// When.
        since: Timestamp,
    },
    /// Something was delivered again.
    Recovered {
        /// What it asked for is not over: it was sent before that.
        held_until: Option<Timestamp>,
    },
    /// It asked to be left alone.
    Held {
        /// Until then.
        until: Timestamp,
    },
    /// Its deliveries are given up from now on.
    Disabled {
        /// Since when, and why.
        disabled: Disabled,
        /// Since when nothing was delivered.
        failing_since: Option<Timestamp>,
    },
    /// Another partition told it.
    DisabledElsewhere(Disabled),
    /// An operator put it back to work.
    Enabled,
}

/// The facts that `command` makes of `state` at the time `now`.
#[must_use]
pub fn decide_endpoint(
    state: &EndpointState,
    command: EndpointCommand<'_>,
    policy: &WebhookPolicy,
    now: Timestamp,
) -> Vec<EndpointEvent> {
    match command {
        EndpointCommand::RecordOutcome { outcome, .. } if outcome.verdict == Verdict::Delivered => {
            recovered(state, now)
        }
        EndpointCommand::RecordOutcome { delivery, attempt, outcome, delivered_at } => {
            let asked_ms = hold_ms(outcome, &policy.retry, delivery, attempt);
            let asked_ms = asked_ms.map(|ms| ms.min(policy.retry_after_max_ms));
            failed(state, outcome, delivered_at, asked_ms, policy, now)
        }
        EndpointCommand::Disable(disabled) if state.disabled.is_none() => {
            vec![EndpointEvent::DisabledElsewhere(disabled)]
        }
        EndpointCommand::Enable if *state != EndpointState::default() => {
            vec![EndpointEvent::Enabled]
        }
        EndpointCommand::Disable(_) | EndpointCommand::Enable => Vec::new(),
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
    // What other partitions delivered meanwhile counts too.
    let since = state.failing_since.filter(|since| delivered_at.is_none_or(|at| at <= *since));
    if since.is_none() {
        events.push(EndpointEvent::Failing { since: now });
    }
    let cause = if outcome.status == Some(410) {
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

/// Whether the endpoint, and not the daemon itself, is the reason of the failure.
fn asked(outcome: &Outcome) -> bool {
    !matches!(
        outcome.reason,
        Some(
            ErrorReason::BlockedAddress | ErrorReason::InvalidRequest | ErrorReason::InvalidFlowVar
        )
    )
}

/// How long the endpoint is to be left alone for the `outcome` of an attempt, in milliseconds: as long as it asked, before
/// that is clamped. One that says 429 and names no time is left alone until this delivery would be tried again.
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

/// Whether the endpoint wants less, and does not say for how long.
#[must_use]
pub fn is_busy_for_a_while(outcome: &Outcome) -> bool {
    asks(outcome) && outcome.retry_after_ms.is_none_or(|ms| ms == 0)
}

/// How long an endpoint is left alone that names no time: until this delivery would be tried again.
#[must_use]
pub fn busy_pause_ms(retry: &RetrySchedule, delivery: DeliveryId, attempt: u32) -> u64 {
    retry.delay_ms(delivery, attempt).min(BUSY_PAUSE_MAX_MS)
}

fn asks(outcome: &Outcome) -> bool {
    // Without a status it is the token server's wish: until then nothing can be sent.
    let of_token_server = outcome.status.is_none()
        && outcome.reason == Some(ErrorReason::AuthenticationFailure)
        && outcome.retry_after_ms.is_some_and(|ms| ms > 0);
    let is_busy = matches!(outcome.status, Some(429 | 503)) || of_token_server;
    is_busy && outcome.verdict == Verdict::Retry
}

/// The state after `event`.
#[must_use]
pub fn evolve_endpoint(state: EndpointState, event: &EndpointEvent) -> EndpointState {
    match event {
        EndpointEvent::Failing { since } => EndpointState { failing_since: Some(*since), ..state },
        EndpointEvent::Recovered { held_until } => {
            EndpointState { failing_since: None, held_until: *held_until, ..state }
        }
        EndpointEvent::Held { until } => EndpointState { held_until: Some(*until), ..state },
        EndpointEvent::Disabled { disabled, .. } | EndpointEvent::DisabledElsewhere(disabled) => {
            EndpointState { disabled: Some(*disabled), held_until: None, ..state }
        }
        EndpointEvent::Enabled => EndpointState::default(),
    }
}
