//! A single-node Apache Kafka (KRaft): one for the whole run, and further ones for tests that kill their broker.

use super::child::{self, cache, free_port, mortal, run_dir, tail};
use super::kafka::Kafka;
use base64::Engine;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A broker's process, and the data that a restart needs.
pub(crate) struct Broker {
    port: u16,
    /// The port of the listener that advertises another port than its own.
    behind_port: u16,
    /// The port of the listener at which clients log in, if there is one.
    door_port: u16,
    dir: PathBuf,
    pub(crate) child: Child,
}

/// A listener at which clients log in.
pub(crate) struct Door<'a> {
    /// The broker's settings of this listener, whose name is `door`.
    pub(crate) settings: &'a str,
    /// Further arguments of the tool that formats the broker's storage.
    pub(crate) format: &'a [&'a str],
    /// Listeners beside the door. Clients reach them at `localhost`.
    pub(crate) listeners: &'a [Listener<'a>],
}

/// A listener, with its security protocol.
pub(crate) struct Listener<'a> {
    pub(crate) name: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) port: u16,
}

/// Returns the broker of the whole run, which the first call starts.
pub(crate) fn shared() -> Kafka {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(Broker::start).kafka()
}

impl Broker {
    /// Starts a new broker with empty logs and waits until it is ready.
    pub(crate) fn start() -> Self {
        Self::start_behind(free_port())
    }

    /// Like `start`. Clients that connect to [`Broker::behind_port`] learn that this broker and each of its
    /// coordinators listen on `front_port`.
    pub(crate) fn start_behind(front_port: u16) -> Self {
        Self::start_as(front_port, None)
    }

    /// Starts a broker with a door. Its other listeners need no login.
    pub(crate) fn start_with(door: &Door<'_>) -> Self {
        Self::start_as(free_port(), Some(door))
    }

    fn start_as(front_port: u16, door: Option<&Door<'_>>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = run_dir().join(format!("broker-{number}"));
        std::fs::create_dir_all(&dir).expect("a directory for the broker");
        let (port, behind_port) = (free_port(), free_port());
        let ports = Ports { port, behind_port, front_port, controller_port: free_port() };
        let door_port = free_port();
        let mut settings = properties(&ports, &dir);
        if let Some(door) = door {
            settings.push_str(&door_properties(&ports, door_port, door));
        }
        std::fs::write(dir.join("server.properties"), settings).expect("the broker's settings");
        format_storage(&dir, number, door.map_or(&[], |door| door.format));
        let broker = Self { port, behind_port, door_port, child: run(&dir), dir };
        broker.wait_ready();
        broker
    }

    /// Returns the cluster for clients.
    pub(crate) fn kafka(&self) -> Kafka {
        Kafka::at(format!("127.0.0.1:{}", self.port))
    }

    /// Returns `host:port` of the door.
    pub(crate) fn door(&self) -> String {
        format!("127.0.0.1:{}", self.door_port)
    }

    /// Returns the port to which a proxy in front of the broker connects.
    pub(crate) fn behind_port(&self) -> u16 {
        self.behind_port
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the broker runs");
        self.child.wait().expect("the broker ends");
    }

    /// Starts the broker again with the same logs and port.
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.dir);
        self.wait_ready();
    }

    fn wait_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !self.kafka().answers(Duration::from_millis(500)) {
            let log = self.dir.join("broker.log");
            assert!(Instant::now() < deadline, "Kafka does not start: {}", tail(&log, 40));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The process may have ended, and the directory may be removed already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
        let _removed = std::fs::remove_dir_all(&self.dir);
    }
}

struct Ports {
    port: u16,
    behind_port: u16,
    front_port: u16,
    controller_port: u16,
}

/// Few internal partitions and small index files make the start and the clean-up quick. The other settings shorten to
/// seconds what takes minutes in production.
pub(super) const QUICK: &str = "auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=25165824
replica.fetch.max.bytes=25165824
log.index.size.max.bytes=1048576
";

fn properties(ports: &Ports, dir: &std::path::Path) -> String {
    let Ports { port, behind_port, front_port, controller_port } = ports;
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},BEHIND://127.0.0.1:{behind_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},BEHIND://127.0.0.1:{front_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={}
log.cleaner.backoff.ms=500
{QUICK}",
        dir.join("data").display()
    )
}

/// These settings come last: of two settings with the same name Kafka uses the last one.
fn door_properties(ports: &Ports, door_port: u16, door: &Door<'_>) -> String {
    let Ports { port, controller_port, .. } = ports;
    let own = format!("PLAINTEXT://127.0.0.1:{port},DOOR://127.0.0.1:{door_port}");
    let further = |host: &str| -> String {
        door.listeners.iter().map(|it| format!(",{}://{host}:{}", it.name, it.port)).collect()
    };
    let protocols = door.listeners.iter().map(|it| format!(",{}:{}", it.name, it.protocol));
    let protocols: String = protocols.collect();
    format!(
        "listeners={own}{},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={own}{}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DOOR:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
{}
",
        further("127.0.0.1"),
        further("localhost"),
        door.settings
    )
}

/// Returns a command that runs Java with Kafka's classes.
pub(crate) fn java(heap: &str) -> Command {
    java_of("kafka", heap)
}

/// Like `java`, with the classes of this version in the cache.
pub(crate) fn java_of(version: &str, heap: &str) -> Command {
    let libs = cache().join(version).join("libs");
    assert!(libs.is_dir(), "{} is missing: run ops/local/setup.sh test", libs.display());
    let mut command = mortal("java");
    command.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(libs.join("*"));
    command
}

/// Formats the storage of a broker, which is a cluster of its own.
fn format_storage(dir: &std::path::Path, number: u32, more: &[&str]) {
    // An id of a cluster has 16 bytes.
    let cluster = format!("ringback-{number:07}");
    let cluster = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(cluster);
    let mut command = java("-Xmx128m");
    command.args(["kafka.tools.StorageTool", "format", "--standalone", "-t", &cluster, "-c"]);
    command.arg(dir.join("server.properties")).args(more);
    let output = command.output().expect("java runs");
    assert!(output.status.success(), "format: {}", String::from_utf8_lossy(&output.stderr));
}

fn run(dir: &std::path::Path) -> Child {
    let log = std::fs::File::options().append(true).create(true).open(dir.join("broker.log"));
    let log = log.expect("the broker's log");
    let mut command = java("-Xmx512m");
    command.arg("kafka.Kafka").arg(dir.join("server.properties"));
    command.stdout(log.try_clone().expect("a handle")).stderr(log);
    child::spawn(command)
}
