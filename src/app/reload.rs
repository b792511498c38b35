//! A configuration that is read again: it is applied as a whole, or refused, and either is to be seen.

use super::{App, AppError, engine_config};
use crate::clock;
use crate::config::Accounts;
use crate::engine::EngineHandle;
use crate::log;
use crate::telemetry::ReloadResult;
use std::error::Error as _;
use std::sync::Arc;

impl App {
    /// Wholly or not at all.
    pub(super) fn reload(&mut self, handle: &EngineHandle) {
        let loaded = Accounts::load(&self.settings).map_err(AppError::Configuration);
        let config = |accounts| {
            engine_config(&self.settings, &accounts, &self.trust, &self.names, &self.files)
        };
        match loaded.and_then(config) {
            Ok(config) => {
                self.config = Arc::new(config);
                handle.reload(self.config.clone());
                self.metrics.config_reloaded(ReloadResult::Applied, clock::wall());
                tracing::info!("the accounts file is applied to what is scheduled from now on");
            }
            Err(error) => {
                let mut detail = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    detail = format!("{detail}: {error}");
                    cause = error.source();
                }
                self.metrics.config_reloaded(ReloadResult::Refused, clock::wall());
                if log::is_due(&format!("reload: {detail}")) {
                    let error = detail.as_str();
                    tracing::error!(
                        error,
                        "the accounts file is not applied, and what was in force stays so"
                    );
                }
                handle.reload_refused(detail);
            }
        }
    }
}
