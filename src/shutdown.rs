//! Signals: SIGTERM and SIGINT start the drain, a second one stops at once, and SIGHUP reloads the configuration.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The request that a signal makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Drain and stop.
    Stop,
    /// Read both configuration files again.
    Reload,
}

/// The handler of SIGHUP alone. By default, SIGHUP ends a process, so the daemon installs this handler before it reads
/// its configuration.
pub struct HangUps(Signal);

impl HangUps {
    /// Installs the handler. A SIGHUP that arrives now is kept until [`Signals::next`] returns it.
    ///
    /// # Errors
    /// The system refuses to install the handler.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }
}

/// The handlers of this process's signals.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Installs all handlers.
    ///
    /// # Errors
    /// The system refuses to install a handler.
    pub fn new() -> io::Result<Self> {
        Self::with(HangUps::new()?)
    }

    /// Installs the handlers of SIGTERM and SIGINT, and uses the given one for SIGHUP.
    ///
    /// # Errors
    /// The system refuses to install a handler.
    pub fn with(HangUps(hang_up): HangUps) -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt, hang_up })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
