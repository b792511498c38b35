//! A network that fails on purpose: a proxy between the daemon and a broker that distinguishes requests and answers.
//!
//! The broker advertises the proxy's address to clients that come through it, for its coordinators too. So no answer
//! must be rewritten, and no client bypasses the proxy. A [`Fault`] applies to one client, by its `client.id`, so that
//! tests can share a proxy.

use super::broker::Broker;
use super::kafka::Kafka;
use super::wait_until;
use std::collections::{BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

/// Longer than any frame of a test.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// The kind of a request, as Kafka's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Api(i16);

impl Api {
    pub(crate) const PRODUCE: Self = Self(0);
    pub(crate) const FETCH: Self = Self(1);
    pub(crate) const OFFSET_FETCH: Self = Self(9);
    pub(crate) const HEARTBEAT: Self = Self(12);
    pub(crate) const TXN_OFFSET_COMMIT: Self = Self(28);
    const END_TXN: Self = Self(26);
}

/// The requests that a fault meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meets {
    /// Requests of this kind.
    Api(Api),
    /// Requests that commit a transaction.
    Commit,
    /// All requests.
    Everything,
}

/// The effect of a fault on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// The broker does not get the request, and the connection is cut.
    LoseRequest,
    /// The broker executes the request, its answer is lost, and the connection is cut.
    LoseAnswer,
    /// The broker executes the request, half of its answer comes, and the connection is cut.
    HalveAnswer,
    /// The broker executes the request, its answer is lost, and all connections of the client are cut.
    CutAll,
    /// The request and all later ones are held until the fault is lifted. Then the connection is cut.
    HoldRequest,
    /// The answer and all later ones are held until the fault is lifted. Then the connection is cut.
    HoldAnswer,
}

struct Rule {
    client: String,
    meets: Meets,
    does: Does,
    /// The number of further requests that the fault may meet.
    left: AtomicUsize,
    fired: AtomicUsize,
    lifted: AtomicBool,
}

/// A fault. Dropping it lifts it, and panics if it has met no request.
pub(crate) struct Fault {
    rule: Arc<Rule>,
    state: Arc<State>,
}

struct State {
    broker_port: u16,
    rules: Mutex<Vec<Arc<Rule>>>,
    links: Mutex<Vec<Arc<Link>>>,
    lifted: Condvar,
}

/// A connection of a client, and the corresponding connection to the broker.
struct Link {
    client: TcpStream,
    broker: TcpStream,
    client_id: Mutex<String>,
    /// The faults of requests without an answer so far, by correlation id.
    asked: Mutex<HashMap<i32, Arc<Rule>>>,
}

/// The proxy in front of a broker.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
    broker: Broker,
}

/// Returns the proxy that all tests share. The first call starts it and its broker.
pub(crate) fn shared() -> &'static Proxy {
    static SHARED: OnceLock<Proxy> = OnceLock::new();
    SHARED.get_or_init(Proxy::start)
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let broker = Broker::start_behind(port);
        let state = Arc::new(State {
            broker_port: broker.behind_port(),
            rules: Mutex::default(),
            links: Mutex::default(),
            lifted: Condvar::new(),
        });
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                State::serve(&served, client);
            }
        });
        Self { port, state, broker }
    }

    /// Returns the broker for clients that no fault meets.
    pub(crate) fn kafka(&self) -> Kafka {
        self.broker.kafka()
    }

    /// Returns the bootstrap address for clients that faults can meet.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Panics unless the process is connected to the broker, and only through this proxy.
    pub(crate) fn assert_between(&self, pid: u32) {
        let kafka = self.broker.kafka();
        let direct = kafka.bootstrap().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let peers = peers(pid);
        assert!(peers.contains(&self.port), "no connection by the proxy: {peers:?}");
        for round in [direct.expect("a port"), self.broker.behind_port()] {
            assert!(!peers.contains(&round), "a connection bypasses the proxy: {peers:?}");
        }
    }

    /// Adds a fault that meets the next such request of the client.
    pub(crate) fn once(&self, client: &str, meets: Meets, does: Does) -> Fault {
        self.fault(client, meets, does, 1)
    }

    /// Adds a fault that meets all such requests of the client until it is lifted.
    pub(crate) fn until_lifted(&self, client: &str, meets: Meets, does: Does) -> Fault {
        self.fault(client, meets, does, usize::MAX)
    }

    fn fault(&self, client: &str, meets: Meets, does: Does, times: usize) -> Fault {
        let rule = Arc::new(Rule {
            client: client.to_owned(),
            meets,
            does,
            left: AtomicUsize::new(times),
            fired: AtomicUsize::new(0),
            lifted: AtomicBool::new(false),
        });
        self.state.rules.lock().expect("no panic inside").push(Arc::clone(&rule));
        Fault { rule, state: Arc::clone(&self.state) }
    }
}

