//! Selects one of the two text formats for a scraper.

use super::exemplars::Exemplar;
use super::openmetrics;
use prometheus::TextEncoder;
use prometheus::proto::{Metric, MetricFamily};

/// A format of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// Returns the format that an `Accept` header prefers. Without a preference, it is the older one, which all
    /// scrapers read.
    #[must_use]
    pub fn from_accept(accept: Option<&str>) -> Self {
        let mut open = 0.0_f32;
        let mut text = 0.0_f32;
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let mut quality = 1.0_f32;
            let mut version = None;
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match (media.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => {
                    open = open.max(quality);
                }
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", None) => {
                    text = text.max(quality);
                }
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// Returns the `Content-Type` of the answer.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Returns the text of `families`. `exemplars` returns those of a histogram's buckets.
    pub(super) fn encode(
        self,
        families: &[MetricFamily],
        exemplars: &dyn Fn(&str, &Metric) -> Vec<Option<Exemplar>>,
    ) -> String {
        match self {
            Self::OpenMetrics => openmetrics::encode(families, exemplars),
            Self::Text => {
                let mut text = String::new();
                match TextEncoder::new().encode_utf8(families, &mut text) {
                    Ok(()) => text,
                    // Only an empty or nameless family can fail, and gathering drops those.
                    Err(error) => format!("# {error}\n"),
                }
            }
        }
    }
}
