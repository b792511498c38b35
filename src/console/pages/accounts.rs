//! The accounts in force, each setting with its source.

use super::super::{Console, Fields};
use super::Shown;
use super::layout::{Tab, page};
use crate::console::failure::Failure;
use crate::console::visitor::Visitor;
use crate::domain::AccountId;
use crate::inspect::accounts::FaultView;
use axum::extract::{Path, State};
use maud::{Markup, html};
use std::sync::Arc;

/// The number of accounts on a page.
const ROWS_MAX: usize = 200;

pub(super) async fn list(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    mut fields: Fields,
) -> Shown {
    let after = fields.number("after")?.map(AccountId);
    fields.end()?;
    let accounts = console.in_force.lines(after, ROWS_MAX + 1);
    let (shown, rest) = accounts.split_at(accounts.len().min(ROWS_MAX));
    let body = html! {
        (faults(&console.in_force.faults(ROWS_MAX)))
        div.scroll tabindex="0" role="region" aria-label="Accounts" {
            table {
                thead {
                    tr {
                        th scope="col" { "Account" } th scope="col" { "Default webhook" } th scope="col" { "Phase 2" }
                        th.number scope="col" { "Webhooks" } th.number scope="col" { "Flows" } th.number scope="col" { "Rules" } th.number scope="col" { "Faults" }
                    }
                }
                tbody {
                    @for account in shown {
                        tr {
                            td { a href={ "/accounts/" (account.id) } { (account.id) } }
                            td { (account.default_webhook.as_deref().unwrap_or("–")) }
                            td { @if account.notify_on_delivery { "sent" } @else { "not sent" } }
                            td.number { (account.webhooks) } td.number { (account.flows) } td.number { (account.rules) } td.number { (account.faults) }
                        }
                    }
                }
            }
        }
        @if shown.is_empty() { p { "No account is configured." } }
        @if let (Some(last), false) = (shown.last(), rest.is_empty()) {
            p { a href={ "/accounts?after=" (last.id) } { "Next page" } }
        }
    };
    Ok(page(&visitor, Tab::Accounts, "Accounts", &body))
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Shown {
    let view = id.parse().ok().and_then(|id| console.in_force.account(AccountId(id)));
    let view = view.ok_or_else(|| Failure::Missing("There is no such account.".to_owned()))?;
    let body = html! {
        @if !view.is_configured { p.problem { "Records of this account are not processed: its rows are wrong." } }
        (faults(&view.faults))
        div.scroll tabindex="0" role="region" aria-label="Settings" {
            table {
                thead { tr { th scope="col" { "Key" } th scope="col" { "Value" } th scope="col" { "Source" } } }
                tbody {
                    @for setting in &view.settings {
                        tr { td { code { (setting.key) } } td { (setting.value) } td { (setting.source) } }
                    }
                }
            }
        }
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
