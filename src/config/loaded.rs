//! Settings and accounts, read together: at the start, and again for each reload.

use super::effective::{self, Effective, Listed};
use super::environment;
use super::settings::{Read, Settings};
use crate::accounts::{self, Accounts, Built, Entries};
use crate::document::{Fault, Faults, Note, Variables, Warning};
use std::path::Path;

/// Settings and accounts, with the value and the source of each key.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// `ringback.toml`
    pub settings: Settings,
    /// The accounts of the accounts file. Empty if the accounts are in a database.
    pub accounts: Accounts,
    /// Each key in force.
    pub effective: Effective,
    /// Warnings about values that work but should be changed.
    pub warnings: Vec<Warning>,
    /// Explanations for those who check the configuration.
    pub notes: Vec<Note>,
}

impl Loaded {
    /// Reads the configuration `file`, the environment of this process and the accounts file.
    ///
    /// # Errors
    /// All faults of the files and the variables.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        Self::load_with(file, &environment::of_process())
    }

    /// Reads the configuration `file`, the environment `variables` and the accounts file.
    ///
    /// # Errors
    /// All faults of the files and the variables.
    pub fn load_with(file: &Path, variables: &Variables) -> Result<Self, Faults> {
        Self::of(Settings::read(file, variables)?, variables, |written| written)
    }

    /// Reads both files again, with the environment `variables`. Keys that a reload applies get their new values. The
    /// others keep their values in `settings`. The accounts of a database stay as they are.
    ///
    /// # Errors
    /// All faults of the files and the variables.
    pub fn again_with(
        settings: &Settings,
        effective: &Effective,
        variables: &Variables,
    ) -> Result<Self, Faults> {
        let read = Settings::read(&settings.file, variables)?;
        let written = read.settings.clone();
        let loaded = Self::of(read, variables, |written| settings.reloaded(written))?;
        let needs_restart = loaded.settings != written;
        let effective = effective.reloaded(loaded.effective, needs_restart);
        Ok(Self { effective, ..loaded })
    }

    /// Builds the accounts of a file. Those of a database come later, because it may be unreachable. `in_force` returns
    /// the settings to build them with, given the settings that were read.
    fn of(
        read: Read,
        variables: &Variables,
        in_force: impl FnOnce(Settings) -> Settings,
    ) -> Result<Self, Faults> {
        let Read { settings, entries, mut faults, mut warnings } = read;
        let settings = in_force(settings);
        let read = match settings.accounts_database {
            Some(_) => None,
            None => Some(read_accounts(&settings)),
        };
        let (accounts, of_accounts, notes) = match read.transpose() {
            Ok(None) => Default::default(),
            Ok(Some(read)) => {
                let mut built = read.build(&settings.basis(), variables);
                faults.append(&mut built.faults);
                warnings.append(&mut built.warnings);
                let listed = listed(&built, &settings);
                (built.accounts, listed, built.notes)
            }
            Err(of_files) => {
                faults.extend(of_files.0);
                Default::default()
            }
        };
        let (file, accounts_file) = (settings.file.clone(), settings.accounts_file.clone());
        let effective = Effective::new(file, accounts_file, entries, of_accounts);
        Warning::sort(&mut warnings);
        Faults::or(faults, Self { settings, accounts, effective, warnings, notes })
    }
}

/// Reads the entries of the accounts file, or of the files in the directory that `accounts.file` names.
fn read_accounts(settings: &Settings) -> Result<Entries, Faults> {
    Entries::of_file(&settings.accounts_file).map_err(|Faults(faults)| {
        let is_about_setting = |fault: &Fault| {
            fault.origin.line().is_none()
                && fault.origin.file() == Some(settings.accounts_file.as_path())
        };
        let faults = faults.into_iter().map(|fault| match is_about_setting(&fault) {
            true => {
                let file = settings.file.display();
                let fix = format!("create it, or name another one: `accounts.file` of {file}");
                Fault { fix, ..fault }
            }
            false => fault,
        });
        Faults(faults.collect())
    })
}

/// Returns each key of the accounts for operators.
fn listed(built: &Built, settings: &Settings) -> Vec<effective::Entry> {
    let base = settings.accounts_file.parent().unwrap_or(Path::new(""));
    effective::collect(&built.entries, base, accounts::schema(), &built.referred, Listed::InForce)
}
