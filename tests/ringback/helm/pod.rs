//! A pod of the chart, as the kubelet would assemble it: mounted files, and variables of the environment.

use super::{decoded, file, objects, of_kind, path};
use crate::harness::PATIENCE;
use crate::harness::child::{free_port, mortal, run_dir, signal, spawn};
use crate::harness::daemon::{Done, binary, command_with};
use crate::harness::samples::flow;
use crate::harness::stage::{Stage, TOPICS};
use crate::harness::{broker, http, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Secrets, each with its keys and their texts.
type Secrets = BTreeMap<String, BTreeMap<String, String>>;

/// Returns the Secrets of the examples with texts that the daemon accepts.
pub(super) fn secrets() -> Secrets {
    let objects = decoded(&[path("helm/examples/secrets.yaml")]).expect("good objects");
    let real = |key: &str| match key {
        "crm" => "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz".to_owned(),
        "url" => "mysql://ringback:hush@127.0.0.1:3306/platform".to_owned(),
        "ca.pem" => {
            let names = vec!["kafka.example.com".to_owned()];
            rcgen::generate_simple_self_signed(names).expect("a certificate").cert.pem()
        }
        _ => "hush-hush-hush-hush-hush".to_owned(),
    };
    let of_object = |object: &Value| {
        let keys = object["stringData"].as_object().expect("keys");
        let keys = keys.keys().map(|key| (key.clone(), real(key)));
        (object["metadata"]["name"].as_str().expect("a name").to_owned(), keys.collect())
    };
    objects.iter().map(of_object).collect()
}

/// Panics unless a selector has labels, and an object has all of them.
pub(super) fn selects(selector: &Value, labels: &Value) {
    let wanted = selector.as_object().expect("labels");
    assert!(!wanted.is_empty());
    for (name, value) in wanted {
        assert_eq!(labels[name], *value, "{name}");
    }
}

/// Returns the volume with this name.
pub(super) fn volume<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let volumes = pod["volumes"].as_array().expect("volumes");
    let found = volumes.iter().find(|volume| volume["name"] == name);
    found.unwrap_or_else(|| panic!("there is no volume {name}"))
}

/// Panics unless each mount of a StatefulSet's pod has a volume, each volume a mount, and no mount is in another one: the
/// container runtime can't create a directory in a read-only mount.
pub(super) fn volumes_are_mounted(set: &Value) {
    let container = &set["template"]["spec"]["containers"][0];
    let claims = set["volumeClaimTemplates"].as_array().into_iter().flatten();
    let claims = claims.map(|claim| &claim["metadata"]["name"]);
    let volumes = set["template"]["spec"]["volumes"].as_array().expect("volumes");
    let mut names: Vec<&Value> = volumes.iter().map(|it| &it["name"]).chain(claims).collect();
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let mut mounted: Vec<&Value> = mounts.iter().map(|mount| &mount["name"]).collect();
    names.sort_by_key(|name| name.to_string());
    mounted.sort_by_key(|name| name.to_string());
    assert_eq!(names, mounted);
    let paths = mounts.iter().map(|mount| Path::new(mount["mountPath"].as_str().expect("a path")));
    let paths: Vec<&Path> = paths.collect();
    for path in &paths {
        let within = paths.iter().find(|other| *other != path && path.starts_with(other));
        assert_eq!(within, None, "{}", path.display());
    }
}

/// The container of an instance, with its files below a directory of the test.
pub(super) struct Pod {
    root: PathBuf,
    variables: Vec<(String, String)>,
}

impl Pod {
    /// Writes the files of the first instance and computes its variables.
    pub(super) fn assemble(objects: &[Value], root: &Path, secrets: &Secrets) -> Self {
        let set = of_kind(objects, "StatefulSet");
        let spec = &set["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let mut pod = Self { root: root.to_owned(), variables: Vec::new() };
        for mount in container["volumeMounts"].as_array().expect("mounts") {
            let name = mount["name"].as_str().expect("a name");
            if name == "tmp" {
                continue;
            }
            let directory = pod.real(mount["mountPath"].as_str().expect("a path"));
            std::fs::create_dir_all(&directory).expect("a directory");
            if name == "store" {
                continue;
            }
            let volume = volume(spec, name);
            let files = match volume["secret"]["secretName"].as_str() {
                Some(secret) => secrets.get(secret).expect("an example has the Secret").clone(),
                None => data(objects, volume["configMap"]["name"].as_str().expect("a ConfigMap")),
            };
            let mode = volume["secret"]["defaultMode"].as_u64().unwrap_or(0o644);
            pod.mount(Path::new(&directory), &files, u32::try_from(mode).expect("a mode"));
        }
        let name = format!("{}-0", set["metadata"]["name"].as_str().expect("a name"));
        for variable in container["env"].as_array().expect("variables") {
            let value = match (&variable["value"], &variable["valueFrom"]) {
                (Value::String(value), _) => pod.expanded(value),
                (_, from) if from["fieldRef"]["fieldPath"] == "metadata.name" => name.clone(),
                (_, from) => {
                    let key = |key: &str| from["secretKeyRef"][key].as_str().expect("a Secret");
                    secrets[key("name")][key("key")].clone()
                }
            };
            let variable = variable["name"].as_str().expect("a name");
            pod.variables.push((variable.to_owned(), value));
        }
        pod
    }

    /// Returns a text in which the directories of the container are those of the test.
    fn real(&self, text: &str) -> String {
        let root = self.root.display();
        let moved = ["/etc/ringback", "/var/lib/ringback"].iter();
        moved.fold(text.to_owned(), |text, directory| match text.strip_prefix(directory) {
            Some(rest) => format!("{root}{directory}{rest}"),
            None => text.replace(&format!("\"{directory}"), &format!("\"{root}{directory}")),
        })
    }

    /// Replaces `$(NAME)` with the value of an earlier variable.
    fn expanded(&self, value: &str) -> String {
        let replaced = self.variables.iter().fold(value.to_owned(), |text, (name, value)| {
            text.replace(&format!("$({name})"), value)
        });
        self.real(&replaced)
    }

    /// Writes files as the kubelet does: links to files behind a link to a directory, which it replaces at each change.
    fn mount(&self, directory: &Path, files: &BTreeMap<String, String>, mode: u32) {
        let version = "..2026_01_02";
        std::fs::create_dir(directory.join(version)).expect("a directory");
        symlink(version, directory.join("..data")).expect("a link");
        for (name, text) in files {
            let text = self.real(text);
            let file = directory.join(version).join(name);
            std::fs::write(&file, text).expect("a file");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, mode).expect("its mode");
            symlink(format!("..data/{name}"), directory.join(name)).expect("a link");
        }
    }

