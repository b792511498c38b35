//! The part `sink`: how many documents the sink writes per second beside a daemon that delivers.

use crate::broker::Broker;
use crate::daemon::DaemonSetup;
use crate::database::Database;
use crate::load::{self, Inputs, Templates};
use crate::parts::Sizes;
use crate::process::{cpu_us, memory_kib};
use crate::receiver::Receiver;
use crate::table::{Figure, Target};
use std::time::{Duration, Instant};

/// The documents per second that the sink must write.
const DOCUMENTS_MIN: f64 = 5000.0;

/// Lets a daemon deliver, and starts a sink on the events while the daemon delivers as much again.
pub(crate) fn sink(
    broker: &Broker,
    receiver: &mut Receiver,
    templates: &Templates,
    sizes: &Sizes,
    figures: &mut Vec<Figure>,
) {
    let kafka = broker.kafka();
    let documents = sizes.flows;
    println!("sink: {documents} answers, beside a daemon that delivers twice as many webhooks");
    let inputs = Inputs::create(&kafka, "sink");
    load::preload(&kafka, &inputs, templates, sizes.flows);
    receiver.reset();
    let setup = DaemonSetup::new(&kafka, "sink", &inputs, &receiver.url(), sizes.in_flight);
    let daemon = setup.spawn();
    receiver.wait_for(sizes.flows as u64 * 2, "the daemon");
    let database = Database::start();
    // The daemon delivers the second half, with other ids, beside the sink.
    let gateway = load::Gateway::new(&kafka, 20);
    for ids in load::ids(sizes.flows, 9) {
        gateway.send(&inputs.flows, &ids.uuid, &templates.flow(&ids));
        gateway.send(&inputs.reports, &ids.uuid, &templates.report(&ids));
    }
    gateway.flush();
    let sink = setup.spawn_sink(&database.uri());
    let written = || sink.try_metric("ringback_sink_documents_total", "written").unwrap_or(0.0);
    let webhooks = || daemon.metric("ringback_deliveries_total", "delivered");
    let deadline = Instant::now() + Duration::from_secs(300);
    while written() == 0.0 {
        assert!(Instant::now() < deadline, "the sink writes nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (began, first, before) = (Instant::now(), written(), webhooks());
    while written() < documents as f64 {
        assert!(Instant::now() < deadline, "only {} documents", written());
        std::thread::sleep(Duration::from_millis(20));
    }
    let (span, last) = (began.elapsed().as_secs_f64(), written());
    let beside = (webhooks() - before) / span;
    let rate = Figure::new("sink: documents, beside the daemon", (last - first) / span, "/s");
    figures.push(rate.target(Target::AtLeast(DOCUMENTS_MIN)));
    figures.push(Figure::new("sink: webhooks of the daemon meanwhile", beside, "/s"));
    let cpu = cpu_us(sink.pid()) as f64 / last;
    figures.push(Figure::new("sink: CPU per document", cpu, "µs"));
    let of_database = cpu_us(database.pid()) as f64 / last;
    figures.push(Figure::new("sink: CPU of the database per document", of_database, "µs"));
    let peak = memory_kib(sink.pid(), "VmHWM:") as f64 / 1024.0;
    figures.push(Figure::new("sink: peak memory", peak, "MiB"));
    sink.stop();
    daemon.stop();
}
