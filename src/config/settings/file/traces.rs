//! The keys of `[traces]`.

use crate::document::SecretText;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The export of traces to an OpenTelemetry collector, by OTLP over HTTP. Without this section, nothing is recorded.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["endpoint"]))]
pub(in crate::config) struct Traces {
    /// The collector's address for traces, as in "http://127.0.0.1:4318/v1/traces".
    #[schemars(required)]
    pub(in crate::config::settings) endpoint: Option<String>,
    /// Headers of each request, by name, such as authorization.
    pub(in crate::config::settings) headers: BTreeMap<String, SecretText>,
    /// Share of the traces that are recorded, from 0 to 1. A producer that sends a traceparent decides for its trace.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config::settings) sample_ratio: f64,
    /// Maximum number of spans that wait for the collector. Further ones are dropped and counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config::settings) queue_max: usize,
    /// Time limit of a request to the collector.
    #[schemars(range(min = 1, max = 60000))]
    pub(in crate::config::settings) timeout_ms: u64,
    /// The attribute service.name of all spans.
    #[schemars(length(min = 1, max = 255))]
    pub(in crate::config::settings) service_name: String,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: BTreeMap::new(),
            sample_ratio: 1.0,
            queue_max: 2048,
            timeout_ms: 10_000,
            service_name: "ringback".to_owned(),
        }
    }
}
