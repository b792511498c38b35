//! The events. Every event is a fact; most are published, and together they make the state.

use super::{
    AccountId, Collected, Collection, Deferred, Delivery, DeliveryId, EndedWebhook, Flow, FlowId,
    FlowIdentity, Headers, Outcome, Rendering, SharedList, SmsId, Source, Started, Timestamp,
    WebhookEnd, WebhookName,
};
use bytes::Bytes;

/// A fact about one phonon-uuid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call begin record was accepted.
    FlowStarted {
        started: Started,
        flow: Option<FlowId>,
        /// The record's position in Kafka.
        source: Source,
    },
    /// A flow complete record was accepted, and its webhooks will be sent.
    FlowAccepted(Box<Flow>),
    /// A flow complete record was accepted, but sends no webhook.
    FlowSilenced {
        identity: FlowIdentity,
        /// Why it sends no webhook.
        reason: IgnoreReason,
        /// The record's position in Kafka.
        source: Source,
        /// When the marker of the flow expires.
        until: Timestamp,
    },
    /// A report was accepted. It replaces an earlier one of the same SMS.
    ReportAccepted {
        report: Box<Collected>,
        /// The status as it came.
        status: Box<str>,
        /// Whether the status table contains the status.
        known: bool,
    },
    /// A report that waited for its flow now belongs to it.
    ReportAdopted { sms: SmsId },
    /// A record changed nothing.
    RecordIgnored(IgnoredRecord),
    /// A record became a dead letter.
    RecordDeadLettered {
        record: RawRecord,
        reason: DeadLetterReason,
        /// An explanation for operators.
        detail: String,
    },
    /// A delivery was put into the outbox.
    DeliveryScheduled {
        /// The new outbox row.
        delivery: Box<Delivery>,
        /// The SMS whose reports the delivery carries.
        sms: SharedList<SmsId>,
    },
    /// A delivery that waited for values was rendered, and may be attempted.
    DeliveryRendered {
        delivery: DeliveryId,
        body: Bytes,
        /// The rendered parts of the request beside the body.
        rendering: Rendering,
        /// The time from which the delivery may be attempted.
        at: Timestamp,
    },
    /// The collection of reports ended.
    CollectionClosed(Collection),
    /// A webhook of phase 2 gathers reports until this time. `None`: it no longer does, because phase 2 is one webhook
    /// per SMS now.
    Gathering(Option<Timestamp>),
    /// An attempt failed. The delivery is retried unless a dead letter follows.
    AttemptFailed {
        delivery: DeliveryId,
        /// The number of the attempt; the first is 1.
        attempt: u32,
        outcome: Outcome,
        /// When the attempt ended.
        at: Timestamp,
        /// When the next attempt is due; `None` after the last one.
        retry_at: Option<Timestamp>,
    },
    /// The endpoint accepted the delivery.
    Delivered {
        /// The delivery before this attempt.
        delivery: Box<Delivery>,
        /// The number of the attempt; the first is 1.
        attempt: u32,
        outcome: Outcome,
        at: Timestamp,
    },
    /// A delivery became a dead letter.
    DeadLettered {
        /// The delivery with all of its attempts.
        delivery: Box<Delivery>,
        reason: DeadLetterReason,
        at: Timestamp,
    },
    /// A dead letter was replayed: its delivery is in the outbox again.
    Replayed {
        /// The new outbox row.
        delivery: Box<Delivery>,
    },
    /// Not all reports of a flow came in time.
    ReportTimedOut {
        /// The SMS of the flow's list without a final status.
        missing: Vec<SmsId>,
    },
    /// A rule's webhook is not sent, because its conditions could not be judged.
    RuleSkipped(Box<SkippedRule>),
    /// A rule waits until deliveries have ended.
    RuleDeferred(Box<Deferred>),
    /// A rule that waited was judged. If its webhook is sent, `DeliveryScheduled` follows with the same id.
    RuleJudged(DeliveryId),
    /// The outcome of a delivery that has ended is kept for later webhooks.
    OutcomeKept {
        delivery: DeliveryId,
        /// The webhook, and its outcome.
        ended: Box<EndedWebhook>,
    },
    /// Everything that the flow promised is done.
    CorrelationEnded,
    /// A marker replaces the correlation.
    MarkerKept {
        /// The account of the flow.
        account: AccountId,
        /// When the marker expires.
        until: Timestamp,
    },
    /// The marker expired: the uuid is unknown again.
    MarkerExpired,
    /// The call begin record expired.
    StartExpired,
}

impl Event {
    /// Returns the delivery that the event puts into the outbox.
    pub(super) fn begun(&self) -> Option<&Delivery> {
        if let Self::DeliveryScheduled { delivery, .. } | Self::Replayed { delivery } = self {
            return Some(delivery);
        }
        None
    }

    /// Returns the delivery that the event removes from the outbox.
    pub(super) fn ended(&self) -> Option<&Delivery> {
        if let Self::Delivered { delivery, .. } | Self::DeadLettered { delivery, .. } = self {
            return Some(delivery);
        }
        None
    }
}

impl Event {
    /// Returns the delivery that ended, and how.
    pub(super) fn end(&self) -> Option<(&Delivery, WebhookEnd)> {
        let is_delivered = matches!(self, Self::Delivered { .. });
        let end = if is_delivered { WebhookEnd::Delivered } else { WebhookEnd::Failed };
        self.ended().map(|delivery| (delivery, end))
    }
}

