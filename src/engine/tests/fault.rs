//! What may go wrong, and where.

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
    /// The group's offsets are asked for.
    Committed,
    /// The changelog's ends are asked for.
    Ends,
    /// The changelog is read.
    Poll,
    /// The store is written.
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

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process dies before the call has an effect.
    Kill,
    /// It dies once the call has had its effect.
    KillAfter,
    /// The process is stopped for so many milliseconds, before.
    Pause(u64),
    /// After.
    PauseAfter(u64),
    /// It did not happen; the same call may be made again. For a call to the store: it fails.
    Retriable,
    /// It happened, but the answer was lost; the same call may be made again.
    RetriableAfter,
    /// The transaction must be aborted.
    Abortable,
    /// It did not happen, and nobody knows.
    FatalBefore,
    /// It happened, and nobody knows.
    FatalAfter,
}

/// A fault that waits for its call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) call: Call,
    /// So many such calls go well before.
    pub(super) skip: u32,
    pub(super) fault: Fault,
}

/// What ends a process's thread: it was killed.
pub(super) struct Killed;
