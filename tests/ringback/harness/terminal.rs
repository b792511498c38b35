//! Commands on a terminal, where they may ask questions.

use super::child::{cache, free_port};
use super::daemon::{Done, binary};
use super::stage::Stage;
use std::process::{Command, Stdio};

/// Types its first argument on a new terminal, on which the remaining arguments run as a command. Prints everything
/// that the terminal shows.
const PROGRAM: &str = r#"
import os, pty, sys

child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
os.write(terminal, sys.argv[1].encode())
while True:
    try:
        shown = os.read(terminal, 4096)
    except OSError:
        break
    if not shown:
        break
    sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

impl Stage {
    /// Runs a one-shot command with the configuration of instance 0 on a terminal, and types `answer`. The output is
    /// everything that the terminal shows.
    pub(crate) fn command_on_terminal(&self, arguments: &[&str], answer: &str) -> Done {
        let config = self.write_config(0, free_port());
        let mut program = Command::new(cache().join("venv/bin/python"));
        program.args(["-c", PROGRAM, answer]).arg(binary()).args(arguments);
        program.arg("--config").arg(config).stdin(Stdio::null());
        let output = program.output().expect("python runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}
