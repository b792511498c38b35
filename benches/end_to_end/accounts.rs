//! The part `accounts`: 100,000 accounts with 150,000 webhooks in a MariaDB, and the latency of deliveries while changes of
//! them are applied.

use crate::broker::Broker;
use crate::daemon::{Daemon, DaemonSetup};
use crate::load::{self, Inputs, Templates};
use crate::mariadb::{MariaDb, Schema, TABLES};
use crate::parts::Sizes;
use crate::process::memory_kib;
use crate::receiver::{Receiver, now_us};
use crate::samples::ACCOUNT;
use crate::table::{Figure, Target};
use std::time::{Duration, Instant};

/// The webhooks per second, unless `--rate` sets them.
const RATE: usize = 1000;
/// The time before a change, and the time in which it must be applied.
const QUIET: Duration = Duration::from_secs(3);
const APPLIED_WITHIN: Duration = Duration::from_secs(60);
const READY_TIMEOUT: Duration = Duration::from_secs(300);

/// The accounts begin behind that of the samples. Half of them have two webhooks.
const FILL: &str = "
    INSERT INTO Accountconfig (id) SELECT seq FROM seq_1001_to_101000;
    INSERT INTO ringback_webhook (name, account, `default`, url, signing_secrets)
        SELECT CONCAT('hook-', seq), seq, TRUE, CONCAT('https://hooks-', seq, '.example.com/v1'),
            '[\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"]' FROM seq_1001_to_101000;
    INSERT INTO ringback_webhook (name, account, url)
        SELECT CONCAT('more-', seq), seq, CONCAT('https://more-', seq, '.example.com/v1') FROM seq_1001_to_51000;";

/// Starts a daemon on the database, and measures its deliveries without a change, with one, and with ten thousand.
pub(crate) fn accounts(
    broker: &Broker,
    receiver: &mut Receiver,
    templates: &Templates,
    sizes: &Sizes,
    figures: &mut Vec<Figure>,
) {
    println!("accounts: 100,000 accounts with 150,000 webhooks in a database");
    let kafka = broker.kafka();
    let server = MariaDb::start(&[]);
    let schema = server.create("accounts");
    schema.execute(TABLES);
    schema.add_account(ACCOUNT, "crm", &receiver.url());
    schema.execute(FILL);
    let inputs = Inputs::create(&kafka, "accounts");
    let setup = DaemonSetup::new(&kafka, "accounts", &inputs, &receiver.url(), sizes.in_flight);
    let mut daemon = setup.spawn_with_database(&schema.url());
    let start = daemon.wait_ready(READY_TIMEOUT).as_secs_f64();
    figures.push(Figure::new("accounts: start without a snapshot", start, "s"));
    let resident = memory_kib(daemon.pid(), "VmRSS:") as f64 / 1024.0;
    figures.push(Figure::new("accounts: resident memory after the start", resident, "MiB"));
    let change = |count: usize| {
        format!(
            "UPDATE ringback_webhook SET url = CONCAT(url, '/next') WHERE name LIKE 'hook-%' ORDER BY id LIMIT {count}"
        )
    };
    let mut measured = Measured { daemon: &daemon, receiver, schema: &schema, figures };
    let rate = sizes.rate.unwrap_or(RATE) as f64;
    for (seed, (what, statement)) in [
        ("no change", None),
        ("1 change", Some(change(1))),
        ("10,000 changes", Some(change(10_000))),
    ]
    .into_iter()
    .enumerate()
    {
        let flows = rate as usize / 2 * sizes.seconds;
        let ids = load::ids(flows, 20 + seed as u64);
        let send = || load::steadily(&kafka, &inputs, templates, ids, rate / 2.0);
        measured.phase(what, statement.as_deref(), flows, send);
    }
    daemon.stop();
}

struct Measured<'a> {
    daemon: &'a Daemon,
    receiver: &'a mut Receiver,
    schema: &'a Schema<'a>,
    figures: &'a mut Vec<Figure>,
}

impl Measured<'_> {
    /// Measures the deliveries of `send` that begin while the change is not applied yet, or all without a change.
    fn phase(
        &mut self,
        what: &str,
        statement: Option<&str>,
        flows: usize,
        send: impl FnOnce() -> load::Sent + Send,
    ) {
        self.receiver.reset();
        let (sent, from, until) = std::thread::scope(|scope| {
            let sending = scope.spawn(send);
            std::thread::sleep(QUIET);
            let from = now_us();
            let until = statement.map_or(u64::MAX, |statement| self.apply(statement));
            (sending.join().expect("the gateway sends"), from, until)
        });
        self.receiver.wait_for(flows as u64 * 2, "the daemon with accounts of a database");
        let arrivals = self.receiver.take();
        let mut latencies: Vec<u64> = sent
            .iter()
            .filter(|(_, at)| (from..=until).contains(*at))
            .map(|(webhook, at)| arrivals.get(webhook).expect("an arrival").saturating_sub(*at))
            .collect();
        latencies.sort_unstable();
        let p99 = latencies[(latencies.len() - 1) * 99 / 100] as f64 / 1000.0;
        let figure = Figure::new(format!("accounts: latency p99, {what}"), p99, "ms");
        self.figures.push(figure.target(Target::Below(250.0)));
        if statement.is_some() {
            let seconds = (until - from) as f64 / 1e6;
            let name = format!("accounts: from the row to its effect, {what}");
            self.figures.push(Figure::new(name, seconds, "s"));
        }
    }

    /// Executes a statement, and returns the time at which the daemon has applied its changes.
    fn apply(&self, statement: &str) -> u64 {
        let applied = || self.daemon.metric("ringback_account_readings_total", "\"changed\"");
        let before = applied();
        self.schema.execute(statement);
        let deadline = Instant::now() + APPLIED_WITHIN;
        while applied() == before {
            assert!(Instant::now() < deadline, "the changes are not applied");
            std::thread::sleep(Duration::from_millis(20));
        }
        now_us()
    }
}
