//! Finds the rows of an account that are right together.

use super::entry::{tree, webhook_name};
use super::incremental::Building;
use super::row::{Kind, Row};
use crate::accounts::{Accounts, Built, Entries};
use crate::document::Fault;
use std::sync::Arc;

/// Rows of an account that may be right together. Each wrong row is replaced by its last good state, or removed if it
/// has none. If a row is wrong although it has not changed, another row is the cause: then all rows go back to their
/// last good state.
pub(super) struct Candidate {
    rows: Vec<Arc<Row>>,
    /// The rows in force before.
    former: Arc<[Arc<Row>]>,
    /// Whether `rows` began as `former`.
    is_former: bool,
    faults: Vec<Fault>,
}

impl Candidate {
    pub(super) fn new(read: &[Arc<Row>], former: Arc<[Arc<Row>]>) -> Self {
        Self { rows: read.to_vec(), former, is_former: false, faults: Vec::new() }
    }

    pub(super) fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    /// Returns whether the account itself has a row.
    pub(super) fn has_account(&self) -> bool {
        self.rows.iter().any(|row| row.kind() == Kind::Account)
    }

    /// Returns the rows in force and the faults of the others.
    pub(super) fn end(self) -> (Vec<Arc<Row>>, Vec<Fault>) {
        (self.rows, self.faults)
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
        let is_wrong = |row: &Row| {
            let id = row.id();
            let is_its = |fault: &Fault| {
                fault.origin.row().is_some_and(|at| at.table == row.shape.table && at.row == id)
            };
            faults.iter().any(is_its)
        };
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
                Some(_) => is_unchanged = true,
                None => {}
            }
        }
        if is_unchanged && !self.is_former {
            self.is_former = true;
            rows = self.former.to_vec();
        }
        self.rows = rows;
        for fault in faults {
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }
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
