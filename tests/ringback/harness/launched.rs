//! A one-shot command while it runs.

use super::child::{self, free_port, mortal};
use super::daemon::{Done, binary};
use super::stage::Stage;
use super::{PATIENCE, wait_until};
use std::path::PathBuf;
use std::process::Child;

/// A command that was started and still runs.
pub(crate) struct Launched {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Stage {
    /// Starts a one-shot command with the configuration of instance 0. Its output goes to files whose names begin with
    /// `name`.
    pub(crate) fn launch(&self, name: &str, arguments: &[&str]) -> Launched {
        let config = self.write_config(0, free_port());
        let output = |kind: &str| self.instance_dir(0).join(format!("{name}.{kind}"));
        let (out, err) = (output("stdout"), output("stderr"));
        let mut command = mortal(binary());
        command.args(arguments).arg("--config").arg(config);
        command.stdout(std::fs::File::create(&out).expect("a file"));
        command.stderr(std::fs::File::create(&err).expect("a file"));
        Launched { child: child::spawn(command), out, err }
    }
}

impl Launched {
    /// Sends a signal such as `INT`.
    pub(crate) fn signal(&self, signal: &str) {
        child::signal(&self.child, signal);
    }

    /// Waits until the command has written `text` to stderr.
    pub(crate) fn wait_said(&mut self, text: &str) {
        wait_until(&format!("the command says {text:?}"), PATIENCE, || {
            let said = std::fs::read_to_string(&self.err).expect("a file");
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() || said.contains(text), "{ended:?}: {said}");
            said.contains(text).then_some(())
        });
    }

    /// Waits for the end of the command and returns its result.
    pub(crate) fn wait(&mut self) -> Done {
        let status =
            wait_until("the command ends", PATIENCE, || self.child.try_wait().expect("a child"));
        let read = |path| String::from_utf8(std::fs::read(path).expect("a file")).expect("UTF-8");
        Done { code: status.code(), out: read(&self.out), err: read(&self.err) }
    }
}
