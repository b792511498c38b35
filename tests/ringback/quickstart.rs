//! `make quickstart`: from nothing to delivered webhooks on a real Kafka, without the build.

use crate::harness::child::{cache, free_port, mortal, run_dir};
use crate::harness::daemon::binary;
use crate::harness::{PATIENCE, wait_until};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns the command, whose temporary files are in the returned directory. Other tests run beside it, so that it gets ports
/// of its own.
fn quick_start(name: &str) -> (Command, PathBuf) {
    let directory = run_dir().join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/quickstart/run.sh");
    // The script can't handle a signal that it ignores from its start, as programs in the background of a shell do.
    let mut command = mortal("env");
    command.arg("--default-signal=INT").arg(script);
    command.env("RINGBACK_BIN", binary()).env("RINGBACK_CACHE", cache()).env("TMPDIR", &directory);
    for program in ["KAFKA", "CONTROLLER", "RECEIVER", "DAEMON", "PROMETHEUS"] {
        command.env(format!("{program}_PORT"), free_port().to_string());
    }
    (command, directory)
}

/// Returns the command lines of the processes that have this directory for their temporary files.
fn processes(directory: &Path) -> Vec<String> {
    let variable = format!("TMPDIR={}\0", directory.display());
    let read = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let entries = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let its = entries
        .map(|entry| entry.path())
        .filter(|path| read(path.join("environ")).contains(&variable));
    its.map(|path| read(path.join("cmdline")).replace('\0', " ")).collect()
}

#[test]
fn the_quick_start_delivers_webhooks_and_leaves_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_port = taken.local_addr().expect("an address").port().to_string();
    let (mut command, directory) = quick_start("quickstart-once");
    let output = command.env("ONCE", "1").env("PROMETHEUS_PORT", &taken_port).output();
    let output = output.expect("bash runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let webhooks: Vec<&str> = out.lines().filter(|line| line.starts_with("msg_")).collect();
    assert_eq!(webhooks.len(), 2, "{out}");
    assert!(webhooks[0].contains("callDetails") && webhooks[1].contains("smsDetails"), "{out}");
    assert_eq!(out.matches("  delivered ").count(), 2, "the trace shows both: {out}");
    let instead = out.lines().find(|line| line.contains("Prometheus, with")).expect("an address");
    assert!(!instead.contains(&format!(":{taken_port}/")), "{instead}");
    assert_eq!(processes(&directory), Vec::<String>::new());
    let left = std::fs::read_dir(&directory).expect("a directory").count();
    assert_eq!(left, 0, "{out}");
}

#[test]
fn ctrl_c_ends_all_programs_of_the_quick_start() {
    let (mut command, directory) = quick_start("quickstart-ctrl-c");
    let log = run_dir().join("quickstart-ctrl-c.log");
    command.stdout(std::fs::File::create(&log).expect("a log")).stderr(Stdio::null());
    // Ctrl-C sends the signal to a process group.
    command.process_group(0);
    let mut child = crate::harness::child::spawn(command);
    wait_until("it prints the addresses", 2 * PATIENCE, || {
        let ended = child.try_wait().expect("a child");
        let shown = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(ended.is_none(), "{ended:?}: {shown}");
        shown.contains("Ctrl-C ends everything.").then_some(())
    });
    let before = processes(&directory);
    let daemon = format!("{} run", binary().display());
    for program in ["kafka.Kafka", "prometheus ", "receiver.py", daemon.as_str()] {
        assert!(before.iter().any(|line| line.contains(program)), "{program}: {before:?}");
    }
    let group = format!("-{}", child.id());
    let sent = Command::new("kill").args(["-s", "INT", "--", &group]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    let status = wait_until("it ends", PATIENCE, || child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
    assert_eq!(processes(&directory), Vec::<String>::new());
}

#[test]
fn a_missing_program_is_named() {
    let (mut command, _) = quick_start("quickstart-missing");
    command.env("RINGBACK_BIN", format!("/nowhere/{}", free_port()));
    let output = command.output().expect("bash runs");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && err.contains("/nowhere/"), "{err}");
}
