//! Checks the floors: a module imports only modules of lower floors, and none of its own floor.

use crate::source::{is_test, shipped_code};
use crate::{assert_tidy, file, root, sources};

/// The floor of each module. `lib.rs` shows the same table.
const FLOORS: &[(&str, u32)] = &[
    ("domain", 0),
    ("json", 0),
    ("xpath", 0),
    ("allocator", 1),
    ("definition", 1),
    ("codec", 1),
    ("telemetry", 1),
    ("clock", 1),
    ("exit", 1),
    ("failpoint", 1),
    ("system", 1),
    ("store", 2),
    ("log", 2),
    ("delivery", 2),
    ("engine", 3),
    ("replay", 3),
    ("rebuild", 3),
    ("sink", 3),
    ("offsets", 3),
    ("verify", 3),
    ("repartition", 4),
    ("document", 4),
    ("inspect", 4),
    ("accounts", 5),
    ("config", 6),
    ("console", 6),
    ("shutdown", 6),
    ("admin", 7),
    ("app", 8),
    ("demo", 9),
    ("cli", 10),
];

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// Returns the path of the module in this file, from the crate's root.
fn module_path(path: &str) -> Vec<&str> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').filter(|part| *part != "lib" && *part != "main").collect()
}

fn check(path: &str, text: &str) -> Vec<String> {
    let module = module_path(path);
    let Some(own) = module.first() else { return Vec::new() };
    if is_test(path) {
        return Vec::new();
    }
    let Some(own_floor) = floor(own) else {
        return vec![format!("`{own}` has no floor: add it to the table")];
    };
    let code = shipped_code(path, text);
    let mut faults = Vec::new();
    for name in crate_paths(&code) {
        match floor(&name) {
            _ if name == *own => {}
            None => faults.push(format!("`crate::{name}` names no module of the table")),
            Some(other) if other >= own_floor => {
                faults.push(format!("floor {own_floor} may not import `{name}` of floor {other}"));
            }
            Some(_) => {}
        }
    }
    let climb = "super::".repeat(module.len());
    if code.contains(&climb) {
        faults.push(format!("`{climb}` reaches the crate's root and bypasses the floors"));
    }
    faults
}

/// Returns the modules that `crate::a` and `crate::{a, b::{c, d}}` name.
fn crate_paths(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = code.get(at + found.len()..).unwrap_or_default();
        if let Some(group) = rest.strip_prefix('{') {
            names.extend(group_heads(group));
        } else {
            names.push(identifier(rest));
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the first identifier of each part of a `use` group, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![identifier(group)];
    let mut depth = 0_usize;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(identifier(group.get(at + 1..).unwrap_or_default())),
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

#[test]
fn modules_import_only_lower_floors() {
    assert_tidy(&sources(), check);
}

#[test]
fn the_map_in_lib_rs_shows_every_module_on_its_floor() {
    let map = file(&root().join("src/lib.rs")).text;
    for (module, floor) in FLOORS {
        let row = map.lines().any(|line| {
            line.starts_with(&format!("//! | {floor} |")) && line.contains(&format!("[`{module}`]"))
        });
        assert!(row, "the table of lib.rs shows `{module}` on floor {floor}");
        assert!(map.contains(&format!("pub mod {module};")), "`{module}` exists");
    }
    assert_eq!(map.matches("pub mod ").count(), FLOORS.len(), "every module has a floor");
}

#[test]
fn main_is_short_and_uses_only_the_command_line() {
    let main = file(&root().join("src/main.rs")).text;
    assert_eq!(main_faults(&main), Vec::<String>::new());
    assert_eq!(main_faults(&"\n".repeat(61)).len(), 1);
    assert_eq!(main_faults("fn main() { ringback::engine::run() }").len(), 1);
}

fn main_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.lines().count() > 60 {
        faults.push("main.rs has more than 60 lines".to_owned());
    }
    let code = shipped_code("src/main.rs", text);
    for (at, found) in code.match_indices("ringback::") {
        let name = identifier(code.get(at + found.len()..).unwrap_or_default());
        if name != "cli" {
            faults.push(format!("main.rs uses `{name}`"));
        }
    }
    faults
}

#[test]
fn a_breach_of_the_floors_is_found() {
    for (path, text) in [
        ("src/domain/decide.rs", "use crate::definition::body;"),
        ("src/codec/row.rs", "use crate::telemetry::Metrics;"),
        ("src/log/reader.rs", "use crate::{domain::Source, store::{Store, Key}};"),
        ("src/store.rs", "fn f() { crate::engine::run() }"),
        ("src/store.rs", "use super::engine::Engine;"),
        ("src/store/key.rs", "use super::super::engine::Engine;"),
        ("src/engine.rs", "use crate::nowhere::X;"),
        ("src/attic.rs", ""),
    ] {
        assert_eq!(check(path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn code_that_keeps_to_the_floors_passes() {
    for (path, text) in [
        (
            "src/log/reader.rs",
            "use crate::codec::source; use crate::log::Place; use crate::{domain::A, codec};",
        ),
        (
            "src/store/key.rs",
            "use super::Store; // crate::engine\nconst X: &str = \"crate::engine\";",
        ),
        ("src/store.rs", "#[cfg(test)]\nmod tests { use crate::engine::Engine; }"),
        ("src/store/tests.rs", "use crate::engine::Engine;"),
        ("src/lib.rs", "pub mod engine;"),
    ] {
        assert_eq!(check(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}
