//! What happened. Every event is a fact; most are published, and all are what the state is made of.

use super::{
    AccountId, Collected, Collection, Delivery, DeliveryId, Flow, FlowId, FlowIdentity, Header,
    Outcome, Rendering, SmsId, Source, Started, Timestamp, WebhookName,
};
use bytes::Bytes;

/// One fact about one phonon-uuid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call begin record was accepted.
    FlowStarted {
        /// Which record.
        started: Started,
        /// Which flow.
        flow: Option<FlowId>,
        /// Where it stands.
        source: Source,
    },
    /// A flow complete record was accepted; its webhooks will be sent.
    FlowAccepted(Box<Flow>),
    /// A flow complete record was accepted that sends nothing.
    FlowSilenced {
        /// Which record.
        identity: FlowIdentity,
        /// Why it sends nothing.
        reason: IgnoreReason,
        /// Where it stands.
        source: Source,
        /// Then it is forgotten.
        until: Timestamp,
    },
    /// A report counts, instead of an earlier one of the same SMS if there was one.
    ReportAccepted {
        /// The report.
        report: Box<Collected>,
        /// The status as it came.
        status: Box<str>,
        /// Whether the status table knows the word.
        known: bool,
    },
    /// A report that waited for its flow belongs to it now.
    ReportAdopted {
        /// Which SMS.
        sms: SmsId,
    },
    /// A record changed nothing.
    RecordIgnored(IgnoredRecord),
    /// A record was given up.
    RecordDeadLettered {
        /// The record.
        record: RawRecord,
        /// Why.
        reason: DeadLetterReason,
        /// For people.
        detail: String,
    },
    /// A webhook is to be sent.
    DeliveryScheduled {
        /// The new outbox row.
        delivery: Box<Delivery>,
        /// The SMS whose reports it carries.
        sms: Vec<SmsId>,
    },
    /// A delivery that waited is rendered, and may be attempted.
    DeliveryRendered {
        /// Which.
        delivery: DeliveryId,
        /// What is sent.
        body: Bytes,
        /// What else goes into the request.
        rendering: Rendering,
        /// From then on.
        at: Timestamp,
    },
    /// The collection of reports ended.
    CollectionClosed(Collection),
    /// An attempt failed; the delivery is tried again unless a dead letter follows.
    AttemptFailed {
        /// Whose attempt.
        delivery: DeliveryId,
        /// Which one.
        attempt: u32,
        /// What came of it.
        outcome: Outcome,
        /// When it ended.
        at: Timestamp,
        /// When the next one is due; `None` when it was the last.
        retry_at: Option<Timestamp>,
    },
    /// The endpoint took the delivery.
    Delivered {
        /// The delivery as it was.
        delivery: Box<Delivery>,
        /// Which attempt.
        attempt: u32,
        /// What came of it.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
    /// The delivery was given up.
    DeadLettered {
        /// The delivery as it was, with the attempts made.
        delivery: Box<Delivery>,
        /// Why.
        reason: DeadLetterReason,
        /// When.
        at: Timestamp,
    },
    /// A delivery that was given up is to be sent after all.
    Replayed {
        /// The new outbox row.
        delivery: Box<Delivery>,
    },
    /// The reports that a flow waited for did not all come in time.
    ReportTimedOut {
        /// The SMS of the flow's list that have no final status.
        missing: Vec<SmsId>,
    },
    /// A rule's webhook is not sent, since nobody could say whether its conditions hold.
    RuleSkipped(Box<SkippedRule>),
    /// All that was promised is done.
    CorrelationEnded,
    /// The marker takes the correlation's place.
    MarkerKept {
        /// Whose flow it was.
        account: AccountId,
        /// Then it is forgotten.
        until: Timestamp,
    },
    /// The uuid is forgotten.
    MarkerExpired,
    /// The call begin record is forgotten.
    StartExpired,
}

impl Event {
    /// The delivery that stands in the outbox from then on.
    pub(super) fn begun(&self) -> Option<&Delivery> {
        if let Self::DeliveryScheduled { delivery, .. } | Self::Replayed { delivery } = self {
            return Some(delivery);
        }
        None
    }

    /// The delivery that stands there no more.
    pub(super) fn ended(&self) -> Option<&Delivery> {
        if let Self::Delivered { delivery, .. } | Self::DeadLettered { delivery, .. } = self {
            return Some(delivery);
        }
        None
    }
}

