//! The console in a real browser: every page, live updates, keyboard, accessibility, hostile text, no script at all.

use super::{HOSTILE, TOKEN, WEBHOOK, stage};
use crate::harness::PATIENCE;
use crate::harness::samples::{flow, report, with};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;

#[test]
fn the_console_works_in_a_browser_and_is_accessible() {
    let (stage, repaired) = stage("console-browser");
    let daemon = stage.start();
    // Foreign text reaches the pages by records, answers and dead letters.
    let hostile = with(flow(HOSTILE, &["s1"]), "sessionId", json!(HOSTILE));
    stage.send_flows(&[hostile, flow("browser-1", &["s1"])]);
    stage.send_reports(&[report("browser-1", "s1", HOSTILE)]);
    stage.kafka.produce(&[stage.raw("flow-complete", format!("{{{HOSTILE}"))]);
    // These are replayed.
    stage.send_flows(
        &(0..10).map(|number| flow(&format!("browser-more-{number}"), &[])).collect::<Vec<_>>(),
    );
    stage.dead_letters(14, PATIENCE);
    repaired.store(true, Ordering::SeqCst);

    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ops/local/browser/console.cjs");
    let cache = std::env::var("RINGBACK_CACHE").expect("make sets the cache");
    let screenshots = stage.instance_dir(0).join("screenshots");
    let mut command = Command::new("node");
    command.arg(root).env("NODE_PATH", format!("{cache}/browser/node_modules"));
    command.env("TOKEN", TOKEN).env("WEBHOOK", WEBHOOK).env("HOSTILE", HOSTILE);
    command.env(
        "SCREENSHOTS",
        std::env::var("RINGBACK_SCREENSHOTS").map_or(screenshots, PathBuf::from),
    );
    command.env("URL", format!("http://127.0.0.1:{}", daemon.port()));
    let output = command.output().expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{problems}");
    let result: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(result["problems"], json!([]), "{result}");
    assert!(result["pages"].as_u64().is_some_and(|pages| pages >= 12), "{result}");
    // The browser has replayed all refused letters and sent a test.
    stage.receiver.wait_for(2 * 13 + 1, PATIENCE);
}
