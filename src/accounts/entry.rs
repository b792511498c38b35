//! `accounts.toml` as it is written. These comments are the schema's descriptions.

use crate::document::SecretText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The accounts of Ringback, their webhooks and their flows.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AccountsFile {
    /// Customer accounts.
    pub(super) account: Vec<AccountEntry>,
    /// Customers' HTTP targets.
    pub(super) webhook: Vec<WebhookEntry>,
    /// Flows of which the platform's record does not say whether they enable webhooks, or says it wrongly.
    pub(super) flow: Vec<FlowEntry>,
    /// Webhooks beside the two phases.
    pub(super) rule: Vec<RuleEntry>,
}

/// A customer account.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountEntry {
    /// The platform's id of the account.
    #[schemars(required)]
    pub(super) id: Option<i64>,
    /// Phase 2 is sent for this account.
    #[serde(default, rename = "account.sms.notifyOnDelivery")]
    pub(super) notify_on_delivery: bool,
    /// Phase 2 carries the flow's keys too.
    #[serde(default, rename = "account.sms.notifyOnDelivery.attachflowkeys")]
    pub(super) attach_flow_keys: bool,
    /// Webhooks of this account may be http:// instead of https://.
    #[serde(default)]
    pub(super) http_enabled: bool,
    /// Whether flows trigger webhooks of which neither a flow entry nor the record says so.
    pub(super) webhook_enabled: Option<bool>,
    /// Attempts per second of the account, which may be a fraction; 0: no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default)]
    pub(super) rate_per_second: f64,
    /// Instead of rate_per_second: attempts per s, min, h or d, as in "30/min".
    pub(super) rate: Option<String>,
}

/// A customer's HTTP target.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookEntry {
    /// Unique: 1 to 64 letters, digits, dots, hyphens and underscores.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// For people.
    #[schemars(length(max = 1000))]
    #[expect(dead_code, reason = "for people; only its length is checked")]
    pub(super) notes: Option<String>,
    /// The account whose webhook it is.
    #[schemars(required)]
    pub(super) account: Option<i64>,
    /// The account's default webhook, the target of both phases.
    #[serde(default)]
    pub(super) default: bool,
    /// https://, or http:// where the account has it enabled; without credentials and without fragment. Variables may stand in
    /// its path and its query.
    #[schemars(required, length(min = 1, max = 4096))]
    pub(super) url: Option<String>,
    /// How it is called.
    #[serde(default)]
    pub(super) method: MethodName,
    /// How requests are authorised.
    #[serde(default)]
    pub(super) auth: AuthEntry,
    /// Headers beside those that every request has.
    #[schemars(length(max = 64))]
    #[serde(default)]
    pub(super) headers: Vec<PartEntry>,
    /// What is added to the URL's query.
    #[schemars(length(max = 256))]
    #[serde(default)]
    pub(super) query: Vec<PartEntry>,
    /// What requests carry.
    #[serde(default)]
    pub(super) body: BodyName,
    /// json, xml and form: the body, with variables: $flow.key.NAME, $flow.syskey.NAME, $user.key.NAME, $call.PATH, $sms.PATH and
    /// %token%.
    pub(super) template: Option<String>,
    /// Instead of template: the file that holds it.
    pub(super) template_file: Option<String>,
    /// The variables of URL and body without whose values nothing can be sent.
    #[serde(default)]
    pub(super) mandatory: Vec<String>,
    /// The variables of the URL's path that may be empty; unless they are listed here, they are mandatory.
    #[serde(default)]
    pub(super) optional: Vec<String>,
    /// What tokens stand for, where it is not what the catalogue says: ani = "$call.calleeNumber".
    #[serde(default)]
    pub(super) tokens: BTreeMap<String, String>,
    /// internal: which of the platform's functions is called.
    pub(super) method_name: Option<String>,
    /// internal: what is told beside what the function itself wants.
    #[serde(default)]
    pub(super) parameters: Vec<GroupName>,
    /// internal: variables that always have the same value.
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
    /// `whsec_` and `whsk_` secrets; each signs, so that a receiver can change from one to the next.
    #[serde(default)]
    pub(super) signing_secrets: Vec<SecretText>,
    /// Attempts per second, which may be a fraction; 0: no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) rate_per_second: Option<f64>,
    /// Instead of rate_per_second: attempts per s, min, h or d, as in "30/min".
    pub(super) rate: Option<String>,
    /// So many attempts may leave at once after a pause; those of a second unless set, and at least one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) burst: Option<u32>,
    /// So many requests may be unanswered.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) in_flight_max: Option<u32>,
    /// From the first byte sent to the last byte read.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) request_timeout_ms: Option<u64>,
    /// Another name of request_timeout_ms.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) timeout_ms: Option<u64>,
    /// For name look-up, connect and TLS.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) connect_timeout_ms: Option<u64>,
    /// An older connection takes no further request, so that a name that has moved is noticed.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) connection_max_age_s: Option<u64>,
    /// "1.1": HTTP/2 is not offered. Unless set, HTTP/2 is used where the endpoint speaks it over TLS and does not demand HTTP/1.1.
    pub(super) http_version: Option<HttpVersion>,
    /// What is read of the answer of a success.
    pub(super) response: Option<ResponseEntry>,
    /// The statuses that mean delivered; 200 to 299 unless set.
    #[schemars(length(min = 1), inner(range(min = 100, max = 599)))]
    pub(super) success_codes: Option<Vec<u16>>,
    /// PEM: authorities to trust beside the system's, and self-signed certificates of the server itself.
    pub(super) ca_file: Option<String>,
    /// PEM: the certificate to show, with its chain.
    pub(super) client_certificate_file: Option<String>,
    /// PEM: the certificate's key.
    pub(super) client_key_file: Option<String>,
    /// Where this webhook differs from [delivery] and [delivery.retry].
    #[serde(default)]
    pub(super) retry: RetryEntry,
    /// Where this webhook differs from [delivery.breaker].
    #[serde(default)]
    pub(super) breaker: BreakerEntry,
}

