//! The parts of the benchmark.

use crate::accounts;
use crate::bare::{self, Sender};
use crate::broker::Broker;
use crate::crowd;
use crate::daemon::{Daemon, DaemonSetup};
use crate::drain;
use crate::kafka::Kafka;
use crate::load::{self, Gateway, Inputs, PARTITIONS, Templates};
use crate::outages;
use crate::process::{cpu_us, memory_kib, settle, threads_cpu_us};
use crate::receiver::{Receiver, now_us};
use crate::sink;
use crate::table::{Figure, Target};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The parts' names.
pub(crate) const ALL: [&str; 13] = [
    "drain",
    "throughput",
    "latency",
    "idle",
    "waiting",
    "restore",
    "neighbours",
    "lanes",
    "comeback",
    "outage",
    "accounts",
    "sink",
    "pair",
];

/// The seconds that do not count, while the broker compiles its code and clients connect.
const WARM_UP_SECONDS: usize = 3;
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// The webhooks per second of a low load.
const LOW_RATE: f64 = 1000.0;

/// The sizes of the parts.
pub(crate) struct Sizes {
    /// Flows of the part `throughput`, with two webhooks each.
    pub(crate) flows: usize,
    /// Rounds of the part `throughput`.
    pub(crate) rounds: usize,
    /// Measured seconds of the part `latency`.
    pub(crate) seconds: usize,
    /// Webhooks per second of the part `latency`. `None`: half of the measured throughput.
    pub(crate) rate: Option<usize>,
    /// Deliveries that wait for an endpoint that is down.
    pub(crate) waiting: usize,
    /// Records that wait when the daemon starts. Half as many deliveries wait for an endpoint that recovers.
    pub(crate) backlog: usize,
    /// Requests in flight.
    pub(crate) in_flight: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            flows: 50_000,
            rounds: 3,
            seconds: 15,
            rate: None,
            waiting: 1_000_000,
            backlog: 1_000_000,
            in_flight: 64,
        }
    }
}

/// The resources with which one process delivered everything.
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// Microseconds of CPU per webhook.
    pub(crate) cpu: f64,
    /// Peak memory in MiB.
    pub(crate) peak: f64,
}

impl Run {
    pub(crate) fn of(pid: u32, webhooks: u64, span: Duration) -> Self {
        Self {
            per_second: webhooks as f64 / span.as_secs_f64(),
            cpu: cpu_us(pid) as f64 / webhooks as f64,
            peak: memory_kib(pid, "VmHWM:") as f64 / 1024.0,
        }
    }
}

/// Returns the middle value.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Bench<'a> {
    kafka: Kafka,
    receiver: Receiver,
    templates: Templates,
    sizes: &'a Sizes,
    /// Webhooks per second, once they are measured.
    throughput: Option<f64>,
    figures: Vec<Figure>,
}

/// Runs the parts and returns their figures.
pub(crate) fn run(wanted: &[&str], sizes: &Sizes) -> Vec<Figure> {
    let broker = Broker::start();
    let mut bench = Bench {
        kafka: broker.kafka(),
        receiver: Receiver::start(),
        templates: Templates::new(),
        sizes,
        throughput: None,
        figures: Vec::new(),
    };
    let wants = |part| wanted.contains(&part);
    if wants("drain") {
        drain::drain(&broker, &mut bench.receiver, sizes, &mut bench.figures);
    }
    if wants("throughput") {
        bench.throughput();
    }
    if wants("latency") || wants("idle") {
        bench.latency_and_idle(wants("latency"), wants("idle"));
    }
    if wants("waiting") || wants("restore") {
        bench.waiting_and_restore(wants("waiting"), wants("restore"));
    }
    if wants("neighbours") {
        crowd::neighbours(&broker, &mut bench.receiver, &mut bench.figures);
    }
    if wants("lanes") {
        crowd::lanes(&broker, &mut bench.receiver, sizes.waiting, &mut bench.figures);
    }
    if wants("comeback") {
        outages::comeback(&broker, &mut bench.receiver, sizes, &mut bench.figures);
    }
    if wants("outage") {
        outages::outage(&broker, &mut bench.receiver, sizes, &mut bench.figures);
    }
    if wants("accounts") {
        let Bench { receiver, templates, figures, .. } = &mut bench;
        accounts::accounts(&broker, receiver, templates, sizes, figures);
    }
    if wants("sink") {
        let Bench { receiver, templates, figures, .. } = &mut bench;
        sink::sink(&broker, receiver, templates, sizes, figures);
    }
    if wants("pair") {
        drain::pair(&broker, &mut bench.receiver, sizes, &mut bench.figures);
    }
    bench.figures
}

