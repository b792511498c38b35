//! What is kept of one phonon-uuid: its correlation, and its deliveries that are not finished.

use super::{
    AccountId, DeliveryId, FlowId, Header, IgnoreReason, Mapped, Outcome, Rendering, SmsId, Source,
    StatusClass, Timestamp, WebhookName,
};
use bytes::Bytes;

/// Everything known of one phonon-uuid. The default is that nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// What is known so far.
    pub correlation: Correlation,
    /// The outbox rows of the uuid.
    pub deliveries: Vec<Delivery>,
    /// The call begin record that was accepted of it, to tell duplicates.
    pub started: Option<Started>,
    /// What the answers to its webhooks gave so far, as long as somebody may use it.
    pub mapped: Vec<Mapped>,
}

/// Which call begin record was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Whose flow.
    pub account: AccountId,
    /// The hash of the record's content.
    pub content: u64,
    /// Then it is forgotten.
    pub until: Timestamp,
}

impl State {
    /// Whether nothing is known, so that nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.correlation == Correlation::Unknown
            && self.deliveries.is_empty()
            && self.started.is_none()
    }

    /// When [`super::Command::FireTimer`] is due next.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        let started = self.started.map(|started| started.until);
        match (started, self.correlation_timer()) {
            (Some(started), Some(correlation)) => Some(started.min(correlation)),
            (one, other) => one.or(other),
        }
    }

    /// When the correlation's own time has come.
    pub(super) fn correlation_timer(&self) -> Option<Timestamp> {
        match &self.correlation {
            Correlation::Unknown => None,
            Correlation::AwaitingFlow(reports) => reports.iter().filter_map(|r| r.expires_at).min(),
            Correlation::Open(flow) => match flow.collection {
                Collection::Open { until } => Some(until),
                Collection::Complete | Collection::TimedOut | Collection::NotWanted => None,
            },
            Correlation::Silent { until, .. } | Correlation::Ended { until, .. } => Some(*until),
        }
    }

    /// The delivery with this id.
    #[must_use]
    pub fn delivery(&self, id: DeliveryId) -> Option<&Delivery> {
        self.deliveries.iter().find(|delivery| delivery.id == id)
    }
}

/// What is known of a flow's execution.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Correlation {
    /// Nothing.
    #[default]
    Unknown,
    /// Reports that came before their flow complete record.
    AwaitingFlow(Vec<Collected>),
    /// The flow completed and its webhooks are on their way.
    Open(Flow),
    /// The flow completed and sends nothing, so that its reports are ignored for the same reason.
    Silent {
        /// Which flow record it was.
        flow: FlowIdentity,
        /// Why it sends nothing.
        reason: IgnoreReason,
        /// Then it is forgotten.
        until: Timestamp,
    },
    /// All is done; what comes now is late.
    Ended {
        /// Whose flow it was.
        account: AccountId,
        /// Then it is forgotten.
        until: Timestamp,
    },
}

/// Which flow complete record was accepted, to tell duplicates from conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowIdentity {
    /// Whose flow.
    pub account: AccountId,
    /// Which flow.
    pub flow: Option<FlowId>,
    /// The hash of the record's content.
    pub content: u64,
}

/// An accepted flow that is not at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Which record it was.
    pub identity: FlowIdentity,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Where it stands in Kafka.
    pub source: Source,
    /// Where its phase 1 went; nowhere when its account has no default webhook, but rules.
    pub webhook: Option<WebhookName>,
    /// The flow's keys as JSON, when the account attaches them to phase 2.
    pub keys: Option<Bytes>,
    /// The SMS that the flow sent, when the gateway knows.
    pub sms: Option<Vec<SmsId>>,
    /// What its SMS reported so far.
    pub reports: Vec<Collected>,
    /// Whether reports are still awaited.
    pub collection: Collection,
    /// The flow complete record, whole, as compact JSON, when webhooks of its account say more than the predefined bodies do.
    pub record: Option<Bytes>,
}

