//! SIGHUP: which changes of both files it applies, which need a restart, and how the current configuration is shown.

mod directory;
mod endpoints;
mod retired;

use crate::harness::daemon::Daemon;
use crate::harness::kafka::Message;
use crate::harness::samples;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const HASH: &str = "ringback_config_hash";

fn of_part(daemon: &Daemon, part: &str) -> f64 {
    daemon.metric(HASH, &[("part", part)]).expect("a hash")
}

/// Writes the stage's current files, sends SIGHUP, and waits until `count` reloads have had this result.
fn reload(stage: &Stage, daemon: &Daemon, result: &str, count: f64) {
    stage.write_config(0, daemon.port());
    daemon.signal("HUP");
    wait_until(&format!("{count} reloads are {result}"), PATIENCE, || {
        let done = daemon.metric("ringback_config_reloads_total", &[("result", result)]);
        (done == Some(count)).then_some(())
    });
}

fn page(daemon: &Daemon) -> Value {
    let (status, body) = daemon.get("/api/v1/config").expect("the daemon answers");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn entry(page: &Value, key: &str) -> Value {
    let all = ["settings", "accounts"].map(|name| page[name].as_array().expect("a list"));
    let found = all.into_iter().flatten().find(|entry| entry["key"] == key);
    found.unwrap_or_else(|| panic!("no {key}: {page}")).clone()
}

/// Waits for an event of this type and returns it.
fn event(stage: &Stage, kind: &str) -> Value {
    let begin = format!("{{\"type\":\"{kind}\"");
    let is = |event: &&Message| {
        event.value.as_deref().is_some_and(|value| value.starts_with(begin.as_bytes()))
    };
    let mut tail = stage.events();
    let found = tail.wait(kind, PATIENCE, |events| events.iter().any(|event| is(&event)));
    found.iter().find(is).expect("an event").json()
}

#[test]
fn sighup_applies_changes_of_both_files_and_names_the_keys_that_need_a_restart() {
    let mut stage = Stage::new("reloads-apply");
    stage.set("delivery.allow_addresses", Vec::<String>::new());
    let mut daemon = stage.start();
    stage.send_flows(&[samples::flow("before", &[])]);
    let letters = stage.dead_letters(1, PATIENCE);
    assert_eq!(letters[0].json()["reason"], "blocked_address");
    let before = (of_part(&daemon, "all"), of_part(&daemon, "accounts"));
    assert_eq!(page(&daemon)["hash"].as_f64(), Some(before.0));

    stage.set("delivery.allow_addresses", vec!["127.0.0.0/8", "::1/128"]);
    stage.set("delivery.request_timeout_ms", 7000);
    stage.set("statuses.intermediate", vec!["HALFWAY"]);
    stage.set("kafka.commit_interval_ms", 17);
    stage.set("http.token", "hush-hush-hush");
    reload(&stage, &daemon, "applied", 1.0);

    stage.send_flows(&[samples::flow("after", &["s-1"])]);
    stage.send_reports(&[samples::report("after", "s-1", "HALFWAY")]);
    let accepted = event(&stage, "report_accepted");
    assert_eq!((&accepted["status"], &accepted["known_status"]), (&json!("HALFWAY"), &json!(true)));
    stage.receiver.wait_for(1, PATIENCE);

    assert_eq!(daemon.metric("ringback_config_restart_needed", &[]), Some(2.0));
    let said = event(&stage, "restart_needed");
    assert_eq!(said["keys"], json!(["http.token", "kafka.commit_interval_ms"]));
    assert!(said["instance"].is_string(), "{said}");
    let logged = daemon.logged();
    let is_line = |line: &&str| line.contains("need a restart");
    let lines: Vec<_> = logged.lines().filter(is_line).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("http.token, kafka.commit_interval_ms"), "{}", lines[0]);
    assert!(!logged.contains("hush-hush"), "the log names keys but shows no secrets");
    assert!(logged.contains("delivery.allow_addresses, delivery.request_timeout_ms"), "{logged}");

    let page = page(&daemon);
    assert_eq!(page["restart_needed"], json!(["http.token", "kafka.commit_interval_ms"]));
    let kept = entry(&page, "kafka.commit_interval_ms");
    assert_eq!((&kept["value"], &kept["after_restart"]), (&json!(100), &json!(17)));
    let inherited = entry(&page, "webhook[crm].request_timeout_ms");
    assert_eq!(inherited["value"], 7000, "{inherited}");
    let after = (of_part(&daemon, "all"), of_part(&daemon, "accounts"));
    assert_ne!(after.0, before.0, "the configuration has changed");
    assert_eq!(after.1, before.1, "the accounts have not changed");
    assert_eq!(page["hash"].as_f64(), Some(after.0));
    daemon.stop();
    stage.verify();
}

