//! The log is closed, or its disk is full: the daemon works on and counts the lost lines. Commands end quietly.

mod lines;

use crate::harness::PATIENCE;
use crate::harness::child::{free_port, mortal};
use crate::harness::daemon::{Daemon, EX_CONFIG, binary};
use crate::harness::disk::Disk;
use crate::harness::samples::flow;
use crate::harness::stage::Stage;
use crate::harness::wait_until;
use serde_json::Value;
use std::fs::File;
use std::io::PipeWriter;
use std::path::Path;
use std::process::{Output, Stdio};

const LOST: &str = "ringback_log_lines_lost_total";
const FAILED: i32 = 1;

/// Returns the writing end of a pipe whose reading end is closed.
pub(crate) fn closed_pipe() -> PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

fn full_device() -> File {
    File::options().write(true).open("/dev/full").expect("a device that is always full")
}

/// Panics unless a flow with this uuid is delivered.
#[track_caller]
pub(crate) fn delivers(stage: &Stage, uuid: &str) {
    let before = stage.receiver.count();
    stage.send_flows(&[flow(uuid, &[])]);
    stage.receiver.wait_for(before + 1, PATIENCE);
}

#[track_caller]
pub(crate) fn lost(daemon: &Daemon) -> f64 {
    daemon.metric(LOST, &[]).expect("the metric")
}

/// Panics unless the daemon starts, delivers and stops although it can't log, and counts the lost lines.
#[track_caller]
fn works_without_a_log(name: &str, stderr: impl Into<Stdio>) {
    let stage = Stage::new(name);
    let mut daemon = stage.spawn_to(0, stderr);
    daemon.wait_ready();
    let before = lost(&daemon);
    assert!(before > 0.0, "lines were lost while it started");
    delivers(&stage, "unseen");
    wait_until("the lines of the delivery are counted", PATIENCE, || {
        (lost(&daemon) > before).then_some(())
    });
    daemon.stop();
}

#[test]
fn a_closed_log_pipe_does_not_end_the_daemon() {
    works_without_a_log("logs-pipe", closed_pipe());
}

#[test]
fn a_full_log_device_does_not_end_the_daemon() {
    works_without_a_log("logs-device", full_device());
}

#[test]
fn a_full_disk_loses_log_lines_only_and_the_log_continues_once_there_is_room() {
    let stage = Stage::new("logs-disk");
    let dir = stage.instance_dir(0).join("logs");
    let Some(_disk) = Disk::mount(&dir, 1) else { return };
    let path = dir.join("stderr.log");
    let log = File::options().append(true).create(true).open(&path).expect("a log");
    let mut daemon = stage.spawn_to(0, log);
    daemon.wait_ready();
    assert!(lost(&daemon).abs() < f64::EPSILON, "the disk has room");
    let filler = fill(&dir);
    for number in 0.. {
        delivers(&stage, &format!("full-{number}"));
        if lost(&daemon) > 0.0 {
            break;
        }
    }
    std::fs::remove_file(filler).expect("the filler");
    let before = lines(&path).len();
    delivers(&stage, "room");
    wait_until("the log continues", PATIENCE, || (lines(&path).len() > before).then_some(()));
    daemon.stop();
    let broken =
        lines(&path).into_iter().filter(|line| serde_json::from_str::<Value>(line).is_err());
    let broken: Vec<String> = broken.collect();
    assert!(broken.len() <= 1, "only the line that met the end of the disk is broken: {broken:?}");
}

/// Fills the disk with a file, and returns its path.
pub(crate) fn fill(dir: &Path) -> std::path::PathBuf {
    use std::io::Write as _;
    let path = dir.join("filler");
    let mut file = File::create(&path).expect("a file");
    while file.write_all(&[0; 4096]).is_ok() {}
    path
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a log");
    text.lines().map(str::to_owned).collect()
}

