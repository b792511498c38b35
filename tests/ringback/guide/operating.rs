//! The pages about running the daemon, recovery, events and webhook definitions.

use super::page::{Page, directory};
use super::shell::{Shell, repository};
use crate::harness::daemon::Done;
use crate::harness::database;
use crate::harness::receiver::Answer;
use crate::harness::samples::{Random, UUID, flow, report};
use crate::harness::signature::SECRET;
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker, wait_until};
use ringback::domain::{DeadLetterReason, IgnoreReason, SkipReason};
use serde_json::Value;

/// `sink.md`: the section is valid, the sink runs, and its group is moved back.
pub(super) fn sink(page: &Page) {
    let mut stage = Stage::on(broker::shared(), "guide-sink", 2);
    let documents = database::shared().of(&stage);
    documents.configure(&mut stage);
    documents.insert_sms(&["s-1"]);
    let mut reader = page
        .follow()
        .call("ringback.sink.mongodb", format!("{}.sink.mongodb", stage.group()))
        .call("ringback.events", stage.topic("events"));
    let section: toml::Table = reader.program("toml").parse().expect("TOML");
    let keys: Vec<&String> =
        section["sink"]["mongodb"].as_table().expect("a section").keys().collect();
    assert_eq!(keys, ["database", "uri"]);
    let mut daemon = stage.start();
    stage.send_flows(&[flow("guide-sink", &["s-1"])]);
    stage.send_reports(&[report("guide-sink", "s-1", "DELIVERED")]);
    let mut sink =
        reader.starts_sink(&stage, "ringback sink mongodb --config /etc/ringback/ringback.toml");
    let asks = reader.shell(&stage, &sink, "curl -s http://127.0.0.1:9465/readyz");
    assert_eq!(asks.out, "ok\n");
    documents.wait("the document has its answer", PATIENCE, |all| {
        all["s-1"].contains_key("notify_on_delivery")
    });
    let asks = reader.shell(&stage, &sink, "curl -s http://127.0.0.1:9465/metrics");
    assert!(asks.out.contains("ringback_sink_documents_total{result=\"written\"} 1"), "{asks:?}");
    sink.stop();
    let mut shell = Shell::new("guide-sink-shell");
    shell.export("BROKERS", stage.kafka.bootstrap());
    let moves = "kafka-consumer-groups.sh --bootstrap-server \"$BROKERS\" --group ringback.sink.mongodb --topic ringback.events --reset-offsets --by-duration PT1H --execute";
    // The group is empty once Kafka has removed the member that has stopped.
    wait_until("the group is moved back", PATIENCE, || {
        let done = reader.types(&mut shell, moves);
        let committed = stage
            .kafka
            .committed(&format!("{}.sink.mongodb", stage.group()), &stage.topic("events"));
        reader.again();
        (done.code == Some(0) && committed.values().all(|offset| *offset == 0)).then_some(())
    });
    let again = stage.start_sink(21);
    wait_until("the answer is there already", PATIENCE, || {
        let labels = [("result", "unchanged")];
        (again.metric("ringback_sink_documents_total", &labels) == Some(1.0)).then_some(())
    });
    daemon.stop();
}

/// `operating.md`: the files are checked, the daemon runs, answers, and reloads.
pub(super) fn running(page: &Page) {
    let stage = Stage::on(broker::shared(), "guide-operating", 2);
    for kind in ["changelog", "inbox", "events", "dead-letter"] {
        stage.delete_topic(kind);
    }
    let mut reader = page.follow();
    reader.succeeds(&stage, "ringback check --config /etc/ringback/ringback.toml");
    reader.succeeds(&stage, "ringback topics --create --config /etc/ringback/ringback.toml");
    assert_eq!(stage.kafka.partitions(&stage.topic("changelog")), 2);
    reader.succeeds(&stage, "ringback check --online --config /etc/ringback/ringback.toml");
    let run = "ringback run --config /etc/ringback/ringback.toml";
    let mut daemon = reader.starts_ready(&stage, run);
    let mut asks = |page: &str| {
        let line = format!("curl -s http://127.0.0.1:9464{page}");
        let done = reader.shell(&stage, &daemon, &line);
        assert_eq!(done.code, Some(0), "{line}: {done:?}");
        done.out
    };
    for page in ["/readyz", "/livez"] {
        assert!(asks(page).starts_with("ok"), "{page}");
    }
    let status: Value = serde_json::from_str(&asks("/api/v1/status")).expect("JSON");
    assert_eq!(status["ready"], true, "{status}");
    let before = daemon.logged().len();
    let done = reader.shell(&stage, &daemon, "systemctl reload ringback");
    assert_eq!(done.code, Some(0), "{done:?}");
    wait_until("it has read its configuration again", PATIENCE, || {
        let reloads = daemon.metric("ringback_config_reloads_total", &[("result", "applied")]);
        (reloads > Some(0.5) && daemon.logged().len() > before).then_some(())
    });
    for page in ["/api/v1/config", "/api/v1/config/hash"] {
        let line = format!("curl -s http://127.0.0.1:9464{page}");
        let done = reader.shell(&stage, &daemon, &line);
        let said: Value = serde_json::from_str(&done.out).expect("JSON");
        assert!(said["hash"].is_string() || said["hash"].is_u64(), "{said}");
    }
    daemon.stop();
}

