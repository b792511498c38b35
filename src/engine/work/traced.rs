//! The spans of a batch: of its records, its decisions and its commit. They are exported once the batch is committed,
//! so that a record that is read again has its spans once.

use crate::clock;
use crate::codec::source::Bad;
use crate::domain::{
    Command, DeadLetterReason, Event, IgnoreReason, PhononUuid, Source, TraceContext,
};
use crate::log::KafkaSettings;
use crate::telemetry::{Attribute, Span, SpanKind, Traces};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// The spans of a batch that is not committed yet.
pub(in crate::engine) struct Traced {
    traces: Traces,
    steps: Vec<Step>,
}

/// A decision in one trace.
struct Step {
    /// The span of the record that caused it.
    record: TraceContext,
    source: Source,
    /// Whether the span of the record is exported with it. Otherwise it was exported before.
    is_first: bool,
    /// Whether the record itself was read, and not a timer or an outcome.
    is_read: bool,
    uuid: Option<PhononUuid>,
    begin: Duration,
    end: Duration,
    /// The number of deliveries that were scheduled in this trace.
    deliveries: i64,
    /// Why the record changed nothing, or became a dead letter.
    reason: Option<&'static str>,
    is_error: bool,
}

/// A decision that has just been made.
pub(super) struct Decision<'a> {
    pub(super) uuid: &'a PhononUuid,
    pub(super) command: &'a Command,
    pub(super) events: &'a [Event],
    /// When it began.
    pub(super) begin: Duration,
}

impl Traced {
    /// Returns the empty collection of a new batch.
    pub(in crate::engine) fn new(traces: Traces) -> Self {
        Self { traces, steps: Vec::new() }
    }

    /// Notes a decision in the trace of each delivery that it schedules, or in the trace of its record.
    pub(super) fn decided(&mut self, decision: &Decision<'_>) {
        let Decision { uuid, command, events, begin } = *decision;
        let record = record(command);
        let (reason, is_error) = refusal(events);
        let first = self.steps.len();
        let mut is_covered = false;
        let end = clock::wall_since_epoch();
        let mut note = |source: &Source, trace_id: u128, is_first: bool, deliveries: i64| {
            let known = self.steps.get_mut(first..).unwrap_or_default();
            let same =
                |step: &&mut Step| step.record.trace_id() == trace_id && step.source == *source;
            if let Some(step) = known.iter_mut().find(same) {
                step.deliveries += deliveries;
            } else if self.traces.is_sampled(source, trace_id)
                && let Some(context) = context(source, trace_id)
            {
                self.steps.push(Step {
                    record: context,
                    source: source.clone(),
                    is_first,
                    is_read: Some(source) == record,
                    uuid: Some(uuid.clone()),
                    begin,
                    end,
                    deliveries,
                    reason,
                    is_error,
                });
            }
        };
        for event in events {
            if let Event::DeliveryScheduled { delivery, .. } | Event::Replayed { delivery } = event
            {
                let source = &delivery.source;
                let is_its_record = Some(source) == record;
                is_covered |= is_its_record;
                // A replayed delivery had the span of its record in its first life. So has a record whose producer sent
                // a trace: its span was exported when the record was read.
                let is_replayed = matches!(event, Event::Replayed { .. });
                let is_first = is_its_record || (source.trace.is_none() && !is_replayed);
                note(source, source.trace_id_of(delivery.id), is_first, 1);
            }
        }
        if let Some(record) = record.filter(|_| !is_covered) {
            note(record, record.trace_id(), true, 0);
        }
    }

    /// Notes a record that could not be read.
    pub(super) fn refused(&mut self, source: &Source, bad: &Bad) {
        let now = clock::wall_since_epoch();
        let trace_id = source.trace_id();
        if !self.traces.is_sampled(source, trace_id) {
            return;
        }
        self.steps.extend(context(source, trace_id).map(|record| Step {
            record,
            source: source.clone(),
            is_first: true,
            is_read: true,
            uuid: None,
            begin: now,
            end: now,
            deliveries: 0,
            reason: Some(bad.reason.as_str()),
            is_error: true,
        }));
    }

