//! `ringback healthcheck`: the state of a daemon as its exit code.

use crate::harness::child::free_port;
use crate::harness::daemon::{Daemon, Done};
use crate::harness::database;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, wait_until};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Makes daemon and commands use this address, whose port is returned.
fn listen_on(stage: &mut Stage, host: &str) -> u16 {
    let port = free_port();
    stage.set("http.listen", format!("{host}:{port}"));
    port
}

#[track_caller]
fn is(done: &Done, code: i32, out: &str) {
    assert_eq!((done.code, done.out.as_str()), (Some(code), out), "{done:?}");
}

/// Waits until `healthcheck` with these arguments succeeds.
fn wait_well(stage: &Stage, arguments: &[&str]) -> Done {
    wait_until(&format!("{arguments:?} succeeds"), PATIENCE, || {
        let done = stage.command(&[&["healthcheck"], arguments].concat());
        (done.code == Some(0)).then_some(done)
    })
}

#[test]
fn a_daemon_on_all_addresses_is_asked_on_loopback_and_without_a_token() {
    for host in ["0.0.0.0", "[::]"] {
        let mut stage = Stage::new(&format!("healthcheck-all-{}", host.len()));
        listen_on(&mut stage, host);
        stage.set("http.token", toml::toml! { env = "RINGBACK_TEST_TOKEN" });
        stage.set_variable("RINGBACK_TEST_TOKEN", "a-token-that-nobody-sends");
        let mut daemon = stage.spawn(0);
        is(&wait_well(&stage, &["--ready"]), 0, "ok\n");
        is(&stage.command(&["healthcheck"]), 0, "ok\n");
        // The accounts do not matter, because the daemon continues with those in force.
        stage.set_webhook("url", "no URL");
        assert_eq!(stage.command(&["check"]).code, Some(78));
        is(&stage.command(&["healthcheck"]), 0, "ok\n");
        daemon.stop();
        let done = stage.command(&["healthcheck"]);
        is(&done, 1, "");
        assert!(done.err.contains("/livez does not answer: "), "{done:?}");
    }
}

#[test]
fn a_daemon_that_waits_for_kafka_is_live_and_not_ready() {
    let mut stage = Stage::without_topics(broker::shared(), "healthcheck-waits");
    listen_on(&mut stage, "127.0.0.1");
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    let _daemon: Daemon = stage.spawn(0);
    is(&wait_well(&stage, &[]), 0, "ok\n");
    let done = stage.command(&["healthcheck", "--ready"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(!done.out.is_empty() && done.err.contains("/readyz answers 503\n"), "{done:?}");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_longer_than_the_timeout() {
    let mut stage = Stage::without_topics(broker::shared(), "healthcheck-silent");
    let port = listen_on(&mut stage, "127.0.0.1");
    // The system accepts connections for it, and nobody answers.
    let _silent = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let began = Instant::now();
    let done = stage.command(&["healthcheck", "--timeout", "1"]);
    is(&done, 1, "");
    assert!(done.err.contains("/livez does not answer: no answer in 1s\n"), "{done:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn an_answer_that_is_no_http_or_too_long_is_a_failure() {
    let mut stage = Stage::without_topics(broker::shared(), "healthcheck-rude");
    let port = listen_on(&mut stage, "127.0.0.1");
    let rude = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let endless = format!("HTTP/1.0 200 OK\r\n\r\n{}", "ok\n".repeat(1 << 20));
    for (answer, problem) in
        [("ok\n", "the answer is no HTTP"), (&endless, "the answer is too long")]
    {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = rude.accept().expect("a connection");
                let lines = BufReader::new(&stream).lines();
                // An unread part of the request would reset the connection.
                lines.map_while(Result::ok).find(String::is_empty).expect("a request");
                // The command may close the connection before it has the whole answer.
                drop(stream.write_all(answer.as_bytes()));
            });
            let done = stage.command(&["healthcheck"]);
            is(&done, 1, "");
            assert!(done.err.contains(&format!("/livez does not answer: {problem}\n")), "{done:?}");
        });
    }
}

#[test]
fn the_sink_is_asked_on_its_own_address() {
    let mut stage = Stage::new("healthcheck-sink");
    let done = stage.command(&["healthcheck", "--sink"]);
    is(&done, 78, "");
    assert!(done.err.contains("sink.mongodb"), "{done:?}");
    database::shared().of(&stage).configure(&mut stage);
    let port = free_port();
    stage.set("sink.mongodb.listen", format!("127.0.0.1:{port}"));
    is(&stage.command(&["healthcheck", "--sink"]), 1, "");
    let mut sink = stage.start_sink(20);
    // The sink of a stage listens on a port that a variable sets.
    stage.set("sink.mongodb.listen", format!("127.0.0.1:{}", sink.port()));
    is(&stage.command(&["healthcheck", "--sink"]), 0, "ok\n");
    is(&stage.command(&["healthcheck", "--sink", "--ready"]), 0, "ok\n");
    sink.stop();
}

#[test]
fn a_port_that_the_system_chooses_is_not_known() {
    let mut stage = Stage::without_topics(broker::shared(), "healthcheck-port");
    stage.set("http.listen", "127.0.0.1:0");
    let done = stage.command(&["healthcheck"]);
    is(&done, 78, "");
    assert!(done.err.contains("http.listen is 127.0.0.1:0: the system chooses"), "{done:?}");
}
