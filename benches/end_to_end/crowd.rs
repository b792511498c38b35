//! Many endpoints, most of which fail, and the effect of these on the working ones.

use crate::broker::Broker;
use crate::daemon::{Daemon, DaemonSetup};
use crate::kafka::Kafka;
use crate::load::{self, Gateway, Ids, Inputs, Templates};
use crate::process::memory_kib;
use crate::receiver::{Receiver, now_us};
use crate::table::{Figure, Target};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// The number of working endpoints, and the flows per second of each.
const WELL: i64 = 18;
const WELL_RATE: f64 = 50.0;
/// The flows per second of each failing endpoint, and the number of such endpoints.
const ILL_RATE: f64 = 10.0;
const ILL: usize = 40;
/// The measured time, after the warm-up.
const MEASURED: Duration = Duration::from_secs(40);
const WARM_UP: Duration = Duration::from_secs(5);
const READY: Duration = Duration::from_secs(120);

/// The default webhook of an account with the same number.
struct Customer {
    account: i64,
    url: String,
    timeout_ms: u32,
}

fn accounts(targets: &[Customer]) -> String {
    let entry = |target: &Customer| {
        let Customer { account, url, timeout_ms } = target;
        format!(
            "[[account]]\nid = {account}\nhttp_enabled = true\n[[webhook]]\nname = \"endpoint-{account}\"\naccount = \
             {account}\ndefault = true\nurl = \"{url}\"\nrequest_timeout_ms = {timeout_ms}\n"
        )
    };
    targets.iter().map(entry).collect()
}

/// The way in which an endpoint fails.
#[derive(Clone, Copy)]
enum Trouble {
    /// Accepts connections and never answers.
    Hangs,
    /// Resets each connection.
    Resets,
    /// Answers after 30 seconds.
    IsSlow,
    /// Answers one second before the default timeout.
    IsLate,
    /// Answers 200 at once, and never ends the body.
    IsEndless,
}

/// Starts a failing endpoint on a new port and returns its URL.
fn trouble(kind: Trouble) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().flatten() {
            match kind {
                Trouble::Hangs => held.push(stream),
                // Closing a connection with unread data resets it.
                Trouble::Resets => drop(stream.set_nodelay(true)),
                Trouble::IsSlow => drop(std::thread::spawn(move || slow(stream, 30))),
                Trouble::IsLate => drop(std::thread::spawn(move || slow(stream, 14))),
                Trouble::IsEndless => drop(std::thread::spawn(move || endless(stream))),
            }
        }
    });
    url
}