/// `console.md`: programs ask the API.
pub(super) fn console(page: &Page) {
    let mut stage = Stage::new("guide-console");
    stage.set("delivery.attempts_max", 1);
    stage.receiver.script(|_, _| Answer::status(503));
    let daemon = stage.start();
    stage.send_flows(&[flow("guide-console", &[])]);
    stage.dead_letters(1, PATIENCE);
    let mut reader = page.follow();
    let mut asks = |path: &str, more: &str| {
        let quote = if path.contains('?') { "\"" } else { "" };
        let method = if more.is_empty() { "" } else { "-X POST " };
        let line =
            format!("curl -s {method}{quote}http://127.0.0.1:9464/api/v1/{path}{quote}{more}");
        let done = reader.shell(&stage, &daemon, &line);
        serde_json::from_str::<Value>(&done.out).unwrap_or_else(|_| panic!("{line}: {done:?}"))
    };
    assert_eq!(asks("webhooks", "")["webhooks"][0]["account_id"], 28);
    assert_eq!(asks("instances", "")["instances"][0]["is_this"], true);
    let letters = asks("dead-letters?open=true&since=12h", "");
    assert_eq!(letters["dead_letters"][0]["phonon_uuid"], "guide-console");
    let order = " -H \"content-type: application/json\" -d '{\"since\":\"12h\",\"dry_run\":true}'";
    assert_eq!(asks("replays", order)["replayed"], 1);
}

/// `recovery.md`: deliveries become dead letters, are found, and are replayed.
pub(super) fn morning_after(page: &Page) {
    const LETTERS: usize = 3;
    let mut stage = Stage::new("guide-recovery");
    stage.set("delivery.attempts_max", 1);
    let recovered = stage.fail_until_recovered(50);
    let uuids = Random::seeded(993).uuids(LETTERS);
    stage.send_flows(&uuids.iter().map(|uuid| flow(uuid, &[])).collect::<Vec<Value>>());
    let mut daemon = stage.start();
    let letters = stage.dead_letters(LETTERS, PATIENCE);
    stage.wait_events("dead_lettered", LETTERS);
    let place = format!("{}:{}", letters[0].partition, letters[0].offset);
    let mut reader = page.follow().call(UUID, uuids[0].clone()).call("3:1042", place);
    let of = |option: &str| format!("ringback trace {UUID}{option}");
    let trace = reader.succeeds(&stage, &of(""));
    assert!(trace.out.contains("attempts_exhausted"), "{}", trace.out);
    let bodies = reader.succeeds(&stage, &of(" --bodies"));
    assert!(bodies.out.contains("callDetails"), "{}", bodies.out);
    reader.succeeds(&stage, "ringback verify");
    let settled = |done: &Done| done.code == Some(0);
    reader.until(&stage, "ringback verify --at-rest", settled);
    let listed = reader.succeeds(&stage, "ringback dead-letter list --since 12h");
    assert_eq!(listed.out.matches("attempts_exhausted").count(), LETTERS, "{}", listed.out);
    let open = reader.succeeds(&stage, "ringback dead-letter list --open");
    assert_eq!(open.out.matches("attempts_exhausted").count(), LETTERS, "{}", open.out);
    let shown = reader.succeeds(&stage, "ringback dead-letter show 3:1042");
    assert!(shown.out.contains("503") && shown.out.contains("callDetails"), "{}", shown.out);
    recovered.store(true, std::sync::atomic::Ordering::Relaxed);
    let replay = "ringback dead-letter replay --reason attempts_exhausted --since 12h";
    let dry = reader.succeeds(&stage, &format!("{replay} --dry-run"));
    assert!(dry.out.contains(&LETTERS.to_string()), "{}", dry.out);
    reader.succeeds(&stage, &format!("{replay} --max 10"));
    reader.succeeds(&stage, &format!("{replay} --rate 200"));
    let delivered = stage.wait_events("delivered", LETTERS);
    assert_eq!(delivered.len(), LETTERS, "each once: {delivered:?}");
    daemon.stop();
    stage.verify();
}

