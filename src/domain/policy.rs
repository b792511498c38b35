//! The part of the configuration that decisions need.

use super::{
    AccountId, Computed, Definitions, FlowId, NoticePolicy, RetrySchedule, Rule, StatusTable,
    WebhookName,
};
use imbl::OrdMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// When phase 2 is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase2Wait {
    /// One webhook, when every SMS has a final status.
    All,
    /// One webhook per SMS.
    Each,
}

/// Whether phase 2 waits for the end of phase 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase2Order {
    /// Phase 2 leaves after phase 1 was delivered or became a dead letter.
    Strict,
    /// Phase 2 leaves when it is due.
    Independent,
}

/// What happens at the report time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReportTimeout {
    End,
    /// Phase 2 is sent with the known reports.
    Notify,
}

/// The modes and waiting times of a correlation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationPolicy {
    pub phase2_wait: Phase2Wait,
    pub phase2_order: Phase2Order,
    pub on_report_timeout: OnReportTimeout,
    /// How long the webhook of a flow without a list gathers reports, from the first final one on.
    pub phase2_gather_ms: u64,
    /// How long a report waits for its flow complete record.
    pub correlation_ttl_ms: u64,
    /// How long a flow waits for its reports.
    pub report_timeout_ms: u64,
    /// How long the marker of an ended correlation is kept.
    pub dedup_window_ms: u64,
}

/// The settings of an account.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccountPolicy {
    /// Whether phase 2 is sent: `account.sms.notifyOnDelivery`.
    pub notify_on_delivery: bool,
    /// Whether phase 2 has the flow's keys: `account.sms.notifyOnDelivery.attachflowkeys`.
    pub attach_flow_keys: bool,
    /// Whether webhooks are enabled if neither a flow entry nor the record says so.
    pub webhook_enabled: Option<bool>,
    pub default_webhook: Option<WebhookName>,
    /// `[[flow]]` entries: whether the flow enables its webhooks.
    pub flows: BTreeMap<FlowId, bool>,
    /// The rules. Each applies to one flow, or to all flows without an id.
    pub rules: Vec<(Option<FlowId>, Rule)>,
    /// Whether webhooks or rules of the account use variables. If so, flow complete records are kept whole.
    pub uses_variables: bool,
    /// What follows from the rules and the definitions. It is computed at the first use.
    pub relations: Computed,
    /// The notices about the account's endpoints, if it wants any.
    pub notices: Option<NoticePolicy>,
}

/// The flow of an occasion, as far as rules depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The flow, if the gateway names it.
    pub flow: Option<FlowId>,
    /// Whether the flow enables its webhooks. If not, only rules of any flow apply.
    pub enabled: bool,
}

impl Scope {
    /// Returns whether `rule`, which belongs to the flow `of` or to all flows, applies to the flow.
    pub(super) fn includes(self, of: Option<FlowId>, rule: &Rule) -> bool {
        (of.is_none() || of == self.flow) && (self.enabled || rule.any_flow)
    }
}

impl AccountPolicy {
    /// Returns whether webhooks of `flow` are enabled. `record` is the setting in the record.
    pub(super) fn enables(&self, flow: Option<FlowId>, record: Option<bool>) -> bool {
        let entry = flow.and_then(|id| self.flows.get(&id).copied());
        entry.or(record).or(self.webhook_enabled).unwrap_or(false)
    }

    /// Returns the rules that apply to a flow.
    pub(super) fn rules_of(&self, scope: Scope) -> impl Iterator<Item = &Rule> {
        self.numbered_rules_of(scope).map(|(_, rule)| rule)
    }

    /// Returns the rules that apply to a flow, with their numbers.
    pub(super) fn numbered_rules_of(&self, scope: Scope) -> impl Iterator<Item = (usize, &Rule)> {
        let rules = self.rules.iter().enumerate();
        rules
            .filter(move |(_, (of, rule))| scope.includes(*of, rule))
            .map(|(n, (_, rule))| (n, rule))
    }
}

/// How often and for how long a webhook's deliveries are attempted.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookPolicy {
    /// A delivery becomes a dead letter after this number of failed attempts.
    pub attempts_max: u32,
    /// A delivery older than this becomes a dead letter.
    pub age_max_ms: u64,
    pub retry: RetrySchedule,
    /// The longest pause that an endpoint can ask for.
    pub retry_after_max_ms: u64,
    /// An endpoint is disabled when all attempts fail for this long.
    pub disable_after_ms: u64,
}

/// Everything of the configuration that a decision depends on. Copies share their parts, so that a change of few
/// accounts copies little.
#[derive(Clone, Debug)]
pub struct Policy {
    pub correlation: CorrelationPolicy,
    pub statuses: StatusTable,
    pub accounts: OrdMap<AccountId, AccountPolicy>,
    pub webhooks: OrdMap<WebhookName, WebhookPolicy>,
    /// The bodies of webhooks, and the values that their answers give.
    pub definitions: Arc<dyn Definitions>,
    /// The policy of a delivery whose webhook is no longer configured.
    pub webhook_defaults: WebhookPolicy,
}

impl Policy {
    /// Returns the notices about the endpoint of `webhook` that its account wants.
    #[must_use]
    pub fn notices(&self, account: AccountId, webhook: &WebhookName) -> Option<&NoticePolicy> {
        let notices = self.accounts.get(&account)?.notices.as_ref()?;
        // If its own endpoint fails, a notice about it would fail too.
        (notices.webhook != *webhook).then_some(notices)
    }

    /// Returns the policy of `webhook`, or the defaults if it is not configured.
    #[must_use]
    pub fn webhook(&self, webhook: &WebhookName) -> &WebhookPolicy {
        self.webhooks.get(webhook).unwrap_or(&self.webhook_defaults)
    }
}
