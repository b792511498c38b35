//! The queries of all panels, variables, recording rules and alerts, as Prometheus gets them.

use super::prometheus::{JOB, Prometheus};
use super::{DASHBOARDS, dashboard, generate};
use serde_json::Value;
use std::collections::BTreeSet;

/// An expression, and the place from which it comes. It needs data for one of the forms.
pub(super) struct Query {
    pub(super) place: String,
    pub(super) forms: Vec<String>,
}

/// Returns a dashboard's panels, without its rows.
pub(super) fn panels(dashboard: &Value) -> Vec<Value> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels.filter(|panel| panel["type"] != "row").cloned().collect()
}

/// Returns the expression with the values that an operator chooses: once for each webhook, if it has this variable.
fn forms(expr: &str, webhooks: &[&str]) -> Vec<String> {
    let chosen = expr.replace("$job", JOB).replace("$instance", ".+");
    let chosen = chosen.replace("$__rate_interval", "1m");
    if !chosen.contains("$webhook") {
        assert!(!chosen.contains('$'), "an unknown variable: {chosen}");
        return vec![chosen];
    }
    webhooks.iter().map(|webhook| chosen.replace("$webhook", webhook)).collect()
}

fn of_dashboard(name: &str, webhooks: &[&str]) -> Vec<Query> {
    let dashboard = dashboard(name);
    let mut queries = Vec::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        for target in panel["targets"].as_array().expect("targets") {
            let place = format!("{name}, panel {title:?}, query {}", target["refId"]);
            let expr = target["expr"].as_str().expect("an expression");
            queries.push(Query { place, forms: forms(expr, webhooks) });
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let place = format!("{name}, variable {}", variable["name"]);
        let Some(definition) = variable["definition"].as_str() else { continue };
        let parts = definition.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
        let (series, label) = parts.and_then(|it| it.rsplit_once(", ")).expect("label_values");
        let expr = format!("count by ({label}) ({series})");
        queries.push(Query { place, forms: forms(&expr, webhooks) });
    }
    queries
}

/// Returns the queries of everything, with these webhooks for the variable of the dashboard of one webhook.
pub(super) fn all(prometheus: &Prometheus, webhooks: &[&str]) -> Vec<Query> {
    let mut queries: Vec<Query> =
        DASHBOARDS.iter().flat_map(|name| of_dashboard(name, webhooks)).collect();
    let rules = prometheus.rules();
    for rule in rules.iter().filter(|rule| rule["type"] == "recording") {
        let name = rule["name"].as_str().expect("a name");
        queries.push(Query { place: format!("record {name}"), forms: vec![name.to_owned()] });
    }
    let signals: Vec<Value> = serde_json::from_str(&generate("--signals")).expect("JSON");
    let names = |of: &[Value], key: &str| -> BTreeSet<String> {
        of.iter().filter_map(|it| it[key].as_str().map(str::to_owned)).collect()
    };
    let alerts: Vec<Value> =
        rules.iter().filter(|rule| rule["type"] == "alerting").cloned().collect();
    assert_eq!(names(&signals, "alert"), names(&alerts, "name"), "each alert has a signal");
    queries.extend(signals.iter().map(|signal| Query {
        place: signal["where"].as_str().expect("a place").to_owned(),
        forms: vec![signal["expr"].as_str().expect("an expression").to_owned()],
    }));
    queries
}

/// Returns whether the query has a series with a number. Panics if Prometheus can't evaluate it.
pub(super) fn has_data(prometheus: &Prometheus, query: &Query) -> bool {
    query.forms.iter().any(|form| {
        let series = prometheus.query(form);
        let series = series.unwrap_or_else(|error| panic!("{}: {form}: {error}", query.place));
        series.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
    })
}
