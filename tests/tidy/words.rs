//! Checks of forbidden words, of the length of files, and of their first line.

use crate::source::{code, lines_with_word, shipped_code};
use crate::{File, assert_tidy, files, sources};

const LINES_MAX: usize = 500;

/// Words by which a decision would depend on more than its arguments, or a domain type on its storage or display.
const NOT_IN_DOMAIN: &[&str] = &[
    "serde",
    "serde_json",
    "tokio",
    "tracing",
    "prometheus",
    "rdkafka",
    "rocksdb",
    "reqwest",
    "axum",
    "jiff",
    "governor",
    "backoff",
    "ring",
    "rand",
    "getrandom",
    "fastrand",
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "HashMap",
    "HashSet",
    "RandomState",
    "Mutex",
    "RwLock",
    "Atomic",
    "AtomicU64",
    "AtomicBool",
    "static",
    "thread",
    "thread_local",
    "fs",
    "net",
    "env",
    "process",
    "async",
    "await",
    "println",
    "eprintln",
    "unwrap",
    "expect",
];

const NOWHERE: &[&str] = &["#[allow", "#![allow", "todo!", "unimplemented!", "dbg!"];

/// Macros that panic when their output can't be written.
const PANICKING: &[&str] = &["println", "eprintln", "print", "eprint"];

/// The audited modules, and how often each may contain the word. All other files may not.
const UNSAFE: &[(&str, usize)] = &[
    ("src/allocator.rs", 2),
    ("src/log/group.rs", usize::MAX),
    ("src/log/headers.rs", usize::MAX),
    ("src/log/native.rs", usize::MAX),
    ("src/log/transaction.rs", 1),
    ("tests/fuzz/process.rs", usize::MAX),
];

fn pure(path: &str, text: &str) -> Vec<String> {
    if path != "src/domain.rs" && !path.starts_with("src/domain/") {
        return Vec::new();
    }
    // An attribute such as `#[expect(…)]` is no call.
    let code = shipped_code(path, text).replace("#[expect(", "#[(");
    let found = NOT_IN_DOMAIN.iter().flat_map(|word| {
        let lines = lines_with_word(&code, word);
        lines.into_iter().map(move |line| format!("line {line}: `{word}` in the pure core"))
    });
    found.collect()
}

fn forbidden(_path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let found = (1..).zip(code.lines()).flat_map(|(line, code): (usize, &str)| {
        let words = NOWHERE.iter().filter(move |word| code.contains(*word));
        words.map(move |word| format!("line {line}: `{word}`"))
    });
    found.collect()
}

/// The standard library's macros panic when their pipe is closed or the disk is full, and a panic ends the daemon.
fn quiet(path: &str, text: &str) -> Vec<String> {
    let code = shipped_code(path, text);
    let found = PANICKING.iter().flat_map(|word| {
        // Functions may have these names. The check looks for the macros.
        let lines = (1..).zip(code.lines()).filter(move |(_, line)| {
            let called = format!("{word}!");
            lines_with_word(line, word) == [1] && line.contains(&called)
        });
        lines.map(move |(line, _): (usize, _)| {
            format!("line {line}: `{word}!` can panic: see telemetry/output.rs")
        })
    });
    found.collect()
}

/// In JSON, a field in Rust's `Debug` format is a string with brackets or quotes inside, which tools can't parse.
fn plain_fields(path: &str, text: &str) -> Vec<String> {
    let code = shipped_code(path, text);
    let is_debug = |line: &str| {
        let after = line.split("= ?").nth(1).or(line.trim_start().strip_prefix('?'));
        after.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '&'))
    };
    let found = (1..).zip(code.lines()).filter(|(_, line): &(usize, _)| is_debug(line));
    found.map(|(line, _)| format!("line {line}: a log field in `Debug` format")).collect()
}

fn safe(path: &str, text: &str) -> Vec<String> {
    let allowed = UNSAFE.iter().find(|(file, _)| *file == path).map_or(0, |(_, times)| *times);
    let lines = lines_with_word(&code(text), "unsafe");
    if lines.len() > allowed {
        return vec![format!("`unsafe` on lines {lines:?}, where {allowed} are audited")];
    }
    Vec::new()
}

