//! Builds a webhook from its `[[webhook]]` entry, and reports the faults of the entry.

use super::entry::{BreakerEntry, HttpVersion, MethodName, RetryEntry, WebhookEntry};
use super::template::{self, Template, Templates};
use super::{
    Basis, Bounds, Defaults, Retry, auth, definition, rate, response, retry, signature, tls, tokens,
};
use crate::definition::template::Tokens;
use crate::definition::{BodySecrets, Definition, Request};
use crate::delivery::{
    Auth, BreakerPolicy, Fingerprint, HeaderSignature, Limits, PerSecond, Proxy, Response, Secret,
    SigningSecret, SuccessCodes, Tls, Webhook,
};
use crate::document::{Context, Node, Place, Referred, sha256};
use crate::domain::{AccountId, WebhookName, WebhookPolicy};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Everything of a webhook except its name and its account.
pub(super) struct Parts {
    url: reqwest::Url,
    method: http::Method,
    auth: Auth,
    signing_secrets: Vec<SigningSecret>,
    signatures: Vec<HeaderSignature>,
    retried: BTreeSet<u16>,
    body_secrets: Option<Arc<BodySecrets>>,
    notes: Option<Box<str>>,
    success: SuccessCodes,
    limits: Limits,
    request_timeout: Duration,
    connect_timeout: Duration,
    connection_max_age: Duration,
    tls: Tls,
    http1_only: bool,
    breaker: BreakerPolicy,
    proxy: Option<Proxy>,
    response: Option<Arc<Response>>,
    request: Option<Arc<Request>>,
    shown: Option<Arc<Request>>,
    secrets: Vec<Secret>,
    definition: Definition,
    policy: WebhookPolicy,
    /// What was written outside of the entry.
    shared: String,
}

/// The parts of an account that its webhooks use.
#[derive(Default)]
pub(super) struct Owner {
    pub(super) http_enabled: bool,
    /// The group whose templates its webhooks can use.
    pub(super) group: Option<String>,
    /// The tokens that are constants.
    pub(super) constants: Tokens,
}

impl Parts {
    /// Creates the webhook `name` of `account`. `place` is that of its entry, and `referred` has the digests of the
    /// contents that the entry refers to.
    pub(super) fn build(
        self,
        name: WebhookName,
        account: AccountId,
        place: &Place<'_>,
        referred: &[Referred],
    ) -> (Webhook, WebhookPolicy, Definition) {
        let written = fingerprint(place, referred, &self.shared);
        let webhook = Webhook {
            name,
            account,
            url: self.url,
            method: self.method,
            auth: self.auth,
            signing_secrets: self.signing_secrets,
            signatures: self.signatures,
            retried: self.retried,
            body_secrets: self.body_secrets,
            notes: self.notes,
            success: self.success,
            limits: self.limits,
            request_timeout: self.request_timeout,
            connect_timeout: self.connect_timeout,
            connection_max_age: self.connection_max_age,
            tls: self.tls,
            http1_only: self.http1_only,
            breaker: self.breaker,
            retry: self.policy.retry.clone(),
            retry_after_max: Duration::from_millis(self.policy.retry_after_max_ms),
            proxy: self.proxy,
            response: self.response,
            request: self.request,
            shown: self.shown,
            secrets: self.secrets,
            written,
        };
        (webhook, self.policy, self.definition)
    }
}

