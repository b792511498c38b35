//! The closed sets of label values.

use crate::domain::{Correlation, DeadLetterReason, ErrorReason, IgnoreReason, Phase, SkipReason};
use std::borrow::Cow;

/// One label, or several, with a closed set of values.
pub(super) trait Label: Copy {
    /// The number of values.
    const COUNT: usize;

    /// Returns the value's index, below [`Label::COUNT`].
    fn index(self) -> usize;

    /// Returns the text of each value by index, one text per label.
    fn words() -> Vec<Vec<Cow<'static, str>>>;
}

impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn words() -> Vec<Vec<Cow<'static, str>>> {
        let each = |first: Vec<Cow<'static, str>>| {
            B::words().into_iter().map(move |second| [first.clone(), second].concat())
        };
        A::words().into_iter().flat_map(each).collect()
    }
}

/// The domain's closed sets list their values in the order of declaration; a test checks it.
macro_rules! domain_labels {
    ($($name:ty),+) => { $(
        impl Label for $name {
            const COUNT: usize = Self::ALL.len();

            fn index(self) -> usize {
                self as usize
            }

            fn words() -> Vec<Vec<Cow<'static, str>>> {
                Self::ALL.iter().map(|value| vec![Cow::Borrowed(value.as_str())]).collect()
            }
        }
    )+ };
}

domain_labels!(IgnoreReason, DeadLetterReason, SkipReason);

/// Two labels: `kind`, and `phase`, which is deprecated because a rule's webhook has none.
impl Label for Phase {
    const COUNT: usize = Self::ALL.len();

    fn index(self) -> usize {
        self as usize
    }

    fn words() -> Vec<Vec<Cow<'static, str>>> {
        let kind = |phase| match phase {
            Self::Rule => "rule",
            Self::One => "flow_complete",
            Self::Two => "delivery_status",
        };
        Self::ALL.map(|phase| [phase.as_str(), kind(phase)].map(Cow::Borrowed).into()).into()
    }
}

macro_rules! labels {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ })+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All variants, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the label's text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        domain_labels!($name);
    )+ };
}

