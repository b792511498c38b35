//! OpenMetrics 1.0, as far as counters, gauges and histograms need it.

use super::exemplars::Exemplar;
use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::fmt::Write as _;
use std::time::Duration;

/// Returns the exposition of `families`. `exemplars` returns those of a histogram's buckets.
pub(super) fn encode(
    families: &[MetricFamily],
    exemplars: &dyn Fn(&str, &Metric) -> Vec<Option<Exemplar>>,
) -> String {
    let mut out = Exposition { text: String::new(), exemplars };
    for family in families {
        out.family(family);
    }
    out.text.push_str("# EOF\n");
    out.text
}

struct Exposition<'a> {
    text: String,
    exemplars: &'a dyn Fn(&str, &Metric) -> Vec<Option<Exemplar>>,
}

/// A sample beside its name and labels.
struct Sample<'a> {
    suffix: &'a str,
    /// The upper bound of a bucket.
    le: Option<&'a str>,
    value: f64,
    exemplar: Option<Exemplar>,
}

impl<'a> Sample<'a> {
    const fn new(suffix: &'a str, value: f64) -> Self {
        Self { suffix, le: None, value, exemplar: None }
    }

    const fn bucket(le: &'a str, value: f64, exemplar: Option<Exemplar>) -> Self {
        Self { suffix: "_bucket", le: Some(le), value, exemplar }
    }
}

impl Exposition<'_> {
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
                    let value = metric.get_counter().get_value();
                    self.sample(name, metric, Sample::new("_total", value));
                }
                MetricType::GAUGE => {
                    self.sample(name, metric, Sample::new("", metric.get_gauge().get_value()));
                }
                MetricType::HISTOGRAM => self.histogram(name, metric, metric.get_histogram()),
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric, histogram: &Histogram) {
        let mut exemplars = (self.exemplars)(name, metric).into_iter();
        for bucket in histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite()) {
            // The debug form is the canonical one: `1.0`, not `1`.
            let bound = format!("{:?}", bucket.upper_bound());
            let (count, exemplar) = (count(bucket.cumulative_count()), exemplars.next().flatten());
            self.sample(name, metric, Sample::bucket(&bound, count, exemplar));
        }
        let count = count(histogram.get_sample_count());
        self.sample(name, metric, Sample::bucket("+Inf", count, exemplars.next().flatten()));
        self.sample(name, metric, Sample::new("_count", count));
        self.sample(name, metric, Sample::new("_sum", histogram.get_sample_sum()));
    }

    fn sample(&mut self, name: &str, metric: &Metric, sample: Sample<'_>) {
        let Sample { suffix, le, value, exemplar } = sample;
        let labels = metric.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()));
        let labels: Vec<String> = labels
            .chain(le.map(|bound| ("le", bound)))
            .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
            .collect();
        let _ = if labels.is_empty() {
            write!(self.text, "{name}{suffix} {value}")
        } else {
            write!(self.text, "{name}{suffix}{{{}}} {value}", labels.join(","))
        };
        if let Some(Exemplar { trace, value, at }) = exemplar {
            let seconds =
                Duration::from_millis(u64::try_from(at.as_ms()).unwrap_or(0)).as_secs_f64();
            let _ = write!(self.text, " # {{trace_id=\"{trace:032x}\"}} {value} {seconds}");
        }
        self.text.push('\n');
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floats")]
fn count(count: u64) -> f64 {
    count as f64
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
