//! The accounts in force, each setting with its source.

use super::Shown;
use super::layout::{Tab, page};
use super::table::{self, Column, ROWS_MAX};
use crate::console::failure::Failure;
use crate::console::visitor::Asked;
use crate::domain::AccountId;
use crate::inspect::accounts::{AccountLine, FaultView};
use axum::extract::Path;
use maud::{Markup, html};

const COLUMNS: &[Column] = &[
    Column::Text("Account"),
    Column::Text("Default webhook"),
    Column::Text("Phase 2"),
    Column::Number("Webhooks"),
    Column::Number("Flows"),
    Column::Number("Rules"),
    Column::Number("Faults"),
];
const SETTINGS: &[Column] = &[Column::Text("Key"), Column::Text("Value"), Column::Text("Source")];

pub(super) async fn list(Asked { console, visitor, mut fields }: Asked) -> Shown {
    let after = fields.number("after")?.map(AccountId);
    fields.end()?;
    let accounts = console.in_force.lines(after, ROWS_MAX + 1);
    let body = html! {
        (faults(&console.in_force.faults(ROWS_MAX)))
        (table::list(("Accounts", COLUMNS), &accounts, row, |last| format!("/accounts?after={}", last.id)))
    };
    Ok(page(&visitor, Tab::Accounts, "Accounts", &body))
}

fn row(account: &AccountLine) -> Markup {
    html! {
        tr {
            td { a href={ "/accounts/" (account.id) } { (account.id) } }
            td { (account.default_webhook.as_deref().unwrap_or("–")) }
            td { @if account.notify_on_delivery { "sent" } @else { "not sent" } }
            td.number { (account.webhooks) } td.number { (account.flows) } td.number { (account.rules) } td.number { (account.faults) }
        }
    }
}

pub(super) async fn show(
    Path(id): Path<String>,
    Asked { console, visitor, fields }: Asked,
) -> Shown {
    fields.end()?;
    let view = id.parse().ok().and_then(|id| console.in_force.account(AccountId(id)));
    let view = view.ok_or_else(|| Failure::Missing("There is no such account.".to_owned()))?;
    let body = html! {
        @if !view.is_configured { p.problem { "Records of this account are not processed: its rows are wrong." } }
        (faults(&view.faults))
        (table::table("Settings", SETTINGS, view.settings.iter().map(|setting| html! {
            tr { td { code { (setting.key) } } td { (setting.value) } td { (setting.source) } }
        })))
    };
    Ok(page(&visitor, Tab::Accounts, &format!("Account {}", view.id), &body))
}

fn faults(faults: &[FaultView]) -> Markup {
    html! {
        @if !faults.is_empty() {
            section.card aria-labelledby="faults" {
                h2 #faults { "Faults in rows of the database" }
                p { "The last good definitions are in force instead." }
                ul {
                    @for fault in faults {
                        li { "table " (fault.table) ", row " (fault.row) ": " code { (fault.key) } ": " (fault.problem) ". " (fault.fix) }
                    }
                }
            }
        }
    }
}
