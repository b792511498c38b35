//! The state of one phonon-uuid: its correlation, and its deliveries that are not finished.

use super::{
    AccountId, DeliveryId, ErrorReason, Facts, FlowId, Headers, IgnoreReason, Mapped, Outcome,
    Pending, PhononUuid, Rendering, Scope, SharedList, SkipReason, SmsId, Source, StatusClass,
    Timestamp, Verdict, WebhookName,
};
use bytes::Bytes;
use std::sync::Arc;

/// The state of one phonon-uuid. The default state is that of an unknown uuid.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    pub correlation: Correlation,
    /// The outbox rows of the uuid.
    pub deliveries: Vec<Delivery>,
    /// The call begin record that was accepted, which makes duplicates recognisable.
    pub started: Option<Started>,
    /// The values that answers gave so far, as long as a webhook may use them.
    pub mapped: Vec<Mapped>,
    /// The rules that wait until deliveries have ended.
    pub deferred: Vec<Deferred>,
    /// The outcomes that later webhooks may use, at most one of each webhook. The newest comes last.
    pub outcomes: Vec<EndedWebhook>,
}

/// A rule that was triggered, or may be, and that is judged when deliveries have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// The delivery that the rule schedules. Its rendering is pending, and names the deliveries to wait for.
    pub delivery: Delivery,
    /// The trigger, as the rule spells it.
    pub trigger: Box<str>,
    /// The delivery whose end triggers the rule, unless the rule is triggered already.
    pub upon: Option<DeliveryId>,
    /// The SMS whose reports the delivery carries.
    pub sms: SharedList<SmsId>,
    pub scope: Scope,
}

impl Deferred {
    /// Returns the deliveries that the rule waits for.
    #[must_use]
    pub fn after(&self) -> &[DeliveryId] {
        match &self.delivery.rendering {
            Rendering::Pending(pending) => &pending.after,
            Rendering::Fixed | Rendering::Done(_) => &[],
        }
    }

    /// Returns the rule as it waits when it will be skipped for `reason` once its trigger comes. It needs neither the
    /// body nor the facts. A delivery that waits has no outcome, so that the row keeps the reason there.
    pub(super) fn skipping(self, reason: SkipReason) -> Self {
        let pending = Pending { after: self.after().to_vec(), ..Pending::of(Facts::default()) };
        let (verdict, error) = (Verdict::GiveUp, ErrorReason::InvalidFlowVar);
        let delivery = Delivery {
            body: Bytes::new(),
            rendering: Rendering::Pending(Box::new(pending)),
            last_outcome: Some(Box::new(Outcome::unanswered(verdict, error, reason.as_str()))),
            ..self.delivery
        };
        Self { delivery, ..self }
    }

    /// Returns why the rule is skipped once its trigger comes, or `None` if it is judged then.
    #[must_use]
    pub fn skip_reason(&self) -> Option<SkipReason> {
        let error = self.delivery.last_outcome.as_ref()?.error.as_deref()?;
        SkipReason::ALL.iter().copied().find(|reason| reason.as_str() == error)
    }
}

/// The outcome of the last delivery of a webhook that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedWebhook {
    pub account: AccountId,
    pub webhook: WebhookName,
    /// The values of the variables that have the outcome.
    pub values: Vec<Mapped>,
}

/// A call begin record that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub account: AccountId,
    /// The hash of the record's content.
    pub content: u64,
    /// When the record expires.
    pub until: Timestamp,
}

impl State {
    /// Returns whether nothing is known. An empty state has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.correlation == Correlation::Unknown
            && self.deliveries.is_empty()
            && self.deferred.is_empty()
            && self.started.is_none()
    }

    /// Returns when [`super::Command::FireTimer`] is due next.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        let started = self.started.map(|started| started.until);
        match (started, self.correlation_timer()) {
            (Some(started), Some(correlation)) => Some(started.min(correlation)),
            (one, other) => one.or(other),
        }
    }

    /// Returns when the correlation's own waiting time ends.
    pub(super) fn correlation_timer(&self) -> Option<Timestamp> {
        match &self.correlation {
            Correlation::Unknown => None,
            Correlation::AwaitingFlow(reports) => reports.iter().filter_map(|r| r.expires_at).min(),
            Correlation::Open(flow) => match flow.collection {
                Collection::Open { until } => {
                    Some(flow.gathers_until.map_or(until, |gathered| gathered.min(until)))
                }
                Collection::Complete | Collection::TimedOut | Collection::NotWanted => None,
            },
            Correlation::Silent { until, .. } | Correlation::Ended { until, .. } => Some(*until),
        }
    }

    /// Returns the delivery with this id, if it is in the outbox.
    #[must_use]
    pub fn delivery(&self, id: DeliveryId) -> Option<&Delivery> {
        self.deliveries.iter().find(|delivery| delivery.id == id)
    }
}

