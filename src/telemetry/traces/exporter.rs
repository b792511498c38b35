//! Sends spans to a collector, in batches and in a task of its own.

use super::{Sampler, Shared, Span, Traces, otlp};
use crate::telemetry::{Metrics, with_causes};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The maximum number of spans in one request.
const BATCH_MAX: usize = 512;
/// The longest time for which spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// The pause after a failed request, which doubles with each one that follows.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A batch is dropped after this number of failed requests.
const TRIES_MAX: u32 = 5;
/// The time for the last spans at a shutdown.
const FLUSH: Duration = Duration::from_secs(2);
/// The part of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The settings of `[traces]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// The collector's address for traces, without credentials.
    pub endpoint: reqwest::Url,
    /// Headers of each request. Their values are marked as sensitive.
    pub headers: HeaderMap,
    /// The share of traces that are recorded, from 0 to 1.
    pub sample_ratio: f64,
    /// The maximum number of spans that wait for the collector.
    pub queue_max: usize,
    /// The limit of one request.
    pub timeout: Duration,
    /// `service.name`
    pub service_name: String,
    /// `service.instance.id`
    pub instance_id: String,
}

/// The task that exports spans.
pub struct Exporting {
    traces: Traces,
    task: JoinHandle<()>,
}

impl Traces {
    /// Starts the task that exports spans, in the runtime of the caller. `client` sends the requests.
    #[must_use]
    pub fn begin(
        settings: &TraceSettings,
        client: reqwest::Client,
        metrics: Arc<Metrics>,
    ) -> Exporting {
        let (queue, spans) = mpsc::channel(settings.queue_max.max(1));
        let exporter = Exporter {
            settings: settings.clone(),
            client,
            spans,
            metrics: metrics.clone(),
            is_failing: false,
        };
        let sampler = Sampler::new(settings.sample_ratio);
        let traces = Self(Arc::new(Shared { sampler, queue, metrics }));
        Exporting { traces, task: tokio::spawn(exporter.run()) }
    }
}

impl Exporting {
    /// Returns the handle that takes spans.
    #[must_use]
    pub fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Exports the spans that are left, for at most 2 s.
    pub async fn finish(self) {
        let Self { traces, task } = self;
        let abort = task.abort_handle();
        let finishing = async {
            // If the queue is full, the collector is down or slow, and the time limit ends the wait.
            if traces.0.queue.send(None).await.is_ok() {
                let _ = task.await;
            }
        };
        if timeout(FLUSH, finishing).await.is_err() {
            abort.abort();
            tracing::warn!("the last spans could not be exported in time and are lost");
        }
    }
}

/// Why a batch was not accepted.
struct Failure {
    /// For operators.
    cause: String,
    /// Whether the same request may succeed later.
    is_passing: bool,
    /// The time that the collector asked for.
    wait: Option<Duration>,
}

struct Exporter {
    settings: TraceSettings,
    client: reqwest::Client,
    spans: Receiver<Option<Span>>,
    metrics: Arc<Metrics>,
    is_failing: bool,
}

impl Exporter {
    async fn run(mut self) {
        loop {
            let (batch, is_last) = self.gather().await;
            if !batch.is_empty() {
                self.export(&batch, is_last).await;
            }
            if is_last {
                return;
            }
        }
    }

    /// Returns the next spans, and whether they are the last.
    async fn gather(&mut self) -> (Vec<Span>, bool) {
        let mut batch = Vec::new();
        let Some(Some(first)) = self.spans.recv().await else { return (batch, true) };
        batch.push(first);
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH_MAX {
            match timeout_at(until, self.spans.recv()).await {
                Ok(Some(Some(span))) => batch.push(span),
                Ok(Some(None) | None) => return (batch, true),
                Err(_) => break,
            }
        }
        (batch, false)
    }

    /// Sends a batch. Tries again a few times, unless it is the last batch.
    async fn export(&mut self, batch: &[Span], is_last: bool) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let body = bytes::Bytes::from(otlp::request(&self.settings, batch));
        let mut pause = PAUSE;
        for tried in 1..=TRIES_MAX {
            let failure = match self.send(body.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.metrics.spans_exported(count - rejected);
                    self.metrics.spans_dropped(rejected);
                    self.succeeded();
                    return;
                }
                Err(failure) => failure,
            };
            self.failed(&failure.cause);
            if is_last {
                break;
            }
            sleep(failure.wait.unwrap_or(pause).min(PAUSE_MAX)).await;
            pause = pause.saturating_mul(2);
            if !failure.is_passing || tried == TRIES_MAX {
                break;
            }
        }
        self.metrics.spans_dropped(count);
    }

    /// Sends one request. Returns how many spans the collector rejected.
    async fn send(&self, body: bytes::Bytes) -> Result<u64, Failure> {
        let broken = |cause| Failure { cause, is_passing: true, wait: None };
        let request = self
            .client
            .post(self.settings.endpoint.clone())
            .headers(self.settings.headers.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(self.settings.timeout)
            .body(body);
        let sent = request.send().await;
        let mut answer = sent.map_err(|error| broken(with_causes(&error.without_url())))?;
        let status = answer.status();
        if !status.is_success() {
            let seconds = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok());
            return Err(Failure {
                cause: format!("it answers {status}"),
                is_passing: is_passing(status),
                wait: seconds.and_then(|it| it.parse().ok()).map(Duration::from_secs),
            });
        }
        let mut body = Vec::new();
        // The collector has the spans, whatever becomes of the rest of its answer.
        while body.len() < ANSWER_BYTES_MAX
            && let Ok(Some(part)) = answer.chunk().await
        {
            body.extend_from_slice(&part);
        }
        Ok(otlp::rejected(&body))
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(collector = self.shown(), "spans are exported again");
        }
    }

    /// Logs the first of several failures.
    fn failed(&mut self, cause: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(
                collector = self.shown(),
                error = cause,
                "spans can't be exported: they are dropped once the queue is full, and deliveries go on"
            );
        }
    }

    /// Returns the address for logs.
    fn shown(&self) -> &str {
        self.settings.endpoint.as_str()
    }
}

/// Returns whether OTLP allows to send the same request again.
fn is_passing(status: StatusCode) -> bool {
    [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}