#[test]
fn a_faulty_settings_file_prevents_the_reload_of_the_accounts_too() {
    let mut stage = Stage::new("reloads-refused");
    let daemon = stage.start();
    let before = of_part(&daemon, "all");
    stage.set_webhook("url", stage.receiver.url("/moved"));
    stage.set("delivery.attempts_max", 0);
    reload(&stage, &daemon, "refused", 1.0);
    let said = event(&stage, "reload_refused");
    let detail = said["detail"].as_str().expect("a text");
    assert!(detail.contains("delivery.attempts_max: is 0"), "{detail}");
    stage.send_flows(&[samples::flow("refused", &[])]);
    let requests = stage.receiver.wait_for(1, PATIENCE);
    assert_eq!(requests[0].path, "/hooks/phonon");
    assert_eq!(daemon.metric("ringback_config_last_reload_successful", &[]), Some(0.0));
    assert_eq!(of_part(&daemon, "all"), before);
    assert_eq!(entry(&page(&daemon), "delivery.attempts_max")["value"], 16);

    stage.set("delivery.attempts_max", 3);
    reload(&stage, &daemon, "applied", 1.0);
    stage.send_flows(&[samples::flow("applied", &[])]);
    let requests = stage.receiver.wait_for(2, PATIENCE);
    assert_eq!(requests[1].path, "/moved");
    let logged = daemon.logged();
    assert!(logged.contains("\"changed\":\"delivery.attempts_max, webhook[crm].url\""), "{logged}");
}

#[test]
fn the_current_configuration_is_shown_with_its_sources_and_without_secrets() {
    let mut stage = Stage::new("reloads-page");
    let secret = stage.instance_dir(0).join("bearer");
    std::fs::create_dir_all(stage.instance_dir(0)).expect("a directory");
    std::fs::write(&secret, "hush-of-a-file").expect("a file");
    stage.set_variable("RINGBACK__DELIVERY__AGE_MAX_S", "4711");
    stage.set_variable("CRM_KEY", "hush-of-a-variable");
    stage.set_webhook("url", stage.receiver.url("/hooks?key=hush-of-a-query"));
    let tables =
        [("auth", "type = 'bearer'\ntoken = { file = 'bearer' }"), ("response", "type = 'json'")];
    for (key, text) in tables {
        stage.set_webhook(key, toml::from_str::<toml::Table>(text).expect("TOML"));
    }
    let header = "name = 'X-Key'\nvalue = { env = 'CRM_KEY' }";
    let header: toml::Table = toml::from_str(header).expect("TOML");
    stage.set_webhook("headers", vec![header]);
    let daemon = stage.start();
    let all = page(&daemon);
    assert!(!all.to_string().contains("hush"), "{all}");
    let age = entry(&all, "delivery.age_max_s");
    assert_eq!((&age["value"], &age["source"]), (&json!(4711), &json!("environment")));
    assert_eq!(age["variable"], "RINGBACK__DELIVERY__AGE_MAX_S");
    assert_eq!(entry(&all, "delivery.breaker.open_s")["source"], "default");
    let url = entry(&all, "webhook[crm].url");
    assert!(url["value"].as_str().is_some_and(|it| it.ends_with("/hooks?***")), "{url}");
    let file = url["file"].as_str().expect("a file");
    let text = std::fs::read_to_string(file).expect("the file is there");
    let line = usize::try_from(url["line"].as_u64().expect("a line")).expect("a line");
    assert!(text.lines().nth(line - 1).is_some_and(|it| it.starts_with("url = ")), "{url}");
    assert_eq!(entry(&all, "webhook[crm].auth.token")["value"], json!({"file": "bearer"}));
    let (_, hash) = daemon.get("/api/v1/config/hash").expect("the daemon answers");
    let hash: Value = serde_json::from_str(&hash).expect("JSON");
    assert_eq!((&hash["hash"], &hash["settings"]), (&all["hash"], &Value::Null));

    // A changed secret changes the hashes and is shown nowhere.
    let before = of_part(&daemon, "accounts");
    std::fs::write(&secret, "hush-of-another").expect("a file");
    reload(&stage, &daemon, "applied", 1.0);
    assert_ne!(of_part(&daemon, "accounts"), before);
    assert!(!page(&daemon).to_string().contains("hush"));
}

