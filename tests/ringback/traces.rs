//! Traces: spans from the record to each attempt, in the producer's trace where there is one. A collector that fails
//! costs spans only.

mod failing;

use crate::harness::collector::{Collector, Span};
use crate::harness::http;
use crate::harness::kafka::Record;
use crate::harness::receiver::{Answer, Received, now_ms};
use crate::harness::samples::{flow, report};
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// The trace and the span of a producer.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const STATE: &str = "vendor=1,other@x=y z";
const EXPORTED: &str = "ringback_spans_exported_total";
const DROPPED: &str = "ringback_spans_dropped_total";
/// The lines of the log when the export begins to fail, and when it works again.
const FAILING: &str = "spans can't be exported";
const AGAIN: &str = "spans are exported again";

fn traced(name: &str) -> (Stage, Collector) {
    let (mut stage, collector) = (Stage::new(name), Collector::start());
    stage.set("traces.endpoint", collector.url());
    (stage, collector)
}

/// Produces records as a producer that is part of a trace.
fn send_traced(stage: &Stage, records: &[Record], parent: &str, state: Option<&str>) {
    let headers = [("traceparent", Some(parent)), ("tracestate", state), ("other", Some("x"))];
    let headers: Vec<(&str, &str)> =
        headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    stage.kafka.produce_with(records, &headers);
}

fn sampled() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

/// Returns the parts of the `traceparent` that an endpoint got: trace, span and flags.
fn parent_of(request: &Received) -> [String; 3] {
    let header = request.header("traceparent");
    let parts: Vec<&str> = header.split('-').collect();
    assert_eq!((parts.len(), parts[0], header.len()), (4, "00", 55), "{header}");
    [1, 2, 3].map(|part| parts[part].to_owned())
}

/// Waits until the span of each of these requests is exported, and returns all spans.
fn wait_attempts(collector: &Collector, requests: &[Received]) -> Vec<Span> {
    collector.wait("the span of each attempt", |spans| {
        requests.iter().all(|request| {
            let [trace, id, _] = parent_of(request);
            spans.iter().any(|span| span.trace == trace && span.id == id)
        })
    })
}

/// Returns the only span of a trace with this name.
#[track_caller]
fn only<'a>(spans: &'a [Span], trace: &str, name: &str) -> &'a Span {
    let found: Vec<&Span> =
        spans.iter().filter(|span| span.trace == trace && span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {trace}: {spans:#?}");
    found[0]
}

/// Checks the spans of a record of `topic` that `request` was made of. Returns the span of the record.
#[track_caller]
fn check_chain(stage: &Stage, spans: &[Span], topic: &str, request: &Received) -> Span {
    let [trace, id, flags] = parent_of(request);
    let topic = stage.topic(topic);
    let record = only(spans, &trace, &format!("process {topic}"));
    assert_eq!(record.kind, 5, "{record:?}");
    assert_eq!(record.attribute("messaging.system"), "kafka");
    assert_eq!(record.attribute("messaging.destination.name"), topic);
    assert_eq!(record.attribute("messaging.consumer.group.name"), stage.group());
    assert!(!record.attribute("messaging.kafka.offset").is_empty());
    assert_eq!(record.attribute("ringback.phonon_uuid"), request.uuid());
    let mut steps = spans.iter().filter(|span| span.parent == record.id && span.kind == 1);
    assert!(steps.all(|step| step.trace == trace && step.begin_ns >= record.begin_ns));
    for name in ["decide", "commit"] {
        assert_eq!(only(spans, &trace, name).parent, record.id);
    }
    let commit = only(spans, &trace, "commit");
    assert!(commit.attribute("ringback.transaction").contains("-0:"), "{commit:?}");
    assert_eq!(only(spans, &trace, "decide").attribute("ringback.deliveries"), "1");
    let attempt = only(spans, &trace, &format!("POST {WEBHOOK}"));
    assert_eq!((&attempt.id, &attempt.parent, attempt.kind), (&id, &record.id, 3));
    assert_eq!(flags, "01");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("server.port", &stage.receiver.port().to_string()),
        ("ringback.webhook", WEBHOOK),
        ("ringback.webhook_id", request.id()),
        ("ringback.attempt", "1"),
    ] {
        assert_eq!(attempt.attribute(key), value, "{key}");
    }
    assert!(!attempt.is_error);
    assert_eq!(record.resource["service.name"], "ringback");
    assert!(record.resource["service.instance.id"].ends_with("-0"));
    record.clone()
}

