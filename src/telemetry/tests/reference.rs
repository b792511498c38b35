//! The metrics reference of the guide, generated from the definitions: `UPDATE_GUIDE=1 cargo test --release --lib
//! telemetry::`
//! writes it again.

use super::{now, outcome, trace, webhook};
use crate::domain::{ErrorReason, Phase};
use crate::telemetry::{Definition, Exposition as _, Format, MetricKind, Metrics, SinkMetrics};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const PAGE: &str = "ops/guide/metrics.md";

const INTRODUCTION: &str = "\
# Metrics reference

Every metric on `/metrics`, in Prometheus' text format or as OpenMetrics. This page is generated from
[`src/telemetry/definitions.rs`](../../src/telemetry/definitions.rs). [Operating](operating.md#metrics-and-alerts) says which to watch,
and [Monitoring](../monitoring/README.md) has dashboards and alerts.

Metrics with a closed set of label values show all of them from the start, with 0, except those of single webhooks: their
outcomes, and the dead letters of a webhook with a series of its own, appear as they occur. Values of `topic`, `partition`, `webhook`
and `file` appear as they occur.
";

const SINK: &str = "\
The [sink](sink.md) has these metrics, `ringback_build_info`, `ringback_ready`, `ringback_consumer_lag` (of the events),
`ringback_clock_jumps_total`, `ringback_log_lines_lost_total` and those of the process.

";

/// Labels whose values are not a closed set.
const OPEN: [&str; 9] = [
    "topic",
    "partition",
    "endpoint",
    "webhook",
    "version",
    "commit",
    "instance_id",
    "group_id",
    "file",
];

/// Returns the metrics of the daemon and of the sink.
fn all_definitions() -> impl Iterator<Item = &'static Definition> {
    Definition::ALL.iter().chain(Definition::SINK)
}

/// Returns the values of each label of each metric in a daemon that has just started.
fn label_values(rendered: &str) -> BTreeMap<(&str, &str), BTreeSet<&str>> {
    let mut all: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for line in rendered.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .filter(|name| all_definitions().any(|it| it.name == *name))
            .unwrap_or(name);
        let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
        for pair in labels.split(',') {
            let (label, value) = pair.split_once('=').unwrap();
            all.entry((name, label)).or_default().insert(value.trim_matches('"'));
        }
    }
    all
}

/// Returns the unit, which is the last word of the name before `total`.
fn unit(name: &str) -> &'static str {
    match name.trim_end_matches("_total").rsplit('_').next() {
        Some("seconds") => "seconds",
        Some("bytes") => "bytes",
        Some(_) | None => "–",
    }
}

fn labels(definition: &Definition, values: &BTreeMap<(&str, &str), BTreeSet<&str>>) -> String {
    let shown = |label: &&str| {
        let values = values.get(&(definition.name, *label)).filter(|_| !OPEN.contains(label));
        let values: Vec<String> = values
            .into_iter()
            .flatten()
            .filter(|it| !it.is_empty())
            .map(|it| format!("`{it}`"))
            .collect();
        if values.is_empty() {
            format!("`{label}`")
        } else {
            format!("`{label}`: {}", values.join(", "))
        }
    };
    let all: Vec<String> = definition.labels.iter().map(shown).collect();
    if all.is_empty() { "–".to_owned() } else { all.join("; ") }
}

/// Writes a table of metrics. `rendered` has all their label values.
fn table(out: &mut String, definitions: &[Definition], rendered: &str) {
    let values = label_values(rendered);
    out.push_str("| Metric | Type | Labels | Unit | Meaning |\n|---|---|---|---|---|\n");
    for definition in definitions {
        let kind = match definition.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let (name, help) = (definition.name, definition.help);
        let labels = labels(definition, &values);
        let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {} | {help} |", unit(name));
    }
}

fn page() -> String {
    let metrics = Metrics::new(&["flow-complete".to_owned()]);
    for reason in ErrorReason::ALL {
        let of = (&webhook("crm"), Phase::One);
        metrics.attempt(of, (trace(1), 1), &outcome(Some(reason), 1), now());
    }
    let rendered = metrics.render(Format::Text, now());
    let mut out = INTRODUCTION.to_owned();
    out.push_str("\n## Ringback\n\n");
    table(&mut out, Definition::ALL, &rendered);
    out.push_str("\n## The sink\n\n");
    out.push_str(SINK);
    let of_sink = SinkMetrics::new("", "").render(Format::Text, now());
    table(&mut out, Definition::SINK, &of_sink);
    out.push_str(
        "\n## Buckets of the histograms\n\n| Metric | Upper bounds, in seconds or records |\n|---|---|\n",
    );
    for definition in all_definitions().filter(|it| it.kind == MetricKind::Histogram) {
        let bounds: Vec<String> = definition.buckets.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "| `{}` | {} |", definition.name, bounds.join(", "));
    }
    out.push_str("\n## The process\n\n| Metric | Type | Unit | Meaning |\n|---|---|---|---|\n");
    let of = |name: &str, what: &str| {
        let start = format!("# {what} {name} ");
        rendered.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
    };
    let names = rendered.lines().filter_map(|line| line.strip_prefix("# HELP process_"));
    for name in names.filter_map(|rest| rest.split(' ').next()) {
        let name = format!("process_{name}");
        let (kind, help) = (of(&name, "TYPE"), of(&name, "HELP"));
        let _ = writeln!(out, "| `{name}` | {kind} | {} | {help} |", unit(&name));
    }
    out
}

#[test]
fn the_metrics_reference_is_the_generated_one() {
    let (path, generated) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), page());
    if std::env::var_os("UPDATE_GUIDE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{PAGE} is not what the definitions generate: run \
         `UPDATE_GUIDE=1 cargo test --release --lib telemetry::` and commit it"
    );
}

#[test]
fn the_reference_names_labels_with_their_values_and_units() {
    let page = page();
    for part in [
        "| `ringback_dead_letters_total` | counter | `kind`: `delivery`, `record`; `reason`: `age_exceeded`,",
        "| `ringback_consumer_lag_seconds` | gauge | `topic`; `partition` | seconds |",
        "| `ringback_store_bytes` | gauge | – | bytes |",
        "| `ringback_attempt_duration_seconds` | 0.005, 0.01,",
        "| `process_cpu_seconds_total` | counter | seconds |",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}
