//! Tests that the README and the pages of `ops/guide/` are true. Scenes run a page's commands and programs, taken from
//! its text. For a page about an accident, the scene causes the accident, checks the symptoms, and follows the page
//! until it is over.

mod changelog;
mod inputs;
mod moving;
mod operating;
mod page;
mod partitions;
mod receiving;
mod records;
mod security;
mod shell;
mod start;
mod surroundings;

use page::{Page, directory};
use std::collections::BTreeSet;

/// A test of a part of a page.
type Scene = fn(&Page);

/// Every page with its scenes, which run in parallel. Together they run all commands of the page.
const PAGES: [(&str, &[Scene]); 30] = [
    (README, &[start::quick_start]),
    ("another-cluster.md", &[moving::moved]),
    ("backup.md", &[moving::gone_back]),
    ("changelog-lost.md", &[changelog::deleted, changelog::older_copy, changelog::without_a_store]),
    ("clock.md", &[surroundings::clock]),
    (
        "commits.md",
        &[surroundings::too_large, surroundings::right_taken_away, surroundings::topic_gone],
    ),
    ("configuration.md", &[start::variables]),
    ("console.md", &[operating::console]),
    ("damaged-store.md", &[surroundings::damaged_store]),
    ("delivery.md", &[]),
    ("developing.md", &[start::targets]),
    ("disaster.md", &[moving::cluster_lost]),
    ("events.md", &[operating::letters]),
    ("group.md", &[changelog::shared_by_mistake, changelog::renamed_group]),
    (
        "inputs.md",
        &[
            inputs::recreated,
            inputs::recreated_from_end,
            inputs::recreated_from_age,
            inputs::deleted_unread,
        ],
    ),
    ("logs.md", &[surroundings::full_log_disk, surroundings::closed_log]),
    ("metrics.md", &[]),
    ("offsets.md", &[inputs::skipped, inputs::read_again]),
    ("operating.md", &[operating::running]),
    (
        "partitions.md",
        &[
            partitions::more,
            partitions::input_first,
            changelog::grown,
            changelog::small_inbox,
            changelog::large_inbox,
        ],
    ),
    ("receiving.md", &[receiving::verified, receiving::verified_in_a_header]),
    ("records.md", &[records::producers]),
    ("recovery.md", &[operating::morning_after]),
    ("security-kafka.md", &[security::logins]),
    ("sink.md", &[operating::sink]),
    ("sizing.md", &[start::defaults]),
    ("statuses.md", &[operating::statuses]),
    ("too-few-files.md", &[surroundings::too_few_files]),
    ("upgrades.md", &[]),
    ("webhooks.md", &[operating::definitions]),
];

/// The README of the project, whose commands are run like those of the guide.
const README: &str = "../../README.md";

/// A page that another test reads, and that test.
const ELSEWHERE: [(&str, &str); 4] = [
    ("notices.md", "tests/ringback/notices.rs::the_configuration_of_the_guide_sends_its_notice"),
    ("rights.md", "tests/ringback/rights.rs::commands_need_exactly_the_rights_of_the_guide"),
    ("traces.md", "tests/ringback/traces.rs::the_configuration_of_the_guide_exports_traces"),
    ("databases.md", "tests/ringback/databases.rs::the_statements_and_commands_of_the_guide_work"),
];

/// The list of the pages.
const INDEX: &str = "README.md";

/// A heading of `partitions.md`.
const INBOX: &str = "The inbox has another number than the changelog";

/// Runs every scene of the page, and panics unless each command of it was run.
fn play(name: &'static str) {
    let page = &Page::open(name);
    let (_, scenes) = PAGES.iter().find(|(page, _)| *page == name).expect("a page with scenes");
    std::thread::scope(|scope| {
        for scene in *scenes {
            // A panic shows the thread's name.
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn_scoped(scope, move || scene(page)).expect("a thread");
        }
    });
    page.is_followed();
}

#[test]
fn the_changelog_was_lost() {
    play("changelog-lost.md");
}

