//! The webhooks in force, with the figures that this instance has of them.

use super::failure::Failure;
use super::{Console, Current};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::domain::{Timestamp, WebhookName};
use crate::inspect::webhooks::{Remembered, WebhookView};
use crate::telemetry::{EndpointState, WebhookFigures};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::ops::Bound;

/// The state of a webhook's endpoint on an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum WebhookState {
    /// Deliveries are sent.
    Closed,
    /// The breaker lets some attempts through.
    HalfOpen,
    /// The breaker is open.
    Open,
    /// The endpoint asked for a pause.
    Held,
    /// The endpoint is disabled.
    Disabled,
}

impl WebhookState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
            Self::Held => "held",
            Self::Disabled => "disabled",
        }
    }
}

/// A webhook with the figures of an instance.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(super) struct WebhookFacts {
    pub(super) name: String,
    pub(super) account_id: i64,
    /// The state on this instance.
    pub(super) state: WebhookState,
    /// The figures of this instance since its start. `None`: the webhook is not among the busiest.
    pub(super) figures: Option<FiguresView>,
}

/// The figures of a webhook on an instance.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(super) struct FiguresView {
    /// The number of deliveries that wait.
    pub(super) backlog: u64,
    /// When the oldest of them was scheduled (RFC 3339).
    pub(super) oldest_scheduled_at: Option<String>,
    /// The number of deliveries that the rate limit holds back.
    pub(super) rate_limited: u64,
    /// The number of deliveries that a pause, the breaker or the disabled state holds back.
    pub(super) held: u64,
    /// The number of attempts.
    pub(super) attempts: u64,
    /// The share of attempts that succeeded, in per cent.
    pub(super) success_percent: Option<f64>,
    pub(super) delivered: u64,
    pub(super) dead_lettered: u64,
    /// The mean time from the source record's timestamp to the delivery, in seconds.
    pub(super) mean_latency_seconds: Option<f64>,
    /// The latest failed attempt, as text.
    pub(super) last_failure: Option<String>,
}

impl FiguresView {
    fn of(figures: &WebhookFigures) -> Self {
        let last_failure = figures.last_failure.map(|failure| {
            let status = failure.status.map(|status| format!(", status {status}"));
            let reason = failure.reason.as_str();
            format!("{} {reason}{}", rfc3339(failure.at), status.unwrap_or_default())
        });
        let success = (figures.attempts > 0)
            .then(|| precise(figures.succeeded) / precise(figures.attempts) * 100.0);
        Self {
            backlog: figures.backlog,
            oldest_scheduled_at: figures.oldest.map(rfc3339),
            rate_limited: figures.rate_limited,
            held: figures.held,
            attempts: figures.attempts,
            success_percent: success,
            delivered: figures.delivered,
            dead_lettered: figures.dead_lettered,
            mean_latency_seconds: figures.mean_latency.map(|mean| mean.as_secs_f64()),
            last_failure,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage has fewer digits")]
fn precise(number: u64) -> f64 {
    number as f64
}

fn state(figures: Option<&WebhookFigures>) -> WebhookState {
    match figures.map(|figures| (figures.state, figures.held)) {
        None | Some((EndpointState::Closed, 0)) => WebhookState::Closed,
        Some((EndpointState::Closed, _)) => WebhookState::Held,
        Some((EndpointState::HalfOpen, _)) => WebhookState::HalfOpen,
        Some((EndpointState::Open, _)) => WebhookState::Open,
        Some((EndpointState::Disabled, _)) => WebhookState::Disabled,
    }
}

impl Console {
    /// Returns the configuration in force.
    pub(super) fn current(&self) -> Result<Current, Failure> {
        let none = || Failure::Unavailable("the accounts were not read yet".to_owned());
        self.in_force.current().ok_or_else(none)
    }

    /// Returns at most `max` webhooks behind `after`, by name, whose name contains `search` or whose account it is.
    pub(super) fn webhooks(
        &self,
        search: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<WebhookFacts>, Failure> {
        let current = self.current()?;
        let figures = self.metrics.webhook_figures();
        let from = after.and_then(WebhookName::new).map_or(Bound::Unbounded, Bound::Excluded);
        let all = current.accounts.webhooks.range((from, Bound::Unbounded));
        let (search, account) = (search.trim().to_lowercase(), search.trim().parse().ok());
        let fits = |name: &WebhookName, of: i64| {
            name.as_str().to_lowercase().contains(&search) || account == Some(of)
        };
        let facts = all.filter(|(name, (webhook, _))| fits(name, webhook.account.0));
        let facts = facts.map(|(name, (webhook, _))| facts_of(name, webhook.account.0, &figures));
        Ok(facts.take(max).collect())
    }

    /// Returns the webhook `name`.
    pub(super) fn webhook(&self, name: &str) -> Result<WebhookFacts, Failure> {
        let current = self.current()?;
        let known = WebhookName::new(name);
        let found = known.and_then(|name| {
            current
                .accounts
                .webhooks
                .get_key_value(&name)
                .map(|(name, (webhook, _))| (name.clone(), webhook.account.0))
        });
        let (name, account) = found.ok_or_else(|| no_webhook(&current, name))?;
        Ok(facts_of(&name, account, &self.metrics.webhook_figures()))
    }

    /// Returns the definition of a webhook, with the state that the instances have recorded if `states` has it.
    pub(super) fn webhook_view(
        &self,
        webhook: &WebhookFacts,
        states: Option<&HashMap<WebhookName, Remembered>>,
    ) -> Result<Value, Failure> {
        let current = self.current()?;
        let name = WebhookName::new(&webhook.name);
        let found = name.and_then(|name| current.accounts.webhooks.get(&name));
        let Some((webhook, policy)) = found else {
            return Err(no_webhook(&current, &webhook.name));
        };
        let account = current.accounts.accounts.get(&webhook.account);
        let default = account.and_then(|account| account.default_webhook.as_ref());
        let known =
            states.and_then(|states| states.get(&webhook.name)).cloned().unwrap_or_default();
        let now: Timestamp = clock::wall();
        let view = WebhookView::of(webhook, policy, default == Some(&webhook.name), &known, now);
        let mut view = serde_json::to_value(view).unwrap_or_default();
        if let (None, Some(members)) = (states, view.as_object_mut()) {
            for name in ["state", "disabled_at", "disabled_cause", "held_until", "failing_since"] {
                members.remove(name);
            }
        }
        Ok(view)
    }
}

fn facts_of(
    name: &WebhookName,
    account: i64,
    figures: &HashMap<WebhookName, WebhookFigures>,
) -> WebhookFacts {
    let figures = figures.get(name);
    WebhookFacts {
        name: name.to_string(),
        account_id: account,
        state: state(figures),
        figures: figures.map(FiguresView::of),
    }
}

pub(super) fn no_webhook(current: &Current, name: &str) -> Failure {
    let near = current.accounts.nearest_webhook(name);
    let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Failure::Missing(format!("no webhook {name} is configured{hint}"))
}
