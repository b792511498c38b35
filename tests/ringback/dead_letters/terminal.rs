//! A replay on a terminal.

use super::{events, failing_endpoint, make_letters};
use crate::harness::PATIENCE;
use crate::harness::stage::Stage;
use std::sync::atomic::Ordering;

#[test]
fn on_a_terminal_a_replay_asks_first_and_shows_its_progress() {
    let stage = Stage::new("letters-terminal");
    let repaired = failing_endpoint(&stage, 400);
    let mut daemon = stage.start();
    let uuids: Vec<String> = (0..20).map(|n| format!("u-{n}")).collect();
    make_letters(&stage, &uuids.iter().map(String::as_str).collect::<Vec<_>>());
    stage.dead_letters(20, PATIENCE);
    daemon.stop();
    repaired.store(true, Ordering::SeqCst);

    let arguments = ["dead-letter", "replay", "--reason", "refused", "--rate", "10"];
    let done = stage.command_on_terminal(&arguments, "n\n");
    assert!(done.out.contains("[y/N]"), "{done:?}");
    assert!(!done.out.contains("replaying"), "nothing is sent without consent: {done:?}");
    let done = stage.command_on_terminal(&arguments, "y\n");
    assert_eq!(done.code, Some(0), "{done:?}");
    // The counts, the rate and the remaining time.
    for shown in ["replaying", "/20", "/s", " left"] {
        assert!(done.out.contains(shown), "{shown}: {done:?}");
    }
    let _daemon = stage.start();
    assert_eq!(events(&stage, "delivered", 20).len(), 20);
}