/// Whether reports of a flow are still awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Until then.
    Open {
        /// The report time-out.
        until: Timestamp,
    },
    /// No, all that phase 2 needs is known.
    Complete,
    /// No, the report time-out has passed.
    TimedOut,
    /// No, there is no phase 2.
    NotWanted,
}

/// The report that counts of one SMS so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Whose report; it differs from the flow's only while the flow is not known.
    pub account: AccountId,
    /// Which SMS.
    pub sms: SmsId,
    /// Whether its status is final.
    pub class: StatusClass,
    /// The content hashes of the reports accepted of this SMS, the newest last.
    pub seen: Vec<u64>,
    /// The report as JSON, until a phase 2 carries it or none will.
    pub body: Option<Bytes>,
    /// The record as it came, while it may become a dead letter and differs from `body`.
    pub raw: Option<Bytes>,
    /// The record's headers, while it may become a dead letter.
    pub headers: Vec<Header>,
    /// A delivery carries it, of phase 2 or of a rule.
    pub sent: bool,
    /// Where it stands in Kafka.
    pub source: Source,
    /// When it stops waiting for its flow.
    pub expires_at: Option<Timestamp>,
    /// The status as it came, while it waits for its flow.
    pub status: Option<Box<str>>,
}

impl Collected {
    /// What is kept of it once its flow is known: it becomes no dead letter any more.
    pub(super) fn adopted(&self) -> Self {
        let headers = Vec::new();
        Self { expires_at: None, raw: None, headers, status: None, ..self.clone() }
    }

    /// Whether both are about one SMS of one account.
    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        self.account == other.account && self.sms == other.sms
    }
}

/// So many content hashes of one SMS are kept.
pub(super) const SEEN_MAX: usize = 16;

/// The two webhooks of a flow, and those beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A rule's webhook, which belongs to neither phase.
    Rule,
    /// The flow-complete webhook.
    One,
    /// The delivery-status webhook.
    Two,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rule, Self::One, Self::Two];

    /// 1 or 2; 0 for a rule's.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Rule => 0,
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// "0", "1" or "2", as labels and headers spell it.
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
    /// From then on.
    At(Timestamp),
    /// Once what it waits for is delivered or given up: phase 1, or what its rendering says.
    Waiting,
}

/// First attempts and retries wait apart and leave by slots of their own, so that neither delays the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nothing was attempted yet.
    First,
    /// An attempt has failed.
    Retry,
}

impl Class {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Retry];
}

/// One webhook message that is not finished: an outbox row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The stable id.
    pub id: DeliveryId,
    /// Which webhook of the flow.
    pub phase: Phase,
    /// Whose it is.
    pub account: AccountId,
    /// Where it goes.
    pub webhook: WebhookName,
    /// What is sent, the same in every attempt; until it is rendered, the predefined body.
    pub body: Bytes,
    /// What else goes into its request.
    pub rendering: Rendering,
    /// The record that triggered it.
    pub source: Source,
    /// When it was scheduled.
    pub scheduled_at: Timestamp,
    /// When it may be attempted.
    pub due: Due,
    /// How many attempts ended in this life.
    pub attempts: u32,
    /// How many lives it had before.
    pub replays: u32,
    /// When the first attempt ended.
    pub first_attempt_at: Option<Timestamp>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<Timestamp>,
    /// What came of the last attempt.
    pub last_outcome: Option<Outcome>,
}

impl Delivery {
    /// A delivery that nothing happened to yet, due at once.
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

    /// Where it waits.
    #[must_use]
    pub const fn class(&self) -> Class {
        if self.attempts == 0 { Class::First } else { Class::Retry }
    }

    /// Whether it leaves, if it waits, only after `other`.
    pub(super) fn waits_for(&self, other: &Self) -> bool {
        match &self.rendering {
            Rendering::Pending(pending) => pending.after.contains(&other.id),
            Rendering::Fixed | Rendering::Done(_) => other.phase == Phase::One,
        }
    }
}
