//! What the configuration says, as far as decisions need it.

use super::{AccountId, Definitions, FlowId, RetrySchedule, Rule, StatusTable, WebhookName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// When phase 2 is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase2Wait {
    /// One webhook, once every SMS has a final status.
    All,
    /// One webhook per SMS.
    Each,
}

/// Whether phase 2 waits for the end of phase 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase2Order {
    /// Phase 2 leaves after phase 1 was delivered or given up.
    Strict,
    /// Phase 2 leaves when it is due.
    Independent,
}

/// What the report time-out does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReportTimeout {
    /// The correlation ends.
    End,
    /// Phase 2 is sent with what is known.
    Notify,
}

/// How long a correlation waits for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationPolicy {
    /// All SMS in one webhook, or each in its own.
    pub phase2_wait: Phase2Wait,
    /// Strictly after phase 1, or not.
    pub phase2_order: Phase2Order,
    /// What the report time-out does.
    pub on_report_timeout: OnReportTimeout,
    /// How long a report waits for its flow complete record.
    pub correlation_ttl_ms: u64,
    /// How long a flow waits for its reports.
    pub report_timeout_ms: u64,
    /// How long the marker of an ended correlation is kept.
    pub dedup_window_ms: u64,
}

/// What an account's settings say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccountPolicy {
    /// `account.sms.notifyOnDelivery`
    pub notify_on_delivery: bool,
    /// `account.sms.notifyOnDelivery.attachflowkeys`
    pub attach_flow_keys: bool,
    /// The account's word where neither a flow entry nor the record says whether webhooks are enabled.
    pub webhook_enabled: Option<bool>,
    /// The default webhook.
    pub default_webhook: Option<WebhookName>,
    /// `[[flow]]` entries: whether the flow enables its webhooks.
    pub flows: BTreeMap<FlowId, bool>,
    /// Webhooks beside the two phases, with the one flow that each is about, if it is not about all of them.
    pub rules: Vec<(Option<FlowId>, Rule)>,
    /// Its webhooks or rules use variables, so that flow complete records are kept whole.
    pub uses_variables: bool,
}

impl AccountPolicy {
    /// Whether webhooks of `flow` are enabled, whose record says `record`.
    pub(super) fn enables(&self, flow: Option<FlowId>, record: Option<bool>) -> bool {
        let entry = flow.and_then(|id| self.flows.get(&id).copied());
        entry.or(record).or(self.webhook_enabled).unwrap_or(false)
    }

    /// The rules of `flow`.
    pub(super) fn rules_of(&self, flow: Option<FlowId>) -> impl Iterator<Item = &Rule> {
        let of = self.rules.iter().filter(move |(of, _)| of.is_none() || *of == flow);
        of.map(|(_, rule)| rule)
    }
}

/// How often and how long a webhook's deliveries are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookPolicy {
    /// After so many attempts a delivery is given up.
    pub attempts_max: u32,
    /// A delivery older than this is given up.
    pub age_max_ms: u64,
    /// The intervals between attempts.
    pub retry: RetrySchedule,
    /// A `Retry-After` counts up to this.
    pub retry_after_max_ms: u64,
    /// An endpoint that only failed for so long is disabled.
    pub disable_after_ms: u64,
}

/// Everything of the configuration that a decision depends on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Waiting times and modes.
    pub correlation: CorrelationPolicy,
    /// Which statuses are final.
    pub statuses: StatusTable,
    /// The configured accounts.
    pub accounts: BTreeMap<AccountId, AccountPolicy>,
    /// The configured webhooks.
    pub webhooks: BTreeMap<WebhookName, WebhookPolicy>,
    /// What they say and save.
    pub definitions: Arc<dyn Definitions>,
    /// For a delivery whose webhook is not configured any more.
    pub webhook_defaults: WebhookPolicy,
}

impl Policy {
    /// The rules of `webhook`.
    #[must_use]
    pub fn webhook(&self, webhook: &WebhookName) -> &WebhookPolicy {
        self.webhooks.get(webhook).unwrap_or(&self.webhook_defaults)
    }
}
