//! `records.md`: the producer in each language chooses the partition that owns the phonon-uuid.

use super::page::Page;
use super::shell::{Shell, repository};
use super::start::PROGRAMS_TAKE_AT_MOST;
use crate::harness::child::cache;
use crate::harness::samples::{Random, flow};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, broker};
use std::collections::BTreeMap;
use std::time::Instant;

const PARTITIONS: i32 = 12;
const RECORDS_EACH: usize = 8;

/// A language: the name of its block, the file that the page names, the command, and a step that links its libraries.
struct Language {
    block: &'static str,
    file: &'static str,
    command: &'static str,
    needs: fn(&Shell),
}

const LANGUAGES: [Language; 3] = [
    Language {
        block: "java",
        file: "Produce.java",
        command: "java -cp 'libs/*' Produce.java localhost:9092 flow-complete flows.jsonl",
        needs: |shell| shell.link("libs", &cache().join("kafka/libs")),
    },
    Language {
        block: "python",
        file: "produce.py",
        command: "python3 produce.py localhost:9092 flow-complete flows.jsonl",
        needs: |_| {},
    },
    Language {
        block: "go",
        file: "main.go",
        command: "go run . localhost:9092 flow-complete flows.jsonl",
        needs: go_module,
    },
];

/// Links the Go module with the versions that are in the cache.
pub(super) fn go_module(shell: &Shell) {
    for file in ["go.mod", "go.sum"] {
        shell.link(file, &repository().join("ops/local/examples").join(file));
    }
}

pub(super) fn producers(page: &Page) {
    let stage = Stage::on(broker::shared(), "guide-records", PARTITIONS);
    let topic = stage.topic("flow-complete");
    let uuids = Random::seeded(991).uuids(LANGUAGES.len() * RECORDS_EACH);
    let home = Shell::new("guide-producers");
    let mut reader = page
        .follow()
        .call("localhost:9092", stage.kafka.bootstrap())
        .call("flow-complete", topic.clone());
    let began = Instant::now();
    for (language, uuids) in LANGUAGES.iter().zip(uuids.chunks(RECORDS_EACH)) {
        reader.says(&format!("`{}`", language.file));
        let mut shell = home.another().within(home.home().join(language.block));
        let lines: Vec<String> = uuids.iter().map(|uuid| flow(uuid, &[]).to_string()).collect();
        shell.save("flows.jsonl", &format!("{}\n", lines.join("\n")));
        shell.save(language.file, &reader.program(language.block));
        (language.needs)(&shell);
        let done = reader.types_well(&mut shell, language.command);
        for uuid in uuids {
            let place = format!("{uuid} is in {topic}-{} at ", partition(uuid));
            assert!(done.out.contains(&place), "{}: {place}: {done:?}", language.block);
        }
    }
    assert!(began.elapsed() < PROGRAMS_TAKE_AT_MOST, "{:?}", began.elapsed());
    let records = stage.kafka.read(&topic);
    let places: BTreeMap<String, i32> = records
        .iter()
        .map(|it| {
            (String::from_utf8_lossy(it.key.as_deref().unwrap_or_default()).into(), it.partition)
        })
        .collect();
    assert_eq!(places, uuids.iter().map(|uuid| (uuid.clone(), partition(uuid))).collect());
    // The daemon delivers all of them, and forwards none to another partition.
    let mut daemon = stage.start();
    stage.receiver.wait_for(uuids.len(), PATIENCE);
    let labels = [("topic", topic.as_str()), ("result", "forwarded")];
    let forwarded = daemon.metric("ringback_source_records_total", &labels).expect("a metric");
    assert!(forwarded < 0.5, "{forwarded} records were forwarded");
    daemon.stop();
}

/// Returns the partition that owns the phonon-uuid.
fn partition(uuid: &str) -> i32 {
    ringback::domain::owner(uuid.as_bytes(), PARTITIONS.unsigned_abs())
}
