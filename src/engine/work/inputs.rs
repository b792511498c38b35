//! A batch's events about input partitions and the configuration.

use super::{DeferredReport, Target, View, Work};
use crate::clock;
use crate::codec::event::{self, InputEvent, ReloadEvent};

impl Work {
    /// Adds a change of an input partition.
    pub(in crate::engine) fn input(&mut self, event: InputEvent, view: &View<'_>) {
        let key = self.append(event.topic.as_bytes());
        let start = self.buffer.len();
        event::write_input_event(&mut self.buffer, view.now, &event);
        let value = start..self.buffer.len();
        self.leave(Target::Events, Some(key), Some(value), Vec::new());
        self.reports.push(DeferredReport::Input(event));
    }

    /// Adds the results of reloads on this instance.
    pub(in crate::engine) fn reloads(&mut self, events: &[ReloadEvent], instance: &str) {
        for event in events {
            let key = self.append(instance.as_bytes());
            let start = self.buffer.len();
            event::write_reload_event(&mut self.buffer, clock::now(), instance, event);
            let value = start..self.buffer.len();
            self.leave(Target::Events, Some(key), Some(value), Vec::new());
            self.reports.push(DeferredReport::Reload);
        }
    }
}
