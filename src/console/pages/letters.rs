//! The dead letters: a list with filters, one letter, and the dry run of a replay.

use super::super::questions::{LETTERS_DEFAULT, LetterPage, Which};
use super::super::replays::{filter_fields, filter_text};
use super::layout::Tab;
use super::table::Column;
use super::webhooks::encoded;
use super::{PATIENCE, Shown, grouped, proof, when_read};
use crate::console::disclosure::Disclosure;
use crate::console::failure::Failure;
use crate::console::visitor::{Asked, Visitor};
use crate::domain::DeadLetterReason;
use crate::inspect::dead_letters::{LetterView, WholeLetter};
use crate::replay::{Filter, Summary, Target};
use crate::telemetry::mask;
use maud::{Markup, html};
use std::collections::BTreeMap;

const TITLE: &str = "Dead letters";
const COLUMNS: &[Column] = &[
    Column::Text("Place"),
    Column::Text("State"),
    Column::Text("Time"),
    Column::Text("Reason"),
    Column::Text("Webhook"),
    Column::Text("Phase"),
    Column::Number("Attempts"),
    Column::Text("phonon-uuid"),
];

pub(super) async fn list(Asked { console, visitor, mut fields }: Asked) -> Shown {
    let which = Which::take_list(&mut fields)?;
    fields.end()?;
    let answer = console.letters(which.clone(), PATIENCE).await?;
    Ok(when_read(&visitor, (Tab::DeadLetters, TITLE), answer, |letters| {
        html! { (form(&which)) (found(&which, letters)) }
    }))
}

fn form(which: &Which) -> Markup {
    let value = |name: &str| {
        let fields = filter_fields(&which.filter);
        fields.into_iter().find(|(field, _)| *field == name).map_or(String::new(), |(_, it)| it)
    };
    let field = |name: &str, label: &str, hint: &str| {
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(value(name)) placeholder=(hint);
            }
        }
    };
    let choice = |name: &str, label: &str, options: &[&str]| {
        let chosen = value(name);
        html! {
            div {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    option value="" { "any" }
                    @for option in options { option value=(option) selected[*option == chosen] { (option) } }
                }
            }
        }
    };
    let reasons: Vec<&str> = DeadLetterReason::ALL.iter().map(|reason| reason.as_str()).collect();
    html! {
        form.filters method="get" action="/dead-letters" role="search" {
            (field("webhook", "Webhook", ""))
            (field("account", "Account", ""))
            (choice("reason", "Reason", &reasons))
            (choice("phase", "Phase", &["0", "1", "2"]))
            (field("since", "Since", "12h, or a time"))
            (field("until", "Until", "15m, or a time"))
            div {
                label for="open" { "State" }
                select #open name="open" {
                    option value="" { "any" }
                    option value="true" selected[which.only_open] { "open" }
                }
            }
            div { button type="submit" { "Show" } }
        }
    }
}

fn found(which: &Which, letters: &LetterPage) -> Markup {
    let fields = filter_fields(&which.filter);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    html! {
        p {
            a.button href={ "/dead-letters/plan?" (encoded(&fields)) } { "Plan a replay of " (filter_text(&which.filter)) }
        }
        @if let Some(since) = &letters.events_gone_before {
            p.warning { "Kafka has deleted the events before " (since) ": letters that were replayed and delivered before that time are shown as replayed." }
        }
        @if letters.dead_letters.is_empty() {
            p { "No dead letter matches." }
        } @else {
            (super::table::table("Dead letters", COLUMNS, letters.dead_letters.iter().map(row)))
            @if !letters.is_whole {
                p.hint { "Only the first " (which.limit) " are shown, oldest first in each partition. Narrow the filter to see others." }
            }
        }
    }
}

fn row(letter: &LetterView) -> Markup {
    let class = match letter.state {
        "delivered" => "good",
        "open" => "bad",
        _ => "warning",
    };
    html! {
        tr {
            td { a href={ "/dead-letters/letter?" (encoded(&[("target", &letter.place)])) } { (letter.place) } }
            td { span class=(class) { (letter.state) } }
            td { time datetime=(letter.at) { (letter.at) } }
            td { (letter.reason) }
            td { (letter.webhook.as_deref().unwrap_or("–")) }
            td { @match letter.phase { Some(phase) => (phase), None => "–" } }
            td.number { @match letter.attempts { Some(attempts) => (attempts), None => "–" } }
            td {
                @match letter.phonon_uuid.as_deref().map(|uuid| (uuid, mask::text(uuid))) {
                    // The key of a record without a uuid may be a phone number.
                    Some((uuid, shown)) if shown != uuid => (shown),
                    Some((uuid, _)) => a href={ "/executions?" (encoded(&[("uuid", uuid)])) } { (uuid) },
                    None => "–",
                }
            }
        }
    }
}

