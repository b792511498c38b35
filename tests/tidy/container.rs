//! The container file, which can't be built where there is no Docker: what it copies exists, is in its context, and is all
//! that the build reads.

use crate::{file, root, sources};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

const FILE: &str = "ops/container/Dockerfile";

/// Returns the sources that `COPY` takes from the context.
fn copied(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    let of_context = lines.filter(|line| !line.starts_with("--from="));
    of_context
        .flat_map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            words.pop();
            words
        })
        .collect()
}

/// Returns what the context has, as `.dockerignore` allows it: everything is excluded, except some paths.
fn context(text: &str) -> Vec<&str> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "first, everything is excluded");
    lines.map(|line| line.strip_prefix('!').expect("an exception")).collect()
}

fn is_below(path: &str, all: &[&str]) -> bool {
    all.iter().any(|one| Path::new(path).starts_with(one))
}

/// Returns the faults of a container file, its context, and the paths that the build reads.
fn faults(dockerfile: &str, ignored: &str, read: &BTreeSet<String>) -> Vec<String> {
    let (copied, context) = (copied(dockerfile), context(ignored));
    let missing = copied.iter().filter(|path| !root().join(path).exists());
    let mut faults: Vec<String> = missing.map(|path| format!("{path} does not exist")).collect();
    let outside = copied.iter().filter(|path| !is_below(path, &context));
    faults.extend(outside.map(|path| format!("{path} is not in the context")));
    let unused = context.iter().filter(|path| !is_below(path, &copied));
    faults.extend(unused.map(|path| format!("{path} is in the context, and not copied")));
    let lacking = read.iter().filter(|path| !is_below(path, &copied));
    faults.extend(lacking.map(|path| format!("the build reads {path}, which is not copied")));
    faults
}

/// Returns the path without `..`.
fn plain(path: &Path) -> String {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain.to_string_lossy().into_owned()
}

/// Returns the files that the sources include when the binary is built.
fn included() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for source in sources() {
        let code = source.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let is_test = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
        for rest in code.split("include_str!(\"").skip(1).filter(|_| !is_test) {
            let named = rest.split('"').next().unwrap_or_default();
            let folder = Path::new(&source.path).parent().expect("a folder");
            all.insert(plain(&folder.join(named)));
        }
    }
    assert!(all.len() > 10, "{all:?}");
    all
}

#[test]
fn the_container_file_copies_what_the_build_reads() {
    let dockerfile = file(&root().join(FILE)).text;
    let ignored = file(&root().join(FILE).with_extension("dockerignore")).text;
    let mut read = included();
    read.extend(["Cargo.toml", "Cargo.lock", "src/main.rs"].map(str::to_owned));
    let found = faults(&dockerfile, &ignored, &read);
    assert!(found.is_empty(), "{found:#?}");
    let few =
        faults("COPY Cargo.toml nowhere ./\nCOPY --from=build /x /y", "*\n!src\n!nowhere\n", &read);
    for fault in [
        "nowhere does not exist",
        "Cargo.toml is not in the context",
        "src is in the context, and not copied",
        "the build reads ops/ringback.service, which is not copied",
    ] {
        assert!(few.iter().any(|it| it == fault), "{fault}: {few:?}");
    }
}

#[test]
fn dependencies_are_compiled_before_the_sources_are_copied() {
    let text = file(&root().join(FILE)).text;
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}"));
    let first_build = at("&& cargo build --release --locked --bin ringback\n");
    assert!(at("COPY ops/package/skeleton.sh") < first_build && first_build < at("COPY src src"));
    // The commit changes with each build.
    assert!(first_build < at("ARG RINGBACK_COMMIT"));
    assert!(at("USER 10001") < at("HEALTHCHECK ") && text.contains("\"healthcheck\"]"));
}

#[test]
fn the_skeleton_has_all_targets_of_the_manifest() {
    let to = std::env::temp_dir().join(format!("ringback-skeleton-{}", std::process::id()));
    let written = Command::new(root().join("ops/package/skeleton.sh")).arg(&to).status();
    let targets = |manifest: &Path| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--no-deps", "--locked", "--offline", "--format-version", "1"]);
        cargo.arg("--manifest-path").arg(manifest.join("Cargo.toml"));
        let output = cargo.output().expect("cargo runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
        let targets = metadata.pointer("/packages/0/targets").and_then(|it| it.as_array());
        let targets = targets.expect("targets").iter();
        let exists =
            |it: &serde_json::Value| it["src_path"].as_str().map(|it| Path::new(it).exists());
        let target = |it: &serde_json::Value| {
            format!("{} {}, exists: {:?}", it["kind"], it["name"], exists(it))
        };
        targets.map(target).collect::<BTreeSet<_>>()
    };
    let (of_skeleton, all) = (targets(&to), targets(&root()));
    std::fs::remove_dir_all(&to).expect("it is removed");
    assert!(written.is_ok_and(|status| status.success()));
    assert!(all.len() > 5, "{all:?}");
    assert_eq!(of_skeleton, all);
}
