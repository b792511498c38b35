//! The operations of the API.

use super::super::disclosure::Disclosure;
use super::super::failure::Failure;
use super::super::figures::WebhookFacts;
use super::super::instances::InstancesView;
use super::super::questions::{Deliveries, LetterPage, running};
use super::super::readings::Answer;
use super::super::replays::{Order, ReplayView};
use super::super::visitor::{Asked, Posted};
use super::super::{Console, Fields, Which};
use super::{Method, Operation, Parameter, document, flag, integer, page, text};
use crate::domain::AccountId;
use crate::inspect::accounts::{AccountLine, AccountView, FaultView};
use crate::replay::{Summary, Target};
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

/// The time that a request waits for its reading, unless it says another one.
const WAIT_DEFAULT_S: u64 = 20;
const WAIT_MAX_S: u64 = 60;
/// The maximum number of webhooks or accounts in an answer.
const ROWS_MAX: usize = 1000;

const WAIT: Parameter = integer(
    "wait_s",
    "How long the request waits for its reading, at most 60 seconds. Then it is answered with 202 and the progress; the \
     same request again waits on.",
);
const BODIES: Parameter = flag("bodies", "Whether bodies are shown.");
const NUMBERS: Parameter = flag("numbers", "Whether phone numbers are shown unmasked.");
const NAME: Parameter = text("name", "The name of the webhook.");
const FILTER: [Parameter; 7] = [
    text("webhook", "Only deliveries to this webhook."),
    integer("account", "Only dead letters of this account."),
    integer("phase", "Only deliveries of this phase: 0, 1 or 2."),
    text("reason", "Only dead letters with this reason."),
    text("since", "Only dead letters of this time or later: RFC 3339, or an age such as 12h."),
    text("until", "Only dead letters before this time."),
    text("target", "Only the dead letter at PARTITION:OFFSET, or those of a webhook-id."),
];
const LETTERS: &[Parameter] = &{
    let [a, b, c, d, e, f, g] = FILTER;
    [
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        flag("open", "Only dead letters without a known replay."),
        integer("limit", "The maximum number, at most 1000. The default is 100."),
        NUMBERS,
        WAIT,
    ]
};
const REPLAY: &[Parameter] = &{
    let [a, b, c, d, e, f, g] = FILTER;
    [
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        integer("rate", "The maximum number of dead letters per second."),
        integer("max", "The maximum number of dead letters."),
        flag(
            "dry_run",
            "Whether only the plan is made: nothing is sent, and the answer is its summary.",
        ),
        WAIT,
    ]
};

/// A list of webhooks.
#[derive(Serialize, schemars::JsonSchema)]
struct Webhooks {
    /// The webhooks, by name.
    webhooks: Vec<WebhookFacts>,
}

/// A list of accounts.
#[derive(Serialize, schemars::JsonSchema)]
struct AccountsPage {
    accounts: Vec<AccountLine>,
    /// Faults in rows of the database.
    faults: Vec<FaultView>,
}