fn slow(mut stream: TcpStream, seconds: u64) {
    let mut buffer = [0; 16 << 10];
    while let Ok(1..) = stream.read(&mut buffer) {
        std::thread::sleep(Duration::from_secs(seconds));
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn endless(mut stream: TcpStream) {
    let mut buffer = [0; 16 << 10];
    if !matches!(stream.read(&mut buffer), Ok(1..)) {
        return;
    }
    let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    while written.is_ok() {
        std::thread::sleep(Duration::from_millis(500));
        written = stream.write_all(b"x");
    }
}

/// The results of the working endpoints.
struct Service {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Runs the part `neighbours`: 18 working endpoints, alone and together with failing ones.
pub(crate) fn neighbours(broker: &Broker, receiver: &mut Receiver, figures: &mut Vec<Figure>) {
    let kafka = broker.kafka();
    let templates = Templates::new();
    println!(
        "neighbours: {WELL} endpoints at {WELL_RATE:.0} flows/s, alone and with others at {ILL_RATE:.0}/s each: {ILL} that hang, \
         one that resets and one that takes 30 s; {ILL} that answer after 14 s of 15; {ILL} that never end their answers"
    );
    let hang = (0..ILL).map(|_| (Trouble::Hangs, 15_000));
    let others = [(Trouble::Resets, 15_000), (Trouble::IsSlow, 60_000)];
    let variants = [
        ("alone", Vec::new()),
        ("among 42 bad ones", hang.chain(others).collect()),
        ("among 40 late ones", vec![(Trouble::IsLate, 15_000); ILL]),
        ("among 40 endless ones", vec![(Trouble::IsEndless, 15_000); ILL]),
    ];
    let mut alone: Option<Service> = None;
    for (number, (who, ill)) in variants.iter().enumerate() {
        let service = serve(&kafka, receiver, &templates, &format!("neighbours-{number}"), ill);
        let name = |what: &str| format!("18 endpoints {who}: {what}");
        figures.push(Figure::new(name("delivered"), service.per_second, "/s"));
        figures.push(Figure::new(name("latency p50"), service.p50_ms, "ms"));
        figures.push(Figure::new(name("latency p99"), service.p99_ms, "ms"));
        let Some(alone) = &alone else {
            alone = Some(service);
            continue;
        };
        let times = service.per_second / alone.per_second;
        let throughput = Figure::new(name("throughput, times that alone"), times, "×");
        figures.push(throughput.target(Target::AtLeast(0.95)));
        let p99 = service.p99_ms / alone.p99_ms;
        let p99 = Figure::new(name("latency p99, times that alone"), p99, "×");
        figures.push(p99.target(Target::AtMost(1.05)));
    }
}

fn serve(
    kafka: &Kafka,
    receiver: &mut Receiver,
    templates: &Templates,
    name: &str,
    ill: &[(Trouble, u32)],
) -> Service {
    let mut targets: Vec<Customer> = (1..=WELL)
        .map(|account| Customer { account, url: receiver.url(), timeout_ms: 15_000 })
        .collect();
    for (account, (kind, timeout_ms)) in (WELL + 1..).zip(ill) {
        targets.push(Customer { account, url: trouble(*kind), timeout_ms: *timeout_ms });
    }
    let inputs = Inputs::create(kafka, name);
    let setup = DaemonSetup::with_accounts(kafka, name, &inputs, &accounts(&targets));
    let mut daemon = setup.spawn();
    daemon.wait_ready(READY);
    receiver.reset();
    let (well, ill): (Vec<i64>, Vec<i64>) =
        targets.iter().map(|target| target.account).partition(|account| *account <= WELL);
    let sent = steadily(kafka, &inputs, templates, &well, &ill);
    let counted_from = sent.values().min().expect("at least one flow") + WARM_UP.as_micros() as u64;
    receiver.wait_for(sent.len() as u64, "the working endpoints");
    let service = measure(receiver, &sent, counted_from);
    daemon.stop();
    service
}

/// Sends flows of these accounts at their rates. Returns the times at which the flows of the working endpoints were
/// sent.
fn steadily(
    kafka: &Kafka,
    inputs: &Inputs,
    templates: &Templates,
    well: &[i64],
    ill: &[i64],
) -> BTreeMap<String, u64> {
    let gateway = Gateway::new(kafka, 5);
    let seconds = (WARM_UP + MEASURED).as_secs_f64();
    let mut due: Vec<(f64, i64)> = Vec::new();
    for (accounts, rate) in [(well, WELL_RATE), (ill, ILL_RATE)] {
        for (place, account) in accounts.iter().enumerate() {
            let offset = place as f64 / accounts.len() as f64 / rate;
            due.extend(
                (0..(seconds * rate) as usize).map(|n| (offset + n as f64 / rate, *account)),
            );
        }
    }
    due.sort_by(|a, b| a.0.total_cmp(&b.0));
    let start = Instant::now();
    let mut sent = BTreeMap::new();
    for ((due, account), ids) in due.iter().zip(load::ids(due.len(), 7)) {
        if let Some(ahead) = Duration::from_secs_f64(*due).checked_sub(start.elapsed()) {
            std::thread::sleep(ahead.max(Duration::from_millis(2)));
        }
        if *account <= WELL {
            sent.insert(ids.uuid.clone(), now_us());
        }
        gateway.send(&inputs.flows, &ids.uuid, &of(templates, &ids, *account));
    }
    gateway.flush();
    sent
}

fn of(templates: &Templates, ids: &Ids, account: i64) -> String {
    templates.small(ids).replace("\"accountID\":28", &format!("\"accountID\":{account}"))
}

fn measure(receiver: &mut Receiver, sent: &BTreeMap<String, u64>, from: u64) -> Service {
    let arrivals = receiver.take();
    let counted = sent.iter().filter(|(_, at)| **at >= from);
    let arrived = |uuid: &String| *arrivals.get(&(uuid.clone(), 1)).expect("an arrival");
    let mut latencies: Vec<u64> =
        counted.clone().map(|(uuid, at)| arrived(uuid).saturating_sub(*at)).collect();
    latencies.sort_unstable();
    let last = counted.map(|(uuid, _)| arrived(uuid)).max().expect("at least one flow");
    let percentile = |of: usize| latencies[(latencies.len() - 1) * of / 1000] as f64 / 1000.0;
    Service {
        per_second: latencies.len() as f64 * 1e6 / (last - from) as f64,
        p50_ms: percentile(500),
        p99_ms: percentile(990),
    }
}

/// Runs the part `lanes`: a backlog of `waiting` deliveries in thousands of lanes.
pub(crate) fn lanes(
    broker: &Broker,
    receiver: &mut Receiver,
    waiting: usize,
    figures: &mut Vec<Figure>,
) {
    const LANES: i64 = 2000;
    let kafka = broker.kafka();
    let templates = Templates::new();
    println!(
        "lanes: {waiting} deliveries wait in {LANES} lanes whose endpoints hang, one endpoint works"
    );
    let hangs = trouble(Trouble::Hangs);
    let mut targets: Vec<Customer> = (2..2 + LANES)
        .map(|account| Customer { account, url: hangs.clone(), timeout_ms: 15_000 })
        .collect();
    targets.push(Customer { account: 1, url: receiver.url(), timeout_ms: 15_000 });
    let inputs = Inputs::create(&kafka, "lanes");
    let setup = DaemonSetup::with_accounts(&kafka, "lanes", &inputs, &accounts(&targets));
    let mut daemon = setup.spawn();
    daemon.wait_ready(READY);
    let mib = |daemon: &Daemon, field| memory_kib(daemon.pid(), field) as f64 / 1024.0;
    // The lane has worked before the other endpoints hang.
    receiver.reset();
    let gateway = Gateway::new(&kafka, 5);
    for ids in load::ids(50, 9) {
        gateway.send(&inputs.flows, &ids.uuid, &of(&templates, &ids, 1));
    }
    gateway.flush();
    receiver.wait_for(50, "the healthy lane");
    let before = mib(&daemon, "VmRSS:");
    let gateway = Gateway::new(&kafka, 20);
    let start = Instant::now();
    for (number, ids) in load::ids(waiting, 8).enumerate() {
        let account = 2 + number as i64 % LANES;
        gateway.send(&inputs.flows, &ids.uuid, &of(&templates, &ids, account));
    }
    gateway.flush();
    let rows = || daemon.metric("ringback_outbox_rows", "state=") as usize;
    while rows() < waiting * 99 / 100 {
        assert!(start.elapsed() < Duration::from_secs(900), "only {} deliveries wait", rows());
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("  all accepted after {:.0} s", start.elapsed().as_secs_f64());
    receiver.reset();
    let sent = steadily(&kafka, &inputs, &templates, &[1], &[]);
    let from = sent.values().min().expect("at least one flow") + WARM_UP.as_micros() as u64;
    receiver.wait_for(sent.len() as u64, "the healthy lane");
    let service = measure(receiver, &sent, from);
    println!(
        "  {} attempts were made meanwhile, {} are in flight",
        daemon.metric("ringback_attempts_total", ""),
        daemon.metric("ringback_outbox_rows", "in_flight"),
    );
    figures.push(Figure::new("2,000 lanes: memory before the backlog", before, "MiB"));
    figures.push(Figure::new("2,000 lanes: memory with it", mib(&daemon, "VmRSS:"), "MiB"));
    figures.push(Figure::new("2,000 lanes: peak memory", mib(&daemon, "VmHWM:"), "MiB"));
    figures.push(Figure::new("2,000 lanes: fresh delivery, p50", service.p50_ms, "ms"));
    let p99 = Figure::new("2,000 lanes: fresh delivery, p99", service.p99_ms, "ms");
    figures.push(p99.target(Target::AtMost(150.0)));
    // A clean stop would only wait for the hanging attempts.
    drop(daemon);
}
