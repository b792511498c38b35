//! OpenMetrics 1.0, as far as counters, gauges and histograms need it.

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::fmt::Write as _;

/// Returns the exposition of `families`.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut out = Exposition(String::new());
    for family in families {
        out.family(family);
    }
    out.0.push_str("# EOF\n");
    out.0
}

struct Exposition(String);

impl Exposition {
    fn family(&mut self, family: &MetricFamily) {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            // The daemon has no such metric. A missing metric would be better than one that a scraper reads wrongly.
            MetricType::SUMMARY | MetricType::UNTYPED => return,
        };
        let full = family.name();
        // The name of a counter's family lacks the suffix of its samples.
        let name =
            if kind == "counter" { full.strip_suffix("_total").unwrap_or(full) } else { full };
        self.line(format_args!("# TYPE {name} {kind}"));
        for unit in ["seconds", "bytes"] {
            if name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')) {
                self.line(format_args!("# UNIT {name} {unit}"));
            }
        }
        self.line(format_args!("# HELP {name} {}", escape(family.help())));
        for metric in family.get_metric() {
            match family.get_field_type() {
                MetricType::COUNTER => {
                    self.sample(name, "_total", metric, None, metric.get_counter().get_value());
                }
                MetricType::GAUGE => {
                    self.sample(name, "", metric, None, metric.get_gauge().get_value());
                }
                MetricType::HISTOGRAM => self.histogram(name, metric, metric.get_histogram()),
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric, histogram: &Histogram) {
        for bucket in histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite()) {
            // The debug form is the canonical one: `1.0`, not `1`.
            let bound = format!("{:?}", bucket.upper_bound());
            let count = count(bucket.cumulative_count());
            self.sample(name, "_bucket", metric, Some(&bound), count);
        }
        let count = count(histogram.get_sample_count());
        self.sample(name, "_bucket", metric, Some("+Inf"), count);
        self.sample(name, "_count", metric, None, count);
        self.sample(name, "_sum", metric, None, histogram.get_sample_sum());
    }

    fn sample(&mut self, name: &str, suffix: &str, metric: &Metric, le: Option<&str>, value: f64) {
        let labels = metric.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()));
        let labels: Vec<String> = labels
            .chain(le.map(|bound| ("le", bound)))
            .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
            .collect();
        if labels.is_empty() {
            self.line(format_args!("{name}{suffix} {value}"));
        } else {
            self.line(format_args!("{name}{suffix}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floats")]
fn count(count: u64) -> f64 {
    count as f64
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
