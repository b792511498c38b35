//! The Helm chart of `ops/helm`: each object that it renders is valid, and the daemon runs with what it renders.

mod pod;
mod values;

use crate::harness::child::{cache, run_dir};
use pod::{Pod, secrets};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the path of a file of `ops`.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops").join(name)
}

/// Runs the program that renders charts and checks objects. Returns its output, or its faults.
fn kubernetes(command: &str, files: &[PathBuf]) -> Result<String, String> {
    let program = cache().join("kubernetes/kubernetes");
    assert!(program.exists(), "{} is missing: run ops/local/setup.sh test", program.display());
    let output = Command::new(program).arg(command).args(files).output().expect("it runs");
    let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into());
    if output.status.success() { Ok(out) } else { Err(err) }
}

/// Writes a file for one test, and returns its path.
fn file(name: &str, text: &str) -> PathBuf {
    let directory = run_dir().join("helm");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join(name), text).expect("a file");
    directory.join(name)
}

/// Renders the chart with files of values.
fn rendered(values: &[PathBuf]) -> Result<Value, String> {
    let files = [&[path("helm/ringback")], values].concat();
    let text = kubernetes("template", &files)?;
    Ok(serde_json::from_str(&text).expect("JSON"))
}

/// Returns the objects of the chart with these values.
fn objects(values: &[PathBuf]) -> Vec<Value> {
    let rendered = rendered(values).unwrap_or_else(|fault| panic!("{values:?}: {fault}"));
    rendered["objects"].as_array().expect("objects").clone()
}

fn decoded(files: &[PathBuf]) -> Result<Vec<Value>, String> {
    let text = kubernetes("decode", files)?;
    Ok(serde_json::from_str(&text).expect("JSON"))
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("there is no {kind}"))
}

/// The chart's defaults, its examples, and values that switch everything on or to its alternative.
fn releases() -> Vec<Vec<PathBuf>> {
    let mut releases = vec![
        Vec::new(),
        vec![path("helm/examples/production.yaml")],
        vec![path("helm/examples/database.yaml")],
    ];
    let written = values::ALL.iter().map(|(name, text)| vec![file(name, text)]);
    releases.extend(written);
    releases
}

