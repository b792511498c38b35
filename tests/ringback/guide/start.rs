//! The README's quick start, and the pages with few commands.

use super::page::Page;
use super::shell::{Shell, repository};
use crate::harness::broker::Broker;
use crate::harness::child::free_port;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, wait_until};
use std::time::Duration;

/// `README.md`: the quick start ends with two webhooks. It needs its own broker, since it uses the default topic names.
pub(super) fn quick_start(page: &Page) {
    let broker = Broker::start();
    let (receiver_port, health_port) = (free_port(), free_port());
    let mut shell = Shell::new("guide-quick-start").within(repository());
    let mut reader = page
        .follow()
        .call("localhost:9092", broker.kafka().bootstrap())
        .call("8080", receiver_port.to_string())
        .call("127.0.0.1:9464", format!("127.0.0.1:{health_port}"));
    for target in ["make quickstart", "make demo", "make test", "make dist"] {
        reader.types_well(&mut shell, target);
    }
    let shown = reader.types_well(&mut shell, "ringback demo --once");
    assert!(shown.out.contains("dead letter"), "{}", shown.out);
    reader.types_well(&mut shell, "make build");
    reader.types_well(&mut shell, "export PATH=\"$HOME/.cache/ringback/target/release:$PATH\"");
    let init = "ringback init ~/ringback --kafka localhost:9092 --url http://127.0.0.1:8080/hooks";
    reader.types_well(&mut shell, init);
    reader.types_well(&mut shell, "export RINGBACK_CONFIG=~/ringback/ringback.toml");
    // Other tests may use the default port.
    shell.export("RINGBACK__HTTP__LISTEN", &format!("127.0.0.1:{health_port}"));
    let home = shell.another().within(shell.home().join("ringback"));
    reader.types_well(&mut shell, "ringback check");
    reader.types_well(&mut shell, "ringback topics --create --with-inputs 6");
    reader.types_well(&mut shell, "ringback check --online");
    home.save("receiver.py", &reader.program("python"));
    let terminals = shell.another().within(shell.home());
    let receiver = reader.leaves(&terminals, "python3 ~/ringback/receiver.py");
    receiver.wait_port(receiver_port);
    let _daemon = reader.leaves(&terminals, "ringback run");
    let ready =
        "curl --fail --retry 30 --retry-all-errors --retry-delay 1 http://127.0.0.1:9464/readyz";
    reader.types_well(&mut shell, ready);
    let sent = reader.types_well(&mut shell, "ringback send --sample");
    let webhooks = receiver.wait_lines("msg_", 2);
    assert!(
        webhooks[0].contains("callDetails") && webhooks[1].contains("smsDetails"),
        "{webhooks:?}"
    );
    let uuid = sent.out.split_once("ringback trace ").and_then(|(_, rest)| rest.split_once('`'));
    let (uuid, _) = uuid.expect("the command names the uuid");
    let mut reader = reader.call("UUID", uuid);
    let mut trace = reader.types(&mut shell, "ringback trace UUID");
    let command = format!("ringback trace {uuid}");
    wait_until("the trace shows both deliveries", PATIENCE, || {
        let is_done = trace.out.matches(" delivered ").count() == 2;
        if !is_done {
            trace = shell.runs(&command);
        }
        is_done.then_some(())
    });
}

/// `configuration.md`: environment variables are read as the page says.
pub(super) fn variables(page: &Page) {
    let stage = Stage::without_topics(broker::shared(), "guide-variables");
    let mut reader = page.follow();
    reader.succeeds(&stage, "ringback check --config FILE");
    for (name, value) in [
        ("RINGBACK__KAFKA__BOOTSTRAP_SERVERS", "kafka:9092"),
        ("RINGBACK__KAFKA__CLIENT__SECURITY_PROTOCOL", "SSL"),
    ] {
        reader.says(&format!("{name}={value}"));
        let mut stage = Stage::without_topics(broker::shared(), "guide-variable");
        stage.set_variable(name, value);
        stage.command(&["check"]).succeeds();
    }
    for list in ["10.0.0.0/8,127.0.0.0/8", "[\"10.0.0.0/8\", \"127.0.0.0/8\"]"] {
        let mut stage = Stage::without_topics(broker::shared(), "guide-list");
        stage.set_variable("RINGBACK__DELIVERY__ALLOW_ADDRESSES", list);
        stage.command(&["check"]).succeeds();
    }
    let token = stage.instance_dir(0).join("token");
    std::fs::write(&token, "t0ken\n").expect("a file");
    let mut stage = Stage::without_topics(broker::shared(), "guide-token");
    reader.says("RINGBACK__HTTP__TOKEN__FILE=PATH");
    stage.set_variable("RINGBACK__HTTP__TOKEN__FILE", &token.to_string_lossy());
    stage.command(&["check"]).succeeds();
}

/// `developing.md`: the targets of `make` exist and run what the page says.
pub(super) fn targets(page: &Page) {
    let mut shell = Shell::new("guide-developing").within(repository());
    let mut reader = page.follow();
    for (target, runs) in [
        ("make build", "cargo build"),
        ("make test", "cargo test"),
        ("make demo", "ringback\" demo"),
        ("make quickstart", "ops/quickstart/run.sh"),
        ("make dist", "ops/package/build.sh --sbom"),
        ("make bench", "cargo bench"),
        ("make simulate SEEDS=100000", "SEEDS=100000"),
        ("make fuzz", "--test fuzz"),
        ("make torture KILLS=200", "TORTURE_KILLS=200"),
    ] {
        let done = reader.types_well(&mut shell, target);
        assert!(done.out.contains(runs), "{target}: {}", done.out);
    }
}

/// The time limit for all programs of a page.
pub(super) const PROGRAMS_TAKE_AT_MOST: Duration = Duration::from_secs(60);

/// `sizing.md`: the defaults that it names are those of the configuration.
pub(super) fn defaults(page: &Page) {
    let config = std::fs::read_to_string(repository().join("config/ringback.toml"));
    let config: toml::Table = config.expect("the defaults").parse().expect("TOML");
    let reader = page.follow();
    for key in [
        "delivery.in_flight_max",
        "delivery.in_flight_max_webhook",
        "delivery.uncommitted_max",
        "kafka.commit_interval_ms",
    ] {
        let (section, name) = key.split_once('.').expect("a section");
        reader.says(&format!("| `{key}` | {} |", config[section][name]));
    }
}