fn short(_path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        vec![format!("{lines} lines, more than {LINES_MAX}")]
    } else {
        Vec::new()
    }
}

fn introduced(_path: &str, text: &str) -> Vec<String> {
    let says = text.strip_prefix("//! ").is_some_and(|rest| rest.starts_with(|c: char| c != '\n'));
    if says { Vec::new() } else { vec!["it does not begin with its purpose (`//!`)".to_owned()] }
}

fn everything() -> Vec<File> {
    let mut all = sources();
    all.extend(files("tests", "rs"));
    all.extend(files("benches", "rs"));
    all
}

#[test]
fn the_core_is_pure() {
    assert_tidy(&sources(), pure);
    for text in [
        "use serde::Serialize;",
        "let now = std::time::Instant::now();",
        "let m: std::collections::HashMap<u8, u8>;",
        "tracing::info!(\"x\");",
        "x.unwrap()",
    ] {
        assert_eq!(pure("src/domain/x.rs", text).len(), 1, "{text}");
        assert!(
            pure("src/domain/tests.rs", text).is_empty() && pure("src/log.rs", text).is_empty()
        );
    }
    let fine = "//! tokio\n#[expect(clippy::x, reason = \"serde\")]\nfn expected(instant: u8) {}";
    assert_eq!(pure("src/domain/x.rs", fine), Vec::<String>::new());
}

#[test]
fn no_file_contains_allow_attributes_or_unfinished_code() {
    assert_tidy(&everything(), forbidden);
    for text in ["#[allow(dead_code)]", "#![allow(x)]", "todo!()", "unimplemented!()", "dbg!(x)"] {
        assert_eq!(forbidden("src/x.rs", text).len(), 1, "{text}");
    }
    assert_eq!(forbidden("src/x.rs", "// todo!()\n#[expect(x)]"), Vec::<String>::new());
}

#[test]
fn unsafe_code_is_only_in_audited_files() {
    assert_tidy(&everything(), safe);
    let twice = "let a = unsafe { f() };\nlet b = unsafe { g() };";
    assert_eq!(safe("src/store.rs", "unsafe { f() }").len(), 1);
    assert_eq!(safe("src/log/transaction.rs", twice).len(), 1);
    assert!(safe("src/log/group.rs", twice).is_empty());
    assert!(safe("src/store.rs", "#[expect(unsafe_code)] // unsafe").is_empty());
}

#[test]
fn no_macro_panics_because_of_its_output() {
    let own = sources().into_iter().filter(|file| !crate::source::is_test(&file.path));
    assert_tidy(&own.collect::<Vec<_>>(), quiet);
    for text in ["println!()", "eprintln!(\"x\")", "std::print!(\"x\")", "eprint!(\"x\")"] {
        assert_eq!(quiet("src/x.rs", text).len(), 1, "{text}");
    }
    let fine = "// println!\nerr_line!(\"println!\"); fn printed() {}";
    assert_eq!(quiet("src/x.rs", fine), Vec::<String>::new());
}

#[test]
fn no_log_field_has_debug_format() {
    assert_eq!(plain_fields("src/app.rs", "tracing::info!(topics = ?missing, \"m\");").len(), 1);
    assert_eq!(plain_fields("src/app.rs", "tracing::info!(\n    ?missing,\n);").len(), 1);
    assert!(plain_fields("src/app.rs", "let a = b?; tracing::info!(%error);").is_empty());
    assert_tidy(&sources(), plain_fields);
}

#[test]
fn files_are_short() {
    assert_tidy(&everything(), short);
    assert_eq!(short("x", &"x\n".repeat(501)).len(), 1);
    assert!(short("x", &"x\n".repeat(500)).is_empty());
}

#[test]
fn every_file_says_what_it_is_for() {
    assert_tidy(&everything(), introduced);
    for text in ["", "use x;\n", "// no doc\n", "//!\n//! late\n", "\n//! late\n"] {
        assert_eq!(introduced("x", text).len(), 1, "{text:?}");
    }
    assert!(introduced("x", "//! What it is for.\n").is_empty());
}