#[test]
fn each_webhook_of_a_flow_without_a_traceparent_has_a_trace_from_its_record_to_its_attempt() {
    let (stage, collector) = traced("traces-own");
    let mut daemon = stage.start();
    stage.send_flows(&[flow("own", &["s-1"])]);
    stage.receiver.wait_for(1, PATIENCE);
    stage.send_reports(&[report("own", "s-1", "DELIVERED")]);
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let spans = wait_attempts(&collector, &requests);
    for (request, topic) in requests.iter().zip(["flow-complete", "sms-delivery-report"]) {
        let record = check_chain(&stage, &spans, topic, request);
        assert_eq!((record.parent.as_str(), record.flags), ("", 0x101));
        assert_eq!(request.header("tracestate"), "");
        // As without traces, the trace is that of the delivery.
        let [trace, _, _] = parent_of(request);
        assert_eq!(request.id(), format!("msg_{trace}"));
    }
    daemon.stop();
    stage.verify();
}

#[test]
fn a_producers_trace_goes_on_to_the_endpoint_with_its_state() {
    let (stage, collector) = traced("traces-continued");
    let mut daemon = stage.start();
    let of_flow = stage.record("flow-complete", &flow("continued", &["s-1"]));
    send_traced(&stage, &[of_flow], &sampled(), Some(STATE));
    stage.receiver.wait_for(1, PATIENCE);
    let other = TRACE.replace('4', "5");
    let of_report = stage.record("sms-delivery-report", &report("continued", "s-1", "DELIVERED"));
    send_traced(&stage, &[of_report], &format!("00-{other}-{SPAN}-01"), None);
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let spans = wait_attempts(&collector, &requests);
    let cases = [("flow-complete", TRACE, STATE), ("sms-delivery-report", &*other, "")];
    for (request, (topic, trace, state)) in requests.iter().zip(cases) {
        let record = check_chain(&stage, &spans, topic, request);
        assert_eq!((&*record.trace, &*record.parent, record.flags), (trace, SPAN, 0x301));
        assert_eq!(request.header("tracestate"), state);
        let of_trace = spans.iter().filter(|span| span.trace == trace);
        assert!(of_trace.clone().all(|span| span.state == state), "{spans:#?}");
        assert_eq!(of_trace.count(), 4);
    }
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0")];
    wait_until("the producer's trace is an exemplar", PATIENCE, || {
        let (_, text) = http::get_with(daemon.port(), "/metrics", &accept).ok()?;
        let exemplar = format!(" # {{trace_id=\"{TRACE}\"}} ");
        let of = |name: &str| {
            text.lines().any(|line| line.starts_with(name) && line.contains(&exemplar))
        };
        (of("ringback_delivery_latency_seconds") || of("ringback_attempt_duration_seconds"))
            .then_some(())
    });
    daemon.stop();
    stage.verify();
}

