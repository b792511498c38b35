//! What a batch reports of input partitions, and of the configuration.

use super::{Target, Told, View, Work};
use crate::clock;
use crate::codec::event::{self, InputEvent};

impl Work {
    /// Reports what happened to an input partition.
    pub(in crate::engine) fn input(&mut self, event: InputEvent, view: &View<'_>) {
        let key = self.append(event.topic.as_bytes());
        let start = self.buffer.len();
        event::write_input_event(&mut self.buffer, view.now, &event);
        let value = start..self.buffer.len();
        self.leave(Target::Events, Some(key), Some(value), Vec::new());
        self.told.push(Told::Input(event));
    }

    /// Reports that configurations were refused on this instance.
    pub(in crate::engine) fn reloads_refused(&mut self, details: &[String], instance: &str) {
        for detail in details {
            let key = self.append(instance.as_bytes());
            let start = self.buffer.len();
            event::write_reload_refused(&mut self.buffer, clock::now(), instance, detail);
            let value = start..self.buffer.len();
            self.leave(Target::Events, Some(key), Some(value), Vec::new());
            self.told.push(Told::ReloadRefused);
        }
    }
}
