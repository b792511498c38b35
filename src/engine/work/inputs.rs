//! A batch's events about input partitions and the configuration.

use super::outbound::Target;
use super::{DeferredReport, View, Work};
use crate::clock;
use crate::codec::event::{self, InputEvent, ReloadEvent};

impl Work {
    /// Adds a change of an input partition.
    pub(in crate::engine) fn input(&mut self, event: InputEvent, view: &View<'_>) {
        let key = self.outbound.append(event.topic.as_bytes());
        let start = self.outbound.buffer.len();
        event::write_input_event(&mut self.outbound.buffer, view.now, &event);
        let value = start..self.outbound.buffer.len();
        self.outbound.leave(Target::Events, Some(key), Some(value), Vec::new());
        self.reports.push(DeferredReport::Input(event));
    }

    /// Adds the results of reloads on this instance.
    pub(in crate::engine) fn reloads(&mut self, events: Vec<ReloadEvent>, instance: &str) {
        for event in &events {
            let key = self.outbound.append(instance.as_bytes());
            let start = self.outbound.buffer.len();
            event::write_reload_event(&mut self.outbound.buffer, clock::now(), instance, event);
            let value = start..self.outbound.buffer.len();
            self.outbound.leave(Target::Events, Some(key), Some(value), Vec::new());
            self.reports.push(DeferredReport::Reload);
        }
        self.reload_events = events;
    }
}
