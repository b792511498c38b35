//! The real binary, running on a stage.

use super::child::{self, free_port, mortal, tail};
use super::stage::Stage;
use super::{PATIENCE, http, wait_until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The exit code of a bad configuration.
pub(crate) const EX_CONFIG: i32 = 78;

/// Returns the path of the binary. `RINGBACK_BIN` names another build, such as that of an image.
pub(crate) fn binary() -> std::ffi::OsString {
    std::env::var_os("RINGBACK_BIN").unwrap_or(env!("CARGO_BIN_EXE_ringback").into())
}

/// The result of a one-shot command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a one-shot command.
pub(crate) fn command(arguments: &[&str]) -> Done {
    command_with(arguments, std::iter::empty())
}

/// Runs a one-shot command with these environment variables.
pub(crate) fn command_with<'a>(
    arguments: &[&str],
    variables: impl Iterator<Item = (&'a str, &'a str)>,
) -> Done {
    let mut command = mortal(binary());
    command.args(arguments).envs(variables);
    done(command)
}

fn done(mut command: Command) -> Done {
    command.stdin(Stdio::null());
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// One running instance of the daemon or of the sink. Dropping it sends SIGKILL.
pub(crate) struct Daemon {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Stage {
    /// Starts instance 0 and waits until it is ready.
    pub(crate) fn start(&self) -> Daemon {
        self.start_instance(0)
    }

    /// Starts instance `number` and waits until it is ready.
    pub(crate) fn start_instance(&self, number: u8) -> Daemon {
        let mut daemon = self.spawn(number);
        daemon.wait_ready();
        daemon
    }

    /// Runs instance 0 until every partition has its meta row. The first transaction of a later start then contains
    /// records, and not only these rows.
    #[cfg(feature = "failpoints")]
    pub(crate) fn commit_first_rows(&self) {
        let mut daemon = self.start();
        let changelog = self.topic("changelog");
        let partitions = self.kafka.partitions(&changelog);
        wait_until("every partition has a meta row", PATIENCE, || {
            let rows = self.kafka.read(&changelog);
            let has = |partition| rows.iter().any(|row| row.partition == partition);
            (0..partitions).all(has).then_some(())
        });
        daemon.stop();
    }

    /// Starts instance `number` without waiting.
    pub(crate) fn spawn(&self, number: u8) -> Daemon {
        self.spawn_with(number, &[])
    }

    /// Like `spawn`, with further arguments of `run`.
    pub(crate) fn spawn_with(&self, number: u8, arguments: &[&str]) -> Daemon {
        self.spawn_as(number, arguments, self.log_file(number).1)
    }

    fn log_file(&self, number: u8) -> (PathBuf, std::fs::File) {
        let dir = self.instance_dir(number);
        std::fs::create_dir_all(&dir).expect("a directory for the instance");
        let log = dir.join("stderr.log");
        let file = std::fs::File::options().append(true).create(true).open(&log);
        (log, file.expect("the daemon's log"))
    }

    /// Like `spawn`, with another stderr.
    pub(crate) fn spawn_to(&self, number: u8, stderr: impl Into<Stdio>) -> Daemon {
        self.spawn_as(number, &[], stderr)
    }

    fn spawn_as(&self, number: u8, arguments: &[&str], stderr: impl Into<Stdio>) -> Daemon {
        let port = free_port();
        let config = self.write_config(number, port);
        let (log, file) = self.log_file(number);
        let mut command = self.launcher();
        command.arg("run").args(arguments).arg("--config").arg(config);
        command.env("RUST_LOG", "info,ringback=debug");
        command.envs(self.variables());
        command.stdout(file).stderr(stderr);
        Daemon { child: child::spawn(command), port, log }
    }

    /// Starts the sink to MongoDB with the configuration and the id of instance `number`, without waiting. A number that
    /// no daemon has keeps their files apart.
    pub(crate) fn spawn_sink(&self, number: u8) -> Daemon {
        let port = free_port();
        let config = self.write_config(number, free_port());
        let (log, file) = self.log_file(number);
        let mut command = self.launcher();
        command.args(["sink", "mongodb", "--config"]).arg(config);
        command.env("RUST_LOG", "info,ringback=debug");
        command.env("RINGBACK__SINK__MONGODB__LISTEN", format!("127.0.0.1:{port}"));
        command.envs(self.variables());
        command.stdout(file.try_clone().expect("a handle")).stderr(file);
        Daemon { child: child::spawn(command), port, log }
    }

    /// Starts the sink and waits until it is ready.
    pub(crate) fn start_sink(&self, number: u8) -> Daemon {
        let mut sink = self.spawn_sink(number);
        sink.wait_ready();
        sink
    }

    /// Runs a one-shot command with the configuration of instance 0.
    pub(crate) fn command(&self, arguments: &[&str]) -> Done {
        self.command_of(0, arguments)
    }

    /// Runs a one-shot command with the configuration of instance `number`.
    pub(crate) fn command_of(&self, number: u8, arguments: &[&str]) -> Done {
        let config = self.write_config(number, free_port());
        let mut command = self.launcher();
        command.args(arguments).arg("--config").arg(config).envs(self.variables());
        done(command)
    }

    /// Starts instance 0, expects that it refuses its configuration, and returns its log.
    pub(crate) fn refused(&self) -> String {
        self.ends_with(EX_CONFIG)
    }

    /// Starts instance 0, expects that it ends by itself with `code`, and returns its log.
    pub(crate) fn ends_with(&self, code: i32) -> String {
        let mut daemon = self.spawn(0);
        let status = daemon.wait_exit(PATIENCE);
        let said = daemon.logged();
        assert_eq!(status.code(), Some(code), "the daemon ended with {status}: {said}");
        said
    }
}

impl Daemon {
    /// Waits until `/readyz` answers 200.
    pub(crate) fn wait_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::from("no answer");
        loop {
            match http::get(self.port, "/readyz") {
                Ok((200, _)) => return,
                Ok((status, body)) => last = format!("{status} {body}"),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("the daemon ended ({status}): {}", tail(&self.log, 40));
            }
            assert!(Instant::now() < deadline, "not ready: {last}: {}", tail(&self.log, 40));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends `GET` to the daemon's own HTTP server.
    pub(crate) fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        http::get(self.port, path)
    }

    /// Repeats `GET` until `path` answers with `status`, and returns the body.
    pub(crate) fn wait_answer(&self, path: &str, status: u16) -> String {
        wait_until(&format!("{path} answers {status}"), PATIENCE, || {
            self.get(path).ok().filter(|(got, _)| *got == status).map(|(_, body)| body)
        })
    }

    /// Returns the number of assigned partitions, restored or not, or 0 while the daemon does not answer.
    pub(crate) fn partitions(&self) -> usize {
        let status = self.get("/api/v1/status").ok();
        let status = status.and_then(|(_, body)| serde_json::from_str::<Value>(&body).ok());
        status.and_then(|status| status["partitions"].as_array().map(Vec::len)).unwrap_or(0)
    }

    /// Returns the sum of a metric's series that have all these labels, or `None` without any such series.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let (_, text) = self.get("/metrics").expect("/metrics answers");
        sum(&text, name, labels)
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the daemon runs");
        self.child.wait().expect("the daemon ends");
    }

    /// Returns the port of the daemon's own HTTP server.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the peak of the resident memory in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a field");
        let kib = peak.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number of KiB") / 1024
    }

    /// Sends a signal such as `HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        child::signal(&self.child, signal);
    }

    /// Sends SIGTERM and panics unless the daemon ends with 0 within `timeout`. Returns the time that this took.
    pub(crate) fn stop_within(&mut self, timeout: Duration) -> Duration {
        let start = Instant::now();
        self.signal("TERM");
        let status = self.wait_exit(timeout);
        let log = tail(&self.log, 40);
        assert_eq!(status.code(), Some(0), "after SIGTERM: {status}: {log}");
        start.elapsed()
    }

    /// Sends SIGTERM and leaves time to drain.
    pub(crate) fn stop(&mut self) {
        self.stop_within(Duration::from_secs(10));
    }

    /// Returns everything that this and earlier lives of the instance wrote to stderr.
    pub(crate) fn logged(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("a log")).into_owned()
    }

    /// Waits until the daemon ends by itself, and panics unless that is with `code`. Returns the log of all lives.
    pub(crate) fn wait_end(&mut self, code: i32, timeout: Duration) -> String {
        let status = self.wait_exit(timeout);
        let logged = self.logged();
        assert_eq!(status.code(), Some(code), "{status}: {}", tail(&self.log, 40));
        logged
    }

    /// Returns the exit code if the daemon has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child").and_then(|status| status.code())
    }

    /// Waits until the daemon has aborted at this failpoint.
    #[cfg(feature = "failpoints")]
    pub(crate) fn wait_abort(&mut self, point: &str, timeout: Duration) {
        use std::os::unix::process::ExitStatusExt as _;
        const ABORTED: i32 = 6;
        let status = self.wait_exit(timeout);
        let died = self.logged().contains(&format!("failpoint {point}\n"));
        let log = tail(&self.log, 40);
        assert!(status.signal() == Some(ABORTED) && died, "{status}, not at {point}: {log}");
    }

    /// Waits until the daemon ends by itself, and returns the signal that ended it, if any.
    #[cfg(feature = "failpoints")]
    pub(crate) fn wait_signal(&mut self, timeout: Duration) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.wait_exit(timeout))
    }

    /// Waits until the log contains `text` more than `before` times.
    pub(crate) fn wait_logged(&self, text: &str, before: usize) {
        wait_until(&format!("the log contains {text:?}"), PATIENCE, || {
            (self.logged().matches(text).count() > before).then_some(())
        });
    }

    fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "the daemon did not end in {timeout:?}: {}", tail(&self.log, 40));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- {}\n{}", self.log.display(), tail(&self.log, 60));
        }
        // The process may have ended already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Adds up the series of a Prometheus text.
fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let series = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        let fits = found == name && wanted.iter().all(|label| rest.contains(label.as_str()));
        fits.then(|| value.parse::<f64>().expect("a number"))
    });
    series.reduce(|a, b| a + b)
}

/// Copies a directory with all of its content, such as a store.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
