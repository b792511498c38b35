//! Decoding, with the registry behind it: what is known of schemas, and who waits for more.

use super::merge::Merge;
use super::missing::Missing;
use super::queues::{Bell, Queue};
use crate::clock;
use crate::codec::source::Decoder;
use crate::domain::Timestamp;
use crate::log::record::{MessageView, Reading, Topics};
use crate::log::registry::{Registry, SchemaAnswer};
use rdkafka::message::OwnedMessage;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// So many records of a partition wait behind one whose schema is asked for, and are looked through for more ids: their
/// questions are asked beside the first one, and not after it.
const WAITING_MAX: usize = 512;
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A record that waits, and the schema that it needs.
struct Waiting {
    message: OwnedMessage,
    schema: Option<u32>,
    /// The registry was asked for this record, and has no such schema.
    is_missing: bool,
}

/// Records of one partition that wait for their turn, since the first of them waits for its schema.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The time of the record whose turn is next.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.waiting.front().map(|first| first.message.time())
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX || self.bytes >= WAITING_BYTES_MAX
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn push(&mut self, message: OwnedMessage, schema: Option<u32>) {
        self.bytes += message.bytes().map_or(0, <[u8]>::len);
        self.waiting.push_back(Waiting { message, schema, is_missing: false });
    }

    fn pop(&mut self) {
        if let Some(first) = self.waiting.pop_front() {
            self.bytes = self.bytes.saturating_sub(first.message.bytes().map_or(0, <[u8]>::len));
        }
    }
}

/// The decoder and the registry.
pub(super) struct Schemas {
    decoder: Decoder,
    registry: Option<Registry>,
    answers: Receiver<SchemaAnswer>,
    missing: Missing,
}

impl Schemas {
    /// Those of `registry`, whose answers ring the bell.
    pub(super) fn new(registry: Option<Registry>, bell: &Arc<Bell>) -> Self {
        let (sender, answers) = channel();
        let bell = bell.clone();
        let answer = move |answer| {
            // Nobody listens any more when the process ends.
            let _ = sender.send(answer);
            bell.ring();
        };
        let decoder = Decoder::new(registry.is_some());
        let registry = registry.map(|registry| registry.answering(Arc::new(answer)));
        Self { decoder, registry, answers, missing: Missing::default() }
    }

    /// Reads `message`; what needs a schema is asked for.
    pub(super) fn read(&mut self, topics: &Topics, message: &impl MessageView) -> Reading {
        match topics.read(&mut self.decoder, message) {
            Reading::Done(record) => Reading::Done(record),
            Reading::NeedsSchema(id) if self.is_missing(id, message) => {
                self.refuse(topics, message, id)
            }
            Reading::NeedsSchema(id) => {
                self.ask(id);
                Reading::NeedsSchema(id)
            }
        }
    }

    /// The first record of a line, once its schema is known or known to be missing.
    pub(super) fn first_of(&mut self, topics: &Topics, line: &mut Line) -> Option<Reading> {
        let Waiting { message, schema, is_missing } = line.waiting.front()?;
        let reading = match schema {
            Some(id) if *is_missing => self.refuse(topics, message, *id),
            Some(_) | None => self.read(topics, message),
        };
        match reading {
            Reading::Done(record) => {
                line.pop();
                Some(Reading::Done(record))
            }
            // It may need one that nobody has asked for yet, or that was only known for a moment to be missing.
            Reading::NeedsSchema(id) => {
                if let Some(first) = line.waiting.front_mut() {
                    first.schema = Some(id);
                }
                Some(Reading::NeedsSchema(id))
            }
        }
    }

    /// Asks for the schema that a record will need whose turn has not come yet; says which.
    pub(super) fn ask_ahead(&mut self, message: &impl MessageView) -> Option<u32> {
        let id = self.decoder.unknown_schema(message.bytes()?)?;
        if !self.is_missing(id, message) {
            self.ask(id);
        }
        Some(id)
    }

    fn is_missing(&self, id: u32, message: &impl MessageView) -> bool {
        self.missing.holds_for(id, message.time(), clock::instant())
    }

    fn ask(&self, id: u32) {
        if let Some(registry) = &self.registry {
            registry.ask(id);
        }
    }

    /// Reads `message` as one whose schema does not exist.
    fn refuse(&mut self, topics: &Topics, message: &impl MessageView, id: u32) -> Reading {
        self.decoder.reject_schema(id);
        let reading = topics.read(&mut self.decoder, message);
        self.decoder.forget_schema(id);
        reading
    }

    /// Nobody waits any more.
    pub(super) fn forget(&self) {
        if let Some(registry) = &self.registry {
            registry.forget();
        }
    }

    /// Takes what the registry has answered; those that wait for what it does not have are told.
    pub(super) fn take(&mut self, queues: &Merge<Queue>) {
        while let Ok(SchemaAnswer { id, schema, asked_at }) = self.answers.try_recv() {
            let usable = schema.is_some_and(|text| {
                let added = self.decoder.add_schema(id, &text);
                if let Err(error) = &added {
                    tracing::warn!(schema_id = id, %error, "the registry's schema can't be used");
                }
                added.is_ok()
            });
            if usable {
                continue;
            }
            self.missing.insert(id, asked_at, clock::instant());
            for queue in queues.sources() {
                let mut line = queue.line.borrow_mut();
                let waiting = line.waiting.iter_mut();
                for waits in waiting.filter(|waits| waits.schema == Some(id)) {
                    waits.is_missing = true;
                }
            }
        }
    }
}
