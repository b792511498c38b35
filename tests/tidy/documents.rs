//! Checks of the manifest, of links, of decisions, and of the tests that the map names.

use crate::{File, assert_tidy, file, files, root, sources};

const README_LINES_MAX: usize = 200;

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

/// Returns the links to files and headings that do not exist. Of external links only the form is checked.
fn links(path: &str, text: &str) -> Vec<String> {
    let folder = root().join(path);
    let folder = folder.parent().expect("a file stands in a folder");
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let dead = targets.filter(|to| {
        // Rustdoc checks intra-doc links.
        let is_local = !to.contains("://") && !to.starts_with(['<', '@']) && !to.contains("::");
        match to.split_once('#') {
            _ if !is_local => !is_sound(to),
            // An anchor without a file is a heading of this text; rustdoc checks those of source files.
            Some(("", anchor)) => {
                path.ends_with(".md") && !anchors(text).iter().any(|it| it == anchor)
            }
            Some((file, anchor)) if file.ends_with(".md") => {
                let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
                !anchors(&text).iter().any(|it| it == anchor)
            }
            Some((file, _)) => !folder.join(file).exists(),
            None => !to.starts_with("mailto:") && !folder.join(to).exists(),
        }
    });
    dead.map(|to| format!("`{to}` does not exist")).collect()
}

/// Returns whether an external link has the right form: https (or a local address), a host with a dot, and no space.
fn is_sound(to: &str) -> bool {
    let Some((scheme, rest)) = to.split_once("://") else { return true };
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    let is_local = host == "localhost" || host.starts_with("127.");
    (scheme == "https" || scheme == "http" && is_local)
        && (host.contains('.') || is_local)
        && !to.contains(' ')
}

/// Returns the text without its code blocks, whose brackets are not links.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// Returns the anchors that GitHub gives the headings: lower case, hyphens for spaces, no other punctuation, a number
/// for a repetition.
fn anchors(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in prose(text).lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = all.iter().filter(|other| **other == name).count();
        all.push(if before == 0 { name } else { format!("{name}-{before}") });
    }
    all
}

/// Returns the decisions whose title does not begin with the number in the file name.
fn numbered(path: &str, text: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let number = name.split('-').next().unwrap_or_default();
    let is_decision = number.len() == 4 && number.chars().all(|c| c.is_ascii_digit());
    if !is_decision || text.starts_with(&format!("# {number}: ")) {
        Vec::new()
    } else {
        vec![format!("its title does not begin with `# {number}: `")]
    }
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

/// Returns whether the function `name` has the attribute `#[test]`, or Tokio's.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let start = format!("fn {name}(");
    let is_it = |line: &&str| line.trim_start_matches("async ").starts_with(&start);
    let Some(at) = lines.iter().position(is_it) else { return false };
    let attributes = lines.iter().take(at).rev().take_while(|line| line.starts_with("#["));
    attributes.into_iter().any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
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
        links("README.md", "[a](nowhere.md) [b](Cargo.toml) [c](https://x.org) [d](#e)\n# e").len(),
        1
    );
    assert_eq!(links("src/lib.rs", "[a](main.rs#x) [b](../nowhere)").len(), 1);
    let text =
        "# A b\n## `c.d`: e\n## A b\n```sh\n# f\n```\n[a](#a-b) [b](#cd-e) [c](#a-b-1) [d](#f)";
    assert_eq!(links("README.md", text), ["`#f` does not exist"]);
    let elsewhere = "[a](tests/fixtures/README.md#nowhere)";
    assert_eq!(links("README.md", elsewhere).len(), 1);
    for bad in ["http://x.org", "https://host", "https://x.org/a b"] {
        assert_eq!(links("README.md", &format!("[a]({bad})")).len(), 1, "{bad}");
    }
}

#[test]
fn every_decision_has_a_title() {
    assert_tidy(&files("ops/decisions", "md"), titled);
    for text in ["", "no title\n", "# \n", "\n# late\n"] {
        assert_eq!(titled("x", text).len(), 1, "{text:?}");
    }
    assert!(titled("x", "# A title\n").is_empty());
    assert_tidy(&files("ops/decisions", "md"), numbered);
    assert!(numbered("ops/decisions/0001-a.md", "# 0001: a\n").is_empty());
    assert!(numbered("ops/decisions/README.md", "# Decisions\n").is_empty());
    assert_eq!(numbered("ops/decisions/0001-a.md", "# 0002: a\n").len(), 1);
}

/// The README is for new users; the guide has the rest.
#[test]
fn the_readme_is_short() {
    let lines = file(&root().join("README.md")).text.lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
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