#[cfg(feature = "failpoints")]
mod panics {
    use super::{closed_pipe, full_device};
    use crate::harness::PATIENCE;
    use crate::harness::samples::flow;
    use crate::harness::stage::Stage;
    use std::io::Write as _;
    use std::process::Stdio;

    const ABORTED: i32 = 6;

    /// Panics unless a panic ends the daemon by SIGABRT.
    #[track_caller]
    fn aborts(name: &str, stderr: impl Into<Stdio>) {
        let mut stage = Stage::new(name);
        stage.set_variable("RINGBACK_FAILPOINT", "outcome-committed:1:panic");
        // With this setting, only the panic is written.
        stage.set_variable("RUST_LOG", "off");
        let mut daemon = stage.spawn_to(0, stderr);
        daemon.wait_ready();
        stage.send_flows(&[flow("panics", &[])]);
        assert_eq!(daemon.wait_signal(PATIENCE), Some(ABORTED));
    }

    #[test]
    fn a_panic_that_can_not_be_printed_still_ends_the_daemon() {
        aborts("logs-panic-pipe", closed_pipe());
        aborts("logs-panic-device", full_device());
    }

    #[test]
    fn a_panic_does_not_wait_for_a_full_pipe() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut filling = writer.try_clone().expect("a handle");
        let filler = std::thread::spawn(move || while filling.write_all(&[0; 4096]).is_ok() {});
        aborts("logs-panic-full", writer);
        drop(reader);
        filler.join().expect("it ends with the pipe");
    }
}

/// Runs a command with these outputs.
fn run(words: &[&str], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Output {
    let mut command = mortal(binary());
    command.args(words).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    command.output().expect("the binary runs")
}

#[test]
fn commands_end_quietly_when_stdout_is_closed() {
    let stage = Stage::new("logs-commands");
    let mut daemon = stage.start();
    delivers(&stage, "printed");
    daemon.stop();
    let config = stage.write_config(0, free_port());
    let config = ["--config", config.to_str().expect("a plain path")];
    for (words, wanted) in &[
        (&["trace", "printed"][..], 0),
        (&["check", "--online"], EX_CONFIG),
        (&["topics"], FAILED),
        (&["verify"], 0),
        (&["dead-letter", "list"], 0),
        (&["webhook", "list"], 0),
        (&["secret", "new"], 0),
        (&["secret", "new", "--ed25519"], 0),
        (&["completions", "bash"], 0),
        (&["--help"], 0),
    ] {
        let words = [*words, &config].concat();
        let quiet = run(&words, closed_pipe(), Stdio::piped());
        let said = String::from_utf8_lossy(&quiet.stderr).into_owned();
        assert_eq!(quiet.status.code(), Some(*wanted), "{words:?}: {said}");
        assert!(!said.contains("panic") && !said.contains("stdout"), "{words:?}: {said}");
    }
    for words in [&["trace", "printed"][..], &["secret", "new"], &["completions", "bash"]] {
        let words = [words, &config].concat();
        let full = run(&words, full_device(), Stdio::piped());
        let said = String::from_utf8_lossy(&full.stderr).into_owned();
        assert_eq!(full.status.code(), Some(FAILED), "the output is lost: {said}");
        assert!(said.contains("stdout can't be written") && !said.contains("panic"), "{said}");
    }
}

#[test]
fn exit_codes_do_not_depend_on_a_writable_stderr() {
    let mut stage = Stage::new("logs-refused");
    stage.set("delivery.attempts_max", -1);
    let config = stage.write_config(0, free_port());
    let config = ["--config", config.to_str().expect("a plain path")];
    for words in [&["run"][..], &["check"], &["topics"], &["trace", "x"]] {
        let words = [words, &config].concat();
        for stderr in [Stdio::from(closed_pipe()), Stdio::from(full_device())] {
            let code = run(&words, Stdio::piped(), stderr).status.code();
            assert_eq!(code, Some(EX_CONFIG), "{words:?}");
        }
    }
}
