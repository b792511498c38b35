//! A real MariaDB in a directory of its own: one for the whole run, and further ones for tests that kill theirs.

use super::child::{self, free_port, mortal, run_dir, tail};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The ready tables.
pub(crate) const TABLES: &str = include_str!("../../../schemas/mysql/tables.sql");
/// Accountconfig with one row for each setting.
pub(crate) const SETTINGS: &str = include_str!("../../../schemas/mysql/settings.sql");
/// The password of the user that daemons log in as.
const PASSWORD: &str = "hush-hush";

/// A server's process, and the data that a restart needs.
pub(crate) struct MariaDb {
    port: u16,
    dir: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

impl MariaDb {
    /// Returns the server of the whole run, which the first call starts.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        SHARED.get_or_init(|| MariaDb::start(&[]))
    }

    /// Starts a new server with these further arguments, and waits until it is ready.
    pub(crate) fn start(arguments: &[String]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = run_dir().join(format!("mariadb-{number}"));
        std::fs::create_dir_all(&dir).expect("a directory for the server");
        let mut install = Command::new("mariadb-install-db");
        install.arg("--no-defaults").arg(format!("--datadir={}", dir.join("data").display()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args(user());
        let output = install.output().expect("mariadb-install-db runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let (port, arguments) = (free_port(), arguments.to_vec());
        let child = run(&dir, port, &arguments);
        let server = Self { port, dir, arguments, child };
        server.wait_ready();
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn wait_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !self.client("SELECT 1").output().expect("the client runs").status.success() {
            let log = self.dir.join("log");
            assert!(Instant::now() < deadline, "MariaDB does not start: {}", tail(&log, 40));
        }
    }

    fn client(&self, statement: &str) -> Command {
        let mut client = Command::new("mariadb");
        client.arg("--no-defaults").arg(format!("--socket={}", self.socket().display()));
        client.args(["--user=root", "--batch", "--skip-column-names", "-e", statement]);
        client
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Executes statements and returns their rows.
    pub(crate) fn execute(&self, statements: &str) -> String {
        let output = self.client(statements).output().expect("the client runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {error}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server ends");
    }

    /// Starts the server again with the same data and port.
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.dir, self.port, &self.arguments);
        self.wait_ready();
    }

    /// Sends `signal`: after STOP, the server accepts connections and does not answer until CONT.
    pub(crate) fn signal(&self, signal: &str) {
        child::signal(&self.child, signal);
    }

    /// Creates a database and a user for a test.
    pub(crate) fn create(&self, name: &str) -> Schema<'_> {
        let schema = Schema { server: self, name: name.replace('-', "_") };
        let name = &schema.name;
        self.execute(&format!(
            "CREATE DATABASE {name}; CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON {name}.* TO {name}@'%'"
        ));
        schema
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
        let _removed = std::fs::remove_dir_all(&self.dir);
    }
}

/// A server that root starts must be allowed to run as root.
fn user() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().expect("id runs").stdout;
    (id.trim_ascii() == b"0").then_some("--user=root")
}

fn run(dir: &std::path::Path, port: u16, arguments: &[String]) -> Child {
    let path = |name: &str| dir.join(name).display().to_string();
    let mut server = mortal("mariadbd");
    server.arg("--no-defaults").args(user());
    server.arg(format!("--datadir={}", path("data")));
    server.arg(format!("--socket={}", path("socket")));
    server.arg(format!("--pid-file={}", path("pid")));
    server.arg(format!("--port={port}"));
    server.args([
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--innodb-buffer-pool-size=64M",
    ]);
    server.args(["--innodb-flush-log-at-trx-commit=2", "--character-set-server=utf8mb4"]);
    server.args(arguments);
    let log = dir.join("log");
    let file = std::fs::File::options().append(true).create(true).open(&log).expect("a log");
    server.stdout(file.try_clone().expect("a file")).stderr(file);
    child::spawn(server)
}

/// A database of a server.
pub(crate) struct Schema<'a> {
    server: &'a MariaDb,
    name: String,
}

impl Schema<'_> {
    /// Returns the name of the database and of its user.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL for daemons.
    pub(crate) fn url(&self) -> String {
        let (name, port) = (&self.name, self.server.port);
        format!("mysql://{name}:{PASSWORD}@127.0.0.1:{port}/{name}")
    }

    /// Executes statements in the database and returns their rows.
    pub(crate) fn execute(&self, statements: &str) -> String {
        self.server.execute(&format!("USE {}; {statements}", self.name))
    }

    /// Adds an account with both settings and a default webhook to the ready tables.
    pub(crate) fn add_account(&self, id: i64, webhook: &str, url: &str) {
        self.execute(&format!(
            "INSERT INTO Accountconfig (id, `account.sms.notifyOnDelivery`, `account.sms.notifyOnDelivery.attachflowkeys`, http_enabled)
             VALUES ({id}, TRUE, TRUE, TRUE);
             INSERT INTO ringback_webhook (name, account, `default`, url) VALUES ('{webhook}', {id}, TRUE, '{url}')"
        ));
    }
}