/// The correlation of a flow's execution.
#[expect(
    clippy::large_enum_variant,
    reason = "most states are open, and a box is an allocation for each record"
)]
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Correlation {
    /// No record is known.
    #[default]
    Unknown,
    /// Reports came before their flow complete record.
    AwaitingFlow(Vec<Collected>),
    /// The flow is complete, and its webhooks or reports are not finished.
    Open(Flow),
    /// The flow is complete and sends no webhook. Its reports are ignored for the same reason.
    Silent {
        flow: FlowIdentity,
        /// Why it sends no webhook.
        reason: IgnoreReason,
        /// When this marker expires.
        until: Timestamp,
    },
    /// Everything is done. A record that comes now is late.
    Ended {
        /// The account of the flow.
        account: AccountId,
        /// When this marker expires.
        until: Timestamp,
    },
}

/// The identity of an accepted flow complete record. It distinguishes duplicates from conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowIdentity {
    pub account: AccountId,
    pub flow: Option<FlowId>,
    /// The hash of the record's content.
    pub content: u64,
}

/// An accepted flow that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub identity: FlowIdentity,
    pub accepted_at: Timestamp,
    /// The record's position in Kafka.
    pub source: Source,
    /// The target of phase 1; `None` if the account has rules, but no default webhook, or if the flow does not enable
    /// it.
    pub webhook: Option<WebhookName>,
    /// Whether the flow enables its webhooks. If not, only rules of any flow apply to it.
    pub enabled: bool,
    /// The flow's keys as JSON, if the account attaches them to phase 2.
    pub keys: Option<Bytes>,
    /// The SMS that the flow sent, if the gateway knows them.
    pub sms: Option<Vec<SmsId>>,
    /// The latest report of each SMS.
    pub reports: Vec<Collected>,
    pub collection: Collection,
    /// When phase 2 is due that gathers the reports of a flow without a list. `None` before the first final report.
    pub gathers_until: Option<Timestamp>,
    /// The whole flow complete record as compact JSON, if the account uses variables.
    pub record: Option<Bytes>,
    /// The record's spelling of the uuid, if it differs from the id.
    pub spelling: Option<Arc<str>>,
}

impl Flow {
    /// Returns the id `uuid` of the flow as the flow's record spells it. All bodies of a flow have the same spelling.
    #[must_use]
    pub fn spelling_of<'a>(&'a self, uuid: &'a PhononUuid) -> &'a str {
        self.spelling.as_deref().unwrap_or(uuid.as_str())
    }

    /// Returns the flow once `report` replaces the known report of its SMS.
    pub(super) fn with_report(&self, report: Collected) -> Self {
        let mut reports = Vec::with_capacity(self.reports.len() + 1);
        reports.extend(self.reports.iter().filter(|known| known.sms != report.sms).cloned());
        reports.push(report);
        Self {
            identity: self.identity,
            accepted_at: self.accepted_at,
            source: self.source.clone(),
            webhook: self.webhook.clone(),
            enabled: self.enabled,
            keys: self.keys.clone(),
            sms: self.sms.clone(),
            reports,
            collection: self.collection,
            gathers_until: self.gathers_until,
            record: self.record.clone(),
            spelling: self.spelling.clone(),
        }
    }

    /// Returns the flow as far as rules depend on it.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        Scope { flow: self.identity.flow, enabled: self.enabled }
    }

    /// Returns why reports of the flow are ignored if it has no default webhook.
    pub(super) const fn no_webhook(&self) -> IgnoreReason {
        if self.enabled { IgnoreReason::NoDefaultWebhook } else { IgnoreReason::WebhookDisabled }
    }
}

/// Whether a flow still waits for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    Open {
        until: Timestamp,
    },
    /// All that phase 2 needs is known.
    Complete,
    /// The report time-out has passed.
    TimedOut,
    /// There is no phase 2.
    NotWanted,
}

