//! The trace of an attempt: what its endpoint gets, and its span.

use super::lane::Job;
use super::webhook::Webhook;
use crate::clock;
use crate::domain::{ErrorReason, Outcome, Source, TraceContext, Verdict};
use crate::telemetry::{Attribute, Span, SpanKind, Traces};
use std::time::Duration;

/// An attempt in progress whose trace is continued or recorded.
pub(super) struct Traced<'a> {
    source: &'a Source,
    context: TraceContext,
    /// Takes the span; `None`: the trace is not recorded.
    traces: Option<&'a Traces>,
    begin: Duration,
}

impl<'a> Traced<'a> {
    /// Begins an attempt of `job`, which the record `source` has triggered.
    pub(super) fn begin(
        job: &Job,
        source: &'a Source,
        traces: Option<&'a Traces>,
        unix_seconds: i64,
    ) -> Self {
        let traces = traces.filter(|traces| traces.is_sampled(source, job.trace_id()));
        let (producer, is_sampled) = (source.trace.as_deref(), traces.is_some());
        Self {
            source,
            context: TraceContext::of_attempt(
                producer,
                job.id,
                job.attempt,
                unix_seconds,
                is_sampled,
            ),
            traces,
            begin: clock::wall_since_epoch(),
        }
    }

    /// Returns what the endpoint gets.
    pub(super) fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Exports the span of the attempt, by OpenTelemetry's conventions for HTTP clients. It contains neither the path
    /// nor the query of the URL, in which definitions put variables and secrets.
    pub(super) fn end(&self, job: &Job, webhook: &Webhook, outcome: &Outcome) {
        let Some(traces) = self.traces else { return };
        let method = webhook.method.as_str();
        let times = (self.begin, clock::wall_since_epoch());
        let name = format!("{method} {}", webhook.name);
        let mut attributes: Vec<(&'static str, Attribute)> = vec![
            ("http.request.method", method.into()),
            ("url.scheme", webhook.url.scheme().into()),
            ("ringback.webhook", webhook.name.as_str().into()),
            ("ringback.webhook_id", job.id.to_string().into()),
            ("ringback.account_id", webhook.account.0.into()),
            ("ringback.phonon_uuid", job.uuid.as_str().into()),
            ("ringback.phase", i64::from(job.phase.number()).into()),
            ("ringback.attempt", i64::from(job.attempt).into()),
        ];
        attributes.extend(webhook.url.host_str().map(|host| ("server.address", host.into())));
        let port = webhook.url.port_or_known_default();
        attributes.extend(port.map(|port| ("server.port", i64::from(port).into())));
        if let Some(resent) = job.attempt.checked_sub(1).filter(|resent| *resent > 0) {
            attributes.push(("http.request.resend_count", i64::from(resent).into()));
        }
        let status = outcome.status.map(|status| i64::from(status).into());
        attributes.extend(status.map(|status| ("http.response.status_code", status)));
        let is_error = outcome.verdict != Verdict::Delivered;
        if is_error {
            let status = outcome.status.filter(|status| *status >= 400);
            let reason = || outcome.reason.map_or("_OTHER", ErrorReason::as_str);
            let kind = status.map(|status| status.to_string().into());
            attributes.push(("error.type", kind.unwrap_or_else(|| Attribute::Word(reason()))));
        }
        traces.export(Span {
            kind: SpanKind::Client,
            attributes,
            is_error,
            ..Span::internal(self.context.clone(), self.source.span_id(), &name, times)
        });
    }
}
