//! Faults around the daemon: Kafka accepts no transactions; clock, log, store and open files fail.

use super::page::{Page, Reader};
use crate::harness::clock::Clock;
use crate::harness::daemon::{Daemon, EX_CONFIG};
use crate::harness::disk::Disk;
use crate::harness::door::{Grant, grant, nobody, revoke, secured};
use crate::harness::receiver::{Answer, Received, now_ms};
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::verify::report;
use crate::harness::{PATIENCE, invariants, wait_until};
use crate::stores::damaged::{self, copy_of, each, flip};
use crate::{logs, rights, shortages};
use std::fs::File;

/// Waits until `/readyz` answers 503 with this part. Returns the answer.
fn unready(daemon: &Daemon, part: &str) -> String {
    wait_until(&format!("/readyz says {part}"), PATIENCE, || {
        let (status, says) = daemon.get("/readyz").ok()?;
        (status == 503 && says.contains(part)).then_some(says)
    })
}

/// Checks the symptoms that `commits.md` describes, with these causes.
fn sees_uncommitted(reader: &Reader<'_>, daemon: &Daemon, causes: &[&str]) {
    let says = unready(daemon, causes[0]);
    for cause in causes {
        reader.sees(cause, &says);
    }
    for said in ["/livez", "ringback_ready", "ringback_transaction_errors_total"] {
        reader.says(said);
    }
    assert_eq!(daemon.get("/livez").expect("it answers").0, 200);
    let tried = daemon.metric("ringback_transaction_errors_total", &[]);
    assert!(tried > Some(0.0), "{tried:?}");
    assert_eq!(daemon.metric("ringback_ready", &[]), Some(0.0));
}

fn committed_again(reader: &Reader<'_>, daemon: &mut Daemon) {
    daemon.wait_ready();
    daemon.wait_logged("transactions are committed again", 0);
    reader.says("transactions are committed again");
}

/// `commits.md`: a topic accepts only smaller records.
pub(super) fn too_large(page: &Page) {
    let stage = Stage::new("guide-commits-size");
    let mut daemon = stage.start();
    stage.kafka.alter_topic(&stage.topic("events"), "max.message.bytes", "100");
    stage.send_flows(&[flow("guide-large", &[])]);
    let mut reader = page.follow();
    let causes = ["no transaction can be committed", "larger than the topic's max.message.bytes"];
    sees_uncommitted(&reader, &daemon, &causes);
    let logged = daemon.logged();
    reader.sees("nothing is lost, and commits continue once the cause is gone", &logged);
    assert_eq!(stage.receiver.count(), 0);
    reader.succeeds(&stage, "ringback topics --mend");
    committed_again(&reader, &mut daemon);
    stage.receiver.wait_for(1, PATIENCE);
    daemon.stop();
    stage.verify();
}

/// `commits.md`: a right is removed.
pub(super) fn right_taken_away(page: &Page) {
    let mut stage = Stage::on(secured().kafka(), "guide-commits-right", 1);
    let user = nobody();
    stage.log_in("PLAIN", &user);
    let all = rights::listed(&stage, 0).remove("run").expect("the guide knows it");
    grant(all.iter().map(|grant| (user.as_str(), grant)));
    let mut daemon = stage.start();
    let events = stage.topic("events");
    let is_it = |grant: &&Grant| grant.operation == "Write" && grant.name == events;
    let right = all.iter().find(is_it).expect("run writes events");
    revoke([(user.as_str(), right)]);
    stage.send_flows(&[flow("guide-denied", &[])]);
    let mut reader = page.follow();
    sees_uncommitted(&reader, &daemon, &["no transaction can be committed", "the right"]);
    reader.sees("is missing", &unready(&daemon, &format!("Write on topic {events}")));
    let checked = reader.runs(&stage, "ringback check --online");
    assert_eq!(checked.code, Some(EX_CONFIG), "{checked:?}");
    let command = format!("--allow-principal User:{user} --operation Write --topic {events}");
    assert!(checked.err.contains(&command), "{}", checked.err);
    grant([(user.as_str(), right)]);
    committed_again(&reader, &mut daemon);
    stage.receiver.wait_for(1, PATIENCE);
    daemon.stop();
}

/// `commits.md`: a topic is deleted.
pub(super) fn topic_gone(page: &Page) {
    let stage = Stage::new("guide-commits-gone");
    let mut daemon = stage.start();
    logs::delivers(&stage, "guide-gone-first");
    stage.delete_topic("events");
    stage.send_flows(&[flow("guide-gone-second", &[])]);
    let mut reader = page.follow();
    sees_uncommitted(&reader, &daemon, &["no transaction can be committed"]);
    let gone = "the topic was deleted, or its partition has no leader";
    reader.sees(gone, &unready(&daemon, gone));
    let created = reader.runs(&stage, "ringback topics --create");
    assert!(created.out.contains(&format!("created {}", stage.topic("events"))), "{created:?}");
    committed_again(&reader, &mut daemon);
    stage.receiver.wait_for(2, PATIENCE);
    daemon.stop();
}