/// Reads every part of `entry`, even if other parts have faults. `owner` is `None` if there is no such account.
pub(super) fn read(
    entry: &WebhookEntry,
    owner: Option<&Owner>,
    templates: &Templates,
    known_to: &Basis<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Parts> {
    let defaults = known_to.defaults;
    let http_enabled = owner.map(|owner| owner.http_enabled);
    let template = named_template(entry, owner, templates, place, context);
    let own = tokens::read(&entry.tokens, &place.key("tokens"), context);
    let shared: Vec<&Tokens> = [template.map(|it| &it.tokens), owner.map(|it| &it.constants)]
        .into_iter()
        .flatten()
        .collect();
    let known = tokens::with_catalogue(shared.iter().copied().chain([&own]));
    let auth = auth::read(&entry.auth, http_enabled, &known, &place.key("auth"), context);
    let (auth, credentials) =
        auth.map_or((None, None), |auth::Read { auth, credentials }| (Some(auth), credentials));
    let methods = known_to.methods;
    let given = definition::Given { http_enabled, tokens: known, template, credentials, methods };
    let said = definition::read(entry, given, place, context);
    let signing_secrets = signing_secrets(entry, &place.key("signing_secrets"), context);
    let request_timeout = request_timeout(entry, defaults, place, context);
    let limits = limits(entry, defaults, place, context);
    let tls = tls::read(entry, place, context);
    let signatures = signature::read(entry, &place.key("signatures"), context);
    let retried = retried(entry, &place.key("retry").key("statuses"), context);
    let response = response::of_webhook(entry, &place.key("response"), context);
    let policy = policy(&entry.retry, defaults, &place.key("retry"), context);
    let said = said?;
    Some(Parts {
        url: said.url,
        request: said.request,
        shown: said.shown,
        secrets: said.secrets,
        definition: said.definition,
        method: method(entry.method),
        auth: auth?,
        signing_secrets,
        signatures,
        retried,
        body_secrets: said.body_secrets,
        notes: entry.notes.as_deref().map(Box::from),
        success: entry.success_codes.as_deref().map_or_else(SuccessCodes::default, success),
        limits,
        request_timeout,
        connect_timeout: entry
            .connect_timeout_ms
            .map_or(defaults.connect_timeout, Duration::from_millis),
        connection_max_age: entry
            .connection_max_age_s
            .map_or(defaults.connection_max_age, Duration::from_secs),
        tls,
        http1_only: matches!(entry.http_version, Some(HttpVersion::Http1)),
        breaker: breaker(&entry.breaker, &defaults.breaker),
        proxy: defaults.proxy.clone(),
        response,
        policy,
        shared: format!("{shared:?}"),
    })
}

/// Returns the template that `entry` names, if it can use that.
fn named_template<'t>(
    entry: &WebhookEntry,
    owner: Option<&Owner>,
    templates: &'t Templates,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<&'t Template> {
    let name = definition::named(entry)?;
    let group = owner.and_then(|owner| owner.group.as_deref());
    template::find(templates, name, group, &place.key("template").key("name"), context)
}

/// Returns the fingerprint of the entry at `place` without its notes, of the contents that it refers to, and of what was
/// written elsewhere.
fn fingerprint(place: &Place<'_>, referred: &[Referred], shared: &str) -> Fingerprint {
    let mut written = place.node().map(Node::to_toml);
    if let Some(toml::Value::Table(table)) = &mut written {
        table.remove("notes");
    }
    // Tables are sorted, so that the order of keys has no effect.
    let mut content = written.map(|it| it.to_string()).unwrap_or_default().into_bytes();
    for Referred { key, digest } in referred {
        content.extend_from_slice(&sha256(key.as_bytes()));
        content.extend_from_slice(digest);
    }
    content.extend_from_slice(&sha256(shared.as_bytes()));
    Fingerprint::new(sha256(&content))
}

fn method(name: MethodName) -> http::Method {
    match name {
        MethodName::Get => http::Method::GET,
        MethodName::Post => http::Method::POST,
        MethodName::Put => http::Method::PUT,
        MethodName::Patch => http::Method::PATCH,
        MethodName::Delete => http::Method::DELETE,
        MethodName::Options | MethodName::Option => http::Method::OPTIONS,
        MethodName::Head => http::Method::HEAD,
    }
}

fn signing_secrets(
    entry: &WebhookEntry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Vec<SigningSecret> {
    let mut secrets = Vec::new();
    for (index, text) in entry.signing_secrets.iter().enumerate() {
        let place = place.item(index);
        let Some(secret) = context.secret(&place, text) else { continue };
        match SigningSecret::parse(secret.reveal()) {
            Ok(secret) => secrets.push(secret),
            Err(error) => {
                // The error's text ends with the fix, and never quotes the secret.
                let text = error.to_string();
                let (problem, fix) = text.split_once(": ").unwrap_or((&text, ""));
                context.fault(&place, problem, fix);
            }
        }
    }
    secrets
}

fn request_timeout(
    entry: &WebhookEntry,
    defaults: &Defaults,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Duration {
    if entry.request_timeout_ms.is_some() && entry.timeout_ms.is_some() {
        context.fault(
            &place.key("timeout_ms"),
            "is another name of `request_timeout_ms`, which is set too",
            "keep one of them",
        );
    }
    entry
        .request_timeout_ms
        .or(entry.timeout_ms)
        .map_or(defaults.request_timeout, Duration::from_millis)
}

fn limits(
    entry: &WebhookEntry,
    defaults: &Defaults,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Limits {
    if entry.burst.is_some()
        && !place.key("rate_per_second").is_there()
        && !place.key("rate").is_there()
    {
        context.fault(
            &place.key("burst"),
            "has no meaning without a rate",
            "set `rate_per_second` or `rate` too, or remove it",
        );
    }
    let rate_per_second = rate::read(entry.rate_per_second, entry.rate.as_deref(), place, context);
    let burst = entry.burst.and_then(NonZeroU32::new).or(rate_per_second.map(PerSecond::burst));
    let in_flight_max = entry.in_flight_max.unwrap_or(defaults.in_flight_max);
    Limits {
        rate_per_second,
        burst: rate_per_second.and(burst),
        in_flight_max: NonZeroU32::new(in_flight_max).unwrap_or(NonZeroU32::MIN),
    }
}

/// Returns the codes as ranges.
fn success(codes: &[u16]) -> SuccessCodes {
    let mut codes = codes.to_vec();
    codes.sort_unstable();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for code in codes {
        match ranges.last_mut() {
            Some((_, last)) if code <= last.saturating_add(1) => *last = code,
            Some(_) | None => ranges.push((code, code)),
        }
    }
    SuccessCodes(ranges)
}

/// Returns the statuses that are retried beside those that always are.
fn retried(entry: &WebhookEntry, place: &Place<'_>, context: &mut Context<'_>) -> BTreeSet<u16> {
    let success = entry.success_codes.as_deref().map_or_else(SuccessCodes::default, success);
    for (index, status) in entry.retry.statuses.iter().enumerate() {
        let place = place.item(index);
        if success.contains(*status) {
            let problem = format!("{status} counts as delivered");
            context.fault(&place, problem, "remove it here or from `success_codes`");
        } else if matches!(status, 408 | 425 | 429 | 500..) {
            context.warn(&place, format!("{status} is always retried"), "remove it");
        }
    }
    entry.retry.statuses.iter().copied().collect()
}

fn policy(
    entry: &RetryEntry,
    defaults: &Defaults,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> WebhookPolicy {
    if let (Some(initial), Some(max)) = (entry.initial_interval_ms, entry.interval_max_ms)
        && initial > max
    {
        context.fault(
            &place.key("interval_max_ms"),
            "is shorter than `initial_interval_ms`",
            format!("write {initial} or more"),
        );
    }
    let own = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
    let retry = Retry {
        initial_interval: own(entry.initial_interval_ms, defaults.retry.initial_interval),
        multiplier: entry.multiplier.unwrap_or(defaults.retry.multiplier),
        // A longer first interval raises the maximum.
        interval_max: own(
            entry.interval_max_ms,
            defaults.retry.interval_max.max(own(entry.initial_interval_ms, Duration::ZERO)),
        ),
        randomization_factor: entry
            .randomization_factor
            .unwrap_or(defaults.retry.randomization_factor),
    };
    let seconds = |s: Option<u64>, default| s.map_or(default, Duration::from_secs);
    let bounds = Bounds {
        attempts_max: entry.attempts_max.unwrap_or(defaults.bounds.attempts_max),
        age_max: seconds(entry.age_max_s, defaults.bounds.age_max),
        retry_after_max: seconds(entry.retry_after_max_s, defaults.bounds.retry_after_max),
        disable_after: seconds(entry.disable_after_s, defaults.bounds.disable_after),
    };
    retry::webhook_policy(&retry, &bounds)
}

fn breaker(entry: &BreakerEntry, defaults: &BreakerPolicy) -> BreakerPolicy {
    BreakerPolicy {
        failure_ratio: entry.failure_ratio.unwrap_or(defaults.failure_ratio),
        window: entry.window_s.map_or(defaults.window, Duration::from_secs),
        attempts_min: entry.attempts_min.unwrap_or(defaults.attempts_min),
        open: entry.open_s.map_or(defaults.open, Duration::from_secs),
    }
}
