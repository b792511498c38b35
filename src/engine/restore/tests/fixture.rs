//! The fixtures as files: a changelog in JSON lines, a store, the expected lines of both, and the checksums of all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of one version.
pub(super) struct Fixture {
    pub(super) version: &'static str,
    /// The SHA-256 of its file of checksums.
    sums: &'static str,
}

/// All versions, the newest last.
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        version: "1",
        sums: "bfe0f7ae3c95fe7d2dc9726a0fcc3af838f82412f222633e4c90f5b6f3578eeb",
    },
    Fixture {
        version: "2",
        sums: "0804b30f6e9f1c76d62764b29a5eec34c7a77b82da2fbcc715b8865da7940e86",
    },
    Fixture {
        version: "3",
        sums: "26b43f50c8aec4583a603e1517efdb5d595a32deff3ba144c70f7598a582905f",
    },
    Fixture {
        version: "4",
        sums: "c9fca7843d27adafb511753cca4c7bd3c343d67f22114c01af72b41d66aa93bb",
    },
    Fixture {
        version: "5",
        sums: "27ba7424694d74e4aebf35358b38f75dda22a737b67d62f3cd0f096f1a480c69",
    },
    Fixture {
        version: "6",
        sums: "b3333ce036c7c26290092ba8fdb8b9b3dfbe770116b1c358c7841d86619eb72d",
    },
    Fixture {
        version: "7",
        sums: "11803754dfd6cabe02394fc019e51bbe97f2f435af752388b46c41274037f6ad",
    },
    Fixture {
        version: "8",
        sums: "dc19729173f7966051af235e7619e2a741f266739bbed9b5301d543822bc5c2e",
    },
    Fixture {
        version: "9",
        sums: "68f4daf6882004b961526f6064f0b5bedef7a1ba86b8ca707f14c2fb158ecbd6",
    },
    Fixture {
        version: "10",
        sums: "e1cf4294f86fa41cde051a92939c598a700f012fb4453ab4c1d046f3b8978872",
    },
];

/// A record of the changelog.
pub(super) struct Change {
    pub(super) offset: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Returns the versions that have a folder.
pub(super) fn folders() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort_by_key(|name| name.parse::<u32>().unwrap());
    names
}

impl Fixture {
    fn path(&self) -> PathBuf {
        root().join(self.version)
    }

    pub(super) fn is_newest(&self) -> bool {
        FIXTURES.last().is_some_and(|newest| newest.version == self.version)
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        let text = fs::read_to_string(self.path().join("changelog.jsonl")).unwrap();
        let bytes = |value: &Value| value.as_str().map(|text| STANDARD.decode(text).unwrap());
        let change = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let offset = line["offset"].as_i64().unwrap();
            Change { offset, key: bytes(&line["key"]).unwrap(), value: bytes(&line["value"]) }
        };
        text.lines().map(change).collect()
    }

    pub(super) fn expected(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path().join("expected.txt")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Copies the store to a temporary directory, because opening a store writes to it.
    pub(super) fn copy_of_store(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        copy(&self.path().join("store"), directory.path());
        directory
    }

    pub(super) fn assert_unchanged(&self) {
        let sums = fs::read_to_string(self.path().join("SHA256SUMS")).unwrap();
        assert_eq!(sums, checksums(&self.path()), "the fixture {} was changed", self.version);
        assert_eq!(sha256(sums.as_bytes()), self.sums, "its SHA256SUMS was changed, too");
    }
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Returns the checksums of all other files in the format of `sha256sum`.
fn checksums(folder: &Path) -> String {
    let names = |inner: &str| {
        let entries = fs::read_dir(folder.join(inner)).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.path().is_file());
        files.map(|entry| format!("{inner}{}", entry.file_name().display())).collect::<Vec<_>>()
    };
    let mut files = [names(""), names("store/")].concat();
    files.sort();
    files.retain(|name| name != "SHA256SUMS");
    let line =
        |name: &String| format!("{}  {name}\n", sha256(&fs::read(folder.join(name)).unwrap()));
    files.iter().map(line).collect()
}

/// Writes the fixture of a new version.
pub(super) fn write(version: &str, changes: &[Change], expected: &[String], store: &Path) {
    let folder = root().join(version);
    assert!(!folder.exists(), "the fixture {version} exists, and fixtures are never changed");
    fs::create_dir_all(folder.join("store")).unwrap();
    let line = |change: &Change| {
        let value = change.value.as_ref().map(|value| STANDARD.encode(value));
        let key = STANDARD.encode(&change.key);
        json!({"offset": change.offset, "key": key, "value": value}).to_string() + "\n"
    };
    let lines: String = changes.iter().map(line).collect();
    fs::write(folder.join("changelog.jsonl"), lines).unwrap();
    fs::write(folder.join("expected.txt"), expected.join("\n") + "\n").unwrap();
    for file in fs::read_dir(store).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        // RocksDB's write-ahead log is empty, and its info log and lock file are not needed.
        let kept = ["CURRENT", "IDENTITY", "MANIFEST-", "OPTIONS-"].iter();
        if kept.clone().any(|kept| name.starts_with(kept)) || name.ends_with(".sst") {
            fs::copy(file.path(), folder.join("store").join(name)).unwrap();
        }
    }
    let sums = checksums(&folder);
    fs::write(folder.join("SHA256SUMS"), &sums).unwrap();
    println!("Fixture {{ version: \"{version}\", sums: \"{}\" }}", sha256(sums.as_bytes()));
}