/// The instances that get a command.
#[derive(Serialize, schemars::JsonSchema)]
struct Enabled {
    webhook: String,
    /// The number of partitions of the inbox that have the command.
    partitions: u32,
}

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::Get,
        path: "/api/v1/openapi.json",
        says: "Returns this document.",
        parameters: &[],
        answer: object,
        handler: Some(|| get(async || page(&document()))),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/status",
        says: "Returns whether this instance is ready and live, with the reasons if not, and its partitions.",
        parameters: &[],
        answer: object,
        handler: None,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/config",
        says: "Returns the effective configuration of this instance, each key with its source, without secrets.",
        parameters: &[],
        answer: object,
        handler: None,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/config/hash",
        says: "Returns the hashes of the effective configuration, which are equal if two instances have the same.",
        parameters: &[],
        answer: object,
        handler: None,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/accounts",
        says: "Lists the accounts in force, and faults in their rows.",
        parameters: &[
            integer("after", "Only accounts with a larger id."),
            integer("limit", "The maximum number, at most 1000."),
        ],
        answer: |schemas| schemas.subschema_for::<AccountsPage>(),
        handler: Some(|| get(accounts)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/accounts/{id}",
        says: "Returns the settings of an account, each with its source.",
        parameters: &[integer("id", "The id of the account.")],
        answer: |schemas| schemas.subschema_for::<AccountView>(),
        handler: Some(|| get(account)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/webhooks",
        says: "Lists the webhooks with their figures on this instance.",
        parameters: &[
            text("q", "Only webhooks whose name contains this text, or whose account it is."),
            text("after", "Only webhooks behind this name."),
            integer("limit", "The maximum number, at most 1000."),
        ],
        answer: |schemas| schemas.subschema_for::<Webhooks>(),
        handler: Some(|| get(webhooks)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/webhooks/{name}",
        says: "Returns a webhook: its definition without secrets, its figures on this instance, and the state that all \
               instances have recorded.",
        parameters: &[NAME, WAIT],
        answer: object,
        handler: Some(|| get(webhook)),
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/webhooks/{name}/enable",
        says: "Enables the endpoint of a webhook on all instances.",
        parameters: &[NAME],
        answer: |schemas| schemas.subschema_for::<Enabled>(),
        handler: Some(|| post(enable)),
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/webhooks/{name}/test",
        says: "Sends a test message to the endpoint, and returns the request, the answer and the outcome.",
        parameters: &[NAME, integer("phase", "1 or 2. The default is 1.")],
        answer: object,
        handler: Some(|| post(test)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/deliveries",
        says: "Returns everything about one phonon-uuid: its facts, oldest first, and its state.",
        parameters: &[text("uuid", "The phonon-uuid."), BODIES, NUMBERS, WAIT],
        answer: |schemas| schemas.subschema_for::<Deliveries>(),
        handler: Some(|| get(deliveries)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/dead-letters",
        says: "Lists dead letters with their state, oldest first in each partition.",
        parameters: LETTERS,
        answer: |schemas| schemas.subschema_for::<LetterPage>(),
        handler: Some(|| get(letters)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/dead-letters/{target}",
        says: "Returns the newest dead letter at PARTITION:OFFSET or of a webhook-id.",
        parameters: &[text("target", "PARTITION:OFFSET, or a webhook-id."), BODIES, NUMBERS, WAIT],
        answer: object,
        handler: Some(|| get(letter)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/replays",
        says: "Lists the replays that were started on this instance, the latest first.",
        parameters: &[],
        answer: |schemas| schemas.subschema_for::<Vec<ReplayView>>(),
        handler: Some(|| get(replays)),
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/replays",
        says: "Starts a replay, or continues the one with the same filter that was stopped.",
        parameters: REPLAY,
        answer: |schemas| schemas.subschema_for::<ReplayView>(),
        handler: Some(|| post(begin_replay)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/replays/{id}",
        says: "Returns a replay with its progress or its result.",
        parameters: &[integer("id", "The number of the replay on this instance.")],
        answer: |schemas| schemas.subschema_for::<ReplayView>(),
        handler: Some(|| get(replay)),
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/replays/{id}/stop",
        says: "Stops a replay. What it has sent is committed.",
        parameters: &[integer("id", "The number of the replay on this instance.")],
        answer: |schemas| schemas.subschema_for::<ReplayView>(),
        handler: Some(|| post(stop_replay)),
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/instances",
        says: "Lists the members of the consumer group with their partitions.",
        parameters: &[WAIT],
        answer: |schemas| schemas.subschema_for::<InstancesView>(),
        handler: Some(|| get(instances)),
    },
    Operation {
        method: Method::Delete,
        path: "/api/v1/readings/{reading}",
        says: "Cancels a reading of Kafka that runs.",
        parameters: &[integer("reading", "The number of the reading, from the answer 202.")],
        answer: object,
        handler: Some(|| delete(cancel)),
    },
];

/// Returns the schema of an object whose members are not described.
fn object(_: &mut SchemaGenerator) -> Schema {
    json!({"type": "object"}).try_into().unwrap_or_default()
}

type Answered = Result<Response, Failure>;

fn wait(fields: &mut Fields) -> Result<Duration, Failure> {
    let seconds = fields.number("wait_s")?.unwrap_or(WAIT_DEFAULT_S);
    Ok(Duration::from_secs(seconds.min(WAIT_MAX_S)))
}

/// Answers with the result of a reading, or with 202 and its progress.
fn read<T>(answer: Answer<T>, show: impl FnOnce(&T) -> Answered) -> Answered {
    match answer {
        Answer::Ready(result) => show(&result),
        Answer::Running(advance) => {
            let mut response = (StatusCode::ACCEPTED, page(&running(&advance))).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            Ok(response)
        }
    }
}

async fn accounts(Asked { console, mut fields, .. }: Asked) -> Answered {
    let after = fields.number("after")?.map(AccountId);
    let limit = fields.number("limit")?.unwrap_or(ROWS_MAX).min(ROWS_MAX);
    fields.end()?;
    let (accounts, faults) = (console.in_force.lines(after, limit), console.in_force.faults(limit));
    Ok(page(&AccountsPage { accounts, faults }))
}

async fn account(Path(id): Path<String>, Asked { console, fields, .. }: Asked) -> Answered {
    fields.end()?;
    let view = id.parse().ok().and_then(|id| console.in_force.account(AccountId(id)));
    view.map(|view| page(&view)).ok_or_else(|| Failure::Missing("no such account".to_owned()))
}

async fn webhooks(Asked { console, mut fields, .. }: Asked) -> Answered {
    let (search, after) = (fields.text("q").unwrap_or_default(), fields.text("after"));
    let limit = fields.number("limit")?.unwrap_or(ROWS_MAX).min(ROWS_MAX);
    fields.end()?;
    Ok(page(&Webhooks { webhooks: console.webhooks(&search, after.as_deref(), limit)? }))
}

async fn webhook(Path(name): Path<String>, Asked { console, mut fields, .. }: Asked) -> Answered {
    let patience = wait(&mut fields)?;
    fields.end()?;
    let facts = console.webhook(&name)?;
    read(console.endpoints(patience).await?, |states| {
        let definition = console.webhook_view(&facts, Some(states))?;
        Ok(page(&json!({ "this_instance": facts, "definition": definition })))
    })
}

async fn enable(
    Path(name): Path<String>,
    Posted(Asked { console, visitor, fields }): Posted,
) -> Answered {
    fields.end()?;
    let partitions = console.enable(&visitor, &name).await?;
    Ok(page(&Enabled { webhook: name, partitions }))
}

async fn test(
    Path(name): Path<String>,
    Posted(Asked { console, visitor, mut fields }): Posted,
) -> Answered {
    let phase = Console::phase(&mut fields)?;
    fields.end()?;
    console.test(&visitor, &name, phase, |shown| page(shown)).await
}

async fn deliveries(Asked { console, mut fields, .. }: Asked) -> Answered {
    let uuid = fields.text("uuid");
    let (disclosure, patience) = (Disclosure::take(&mut fields)?, wait(&mut fields)?);
    fields.end()?;
    let uuid = uuid.ok_or_else(|| Failure::BadRequest("uuid: it is missing".to_owned()))?;
    read(console.trace(&uuid, patience).await?, |trace| {
        if trace.is_empty() {
            return Err(Failure::Missing(format!("nothing is known about {uuid}")));
        }
        let deliveries = Deliveries {
            phonon_uuid: uuid.clone(),
            facts: trace.facts.iter().map(|fact| fact.view(disclosure.bodies)).collect(),
            now: trace.now(disclosure.bodies),
            missing_topics: trace.missing.clone(),
        };
        Ok(page(&disclosure.json(serde_json::to_value(deliveries).unwrap_or_default())))
    })
}

async fn letters(Asked { console, mut fields, .. }: Asked) -> Answered {
    let (which, patience) = (Which::take_list(&mut fields)?, wait(&mut fields)?);
    // The key of a record without a uuid may be a phone number.
    let disclosure = Disclosure { bodies: false, numbers: fields.flag("numbers")? };
    fields.end()?;
    read(console.letters(which, patience).await?, |letters| {
        Ok(page(&disclosure.json(serde_json::to_value(letters).unwrap_or_default())))
    })
}

async fn letter(Path(target): Path<String>, Asked { console, mut fields, .. }: Asked) -> Answered {
    let (disclosure, patience) = (Disclosure::take(&mut fields)?, wait(&mut fields)?);
    fields.end()?;
    let target = Target::parse(&target).map_err(Failure::BadRequest)?;
    read(console.letter(target, patience).await?, |letter| match letter {
        Some(letter) => Ok(page(&disclosure.letter(letter))),
        None => Err(Failure::Missing("no such dead letter".to_owned())),
    })
}

async fn replays(Asked { console, fields, .. }: Asked) -> Answered {
    fields.end()?;
    Ok(page(&console.replays.all()))
}

async fn begin_replay(Posted(Asked { console, visitor, mut fields }): Posted) -> Answered {
    let (is_dry, patience) = (fields.flag("dry_run")?, wait(&mut fields)?);
    let order = Order::take(&mut fields)?;
    fields.end()?;
    if is_dry {
        let plan = console.plan(order.filter, order.max, patience).await?;
        return read(plan, |summary: &Summary| Ok(page(summary)));
    }
    let run = console.begin_replay(&visitor, order).await?;
    Ok((StatusCode::ACCEPTED, page(&run.view())).into_response())
}

async fn replay(Path(id): Path<String>, Asked { console, fields, .. }: Asked) -> Answered {
    fields.end()?;
    Ok(page(&console.replays.find(number(&id)?)?.view()))
}

async fn stop_replay(
    Path(id): Path<String>,
    Posted(Asked { console, visitor, fields }): Posted,
) -> Answered {
    fields.end()?;
    Ok(page(&console.stop_replay(&visitor, number(&id)?).await?.view()))
}

async fn instances(Asked { console, mut fields, .. }: Asked) -> Answered {
    let patience = wait(&mut fields)?;
    fields.end()?;
    read(console.instances(patience).await?, |instances| Ok(page(instances)))
}

async fn cancel(
    Path(reading): Path<String>,
    Posted(Asked { console, fields, .. }): Posted,
) -> Answered {
    fields.end()?;
    if console.cancel(number(&reading)?) {
        Ok(page(&json!({ "cancelled": true })))
    } else {
        Err(Failure::Missing(format!("no reading {reading} runs on this instance")))
    }
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::BadRequest(format!("{text} is no number")))
}