/// How it is called.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum MethodName {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Head,
}

/// The only version of HTTP that an endpoint is offered.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http1,
}

/// A header, or a part of the query.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartEntry {
    /// Its name.
    #[schemars(required, length(min = 1))]
    pub(super) name: Option<String>,
    /// Its value, in which variables may stand; a secret that is referred to never shows.
    #[schemars(required)]
    pub(super) value: Option<SecretText>,
    /// Nothing can be sent without the values of its variables; otherwise it is left out.
    #[serde(default)]
    pub(super) mandatory: bool,
}

/// What requests carry.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyName {
    /// The body of the phase: the call, or the delivery status.
    #[default]
    Predefined,
    /// JSON made of `template`.
    Json,
    /// XML made of `template`.
    Xml,
    /// A form made of `template`.
    Form,
    /// Nothing.
    None,
    /// A call of one of the platform's functions.
    Internal,
}

/// A family of variables that a function of the platform is told.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
pub(crate) enum GroupName {
    /// The fields of the call.
    #[serde(rename = "call")]
    Call,
    /// The flow's keys.
    #[serde(rename = "flow.key")]
    FlowKey,
    /// The user's keys.
    #[serde(rename = "user.key")]
    UserKey,
}

/// How requests are authorised.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthEntry {
    /// none; basic: with username and password; bearer: with token; oauth2: with token_url, client_id and client_secret.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(super) kind: Option<AuthKind>,
    /// The user of basic authentication.
    pub(super) username: Option<String>,
    /// The user's password.
    pub(super) password: Option<SecretText>,
    /// The token of bearer authentication, without the word Bearer.
    pub(super) token: Option<SecretText>,
    /// OAuth 2: where tokens are fetched; https://, or http:// where the account has it enabled.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) token_url: Option<String>,
    /// OAuth 2: the client's name.
    pub(super) client_id: Option<String>,
    /// OAuth 2: the client's password.
    pub(super) client_secret: Option<SecretText>,
    /// OAuth 2: what tokens are to allow, names with spaces between.
    pub(super) scope: Option<String>,
    /// OAuth 2: for whom tokens are to count, where the token server wants to know.
    pub(super) audience: Option<String>,
    /// OAuth 2: how client_id and client_secret are sent; header unless set.
    pub(super) credentials_in: Option<CredentialsIn>,
}

/// How a client's name and password are sent to a token server.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CredentialsIn {
    /// As basic authentication.
    Header,
    /// In the form that is posted.
    Body,
}

/// How requests are authorised.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthKind {
    /// Not at all.
    None,
    /// HTTP basic authentication.
    Basic,
    /// A token that does not change.
    Bearer,
    /// OAuth 2's client credentials.
    Oauth2,
}

