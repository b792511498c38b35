//! Features that operators rely on: the choice of the configuration file, the permissions of secret files, the checks
//! that `check` makes of the machine, and the readiness of a standby.

use crate::harness::child::{mortal, run_dir};
use crate::harness::daemon::{Daemon, EX_CONFIG, binary, command};
use crate::harness::samples::Random;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, invariants, wait_until};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn directory(name: &str) -> PathBuf {
    let directory = run_dir().join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

/// Returns the output of `ringback check` in this working directory.
fn check(directory: &Path, named: Option<&Path>, arguments: &[&str]) -> String {
    let mut command = mortal(binary());
    command.arg("check").args(arguments).current_dir(directory).env_remove("RINGBACK_CONFIG");
    if let Some(named) = named {
        command.env("RINGBACK_CONFIG", named);
    }
    let output = command.output().expect("the binary runs");
    String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
}

#[test]
fn the_configuration_file_is_the_option_or_the_variable_or_the_first_default_that_exists() {
    let here = directory("operators-config");
    let files = ["given.toml", "named.toml", "config/ringback.toml"].map(|name| here.join(name));
    std::fs::create_dir_all(here.join("config")).expect("a directory");
    for file in &files {
        // The message about the unknown key names the file that was read.
        std::fs::write(file, "unknown = 1\n").expect("a file");
    }
    let [given, named, usual] = &files;
    let of = |file: &Path| format!("{}:1: unknown", file.display());
    let all = check(&here, Some(named), &["--config", given.to_str().expect("UTF-8")]);
    assert!(all.contains(&of(given)), "{all}");
    let all = check(&here, Some(named), &[]);
    assert!(all.contains(&of(named)), "{all}");
    let all = check(&here, None, &[]);
    assert!(all.contains("config/ringback.toml:1: unknown"), "{all}");
    std::fs::remove_file(usual).expect("a file");
    let all = check(&here, None, &[]);
    // Ringback may be installed on this machine.
    assert!(all.contains("config/ringback.toml") || all.contains("/etc/ringback"), "{all}");
}

#[test]
fn only_the_owner_can_read_a_secrets_file_and_it_is_never_overwritten() {
    let file = directory("operators-secret").join("crm");
    let path = file.to_str().expect("UTF-8");
    let done = command(&["secret", "new", path]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    let secret = std::fs::read_to_string(&file).expect("the secret");
    assert!(secret.starts_with("whsec_"), "{secret}");
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let again = command(&["secret", "new", "--ed25519", path]);
    assert!(again.code == Some(1) && again.err.contains("name another file"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("the secret"), secret);
}

#[test]
fn check_online_checks_the_stores_directory_and_the_permissions_of_secret_files() {
    let mut stage = Stage::new("operators-check");
    let secret = directory("operators-check-secret").join("token");
    let path = secret.to_str().expect("UTF-8").to_owned();
    std::fs::write(&secret, "hush-hush-hush-hush").expect("a file");
    let open = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&secret, permissions).expect("its owner");
    };
    let mut token = toml::Table::new();
    token.insert("file".into(), path.clone().into());
    stage.set("http.token", token);
    open(0o644);
    let mut daemon = stage.spawn(0);
    daemon.wait_logged("partition restored", 0);
    // The command may report more, because the tests' topics have a retention.
    let done = stage.command(&["check", "--online"]);
    assert!(done.err.contains(&format!("{path}: warning: every user")), "{done:?}");
    assert!(done.err.contains(&format!("chmod o= {path}")), "{done:?}");
    assert!(done.out.contains("a daemon has it open"), "{done:?}");
    daemon.stop();
    open(0o640);
    let done = stage.command(&["check", "--online"]);
    assert!(!done.err.contains("every user"), "{done:?}");
    assert!(done.out.contains("no daemon has it open"), "{done:?}");
    stage.set("store.directory", path.clone());
    let done = stage.command(&["check", "--online"]);
    assert_eq!(done.code, Some(EX_CONFIG), "{done:?}");
    assert!(done.err.contains(&format!("store.directory: {path} is not a directory")), "{done:?}");
}

#[test]
fn a_standby_is_ready_says_so_and_takes_over() {
    let stage = Stage::on(broker::shared(), "operators-standby", 1);
    let mut daemons = [0, 1].map(|number| stage.spawn(number));
    let mut all = || {
        daemons.iter_mut().for_each(Daemon::wait_ready);
        let says =
            |daemon: &Daemon| daemon.get("/readyz").map(|(_, says)| says).unwrap_or_default();
        daemons.each_ref().map(says)
    };
    let standby = wait_until("one instance works and the other is a standby", PATIENCE, || {
        let says = all();
        let found = says.iter().position(|says| says.contains("standby"));
        found.filter(|_| says.iter().any(|says| says == "ok\n"))
    });
    let [mut first, mut second] = daemons;
    let (at_work, standby) =
        if standby == 0 { (&mut second, &mut first) } else { (&mut first, &mut second) };
    let status = standby.get("/api/v1/status").expect("the standby answers").1;
    assert!(status.contains("\"standby\":true"), "{status}");
    assert_eq!(standby.metric("ringback_ready", &[]), Some(1.0));
    at_work.kill();
    let uuids = Random::seeded(951).uuids(5);
    stage.send_flows_of(&uuids);
    stage.send_reports_of(&uuids);
    invariants::wait_delivered(&stage, &uuids, PATIENCE);
    standby.stop();
}

#[test]
fn topics_are_corrected_without_a_question_under_yes() {
    let stage = Stage::new("operators-mend");
    stage.kafka.alter_topic(&stage.topic("events"), "retention.ms", "1000");
    let done = stage.command(&["topics", "--mend", "--yes"]);
    assert!(done.out.contains(&format!("corrected {}", stage.topic("events"))), "{done:?}");
    assert_eq!(
        stage.command(&["topics", "--yes"]).code,
        Some(2),
        "there is no question to confirm"
    );
}