pub(super) async fn show(Asked { console, visitor, mut fields }: Asked) -> Shown {
    let target = fields.parsed("target", Target::parse)?;
    let disclosure = Disclosure::take(&mut fields)?;
    fields.end()?;
    let target = target.ok_or_else(|| Failure::BadRequest("target: it is missing".to_owned()))?;
    let answer = console.letter(target, PATIENCE).await?;
    Ok(when_read(&visitor, (Tab::DeadLetters, "Dead letter"), answer, |letter| match letter {
        Some(letter) => whole(letter, target, disclosure),
        None => html! { p.problem { "There is no such dead letter." } },
    }))
}

fn whole(letter: &WholeLetter, target: Target, disclosure: Disclosure) -> Markup {
    let shown = disclosure.letter(letter);
    let place = target.to_string();
    let flag = |is_set: bool| if is_set { "true" } else { "" };
    let link = |disclosure: Disclosure| {
        let (bodies, numbers) = (flag(disclosure.bodies), flag(disclosure.numbers));
        let query = encoded(&[("target", &place), ("bodies", bodies), ("numbers", numbers)]);
        format!("/dead-letters/letter?{query}")
    };
    let Disclosure { bodies, numbers } = disclosure;
    html! {
        p {
            a href=(link(Disclosure { bodies: !bodies, numbers })) { @if bodies { "Hide the content" } @else { "Show the content" } }
            " · "
            a href=(link(Disclosure { bodies, numbers: !numbers })) { @if numbers { "Mask phone numbers" } @else { "Show phone numbers" } }
            " · "
            a href={ "/dead-letters/plan?" (encoded(&[("target", &place)])) } { "Plan a replay" }
        }
        pre tabindex="0" { (serde_json::to_string_pretty(&shown).unwrap_or_default()) }
    }
}

pub(super) async fn plan(Asked { console, visitor, mut fields }: Asked) -> Shown {
    let Which { filter, .. } = Which::take(&mut fields)?;
    fields.end()?;
    let answer = console.plan(filter.clone(), None, PATIENCE).await?;
    Ok(when_read(&visitor, (Tab::DeadLetters, "Plan of a replay"), answer, |summary| {
        html! { (outcome(summary)) (order(&visitor, &filter, summary)) }
    }))
}

/// Shows the numbers of a dry run or of a replay.
pub(super) fn outcome(summary: &Summary) -> Markup {
    let counts = [
        (summary.matched, "match"),
        (summary.replayed, if summary.dry_run { "would be replayed" } else { "were replayed" }),
        (summary.skipped_delivered, "are skipped: delivered since"),
        (summary.skipped_older, "are skipped: their deliveries have a newer letter"),
        (summary.skipped_sent, "are skipped: replayed before, and in progress"),
        (
            summary.not_replayable,
            "can't be replayed: truncated, or from a topic that is not an input",
        ),
        (summary.left, "are left for another run"),
    ];
    html! {
        @if summary.resumed { p.hint { "This continues a run that was interrupted. The numbers are those of the whole run." } }
        @if let Some(since) = &summary.events_gone_before {
            p.warning { "Kafka has deleted the events before " (since) ": it is unknown which letters were replayed and delivered before that time." }
        }
        ul { @for (count, text) in counts.iter().filter(|(count, _)| *count > 0) { li { strong { (grouped(*count)) } " " (text) } } }
        @if summary.matched == 0 { p { "No dead letter matches." } }
        div.columns { (histogram("By reason", &summary.by_reason)) (histogram("By webhook", &summary.by_webhook)) }
    }
}

fn histogram(title: &str, counts: &BTreeMap<String, u64>) -> Markup {
    let max = counts.values().copied().max().unwrap_or(1);
    html! {
        @if !counts.is_empty() {
            section.card {
                h2 { (title) }
                table {
                    tbody {
                        @for (name, count) in counts {
                            tr {
                                th scope="row" { (name) }
                                td.number { (grouped(*count)) }
                                td aria-hidden="true" { meter min="0" max=(max) value=(count) {} }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn order(visitor: &Visitor, filter: &Filter, summary: &Summary) -> Markup {
    html! {
        @if summary.replayed > 0 {
            form.card method="post" action="/replays" {
                (proof(visitor))
                @for (name, value) in filter_fields(filter) { input type="hidden" name=(name) value=(value); }
                label for="rate" { "Letters per second (empty: as fast as possible)" }
                input #rate name="rate" inputmode="numeric" pattern="[0-9]*" value="100";
                label for="max" { "At most (empty: all)" }
                input #max name="max" inputmode="numeric" pattern="[0-9]*";
                button type="submit" { "Replay " (filter_text(filter)) }
            }
        }
        p { a href="/dead-letters" { "Dead letters" } ", " (LETTERS_DEFAULT) " at a time" }
    }
}