#[test]
fn an_invalid_traceparent_is_ignored_and_an_unsampled_one_is_passed_on_without_spans() {
    let (stage, collector) = traced("traces-flags");
    let mut daemon = stage.start();
    let record = |uuid: &str| [stage.record("flow-complete", &flow(uuid, &[]))];
    send_traced(&stage, &record("invalid"), &format!("00-{TRACE}-{SPAN}"), Some(STATE));
    stage.receiver.wait_for(1, PATIENCE);
    send_traced(&stage, &record("unsampled"), &format!("00-{TRACE}-{SPAN}-00"), Some(STATE));
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let [trace, _, _] = parent_of(&requests[0]);
    assert_eq!(requests[0].id(), format!("msg_{trace}"));
    assert_eq!(requests[0].header("tracestate"), "");
    let [trace, span, flags] = parent_of(&requests[1]);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    assert_ne!(span, SPAN);
    assert_eq!(requests[1].header("tracestate"), STATE);
    // The daemon exports all spans before it ends.
    daemon.stop();
    let spans = collector.spans();
    assert!(!spans.is_empty() && spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
}

#[test]
fn a_record_in_the_wrong_partition_and_one_that_is_ignored_keep_their_trace() {
    let (stage, collector) = traced("traces-forwarded");
    let mut daemon = stage.start();
    let one = stage.record("flow-complete", &flow("forwarded", &["s-1"]));
    // One of the two partitions does not own the uuid, and the second record is a duplicate of the first.
    let records = [0, 1].map(|partition| Record { partition: Some(partition), ..one.clone() });
    send_traced(&stage, &records, &sampled(), None);
    let requests = stage.receiver.wait_for(1, PATIENCE);
    let spans = collector.wait("the spans of both records", |spans| {
        spans.iter().filter(|span| span.name == "commit").count() == 2
            && spans.iter().any(|span| span.name.starts_with("POST"))
    });
    assert_eq!(parent_of(&requests[0])[0], TRACE);
    let records: Vec<&Span> = spans.iter().filter(|span| span.kind == 5).collect();
    assert_eq!(records.len(), 2, "{spans:#?}");
    assert!(records.iter().all(|span| span.trace == TRACE && span.parent == SPAN));
    let partitions: BTreeSet<&str> =
        records.iter().map(|span| span.attribute("messaging.destination.partition.id")).collect();
    assert_eq!(partitions.len(), 2);
    let reasons: Vec<&str> = spans
        .iter()
        .map(|span| span.attribute("ringback.reason"))
        .filter(|reason| !reason.is_empty())
        .collect();
    assert_eq!(reasons, ["duplicate"]);
    daemon.stop();
}

/// A record that is decided and not committed may be read again, by another instance.
#[test]
fn the_spans_of_a_record_leave_once_it_is_committed() {
    let (stage, collector) = traced("traces-committed");
    let mut daemon = stage.start();
    stage.send_flows(&[flow("first", &[])]);
    stage.wait_events("delivered", 1);
    let events = stage.topic("events");
    stage.kafka.alter_topic(&events, "max.message.bytes", "100");
    stage.send_flows(&[flow("second", &[])]);
    let errors = |kind| daemon.metric("ringback_transaction_errors_total", &[("kind", kind)]);
    wait_until("the commit fails and is tried again", PATIENCE, || {
        (["abortable", "fatal"].map(errors).into_iter().flatten().sum::<f64>() >= 2.0).then_some(())
    });
    let raised_ns = now_ms() * 1_000_000;
    stage.kafka.alter_topic(&events, "max.message.bytes", "1048588");
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let spans = wait_attempts(&collector, &requests);
    let record = check_chain(&stage, &spans, "flow-complete", &requests[1]);
    let commit = only(&spans, &record.trace, "commit");
    for span in [&record, commit] {
        assert!(u128::from(span.end_ns) > raised_ns, "{span:?} ended before {raised_ns}");
    }
    daemon.stop();
    stage.verify();
}

#[test]
fn a_record_that_can_not_be_read_has_a_span_with_its_error() {
    let (stage, collector) = traced("traces-bad");
    let mut daemon = stage.start();
    send_traced(&stage, &[stage.raw("flow-complete", "{\"hush\"")], &sampled(), None);
    let spans = collector.wait("the span of the record", |spans| !spans.is_empty());
    let record = only(&spans, TRACE, &format!("process {}", stage.topic("flow-complete")));
    assert!(record.is_error && record.parent == SPAN, "{record:?}");
    assert_eq!(only(&spans, TRACE, "decide").attribute("error.type"), "undecodable");
    daemon.stop();
}

#[test]
fn a_retry_after_a_kill_and_a_replay_belong_to_the_same_trace() {
    let (mut stage, collector) = traced("traces-retried");
    stage.set("delivery.attempts_max", 1000);
    let recovered = stage.fail_until_recovered(200);
    let mut daemon = stage.start();
    let own = stage.record("flow-complete", &flow("own", &[]));
    stage.kafka.produce(&[own]);
    let followed = stage.record("flow-complete", &flow("followed", &[]));
    send_traced(&stage, &[followed], &sampled(), Some(STATE));
    let attempts = |requests: &[Received], uuid: &str| {
        requests.iter().filter(|request| request.uuid() == uuid).count()
    };
    let requests = stage.receiver.wait("two attempts of each", PATIENCE, |requests| {
        ["own", "followed"].iter().all(|uuid| attempts(requests, uuid) >= 2)
    });
    wait_attempts(&collector, &requests[..2]);
    daemon.kill();
    let before = stage.receiver.count();
    let mut daemon = stage.start();
    let requests = stage.receiver.wait("later attempts", PATIENCE, |requests| {
        ["own", "followed"].iter().all(|uuid| attempts(&requests[before..], uuid) >= 1)
    });
    let spans = wait_attempts(&collector, &requests[before..]);
    let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in &requests {
        let [trace, span, _] = parent_of(request);
        assert_eq!(request.header("tracestate") == STATE, trace == TRACE);
        assert!(traces.entry(trace).or_default().insert(span), "each attempt has its span");
    }
    assert_eq!(traces.len(), 2, "{traces:?}");
    for trace in traces.keys() {
        let record = format!("process {}", stage.topic("flow-complete"));
        let record = only(&spans, trace, &record);
        let of_trace = spans.iter().filter(|span| span.trace == *trace && span.kind == 3);
        let attempts: Vec<&Span> = of_trace.collect();
        assert!(attempts.len() >= 2, "{attempts:#?}");
        for attempt in attempts {
            assert_eq!(attempt.parent, record.id);
            assert!(attempt.is_error);
            assert_eq!(attempt.attribute("error.type"), "503");
            let number: u32 = attempt.attribute("ringback.attempt").parse().expect("a number");
            let resent = attempt.attribute("http.request.resend_count").parse().unwrap_or(0);
            assert_eq!(number, resent + 1);
        }
    }
    recovered.store(true, Ordering::Relaxed);
    stage.wait_events("delivered", 2);
    daemon.stop();
    stage.verify();
}

#[test]
fn a_replayed_dead_letter_continues_the_producers_trace() {
    let (mut stage, collector) = traced("traces-replayed");
    stage.set("delivery.attempts_max", 1);
    let recovered = stage.fail_until_recovered(50);
    let mut daemon = stage.start();
    let record = stage.record("flow-complete", &flow("replayed", &[]));
    send_traced(&stage, &[record], &sampled(), Some(STATE));
    stage.dead_letters(1, PATIENCE);
    recovered.store(true, Ordering::Relaxed);
    stage.command(&["dead-letter", "replay", "--yes"]).succeeds();
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let spans = wait_attempts(&collector, &requests);
    for request in &requests {
        assert_eq!(parent_of(request)[0], TRACE);
        assert_eq!(request.header("tracestate"), STATE);
    }
    // The record was read once, and decided about twice.
    let record = only(&spans, TRACE, &format!("process {}", stage.topic("flow-complete")));
    let below = |name: &str| {
        spans.iter().filter(|span| span.name == name && span.parent == record.id).count()
    };
    assert_eq!((below("decide"), below(&format!("POST {WEBHOOK}"))), (2, 2), "{spans:#?}");
    daemon.stop();
    stage.verify();
}

#[test]
fn the_ratio_decides_which_traces_are_recorded_and_the_endpoint_learns_it() {
    const FLOWS: usize = 40;
    for (ratio, is_possible) in [
        (0.0, (|count| count == 0) as fn(usize) -> bool),
        (0.5, |count| (5..=35).contains(&count)),
        (1.0, |count| count == FLOWS),
    ] {
        let (mut stage, collector) = traced(&format!("traces-ratio-{}", ratio * 10.0));
        stage.set("traces.sample_ratio", ratio);
        let mut daemon = stage.start();
        let flows: Vec<_> = (0..FLOWS).map(|n| flow(&format!("ratio-{n}"), &[])).collect();
        stage.send_flows(&flows);
        let requests = stage.receiver.wait_for(FLOWS, PATIENCE);
        daemon.stop();
        let spans = collector.spans();
        let recorded: BTreeSet<&str> = spans.iter().map(|span| span.trace.as_str()).collect();
        assert!(is_possible(recorded.len()), "{ratio}: {}", recorded.len());
        for request in &requests {
            let [trace, _, flags] = parent_of(request);
            let is_recorded = recorded.contains(trace.as_str());
            assert_eq!(flags, if is_recorded { "01" } else { "00" }, "{trace}");
            let count = spans.iter().filter(|span| span.trace == trace).count();
            assert_eq!(count, if is_recorded { 4 } else { 0 }, "{trace}");
        }
    }
}

#[test]
fn spans_contain_no_secret_no_body_and_no_number_of_a_telephone() {
    let (mut stage, collector) = traced("traces-secrets");
    let url = stage.receiver.url("/hush-path/hooks?key=hush-query");
    stage.set_webhook("url", url);
    let auth: toml::Table =
        [("type", "basic"), ("username", "hush-user"), ("password", "hush-password")]
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect();
    stage.set_webhook("auth", auth);
    let key: toml::Table = [("env".to_owned(), "HUSH_KEY".into())].into_iter().collect();
    let headers: toml::Table = [("authorization".to_owned(), key.into())].into_iter().collect();
    stage.set("traces.headers", headers);
    stage.set_variable("HUSH_KEY", "Bearer hush-collector");
    stage.receiver.script(|_, nth| match nth {
        1 => Answer::status(500).body("hush-answer"),
        _ => Answer::status(200),
    });
    let mut daemon = stage.start();
    let record = flow("secret", &["s-1"]);
    let numbers: Vec<String> = record["callDetails"]
        .as_array()
        .expect("legs")
        .iter()
        .flat_map(|leg| [&leg["calleeNumber"], &leg["didNumber"]])
        .map(|number| number.as_str().expect("a number").to_owned())
        .collect();
    assert!(!numbers.is_empty());
    stage.send_flows(&[record]);
    let of_sms = report("secret", "s-1", "DELIVERED");
    let number = of_sms["to"].as_str().expect("a number").to_owned();
    stage.send_reports(&[of_sms]);
    let requests = stage.receiver.wait_for(4, PATIENCE);
    wait_attempts(&collector, &requests);
    daemon.stop();
    for request in collector.requests() {
        assert_eq!(request.header("authorization"), "Bearer hush-collector");
        let text = request.text();
        for secret in numbers.iter().chain([&number]).map(String::as_str).chain(["hush"]) {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    assert!(!daemon.logged().contains("hush-collector"));
    stage.verify();
}

#[test]
fn without_the_section_nothing_is_exported_and_a_producers_trace_does_not_count() {
    let (mut stage, collector) = (Stage::new("traces-off"), Collector::start());
    // The variables of OpenTelemetry's libraries have no effect.
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
        stage.set_variable(name, &collector.url());
    }
    let mut daemon = stage.start();
    let record = stage.record("flow-complete", &flow("off", &[]));
    send_traced(&stage, &[record], &sampled(), Some(STATE));
    let requests = stage.receiver.wait_for(1, PATIENCE);
    let [trace, span, flags] = parent_of(&requests[0]);
    assert_eq!((requests[0].id(), flags.as_str()), (format!("msg_{trace}").as_str(), "01"));
    assert!(span.ends_with("00000001"), "{span}");
    assert_eq!(requests[0].header("tracestate"), "");
    assert_eq!(daemon.metric(EXPORTED, &[]), Some(0.0));
    daemon.stop();
    assert_eq!(collector.requests().len(), 0);
    stage.verify();
}

#[test]
fn the_configuration_of_the_guide_exports_traces() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/guide/traces.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let written: toml::Table = toml::from_str(block.expect("a block")).expect("TOML");
    let (mut stage, collector) = (Stage::new("traces-guide"), Collector::start());
    for (key, value) in written["traces"].as_table().expect("a section").clone() {
        stage.set(&format!("traces.{key}"), value);
    }
    stage.set_variable("COLLECTOR_AUTHORIZATION", "Bearer hush");
    // The port of the guide may be in use here, and the first trace may not be one of the tenth.
    stage.set("traces.endpoint", collector.url());
    stage.set("traces.sample_ratio", 1.0);
    let mut daemon = stage.start();
    stage.send_flows(&[flow("guide", &[])]);
    let requests = stage.receiver.wait_for(1, PATIENCE);
    let spans = wait_attempts(&collector, &requests);
    // The names that the page describes.
    for span in &spans {
        let name = span.name.split(' ').next().unwrap_or_default();
        let described = if span.kind == 3 { "`METHOD WEBHOOK`" } else { name };
        assert!(page.contains(described), "{span:?}");
        for key in span.attributes.keys().filter(|key| key.starts_with("ringback.transaction")) {
            assert!(page.contains(&format!("`{key}`")), "{key}");
        }
    }
    daemon.stop();
    for (name, text) in [("spans can't be exported", FAILING), ("spans are exported again", AGAIN)]
    {
        assert!(page.contains(name) && text == name);
    }
}
