//! The faults of a simulation, and the calls in which they strike.

/// A call of an instance's process in which a fault may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// The engine begins a round.
    Round,
    Open,
    Begin,
    Send,
    Offsets,
    Commit,
    Abort,
    /// The process asks for the group's offsets.
    Committed,
    /// The process asks for the changelog's ends.
    Ends,
    /// The process reads the changelog.
    Poll,
    /// The process writes to the store.
    Write,
}

impl Call {
    pub(super) const ALL: [Self; 11] = [
        Self::Round,
        Self::Open,
        Self::Begin,
        Self::Send,
        Self::Offsets,
        Self::Commit,
        Self::Abort,
        Self::Committed,
        Self::Ends,
        Self::Poll,
        Self::Write,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Round => "round",
            Self::Open => "open",
            Self::Begin => "begin",
            Self::Send => "send",
            Self::Offsets => "offsets",
            Self::Commit => "commit",
            Self::Abort => "abort",
            Self::Committed => "committed",
            Self::Ends => "ends",
            Self::Poll => "poll",
            Self::Write => "write",
        }
    }
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process dies before the call has an effect.
    Kill,
    /// The process dies after the call's effect.
    KillAfter,
    /// The process is stopped for this number of milliseconds before the call.
    Pause(u64),
    /// Like `Pause`, but after the call.
    PauseAfter(u64),
    /// The call has no effect, and may be repeated. A call to the store fails.
    Retriable,
    /// The call has its effect, but its answer is lost. It may be repeated.
    RetriableAfter,
    /// The transaction must be aborted.
    Abortable,
    /// The call has no effect, and the process can't know that.
    FatalBefore,
    /// The call has its effect, and the process can't know that.
    FatalAfter,
}

/// A fault that waits for its call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) call: Call,
    /// The number of such calls that succeed first.
    pub(super) skip: u32,
    pub(super) fault: Fault,
}

/// The panic payload that ends the thread of a killed process.
pub(super) struct Killed;
