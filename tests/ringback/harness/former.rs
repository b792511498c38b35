//! Apache Kafka 2.7 with its ZooKeeper, the last version that gives topics no ids. One broker serves the whole run.

use super::broker::{QUICK, java_of};
use super::child::{self, free_port, run_dir, tail};
use super::kafka::Kafka;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The processes of the broker and of ZooKeeper. Both end with the run.
struct Former {
    port: u16,
    dir: PathBuf,
    _zookeeper: Child,
    _broker: Child,
}

/// Returns the broker, which the first call starts, once it is ready.
pub(crate) fn shared() -> Kafka {
    static SHARED: OnceLock<Former> = OnceLock::new();
    let former = SHARED.get_or_init(Former::start);
    Kafka::at(format!("127.0.0.1:{}", former.port))
}

impl Former {
    fn start() -> Self {
        let dir = run_dir().join("kafka-2.7");
        std::fs::create_dir_all(&dir).expect("a directory for the broker");
        let (port, zookeeper_port) = (free_port(), free_port());
        let zookeeper = format!(
            "dataDir={}\nclientPort={zookeeper_port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            dir.join("zookeeper").display()
        );
        let zookeeper = run(
            &dir,
            "zookeeper",
            "-Xmx96m",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            &zookeeper,
        );
        // The broker waits until ZooKeeper is ready.
        let broker =
            run(&dir, "broker", "-Xmx384m", "kafka.Kafka", &properties(port, zookeeper_port, &dir));
        let former = Self { port, dir, _zookeeper: zookeeper, _broker: broker };
        former.wait_ready();
        former
    }

    fn wait_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        let kafka = Kafka::at(format!("127.0.0.1:{}", self.port));
        while !kafka.answers(Duration::from_millis(500)) {
            let log = self.dir.join("broker.log");
            assert!(Instant::now() < deadline, "Kafka 2.7 does not start: {}", tail(&log, 40));
        }
    }
}

/// Returns the settings of the current broker, as far as Kafka 2.7 has them.
fn properties(port: u16, zookeeper_port: u16, dir: &Path) -> String {
    format!(
        "broker.id=1
zookeeper.connect=127.0.0.1:{zookeeper_port}
listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={}
{QUICK}",
        dir.join("data").display()
    )
}

fn run(dir: &Path, name: &str, heap: &str, class: &str, properties: &str) -> Child {
    let (settings, log) = (dir.join(format!("{name}.properties")), dir.join(format!("{name}.log")));
    std::fs::write(&settings, properties).expect("the process's settings");
    let log = std::fs::File::create(log).expect("the process's log");
    let mut command = java_of("kafka-2.7", heap);
    command.arg(class).arg(settings);
    command.stdout(log.try_clone().expect("a handle")).stderr(log);
    child::spawn(command)
}