/// `events.md`: a dead letter has the headers that the page lists, and every reason has a row.
pub(super) fn letters(page: &Page) {
    let stage = Stage::new("guide-events");
    stage.receiver.script(|_, _| Answer::status(400));
    let mut daemon = stage.start();
    let uuid = Random::seeded(994).uuid();
    stage.send_flows(&[flow(&uuid, &[])]);
    stage.dead_letters(1, PATIENCE);
    daemon.stop();
    let mut shell = Shell::new("guide-letters");
    let mut reader = page
        .follow()
        .call("localhost:9092", stage.kafka.bootstrap())
        .call("ringback.dead-letter", stage.topic("dead-letter"));
    let read = "kcat -C -b localhost:9092 -t ringback.dead-letter -o beginning -e \
                -X isolation.level=read_committed -f '%k %h\\n'";
    let done = reader.types_well(&mut shell, read);
    for part in [uuid.as_str(), "ringback.reason=refused", "ringback.kind=delivery"] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    let words = |all: Vec<&'static str>| all.into_iter().map(|word| format!("| `{word}` |"));
    let ignored = words(IgnoreReason::ALL.iter().map(|it| it.as_str()).collect());
    let skipped = words(SkipReason::ALL.iter().map(|it| it.as_str()).collect());
    let reasons = words(DeadLetterReason::ALL.iter().map(|it| it.as_str()).collect());
    for row in ignored.chain(skipped).chain(reasons) {
        reader.says(&row);
    }
    rows_name_every_member();
    let events = stage.kafka.read(&stage.topic("events"));
    assert!(events.len() >= 3, "accepted, scheduled, given up: {events:?}");
    for event in events {
        let kind = event.json()["type"].as_str().expect("a type").to_owned();
        reader.says(&format!("| `{kind}`"));
    }
}

/// Panics unless the table of events names each type with its members, as the schema has them.
fn rows_name_every_member() {
    const COMMON: [&str; 9] = [
        "type",
        "at",
        "account_id",
        "phonon_uuid",
        "webhook",
        "webhook_id",
        "phase",
        "attempt",
        "kind",
    ];
    let text = std::fs::read_to_string(directory().join("events.md")).expect("the page");
    let begins =
        |start: &str| text.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    let schema = ringback::codec::event::schema();
    for one in schema["oneOf"].as_array().expect("a schema for each type") {
        let word = one["properties"]["type"]["const"].as_str().expect("a type");
        let rows = begins(&format!("| `{word}`"));
        assert!(!rows.is_empty(), "events.md has no row for {word}");
        let members = one["properties"].as_object().expect("members").keys();
        for member in members.filter(|member| !COMMON.contains(&member.as_str())) {
            let named = format!("`{member}`");
            let in_row = rows.iter().any(|row| row.contains(&named));
            // The members of an outcome have a table of their own.
            let is_known = in_row || !begins(&format!("| {named}")).is_empty();
            assert!(is_known, "events.md does not name {member} of {word}");
        }
    }
}

/// `statuses.md`: its settings are valid together.
pub(super) fn statuses(page: &Page) {
    let mut shell = Shell::new("guide-statuses");
    let mut reader = page.follow();
    let statuses = reader.program("toml");
    let correlation = reader.program("toml");
    shell.save("accounts.toml", "");
    shell.save("ringback.toml", &format!("{correlation}\n{statuses}"));
    let config = shell.home().join("ringback.toml");
    shell.export("RINGBACK_CONFIG", &config.to_string_lossy());
    let done = reader.types_well(&mut shell, "ringback check");
    assert!(!done.err.contains("warning"), "{}", done.err);
}

