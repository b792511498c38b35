//! Both files, read together: at the start, and again for each reload.

use super::accounts::Accounts;
use super::effective::Effective;
use super::environment::{self, Variables};
use super::fault::Faults;
use super::settings::{Read, Settings};
use std::path::Path;

/// What both files and the environment say, and what stands there in each key.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// `ringback.toml`
    pub settings: Settings,
    /// `accounts.toml`
    pub accounts: Accounts,
    /// Each key in force.
    pub effective: Effective,
}

impl Loaded {
    /// Reads the configuration `file`, the environment of this process and the accounts file.
    ///
    /// # Errors
    /// With everything that is wrong in any of them.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        Self::load_with(file, &environment::of_process())
    }

    /// Reads the configuration `file`, the environment `variables` and the accounts file.
    ///
    /// # Errors
    /// With everything that is wrong in any of them.
    pub fn load_with(file: &Path, variables: &Variables) -> Result<Self, Faults> {
        Self::of(Settings::read(file, variables)?, variables, |written| written)
    }

    /// Reads it all again: what SIGHUP applies is the files', and the rest stays as it is here.
    ///
    /// # Errors
    /// With everything that is wrong in any of them.
    pub fn again(settings: &Settings, effective: &Effective) -> Result<Self, Faults> {
        Self::again_with(settings, effective, &environment::of_process())
    }

    /// The same with the environment `variables`.
    ///
    /// # Errors
    /// With everything that is wrong in any of them.
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

    /// `in_force`: what the accounts are read beside.
    fn of(
        read: Read,
        variables: &Variables,
        in_force: impl FnOnce(Settings) -> Settings,
    ) -> Result<Self, Faults> {
        let Read { settings, entries, mut faults } = read;
        let settings = in_force(settings);
        let mut of_accounts = Accounts::read(&settings, variables);
        faults.append(&mut of_accounts.faults);
        let (file, accounts_file) = (settings.file.clone(), settings.accounts_file.clone());
        let effective = Effective::new(file, accounts_file, entries, of_accounts.entries);
        Faults::or(faults, Self { settings, accounts: of_accounts.accounts, effective })
    }
}
