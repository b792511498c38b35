//! The client of the schema registry, by Confluent's API.
//!
//! The main question is which answers are final. "There is no schema with this id" is final for the records that wait
//! for it. It is not final for later records, since the schema may be registered at any time. An answer that says
//! nothing about the id is an outage, and the client retries.

mod answer;

use super::settings::RegistrySettings;
use crate::clock;
use crate::codec::source::{RegisteredSchema, SchemaId};
use crate::domain::Timestamp;
use crate::telemetry::with_causes;
pub use answer::read_answer;
use answer::{Found, Reference, SCHEMA_BYTES_MAX, judge, judge_content};
use reqwest::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// The limit of concurrent requests.
const QUESTIONS_MAX: usize = 32;
/// The limit of schemas that one schema refers to, over others too.
const REFERENCES_MAX: usize = 100;
/// One cause of an outage is logged again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The registry's answer about a schema id.
pub(super) struct SchemaAnswer {
    pub(super) id: SchemaId,
    /// The schema; `None`: there is no usable schema with this id.
    pub(super) schema: Option<RegisteredSchema>,
    /// The time of the request. The answer does not cover a schema that was registered later.
    pub(super) asked_at: Timestamp,
}

type Answer = Arc<dyn Fn(SchemaAnswer) + Send + Sync>;

/// Fetches schemas. An unknown id is an answer. A registry that does not answer is asked again until it does.
pub struct Registry {
    client: Client,
    runtime: tokio::runtime::Handle,
    answer: Option<Answer>,
    questions: Arc<Questions>,
}

impl Registry {
    /// Creates a registry client. It calls `unreachable` when the registry stops or starts to answer.
    #[must_use]
    pub fn new(
        client: reqwest::Client,
        settings: RegistrySettings,
        runtime: tokio::runtime::Handle,
        unreachable: Arc<dyn Fn(bool) + Send + Sync>,
    ) -> Self {
        let questions = Questions {
            slots: Semaphore::new(QUESTIONS_MAX),
            open: Mutex::default(),
            said: Mutex::default(),
            unreachable,
        };
        let client = Client { http: client, settings };
        Self { client, runtime, answer: None, questions: Arc::new(questions) }
    }

    pub(super) fn answering(mut self, answer: Answer) -> Self {
        self.answer = Some(answer);
        self
    }

    /// Requests the schema of `id`, once for all records that wait for it.
    pub(super) fn ask(&self, id: SchemaId) {
        let Some(answer) = self.answer.clone() else { return };
        let mut open = self.questions.open();
        if open.contains_key(&id) {
            return;
        }
        let (client, questions) = (self.client.clone(), self.questions.clone());
        let task = self.runtime.spawn(async move {
            let (schema, asked_at) = questions.insist(&client, id).await;
            questions.close(id);
            answer(SchemaAnswer { id, schema, asked_at });
        });
        open.insert(id, Question { is_failing: false, task: task.abort_handle() });
    }

    /// Drops all requests, when no record waits for an answer.
    pub(super) fn forget(&self) {
        let mut open = self.questions.open();
        let was_failing = open.values().any(|question| question.is_failing);
        for question in std::mem::take(&mut *open).into_values() {
            question.task.abort();
        }
        if was_failing {
            (self.questions.unreachable)(false);
        }
    }

    /// Checks whether the registry answers.
    ///
    /// # Errors
    /// The registry does not answer as it should. The text says why, for operators.
    pub async fn probe(&self) -> Result<(), String> {
        let (status, _) = self.client.get("subjects").await?;
        if status.is_success() { Ok(()) } else { Err(answer::outage(status)) }
    }
}

/// A request for a schema that the registry has not answered yet.
struct Question {
    /// At least one try has failed.
    is_failing: bool,
    task: AbortHandle,
}

/// All open requests, by id.
struct Questions {
    slots: Semaphore,
    open: Mutex<BTreeMap<SchemaId, Question>>,
    /// The cause of an outage that was logged last, with the time.
    said: Mutex<Option<(Instant, String)>>,
    unreachable: Arc<dyn Fn(bool) + Send + Sync>,
}

impl Questions {
    fn open(&self) -> MutexGuard<'_, BTreeMap<SchemaId, Question>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Repeats the request until there is an answer. Returns the schema and the time of the request that was answered.
    async fn insist(&self, client: &Client, id: SchemaId) -> (Option<RegisteredSchema>, Timestamp) {
        let mut pause = RETRY_INTERVAL;
        loop {
            // The slot is not held during a pause, so that a request that always fails does not delay others.
            let slot = self.slots.acquire().await;
            let asked_at = clock::wall();
            let fetched = client.fetch(id).await;
            drop(slot);
            match fetched {
                Ok(schema) => return (schema, asked_at),
                Err(cause) => self.failed(id, cause),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_INTERVAL_MAX);
        }
    }

