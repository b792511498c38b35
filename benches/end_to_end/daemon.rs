//! The real daemon, with the configuration that a part needs.

use crate::child::{self, free_port, mortal, run_dir, tail};
use crate::http;
use crate::kafka::Kafka;
use crate::load::Inputs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The directory and the configuration of a daemon.
pub(crate) struct DaemonSetup {
    name: String,
    accounts: String,
    dir: PathBuf,
    port: u16,
}

/// A running daemon. Dropping it sends SIGKILL.
pub(crate) struct Daemon {
    child: Child,
    port: u16,
    log: PathBuf,
    started: Instant,
}

impl DaemonSetup {
    /// Writes the configuration. Only the names, the limit in flight and the retries differ from the daemon's defaults.
    pub(crate) fn new(
        kafka: &Kafka,
        name: &str,
        inputs: &Inputs,
        url: &str,
        in_flight: usize,
    ) -> Self {
        let accounts = format!(
            r#"[[account]]
id = 28
"account.sms.notifyOnDelivery" = true
"account.sms.notifyOnDelivery.attachflowkeys" = true
http_enabled = true
[[webhook]]
name = "crm"
account = 28
default = true
url = "{url}"
in_flight_max = {in_flight}
signing_secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
"#
        );
        Self::with_accounts(kafka, name, inputs, &accounts)
    }

    /// Like `new`, with this accounts file.
    pub(crate) fn with_accounts(
        kafka: &Kafka,
        name: &str,
        inputs: &Inputs,
        accounts: &str,
    ) -> Self {
        Self::instance(kafka, name, 0, inputs, accounts)
    }

    /// Returns the setup of a second instance of the same daemon.
    pub(crate) fn sibling(&self, kafka: &Kafka, inputs: &Inputs) -> Self {
        Self::instance(kafka, &self.name, 1, inputs, &self.accounts)
    }

    fn instance(kafka: &Kafka, name: &str, number: u8, inputs: &Inputs, accounts: &str) -> Self {
        let dir = run_dir().join(format!("{name}-{number}"));
        std::fs::create_dir_all(&dir).expect("a directory for the daemon");
        let port = free_port();
        let settings = format!(
            r#"[kafka]
bootstrap_servers = "{}"
group_id = "{name}"
instance_id = "{name}-{number}"
[topics]
flow_complete = "{}"
delivery_report = "{}"
events = "{name}.events"
dead_letter = "{name}.dead-letter"
changelog = "{name}.changelog"
inbox = "{name}.inbox"
[store]
directory = "data"
[http]
listen = "127.0.0.1:{port}"
[accounts]
file = "accounts.toml"
[delivery]
allow_addresses = ["127.0.0.0/8"]
[delivery.retry]
initial_interval_ms = 3600000
"#,
            kafka.bootstrap(),
            inputs.flows,
            inputs.reports,
        );
        std::fs::write(dir.join("ringback.toml"), settings).expect("the settings");
        std::fs::write(dir.join("accounts.toml"), accounts).expect("the accounts");
        Self { name: name.to_owned(), accounts: accounts.to_owned(), dir, port }
    }

    /// Returns the changelog's name.
    pub(crate) fn changelog(&self) -> String {
        format!("{}.changelog", self.name)
    }

    /// Deletes the store.
    pub(crate) fn delete_store(&self) {
        std::fs::remove_dir_all(self.dir.join("data")).expect("a store");
    }

    /// Starts the daemon without waiting.
    pub(crate) fn spawn(&self) -> Daemon {
        self.start(&["run"], self.port, "stderr.log", &[])
    }

    /// Starts the daemon on one core, without waiting.
    pub(crate) fn spawn_on(&self, core: usize) -> Daemon {
        let binary = std::env::var_os("RINGBACK_BIN");
        let mut command = mortal("taskset");
        command.arg("-c").arg(core.to_string());
        command.arg(binary.unwrap_or(env!("CARGO_BIN_EXE_ringback").into()));
        self.launch(command, &["run"], self.port, "stderr.log", &[])
    }

    /// Starts the daemon with accounts from the database at `url`, without waiting.
    pub(crate) fn spawn_with_database(&self, url: &str) -> Daemon {
        let variables = [
            ("RINGBACK__ACCOUNTS__SOURCE", "mysql"),
            ("RINGBACK__ACCOUNTS__MYSQL__URL", url),
            ("RINGBACK__ACCOUNTS__MYSQL__TLS", "off"),
            ("RINGBACK__ACCOUNTS__MYSQL__POLL_INTERVAL_S", "1"),
        ];
        self.start(&["run"], self.port, "stderr.log", &variables)
    }

    /// Starts the sink to the database at `uri`, with the daemon's configuration.
    pub(crate) fn spawn_sink(&self, uri: &str) -> Daemon {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let variables = [
            ("RINGBACK__SINK__MONGODB__URI", uri),
            ("RINGBACK__SINK__MONGODB__DATABASE", "bench"),
            ("RINGBACK__SINK__MONGODB__LISTEN", &listen),
        ];
        self.start(&["sink", "mongodb"], port, "sink.log", &variables)
    }

    fn start(&self, words: &[&str], port: u16, log: &str, variables: &[(&str, &str)]) -> Daemon {
        let binary = std::env::var_os("RINGBACK_BIN");
        let command = mortal(binary.unwrap_or(env!("CARGO_BIN_EXE_ringback").into()));
        self.launch(command, words, port, log, variables)
    }

    fn launch(
        &self,
        mut command: Command,
        words: &[&str],
        port: u16,
        log: &str,
        variables: &[(&str, &str)],
    ) -> Daemon {
        let log = self.dir.join(log);
        let file = std::fs::File::options().append(true).create(true).open(&log);
        let file = file.expect("the daemon's log");
        command.args(words).arg("--config").arg(self.dir.join("ringback.toml"));
        command.envs(variables.iter().copied());
        command.stdout(file.try_clone().expect("a handle")).stderr(file);
        let started = Instant::now();
        Daemon { child: child::spawn(command), port, log, started }
    }
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `/readyz` answers 200. Returns the time since the start.
    pub(crate) fn wait_ready(&mut self, timeout: Duration) -> Duration {
        while !matches!(http::get(self.port, "/readyz"), Ok((200, _))) {
            let ended = self.child.try_wait().expect("a child");
            let late = self.started.elapsed() > timeout;
            assert!(ended.is_none() && !late, "{ended:?}: {}", tail(&self.log, 40));
            std::thread::sleep(Duration::from_millis(5));
        }
        self.started.elapsed()
    }

    /// Returns the sum of a metric's series whose labels contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        self.try_metric(name, label).expect("/metrics answers")
    }

    /// Like `metric`, or `None` while the process does not answer.
    pub(crate) fn try_metric(&self, name: &str, label: &str) -> Option<f64> {
        let (_, text) = http::get(self.port, "/metrics").ok()?;
        let series = text.lines().filter_map(|line| line.rsplit_once(' '));
        let of_it = series
            .filter(|(series, _)| series.split('{').next() == Some(name) && series.contains(label));
        Some(of_it.map(|(_, value)| value.parse::<f64>().expect("a number")).sum())
    }

    /// Sends SIGTERM and waits for the end of the process.
    pub(crate) fn stop(mut self) {
        child::signal(&self.child, "TERM");
        let status = self.child.wait().expect("the daemon ends");
        assert!(status.success(), "{status}: {}", tail(&self.log, 40));
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
