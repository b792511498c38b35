//! Signals: SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reads the configuration again.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Drain and stop.
    Stop,
    /// Read both files again.
    Reload,
}

/// SIGHUP alone. It ends a process that has not taken it over, and so the daemon does that before it reads anything.
pub struct HangUps(Signal);

impl HangUps {
    /// Takes SIGHUP over from its default, and remembers it until [`Signals`] are asked.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }
}

/// The signals of this process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals over from their defaults.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        Self::with(HangUps::new()?)
    }

    /// The same; SIGHUP was taken over before.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn with(HangUps(hang_up): HangUps) -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt, hang_up })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
