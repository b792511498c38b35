//! RocksDB takes half of the time of the first build. It is compiled again if any feature of the crates that its build script
//! uses changes, so that `make build` and `make test` must not need other features.

use crate::root;
use std::collections::BTreeSet;
use std::process::Command;

/// Returns the crates from which RocksDB is built, with their features, given options of `cargo tree`.
fn build(options: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--prefix", "depth", "--no-dedupe"]);
    let output = cargo.args(["--format", "{p} [{f}]"]).args(options).current_dir(root()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    below(&String::from_utf8_lossy(&output.stdout), "librocksdb-sys ")
}

/// Returns the lines of a tree that begin with `name`, and those below them, without their depths.
fn below(tree: &str, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut from = None;
    for line in tree.lines() {
        let text = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth: u32 = line.strip_suffix(text).and_then(|it| it.parse().ok()).expect("a depth");
        if from.is_some_and(|from| depth <= from) {
            from = None;
        }
        if from.is_none() && text.starts_with(name) {
            from = Some(depth);
        }
        if from.is_some() {
            found.insert(text.to_owned());
        }
    }
    found
}

#[test]
fn tests_do_not_compile_rocksdb_again() {
    let (of_tests, of_binary) = (build(&[]), build(&["--edges", "no-dev"]));
    assert!(of_binary.iter().any(|line| line.starts_with("bindgen ")), "{of_binary:?}");
    assert_eq!(of_tests, of_binary);
}

#[test]
fn only_what_is_below_a_crate_is_found() {
    let tree = "0root v1 []\n1a v1 []\n2b v1 [x]\n3c v1 []\n1d v1 []\n2a v1 []\n3b v1 [y]\n";
    let found: Vec<String> = below(tree, "a ").into_iter().collect();
    assert_eq!(found, ["a v1 []", "b v1 [x]", "b v1 [y]", "c v1 []"]);
}
