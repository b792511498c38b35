//! `receiving.md`: receivers in four languages verify what the daemon sends, with the libraries of Standard Webhooks.

use super::page::Page;
use super::records::go_module;
use super::shell::{Running, Shell};
use super::start::PROGRAMS_TAKE_AT_MOST;
use crate::harness::child::{cache, free_port};
use crate::harness::receiver::Received;
use crate::harness::samples::{Random, flow, with};
use crate::harness::signature::SECRET;
use crate::harness::stage::{Stage, WEBHOOK};
use crate::harness::{PATIENCE, http};
use serde_json::json;
use std::time::Instant;

/// A language: the name of its block, the file that the page names, the command with its port, and a step that links its libraries.
struct Language {
    block: &'static str,
    file: &'static str,
    build: Option<&'static str>,
    command: &'static str,
    port: &'static str,
    needs: fn(&Shell),
}

const LANGUAGES: [Language; 4] = [
    Language {
        block: "python",
        file: "receive.py",
        build: None,
        command: "python3 receive.py 8001 \"$SECRET\"",
        port: "8001",
        needs: |_| {},
    },
    Language {
        block: "js",
        file: "receive.mjs",
        build: None,
        command: "node receive.mjs 8002 \"$SECRET\"",
        port: "8002",
        needs: |shell| shell.link("node_modules", &cache().join("examples/node_modules")),
    },
    Language {
        block: "go",
        file: "main.go",
        build: Some("go build -o receive ."),
        command: "./receive 8003 \"$SECRET\"",
        port: "8003",
        needs: go_module,
    },
    Language {
        block: "java",
        file: "Receive.java",
        build: None,
        command: "java -cp 'libs/*' Receive.java 8004 \"$SECRET\"",
        port: "8004",
        needs: |shell| shell.link("libs", &cache().join("examples/java")),
    },
];

/// A running receiver.
struct Receiving {
    block: &'static str,
    port: u16,
    program: Running,
}

pub(super) fn verified(page: &Page) {
    let began = Instant::now();
    let all = start(page);
    let mut stage = Stage::new("guide-receiving");
    stage.set_webhook("signing_secrets", vec![SECRET]);
    let accounts = [101, 102, 103, 104];
    for (receiving, account) in all.iter().zip(accounts) {
        let url = format!("http://127.0.0.1:{}/hooks", receiving.port);
        stage.add_account(account);
        stage.add_webhook(receiving.block, account, &url);
        stage.set_last_webhook("signing_secrets", vec![SECRET]);
    }
    let mut daemon = stage.start();
    let mut random = Random::seeded(992);
    let mut flows = vec![flow(&random.uuid(), &[])];
    flows.extend(accounts.map(|id| with(flow(&random.uuid(), &[]), "accountID", json!(id))));
    stage.send_flows(&flows);
    let delivered = stage.wait_events("delivered", flows.len());
    for name in all.iter().map(|it| it.block).chain([WEBHOOK]) {
        let event = delivered.iter().find(|event| event["webhook"] == name);
        let event =
            event.unwrap_or_else(|| panic!("nothing was delivered to {name}: {delivered:?}"));
        assert_eq!(event["attempts"], 1, "{event}");
    }
    // Each receiver also gets the request that the test's receiver recorded.
    let sent = stage.receiver.wait_for(1, PATIENCE).remove(0);
    for receiving in &all {
        check(receiving, &sent);
    }
    daemon.stop();
    assert!(began.elapsed() < PROGRAMS_TAKE_AT_MOST, "{:?}", began.elapsed());
}

/// A receiver verifies a signature in a header of its own, by the page's program.
pub(super) fn verified_in_a_header(page: &Page) {
    const SHARED: &str = "a secret of both";
    let mut stage = Stage::new("guide-receiving-header");
    let entry = [
        ("header", "X-Signature-256"),
        ("scheme", "hmac-sha256"),
        ("prefix", "sha256="),
        ("secret", SHARED),
    ];
    let entry: toml::Table =
        entry.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect();
    stage.set_webhook("signatures", vec![entry]);
    let mut daemon = stage.start();
    stage.send_flows(&[flow(&Random::seeded(993).uuid(), &[])]);
    let sent = stage.receiver.wait_for(1, PATIENCE).remove(0);
    daemon.stop();

    let mut reader = page.follow();
    let _receiver = reader.program("python");
    reader.says("`verify.py`");
    let program = reader.program("python");
    let mut shell = Shell::new("guide-receiving-header-shell");
    shell.save("verify.py", &program);
    shell.save("body.json", sent.text());
    shell.export("SHARED", SHARED);
    shell.export("SIGNATURE", sent.header("x-signature-256"));
    let command = "python3 verify.py \"$SHARED\" \"$SIGNATURE\" < body.json";
    let done = reader.types_well(&mut shell, command);
    assert_eq!(done.out, "the signature is right\n");
    shell.save("body.json", &(sent.text().to_owned() + " "));
    let done = shell.runs(command);
    assert_eq!((done.code, done.err.as_str()), (Some(1), "the signature is wrong\n"), "{done:?}");
}

/// Starts the program of each language.
fn start(page: &Page) -> Vec<Receiving> {
    let mut home = Shell::new("guide-receivers");
    home.export("SECRET", SECRET);
    let ports = LANGUAGES.map(|_| free_port());
    let named = LANGUAGES.iter().zip(ports).fold(page.follow(), |reader, (language, port)| {
        reader.call(language.port, port.to_string())
    });
    let mut reader = named;
    let started = LANGUAGES.iter().zip(ports).map(|(language, port)| {
        reader.says(&format!("`{}`", language.file));
        let mut shell = home.another().within(home.home().join(language.block));
        shell.save(language.file, &reader.program(language.block));
        (language.needs)(&shell);
        if let Some(build) = language.build {
            reader.types_well(&mut shell, build);
        }
        let program = reader.leaves(&shell, language.command);
        Receiving { block: language.block, port, program }
    });
    let all: Vec<Receiving> = started.collect();
    for receiving in &all {
        receiving.program.wait_port(receiving.port);
    }
    all
}

/// Checks that the receiver accepts the request, recognises a repetition, and refuses changed requests.
fn check(receiving: &Receiving, sent: &Received) {
    let Receiving { block, port, program } = receiving;
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        let (status, _) = http::post_with(*port, "/hooks", headers, body).expect("an answer");
        status
    };
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type"];
    let headers = names.map(|name| (name, sent.header(name)));
    assert_eq!(post(&headers, &sent.body), 204, "{block}");
    assert_eq!(post(&headers, &sent.body), 204, "{block}: the same again");
    let other = [&sent.body[..], b" "].concat();
    assert_eq!(post(&headers, &other), 401, "{block}: another body");
    let mut late = headers;
    late[1].1 = "1700000000";
    assert_eq!(post(&late, &sent.body), 401, "{block}: another time");
    assert_eq!(post(&headers[..2], &sent.body), 401, "{block}: no signature");
    // The daemon sent one, and this test the other.
    let news = program.wait_lines("new ", 2);
    assert!(news.iter().any(|line| line.contains(sent.id())), "{block}: {news:?}");
    assert_eq!(program.wait_lines("again ", 1), [format!("again {}", sent.id())], "{block}");
}
