//! Checks of the manifest, of links, of decisions, and of the tests that the map names.

use crate::{File, assert_tidy, file, files, root, sources};

/// Returns the dependencies without a comment that gives their reason.
fn reasons(_path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut dependencies = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            dependencies = line.trim_end_matches(']').ends_with("dependencies");
        } else if dependencies && !line.is_empty() && !line.starts_with('#') {
            let reason = line.rsplit_once(" # ").map_or("", |(_, reason)| reason.trim());
            if reason.is_empty() {
                faults.push(format!("`{line}` does not give its reason"));
            }
        }
    }
    faults
}

/// Returns the links to files of the repository that do not exist.
fn links(path: &str, text: &str) -> Vec<String> {
    let folder = root().join(path);
    let folder = folder.parent().expect("a file is in a folder");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = targets.filter(|to| !to.contains("://") && !to.starts_with(['#', '<']));
    let dead = local.filter(|to| {
        let file = to.split('#').next().unwrap_or_default();
        // Rustdoc checks intra-doc links.
        !to.starts_with("mailto:") && !file.contains("::") && !folder.join(file).exists()
    });
    dead.map(|to| format!("`{to}` does not exist")).collect()
}

fn titled(_path: &str, text: &str) -> Vec<String> {
    let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
    if title.is_some_and(|title| !title.trim().is_empty()) {
        Vec::new()
    } else {
        vec!["it does not begin with a title".to_owned()]
    }
}

/// Returns the tests that the text names as `path/to/file.rs::name_of_the_test` and that do not exist.
fn named_tests(_path: &str, text: &str) -> Vec<String> {
    let named = text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::"));
    let gone = named.filter(|(file, name)| {
        let path = root().join(format!("{file}.rs"));
        let source = std::fs::read_to_string(path).unwrap_or_default();
        !has_test(&source, name)
    });
    gone.map(|(file, name)| format!("there is no test `{name}` in {file}.rs")).collect()
}

/// Returns whether the function `name` has the attribute `#[test]`.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let start = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.starts_with(&start)) else { return false };
    let attributes = lines.iter().take(at).rev().take_while(|line| line.starts_with("#["));
    attributes.into_iter().any(|line| *line == "#[test]")
}

fn markdown() -> Vec<File> {
    let mut all = files("ops", "md");
    all.extend(files("schemas", "md"));
    all.extend(files("config", "md"));
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        let path = root().join(name);
        all.extend(path.exists().then(|| file(&path)));
    }
    all
}

#[test]
fn every_dependency_gives_its_reason() {
    assert_tidy(&[file(&root().join("Cargo.toml"))], reasons);
    let bare = "[dependencies]\na = \"1\" # why\nb = \"1\"\n[dev-dependencies]\nc = \"1\"\n[profile.x]\nd = 1";
    assert_eq!(reasons("Cargo.toml", bare).len(), 2);
}

#[test]
fn every_link_leads_to_an_existing_file() {
    assert_tidy(&markdown(), links);
    assert_tidy(&sources(), |path, text| {
        let documents = text.lines().filter(|line| line.trim_start().starts_with("//"));
        links(path, &documents.collect::<Vec<_>>().join("\n"))
    });
    assert_eq!(
        links("README.md", "[a](nowhere.md) [b](Cargo.toml) [c](https://x.org) [d](#e)").len(),
        1
    );
    assert_eq!(links("src/lib.rs", "[a](main.rs#x) [b](../nowhere)").len(), 1);
}

#[test]
fn every_decision_has_a_title() {
    assert_tidy(&files("ops/decisions", "md"), titled);
    for text in ["", "no title\n", "# \n", "\n# late\n"] {
        assert_eq!(titled("x", text).len(), 1, "{text:?}");
    }
    assert!(titled("x", "# A title\n").is_empty());
}

#[test]
fn the_tests_that_the_map_names_exist() {
    let map = file(&root().join("src/lib.rs"));
    assert!(map.text.matches(".rs::").count() >= 10, "each invariant names its test");
    assert_tidy(&[map], named_tests);
    let here = "`tests/tidy/documents.rs::every_link_leads_to_an_existing_file`";
    assert!(named_tests("x", here).is_empty());
    assert_eq!(named_tests("x", "`tests/tidy/documents.rs::nothing`").len(), 1);
    assert_eq!(
        named_tests("x", "`tests/tidy/documents.rs::has_test`").len(),
        1,
        "it is not a test"
    );
    assert_eq!(
        named_tests("x", "`tests/nowhere.rs::every_link_leads_to_an_existing_file`").len(),
        1
    );
}