    /// Returns the value of a variable.
    pub(super) fn variable(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(its, _)| its == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{name} is not set"))
    }

    /// Runs a command in the container.
    pub(super) fn command(&self, arguments: &[&str]) -> Done {
        let variables = self.variables.iter();
        command_with(arguments, variables.map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// Returns the files of a ConfigMap.
fn data(objects: &[Value], name: &str) -> BTreeMap<String, String> {
    let is_it = |it: &&Value| it["kind"] == "ConfigMap" && it["metadata"]["name"] == name;
    let map = objects.iter().find(is_it).unwrap_or_else(|| panic!("there is no ConfigMap {name}"));
    serde_json::from_value(map["data"].clone()).expect("texts")
}

/// Returns values for a stage: the daemon delivers to its receiver from its topics.
fn values_of(stage: &Stage, port: u16) -> PathBuf {
    let topics = TOPICS.map(|(key, kind)| format!("      {key} = \"{}\"\n", stage.topic(kind)));
    let text = format!(
        "http: {{ address: 127.0.0.1, port: {port} }}
config:
  text: |
      [kafka]
      bootstrap_servers = \"{}\"
      group_id = \"{}\"
      [delivery]
      allow_addresses = [\"127.0.0.0/8\"]
      [topics]
{}accounts:
  files:
    crm.toml: |
      [[account]]
      id = {}
      http_enabled = true
      [[webhook]]
      name = \"crm\"
      account = {}
      default = true
      url = \"{}\"
",
        stage.kafka.bootstrap(),
        stage.group(),
        topics.concat(),
        crate::harness::samples::ACCOUNT,
        crate::harness::samples::ACCOUNT,
        stage.receiver.url("/hooks"),
    );
    file("runs.yaml", &text)
}

/// Starts the daemon with the files, variables and arguments of the chart, and asks it as the probes do.
pub(super) fn runs_as_rendered() {
    let stage = Stage::without_topics(broker::shared(), "helm-runs");
    let inputs = ["flow-complete", "sms-delivery-report"].map(|kind| stage.topic(kind));
    stage.kafka.create_topics(&inputs.each_ref().map(|name| (name.as_str(), 1, &[][..])));
    let port = free_port();
    let objects = objects(&[values_of(&stage, port)]);
    let pod = Pod::assemble(&objects, &run_dir().join("helm-runs-pod"), &secrets());
    let set = of_kind(&objects, "StatefulSet");
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    let mut daemon = mortal(binary());
    for argument in container["args"].as_array().expect("arguments") {
        daemon.arg(argument.as_str().expect("text"));
    }
    let log = std::fs::File::create(pod.root.join("log")).expect("a log");
    daemon.envs(pod.variables.iter().cloned()).stderr(log);
    let mut daemon = spawn(daemon);
    let container_port = container["ports"][0]["containerPort"].as_u64().expect("a port");
    let container_port = u16::try_from(container_port).expect("a port");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().expect("a path");
        wait_until(&format!("{probe} succeeds"), PATIENCE, || {
            http::get(container_port, path).is_ok_and(|(status, _)| status == 200).then_some(())
        });
    }
    stage.send_flows(&[flow("u-1", &[])]);
    stage.receiver.wait_for(1, PATIENCE);
    let status =
        |headers: &[(&str, &str)]| http::get_with(port, "/metrics", headers).expect("an answer").0;
    let token = &secrets()["ringback"]["token"];
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&[("authorization", &format!("Bearer {token}"))]), 200);
    let checked = pod.command(&["check", "--online"]);
    assert!(checked.code == Some(0) && !checked.err.contains("warning"), "{checked:?}");
    let store = pod.root.join("var/lib/ringback/store");
    assert!(store.join("CURRENT").exists(), "the store is on the volume");
    signal(&daemon, "TERM");
    let grace = set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
    let grace = std::time::Duration::from_secs(grace.expect("seconds"));
    let ended =
        wait_until("the daemon has drained", grace, || daemon.try_wait().expect("a process"));
    assert_eq!(ended.code(), Some(0));
}
