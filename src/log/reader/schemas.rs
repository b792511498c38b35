//! Decodes records with the schemas of the registry. Keeps the records that wait for a schema, or for the look-up of
//! their account.

use super::missing::Missing;
use crate::clock;
use crate::codec::source::{Decoder, SchemaId, Unwrap};
use crate::domain::Timestamp;
use crate::log::accounts::{AccountSource, are_settled};
use crate::log::bell::Bell;
use crate::log::record::{MessageView, Reading, Record, Topics};
use crate::log::registry::{Registry, SchemaAnswer};
use rdkafka::message::OwnedMessage;
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// The number of records of a partition that may wait behind one whose schema is requested. They are scanned for more
/// ids, so that those are requested at the same time and not one after the other.
const WAITING_MAX: usize = 512;
const WAITING_BYTES_MAX: usize = 1 << 20;

/// The result of reading a message.
pub(super) enum Taken {
    Record(Box<Record>),
    /// The record waits for this schema, or for the look-up of its account.
    Waits(Option<SchemaId>),
}

/// A record that waits, and the schema that it needs.
struct Waiting {
    message: OwnedMessage,
    schema: Option<SchemaId>,
    /// The schemas that the registry was asked for because of this record, and does not have. The items of an array
    /// may need several.
    missing: Vec<SchemaId>,
}

/// Records of one partition that wait because the first of them waits for its schema or its account.
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
        self.waiting.push_back(Waiting { message, schema, missing: Vec::new() });
    }

    fn pop(&mut self) {
        if let Some(first) = self.waiting.pop_front() {
            self.bytes = self.bytes.saturating_sub(first.message.bytes().map_or(0, <[u8]>::len));
        }
    }
}

/// The decoder, and the sources of schemas and accounts.
pub(super) struct Schemas {
    decoder: Decoder,
    registry: Option<Registry>,
    /// Looks up unknown accounts, if that is possible.
    accounts: Option<Arc<dyn AccountSource>>,
    /// Ids whose answers are not taken yet. The answers may have arrived.
    asked: BTreeSet<SchemaId>,
    answers: Receiver<SchemaAnswer>,
    missing: Missing,
}

impl Schemas {
    /// Creates a decoder with the schemas of `registry`, whose answers ring the bell. It takes records out of the
    /// envelopes `unwrap`. Records of accounts that `accounts` looks up wait.
    pub(super) fn new(
        registry: Option<Registry>,
        accounts: Option<Arc<dyn AccountSource>>,
        unwrap: Unwrap,
        bell: &Arc<Bell>,
    ) -> Self {
        let (sender, answers) = channel();
        let bell = bell.clone();
        let answer = move |answer| {
            // The receiver is dropped when the process ends.
            let _ = sender.send(answer);
            bell.ring();
        };
        let decoder = Decoder::unwrapping(unwrap, registry.is_some());
        let registry = registry.map(|registry| registry.answering(Arc::new(answer)));
        let (asked, missing) = (BTreeSet::new(), Missing::default());
        Self { decoder, registry, accounts, asked, answers, missing }
    }

    /// Decodes `message`. Requests its schema and looks up its account if they are unknown.
    pub(super) fn read(&mut self, topics: &Topics, message: &impl MessageView) -> Taken {
        self.read_without(topics, message, &[])
    }

    /// Like `read`, for a record whose schemas with the ids `missing` do not exist.
    fn read_without(
        &mut self,
        topics: &Topics,
        message: &impl MessageView,
        missing: &[SchemaId],
    ) -> Taken {
        let is_unknown = |id: &SchemaId| !self.decoder.knows(*id);
        let mut refused: Vec<SchemaId> = missing.iter().copied().filter(is_unknown).collect();
        for id in &refused {
            self.decoder.reject_schema(*id);
        }
        // A record names a few schemas at most, so that this ends.
        let reading = loop {
            match topics.read(&mut self.decoder, message) {
                Reading::NeedsSchema(id) if self.is_missing(id, message) => {
                    self.decoder.reject_schema(id);
                    refused.push(id);
                }
                reading @ (Reading::NeedsSchema(_) | Reading::Done(_)) => break reading,
            }
        };
        // For other records, the answer holds only for a moment.
        for id in refused {
            self.decoder.forget_schema(id);
        }
        match reading {
            Reading::Done(record) => match &self.accounts {
                Some(accounts) if !are_settled(&**accounts, &record) => Taken::Waits(None),
                Some(_) | None => Taken::Record(record),
            },
            Reading::NeedsSchema(id) => {
                self.ask(id);
                Taken::Waits(Some(id))
            }
        }
    }

