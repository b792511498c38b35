//! A reader's terminal: a home directory, the programs that a page expects on the path, and the variables that were exported.

use crate::harness::PATIENCE;
use crate::harness::broker::java;
use crate::harness::child::{self, cache, mortal, run_dir, tail};
use crate::harness::daemon::{Done, binary};
use crate::harness::wait_until;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A terminal. Several may share a home directory.
pub(super) struct Shell {
    home: PathBuf,
    directory: PathBuf,
    /// The `export` lines of earlier commands.
    before: String,
}

/// Returns the root of the repository, where the README's commands run.
pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Shell {
    /// Creates a terminal with a home directory of its own.
    pub(super) fn new(name: &str) -> Self {
        let home = run_dir().join(name);
        let bin = home.join("bin");
        std::fs::create_dir_all(&bin).expect("a directory");
        let libs = java("-Xmx128m");
        let words = libs.get_args().map(|word| format!("'{}'", word.to_string_lossy()));
        // The arguments begin with those of `setpriv`, which these scripts do not need.
        let java = words.skip_while(|word| word != "'java'").collect::<Vec<_>>().join(" ");
        // MirrorMaker looks for plugins in all jars.
        let large = java.replace("-Xmx128m", "-Xmx256m");
        let python = cache().join("venv/bin/python");
        let ringback = binary().to_string_lossy().into_owned();
        for (program, line) in [
            ("ringback", format!("'{ringback}' \"$@\"")),
            ("python3", format!("'{}' \"$@\"", python.display())),
            ("kafka-topics.sh", format!("{java} org.apache.kafka.tools.TopicCommand \"$@\"")),
            (
                "kafka-consumer-groups.sh",
                format!("{java} org.apache.kafka.tools.consumer.group.ConsumerGroupCommand \"$@\""),
            ),
            (
                "connect-mirror-maker.sh",
                format!("{large} org.apache.kafka.connect.mirror.MirrorMaker \"$@\""),
            ),
            // Only shows that the target exists: building is tested elsewhere.
            ("make", "/usr/bin/make --dry-run \"$@\"".to_owned()),
        ] {
            let path = bin.join(program);
            std::fs::write(&path, format!("#!/bin/sh\nexec {line}\n")).expect("a script");
            let runs = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, runs).expect("its mode");
        }
        Self { directory: home.clone(), home, before: String::new() }
    }

    /// Changes to this directory, and creates it if it is missing.
    pub(super) fn within(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        std::fs::create_dir_all(&self.directory).expect("a directory");
        self
    }

    /// Opens another terminal with the same variables.
    pub(super) fn another(&self) -> Self {
        let (home, directory) = (self.home.clone(), self.directory.clone());
        Self { home, directory, before: self.before.clone() }
    }

    /// Returns the home directory.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Sets an environment variable that the page does not set.
    pub(super) fn export(&mut self, name: &str, value: &str) {
        self.before.push_str(&format!("export {name}='{value}'\n"));
    }

    /// Writes a file in the current directory.
    pub(super) fn save(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).expect("a file");
    }

    /// Creates a link to `target` in the current directory.
    pub(super) fn link(&self, name: &str, target: &Path) {
        assert!(target.exists(), "{} is missing: run ops/local/setup.sh test", target.display());
        symlink(target, self.directory.join(name)).expect("a link");
    }

    fn command(&self, text: &str) -> Command {
        let (bin, venv) = (self.home.join("bin"), cache().join("venv/bin"));
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = mortal("bash");
        // Go takes its modules from the cache and downloads nothing.
        command.env("GOPATH", cache().join("go")).env("GOCACHE", cache().join("go/build"));
        command.env("GOFLAGS", "-mod=readonly -modcacherw").env("GOTOOLCHAIN", "local");
        command.env("GOPROXY", "off").env("HOME", &self.home).current_dir(&self.directory);
        command.env("PATH", format!("{}:{path}:{}", bin.display(), venv.display()));
        command.env("RINGBACK_CACHE", cache()).env_remove("MAKEFLAGS");
        command.args(["-c", &format!("{}{text}", self.before)]);
        command
    }

    /// Runs a command to its end.
    pub(super) fn runs(&mut self, line: &str) -> Done {
        if line.starts_with("export ") {
            self.before.push_str(&format!("{line}\n"));
        }
        let output = self.command(line).output().expect("bash");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts a command that runs until it is dropped.
    pub(super) fn starts(&self, line: &str) -> Running {
        let words: String = line.chars().filter(char::is_ascii_alphanumeric).collect();
        let log = self.directory.join(format!("{words}.log"));
        let file = std::fs::File::create(&log).expect("a log");
        let errors = file.try_clone().expect("a log");
        // A process group of its own, so that children of the command are killed with it.
        let mut command = self.command(&format!("exec setsid {line}"));
        command.stdout(file).stderr(errors).stdin(Stdio::null());
        Running { child: child::spawn(command), log }
    }
}

/// A running program. Dropping it kills it and its children.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Returns its output so far.
    pub(super) fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it listens on `port`.
    pub(super) fn wait_port(&self, port: u16) {
        wait_until(&format!("{} listens", tail(&self.log, 20)), PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// Waits until it has printed `count` lines that begin with `start`, and returns them.
    pub(super) fn wait_lines(&self, start: &str, count: usize) -> Vec<String> {
        wait_until(&format!("{count} lines `{start}`: {}", self.log.display()), PATIENCE, || {
            let printed = self.printed();
            let lines: Vec<String> =
                printed.lines().filter(|it| it.starts_with(start)).map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).output();
        let _ = self.child.wait();
    }
}