/// A rule that was triggered, but whose conditions could not be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRule {
    pub account: AccountId,
    /// The webhook that the rule would have sent.
    pub webhook: WebhookName,
    /// The trigger, as the rule spells it.
    pub trigger: Box<str>,
    pub reason: SkipReason,
    /// The variable without a value, if that is the reason.
    pub variable: Option<Box<str>>,
    /// The SMS, if a report triggered the rule.
    pub sms: Option<SmsId>,
    /// The position of the record that triggered the rule.
    pub source: Source,
}

/// A record that changed nothing, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredRecord {
    pub kind: RecordKind,
    /// The account that the record names.
    pub account: AccountId,
    /// The SMS, if the record is a report.
    pub sms: Option<SmsId>,
    pub reason: IgnoreReason,
    /// The record's position in Kafka.
    pub source: Source,
    /// Whether the record had been accepted, and waited for its flow or for phase 2 until now.
    pub waited: bool,
}

/// A record that is kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// The kind, if it is known.
    pub kind: Option<RecordKind>,
    /// The account that the record names.
    pub account: Option<AccountId>,
    /// The SMS, if the record is a report that waited.
    pub sms: Option<SmsId>,
    /// The record's bytes, if the caller does not have them.
    pub payload: Option<Bytes>,
    /// The record's headers, if the caller does not have them.
    pub headers: Headers,
    /// The record's position in Kafka.
    pub source: Source,
}

/// The kind of a source event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A call begin record.
    Start,
    /// A flow complete record.
    Flow,
    Report,
}

impl RecordKind {
    /// All variants, in declaration order.
    pub const ALL: [Self; 3] = [Self::Start, Self::Flow, Self::Report];

    /// Returns the word that events use.
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

            /// Returns the word that events, metrics and headers use.
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
        /// A record with the same decoded content came before.
        Duplicate = "duplicate",
        /// An intermediate status came after a final one.
        Regressed = "regressed",
        /// A record with other content for the same uuid or SMS came before.
        Conflicting = "conflicting",
        /// The report names another account than its flow.
        AccountMismatch = "account_mismatch",
        /// The record came after the end, or no webhook carried it until the end.
        Late = "late",
        /// The flow's list does not contain the SMS.
        Unlisted = "unlisted",
        /// Phase 2 is switched off for the account.
        NotifyOff = "notify_off",
        /// The account has no default webhook.
        NoDefaultWebhook = "no_default_webhook",
        /// The flow does not enable its webhooks.
        WebhookDisabled = "webhook_disabled",
    }
}

reasons! {
    /// Why a rule's conditions could not be judged.
    SkipReason {
        /// The variable of a condition has no value.
        NoValue = "no_value",
        /// The variable of a condition gets its value from an answer. The rule waited for it, but it did not come, or did
        /// not contain the value.
        Unanswered = "unanswered",
        /// A newer report of the SMS replaced the one that triggered the rule, before the flow was known.
        Replaced = "replaced",
        /// The row of the uuid has no room for a rule that waits for another webhook.
        NoRoom = "no_room",
        /// The webhook whose end triggers the rule was replayed when facts that the rule needs were deleted, as they are
        /// at the end of a run.
        RunEnded = "run_ended",
        /// One decision had judged the largest number of rules that waited.
        TooMany = "too_many",
    }
}

impl DeadLetterReason {
    /// Returns whether the dead letter is a record, not a delivery.
    #[must_use]
    pub const fn is_of_a_record(self) -> bool {
        match self {
            Self::Undecodable
            | Self::UnknownSchema
            | Self::NoUuid
            | Self::UnknownAccount
            | Self::FlowMissing => true,
            Self::AttemptsExhausted
            | Self::AgeExceeded
            | Self::Refused
            | Self::BlockedAddress
            | Self::InvalidRequest
            | Self::InvalidFlowVar
            | Self::InvalidResponse
            | Self::InvalidResponseMap
            | Self::EndpointDisabled
            | Self::SinkRefused => false,
        }
    }
}

reasons! {
    /// Why a delivery or a record became a dead letter.
    DeadLetterReason {
        /// The delivery has failed `attempts_max` times.
        AttemptsExhausted = "attempts_exhausted",
        /// The delivery is older than `age_max_s`, or would be at its next attempt.
        AgeExceeded = "age_exceeded",
        /// The endpoint answered with a final status.
        Refused = "refused",
        /// The address policy forbids the endpoint's address.
        BlockedAddress = "blocked_address",
        /// The request can't be built, or the row of the uuid has no room for the delivery.
        InvalidRequest = "invalid_request",
        /// A mandatory variable has no value.
        InvalidFlowVar = "invalid_flow_var",
        /// The answer can't be read as its type.
        InvalidResponse = "invalid_response",
        /// A mandatory part of the answer is missing.
        InvalidResponseMap = "invalid_response_map",
        /// The endpoint is disabled.
        EndpointDisabled = "endpoint_disabled",
        /// The bytes are no source event, or the row of the uuid has no room for the record.
        Undecodable = "undecodable",
        /// The schema is unknown.
        UnknownSchema = "unknown_schema",
        /// The record contains no phonon-uuid.
        NoUuid = "no_uuid",
        /// The account is not configured.
        UnknownAccount = "unknown_account",
        /// The flow complete record never came.
        FlowMissing = "flow_missing",
        /// The database refuses to store the answer of a delivery in the document of its SMS.
        SinkRefused = "sink_refused",
    }
}