    /// Returns the first record of a line, once nothing that it waits for is missing or can still come.
    pub(super) fn first_of(&mut self, topics: &Topics, line: &mut Line) -> Option<Box<Record>> {
        let Waiting { message, schema, missing } = line.waiting.front()?;
        if schema.is_some_and(|id| self.asked.contains(&id)) {
            // An array would be decoded up to the item that needs the schema, and in vain.
            return None;
        }
        match self.read_without(topics, message, missing) {
            Taken::Record(record) => {
                line.pop();
                Some(record)
            }
            // It may need an id that was not requested yet, or whose answer has expired.
            Taken::Waits(schema) => {
                if let Some(first) = line.waiting.front_mut() {
                    first.schema = schema;
                }
                None
            }
        }
    }

    /// Requests what a record behind the first one needs. Returns the id of its schema, if that is unknown.
    pub(super) fn ask_ahead(
        &mut self,
        topics: &Topics,
        message: &impl MessageView,
    ) -> Option<SchemaId> {
        let id = self.decoder.unknown_schema(message.bytes()?, &message.foreign_headers());
        if id.is_none() && self.accounts.is_some() {
            // Only its account is of interest: all unknown accounts are looked up together.
            let _ = self.read(topics, message);
        }
        let id = id?;
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

    /// Drops all requests, when no record waits.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        if let Some(registry) = &self.registry {
            registry.forget();
        }
    }

    /// Takes the registry's answers, and marks the records whose schema it does not have.
    pub(super) fn take<'l>(&mut self, lines: impl Iterator<Item = &'l RefCell<Line>>) {
        let mut missing = Vec::new();
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
            missing.push(id);
        }
        if missing.is_empty() {
            return;
        }
        for line in lines {
            for waits in &mut line.borrow_mut().waiting {
                waits.missing.extend(waits.schema.filter(|id| missing.contains(id)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bell, Line, OwnedMessage, RefCell, Schemas, Taken, Topics, Unwrap};
    use crate::codec::source::{Envelope, SchemaId};
    use crate::domain::{AccountId, RecordKind};
    use crate::log::accounts::AccountSource;
    use crate::log::record::{Record, RecordBody, Role};
    use crate::log::registry::Registry;
    use crate::log::settings::RegistrySettings;
    use std::collections::BTreeSet;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Starts a registry that has JSON Schemas with the ids `known`. Returns its URL and a receiver of the ids that are
    /// requested.
    fn registry_of(known: &'static [u32]) -> (String, Receiver<u32>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let path = request.split(' ').nth(1).unwrap();
                let id = path.rsplit('/').next().unwrap().parse().unwrap();
                // A test that has ended needs no more ids.
                let _ = sender.send(id);
                let (status, body) = if known.contains(&id) {
                    ("200 OK", r#"{"schemaType":"JSON","schema":"{}"}"#)
                } else {
                    ("404 Not Found", r#"{"error_code":40403,"message":"Schema not found"}"#)
                };
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        (url, asked)
    }

    /// Starts a runtime with one thread, which starts requests in their order, and returns it with schemas of the
    /// registry at `url`.
    fn schemas_of(url: &str, unwrap: Unwrap) -> (tokio::runtime::Runtime, Schemas, Arc<Bell>) {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let settings = RegistrySettings { url: url.parse().unwrap(), credentials: None };
        let handle = runtime.handle().clone();
        let registry = Registry::new(reqwest::Client::new(), settings, handle, Arc::new(|_| ()));
        let bell = Arc::new(Bell::default());
        let schemas = Schemas::new(Some(registry), None, unwrap, &bell);
        (runtime, schemas, bell)
    }

    /// Returns a record with an array of CloudEvents, each with data by one of the schemas.
    fn array_by(ids: &[u32]) -> OwnedMessage {
        use base64::Engine as _;
        let event = |id: &u32| {
            let framed = [&[0][..], &id.to_be_bytes(), b"{}"].concat();
            let data = base64::engine::general_purpose::STANDARD.encode(framed);
            serde_json::json!({"specversion": "1.0", "type": "t", "data_base64": data})
        };
        let array = serde_json::Value::from_iter(ids.iter().map(event)).to_string();
        let time = rdkafka::Timestamp::CreateTime(0);
        OwnedMessage::new(Some(array.into_bytes()), None, "reports".to_owned(), time, 0, 0, None)
    }

    /// Some ids are missing, and each answer comes after the one before.
    #[test]
    fn an_array_that_needs_several_schemas_waits_for_each_answer_once() {
        let (url, asked) = registry_of(&[8, 10]);
        let unwrap = Unwrap::default().with(Envelope::CloudEvents);
        let (_runtime, mut schemas, bell) = schemas_of(&url, unwrap);
        let topics = Topics {
            roles: [("reports".into(), Role::Source(RecordKind::Report))].into(),
            partitions: 1,
            other_partition_counts: BTreeSet::new(),
            unwrap,
            continues_traces: false,
        };
        let message = array_by(&[7, 8, 9, 10, 7]);
        let taken = schemas.read(&topics, &message);
        let Taken::Waits(Some(id)) = taken else { panic!("it needs a schema") };
        let line = RefCell::new(Line::default());
        line.borrow_mut().push(message, Some(id));
        let mut answers = 0;
        let record = loop {
            assert!(answers < 5, "it waits again for the same schemas");
            bell.wait(PATIENCE);
            answers += 1;
            schemas.take(std::iter::once(&line));
            if let Some(record) = schemas.first_of(&topics, &mut line.borrow_mut()) {
                break record;
            }
        };
        let RecordBody::Items(items) = record.body else { panic!("{record:?}") };
        let is_unknown = |item: &Record| {
            let RecordBody::Bad(bad) = &item.body else { panic!("{item:?}") };
            bad.is_unknown_schema()
        };
        let unknown: Vec<bool> = items.iter().map(is_unknown).collect();
        assert_eq!(unknown, [true, false, true, false, true]);
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [7, 8, 9, 10]);
    }

    #[test]
    fn an_id_is_not_requested_again_before_its_answer_is_taken() {
        let (url, asked) = registry_of(&[]);
        let (_runtime, mut schemas, bell) = schemas_of(&url, Unwrap::default());
        schemas.ask(SchemaId::Id(7));
        bell.wait(PATIENCE);
        for id in [7, 8] {
            schemas.ask(SchemaId::Id(id));
        }
        let asked: Vec<u32> = (0..2).map(|_| asked.recv_timeout(PATIENCE).unwrap()).collect();
        assert_eq!(asked, [7, 8]);
    }

    /// Accounts that are settled once the test says so.
    #[derive(Default)]
    struct Source {
        asked: Mutex<BTreeSet<AccountId>>,
        is_settled: AtomicBool,
    }

    impl AccountSource for Source {
        fn are_settled(&self, accounts: &[AccountId]) -> bool {
            self.asked.lock().unwrap().extend(accounts);
            self.is_settled.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn records_wait_until_their_accounts_are_settled_and_those_behind_are_asked_for() {
        const FLOW: &str = include_str!("../../../tests/ringback/samples/flow-complete.json");
        let topics = Topics {
            roles: [("flows".into(), Role::Source(RecordKind::Flow))].into(),
            partitions: 1,
            other_partition_counts: BTreeSet::new(),
            unwrap: Unwrap::default(),
            continues_traces: false,
        };
        let flow = |account: i64, offset| {
            let text = FLOW.replace("\"accountID\": 28", &format!("\"accountID\": {account}"));
            let at = rdkafka::Timestamp::CreateTime(1);
            OwnedMessage::new(
                Some(text.into_bytes()),
                None,
                "flows".to_owned(),
                at,
                0,
                offset,
                None,
            )
        };
        let source = Arc::new(Source::default());
        let bell = Arc::new(Bell::default());
        let mut schemas = Schemas::new(None, Some(source.clone()), Unwrap::default(), &bell);
        let mut line = Line::default();
        let Taken::Waits(None) = schemas.read(&topics, &flow(7, 0)) else { panic!("it waits") };
        line.push(flow(7, 0), None);
        assert_eq!(schemas.ask_ahead(&topics, &flow(8, 1)), None);
        line.push(flow(8, 1), None);
        assert!(schemas.first_of(&topics, &mut line).is_none());
        assert_eq!(*source.asked.lock().unwrap(), [AccountId(7), AccountId(8)].into());
        source.is_settled.store(true, Ordering::Relaxed);
        for offset in 0..2 {
            let record = schemas.first_of(&topics, &mut line).expect("it is settled");
            assert_eq!(record.offset, offset);
        }
        assert!(line.is_empty());
    }
}
