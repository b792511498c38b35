//! Signals: SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reads the configuration again.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP. It ends a process that has not taken it over, and so the daemon does that before it reads anything.
pub struct HangUps(Signal);

impl HangUps {
    /// Takes SIGHUP over from its default, and remembers it until it is asked for.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next SIGHUP; several that come at once may be one.
    pub async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}

/// The signals that stop the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<HangUps>,
}

impl Signals {
    /// Takes SIGTERM and SIGINT over from their defaults.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt, hang_up: None })
    }

    /// The same, and SIGHUP: it stops a command whose terminal is closed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn of_command() -> io::Result<Self> {
        Ok(Self { hang_up: Some(HangUps::new()?), ..Self::new()? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let hung_up = async {
            match &mut self.hang_up {
                Some(hang_ups) => hang_ups.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hung_up => {}
        }
    }
}
