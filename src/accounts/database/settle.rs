//! Finds the rows of an account that are right together.

use super::entry::{tree, webhook_name};
use super::incremental::Building;
use super::row::{Kind, Row};
use crate::accounts::{Accounts, Built, Entries};
use crate::document::Fault;
use std::sync::Arc;

/// The rows that a candidate begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Those that were read.
    Corrected,
    /// These, and those that are gone.
    Restored,
    /// Those in force before.
    Former,
}

/// Rows of an account that may be right together. Each wrong row is replaced by its last good state, or removed if it
/// has none. If a row is wrong although it has not changed, another row is the cause: then the rows that are gone come
/// back, because the row may need one of them. If that is not enough, all rows go back to their last good state.
pub(super) struct Candidate {
    rows: Vec<Arc<Row>>,
    /// The rows in force before.
    former: Arc<[Arc<Row>]>,
    step: Step,
    faults: Vec<Fault>,
}

impl Candidate {
    pub(super) fn new(read: &[Arc<Row>], former: Arc<[Arc<Row>]>) -> Self {
        Self { rows: read.to_vec(), former, step: Step::Corrected, faults: Vec::new() }
    }

    pub(super) fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    /// Returns whether the account itself has a row.
    pub(super) fn has_account(&self) -> bool {
        self.rows.iter().any(|row| row.kind() == Kind::Account)
    }

    /// Returns the rows in force, and the faults of the rows that were read.
    pub(super) fn end(self, read: &[Arc<Row>]) -> (Vec<Arc<Row>>, Vec<Fault>) {
        let Self { rows, step, mut faults, .. } = self;
        if step == Step::Former {
            let is_in_force = |row: &Row| rows.iter().any(|other| other.hash == row.hash);
            for row in read.iter().filter(|row| !is_in_force(row)) {
                let origin = row.origin(None);
                if !faults.iter().any(|fault| is_of(fault, row)) {
                    let problem = "is not applied, because another change of the account is wrong";
                    faults.push(origin.fault(row.kind().key(), problem, "correct that change"));
                }
            }
        }
        (rows, faults)
    }

    /// Builds the account.
    ///
    /// # Errors
    /// The faults of the rows.
    pub(super) fn build(&self, with: &mut Building<'_>) -> Result<Accounts, Vec<Fault>> {
        let mut faults = Vec::new();
        let Some(tree) = tree(&self.rows, &mut faults) else { return Ok(Accounts::default()) };
        let Built { accounts, faults: of_entries, .. } =
            Entries(tree).build(&with.basis, with.variables);
        faults.extend(of_entries);
        if faults.is_empty() {
            for (webhook, _) in accounts.webhooks.values() {
                if let Err(problem) = (with.check)(webhook) {
                    faults.push(self.fault_of(webhook.name.as_str(), problem));
                }
            }
        }
        if faults.is_empty() { Ok(accounts) } else { Err(faults) }
    }

    /// Returns the fault of a webhook whose endpoint can't be created.
    fn fault_of(&self, name: &str, problem: String) -> Fault {
        let is_its = |row: &&Arc<Row>| {
            row.kind() == Kind::Webhook && webhook_name(row).as_deref() == Some(name)
        };
        let row = self.rows.iter().find(is_its).or(self.rows.first());
        let origin = row.map(|row| row.origin(None));
        let origin = origin.unwrap_or(crate::document::Origin::Variable(String::new()));
        origin.fault(
            &format!("webhook[{name}]"),
            problem,
            "correct its credentials or certificates",
        )
    }

    /// Returns the row in force in the place of `row`: the one with its id, or else the one that described the same, if it
    /// is gone and no other row describes this now. Many programs delete a row and insert another one to change it.
    fn former_of(&self, row: &Row) -> Option<&Arc<Row>> {
        let is_same = |one: &Row, other: &Row| one.kind() == other.kind() && one.id() == other.id();
        let by_id = self.former.iter().find(|former| is_same(former, row));
        by_id.or_else(|| {
            let described = described_by(row)?;
            let is_its = |other: &Row| {
                other.kind() == row.kind() && described_by(other).as_deref() == Some(&*described)
            };
            let former = self.former.iter().find(|former| is_its(former))?;
            let is_left =
                |other: &Arc<Row>| is_same(other, former) || is_its(other) && !is_same(other, row);
            (!self.rows.iter().any(is_left)).then_some(former)
        })
    }

    /// Replaces or removes the rows that have faults.
    pub(super) fn correct(&mut self, faults: Vec<Fault>) {
        let is_wrong = |row: &Row| faults.iter().any(|fault| is_of(fault, row));
        let mut wrong: Vec<bool> = self.rows.iter().map(|row| is_wrong(row)).collect();
        if !wrong.contains(&true) {
            // The cause is in no row that is left, so that the account as a whole can't be built.
            wrong = self.rows.iter().map(|row| row.kind() == Kind::Account).collect();
        }
        let mut is_unchanged = false;
        let mut rows = Vec::with_capacity(self.rows.len());
        for (row, is_wrong) in self.rows.iter().zip(wrong) {
            if !is_wrong {
                rows.push(row.clone());
                continue;
            }
            match self.former_of(row) {
                Some(former) if former.hash != row.hash => rows.push(former.clone()),
                Some(former) => {
                    is_unchanged = true;
                    if self.step != Step::Former {
                        rows.push(former.clone());
                    }
                }
                None => {}
            }
        }
        self.rows = rows;
        if is_unchanged {
            self.restore();
        }
        for fault in faults {
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }
}

impl Candidate {
    /// Brings rows back, because one is wrong that has not changed.
    fn restore(&mut self) {
        match self.step {
            Step::Corrected => {
                let gone = self.gone();
                self.step = if gone.is_empty() { Step::Former } else { Step::Restored };
                self.rows.extend(gone);
            }
            Step::Restored => self.step = Step::Former,
            // Even the rows in force are wrong now, for example because a file is gone. Wrong ones are left out.
            Step::Former => return,
        }
        if self.step == Step::Former {
            self.rows = self.former.to_vec();
        }
    }

    /// Returns the rows in force that no row stands for any more.
    fn gone(&self) -> Vec<Arc<Row>> {
        let is_gone = |former: &&Arc<Row>| {
            let described = described_by(former);
            let is_its = |row: &Arc<Row>| {
                let is_same = row.id() == former.id();
                row.kind() == former.kind()
                    && (is_same || described.is_some() && described_by(row) == described)
            };
            !self.rows.iter().any(is_its)
        };
        self.former.iter().filter(is_gone).cloned().collect()
    }
}

/// Returns whether `fault` is one of `row`.
fn is_of(fault: &Fault, row: &Row) -> bool {
    let id = row.id();
    fault.origin.row().is_some_and(|at| at.table == row.shape.table && at.row == id)
}

/// Returns what a row describes within its account: the name of its setting or webhook, or the id of its flow. Rules have
/// no names.
fn described_by(row: &Row) -> Option<String> {
    match (row.kind(), row.shape.setting) {
        (Kind::Account, Some((name, _))) => {
            row.text(name).map(|name| name.trim().to_ascii_lowercase())
        }
        (Kind::Account, None) => Some(String::new()),
        (Kind::Webhook, _) => webhook_name(row),
        (Kind::Flow, _) => row.text_of("id").map(str::to_owned),
        (Kind::Rule, _) => None,
    }
}