#[test]
fn the_clock_is_wrong() {
    play("clock.md");
}

#[test]
fn nothing_can_be_committed() {
    play("commits.md");
}

#[test]
fn the_store_is_damaged() {
    play("damaged-store.md");
}

#[test]
fn the_changelog_belongs_to_another_group() {
    play("group.md");
}

#[test]
fn inputs_were_created_again_or_lost_records() {
    play("inputs.md");
}

#[test]
fn the_log_can_not_be_written() {
    play("logs.md");
}

#[test]
fn the_daemon_moves_to_another_cluster() {
    play("another-cluster.md");
}

#[test]
fn stores_go_back_to_a_copy() {
    play("backup.md");
}

#[test]
fn a_lost_cluster_is_replaced() {
    play("disaster.md");
}

#[test]
fn clients_log_in_to_kafka() {
    play("security-kafka.md");
}

#[test]
fn positions_are_moved() {
    play("offsets.md");
}

#[test]
fn numbers_of_partitions_differ() {
    play("partitions.md");
}

#[test]
fn a_gateway_writes_statuses_of_its_own() {
    play("statuses.md");
}

#[test]
fn there_are_too_few_open_files() {
    play("too-few-files.md");
}

#[test]
fn a_new_user_starts_quickly() {
    play(README);
}

#[test]
fn producers_in_three_languages_choose_the_right_partition() {
    play("records.md");
}

#[test]
fn receivers_in_four_languages_verify_signatures() {
    play("receiving.md");
}

#[test]
fn operators_run_the_daemon() {
    play("operating.md");
}

#[test]
fn programs_ask_the_api_of_the_console() {
    play("console.md");
}

#[test]
fn operators_recover_deliveries() {
    play("recovery.md");
}

#[test]
fn answers_are_written_into_mongodb() {
    play("sink.md");
}

#[test]
fn events_and_dead_letters_are_read() {
    play("events.md");
}

#[test]
fn webhooks_are_defined_and_tried() {
    play("webhooks.md");
}

#[test]
fn references_and_explanations_hold_no_other_commands() {
    play("configuration.md");
    play("delivery.md");
    play("developing.md");
    play("metrics.md");
    play("sizing.md");
    play("upgrades.md");
}

/// No test runs these blocks, so that at least their syntax is checked.
#[test]
fn blocks_of_json_are_json() {
    for (name, _) in PAGES {
        for block in Page::open(name).blocks("json") {
            let read: Result<serde_json::Value, _> = serde_json::from_str(block);
            assert!(read.is_ok(), "{name}: {read:?}: {block}");
        }
    }
}

#[test]
fn every_page_has_a_scene_and_stands_in_the_index() {
    let files = std::fs::read_dir(directory()).expect("the guide").map_while(Result::ok);
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    // Pictures are in folders.
    let there: BTreeSet<String> = names.filter(|name| name.ends_with(".md")).collect();
    let with_scenes = PAGES.iter().map(|(name, _)| *name);
    let in_guide = with_scenes.clone().filter(|name| *name != README);
    let all = in_guide.chain(ELSEWHERE.map(|(name, _)| name)).chain([INDEX]);
    assert_eq!(there, all.map(str::to_owned).collect());
    let source = include_str!("guide.rs");
    for name in with_scenes {
        let call = if name == README { "README".to_owned() } else { format!("\"{name}\"") };
        assert!(source.contains(&format!("play({call});")), "no test plays {name}");
    }
    let index = std::fs::read_to_string(directory().join(INDEX)).expect("the index");
    for name in there.iter().filter(|name| *name != INDEX) {
        assert!(index.contains(&format!("]({name})")), "{name} is not in the index");
    }
    Page::open(INDEX).is_followed();
    for (name, test) in ELSEWHERE {
        let (file, function) = test.split_once("::").expect("a test's name");
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = std::fs::read_to_string(file).expect("a file of tests");
        assert!(source.contains(name), "{test} does not read {name}");
        assert!(source.contains(&format!("#[test]\nfn {function}()")), "there is no test {test}");
    }
}