/// What is read of the answer of a success.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponseEntry {
    /// What the answer must be.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(super) kind: Option<AnswerKind>,
    /// An answer that is something else, or lacks what is mandatory, is asked for again; unless set it is the last word.
    #[serde(default)]
    pub(super) retry: bool,
    /// XML: the prefixes that paths use, each with the name of its namespace.
    #[serde(default)]
    pub(super) namespaces: BTreeMap<String, String>,
    /// What is kept of the answer.
    #[schemars(length(max = 256))]
    #[serde(default)]
    pub(super) map: Vec<MapEntry>,
}

/// What an answer must be.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerKind {
    /// JSON.
    Json,
    /// XML.
    Xml,
}

/// A value of the answer that is kept.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapEntry {
    /// The variable that has the value from then on, as in $flow.key.reqID.
    #[schemars(required)]
    pub(super) save_in: Option<String>,
    /// JSON: as in data.a.b[0]; XML: an XPath.
    #[schemars(required, length(min = 1, max = 4096))]
    pub(super) path: Option<String>,
    /// Without it the answer is of no use.
    #[serde(default)]
    pub(super) mandatory: bool,
}

/// Where a webhook differs from the defaults of its deliveries.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetryEntry {
    /// After so many attempts a delivery is given up.
    #[schemars(range(min = 1, max = 10000))]
    pub(super) attempts_max: Option<u32>,
    /// A delivery older than this is given up.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) age_max_s: Option<u64>,
    /// After the first attempt.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(super) initial_interval_ms: Option<u64>,
    /// Each interval is so many times the one before.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) multiplier: Option<f64>,
    /// No interval is longer.
    #[schemars(range(min = 1, max = 2_592_000_000_u64))]
    pub(super) interval_max_ms: Option<u64>,
    /// 0.2 spreads an interval from 80 % to 120 % of itself.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) randomization_factor: Option<f64>,
    /// A receiver's Retry-After counts up to this.
    #[schemars(range(min = 1, max = 2592000))]
    pub(super) retry_after_max_s: Option<u64>,
    /// An endpoint that only failed for so long is disabled.
    #[schemars(range(min = 1, max = 31536000))]
    pub(super) disable_after_s: Option<u64>,
}

/// Where a webhook's breaker differs from the others'.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BreakerEntry {
    /// It opens when this part of the attempts fails.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub(super) failure_ratio: Option<f64>,
    /// Over this time.
    #[schemars(range(min = 1, max = 3600))]
    pub(super) window_s: Option<u64>,
    /// And not with fewer attempts than these.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) attempts_min: Option<u32>,
    /// So long it stays open before a probe.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) open_s: Option<u64>,
}

/// A flow.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowEntry {
    /// The platform's id of the flow.
    #[schemars(required)]
    pub(super) id: Option<i64>,
    /// The account whose flow it is.
    #[schemars(required)]
    pub(super) account: Option<i64>,
    /// Whether the flow triggers webhooks, whatever its records say.
    #[schemars(required)]
    pub(super) webhook_enabled: Option<bool>,
}

/// A webhook beside the two phases.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleEntry {
    /// The account whose flows it is about.
    #[schemars(required)]
    pub(super) account: Option<i64>,
    /// The one flow that it is about; unless set, all of the account.
    pub(super) flow: Option<i64>,
    /// What it is sent upon, any of: flow_started, flow_complete, sms:STATUS, sms:final, report_timed_out.
    #[schemars(required, length(min = 1))]
    #[serde(default)]
    pub(super) on: Vec<String>,
    /// The webhook that is sent, one of the same account.
    #[schemars(required)]
    pub(super) webhook: Option<String>,
    /// What must hold, all of it.
    #[serde(default)]
    pub(super) when: Vec<ConditionEntry>,
}

/// What must hold of a variable; one of `equals`, `one_of` and `present`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionEntry {
    /// As in $flow.key.department.
    #[schemars(required)]
    pub(super) variable: Option<String>,
    /// Its value is this.
    pub(super) equals: Option<Scalar>,
    /// Its value is one of these.
    #[schemars(length(min = 1))]
    pub(super) one_of: Option<Vec<Scalar>>,
    /// It has a value; false: it has none.
    pub(super) present: Option<bool>,
}

/// A value that a variable's is compared with, as text.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    /// Text.
    Text(String),
    /// An integer.
    Integer(i64),
    /// true or false.
    Boolean(bool),
}

impl Scalar {
    /// As it is compared.
    pub(super) fn text(&self) -> Box<str> {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Boolean(value) => value.to_string().into(),
        }
    }
}