/// `webhooks.md`: its definitions are valid, and its commands do what the page says.
pub(super) fn definitions(page: &Page) {
    let mut stage = Stage::new("guide-webhooks");
    stage.set_webhook("signing_secrets", vec![SECRET]);
    let mut shell = Shell::new("guide-definitions");
    shell.link("config", &repository().join("config"));
    shell.save("answer.json", r#"{"data": {"leads": [{"id": 7}]}}"#);
    shell.save("body.json", r#"{"Firstname": "Ada"}"#);
    let mut reader = page.follow();
    for wrapped in [
        "",
        "",
        "",
        "",
        "",
        "[[account]]\nid = 28\n[[webhook]]\nname = 'crm'\naccount = 28\nurl = 'https://crm.example.com/'\n",
        "",
    ] {
        let accounts = format!("{wrapped}{}", reader.program("toml"));
        loads(&shell, &accounts);
    }
    // The commands use the configuration of the stage.
    let config = stage.write_config(0, crate::harness::child::free_port());
    shell.export("RINGBACK_CONFIG", &config.to_string_lossy());
    let preview = "ringback webhook preview crm --flow config/examples/flow-complete.json";
    let first = reader.types_well(&mut shell, preview);
    assert!(first.out.contains("callDetails"), "{}", first.out);
    let report = format!("{preview} --report config/examples/sms-delivery-report.json");
    let second = reader.types_well(&mut shell, &report);
    assert!(second.out.contains("smsDetails"), "{}", second.out);
    let tokens = reader.types_well(&mut shell, "ringback webhook tokens");
    assert!(tokens.out.contains("%ani%"), "{}", tokens.out);
    let tokens = reader.types_well(&mut shell, "ringback webhook tokens --group dni");
    assert!(!tokens.out.contains("%ani%"), "{}", tokens.out);
    let made = reader.types_well(&mut shell, "ringback webhook extract --template body.json");
    assert!(made.out.contains("[[template]]") && made.out.contains("%firstname%"), "{}", made.out);
    let table = reader.types_well(&mut shell, "ringback webhook extract answer.json");
    assert!(table.out.contains("data.leads[0].id"), "{}", table.out);
    reader.types_well(&mut shell, "ringback secret new crm.secret");
    let pair = reader.types_well(&mut shell, "ringback secret new --ed25519 crm.key");
    assert!(pair.err.contains("whpk_"), "{}", pair.err);
    for (file, prefix) in [("crm.secret", "whsec_"), ("crm.key", "whsk_")] {
        let secret = std::fs::read_to_string(shell.home().join(file)).expect("a secret");
        assert!(secret.starts_with(prefix), "{file}");
    }
    let tried = reader.types_well(&mut shell, "ringback webhook test crm --yes");
    assert!(tried.out.contains("webhook-id: test_"), "{}", tried.out);
    // A 410 disables the endpoint, and an operator enables it again.
    stage.receiver.script(|_, _| Answer::status(410));
    let mut daemon = stage.start();
    stage.send_flows(&[flow(&Random::seeded(995).uuid(), &[])]);
    stage.wait_events("endpoint_disabled", 1);
    let listed = reader.types_well(&mut shell, "ringback webhook list");
    assert!(listed.out.contains("disabled"), "{}", listed.out);
    reader.types_well(&mut shell, "ringback webhook enable crm --yes");
    stage.wait_events("endpoint_enabled", 1);
    daemon.stop();
}

/// Panics unless `ringback check` accepts this accounts file.
fn loads(shell: &Shell, accounts: &str) {
    let mut shell = shell.another().within(shell.home().join("definition"));
    shell.save("ringback.toml", "[accounts]\nfile = \"accounts.toml\"\n");
    shell.save("crm.secret", SECRET);
    shell.save("accounts.toml", accounts);
    for name in ["CRM_PASSWORD", "CRM_SHARED", "TRANSLATE_KEY"] {
        shell.export(name, "hunter2");
    }
    let done = shell.runs("ringback check --config ringback.toml");
    assert_eq!(done.code, Some(0), "{accounts}\n{done:?}");
}
