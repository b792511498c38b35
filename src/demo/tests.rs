//! A source of accounts beside the file: its accounts are applied while the daemon runs, without a signal.

use super::{Broker, Folder, Screen, free_address, start_broker, topics};
use crate::accounts::Entries;
use crate::app::App;
use crate::clock;
use crate::config::{Loaded, Variables};
use crate::demo::checklist::Checklist;
use crate::shutdown::HangUps;
use crate::telemetry::{Format, Metrics};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(60);

/// The value of the series `name`.
fn value(metrics: &Metrics, name: &str) -> Option<String> {
    let text = metrics.render(Format::Text, clock::wall());
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

/// Waits until the metrics satisfy `is`.
async fn wait(metrics: &Metrics, what: &str, is: impl Fn(&Metrics) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is(metrics) {
        assert!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a source sends: accounts and their webhooks.
fn entries(text: &str) -> Entries {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entries.toml");
    std::fs::write(&file, text).unwrap();
    Entries::of_file(&file).unwrap()
}

const ONE: &str = "[[account]]\nid = 1\n[[webhook]]\nname = \"one\"\naccount = 1\nurl = \"https://one.invalid/\"\n";

#[test]
fn accounts_of_a_source_are_applied_without_a_signal() {
    tokio::runtime::Runtime::new().unwrap().block_on(reload_from_a_source());
}

async fn reload_from_a_source() {
    const HASH: &str = "ringback_config_hash{part=\"accounts\"}";
    const APPLIED: &str = "ringback_config_reloads_total{result=\"applied\"}";
    const REFUSED: &str = "ringback_config_reloads_total{result=\"refused\"}";
    let folder = Folder::new().unwrap();
    folder.write_secret().unwrap();
    let broker: Broker = start_broker(&topics(), Screen::new(), Checklist::new()).unwrap();
    let http = free_address().unwrap();
    let file = folder.write_config(broker.servers(), http, http).unwrap();
    let loaded = Loaded::load_with(&file, &Variables::new()).unwrap();
    let app = App::new(loaded).unwrap().without_topic_checks().without_variables();
    let (requests, metrics) = (app.reload_requests(), app.metrics());
    let (stop, stopped) = watch::channel(false);
    let story = async {
        let of_file = value(&metrics, HASH).unwrap();
        // Sent before anybody can apply it; only the newest counts.
        requests.accounts(entries("[[account]]\nid = 7\n"));
        requests.accounts(entries(ONE));
        wait(&metrics, "a reload", |it| value(it, APPLIED).as_deref() == Some("1")).await;
        let of_source = value(&metrics, HASH).unwrap();
        assert_ne!(of_source, of_file);

        requests.accounts(entries(&format!("{ONE}urk = 1\n")));
        wait(&metrics, "a refusal", |it| value(it, REFUSED).as_deref() == Some("1")).await;
        assert_eq!(value(&metrics, HASH).unwrap(), of_source, "the former one stays in force");

        requests.files();
        wait(&metrics, "a reload", |it| value(it, APPLIED).as_deref() == Some("2")).await;
        assert_eq!(value(&metrics, HASH).unwrap(), of_file, "the file counts again");
        stop.send_replace(true);
    };
    let (ended, ()) = tokio::join!(app.run(HangUps::new().unwrap(), stopped), story);
    ended.unwrap();
}
