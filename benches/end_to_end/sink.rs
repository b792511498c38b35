//! The part `sink`: how many documents the sink writes per second beside a daemon that delivers.

use crate::broker::Broker;
use crate::daemon::{Daemon, DaemonSetup};
use crate::database::Database;
use crate::load::{self, Inputs, Templates};
use crate::parts::Sizes;
use crate::process::{cpu_us, memory_kib};
use crate::receiver::Receiver;
use crate::table::{Figure, Target};
use std::time::{Duration, Instant};

/// The documents per second that the sink must write.
const DOCUMENTS_MIN: f64 = 5000.0;
/// The documents that are stored in FerretDB.
const STORED: f64 = 10_000.0;
/// The seeds of the ids.
const SECOND: u64 = 9;
const THIRD: u64 = 10;

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
    // The daemon delivers the second half, with other ids, beside the sink.
    let gateway = load::Gateway::new(&kafka, 20);
    let send = |seed| {
        for ids in load::ids(sizes.flows, seed) {
            gateway.send(&inputs.flows, &ids.uuid, &templates.flow(&ids));
            gateway.send(&inputs.reports, &ids.uuid, &templates.report(&ids));
        }
        gateway.flush();
    };
    let database = Database::start();
    send(SECOND);
    let sink = setup.spawn_sink(&database.uri());
    let measured = measure(&sink, &daemon, documents as f64);
    let rate = Figure::new("sink: documents, beside the daemon", measured.rate, "/s");
    figures.push(rate.target(Target::AtLeast(DOCUMENTS_MIN)));
    figures.push(Figure::new("sink: webhooks of the daemon meanwhile", measured.beside, "/s"));
    let cpu = cpu_us(sink.pid()) as f64 / measured.documents;
    figures.push(Figure::new("sink: CPU per document", cpu, "µs"));
    let of_database = cpu_us(database.pid()) as f64 / measured.documents;
    figures.push(Figure::new("sink: CPU of the database per document", of_database, "µs"));
    let peak = memory_kib(sink.pid(), "VmHWM:") as f64 / 1024.0;
    figures.push(Figure::new("sink: peak memory", peak, "MiB"));
    sink.stop();

    let database = Database::ferretdb(load::ids(sizes.flows, THIRD).map(|ids| ids.sms));
    send(THIRD);
    let sink = setup.spawn_sink(&database.uri());
    let measured = measure(&sink, &daemon, STORED.min(documents as f64 / 2.0));
    figures.push(Figure::new("sink: documents in FerretDB", measured.rate, "/s"));
    figures.push(Figure::new(
        "sink: webhooks of the daemon beside FerretDB",
        measured.beside,
        "/s",
    ));
    let of_database = cpu_us(database.pid()) as f64 / measured.documents;
    figures.push(Figure::new("sink: CPU of FerretDB per document", of_database, "µs"));
    sink.stop();
    daemon.stop();
}

struct Measured {
    documents: f64,
    /// Documents per second.
    rate: f64,
    /// Webhooks of the daemon per second in the same time.
    beside: f64,
}

/// Waits until the sink has written this number of answers.
fn measure(sink: &Daemon, daemon: &Daemon, wanted: f64) -> Measured {
    let written = || sink.try_metric("ringback_sink_documents_total", "written").unwrap_or(0.0);
    let webhooks = || daemon.metric("ringback_deliveries_total", "delivered");
    let deadline = Instant::now() + Duration::from_secs(300);
    while written() == 0.0 {
        assert!(Instant::now() < deadline, "the sink writes nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (began, first, before) = (Instant::now(), written(), webhooks());
    while written() < wanted {
        assert!(Instant::now() < deadline, "only {} documents", written());
        std::thread::sleep(Duration::from_millis(20));
    }
    let (span, documents) = (began.elapsed().as_secs_f64(), written());
    let (rate, beside) = ((documents - first) / span, (webhooks() - before) / span);
    Measured { documents, rate, beside }
}
