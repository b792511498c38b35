//! Signals: SIGTERM and SIGINT start the drain, a second one stops at once, and SIGHUP reloads the configuration.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The handler of SIGHUP alone. By default, SIGHUP ends a process, so the daemon installs this handler before it reads
/// its configuration.
pub struct HangUps(Signal);

impl HangUps {
    /// Installs the handler. A SIGHUP that arrives from now on is kept until [`HangUps::next`] returns it.
    ///
    /// # Errors
    /// The system refuses to install the handler.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next SIGHUP; several that come at once may be one.
    pub async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}

/// The handlers of the signals that stop the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<HangUps>,
}

impl Signals {
    /// Installs the handlers of SIGTERM and SIGINT.
    ///
    /// # Errors
    /// The system refuses to install a handler.
    pub fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt, hang_up: None })
    }

    /// Installs the handlers, and one of SIGHUP: it stops a command whose terminal is closed.
    ///
    /// # Errors
    /// The system refuses to install a handler.
    pub fn of_command() -> io::Result<Self> {
        Ok(Self { hang_up: Some(HangUps::new()?), ..Self::new()? })
    }

    /// Waits for the next signal.
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
