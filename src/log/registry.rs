//! The schema registry, by Confluent's API.

use super::report::is_due;
use super::settings::RegistrySettings;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// What the registry said of a schema's id.
pub(super) struct SchemaAnswer {
    /// The id.
    pub(super) id: u32,
    /// The schema; `None`: there is none with this id.
    pub(super) schema: Option<String>,
}

/// Fetches schemas. An id that the registry does not know is an answer; a registry that can't be reached is asked again
/// until it can.
pub struct Registry {
    client: reqwest::Client,
    settings: RegistrySettings,
    runtime: tokio::runtime::Handle,
    answer: Option<Sender<SchemaAnswer>>,
    asked: Arc<Mutex<BTreeSet<u32>>>,
    unreachable: Arc<dyn Fn(bool) + Send + Sync>,
}

#[derive(Deserialize)]
struct Body {
    schema: String,
    #[serde(rename = "schemaType", default)]
    kind: Option<String>,
}

impl Registry {
    /// A registry client; `unreachable` is told when the registry stops and starts to answer.
    #[must_use]
    pub fn new(
        client: reqwest::Client,
        settings: RegistrySettings,
        runtime: tokio::runtime::Handle,
        unreachable: Arc<dyn Fn(bool) + Send + Sync>,
    ) -> Self {
        Self { client, settings, runtime, answer: None, asked: Arc::default(), unreachable }
    }

    pub(super) fn answering(mut self, answer: Sender<SchemaAnswer>) -> Self {
        self.answer = Some(answer);
        self
    }

    /// Asks for the schema of `id`, once however many records wait for it.
    pub(super) fn ask(&self, id: u32) {
        let Some(answer) = self.answer.clone() else { return };
        if !lock(&self.asked).insert(id) {
            return;
        }
        let (client, settings) = (self.client.clone(), self.settings.clone());
        let (asked, unreachable) = (self.asked.clone(), self.unreachable.clone());
        self.runtime.spawn(async move {
            let schema = loop {
                match fetch(&client, &settings, id).await {
                    Ok(schema) => break schema,
                    Err(error) => {
                        unreachable(true);
                        // Each schema is asked for by itself, and the registry is one.
                        if is_due("the schema registry does not answer") {
                            tracing::warn!(schema_id = id, %error, "the schema registry does not answer; asking again");
                        }
                        tokio::time::sleep(RETRY_INTERVAL).await;
                    }
                }
            };
            unreachable(false);
            lock(&asked).remove(&id);
            let _ = answer.send(SchemaAnswer { id, schema });
        });
    }

    /// Whether the registry answers.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub async fn probe(&self) -> Result<(), String> {
        let url = address(&self.settings, "subjects");
        let response = self.request(url).send().await.map_err(|error| error.to_string())?;
        response.error_for_status().map(|_| ()).map_err(|error| error.to_string())
    }

    fn request(&self, url: String) -> reqwest::RequestBuilder {
        request(&self.client, &self.settings, url)
    }
}

fn lock(asked: &Mutex<BTreeSet<u32>>) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

fn address(settings: &RegistrySettings, path: &str) -> String {
    format!("{}/{path}", settings.url.as_str().trim_end_matches('/'))
}

fn request(
    client: &reqwest::Client,
    settings: &RegistrySettings,
    url: String,
) -> reqwest::RequestBuilder {
    let request = client.get(url).timeout(REQUEST_TIMEOUT);
    match &settings.credentials {
        Some((user, password)) => request.basic_auth(user, Some(password)),
        None => request,
    }
}

/// The schema of `id`, `None` when there is none; everything that may pass is an error.
async fn fetch(
    client: &reqwest::Client,
    settings: &RegistrySettings,
    id: u32,
) -> Result<Option<String>, String> {
    let url = address(settings, &format!("schemas/ids/{id}"));
    let response =
        request(client, settings, url).send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    if status == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !status.is_success() {
        return Err(format!("it answers {status}"));
    }
    let bytes = response.bytes().await.map_err(|error| error.to_string())?;
    if bytes.len() > SCHEMA_BYTES_MAX {
        return Ok(None);
    }
    read_answer(&bytes)
}

/// The schema that an answer of the registry holds; `None` when it is no Avro schema.
///
/// # Errors
/// When it is no answer of a registry.
pub fn read_answer(bytes: &[u8]) -> Result<Option<String>, String> {
    let body: Body = serde_json::from_slice(bytes)
        .map_err(|error| format!("its answer is no schema: {error}"))?;
    // Avro is the default and is left out of the answer.
    Ok(body.kind.is_none_or(|kind| kind == "AVRO").then_some(body.schema))
}
