//! `ops/compose`: Docker can't run in the tests, so the file is read by the library of `docker compose`, and all that it names
//! is checked.

use crate::harness::child::{cache, run_dir};
use crate::harness::daemon::command_with;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/compose")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).expect(name)
}

/// Returns the project, with short forms resolved. The library checks it by the schema of the Compose Specification.
fn parsed(file: &Path) -> Result<Value, String> {
    let program = cache().join("compose/compose");
    assert!(program.exists(), "{} is missing: run ops/local/setup.sh test", program.display());
    let output = Command::new(program).arg(file).output().expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(error);
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn project() -> Value {
    parsed(&directory().join("compose.yaml")).expect("the file is valid")
}

fn services(project: &Value) -> Vec<(&String, &Value)> {
    project["services"].as_object().expect("services").iter().collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns where a service mounts this file or directory of the repository.
fn mounted<'a>(project: &'a Value, service: &str, path: &str) -> Option<&'a str> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let volumes = list(&project["services"][service], "volumes");
    let volume = volumes.iter().find(|it| Path::new(text(&it["source"])) == root.join(path));
    volume.map(|volume| text(&volume["target"]))
}

#[test]
fn an_unknown_key_is_refused() {
    let file = run_dir().join("compose-wrong.yaml");
    let wrong =
        read("compose.yaml").replace("    stop_grace_period: 15s\n", "    stop_grace: 15s\n");
    std::fs::write(&file, wrong).expect("a file");
    let refused = parsed(&file).expect_err("it is not valid");
    assert!(refused.contains("stop_grace"), "{refused}");
}

#[test]
fn all_that_is_mounted_and_built_exists() {
    let project = project();
    for (name, service) in services(&project) {
        let volumes = list(service, "volumes").iter().filter(|it| it["type"] == "bind");
        for source in volumes.map(|it| text(&it["source"])) {
            assert!(Path::new(source).exists(), "{name}: {source}");
        }
        if let Some(build) = service.get("build") {
            let file = Path::new(text(&build["context"])).join(text(&build["dockerfile"]));
            assert!(file.exists(), "{name}: {}", file.display());
        }
        let image = text(&service["image"]);
        let (_, tag) = image.split_once(':').unwrap_or((image, ""));
        assert!(image == "ringback" || !tag.is_empty() && tag != "latest", "{name}: {image}");
    }
    let built = services(&project).into_iter().filter(|(_, it)| it.get("build").is_some());
    assert_eq!(built.count(), 1, "the image is built once");
    let token = text(&project["configs"]["token"]["file"]);
    assert!(Path::new(token).exists(), "{token}");
}

#[test]
fn ports_are_on_loopback_and_do_not_collide() {
    let project = project();
    let mut ports = BTreeSet::new();
    for (name, service) in services(&project) {
        for port in list(service, "ports") {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
            let published = text(&port["published"]).to_owned();
            assert!(ports.insert(published.clone()), "{name}: {published}");
            assert!(read("README.md").contains(&format!("localhost:{published}")), "{published}");
        }
    }
    assert_eq!(ports.into_iter().collect::<Vec<_>>(), ["3000", "9090", "9092", "9464"]);
}

/// Runs the command that the service `init` runs, and then `check` with the environment of the daemon.
#[test]
fn the_daemon_accepts_its_environment_and_the_configuration_that_init_writes() {
    let project = project();
    let init = &project["services"]["init"];
    let line = text(&init["command"][0]).rsplit_once("exec ringback ").expect("a command").1;
    let to = run_dir().join("compose-configuration");
    let to = to.to_str().expect("UTF-8");
    let arguments: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(arguments[..2], ["init", "/etc/ringback"]);
    let arguments = [&["init", to], &arguments[2..]].concat();
    let none = || std::iter::empty::<(&str, &str)>();
    let done = command_with(&arguments, none());
    assert_eq!(done.code, Some(0), "{done:?}");
    let kafka = text(&project["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]);
    assert!(kafka.contains("INSIDE://kafka:19092,") && line.contains("--kafka kafka:19092 "));

    let service = &project["services"]["ringback"];
    let token = &list(service, "configs")[0];
    let source = text(&project["configs"][text(&token["source"])]["file"]);
    let variables = service["environment"].as_object().expect("variables");
    let variables: BTreeMap<&str, &str> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), text(value)))
        .map(|(name, value)| (name, if value == text(&token["target"]) { source } else { value }))
        .collect();
    assert!(
        variables.values().any(|value| *value == source),
        "the token is mounted: {variables:?}"
    );
    let config = format!("{to}/ringback.toml");
    let check = ["check", "--config", &config];
    let done = command_with(&check, variables.clone().into_iter());
    assert_eq!(done.code, Some(0), "{done:?}");
    let unknown = variables.into_iter().chain([("RINGBACK__HTTP__LISTENS", "x")]);
    assert_eq!(command_with(&check, unknown).code, Some(78), "a key that does not exist");
    assert_eq!(service["ports"][0]["target"], 9464, "the port of http.listen");
    for one_shot in ["topics", "sample"] {
        let words = list(&project["services"][one_shot], "command").iter().map(text);
        let words = words.chain(["--help"]).collect::<Vec<_>>();
        assert_eq!(command_with(&words, none()).code, Some(0), "{words:?}");
    }
}

#[test]
fn prometheus_and_grafana_find_what_is_mounted() {
    let project = project();
    let prometheus = read("prometheus.yml");
    let rules = mounted(&project, "prometheus", "ops/monitoring/rules/alerts.yaml");
    let rules = rules.expect("the rules are mounted");
    assert!(prometheus.contains(&format!("rule_files: [{rules}]")), "{prometheus}");
    let token = text(&list(&project["services"]["prometheus"], "configs")[0]["target"]);
    assert!(prometheus.contains(&format!("credentials_file: {token} ")), "{prometheus}");
    assert!(prometheus.contains("[\"ringback:9464\"]"), "{prometheus}");
    let target = mounted(&project, "prometheus", "ops/compose/prometheus.yml");
    assert_eq!(target, Some("/etc/prometheus/prometheus.yml"));
    // With the paths of this machine, Prometheus accepts the file.
    let root = env!("CARGO_MANIFEST_DIR");
    let here = prometheus
        .replace(rules, &format!("{root}/ops/monitoring/rules/alerts.yaml"))
        .replace(token, &format!("{root}/ops/compose/token"));
    let file = run_dir().join("compose-prometheus.yml");
    std::fs::write(&file, here).expect("a file");
    let checked = Command::new("promtool").args(["check", "config"]).arg(&file).output();
    let checked = checked.expect("promtool is installed");
    assert!(checked.status.success(), "{checked:?}");

    let dashboards = mounted(&project, "grafana", "ops/monitoring/dashboards");
    let dashboards = dashboards.expect("the dashboards are mounted");
    assert!(read("grafana/dashboards.yaml").contains(&format!("path: {dashboards}\n")));
    let grafana = &project["services"]["grafana"]["environment"];
    let home = text(&grafana["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]);
    assert_eq!(home, format!("{dashboards}/overview.json"));
    for kind in ["dashboards", "datasources"] {
        let target = mounted(&project, "grafana", &format!("ops/compose/grafana/{kind}.yaml"));
        let wanted = format!("/etc/grafana/provisioning/{kind}/ringback.yaml");
        assert_eq!(target, Some(wanted.as_str()));
    }
    assert!(read("grafana/datasources.yaml").contains("url: http://prometheus:9090\n"));
}
