//! Reloads that the engine has not taken yet: it may be in a call that waits for Kafka.
//!
//! Only the newest configuration is kept, so that reloads can't fill the memory. The lanes use it at once. So an
//! endpoint that a reload removes is not called again, however long the engine waits.

use super::config::EngineConfig;
use super::input::Input;
use super::mailbox::Mailbox;
use crate::codec::event::ReloadEvent;
use crate::delivery::{LaneChanges, LanesRemote};
use std::sync::{Arc, Mutex, PoisonError};

/// The maximum number of events that wait for their commit; the oldest are dropped.
pub(super) const EVENTS_MAX: usize = 100;

/// Hands configurations and events to the engine.
#[derive(Clone)]
pub(super) struct Reloads {
    mailbox: Arc<Mailbox<Input>>,
    lanes: LanesRemote,
    left: Arc<Mutex<Left>>,
}

/// The configuration and the events that the engine has not taken yet.
#[derive(Default)]
pub(super) struct Left {
    pub(super) config: Option<Arc<EngineConfig>>,
    pub(super) events: Vec<ReloadEvent>,
    is_announced: bool,
}

impl Reloads {
    pub(super) fn new(mailbox: Arc<Mailbox<Input>>, lanes: LanesRemote) -> Self {
        Self { mailbox, lanes, left: Arc::default() }
    }

    pub(super) fn configure(&self, config: &Arc<EngineConfig>) {
        self.lanes.configure(config.endpoints.values().cloned(), &config.account_rates);
        self.leave(|left| left.config = Some(config.clone()));
    }

    /// Like `configure`, for a configuration that differs from the one before only by `changes`.
    pub(super) fn change(&self, config: &Arc<EngineConfig>, changes: LaneChanges) {
        self.lanes.change(changes);
        self.leave(|left| left.config = Some(config.clone()));
    }

    pub(super) fn publish(&self, event: ReloadEvent) {
        self.leave(|left| add(&mut left.events, [event]));
    }

    fn leave(&self, change: impl FnOnce(&mut Left)) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut left);
        if !std::mem::replace(&mut left.is_announced, true) {
            drop(left);
            self.mailbox.put_urgent(Input::Reloads(self.clone()));
        }
    }

    /// Takes the configuration and the events that have arrived so far.
    pub(super) fn take(&self) -> Left {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds events, and drops the oldest if there are too many.
pub(super) fn add(events: &mut Vec<ReloadEvent>, more: impl IntoIterator<Item = ReloadEvent>) {
    events.extend(more);
    events.drain(..events.len().saturating_sub(EVENTS_MAX));
}
