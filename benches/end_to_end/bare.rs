//! The bare loop: it consumes a record, posts it, and stores nothing. A daemon with the same libraries can't be
//! cheaper.

use crate::child::{self, mortal};
use bytes::Bytes;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use ringback::app::service_client;
use ringback::delivery::{Names, Trust};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// The argument that makes the benchmark's binary run as the bare loop.
pub(crate) const MODE: &str = "bare-loop";

/// The number of records that a posting task gets at once, so that few records cost a wake-up.
const BUNDLE: usize = 16;

/// Starts the bare loop as a process of its own.
pub(crate) fn spawn(bootstrap: &str, topics: &[&str], url: &str, in_flight: usize) -> Child {
    let mut command = mortal(std::env::current_exe().expect("a binary"));
    command.args([MODE, bootstrap, &topics.join(","), url, &in_flight.to_string()]);
    child::spawn(command)
}

/// Runs the bare loop in its own process, which ends with the benchmark.
pub(crate) fn run(arguments: &[&str]) {
    let [bootstrap, topics, url, in_flight] = arguments else {
        panic!("the bare loop wants a broker, topics, an address and a number");
    };
    let mut config = ClientConfig::new();
    // The group is new each time, because a killed process stays a member of its group for a while.
    let group = format!("bare-loop-{}", std::process::id());
    config.set("bootstrap.servers", *bootstrap).set("group.id", group);
    config.set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&topics.split(',').collect::<Vec<_>>()).expect("a subscription");
    let client = service_client(&Trust::new().expect("the system's roots"), &Names::default());
    let url: reqwest::Url = url.parse().expect("an address");
    let (bundles, queue) = mpsc::channel::<Vec<Bytes>>(64);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..in_flight.parse().expect("a number") {
        let (client, url, queue) = (client.clone(), url.clone(), queue.clone());
        drop(crate::runtime().spawn(async move {
            loop {
                let Some(bundle) = queue.lock().await.recv().await else { return };
                for body in bundle {
                    let request =
                        client.post(url.clone()).header("content-type", "application/json");
                    let answer = request.body(body).send().await.expect("the receiver answers");
                    drop(answer.bytes().await.expect("an empty body"));
                }
            }
        }));
    }
    let mut bundle = Vec::with_capacity(BUNDLE);
    loop {
        let polled = consumer.poll(Duration::from_millis(20));
        let idle = polled.is_none();
        if let Some(Ok(message)) = polled {
            bundle.push(Bytes::copy_from_slice(message.payload().unwrap_or_default()));
        }
        if bundle.len() == BUNDLE || (idle && !bundle.is_empty()) {
            let full = std::mem::replace(&mut bundle, Vec::with_capacity(BUNDLE));
            bundles.blocking_send(full).expect("the tasks never end");
        }
    }
}
