//! The bare loop: it consumes a record, posts it with reqwest or with hyper's client, and stores nothing. A daemon with
//! the same libraries can't be cheaper.

use crate::child::{self, mortal};
use crate::kafka::Kafka;
use crate::parts::Run;
use crate::receiver::Receiver;
use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use ringback::app::service_client;
use ringback::delivery::{Names, Trust};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// The argument that makes the benchmark's binary run as the bare loop.
pub(crate) const MODE: &str = "bare-loop";

/// The number of records that a posting task gets at once, so that few records cost a wake-up.
const BUNDLE: usize = 16;

/// The HTTP client of a bare loop.
#[derive(Clone, Copy)]
pub(crate) enum Sender {
    Hyper,
    Reqwest,
}

impl Sender {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::Reqwest => "reqwest",
        }
    }
}

/// Runs a bare loop until the receiver has this number of webhooks. Returns what it used.
pub(crate) fn deliver(
    kafka: &Kafka,
    topics: &[&str],
    receiver: &mut Receiver,
    in_flight: usize,
    sender: Sender,
    webhooks: u64,
) -> Run {
    receiver.reset();
    let mut command = mortal(std::env::current_exe().expect("a binary"));
    let (topics, in_flight) = (topics.join(","), in_flight.to_string());
    command.args([MODE, kafka.bootstrap(), &topics, &receiver.url(), &in_flight, sender.as_str()]);
    let mut child = child::spawn(command);
    let count = receiver.wait_for(webhooks, "the bare loop");
    let run = Run::of(child.id(), webhooks, count.span);
    child.kill().and_then(|()| child.wait()).expect("the bare loop runs");
    run
}

/// Posts a body, and reads the answer.
#[derive(Clone)]
enum Poster {
    Hyper(Box<legacy::Client<HttpConnector, Full<Bytes>>>, Uri),
    Reqwest(reqwest::Client, reqwest::Url),
}

impl Poster {
    fn of(name: &str, url: &str, in_flight: usize) -> Self {
        if name == Sender::Hyper.as_str() {
            let mut builder = legacy::Client::builder(TokioExecutor::new());
            let client = builder.pool_max_idle_per_host(in_flight).build(HttpConnector::new());
            return Self::Hyper(Box::new(client), url.parse().expect("an address"));
        }
        let client = service_client(&Trust::new().expect("the system's roots"), &Names::default());
        Self::Reqwest(client, url.parse().expect("an address"))
    }

    async fn post(&self, body: Bytes) {
        match self {
            Self::Hyper(client, uri) => {
                let request = http::Request::post(uri.clone());
                let request = request.header("content-type", "application/json");
                let request = request.body(Full::new(body)).expect("a request");
                let answer = client.request(request).await.expect("the receiver answers");
                drop(answer.into_body().collect().await.expect("an empty body"));
            }
            Self::Reqwest(client, url) => {
                let request = client.post(url.clone()).header("content-type", "application/json");
                let answer = request.body(body).send().await.expect("the receiver answers");
                drop(answer.bytes().await.expect("an empty body"));
            }
        }
    }
}

/// Runs the bare loop in its own process, which ends with the benchmark.
pub(crate) fn run(arguments: &[&str]) {
    let [bootstrap, topics, url, in_flight, sender] = arguments else {
        panic!("the bare loop wants a broker, topics, an address, a number and a client");
    };
    let mut config = ClientConfig::new();
    // The group is new each time, because a killed process stays a member of its group for a while.
    let group = format!("bare-loop-{}", std::process::id());
    config.set("bootstrap.servers", *bootstrap).set("group.id", group);
    config.set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&topics.split(',').collect::<Vec<_>>()).expect("a subscription");
    let in_flight = in_flight.parse().expect("a number");
    let poster = Poster::of(sender, url, in_flight);
    let (bundles, queue) = mpsc::channel::<Vec<Bytes>>(64);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..in_flight {
        let (poster, queue) = (poster.clone(), queue.clone());
        drop(crate::runtime().spawn(async move {
            loop {
                let Some(bundle) = queue.lock().await.recv().await else { return };
                for body in bundle {
                    poster.post(body).await;
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
