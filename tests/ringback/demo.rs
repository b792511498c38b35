//! `ringback demo`: everything in one process, without any server around it.

use crate::harness::child::{self, mortal, run_dir};
use crate::harness::daemon::binary;
use crate::harness::samples::{PHASE_1, PHASE_2};
use crate::harness::wait_until;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

/// Removes white space, which is all that the demo may change when it formats a body.
fn compact(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn the_demo_shows_both_webhooks_a_dead_letter_and_its_replay() {
    let dir = run_dir().join("demo");
    std::fs::create_dir_all(&dir).expect("a directory");
    let (out, err) = (dir.join("stdout.log"), dir.join("stderr.log"));
    let mut command = mortal(binary());
    command.args(["demo", "--once"]).current_dir(&dir).env("TMPDIR", &dir).env_remove("RUST_LOG");
    // The settings of a daemon in the environment must not affect the demo.
    command.env("RINGBACK__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1");
    command.stdout(std::fs::File::create(&out).expect("a file"));
    command.stderr(std::fs::File::create(&err).expect("a file"));
    let mut demo = child::spawn(command);
    let said = || {
        let read = |path| String::from_utf8(std::fs::read(path).expect("a log")).expect("UTF-8");
        (read(&out), read(&err))
    };
    let status = wait_until("the demo ends", DEADLINE, || demo.try_wait().expect("a child"));
    let (shown, complaints) = said();
    assert_eq!(status.code(), Some(0), "{shown}\n{complaints}");
    assert!(!complaints.contains("ERROR"), "{complaints}");
    for body in [PHASE_1, PHASE_2] {
        assert!(compact(&shown).contains(&compact(body)), "{body} in\n{shown}");
    }
    let said = ["signature ok", "attempt_failed", "dead letter", "attempts_exhausted"];
    let after = ["replayed", "now 5 times", "1 of 1 dead letters replayed"];
    for word in said.into_iter().chain(after) {
        assert!(shown.contains(word), "{word} in\n{shown}");
    }
    assert!(!shown.contains("WRONG") && !shown.contains('\x1b'), "{shown}");
    let left = std::fs::read_dir(&dir).expect("a directory").count();
    assert_eq!(left, 2, "the demo removes its own directory, only the logs remain");
}

#[test]
fn sighup_makes_the_demo_reload_its_own_files_only() {
    let dir = run_dir().join("demo-reload");
    std::fs::create_dir_all(&dir).expect("a directory");
    let err = dir.join("stderr.log");
    let mut command = mortal(binary());
    command.arg("demo").current_dir(&dir).env("TMPDIR", &dir).env("RUST_LOG", "info");
    command.env("RINGBACK__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1");
    let out = dir.join("stdout.log");
    command.stdout(std::fs::File::create(&out).expect("a file"));
    command.stderr(std::fs::File::create(&err).expect("a file"));
    let mut demo = child::spawn(command);
    let wait_said = |path, word: &str| {
        wait_until(word, DEADLINE, || {
            let said = std::fs::read_to_string(path).expect("a log");
            said.contains(word).then_some(said)
        })
    };
    wait_said(&out, "joining the group");
    child::signal(&demo, "HUP");
    let said = wait_said(&err, "the configuration is applied");
    assert!(!said.contains("need a restart"), "{said}");
    child::signal(&demo, "TERM");
    wait_until("the demo ends", DEADLINE, || demo.try_wait().expect("a child"));
}