/// A rule that was upon what happened, and of whose conditions nobody can say whether they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRule {
    /// Whose rule.
    pub account: AccountId,
    /// What it would have sent.
    pub webhook: WebhookName,
    /// Upon what, as the rule spells it.
    pub trigger: Box<str>,
    /// Why.
    pub reason: SkipReason,
    /// The variable that has no value, when it is that.
    pub variable: Option<Box<str>>,
    /// Which SMS, when it is about a report.
    pub sms: Option<SmsId>,
    /// The record that it was upon.
    pub source: Source,
}

/// A record that changed nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredRecord {
    /// Which of the source events.
    pub kind: RecordKind,
    /// Whose it says it is.
    pub account: AccountId,
    /// Which SMS, when it is a report.
    pub sms: Option<SmsId>,
    /// Why.
    pub reason: IgnoreReason,
    /// Where it stands.
    pub source: Source,
    /// It had been accepted, and waited for its flow or for phase 2 until now.
    pub waited: bool,
}

/// A record kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Which of the source events, when that is known.
    pub kind: Option<RecordKind>,
    /// Whose it says it is.
    pub account: Option<AccountId>,
    /// Which SMS, when it is a report that waited.
    pub sms: Option<SmsId>,
    /// Its bytes, when the caller does not hold them.
    pub payload: Option<Bytes>,
    /// Its headers, when the caller does not hold them.
    pub headers: Vec<Header>,
    /// Where it stands.
    pub source: Source,
}

/// Which source event a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Call begin.
    Start,
    /// Flow complete.
    Flow,
    /// Delivery report.
    Report,
}

impl RecordKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Start, Self::Flow, Self::Report];

    /// The word that events use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "flow_started",
            Self::Flow => "flow_complete",
            Self::Report => "delivery_report",
        }
    }
}

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every reason, for closed label sets.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that events, metrics and headers use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

reasons! {
    /// Why a record was ignored.
    IgnoreReason {
        /// The same decoded content came before.
        Duplicate = "duplicate",
        /// An intermediate status after a final one.
        Regressed = "regressed",
        /// Other content for the same uuid or SMS.
        Conflicting = "conflicting",
        /// The report names another account than its flow.
        AccountMismatch = "account_mismatch",
        /// It came after the end, or was left at the end without a webhook that carries it.
        Late = "late",
        /// The flow's list does not name the SMS.
        Unlisted = "unlisted",
        /// The account does not want phase 2.
        NotifyOff = "notify_off",
        /// The account has no default webhook.
        NoDefaultWebhook = "no_default_webhook",
        /// The flow does not enable its webhooks.
        WebhookDisabled = "webhook_disabled",
    }
}

reasons! {
    /// Why nobody can say whether a rule's conditions hold.
    SkipReason {
        /// The variable of a condition has no value.
        NoValue = "no_value",
        /// The variable of a condition gets its value of an answer that has not come yet.
        Unanswered = "unanswered",
        /// A newer report of the SMS took the place of the one that it is upon, before the flow was known.
        Replaced = "replaced",
    }
}

reasons! {
    /// Why a delivery or a record was given up.
    DeadLetterReason {
        /// `attempts_max` was reached.
        AttemptsExhausted = "attempts_exhausted",
        /// `age_max_s` was reached.
        AgeExceeded = "age_exceeded",
        /// The endpoint answered with a final status.
        Refused = "refused",
        /// The address policy forbids the endpoint's address.
        BlockedAddress = "blocked_address",
        /// The request can't be built; or, of a replay, there is no room for it beside what the uuid has already.
        InvalidRequest = "invalid_request",
        /// A mandatory variable has no value.
        InvalidFlowVar = "invalid_flow_var",
        /// The answer can't be read as its type.
        InvalidResponse = "invalid_response",
        /// A mandatory part of the answer is missing.
        InvalidResponseMap = "invalid_response_map",
        /// The endpoint is disabled.
        EndpointDisabled = "endpoint_disabled",
        /// The bytes are no source event, or with it more would be kept of its uuid than one stored row may hold.
        Undecodable = "undecodable",
        /// The schema is not known.
        UnknownSchema = "unknown_schema",
        /// The record names no phonon-uuid.
        NoUuid = "no_uuid",
        /// The account is not configured.
        UnknownAccount = "unknown_account",
        /// The flow complete record never came.
        FlowMissing = "flow_missing",
    }
}
