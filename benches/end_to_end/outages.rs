//! The backlog after an outage of the endpoint or of the daemon: how fast it is delivered while a second instance joins
//! and leaves, and how much memory this takes.

use crate::broker::Broker;
use crate::daemon::{Daemon, DaemonSetup};
use crate::kafka::Kafka;
use crate::load::{self, Gateway, Inputs, Templates};
use crate::parts::Sizes;
use crate::process::{memory_kib, settle};
use crate::receiver::Receiver;
use crate::table::{Figure, Target};
use std::time::{Duration, Instant};

const READY: Duration = Duration::from_secs(120);
/// The unhindered rate is measured with a fifth of the records.
const SHARE: usize = 5;

/// The rate and the memory of delivering everything.
struct Run {
    per_second: f64,
    peak_mib: f64,
}

/// Returns an accounts file with one default webhook that fails fast and is retried soon.
fn accounts(receiver: &Receiver, in_flight: usize) -> String {
    format!(
        r#"[[account]]
id = 28
"account.sms.notifyOnDelivery" = true
"account.sms.notifyOnDelivery.attachflowkeys" = true
http_enabled = true
[[webhook]]
name = "crm"
account = 28
default = true
url = "{}"
in_flight_max = {in_flight}
retry = {{ initial_interval_ms = 1000, interval_max_ms = 5000 }}
breaker = {{ open_s = 5 }}
"#,
        receiver.url()
    )
}

fn mib(daemon: &Daemon, field: &str) -> f64 {
    memory_kib(daemon.pid(), field) as f64 / 1024.0
}

/// Runs the part `comeback`: deliveries wait for an endpoint that is down and then recovers.
pub(crate) fn comeback(
    broker: &Broker,
    receiver: &mut Receiver,
    sizes: &Sizes,
    figures: &mut Vec<Figure>,
) {
    let waiting = sizes.backlog / 2;
    println!(
        "comeback: {waiting} deliveries wait for an endpoint that is down, and then it is back"
    );
    let (kafka, templates) = (broker.kafka(), Templates::new());
    let send = |inputs: &Inputs, flows: usize| {
        let gateway = Gateway::new(&kafka, 20);
        for ids in load::ids(flows, 11) {
            gateway.send(&inputs.flows, &ids.uuid, &templates.small(&ids));
        }
        gateway.flush();
    };
    let accounts = accounts(receiver, sizes.in_flight);
    let free = unhindered(&kafka, receiver, "comeback-free", &accounts, waiting / SHARE, &send, 1);

    let inputs = Inputs::create(&kafka, "comeback");
    let setup = DaemonSetup::with_accounts(&kafka, "comeback", &inputs, &accounts);
    receiver.set_down(true);
    let mut daemon = setup.spawn();
    daemon.wait_ready(READY);
    send(&inputs, waiting);
    let start = Instant::now();
    let rows = || daemon.metric("ringback_outbox_rows", "state=") as usize;
    while rows() < waiting {
        assert!(start.elapsed() < Duration::from_secs(900), "only {} deliveries wait", rows());
        std::thread::sleep(Duration::from_millis(500));
    }
    settle(daemon.pid(), Duration::from_secs(60));
    let attempts = daemon.metric("ringback_attempts_total", "");
    println!("  all wait after {:.0} s and {attempts} attempts", start.elapsed().as_secs_f64());
    figures.push(Figure::new("comeback: peak memory before", mib(&daemon, "VmHWM:"), "MiB"));
    receiver.reset();
    receiver.set_down(false);
    let run = one_comes_and_goes(&kafka, receiver, &setup, &inputs, &daemon, waiting as u64);
    daemon.stop();
    say("comeback", &run, &free, figures);
}

/// Runs the part `outage`: records were written while no daemon ran.
pub(crate) fn outage(
    broker: &Broker,
    receiver: &mut Receiver,
    sizes: &Sizes,
    figures: &mut Vec<Figure>,
) {
    let flows = sizes.backlog / 2;
    println!("outage: {flows} flows and their reports are there before the daemon");
    let (kafka, templates) = (broker.kafka(), Templates::new());
    let send = |inputs: &Inputs, flows: usize| load::preload(&kafka, inputs, &templates, flows);
    let accounts = accounts(receiver, sizes.in_flight);
    let free = unhindered(&kafka, receiver, "outage-free", &accounts, flows / SHARE, &send, 2);

    let inputs = Inputs::create(&kafka, "outage");
    let setup = DaemonSetup::with_accounts(&kafka, "outage", &inputs, &accounts);
    send(&inputs, flows);
    receiver.reset();
    let daemon = setup.spawn();
    let run = one_comes_and_goes(&kafka, receiver, &setup, &inputs, &daemon, 2 * flows as u64);
    daemon.stop();
    say("outage", &run, &free, figures);
}

/// Measures the same kind of load with fewer records and a single instance.
fn unhindered(
    kafka: &Kafka,
    receiver: &mut Receiver,
    name: &str,
    accounts: &str,
    flows: usize,
    send: &dyn Fn(&Inputs, usize),
    webhooks_each: usize,
) -> Run {
    let inputs = Inputs::create(kafka, name);
    send(&inputs, flows);
    receiver.reset();
    let daemon = DaemonSetup::with_accounts(kafka, name, &inputs, accounts).spawn();
    let webhooks = flows * webhooks_each;
    let count = receiver.wait_for(webhooks as u64, "the unhindered daemon");
    let run = Run {
        per_second: webhooks as f64 / count.span.as_secs_f64(),
        peak_mib: mib(&daemon, "VmHWM:"),
    };
    daemon.stop();
    run
}

/// Lets a second instance join after a third of the webhooks and leave after two thirds.
fn one_comes_and_goes(
    kafka: &Kafka,
    receiver: &mut Receiver,
    setup: &DaemonSetup,
    inputs: &Inputs,
    daemon: &Daemon,
    webhooks: u64,
) -> Run {
    receiver.wait_for(webhooks / 3, "the first third");
    let mut second = setup.sibling(kafka, inputs).spawn();
    second.wait_ready(READY);
    receiver.wait_for(webhooks / 3 * 2, "the second third");
    let share = second.metric("ringback_deliveries_total", "");
    let second_peak = mib(&second, "VmHWM:");
    second.stop();
    let count = receiver.wait_for(webhooks, "the last third");
    settle(daemon.pid(), Duration::from_secs(30));
    let repeats = receiver.count().requests - webhooks;
    println!(
        "  {share} by the second instance, whose peak was {second_peak:.0} MiB; {repeats} repeats"
    );
    let peak_mib = mib(daemon, "VmHWM:").max(second_peak);
    Run { per_second: webhooks as f64 / count.span.as_secs_f64(), peak_mib }
}

fn say(part: &str, run: &Run, free: &Run, figures: &mut Vec<Figure>) {
    let name = |what: &str| format!("{part}: {what}");
    figures.push(Figure::new(name("delivered unhindered"), free.per_second, "/s"));
    figures.push(Figure::new(name("delivered, one joining and leaving"), run.per_second, "/s"));
    let ratio = Figure::new(name("times the unhindered"), run.per_second / free.per_second, "×");
    figures.push(ratio.target(Target::AtLeast(0.8)));
    figures.push(Figure::new(name("peak memory unhindered"), free.peak_mib, "MiB"));
    figures
        .push(Figure::new(name("peak memory"), run.peak_mib, "MiB").target(Target::Below(300.0)));
}