/// The accepted report of one SMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The account of the report. It differs from the flow's only while the flow is unknown.
    pub account: AccountId,
    pub sms: SmsId,
    pub class: StatusClass,
    /// The content hashes of the reports accepted for this SMS, the newest last.
    pub seen: Vec<u64>,
    /// The report as JSON, until a phase 2 carries it or none will.
    pub body: Option<Bytes>,
    /// The record as it came, while it may become a dead letter and differs from `body`.
    pub raw: Option<Bytes>,
    /// The record's headers, while it may become a dead letter.
    pub headers: Headers,
    /// Whether a delivery of phase 2 or of a rule carries the report.
    pub sent: bool,
    /// The record's position in Kafka.
    pub source: Source,
    /// When the report stops waiting for its flow.
    pub expires_at: Option<Timestamp>,
    /// The status as it came, while the report waits for its flow.
    pub status: Option<Box<str>>,
}

impl Collected {
    /// Returns the report without the parts that only a dead letter needs. Once its flow is known, it never becomes
    /// one.
    pub(super) fn adopted(&self) -> Self {
        let headers = Headers::default();
        Self { expires_at: None, raw: None, headers, status: None, ..self.clone() }
    }

    /// Returns whether both reports are about the same SMS of the same account.
    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        self.account == other.account && self.sms == other.sms
    }
}

/// The largest number of content hashes that are kept for one SMS.
pub(super) const SEEN_MAX: usize = 16;

/// The phase of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The webhook of a rule, or a notice to the owner of an endpoint, which belong to neither phase.
    Rule,
    One,
    Two,
}

impl Phase {
    /// All variants, in declaration order.
    pub const ALL: [Self; 3] = [Self::Rule, Self::One, Self::Two];

    /// Returns 1 or 2, and 0 for neither phase.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Rule => 0,
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Returns "0", "1" or "2", as labels and headers spell the phase.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "0",
            Self::One => "1",
            Self::Two => "2",
        }
    }
}

/// When a delivery may be attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// From this time on.
    At(Timestamp),
    /// Once the deliveries that it waits for have ended: phase 1, or those that its rendering names.
    Waiting,
}

/// The class of a delivery's next attempt. First attempts and retries wait apart and use different slots, so that
/// neither delays the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// No attempt has ended yet.
    First,
    /// An attempt has failed.
    Retry,
}

impl Class {
    /// All variants, in declaration order.
    pub const ALL: [Self; 2] = [Self::First, Self::Retry];
}

/// An outbox row: one webhook message that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub phase: Phase,
    pub account: AccountId,
    pub webhook: WebhookName,
    /// The body, the same in every attempt. Before the rendering, it is the predefined body.
    pub body: Bytes,
    /// The other parts of the request.
    pub rendering: Rendering,
    /// The SMS that the delivery is about. Rows of earlier versions have none.
    pub sms: SharedList<SmsId>,
    /// The position of the record that triggered the delivery.
    pub source: Source,
    pub scheduled_at: Timestamp,
    pub due: Due,
    /// The number of attempts that have ended since the delivery was scheduled or last replayed.
    pub attempts: u32,
    /// How often the delivery was replayed.
    pub replays: u32,
    /// When the first attempt ended.
    pub first_attempt_at: Option<Timestamp>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<Timestamp>,
    /// The outcome of the last attempt. Most deliveries succeed at once and never have one, so that it is apart.
    pub last_outcome: Option<Box<Outcome>>,
}

impl Delivery {
    /// Returns a new delivery without attempts, due at once.
    #[must_use]
    pub fn new(
        id: DeliveryId,
        phase: Phase,
        account: AccountId,
        webhook: WebhookName,
        body: Bytes,
        source: Source,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            phase,
            account,
            webhook,
            body,
            rendering: Rendering::Fixed,
            sms: SharedList::default(),
            source,
            scheduled_at: now,
            due: Due::At(now),
            attempts: 0,
            replays: 0,
            first_attempt_at: None,
            last_attempt_at: None,
            last_outcome: None,
        }
    }

    /// Returns the class of the delivery's next attempt.
    #[must_use]
    pub const fn class(&self) -> Class {
        if self.attempts == 0 { Class::First } else { Class::Retry }
    }

    /// Returns whether the delivery, while it waits, leaves only after `other`.
    pub(super) fn waits_for(&self, other: &Self) -> bool {
        match &self.rendering {
            Rendering::Pending(pending) => pending.after.contains(&other.id),
            Rendering::Fixed | Rendering::Done(_) => other.phase == Phase::One,
        }
    }
}
