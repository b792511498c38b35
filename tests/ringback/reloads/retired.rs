//! Keys of earlier versions: they are valid, and a warning says that they can be removed.

use super::reload;
use crate::harness::stage::Stage;

#[test]
fn a_key_that_has_no_effect_any_more_is_one_warning_at_the_start_at_a_reload_and_in_check() {
    let mut stage = Stage::new("reloads-retired");
    stage.set("topics.encoding", "json");
    let daemon = stage.start();
    let warnings = || {
        let logged = daemon.logged();
        let lines = logged.lines().filter(|line| line.contains("topics.encoding"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let at_start = warnings();
    assert_eq!(at_start.len(), 1, "{at_start:?}");
    let parts = ["WARN", "ringback.toml", "no longer has an effect", "remove the key"];
    assert!(parts.iter().all(|part| at_start[0].contains(part)), "{at_start:?}");
    reload(&stage, &daemon, "applied", 1.0);
    assert_eq!(warnings().len(), 2, "a reload says it once more");

    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines: Vec<_> = done.err.lines().filter(|it| it.contains("topics.encoding")).collect();
    assert_eq!(lines.len(), 1, "{done:?}");
    assert!(lines[0].contains(": warning: topics.encoding: no longer has an effect"), "{done:?}");

    stage.set("topics.encoding", "avro");
    reload(&stage, &daemon, "refused", 1.0);
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.err.contains("topics.encoding: is not \"json\""), "{done:?}");
}
