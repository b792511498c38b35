//! Commands that stop at a failpoint, so that a test can do something else meanwhile.

use super::child::{self, free_port, mortal};
use super::daemon::{Done, binary};
use super::stage::Stage;
use super::{PATIENCE, wait_until};
use std::process::{Child, Stdio};

/// A command that has stopped on its way.
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
        wait_until(&format!("it stops at {point}"), PATIENCE, || {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended before it came to {point}: {ended:?}");
            is_stopped(&child).then_some(())
        });
        Stopped(child)
    }
}

impl Stopped {
    /// Lets it go on, and waits for its end.
    pub(crate) fn go_on(self) -> Done {
        self.resume();
        let output = self.0.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Lets it go on, and waits for nothing.
    pub(crate) fn resume(&self) {
        child::signal(&self.0, "CONT");
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

fn is_stopped(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}