labels! {
    /// The result of a source record.
    SourceResult {
        /// It changed the state.
        Accepted = "accepted",
        Ignored = "ignored",
        /// It became a dead letter.
        DeadLettered = "dead_lettered",
        /// It was forwarded to the partition that owns its uuid.
        Forwarded = "forwarded",
        /// It says nothing that concerns the daemon, such as that a document was deleted.
        Skipped = "skipped",
    }

    /// The result of an event in the sink.
    SinkEventResult {
        /// The end of a delivery, whose answer is stored.
        Stored = "stored",
        /// The end of a delivery that was about no SMS.
        WithoutSms = "without_sms",
        /// No end of a delivery.
        Other = "other",
        /// The end of a delivery that can't be read.
        Unreadable = "unreadable",
    }

    /// The result of an answer for the document of an SMS.
    SinkDocumentResult {
        /// The document has changed or was created.
        Written = "written",
        /// The document has this answer or a newer one.
        Unchanged = "unchanged",
        /// There is no document.
        Missing = "missing",
        /// The database refuses the answer.
        Refused = "refused",
    }

    /// The result of a delivery.
    DeliveryResult {
        /// The endpoint accepted it.
        Delivered = "delivered",
        /// It became a dead letter.
        DeadLettered = "dead_lettered",
    }

    /// The state of an outbox row: what it waits for.
    OutboxState {
        /// Its due time has come, and only the endpoint's concurrency or the daemon delays it.
        Due = "due",
        /// Its retry is due later.
        Retry = "retry",
        /// A rate limit is used up.
        RateLimited = "rate_limited",
        /// The endpoint has asked for a pause, or its webhook is not configured.
        Held = "held",
        /// The endpoint's breaker is not closed.
        Breaker = "breaker",
        /// It waits until phase 1, or the webhooks that it depends on, have ended.
        AfterPhase1 = "after_phase_1",
        /// Its attempt is in flight.
        InFlight = "in_flight",
    }

    /// Whether an attempt is the first of its delivery.
    Try {
        /// It is the first since the delivery was scheduled or replayed.
        First = "first",
        Retry = "retry",
    }

    /// Why RocksDB holds writes back: too many files or memory tables wait for compaction or a flush.
    StallKind {
        /// Writes were stopped.
        Stop = "stop",
        /// Writes were slowed down.
        Delay = "delay",
    }

    /// The state of a phonon-uuid.
    CorrelationState {
        /// There are reports, but no flow.
        AwaitingFlow = "awaiting_flow",
        /// There is a flow with unfinished webhooks.
        Open = "open",
        /// There is a flow that sends no webhook.
        Silent = "silent",
        Ended = "ended",
    }

    /// The direction of a jump of the wall clock.
    ClockJump {
        /// To a later time.
        Forward = "forward",
        /// To an earlier time.
        Backward = "backward",
    }

    /// The kind of a failed transaction's error.
    TransactionErrorKind {
        /// The same step may be retried.
        Retriable = "retriable",
        /// The transaction must be aborted.
        Abortable = "abortable",
        /// The producer must be replaced.
        Fatal = "fatal",
        /// Another instance with the same transactional id has taken over.
        Fenced = "fenced",
    }

    /// A resource that the daemon lacked.
    ShortageKind {
        /// Open files, including sockets.
        Files = "files",
        /// Memory of the host.
        Memory = "memory",
        Ports = "ports",
        Buffers = "buffers",
    }

    /// Why a name look-up failed.
    LookUpFailure {
        /// There is no such name, or it has no address.
        Missing = "missing",
        /// No name server answered in time.
        Timeout = "timeout",
        /// A name server refused to answer, or could not be asked.
        Refused = "refused",
    }

    /// The result of a configuration reload.
    ReloadResult {
        /// The new configuration is in force.
        Applied = "applied",
        /// The new configuration was refused, and the old one stays in force.
        Refused = "refused",
    }

    /// The result of reading the accounts' database.
    AccountReading {
        /// Rows have changed since the reading before.
        Changed = "changed",
        /// No row has changed.
        Unchanged = "unchanged",
        /// The database can't be reached, or refuses the queries.
        Failed = "failed",
    }

    /// The result of looking up an account that a record names.
    AccountLookUp {
        /// The database has the account.
        Found = "found",
        /// The database does not have the account.
        Missing = "missing",
        /// The database can't be asked.
        Failed = "failed",
    }

    /// The input of a configuration hash.
    ConfigPart {
        /// Both files and the environment.
        All = "all",
        /// The accounts file, and the files and variables that it names.
        Accounts = "accounts",
    }

    /// A state change of an endpoint.
    EndpointChange {
        /// Its breaker closed: all attempts pass.
        Closed = "closed",
        /// Its breaker is half open: single attempts probe the endpoint.
        HalfOpen = "half_open",
        /// Its breaker opened: no attempt passes.
        Open = "open",
        /// The endpoint asked for a pause.
        Held = "held",
        Disabled = "disabled",
        /// An operator enabled it.
        Enabled = "enabled",
    }

    /// The state of an endpoint.
    #[derive(Default)]
    EndpointState {
        /// Its breaker is closed: all attempts pass.
        #[default]
        Closed = "closed",
        /// Its breaker is half open: single attempts probe the endpoint.
        HalfOpen = "half_open",
        /// Its breaker is open: no attempt passes.
        Open = "open",
        /// It is disabled until an operator enables it.
        Disabled = "disabled",
    }
}

impl CorrelationState {
    /// Returns the label for `correlation`, or `None` for an unknown phonon-uuid.
    #[must_use]
    pub const fn of(correlation: &Correlation) -> Option<Self> {
        match correlation {
            Correlation::Unknown => None,
            Correlation::AwaitingFlow(_) => Some(Self::AwaitingFlow),
            Correlation::Open(_) => Some(Self::Open),
            Correlation::Silent { .. } => Some(Self::Silent),
            Correlation::Ended { .. } => Some(Self::Ended),
        }
    }
}

/// Success, or the reason of the failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptOutcome(pub(super) Option<ErrorReason>);

impl Label for AttemptOutcome {
    const COUNT: usize = 1 + ErrorReason::ALL.len();

    fn index(self) -> usize {
        self.0.map_or(0, |reason| 1 + reason as usize)
    }

    fn words() -> Vec<Vec<Cow<'static, str>>> {
        let reasons =
            ErrorReason::ALL.iter().map(|r| vec![Cow::Owned(r.as_str().to_ascii_lowercase())]);
        std::iter::once(vec![Cow::Borrowed("success")]).chain(reasons).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_agree_with_the_words_of_labels() {
        for (place, reason) in ErrorReason::ALL.into_iter().enumerate() {
            assert_eq!(AttemptOutcome(Some(reason)).index(), place + 1);
        }
        for (place, reason) in IgnoreReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
        for (place, reason) in SkipReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
        for (place, reason) in DeadLetterReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
        let pair = (Phase::Two, AttemptOutcome(Some(ErrorReason::Timeout)));
        let words = <(Phase, AttemptOutcome)>::words();
        assert_eq!(words.len(), <(Phase, AttemptOutcome)>::COUNT);
        assert_eq!(words[pair.index()], ["2", "delivery_status", "timeout"]);
    }
}
