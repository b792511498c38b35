//! 100,000 accounts with 150,000 webhooks of a database: the time and memory of a start, and the time of changes.
//!
//! The rows come from snapshots, so that only Ringback's own part is measured. Endpoints are created as the daemon does.
#![expect(clippy::expect_used, reason = "a benchmark ends by panicking")]

use ringback::accounts::{Building, Incremental, Snapshot};
use ringback::config::{Settings, Variables};
use ringback::delivery::{Endpoint, Names, Trust, Webhook};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const ACCOUNTS: usize = 100_000;
const WEBHOOKS: usize = 150_000;

/// Writes a snapshot in which the first `changed` accounts differ from one without changes.
fn write_snapshot(directory: &Path, changed: usize) {
    let mut text = String::from(concat!(
        r#"{"version":1,"at":"2026-01-01T00:00:00Z","shapes":["#,
        r#"{"kind":"account","table":"Accountconfig","columns":["id","account.sms.notifyOnDelivery"]},"#,
        r#"{"kind":"webhook","table":"ringback_webhook","columns":["id","name","account","default","url","signing_secrets"]}]}"#,
        "\n"
    ));
    for account in 0..ACCOUNTS {
        let notify = if account < changed { "1" } else { "0" };
        let _ = writeln!(text, r#"[0,["{account}","{notify}"]]"#);
    }
    for webhook in 0..WEBHOOKS {
        let account = webhook % ACCOUNTS;
        let default = if webhook < ACCOUNTS { "1" } else { "0" };
        let version = if account < changed { "2" } else { "1" };
        let _ = writeln!(
            text,
            r#"[1,["{webhook}","hook-{webhook}","{account}","{default}","https://hooks-{webhook}.example.com/v{version}","[\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"]"]]"#
        );
    }
    let _ = writeln!(text, r#"{{"rows":{}}}"#, ACCOUNTS + WEBHOOKS);
    std::fs::write(directory.join("accounts.snapshot"), text).expect("a file");
}

/// Returns the resident memory of the process in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") / 1024
}

fn main() {
    // `cargo test --benches` only checks that it compiles.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ringback.toml");
    std::fs::write(&file, "").expect("a file");
    let variables = Variables::new();
    let settings = Settings::load_with(&file, &variables).expect("the defaults");
    let (trust, names) = (Trust::new().expect("the system's roots"), Names::default());
    let mut endpoints: BTreeMap<String, Arc<Endpoint>> = BTreeMap::new();
    let mut check = |webhook: &Arc<Webhook>| {
        let addresses = &settings.delivery.addresses;
        let endpoint = Endpoint::keeping(webhook.clone(), &trust, addresses, &names, 1);
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        endpoints.insert(webhook.name.to_string(), Arc::new(endpoint));
        Ok(())
    };
    let basis = settings.basis();
    let mut with = Building { basis, variables: &variables, check: &mut check };
    let mut incremental = Incremental::default();
    let before = resident_mib();
    for (what, changed) in
        [("start", 0), ("no change", 0), ("1 change", 1), ("10,000 changes", 10_000)]
    {
        write_snapshot(folder.path(), changed);
        let begun = Instant::now();
        let snapshot = Snapshot::read(folder.path()).expect("a snapshot").expect("a file");
        let read = begun.elapsed();
        let begun = Instant::now();
        let changes = incremental.apply(snapshot.reading, &mut with);
        let applied = begun.elapsed();
        println!(
            "{what:<16} read {:>7.1} ms  apply {:>8.1} ms  accounts changed {:>6}  memory {:>5} MiB",
            read.as_secs_f64() * 1e3,
            applied.as_secs_f64() * 1e3,
            changes.accounts.len(),
            resident_mib() - before,
        );
    }
    assert_eq!(incremental.accounts().webhooks.len(), WEBHOOKS);
}