#[test]
fn each_object_is_one_of_kubernetes_and_the_linter_finds_nothing() {
    let mut kinds = std::collections::BTreeSet::new();
    for values in releases() {
        let files = [&[path("helm/ringback")], values.as_slice()].concat();
        kubernetes("lint", &files).unwrap_or_else(|faults| panic!("{values:?}: {faults}"));
        for object in objects(&values) {
            kinds.insert(object["kind"].as_str().expect("a kind").to_owned());
            let version = &object["metadata"]["labels"]["app.kubernetes.io/version"];
            assert_eq!(*version, env!("CARGO_PKG_VERSION"), "appVersion of Chart.yaml");
        }
    }
    let all = [
        "ConfigMap",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

/// Without this, a decoder that accepts everything would pass the other tests.
#[test]
fn misspelt_fields_wrong_types_and_unknown_kinds_are_refused() {
    let all = objects(&[path("helm/examples/production.yaml")]);
    let refused = |object: &Value, wanted: &str| {
        let path = file("wrong.yaml", &object.to_string());
        let fault = decoded(&[path]).expect_err(wanted);
        assert!(fault.contains(wanted), "{fault}");
    };
    for object in &all {
        let kind = object["kind"].as_str().expect("a kind");
        let place =
            if kind == "ConfigMap" || kind == "ServiceAccount" { "metadata" } else { "spec" };
        let mut wrong = object.clone();
        wrong[place]["lables"] = json!({});
        refused(&wrong, &format!("unknown field \"{place}.lables\""));
        let mut wrong = object.clone();
        wrong["metadata"]["labels"] = json!(["a"]);
        refused(&wrong, "cannot unmarshal array");
        let mut wrong = object.clone();
        wrong["kind"] = format!("{kind}s").into();
        refused(&wrong, &format!("no kind \"{kind}s\""));
    }
    let keda = decoded(&[path("helm/examples/keda.yaml")]).expect("good objects");
    let mut wrong = of_kind(&keda, "ScaledObject").clone();
    wrong["spec"]["maxReplicas"] = 6.into();
    refused(&wrong, "unknown field \"spec.maxReplicas\"");
    let twice = "apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { clusterIP: None, clusterIP: None }\n";
    let fault = decoded(&[file("wrong.yaml", twice)]).expect_err("a key that appears twice");
    assert!(fault.contains("already set"), "{fault}");
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    for (number, (wrong, wanted)) in values::WRONG.iter().enumerate() {
        let values = file(&format!("wrong-{number}.yaml"), wrong);
        let fault = rendered(&[values]).expect_err(wrong);
        assert!(fault.contains(wanted), "{wrong}: {fault}");
    }
}

/// The API server accepts most of these mistakes, and the pods then do not start, or nothing finds them.
#[test]
fn objects_refer_to_objects_and_ports_that_exist() {
    for values in releases() {
        let objects = objects(&values);
        let set = of_kind(&objects, "StatefulSet");
        let template = &set["spec"]["template"];
        pod::volumes_are_mounted(&set["spec"]);
        let container = &template["spec"]["containers"][0];
        let port = &container["ports"][0];
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], port["name"], "{probe}");
        }
        let service = of_kind(&objects, "Service");
        assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
        let of_pod = &template["metadata"]["labels"];
        pod::selects(&set["spec"]["selector"]["matchLabels"], of_pod);
        pod::selects(&service["spec"]["selector"], of_pod);
        for object in &objects {
            match object["kind"].as_str().expect("a kind") {
                "NetworkPolicy" => {
                    pod::selects(&object["spec"]["podSelector"]["matchLabels"], of_pod);
                    assert_eq!(object["spec"]["ingress"][0]["ports"][0]["port"], port["name"]);
                }
                "PodDisruptionBudget" => {
                    pod::selects(&object["spec"]["selector"]["matchLabels"], of_pod);
                }
                "ServiceMonitor" => {
                    let labels = &service["metadata"]["labels"];
                    pod::selects(&object["spec"]["selector"]["matchLabels"], labels);
                    let endpoint = &object["spec"]["endpoints"][0];
                    assert_eq!(endpoint["port"], service["spec"]["ports"][0]["name"]);
                    let token = pod::volume(&template["spec"], "token");
                    let secret = &endpoint["authorization"]["credentials"]["name"];
                    assert_eq!(*secret, token["secret"]["secretName"]);
                }
                "ServiceAccount" => {
                    assert_eq!(object["metadata"]["name"], template["spec"]["serviceAccountName"]);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn pods_have_no_rights_that_they_do_not_need() {
    let set = objects(&[]);
    let set = of_kind(&set, "StatefulSet");
    let pod = &set["spec"]["template"]["spec"];
    let user = json!({
        "runAsNonRoot": true, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(pod["securityContext"], user);
    let image = std::fs::read_to_string(path("container/Dockerfile")).expect("the image");
    assert!(image.contains("\nUSER 10001\n"), "the image runs as the same user");
    let container = &pod["containers"][0];
    let confined = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], confined);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false, "services would set RINGBACK_PORT");
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
    // The daemon stops within 9 s: see TimeoutStopSec of the systemd unit.
    assert!(pod["terminationGracePeriodSeconds"].as_u64() >= Some(15));
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path, "{probe}");
    }
}

/// An autoscaler sets the number of instances, so the chart must not.
#[test]
fn the_example_of_keda_scales_the_release_by_the_lag_of_its_inputs() {
    let keda = decoded(&[path("helm/examples/keda.yaml")]).expect("good objects");
    let scaled = &of_kind(&keda, "ScaledObject")["spec"];
    let objects = objects(&[path("helm/examples/database.yaml")]);
    let set = of_kind(&objects, "StatefulSet");
    assert_eq!(set["spec"].get("replicas"), None);
    let target = &scaled["scaleTargetRef"];
    assert_eq!(target["kind"], set["kind"]);
    assert_eq!(target["apiVersion"], set["apiVersion"]);
    assert_eq!(target["name"], set["metadata"]["name"]);
    let config = path("../config/ringback.toml");
    let config: toml::Table =
        std::fs::read_to_string(config).expect("a file").parse().expect("TOML");
    let triggers = scaled["triggers"].as_array().expect("triggers");
    for (trigger, key) in triggers.iter().zip(["flow_complete", "delivery_report"]) {
        let metadata = &trigger["metadata"];
        assert_eq!(metadata["topic"].as_str(), config["topics"][key].as_str());
        assert_eq!(metadata["consumerGroup"].as_str(), config["kafka"]["group_id"].as_str());
    }
    assert_eq!(triggers.len(), 2);
}

#[test]
fn the_rules_of_the_chart_are_those_of_the_monitoring() {
    let objects = objects(&[path("helm/examples/production.yaml")]);
    let rule = of_kind(&objects, "PrometheusRule");
    let monitoring = decoded(&[path("monitoring/prometheus-rule.yaml")]).expect("good objects");
    let wanted = of_kind(&monitoring, "PrometheusRule")["spec"].to_string();
    let wanted = wanted
        .replace("https://ringback.example/runbooks", "https://wiki.example.com/ringback/runbooks")
        .replace("https://grafana.example/", "https://grafana.example.com/");
    assert_eq!(rule["spec"].to_string(), wanted);
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
}

#[test]
fn the_binary_accepts_each_rendered_configuration() {
    for (number, values) in releases().into_iter().enumerate() {
        let objects = objects(&values);
        let root = run_dir().join(format!("helm-check-{number}"));
        let pod = Pod::assemble(&objects, &root, &secrets());
        let checked = pod.command(&["check"]);
        assert_eq!(checked.code, Some(0), "{values:?}: {checked:?}");
        let name = &of_kind(&objects, "StatefulSet")["metadata"]["name"];
        let name = format!("{}-0", name.as_str().expect("a name"));
        let id = pod.variable("RINGBACK__KAFKA__INSTANCE_ID");
        assert!(id == name || id == format!("eu-{name}"), "{id}");
    }
}

#[test]
fn an_instance_runs_as_the_chart_starts_it() {
    pod::runs_as_rendered();
}