/// Returns whether a receiver that compares times accepts the request.
fn is_timely(request: &Received) -> bool {
    let said: i64 = request.header("webhook-timestamp").parse().expect("seconds");
    let real = i64::try_from(now_ms() / 1000).expect("small");
    (said - real).abs() < 300
}

/// `clock.md`: the clock jumps while the daemon runs, and is corrected.
pub(super) fn clock(page: &Page) {
    let mut stage = Stage::new("guide-clock");
    stage.receiver.script(|request, _| Answer::status(if is_timely(request) { 200 } else { 400 }));
    let clock = Clock::of(&mut stage);
    let mut daemon = stage.start();
    logs::delivers(&stage, "guide-clock-before");
    clock.set(2 * 86400);
    stage.send_flows(&[flow("guide-clock-wrong", &[])]);
    stage.dead_letters(1, PATIENCE);
    let mut reader = page.follow();
    reader.sees("the system's clock has jumped", &daemon.logged());
    reader.says("ringback_clock_jumps_total{direction=\"forward\"}");
    let jumps =
        |direction| daemon.metric("ringback_clock_jumps_total", &[("direction", direction)]);
    assert_eq!(jumps("forward"), Some(1.0));
    clock.set(0);
    logs::delivers(&stage, "guide-clock-right");
    assert_eq!(jumps("backward"), Some(1.0));
    let list = reader.succeeds(&stage, "ringback dead-letter list --since 12h");
    assert!(list.out.contains("guide-clock-wrong"), "{}", list.out);
    let replay = "ringback dead-letter replay --since 12h";
    let dry = format!("{replay} --dry-run");
    let would = reader.succeeds(&stage, &dry);
    assert!(would.out.contains("1  would be replayed"), "{}", would.out);
    let before = stage.receiver.count();
    reader.succeeds(&stage, replay);
    stage.receiver.wait_for(before + 1, PATIENCE);
    stage.wait_events("delivered", 3);
    reader.until(&stage, &dry, |done| {
        done.code == Some(0) && done.out.contains(" 0  would be replayed")
    });
    assert_eq!((jumps("forward"), jumps("backward")), (Some(1.0), Some(1.0)));
    daemon.stop();
    // It was set back while no daemon ran.
    clock.set(-7200);
    let mut daemon = stage.start();
    reader.sees("the state was committed later than the clock says it is", &daemon.logged());
    daemon.stop();
    reader.says("refuses the record's timestamp");
}

const LOST: &str = "curl -s http://127.0.0.1:9464/metrics | grep ringback_log_lines_lost_total";

/// Returns the number that the guide's command shows.
fn lost(page: &mut Reader<'_>, stage: &Stage, daemon: &Daemon) -> u64 {
    let shown = page.shell(stage, daemon, LOST);
    let line = shown.out.lines().find(|line| !line.starts_with('#')).expect("a series");
    line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).expect("a number")
}

/// `logs.md`: the disk of the log is full.
pub(super) fn full_log_disk(page: &Page) {
    let stage = Stage::new("guide-log-disk");
    let dir = stage.instance_dir(0).join("logs");
    let Some(_disk) = Disk::mount(&dir, 1) else { return };
    let path = dir.join("stderr.log");
    let log = File::options().append(true).create(true).open(&path).expect("a log");
    let mut daemon = stage.spawn_to(0, log);
    daemon.wait_ready();
    let filler = logs::fill(&dir);
    for number in 0.. {
        logs::delivers(&stage, &format!("guide-full-{number}"));
        if logs::lost(&daemon) > 0.0 {
            break;
        }
    }
    let mut reader = page.follow();
    reader.says("ringback_log_lines_lost_total");
    assert!(lost(&mut reader, &stage, &daemon) > 0);
    assert_eq!(daemon.get("/readyz").expect("it answers").0, 200);
    std::fs::remove_file(filler).expect("the filler");
    // The log is emptied, not deleted, as the page says.
    std::fs::write(&path, "").expect("it can be emptied");
    logs::delivers(&stage, "guide-room");
    wait_until("new lines appear", PATIENCE, || (!logs::lines(&path).is_empty()).then_some(()));
    let before = logs::lost(&daemon);
    logs::delivers(&stage, "guide-more-room");
    let now = lost(&mut reader, &stage, &daemon);
    assert_eq!(before.to_string(), now.to_string(), "the counter no longer grows");
    daemon.stop();
}