impl Bench<'_> {
    fn say(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Measures the bare loop and the daemon by turns, because a machine's speed changes more in a minute than the two
    /// differ.
    fn throughput(&mut self) {
        let webhooks = self.sizes.flows as u64 * 2;
        println!(
            "throughput: {} flows of {} bytes and their reports, {} rounds",
            self.sizes.flows,
            self.templates.flow_bytes(),
            self.sizes.rounds
        );
        let inputs = Inputs::create(&self.kafka, "throughput");
        load::preload(&self.kafka, &inputs, &self.templates, self.sizes.flows);
        let rounds: Vec<(Run, Run)> = (0..self.sizes.rounds)
            .map(|round| {
                let bare = self.bare_loop(&inputs, webhooks);
                let daemon = self.daemon(&inputs, webhooks, &format!("throughput-{round}"));
                println!("  bare loop {:.1} µs, daemon {:.1} µs per webhook", bare.cpu, daemon.cpu);
                (bare, daemon)
            })
            .collect();
        let median = |of: &dyn Fn(&(Run, Run)) -> f64| median(rounds.iter().map(of));
        self.throughput = Some(median(&|(_, daemon)| daemon.per_second));
        for (who, run) in [
            ("bare loop", (|round| &round.0) as fn(&(Run, Run)) -> &Run),
            ("daemon", |round| &round.1),
        ] {
            let per_second = median(&|round| run(round).per_second);
            self.say(Figure::new(format!("{who}: throughput"), per_second, "/s"));
            let cpu = median(&|round| run(round).cpu);
            self.say(Figure::new(format!("{who}: CPU per webhook"), cpu, "µs"));
            let peak = median(&|round| run(round).peak);
            self.say(Figure::new(format!("{who}: peak memory under load"), peak, "MiB"));
        }
        let ratio = median(&|(bare, daemon)| daemon.cpu / bare.cpu);
        let ratio = Figure::new("daemon: CPU per webhook, times the bare loop's", ratio, "×");
        self.say(ratio.target(Target::AtMost(2.4)));
    }

    fn daemon(&mut self, inputs: &Inputs, webhooks: u64, name: &str) -> Run {
        self.receiver.reset();
        let url = self.receiver.url();
        let daemon =
            DaemonSetup::new(&self.kafka, name, inputs, &url, self.sizes.in_flight).spawn();
        let count = self.receiver.wait_for(webhooks, "the daemon");
        // The last outcomes must be committed too.
        settle(daemon.pid(), Duration::from_secs(30));
        let run = Run::of(daemon.pid(), webhooks, count.span);
        for (name, us) in threads_cpu_us(daemon.pid()).into_iter().take(14) {
            println!("    thread {name:<16} {:>7.2} µs per webhook", us as f64 / webhooks as f64);
        }
        let accepted = daemon.metric("ringback_source_records_total", "accepted");
        assert!(accepted as u64 == webhooks, "{accepted} of {webhooks} records were accepted");
        let surplus = self.receiver.count().requests - webhooks;
        assert_eq!(surplus, 0, "webhooks came twice");
        daemon.stop();
        run
    }

    fn bare_loop(&mut self, inputs: &Inputs, webhooks: u64) -> Run {
        let topics = [inputs.flows.as_str(), inputs.reports.as_str()];
        let in_flight = self.sizes.in_flight;
        let (kafka, receiver) = (&self.kafka, &mut self.receiver);
        bare::deliver(kafka, &topics, receiver, in_flight, Sender::Reqwest, webhooks)
    }

    fn latency_and_idle(&mut self, latency: bool, idle: bool) {
        let inputs = Inputs::create(&self.kafka, "latency");
        let url = self.receiver.url();
        let setup = DaemonSetup::new(&self.kafka, "latency", &inputs, &url, self.sizes.in_flight);
        let mut daemon = setup.spawn();
        daemon.wait_ready(READY_TIMEOUT);
        if latency {
            let half = self.throughput.map(|all| all / 2.0);
            let given = self.sizes.rate.map(|rate| rate as f64);
            self.latency(&inputs, &daemon, "half load", given.or(half).unwrap_or(3000.0), 2);
            self.latency(&inputs, &daemon, "low load", LOW_RATE, 4);
        }
        if idle {
            println!("idle: 10 s");
            settle(daemon.pid(), Duration::from_secs(30));
            let before = cpu_us(daemon.pid());
            let of_threads: BTreeMap<String, u64> =
                threads_cpu_us(daemon.pid()).into_iter().collect();
            std::thread::sleep(Duration::from_secs(10));
            for (name, us) in threads_cpu_us(daemon.pid()).into_iter().take(14) {
                let us = us - of_threads.get(&name).copied().unwrap_or(0);
                println!("    thread {name:<16} {:>7.3} % of a core", us as f64 / 10e6 * 100.0);
            }
            let percent = (cpu_us(daemon.pid()) - before) as f64 / 10e6 * 100.0;
            self.say(Figure::new("idle: CPU, of a core", percent, "%").target(Target::AtMost(0.3)));
        }
        daemon.stop();
    }

    /// Sends flows at a steady rate, and the report of each one second later, as an SMS gateway does.
    fn latency(&mut self, inputs: &Inputs, daemon: &Daemon, load: &str, rate: f64, seed: u64) {
        let seconds = self.sizes.seconds + WARM_UP_SECONDS;
        let flows = (rate / 2.0 * seconds as f64) as usize;
        println!("latency: {rate:.0} webhooks/s for {} s", self.sizes.seconds);
        self.receiver.reset();
        let before = cpu_us(daemon.pid());
        let counted_from = now_us() + WARM_UP_SECONDS as u64 * 1_000_000;
        let ids = load::ids(flows, seed);
        let sent = load::steadily(&self.kafka, inputs, &self.templates, ids, rate / 2.0);
        self.receiver.wait_for(flows as u64 * 2, "the daemon at a steady load");
        let cpu = (cpu_us(daemon.pid()) - before) as f64 / (flows * 2) as f64;
        let arrivals = self.receiver.take();
        let mut latencies: Vec<u64> = sent
            .iter()
            .filter(|(_, at)| **at >= counted_from)
            .map(|(webhook, at)| arrivals.get(webhook).expect("an arrival").saturating_sub(*at))
            .collect();
        latencies.sort_unstable();
        let percentile = |of: usize| latencies[(latencies.len() - 1) * of / 1000] as f64 / 1000.0;
        let name = |what: &str| format!("{load}: {what}");
        self.say(Figure::new(name("webhooks/s"), rate, "/s"));
        self.say(Figure::new(name("CPU per webhook"), cpu, "µs"));
        let p50 = Figure::new(name("latency p50"), percentile(500), "ms");
        let is_low = rate <= LOW_RATE;
        self.say(if is_low { p50.target(Target::AtMost(12.0)) } else { p50 });
        let p99 = Figure::new(name("latency p99"), percentile(990), "ms");
        self.say(p99.target(Target::AtMost(if is_low { 50.0 } else { 100.0 })));
        self.say(Figure::new(name("latency p99.9"), percentile(999), "ms"));
    }

    fn waiting_and_restore(&mut self, waiting: bool, restore: bool) {
        let flows = self.sizes.waiting;
        println!("waiting: {flows} deliveries to an endpoint that refuses connections");
        let inputs = Inputs::create(&self.kafka, "waiting");
        // This port was free a moment ago, so no process listens there.
        let url = format!("http://127.0.0.1:{}/", crate::child::free_port());
        let setup = DaemonSetup::new(&self.kafka, "waiting", &inputs, &url, self.sizes.in_flight);
        let mut daemon = setup.spawn();
        daemon.wait_ready(READY_TIMEOUT);
        let start = Instant::now();
        let gateway = Gateway::new(&self.kafka, 20);
        for ids in load::ids(flows, 3) {
            gateway.send(&inputs.flows, &ids.uuid, &self.templates.small(&ids));
        }
        gateway.flush();
        let rows = || daemon.metric("ringback_outbox_rows", "state=") as usize;
        while rows() < flows {
            assert!(start.elapsed() < Duration::from_secs(900), "only {} deliveries wait", rows());
            std::thread::sleep(Duration::from_millis(500));
        }
        println!("  all accepted after {:.0} s", start.elapsed().as_secs_f64());
        settle(daemon.pid(), Duration::from_secs(600));
        println!(
            "  attempts {}, {:.0} s, CPU {:.0} s",
            daemon.metric("ringback_attempts_total", ""),
            start.elapsed().as_secs_f64(),
            cpu_us(daemon.pid()) as f64 / 1e6
        );
        if waiting {
            self.memory("waiting", &daemon);
        }
        daemon.stop();
        if restore {
            self.restore(&setup);
        }
    }

    fn memory(&mut self, part: &str, daemon: &Daemon) {
        let mib = |field| memory_kib(daemon.pid(), field) as f64 / 1024.0;
        let (peak, now) = (mib("VmHWM:"), mib("VmRSS:"));
        let peak = Figure::new(format!("{part}: peak memory"), peak, "MiB");
        self.say(peak.target(Target::Below(300.0)));
        self.say(Figure::new(format!("{part}: memory at the end"), now, "MiB"));
    }

    fn restore(&mut self, setup: &DaemonSetup) {
        let records = records(&self.kafka, &setup.changelog());
        println!("restore: {records} records of the changelog");
        setup.delete_store();
        let mut daemon = setup.spawn();
        let took = daemon.wait_ready(Duration::from_secs(600)).as_secs_f64();
        let read = daemon.metric("ringback_restore_records_total", "");
        println!("  {read} records in {took:.1} s, start and joining the group included");
        let rate = Figure::new("restore: records of the changelog", read / took, "/s");
        self.say(rate.target(Target::AtLeast(300_000.0)));
        self.memory("restore", &daemon);
        daemon.stop();
    }
}

/// Returns the number of offsets of a topic.
fn records(kafka: &Kafka, topic: &str) -> i64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", "bench");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let count = |partition| {
        let ends = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10));
        ends.map(|(low, high)| high - low).expect("the broker answers")
    };
    (0..PARTITIONS).map(count).sum()
}