    fn failed(&self, id: SchemaId, cause: String) {
        let mut open = self.open();
        let is_first = !open.values().any(|question| question.is_failing);
        if let Some(question) = open.get_mut(&id) {
            question.is_failing = true;
            if is_first {
                (self.unreachable)(true);
            }
        }
        drop(open);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known =
            said.as_ref().is_some_and(|(at, text)| *text == cause && clock::since(*at) < SAY_AGAIN);
        if !is_known {
            let schema_id = id.text();
            tracing::warn!(
                schema_id,
                error = cause,
                "the schema registry does not answer; the records that need it wait, and the daemon asks again"
            );
            *said = Some((clock::instant(), cause));
        }
    }

    fn close(&self, id: SchemaId) {
        let mut open = self.open();
        let was_failing = open.remove(&id).is_some_and(|question| question.is_failing);
        if was_failing && !open.values().any(|question| question.is_failing) {
            (self.unreachable)(false);
        }
    }
}

/// Asks the registry over HTTP.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    settings: RegistrySettings,
}

impl Client {
    /// Fetches the schema of `id`; `None`: there is no usable one. Every temporary condition is an error.
    async fn fetch(&self, id: SchemaId) -> Result<Option<RegisteredSchema>, String> {
        let nothing = |why: &str| {
            tracing::debug!(schema_id = id.text(), why, "the registry has no usable schema");
            Ok(None)
        };
        if let Some(url) = self.native(id) {
            let (status, body) = self.get_url(url).await?;
            return match judge_content(status, &body)? {
                Some(schema) => Ok(Some(schema)),
                None => nothing("there is no schema with this id"),
            };
        }
        let path = match id {
            SchemaId::Guid(_) => format!("schemas/guids/{}", id.text()),
            SchemaId::Id(_) | SchemaId::Global(_) => format!("schemas/ids/{}", id.text()),
        };
        let (status, body) = self.get(&path).await?;
        match judge(status, &body)? {
            Found::Schema(schema) => Ok(Some(schema)),
            Found::Nothing(why) => nothing(why),
            Found::Refused if self.refuses_everything(status).await? => {
                Err(format!("it answers {status} to every request: check [schema_registry] url"))
            }
            Found::Refused => nothing("the registry rejects the id"),
            Found::Refers(text, references) => match self.references(references).await? {
                Some(references) => Ok(Some(RegisteredSchema::Avro { text, references })),
                None => nothing("a schema that it refers to is missing"),
            },
        }
    }

    /// Fetches the schemas that a schema refers to, and those that they refer to. `None`: one does not exist.
    async fn references(&self, mut open: Vec<Reference>) -> Result<Option<Vec<String>>, String> {
        let mut seen = BTreeSet::new();
        let mut texts = Vec::new();
        while let Some(reference) = open.pop() {
            let path = reference.path();
            if !seen.insert(path.clone()) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                return Ok(None);
            }
            let (status, body) = self.get(&path).await?;
            let text = match judge(status, &body)? {
                Found::Schema(RegisteredSchema::Avro { text, .. }) => text,
                Found::Refers(text, more) => {
                    open.extend(more);
                    text
                }
                Found::Schema(_) | Found::Nothing(_) | Found::Refused => return Ok(None),
            };
            // Two versions of a subject may have the same text.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        Ok(Some(texts))
    }

    /// Returns the URL at which Apicurio has the schema with a global id, if the registry is Apicurio.
    fn native(&self, id: SchemaId) -> Option<String> {
        let SchemaId::Global(id) = id else { return None };
        let (base, _) = self.settings.url.as_str().split_once("/apis/ccompat/")?;
        Some(format!("{base}/apis/registry/v2/ids/globalIds/{id}?dereference=true"))
    }

    /// Returns whether the registry refuses every request and not only this id.
    async fn refuses_everything(&self, status: StatusCode) -> Result<bool, String> {
        self.get("subjects").await.map(|(of_others, _)| of_others == status)
    }

    /// Returns the status and the body. Reading stops once a body exceeds [`SCHEMA_BYTES_MAX`].
    async fn get(&self, path: &str) -> Result<(StatusCode, Vec<u8>), String> {
        self.get_url(format!("{}/{path}", self.settings.url.as_str().trim_end_matches('/'))).await
    }

    async fn get_url(&self, url: String) -> Result<(StatusCode, Vec<u8>), String> {
        let request = self.http.get(url).timeout(REQUEST_TIMEOUT);
        let request = match &self.settings.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let mut response = request.send().await.map_err(cause)?;
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(cause)? {
            body.extend_from_slice(&chunk);
            if body.len() > SCHEMA_BYTES_MAX {
                break;
            }
        }
        Ok((status, body))
    }
}

/// Returns the cause without the URL, so that its text is the same for every id.
fn cause(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}
