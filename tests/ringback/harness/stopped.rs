//! Commands that stop at a failpoint, so that a test can do something else meanwhile.

use super::child::{self, free_port, mortal};
use super::daemon::{Done, binary};
use super::stage::Stage;
use super::{PATIENCE, wait_until};
use std::process::{Child, Stdio};

/// A command that has stopped at a failpoint.
pub(crate) struct Stopped(Child);

impl Stage {
    /// Runs a one-shot command of instance 0 until it stops at this failpoint.
    pub(crate) fn command_until(&self, point: &str, arguments: &[&str]) -> Stopped {
        let config = self.write_config(0, free_port());
        let mut command = mortal(binary());
        command.args(arguments).arg("--config").arg(config);
        command.env("RINGBACK_FAILPOINT", format!("{point}:1:stop"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child::spawn(command);
        wait_until(&format!("the command stops at {point}"), PATIENCE, || {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "the command ended before {point}: {ended:?}");
            is_stopped(&child).then_some(())
        });
        Stopped(child)
    }
}

impl Stopped {
    /// Resumes the command, waits for its end, and returns the result.
    pub(crate) fn go_on(self) -> Done {
        self.resume();
        let output = self.0.wait_with_output().expect("the command ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Resumes the command without waiting.
    pub(crate) fn resume(&self) {
        child::signal(&self.0, "CONT");
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("the command runs");
        self.0.wait().expect("the command ends");
    }
}

fn is_stopped(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // The process's name, in parentheses, may contain any characters.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}
