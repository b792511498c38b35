//! Dashboards, alerts and runbooks of `ops/monitoring`: they are complete, generated from their source, and valid.

mod load;
mod prometheus;
mod queries;

use crate::harness::child::cache;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The dashboards' names.
const DASHBOARDS: [&str; 3] = ["kafka-and-store", "overview", "webhook"];

/// The headings of each runbook, in their order.
const HEADINGS: [&str; 4] =
    ["## What it means", "## How to look", "## What to do", "## How to know that it is over"];

/// Returns the path of a file of `ops/monitoring`.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/monitoring").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("dashboards/{name}.json"))).expect("a dashboard is JSON")
}

/// Runs a program that checks files, and panics with its output unless it succeeds. Returns its output.
fn passes(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(status.success(), "{command:?} ended with {status}: {out}{err}");
    out
}

/// Runs the generator of the dashboards and rules.
fn generate(option: &str) -> String {
    passes(Command::new("/usr/bin/python3").arg(path("generate.py")).arg(option))
}

/// An alert of `rules/alerts.yaml`. Several have the same name, and differ in their labels.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Alert {
    name: String,
    severity: String,
    /// The long window of a burn rate, otherwise empty.
    long: String,
    runbook: String,
}

/// Returns the value of the first line `key: "value"` or `key: value`.
fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    let value = lines.into_iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    value.map(|value| value.trim_matches('"'))
}

/// Returns the alerts of the rules. The generator writes each member on a line of its own.
fn alerts() -> Vec<Alert> {
    let rules = read("rules/alerts.yaml");
    let blocks = rules.split("\n      - ").filter(|block| block.starts_with("alert: "));
    let of = |block: &str, key| member(block, key).unwrap_or_default().to_owned();
    let alerts = blocks.map(|block| Alert {
        name: of(block, "alert"),
        severity: of(block, "severity"),
        long: of(block, "long"),
        runbook: of(block, "runbook_url"),
    });
    alerts.collect()
}

#[test]
fn dashboards_and_rules_are_the_generated_ones() {
    generate("--check");
}

