//! The tests by capability. Each writes files into a folder, and checks which settings are loaded or which faults are
//! reported.

mod accounts;
mod client;
mod contract;
mod directory;
mod effective;
mod environment;
mod examples;
mod functions;
mod headers;
mod kept;
mod notices;
mod published;
mod rates;
mod retired;
mod settings;
mod sink;
mod statuses;
mod templates;
mod traces;
mod warnings;

use super::{Accounts, Faults, Settings, Variables, load_with};
use std::path::PathBuf;

/// A secret in the format of the specification: 24 bytes of base64.
const WHSEC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A folder with the two files and the files that they name.
struct Folder {
    directory: tempfile::TempDir,
    variables: Variables,
}

impl Folder {
    fn new(settings: &str, accounts: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = Self { directory, variables: Variables::new() };
        folder.with("ringback.toml", settings).with("accounts.toml", accounts)
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, text: &str) -> Self {
        self.variables.insert(name.to_owned(), text.to_owned());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self) -> Result<(Settings, Accounts), Faults> {
        load_with(&self.path("ringback.toml"), &self.variables)
    }

    fn loaded(&self) -> (Settings, Accounts) {
        self.load().unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// Returns the faults as users read them, without the folder's name.
    fn faults(&self) -> Vec<String> {
        let Err(faults) = self.load() else { panic!("it loads") };
        let folder = format!("{}/", self.directory.path().display());
        for fault in &faults.0 {
            assert!(!fault.fix.is_empty(), "each fault says how to fix it: {fault}");
            assert!(!fault.to_string().contains('\n'), "each fault is one line: {fault}");
        }
        faults.0.iter().map(|fault| fault.to_string().replace(&folder, "")).collect()
    }
}

/// Checks that `settings` and `accounts` have exactly these faults.
#[track_caller]
fn check(settings: &str, accounts: &str, wanted: &[&str]) {
    assert_eq!(Folder::new(settings, accounts).faults(), wanted);
}

/// Loads the settings in `text`.
fn settings(text: &str) -> Settings {
    Folder::new(text, "").loaded().0
}
