//! The records of a batch, as its transaction writes them.

use crate::domain::Headers;
use crate::log::{Outgoing, TopicNames};
use std::ops::Range;

/// The topic that a record is written to.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Changelog(i32),
    Events,
    DeadLetter,
    Inbox(i32),
}

/// A record to be written; its bytes are in the batch's buffer.
pub(super) struct Leaving {
    pub(super) target: Target,
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Option<Range<usize>>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Headers of the record that it was made from.
    pub(super) foreign: Headers,
}

/// A buffer above this size is not kept for another batch.
const BUFFER_BYTES_KEPT: usize = 16 << 20;

/// The records of a batch, and the buffer with their bytes.
#[derive(Default)]
pub(in crate::engine) struct Outbound {
    pub(super) leaving: Vec<Leaving>,
    pub(super) buffer: Vec<u8>,
}

impl Outbound {
    /// Creates an empty collection in the buffer of an earlier one: to grow a buffer costs more than to fill it.
    pub(in crate::engine) fn reusing(mut former: Self) -> Self {
        former.leaving.clear();
        former.buffer.clear();
        if former.buffer.capacity() > BUFFER_BYTES_KEPT {
            former.buffer = Vec::new();
        }
        former
    }

    /// Returns the bytes at a range of the buffer.
    pub(in crate::engine) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.buffer.get(range.clone()).unwrap_or(&[])
    }

    /// Returns the number of records.
    pub(in crate::engine) fn count(&self) -> usize {
        self.leaving.len()
    }

    /// Returns the records to be written.
    pub(in crate::engine) fn outgoing<'a>(
        &'a self,
        topics: &'a TopicNames,
    ) -> impl Iterator<Item = Outgoing<'a>> {
        self.leaving.iter().map(|leaving| {
            let (topic, partition, changelog) = match leaving.target {
                Target::Changelog(number) => (&topics.changelog, Some(number), true),
                Target::Events => (&topics.events, None, false),
                Target::DeadLetter => (&topics.dead_letter, None, false),
                Target::Inbox(number) => (&topics.inbox, Some(number), false),
            };
            Outgoing {
                topic,
                partition,
                changelog,
                key: leaving.key.as_ref().map(|range| self.bytes(range)),
                value: leaving.value.as_ref().map(|range| self.bytes(range)),
                headers: &leaving.headers,
                foreign: &leaving.foreign,
                at: None,
            }
        })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }

    pub(super) fn leave(
        &mut self,
        target: Target,
        key: Option<Range<usize>>,
        value: Option<Range<usize>>,
        headers: Vec<(&'static str, String)>,
    ) {
        let foreign = Headers::default();
        self.leaving.push(Leaving { target, key, value, headers, foreign });
    }

    /// Adds headers to the last record to be written.
    pub(super) fn pass_on(&mut self, foreign: Headers) {
        if let Some(leaving) = self.leaving.last_mut() {
            leaving.foreign = foreign;
        }
    }
}
