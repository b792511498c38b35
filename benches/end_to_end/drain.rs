//! A backlog of flows without SMS, each with one webhook: the daemon beside two loops that keep nothing, and two
//! instances beside one.

use crate::bare::{self, Sender};
use crate::broker::Broker;
use crate::daemon::{Daemon, DaemonSetup};
use crate::load::{self, Inputs, Templates};
use crate::parts::{Run, Sizes, median};
use crate::process::{cpu_us, settle};
use crate::receiver::Receiver;
use crate::table::{Figure, Target};
use std::time::Duration;

/// One round: both loops, the daemon, and the broker's CPU per webhook of the daemon.
struct Round {
    hyper: Run,
    reqwest: Run,
    daemon: Run,
    broker_cpu: f64,
    transactions: f64,
}

/// Measures the loops and the daemon by turns, and the broker's CPU beside the daemon.
pub(crate) fn drain(
    broker: &Broker,
    receiver: &mut Receiver,
    sizes: &Sizes,
    figures: &mut Vec<Figure>,
) {
    let (kafka, templates) = (broker.kafka(), Templates::new());
    let (flows, bytes) = (sizes.flows * 2, templates.silent_bytes());
    println!("drain: {flows} flows of {bytes} bytes without SMS, {} rounds", sizes.rounds);
    let inputs = Inputs::create(&kafka, "drain");
    load::preload_silent(&kafka, &inputs, &templates, flows);
    let webhooks = flows as u64;
    let rounds: Vec<Round> = (0..sizes.rounds)
        .map(|number| {
            let mut bare = |sender| {
                bare::deliver(&kafka, &[&inputs.flows], receiver, sizes.in_flight, sender, webhooks)
            };
            let (hyper, reqwest) = (bare(Sender::Hyper), bare(Sender::Reqwest));
            let name = format!("drain-{number}");
            receiver.reset();
            let setup =
                DaemonSetup::new(&kafka, &name, &inputs, &receiver.url(), sizes.in_flight);
            let before = cpu_us(broker.child.id());
            let daemon = setup.spawn();
            let span = receiver.wait_for(webhooks, "the daemon").span;
            settle(daemon.pid(), Duration::from_secs(30));
            let broker_cpu = (cpu_us(broker.child.id()) - before) as f64 / webhooks as f64;
            let count = daemon.metric("ringback_transaction_duration_seconds_count", "");
            let run = Run::of(daemon.pid(), webhooks, span);
            daemon.stop();
            println!(
                "  hyper {:.1}, reqwest {:.1}, daemon {:.1}, its broker {broker_cpu:.1} µs per webhook",
                hyper.cpu, reqwest.cpu, run.cpu
            );
            let transactions = webhooks as f64 / count;
            Round { hyper, reqwest, daemon: run, broker_cpu, transactions }
        })
        .collect();
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
    for (who, run) in [
        ("hyper loop", (|round| &round.hyper) as fn(&Round) -> &Run),
        ("reqwest loop", |round| &round.reqwest),
        ("daemon", |round| &round.daemon),
    ] {
        let is_daemon = who == "daemon";
        let name = |what: &str| format!("drain, {who}: {what}");
        let rate = Figure::new(name("webhooks/s"), of(&|it| run(it).per_second), "/s");
        figures.push(if is_daemon { rate.target(Target::AtLeast(20_000.0)) } else { rate });
        figures.push(Figure::new(name("CPU per webhook"), of(&|it| run(it).cpu), "µs"));
        let peak = Figure::new(name("peak memory"), of(&|it| run(it).peak), "MiB");
        figures.push(if is_daemon { peak.target(Target::AtMost(150.0)) } else { peak });
    }
    let ratio = of(&|it| it.daemon.cpu / it.reqwest.cpu);
    let ratio = Figure::new("drain, daemon: CPU, times the reqwest loop's", ratio, "×");
    figures.push(ratio.target(Target::AtMost(2.0)));
    let broker_cpu = of(&|it| it.broker_cpu);
    figures.push(Figure::new("drain, broker: CPU per webhook of the daemon", broker_cpu, "µs"));
    let webhooks = of(&|it| it.transactions);
    figures.push(Figure::new("drain, daemon: webhooks per transaction", webhooks, ""));
}

/// Measures one instance on a core of its own, and two on a core each. Broker and receiver use both cores, so that two
/// instances get less of them: the CPU per webhook shows what a second instance costs by itself.
pub(crate) fn pair(
    broker: &Broker,
    receiver: &mut Receiver,
    sizes: &Sizes,
    figures: &mut Vec<Figure>,
) {
    let (kafka, templates) = (broker.kafka(), Templates::new());
    let webhooks = sizes.flows as u64 * 2;
    println!("pair: {webhooks} flows without SMS, one instance and two");
    let inputs = Inputs::create(&kafka, "pair");
    load::preload_silent(&kafka, &inputs, &templates, sizes.flows * 2);
    let mut runs = [1, 2].map(|count| {
        receiver.reset();
        let name = format!("pair-{count}");
        let first = DaemonSetup::new(&kafka, &name, &inputs, &receiver.url(), sizes.in_flight);
        let mut daemons = vec![first.spawn_on(0)];
        if count == 2 {
            daemons.push(first.sibling(&kafka, &inputs).spawn_on(1));
        }
        let span = receiver.wait_for(webhooks, "the instances").span;
        let cpu = |daemon: &Daemon| {
            settle(daemon.pid(), Duration::from_secs(30));
            cpu_us(daemon.pid()) as f64
        };
        let cpu = daemons.iter().map(cpu).sum::<f64>() / webhooks as f64;
        daemons.into_iter().for_each(Daemon::stop);
        (webhooks as f64 / span.as_secs_f64(), cpu)
    });
    let [(one, cpu_of_one), (two, cpu_of_two)] = &mut runs;
    figures.push(Figure::new("pair: webhooks/s of one instance on one core", *one, "/s"));
    figures.push(Figure::new("pair: webhooks/s of two on a core each", *two, "/s"));
    let ratio = Figure::new("pair: two, times one", *two / *one, "×");
    figures.push(ratio.target(Target::AtLeast(1.9)));
    let cost = *cpu_of_two / *cpu_of_one;
    figures.push(Figure::new("pair: CPU per webhook of two, times one's", cost, "×"));
}
