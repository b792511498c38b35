//! Decodes records with the schemas of the registry, and keeps the records that wait for a schema.

use super::merge::Merge;
use super::missing::Missing;
use super::queues::Queue;
use crate::clock;
use crate::codec::source::{Decoder, SchemaId, Unwrap};
use crate::domain::Timestamp;
use crate::log::bell::Bell;
use crate::log::record::{MessageView, Reading, Topics};
use crate::log::registry::{Registry, SchemaAnswer};
use rdkafka::message::OwnedMessage;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// The number of records of a partition that may wait behind one whose schema is requested. They are scanned for more
/// ids, so that those are requested at the same time and not one after the other.
const WAITING_MAX: usize = 512;
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A record that waits, and the schema that it needs.
struct Waiting {
    message: OwnedMessage,
    schema: Option<SchemaId>,
    /// The registry was asked for this record's schema, and does not have it.
    is_missing: bool,
}

/// Records of one partition that wait because the first of them waits for its schema.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the time of the first record.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.waiting.front().map(|first| first.message.time())
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX || self.bytes >= WAITING_BYTES_MAX
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn push(&mut self, message: OwnedMessage, schema: Option<SchemaId>) {
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
    /// Ids whose answers are not taken yet. The answers may have arrived.
    asked: BTreeSet<SchemaId>,
    answers: Receiver<SchemaAnswer>,
    missing: Missing,
}

impl Schemas {
    /// Creates a decoder with the schemas of `registry`, whose answers ring the bell. It takes records out of the
    /// envelopes `unwrap`.
    pub(super) fn new(registry: Option<Registry>, unwrap: Unwrap, bell: &Arc<Bell>) -> Self {
        let (sender, answers) = channel();
        let bell = bell.clone();
        let answer = move |answer| {
            // The receiver is dropped when the process ends.
            let _ = sender.send(answer);
            bell.ring();
        };
        let decoder = Decoder::unwrapping(unwrap, registry.is_some());
        let registry = registry.map(|registry| registry.answering(Arc::new(answer)));
        Self { decoder, registry, asked: BTreeSet::new(), answers, missing: Missing::default() }
    }

    /// Decodes `message`, and requests its schema if it is unknown.
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

    /// Returns the first record of a line, once its schema is known or known to be missing.
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
            // It may need an id that was not requested yet, or whose answer has expired.
            Reading::NeedsSchema(id) => {
                if let Some(first) = line.waiting.front_mut() {
                    first.schema = Some(id);
                }
                Some(Reading::NeedsSchema(id))
            }
        }
    }

    /// Requests the schema of a record behind the first one. Returns the id of that schema.
    pub(super) fn ask_ahead(&mut self, message: &impl MessageView) -> Option<SchemaId> {
        let id = self.decoder.unknown_schema(message.bytes()?, &message.foreign_headers())?;
        if !self.is_missing(id, message) {
            self.ask(id);
        }
        Some(id)
    }

    fn is_missing(&self, id: SchemaId, message: &impl MessageView) -> bool {
        self.missing.holds_for(id, message.time(), clock::instant())
    }

    fn ask(&mut self, id: SchemaId) {
        if let Some(registry) = &self.registry
            && self.asked.insert(id)
        {
            registry.ask(id);
        }
    }

    /// Decodes `message` as one whose schema does not exist.
    fn refuse(&mut self, topics: &Topics, message: &impl MessageView, id: SchemaId) -> Reading {
        self.decoder.reject_schema(id);
        let reading = topics.read(&mut self.decoder, message);
        self.decoder.forget_schema(id);
        reading
    }

    /// Drops all requests, when no record waits.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        if let Some(registry) = &self.registry {
            registry.forget();
        }
    }

    /// Takes the registry's answers, and marks the records whose schema it does not have.
    pub(super) fn take(&mut self, queues: &Merge<Queue>) {
        while let Ok(SchemaAnswer { id, schema, asked_at }) = self.answers.try_recv() {
            self.asked.remove(&id);
            let usable = schema.is_some_and(|schema| {
                let added = self.decoder.add(id, &schema);
                if let Err(error) = &added {
                    let schema_id = id.text();
                    tracing::warn!(schema_id, %error, "the registry's schema can't be used");
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

#[cfg(test)]
mod tests {
    use super::{Bell, Schemas, Unwrap};
    use crate::codec::source::SchemaId;
    use crate::log::registry::Registry;
    use crate::log::settings::RegistrySettings;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Starts a registry without any schema. Returns its URL and a receiver of the ids that are requested.
    fn empty_registry() -> (String, Receiver<u32>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let path = request.split(' ').nth(1).unwrap();
                sender.send(path.rsplit('/').next().unwrap().parse().unwrap()).unwrap();
                let body = r#"{"error_code":40403,"message":"Schema not found"}"#;
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        (url, asked)
    }

    #[test]
    fn an_id_is_not_requested_again_before_its_answer_is_taken() {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (url, asked) = empty_registry();
        // Its only thread starts the requests in their order.
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let settings = RegistrySettings { url: url.parse().unwrap(), credentials: None };
        let handle = runtime.handle().clone();
        let registry = Registry::new(reqwest::Client::new(), settings, handle, Arc::new(|_| ()));
        let bell = Arc::new(Bell::default());
        let mut schemas = Schemas::new(Some(registry), Unwrap::default(), &bell);
        schemas.ask(SchemaId::Id(7));
        bell.wait(PATIENCE);
        for id in [7, 8] {
            schemas.ask(SchemaId::Id(id));
        }
        let asked: Vec<u32> = (0..2).map(|_| asked.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(asked, [7, 8]);
    }
}