    /// Exports the spans, as the transaction that began at `begin` was committed.
    pub(in crate::engine) fn committed(
        self,
        begin: Duration,
        records: usize,
        kafka: &KafkaSettings,
    ) {
        let end = clock::wall_since_epoch();
        let transaction: Attribute = format!("{}:{}", kafka.instance_id, begin.as_millis()).into();
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        for step in self.steps {
            let parent = step.record.span_id();
            if step.is_first {
                self.traces.export(step.record_span(end, &kafka.group_id));
            }
            let times = (step.begin, step.end);
            self.traces.export(Span {
                attributes: step.outcome().collect(),
                is_error: step.is_error,
                ..Span::internal(step.child("decide"), parent, "decide", times)
            });
            let attributes = vec![
                ("ringback.transaction", transaction.clone()),
                ("ringback.transaction.records", records.into()),
            ];
            let commit = Span::internal(step.child("commit"), parent, "commit", (begin, end));
            self.traces.export(Span { attributes, ..commit });
        }
    }
}

impl Step {
    /// Returns the span of the record, by OpenTelemetry's conventions for messaging. It ends with the commit.
    fn record_span(&self, end: Duration, group_id: &str) -> Span {
        let Source { topic, partition, offset, trace, .. } = &self.source;
        let mut attributes: Vec<(&'static str, Attribute)> = vec![
            ("messaging.system", Attribute::Word("kafka")),
            ("messaging.operation.name", Attribute::Word("process")),
            ("messaging.operation.type", Attribute::Word("process")),
            ("messaging.destination.name", Attribute::Text(topic.clone())),
            ("messaging.destination.partition.id", partition.to_string().into()),
            ("messaging.kafka.offset", (*offset).into()),
            ("messaging.consumer.group.name", group_id.into()),
        ];
        let uuid = self.uuid.as_ref().map(|uuid| uuid.as_str().into());
        attributes.extend(uuid.map(|uuid| ("ringback.phonon_uuid", uuid)));
        Span {
            context: self.record.clone(),
            parent: trace.as_ref().map(|trace| trace.span_id()),
            is_parent_remote: trace.is_some(),
            kind: if self.is_read { SpanKind::Consumer } else { SpanKind::Internal },
            name: format!("process {topic}"),
            begin: self.begin,
            end: end.max(self.begin),
            attributes,
            is_error: self.is_error,
        }
    }

    fn outcome(&self) -> impl Iterator<Item = (&'static str, Attribute)> {
        let reason = self.reason.map(|reason| ("ringback.reason", Attribute::Word(reason)));
        let error = self.reason.filter(|_| self.is_error);
        let error = error.map(|reason| ("error.type", Attribute::Word(reason)));
        let deliveries = ("ringback.deliveries", self.deliveries.into());
        [deliveries].into_iter().chain(reason).chain(error)
    }

    /// Returns the context of a span below the record's. Several decisions may have the same record, at other times.
    fn child(&self, name: &str) -> TraceContext {
        let mut parts = self.record.span_id().to_be_bytes().to_vec();
        parts.extend(self.begin.as_nanos().to_be_bytes());
        parts.extend(name.as_bytes());
        let (trace, span_id) = (&self.record, xxh3_64(&parts).max(1));
        let child =
            TraceContext::new(trace.trace_id(), span_id, trace.flags(), trace.state().cloned());
        // Neither id is 0.
        child.unwrap_or_else(|| trace.clone())
    }
}

/// Returns the record that a command accepts.
fn record(command: &Command) -> Option<&Source> {
    match command {
        Command::AcceptStart(_, source)
        | Command::AcceptFlow(_, source)
        | Command::AcceptReport(_, source) => Some(source),
        Command::RecordOutcome { .. }
        | Command::GiveUp { .. }
        | Command::FireTimer(_)
        | Command::Replay(_)
        | Command::Notify(_) => None,
    }
}

/// Returns why a record changed nothing or became a dead letter, and whether that is an error.
fn refusal(events: &[Event]) -> (Option<&'static str>, bool) {
    let ignored = |reason: IgnoreReason| (Some(reason.as_str()), false);
    let dead = |reason: DeadLetterReason| (Some(reason.as_str()), true);
    let refusal = events.iter().find_map(|event| {
        if let Event::RecordIgnored(ignored_record) = event {
            Some(ignored(ignored_record.reason))
        } else if let Event::RecordDeadLettered { reason, .. } = event {
            Some(dead(*reason))
        } else {
            None
        }
    });
    refusal.unwrap_or((None, false))
}

/// Returns the context of the span of the record at `source` in a trace that is recorded.
fn context(source: &Source, trace_id: u128) -> Option<TraceContext> {
    let producer = source.trace.as_deref();
    let flags = producer.map_or(1, TraceContext::flags);
    TraceContext::new(
        trace_id,
        source.span_id(),
        flags,
        producer.and_then(TraceContext::state).cloned(),
    )
}