impl Fault {
    /// Returns how many requests the fault has met.
    pub(crate) fn fired(&self) -> usize {
        self.rule.fired.load(Ordering::SeqCst)
    }

    /// Waits until the fault has met a request.
    pub(crate) fn wait_fired(&self, timeout: Duration) {
        let what = format!("{:?} of {:?}", self.rule.does, self.rule.meets);
        wait_until(&what, timeout, || (self.fired() > 0).then_some(()));
    }

    /// Ends the fault. Held requests and answers are lost.
    pub(crate) fn lift(self) {
        drop(self);
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let mut rules = self.state.rules.lock().expect("no panic inside");
        rules.retain(|rule| !Arc::ptr_eq(rule, &self.rule));
        self.rule.lifted.store(true, Ordering::SeqCst);
        self.state.lifted.notify_all();
        drop(rules);
        let fired = self.fired() > 0 || std::thread::panicking();
        assert!(fired, "{:?} of {:?} has met no request", self.rule.does, self.rule.meets);
    }
}

impl State {
    fn serve(state: &Arc<Self>, client: TcpStream) {
        // While the broker is down, the client's connection is closed.
        let Ok(broker) = TcpStream::connect(("127.0.0.1", state.broker_port)) else { return };
        let _nodelay = client.set_nodelay(true).and_then(|()| broker.set_nodelay(true));
        let link =
            Arc::new(Link { client, broker, client_id: Mutex::default(), asked: Mutex::default() });
        state.links.lock().expect("no panic inside").push(Arc::clone(&link));
        let (requests, answers) = (Arc::clone(&link), link);
        let (asking, answering) = (Arc::clone(state), Arc::clone(state));
        std::thread::spawn(move || {
            // A connection ends with an error, which is expected.
            let _ended = asking.requests(&requests);
            requests.cut();
            let mut links = asking.links.lock().expect("no panic inside");
            links.retain(|link| !Arc::ptr_eq(link, &requests));
        });
        std::thread::spawn(move || {
            let _ended = answering.answers(&answers);
            answers.cut();
        });
    }

    fn requests(&self, link: &Link) -> std::io::Result<()> {
        loop {
            let frame = read(&link.client)?;
            let request = Request::of(&frame);
            request.client_id.clone_into(&mut link.client_id.lock().expect("no panic inside"));
            let Some(rule) = self.rule(&request) else {
                (&link.broker).write_all(&frame)?;
                continue;
            };
            match rule.does {
                Does::LoseRequest => {
                    rule.fire();
                    return Ok(());
                }
                Does::HoldRequest => {
                    rule.fire();
                    self.wait_lifted(&rule);
                    return Ok(());
                }
                Does::LoseAnswer | Does::HalveAnswer | Does::CutAll | Does::HoldAnswer => {
                    let mut asked = link.asked.lock().expect("no panic inside");
                    asked.insert(request.correlation, rule);
                    drop(asked);
                    (&link.broker).write_all(&frame)?;
                }
            }
        }
    }

