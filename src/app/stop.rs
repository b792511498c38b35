//! The end of the daemon: the engine drains, and the store gets all committed rows.

use super::{App, AppError};
use crate::engine::{EngineError, EngineHandle};
use crate::shutdown::Signals;
use crate::telemetry::Waiting;
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest drain. The next instance repeats work that is unfinished then.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(4500);
/// The longest further wait, for the store. Both limits together are longer than the wait for requests in flight and a
/// call to Kafka without an answer (2 s and 5 s), and shorter than the 10 s that a supervisor waits at least.
const SAVE_TIMEOUT: Duration = Duration::from_secs(4);

impl App {
    /// Drains the engine and stops it. If the drain takes too long, waits only until the store has all committed rows:
    /// it is their last copy if the changelog is lost too.
    pub(super) async fn stop(
        &self,
        handle: &EngineHandle,
        mut ended: oneshot::Receiver<Result<(), EngineError>>,
        signals: &mut Signals,
    ) -> Result<(), AppError> {
        tracing::info!("stopping: requests in flight get a moment to finish");
        self.health.wait(Waiting::Shutdown);
        handle.shut_down();
        tokio::select! {
            result = &mut ended => return ending(result),
            () = signals.next() => return Err(AppError::Impatient),
            () = tokio::time::sleep(SHUTDOWN_TIMEOUT) => {}
        }
        tracing::warn!(
            "the drain did not finish in time: the rest is repeated after the next start"
        );
        tokio::select! {
            result = ended => return ending(result),
            () = signals.next() => return Err(AppError::Impatient),
            () = handle.rows_saved() => {}
            () = tokio::time::sleep(SAVE_TIMEOUT) => {
                tracing::warn!("the store may lack the newest rows, which are in the changelog");
            }
        }
        Ok(())
    }
}

/// Returns the engine's result. A thread that ended without a result has panicked.
pub(super) fn ending(
    result: Result<Result<(), EngineError>, oneshot::error::RecvError>,
) -> Result<(), AppError> {
    match result {
        Ok(ended) => ended.map_err(AppError::from),
        Err(_) => Err(AppError::System(std::io::Error::other("the engine's thread panicked"))),
    }
}
