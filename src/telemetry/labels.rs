//! The closed sets that label values come from.

use crate::domain::{Correlation, DeadLetterReason, ErrorReason, IgnoreReason, Phase, SkipReason};
use std::borrow::Cow;

/// A label, or several, with a closed set of values.
pub(super) trait Label: Copy {
    /// How many values there are.
    const COUNT: usize;

    /// The value's place, below [`Label::COUNT`].
    fn index(self) -> usize;

    /// The values' words in the order of their places, one word per label.
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

/// The domain's closed sets list their values in the order of their declaration, which a test holds them to.
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

/// Two labels: `phase`, which is deprecated since a rule's webhook belongs to none, and `kind`.
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
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label's value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        domain_labels!($name);
    )+ };
}

labels! {
    /// What became of a source record.
    SourceResult {
        /// It counts.
        Accepted = "accepted",
        /// It changed nothing.
        Ignored = "ignored",
        /// It was given up.
        DeadLettered = "dead_lettered",
        /// It went to the partition that owns its uuid.
        Forwarded = "forwarded",
    }

    /// How a delivery ended.
    DeliveryResult {
        /// The endpoint took it.
        Delivered = "delivered",
        /// It was given up.
        DeadLettered = "dead_lettered",
    }

    /// Where an outbox row stands.
    OutboxState {
        /// It is due in the future.
        Waiting = "waiting",
        /// It is due.
        Ready = "ready",
        /// It follows phase 1.
        Held = "held",
        /// Its attempt is being made.
        InFlight = "in_flight",
    }

    /// What is known of a phonon-uuid.
    CorrelationState {
        /// Reports without their flow.
        AwaitingFlow = "awaiting_flow",
        /// A flow whose webhooks are on their way.
        Open = "open",
        /// A flow that sends nothing.
        Silent = "silent",
        /// All is done.
        Ended = "ended",
    }

    /// Where the wall clock has jumped.
    ClockJump {
        /// It is later than it should be.
        Forward = "forward",
        /// It is earlier than it should be.
        Backward = "backward",
    }

    /// How a transaction failed.
    TransactionErrorKind {
        /// The same step may be tried again.
        Retriable = "retriable",
        /// The transaction has to be aborted.
        Abortable = "abortable",
        /// The producer has to be replaced.
        Fatal = "fatal",
        /// Another instance has taken this one's place.
        Fenced = "fenced",
    }

    /// What the daemon itself lacked.
    ShortageKind {
        /// Files that it may open, sockets among them.
        Files = "files",
        /// Memory of the host.
        Memory = "memory",
        /// Local ports.
        Ports = "ports",
        /// Buffers for sockets.
        Buffers = "buffers",
        /// Threads that it may start.
        Threads = "threads",
    }

    /// What came of reading the configuration again.
    ReloadResult {
        /// It is in force.
        Applied = "applied",
        /// It was refused, and what was in force stays so.
        Refused = "refused",
    }

    /// What a hash of the configuration is made of.
    ConfigPart {
        /// Both files and the environment.
        All = "all",
        /// The accounts file, and the files and variables that it names.
        Accounts = "accounts",
    }

    /// What has changed of an endpoint.
    EndpointChange {
        /// Its breaker lets everything through again.
        Closed = "closed",
        /// Its breaker probes.
        HalfOpen = "half_open",
        /// Its breaker lets nothing through.
        Open = "open",
        /// It asked to be left alone.
        Held = "held",
        /// It is disabled.
        Disabled = "disabled",
        /// An operator has enabled it.
        Enabled = "enabled",
    }

    /// How an endpoint is doing.
    EndpointState {
        /// Its breaker lets everything through.
        Closed = "closed",
        /// Its breaker probes.
        HalfOpen = "half_open",
        /// Its breaker lets nothing through.
        Open = "open",
        /// It is disabled until an operator enables it.
        Disabled = "disabled",
    }
}

impl CorrelationState {
    /// The state of `correlation`; `None` when nothing is known.
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

/// Success, or why not.
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
    fn places_agree_with_words() {
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
