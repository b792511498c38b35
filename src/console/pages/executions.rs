//! Everything about one phonon-uuid: what happened, what it waits for.

use super::layout::{Tab, page};
use super::webhooks::{encoded, path_segment};
use super::{PATIENCE, Shown, when_read};
use crate::console::disclosure::Disclosure;
use crate::console::visitor::Asked;
use crate::inspect::trace::{COLUMNS, Fact, Trace};
use maud::{Markup, html};

const TITLE: &str = "Executions";

pub(super) async fn show(Asked { console, visitor, mut fields }: Asked) -> Shown {
    let uuid = fields.text("uuid").map(|uuid| uuid.trim().to_owned());
    let disclosure = Disclosure::take(&mut fields)?;
    fields.end()?;
    let Some(uuid) = uuid else {
        return Ok(page(&visitor, Tab::Executions, TITLE, &search("")));
    };
    let answer = console.trace(&uuid, PATIENCE).await?;
    Ok(when_read(&visitor, (Tab::Executions, TITLE), answer, |trace| {
        html! { (search(&uuid)) (life(&uuid, trace, disclosure)) }
    }))
}

fn search(uuid: &str) -> Markup {
    html! {
        form.search method="get" action="/executions" role="search" {
            label for="uuid" { "phonon-uuid" }
            input #uuid name="uuid" value=(uuid) required spellcheck="false" autocapitalize="none";
            button type="submit" { "Show" }
        }
    }
}

fn life(uuid: &str, trace: &Trace, disclosure: Disclosure) -> Markup {
    if trace.is_empty() {
        return html! {
            p.problem { "Nothing is known about " code { (uuid) } "." }
            p { "Check the spelling. Facts that are older than the topics' retention are deleted." }
        };
    }
    let now = serde_json::to_value(trace.now(disclosure.bodies)).unwrap_or_default();
    let now = serde_json::to_string_pretty(&disclosure.json(now)).unwrap_or_default();
    html! {
        @for topic in &trace.missing { p.problem { "The topic " (topic) " is missing." } }
        p { (switches(uuid, disclosure)) }
        h2 { "What happened" }
        ol.timeline { @for fact in &trace.facts { (entry(fact, disclosure)) } }
        h2 { "Now" }
        @match &trace.row {
            None => p { "Nothing is stored about it: its webhooks have ended." },
            Some(row) => p { "By the changelog, partition " (row.partition) ", offset " (row.offset) ":" },
        }
        pre tabindex="0" { (now) }
    }
}

/// Returns the links that show and hide bodies and phone numbers.
fn switches(uuid: &str, disclosure: Disclosure) -> Markup {
    let link = |disclosure: Disclosure, text: &str| {
        let flag = |is_set: bool| if is_set { "true" } else { "" };
        let (bodies, numbers) = (flag(disclosure.bodies), flag(disclosure.numbers));
        let query = encoded(&[("uuid", uuid), ("bodies", bodies), ("numbers", numbers)]);
        html! { a href={ "/executions?" (query) } { (text) } }
    };
    let Disclosure { bodies, numbers } = disclosure;
    html! {
        (link(Disclosure { bodies: !bodies, numbers }, if bodies { "Hide bodies" } else { "Show bodies" }))
        " · "
        (link(Disclosure { bodies, numbers: !numbers }, if numbers { "Mask phone numbers" } else { "Show phone numbers" }))
    }
}

fn entry(fact: &Fact, disclosure: Disclosure) -> Markup {
    let [at, what, phase, webhook, attempt, status, reason, more] = fact.columns();
    let known =
        [(COLUMNS[2], phase), (COLUMNS[4], attempt), (COLUMNS[5], status), (COLUMNS[6], reason)];
    html! {
        li {
            time datetime=(at) { (at) } " " strong { (what.replace('_', " ")) }
            @if !webhook.is_empty() { " " a href={ "/webhooks/" (path_segment(&webhook)) } { (webhook) } }
            @for (name, value) in known.iter().filter(|(_, value)| !value.is_empty()) {
                " " span.tag { (name.to_lowercase()) " " (disclosure.text(value)) }
            }
            @if !more.is_empty() { p { (disclosure.text(&more)) } }
            @if disclosure.bodies {
                @for (name, body) in fact.bodies() {
                    details { summary { (name) } pre tabindex="0" { (disclosure.text(&body)) } }
                }
            }
        }
    }
}
