//! `ringback init`: a configuration that works as it is written.

use crate::harness::child::{free_port, mortal, spawn};
use crate::harness::daemon::{binary, command, command_with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, http, signature, wait_until};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const FILES: [(&str, u32); 4] = [
    ("accounts.toml", 0o644),
    ("crm.secret", 0o600),
    ("ringback.service", 0o644),
    ("ringback.toml", 0o644),
];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Returns a directory that does not exist yet.
fn new_directory(stage: &Stage) -> PathBuf {
    let parent = stage.instance_dir(0);
    std::fs::create_dir_all(&parent).expect("a directory");
    parent.join("new/ringback")
}

#[test]
fn a_new_configuration_leads_to_signed_webhooks() {
    let stage = Stage::without_topics(broker::shared(), "init-run");
    let directory = new_directory(&stage);
    let url = stage.receiver.url("/hooks");
    let done =
        command(&["init", text(&directory), "--kafka", stage.kafka.bootstrap(), "--url", &url]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let port = free_port();
    let mut variables = vec![
        ("RINGBACK__KAFKA__GROUP_ID", stage.group()),
        ("RINGBACK__HTTP__LISTEN", format!("127.0.0.1:{port}")),
        ("RINGBACK_CONFIG", text(&directory.join("ringback.toml")).to_owned()),
    ];
    for (name, kind) in [
        ("RINGBACK__TOPICS__FLOW_COMPLETE", "flow-complete"),
        ("RINGBACK__TOPICS__DELIVERY_REPORT", "sms-delivery-report"),
        ("RINGBACK__TOPICS__EVENTS", "events"),
        ("RINGBACK__TOPICS__DEAD_LETTER", "dead-letter"),
        ("RINGBACK__TOPICS__CHANGELOG", "changelog"),
        ("RINGBACK__TOPICS__INBOX", "inbox"),
    ] {
        variables.push((name, stage.topic(kind)));
    }
    let variables = || variables.iter().map(|(name, value)| (*name, value.as_str()));
    for arguments in
        [&["check"][..], &["topics", "--create", "--with-inputs", "2"], &["check", "--online"]]
    {
        let done = command_with(arguments, variables());
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    }
    let mut daemon = mortal(binary());
    let log = std::fs::File::create(stage.instance_dir(0).join("log")).expect("a log");
    daemon.arg("run").envs(variables()).stderr(log);
    let mut daemon = spawn(daemon);
    wait_until("the daemon is ready", PATIENCE, || {
        http::get(port, "/readyz").is_ok_and(|(status, _)| status == 200).then_some(())
    });
    let sent = command_with(&["send", "--sample"], variables());
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let requests = stage.receiver.wait_for(2, PATIENCE);
    let secret = std::fs::read_to_string(directory.join("crm.secret")).expect("a secret");
    signature::verify(secret.trim(), &requests);
    daemon.kill().expect("the daemon runs");
    daemon.wait().expect("it has ended");
}

#[test]
fn the_group_can_read_the_secret_only_if_the_directory_hands_on_its_group() {
    let stage = Stage::without_topics(broker::shared(), "init-group");
    for (name, mode, secret) in [("own", 0o750, 0o600), ("shared", 0o2750, 0o640)] {
        let directory = stage.instance_dir(0).join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&directory, mode).expect("a mode");
        let done = command(&["init", text(&directory)]);
        assert_eq!(done.code, Some(0), "{done:?}");
        let file = std::fs::metadata(directory.join("crm.secret")).expect("a secret");
        assert_eq!(file.permissions().mode() & 0o777, secret, "{name}");
    }
}

#[test]
fn files_have_their_modes_and_none_is_overwritten() {
    let stage = Stage::without_topics(broker::shared(), "init-files");
    let directory = new_directory(&stage);
    let arguments =
        ["init", text(&directory), "--url", "https://crm.example.com/h\"x", "--account", "77"];
    let done = command(&arguments);
    assert_eq!(done.code, Some(0), "{done:?}");
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect(name);
    for (name, mode) in FILES {
        let file = directory.join(name);
        let is = std::fs::metadata(&file).expect(name).permissions().mode() & 0o777;
        assert_eq!(is, mode, "{name}");
        assert!(done.out.contains(&format!("wrote {}\n", file.display())), "{done:?}");
    }
    assert!(!done.out.contains("whsec_") && read("crm.secret").starts_with("whsec_"));
    let unit = read("ringback.service");
    assert!(unit.contains(&format!("--config {}/ringback.toml\n", directory.display())), "{unit}");
    let started = format!("\nExecStart={} run ", binary().display());
    assert!(unit.contains(&started), "{unit}");
    let accounts = read("accounts.toml");
    assert!(
        accounts.contains("id = 77\n") && accounts.contains("http_enabled = false"),
        "{accounts}"
    );
    let checked = command(&["check", "--config", text(&directory.join("ringback.toml"))]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let before = FILES.map(|(name, _)| read(name));
    std::fs::remove_file(directory.join("accounts.toml")).expect("a file");
    let again = command(&arguments);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("exists, so nothing was written"), "{again:?}");
    assert!(!directory.join("accounts.toml").exists());
    assert_eq!(before[1], read("crm.secret"));
    let bad = command(&["init", text(&directory.join("other")), "--url", "ftp://example.com/"]);
    assert_eq!(bad.code, Some(2), "{bad:?}");
    assert!(!directory.join("other").exists());
}