    fn answers(&self, link: &Link) -> std::io::Result<()> {
        loop {
            let frame = read(&link.broker)?;
            let correlation = i32::from_be_bytes(part(&frame, 4));
            let asked = link.asked.lock().expect("no panic inside").remove(&correlation);
            let Some(rule) = asked else {
                (&link.client).write_all(&frame)?;
                continue;
            };
            rule.fire();
            match rule.does {
                Does::HalveAnswer => (&link.client).write_all(&frame[..frame.len().div_ceil(2)])?,
                Does::HoldAnswer => self.wait_lifted(&rule),
                Does::CutAll => self.cut_all(&rule.client),
                Does::LoseAnswer | Does::LoseRequest | Does::HoldRequest => {}
            }
            return Ok(());
        }
    }

    fn rule(&self, request: &Request<'_>) -> Option<Arc<Rule>> {
        let rules = self.rules.lock().expect("no panic inside");
        let next = |left: usize| left.checked_sub(1);
        let takes = |rule: &&Arc<Rule>| {
            let meets = rule.client == request.client_id && request.is_met_by(rule.meets);
            meets && rule.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
        };
        rules.iter().find(takes).cloned()
    }

    fn wait_lifted(&self, rule: &Rule) {
        let mut rules = self.rules.lock().expect("no panic inside");
        while !rule.lifted.load(Ordering::SeqCst) {
            rules = self.lifted.wait(rules).expect("no panic inside");
        }
    }

    fn cut_all(&self, client_id: &str) {
        for link in self.links.lock().expect("no panic inside").iter() {
            if *link.client_id.lock().expect("no panic inside") == client_id {
                link.cut();
            }
        }
    }
}

impl Rule {
    fn fire(&self) {
        self.fired.fetch_add(1, Ordering::SeqCst);
    }
}

impl Link {
    fn cut(&self) {
        // The connection may be closed already.
        let _client = self.client.shutdown(Shutdown::Both);
        let _broker = self.broker.shutdown(Shutdown::Both);
    }
}

/// The fields with which each request of any version begins.
struct Request<'a> {
    api: Api,
    version: i16,
    correlation: i32,
    client_id: &'a str,
    frame: &'a [u8],
}

impl<'a> Request<'a> {
    fn of(frame: &'a [u8]) -> Self {
        let length = i16::from_be_bytes(part(frame, 12));
        let length = usize::try_from(length).unwrap_or(0);
        Self {
            api: Api(i16::from_be_bytes(part(frame, 4))),
            version: i16::from_be_bytes(part(frame, 6)),
            correlation: i32::from_be_bytes(part(frame, 8)),
            client_id: std::str::from_utf8(&frame[14..14 + length]).expect("a client id is text"),
            frame,
        }
    }

    fn is_met_by(&self, meets: Meets) -> bool {
        match meets {
            Meets::Api(api) => self.api == api,
            Meets::Commit => self.api == Api::END_TXN && self.commits(),
            Meets::Everything => true,
        }
    }

    /// Returns the last field of an `EndTxn`. From version 3 on an empty list of tagged fields follows it.
    fn commits(&self) -> bool {
        let tagged = usize::from(self.version >= 3);
        self.frame[self.frame.len() - 1 - tagged] == 1
    }
}

fn part<const N: usize>(frame: &[u8], at: usize) -> [u8; N] {
    frame[at..at + N].try_into().expect("a slice of this length")
}

/// Reads a frame and returns it with its length in front.
fn read(mut stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let bytes = usize::try_from(i32::from_be_bytes(length)).expect("a length");
    assert!(bytes <= FRAME_BYTES_MAX, "not a frame of Kafka: {bytes} bytes");
    let mut frame = length.to_vec();
    frame.resize(4 + bytes, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Returns the remote ports of a process's TCP connections over IPv4.
fn peers(pid: u32) -> BTreeSet<u16> {
    let sockets = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    let target =
        |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    let inode = |link: std::path::PathBuf| {
        Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    let inodes: BTreeSet<String> = sockets.filter_map(target).filter_map(inode).collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("a table");
    let peer = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = fields.get(2)?.rsplit_once(':')?.1;
        let ours = inodes.contains(*fields.get(9)?);
        u16::from_str_radix(port, 16).ok().filter(|port| ours && *port > 0)
    };
    table.lines().filter_map(peer).collect()
}