/// `logs.md`: the reader of the pipe has ended.
pub(super) fn closed_log(page: &Page) {
    let stage = Stage::new("guide-log-pipe");
    stage.receiver.script(|request, _| {
        Answer::status(if request.uuid() == "guide-given-up" { 400 } else { 200 })
    });
    let mut daemon = stage.spawn_to(0, logs::closed_pipe());
    daemon.wait_ready();
    logs::delivers(&stage, "guide-unseen");
    stage.send_flows(&[flow("guide-given-up", &[])]);
    stage.dead_letters(1, PATIENCE);
    let mut reader = page.follow().call("UUID", "guide-unseen");
    assert!(lost(&mut reader, &stage, &daemon) > 0);
    daemon.stop();
    let mut daemon = reader.starts_ready(&stage, "ringback run");
    let trace = reader.succeeds(&stage, "ringback trace UUID");
    assert!(trace.out.contains("delivered"), "{}", trace.out);
    let list = reader.succeeds(&stage, "ringback dead-letter list");
    assert!(list.out.contains("guide-given-up"), "{}", list.out);
    assert_eq!(lost(&mut reader, &stage, &daemon), 0);
    assert!(!daemon.logged().is_empty());
    daemon.stop();
}

/// `damaged-store.md`.
pub(super) fn damaged_store(page: &Page) {
    let scene = damaged::Scene::open("guide-damaged");
    each(&scene.store, ".sst", flip);
    let mut reader = page.follow();
    for verify in ["ringback verify", "ringback verify --config /etc/ringback/ringback.toml"] {
        let found = reader.runs(&scene.stage, verify);
        assert_eq!(found.code, Some(1), "{found:?}");
        assert!(found.out.contains("store") && found.out.contains("is damaged"), "{}", found.out);
    }
    let daemon = scene.restart();
    reader.sees(damaged::SET_ASIDE, &daemon.logged());
    reader.says("ringback_store_corruptions_total");
    assert_eq!(daemon.metric("ringback_store_corruptions_total", &[]), Some(1.0));
    let copy = copy_of(&scene.store);
    let note = std::fs::read_to_string(copy.join("SET-ASIDE-BECAUSE.json")).expect("a note");
    reader.says("SET-ASIDE-BECAUSE.json");
    assert!(!note.is_empty());
    scene.ends(daemon, std::slice::from_ref(&copy));
    let clean = reader.succeeds(&scene.stage, "ringback verify");
    assert!(clean.out.contains(copy.to_str().expect("a plain path")), "{}", clean.out);
    // Then the copy can be removed.
    std::fs::remove_dir_all(&copy).expect("what lies aside");
    scene.stage.start().stop();
    assert_eq!(report(&scene.stage.verified(0, &[]))["set_aside"], serde_json::json!([]));
}

/// `too-few-files.md`.
pub(super) fn too_few_files(page: &Page) {
    let mut stage = shortages::stage("guide-files");
    stage.set_shell("ulimit -n 96");
    // Not every root may raise the hard limit.
    let hard = crate::shortages::hard_limit();
    let mut reader = page.follow().call("65536:65536", format!("{hard}:{hard}"));
    let said = stage.refused();
    reader.says("open files: the hard limit is 96 (RLIMIT_NOFILE), and the daemon needs at least");
    assert!(said.contains("open files: the hard limit is 96 (RLIMIT_NOFILE)"), "{said}");
    stage.set_shell("ulimit -n 1024");
    for check in ["ringback check", "ringback check --config /etc/ringback/ringback.toml"] {
        let checked = reader.succeeds(&stage, check);
        let words =
            "open files: the hard limit is 1024 (RLIMIT_NOFILE), and this configuration needs";
        reader.sees(words, &checked.err);
    }
    stage.set_shell("true");
    let daemon = stage.start();
    shortages::limit(&daemon, shortages::open_files(&daemon) + 10);
    let uuids = Random::seeded(982).uuids(shortages::FLOWS);
    shortages::send(&stage, &uuids);
    daemon.wait_logged("deliveries wait", 0);
    reader.sees(
        "deliveries wait because the process has too many files open (EMFILE): open files: soft limit",
        &daemon.logged(),
    );
    let metric = "ringback_own_shortages_total";
    assert!(daemon.metric(metric, &[("kind", "files")]) > Some(0.0));
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(daemon.get(path).expect("it answers").0, 200, "{path}");
    }
    let raised = "prlimit --nofile=65536:65536 --pid \"$(systemctl show --property MainPID --value ringback)\"";
    let raised = reader.shell(&stage, &daemon, raised);
    assert_eq!(raised.code, Some(0), "{raised:?}");
    daemon.wait_logged("the shortage is over", 0);
    reader.says("the shortage is over");
    invariants::wait_delivered(&stage, &uuids, PATIENCE * 3);
    let grep = "curl -s http://127.0.0.1:9464/metrics | grep ringback_own_shortages_total";
    let shown = reader.shell(&stage, &daemon, grep);
    assert!(shown.out.contains("kind=\"files\""), "{shown:?}");
    shortages::all_is_well(&stage, &uuids, daemon);
}