#[test]
fn the_rules_of_kubernetes_are_those_of_prometheus() {
    let indented: String = read("rules/alerts.yaml")
        .lines()
        .skip_while(|line| *line != "groups:")
        .map(|line| format!("  {line}\n"))
        .collect();
    let kubernetes = read("prometheus-rule.yaml");
    let (head, groups) = kubernetes.split_once("spec:\n").expect("an object of Kubernetes");
    assert_eq!(groups, indented);
    for member in ["apiVersion: \"monitoring.coreos.com/v1\"", "kind: \"PrometheusRule\""] {
        assert!(head.contains(member), "{member} is missing: {head}");
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    passes(
        Command::new("promtool")
            .args(["check", "rules", "--lint=all", "--lint-fatal"])
            .arg(path("rules/alerts.yaml")),
    );
    passes(Command::new("promtool").args(["test", "rules"]).arg(path("tests/alerts_test.yaml")));
}

/// A case that lists no alerts passes only if none fires, and one with annotations only if exactly this alert fires.
#[test]
fn every_alert_has_a_case_that_fires_and_one_that_does_not() {
    let tests = read("tests/alerts_test.yaml");
    let cases: Vec<&str> = tests.split("\n  - name: ").skip(1).collect();
    for alert in alerts() {
        let named = |verb: &str| format!("\"{} {verb} ", alert.name);
        let mine = |verb| cases.iter().filter(move |case| case.starts_with(&named(verb)));
        let fires = mine("fires").any(|case| {
            case.split("exp_labels:").skip(1).any(|labels| {
                let long = member(labels, "long").unwrap_or_default();
                member(labels, "severity") == Some(&alert.severity) && long == alert.long
            })
        });
        assert!(fires, "no case of alerts_test.yaml shows {alert:?} firing");
        let silent = mine("does not fire").any(|case| {
            member(case, "alertname") == Some(&alert.name) && case.contains("exp_alerts: []")
        });
        assert!(silent, "no case of alerts_test.yaml shows {alert:?} not firing");
    }
    for case in cases {
        let expects = !case.contains("exp_alerts: []");
        let verb = if expects { " fires " } else { " does not fire " };
        let name = case.lines().next().unwrap_or_default();
        assert!(name.contains(verb), "{name} is misnamed");
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = alerts();
    assert!(alerts.len() >= 15, "{alerts:?}");
    let files = std::fs::read_dir(path("runbooks")).expect("the runbooks").map_while(Result::ok);
    let there: BTreeSet<String> =
        files.filter_map(|file| file.file_name().into_string().ok()).collect();
    let wanted = alerts.iter().map(|alert| format!("{}.md", alert.name)).collect();
    assert_eq!(there, wanted);
    for alert in &alerts {
        assert!(["page", "ticket"].contains(&alert.severity.as_str()), "{alert:?}");
        let end = format!("/runbooks/{}.md", alert.name);
        assert!(
            alert.runbook.starts_with("https://") && alert.runbook.ends_with(&end),
            "{alert:?}"
        );
    }
    let readme = read("README.md");
    for name in &there {
        let text = read(&format!("runbooks/{name}"));
        let title = format!("# {}\n", name.trim_end_matches(".md"));
        assert!(text.starts_with(&title), "{name} does not begin with its title");
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{name}");
        let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
        let full = sections.iter().all(|section| section.lines().count() > 2);
        assert!(full, "{name} has an empty section");
        assert!(readme.contains(&format!("runbooks/{name}")), "README.md does not name {name}");
    }
}

/// A command with a misspelt option is no help at night.
#[test]
fn commands_of_runbooks_exist() {
    for alert in alerts() {
        let text = read(&format!("runbooks/{}.md", alert.name));
        for line in text.lines().filter(|line| line.starts_with("ringback ")) {
            let words: Vec<&str> = line.split_whitespace().skip(1).collect();
            let options = words.iter().filter(|word| word.starts_with("--"));
            let command = words.iter().take_while(|word| {
                word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
            });
            let mut command: Vec<&str> = command.copied().collect();
            command.push("--help");
            let help = loop {
                let done = crate::harness::daemon::command(&command);
                if done.code == Some(0) || command.len() <= 2 {
                    break done;
                }
                // The last word may be the name of a webhook.
                command.remove(command.len() - 2);
            };
            assert_eq!(help.code, Some(0), "{}: {line}: {help:?}", alert.name);
            for option in options {
                let name = option.split('=').next().unwrap_or_default();
                assert!(help.out.contains(name), "{}: {line}: no option {name}", alert.name);
            }
        }
    }
}

/// Descriptions, units, and links to the other dashboards and to runbooks that exist.
#[test]
fn panels_are_described_and_their_links_lead_somewhere() {
    let alerts: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert_eq!(dashboard["uid"], format!("ringback-{name}"));
        assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "{name}");
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        let variables: Vec<&str> = variables.iter().filter_map(|it| it["name"].as_str()).collect();
        let own: &[&str] = if name == "webhook" { &["webhook"] } else { &[] };
        assert_eq!(variables, [&["datasource", "job", "instance"], own].concat(), "{name}");
        let mut titles = BTreeSet::new();
        for panel in queries::panels(&dashboard) {
            let title = panel["title"].as_str().expect("a title").to_owned();
            let described = panel["description"].as_str().is_some_and(|text| text.ends_with('.'));
            assert!(described, "{name}: {title} has no description");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}: {title}");
            for link in panel["links"].as_array().expect("links") {
                let url = link["url"].as_str().expect("a URL");
                let runbook = url.rsplit('/').next().and_then(|file| file.strip_suffix(".md"));
                assert!(runbook.is_some_and(|it| alerts.contains(it)), "{name}: {title}: {url}");
            }
            assert!(titles.insert(title.clone()), "{name} has {title} twice");
        }
    }
}

/// Grafana publishes its schema as the types of its foundation SDK. `ops/local/dashboards` decodes with them.
#[test]
fn dashboards_follow_the_schema_of_grafana() {
    let program = cache().join("dashboards/dashboards");
    assert!(program.exists(), "{} is missing: run ops/local/setup.sh test", program.display());
    let files = DASHBOARDS.map(|name| path(&format!("dashboards/{name}.json")));
    passes(Command::new(program).args(files));
}

/// Returns the titles of all panels.
fn titles() -> BTreeSet<String> {
    let panels = DASHBOARDS.iter().flat_map(|name| queries::panels(&dashboard(name)));
    panels.filter_map(|panel| panel["title"].as_str().map(str::to_owned)).collect()
}

/// Returns the words in italics, which name panels, without the text of blocks and code.
fn panels_named(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<Vec<_>>().join(" ");
    let prose = prose.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let prose = prose.split("**").step_by(2).collect::<Vec<_>>().join(" ");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    prose.split('*').skip(1).step_by(2).map(words).collect()
}

#[test]
fn panels_that_runbooks_name_exist() {
    let titles = titles();
    let mut named = 0;
    for alert in alerts() {
        for panel in panels_named(&read(&format!("runbooks/{}.md", alert.name))) {
            assert!(titles.contains(&panel), "{}: there is no panel {panel}", alert.name);
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

/// The README has the questions of operators, each with the panel and the alert that answers it.
#[test]
fn questions_of_the_readme_have_panels_and_alerts() {
    let readme = read("README.md");
    let table = readme.split("\n## ").find(|section| section.starts_with("Questions"));
    let rows = table.expect("the questions").lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows.skip(1).collect();
    assert!(rows.len() >= 7, "{rows:?}");
    let titles = titles();
    for row in rows {
        let panels = panels_named(row);
        assert!(!panels.is_empty(), "{row} names no panel");
        for panel in panels {
            assert!(titles.contains(&panel), "there is no panel {panel}");
        }
    }
}