#[test]
fn webhook_test_warns_when_the_daemon_runs_another_configuration() {
    let mut stage = Stage::new("reloads-warn");
    stage.set_webhook("signing_secrets", vec![crate::harness::signature::SECRET]);
    let mut daemon = stage.start();
    stage.set("http.listen", format!("127.0.0.1:{}", daemon.port()));
    let tried = |stage: &Stage| {
        let done = stage.command(&["webhook", "test", "crm", "--json"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        let shown: Value = serde_json::from_str(&done.out).expect("one JSON object");
        (shown["daemon"].clone(), done.err)
    };
    let (shown, said) = tried(&stage);
    assert_eq!(shown["configuration"], "same", "{shown} {said}");
    assert_eq!(said, "");

    stage.set_webhook("url", stage.receiver.url("/moved"));
    stage.set("kafka.commit_interval_ms", 17);
    let (shown, said) = tried(&stage);
    assert_eq!(shown["configuration"], "other", "{shown}");
    assert_eq!(shown["differs"], json!(["kafka.commit_interval_ms", "webhook[crm].url"]));
    assert_eq!(shown["secrets_differ"], false);
    let parts = ["SIGHUP applies webhook[crm].url", "a restart applies kafka.commit_interval_ms"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");

    reload(&stage, &daemon, "applied", 1.0);
    let (shown, said) = tried(&stage);
    assert_eq!(shown["differs"], json!(["kafka.commit_interval_ms"]));
    assert!(!said.contains("SIGHUP"), "{said}");

    let other = "whsec_D2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    stage.set_webhook("signing_secrets", vec![other]);
    let (shown, said) = tried(&stage);
    assert_eq!(shown["secrets_differ"], true, "{shown}");
    assert!(said.contains("a secret") && !said.contains(other), "{said}");

    stage.set("http.token", "hush-hush-hush");
    reload(&stage, &daemon, "applied", 2.0);
    daemon.stop();
    let begin = Instant::now();
    let (shown, said) = tried(&stage);
    assert_eq!((shown, said.as_str()), (Value::Null, ""));
    assert!(begin.elapsed() < Duration::from_secs(5), "the command does not wait for a daemon");
}

#[test]
fn webhook_test_reports_a_wrong_token_and_does_not_wait_for_a_silent_listener() {
    let mut stage = Stage::new("reloads-token");
    stage.set("http.token", "one-token");
    let daemon = stage.start();
    stage.set("http.listen", format!("127.0.0.1:{}", daemon.port()));
    let done = stage.command(&["webhook", "test", "crm"]);
    assert_eq!(
        (done.code, done.err.as_str()),
        (Some(0), ""),
        "the daemon accepts the file's token"
    );
    stage.set("http.token", "another-token");
    let done = stage.command(&["webhook", "test", "crm"]);
    assert!(done.err.contains("its http.token differs"), "{done:?}");
    assert!(!done.err.contains("one-token") && !done.err.contains("another-token"), "{done:?}");

    // This listener accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    stage.set("http.listen", address);
    let begin = Instant::now();
    let done = stage.command(&["webhook", "test", "crm"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

/// Replaces `file` with a pipe: a read blocks until something is written, as on a file system that hangs.
fn hang(file: &Path) {
    let _is_gone = std::fs::remove_file(file);
    let made = std::process::Command::new("mkfifo").arg(file).status();
    assert!(made.expect("mkfifo runs").success(), "{}", file.display());
}

/// Waits until a reader opens the pipe `file`, and returns its writing end.
fn wait_read(file: &Path) -> std::fs::File {
    const NONBLOCK: i32 = 0o4000;
    wait_until(&format!("{} is read", file.display()), PATIENCE, || {
        std::fs::OpenOptions::new().write(true).custom_flags(NONBLOCK).open(file).ok()
    })
}

#[test]
fn sighup_during_the_start_reloads_and_does_not_end_the_daemon() {
    let mut stage = Stage::new("reloads-early");
    // The parent of the tests may ignore SIGHUP, and a child inherits this.
    stage.set_shell("exec env --default-signal=HUP \"$0\" \"$@\"");
    stage.set("accounts.file", "pipe");
    let pipe = stage.instance_dir(0).join("pipe");
    std::fs::create_dir_all(stage.instance_dir(0)).expect("a directory");
    hang(&pipe);
    let mut daemon = stage.spawn(0);
    let mut writer = wait_read(&pipe);
    daemon.signal("HUP");
    let written = stage.instance_dir(0).join("accounts.toml");
    let accounts = std::fs::read(&written).expect("the accounts");
    std::fs::rename(&written, &pipe).expect("a file in the place of the pipe");
    writer.write_all(&accounts).expect("the daemon reads");
    drop(writer);
    daemon.wait_ready();
    wait_until("the configuration is read again", PATIENCE, || {
        let applied = [("result", "applied")];
        (daemon.metric("ringback_config_reloads_total", &applied) == Some(1.0)).then_some(())
    });
}

#[test]
fn a_daemon_can_be_stopped_while_a_file_hangs() {
    let stage = Stage::new("reloads-hang");
    let mut daemon = stage.start();
    let accounts = stage.instance_dir(0).join("accounts.toml");
    hang(&accounts);
    daemon.signal("HUP");
    let _writer = wait_read(&accounts);
    stage.send_flows(&[samples::flow("hang", &[])]);
    stage.receiver.wait_for(1, PATIENCE);
    daemon.stop();
}
