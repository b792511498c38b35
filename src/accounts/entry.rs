//! The entries that a source has: every key with its type. The comments are the descriptions of the JSON Schema.

mod retry;
mod signature;
mod template;
mod value;

pub(crate) use retry::{BreakerEntry, RetryEntry};
pub(crate) use signature::{EncodingName, SchemeName, SignatureEntry};
pub(crate) use value::ValueEntry;

pub(crate) use template::{TemplateEntry, TemplateText, TokenEntry};

use crate::definition::template::Language;
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
    /// Texts of bodies that several webhooks can use.
    pub(super) template: Vec<TemplateEntry>,
    /// HTTP endpoints of customers.
    pub(super) webhook: Vec<WebhookEntry>,
    /// Flows whose records lack `webhookEnabled` or have it wrong.
    pub(super) flow: Vec<FlowEntry>,
    /// Webhooks that are sent in addition to the two phases.
    pub(super) rule: Vec<RuleEntry>,
}

/// A customer account.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountEntry {
    /// The account's id in the platform.
    #[schemars(required)]
    pub(super) id: Option<i64>,
    /// Whether phase 2 is sent for this account.
    #[serde(default, rename = "account.sms.notifyOnDelivery")]
    pub(super) notify_on_delivery: bool,
    /// Whether phase 2 contains the flow's keys too.
    #[serde(default, rename = "account.sms.notifyOnDelivery.attachflowkeys")]
    pub(super) attach_flow_keys: bool,
    /// Whether webhooks of this account may use http:// instead of https://.
    #[serde(default)]
    pub(super) http_enabled: bool,
    /// Whether flows trigger webhooks if neither a [[flow]] entry nor the record says so.
    pub(super) webhook_enabled: Option<bool>,
    /// Attempts per second of the account, which may be a fraction. 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default)]
    pub(super) rate_per_second: f64,
    /// Replaces rate_per_second: attempts per s, min, h or d, as in "30/min".
    pub(super) rate: Option<String>,
    /// The group whose templates its webhooks can use.
    #[schemars(length(min = 1, max = 64))]
    pub(super) group: Option<String>,
    /// Constant values of tokens for all webhooks of the account, as in location_name = "Main Street".
    #[serde(default)]
    pub(super) values: BTreeMap<String, Scalar>,
    /// The webhook of the account that gets notices about the account's other endpoints.
    pub(super) notify: Option<String>,
    /// How many seconds an endpoint fails, or is held, before there is a notice.
    #[schemars(range(min = 1, max = 604_800))]
    #[serde(default = "notify_after_s")]
    pub(super) notify_after_s: u64,
    /// The number of dead letters within an hour from which on there is a notice.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default = "notify_dead_letters")]
    pub(super) notify_dead_letters: u32,
}

const fn notify_after_s() -> u64 {
    600
}

const fn notify_dead_letters() -> u32 {
    10
}

/// An HTTP endpoint of a customer.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookEntry {
    /// The unique name: 1 to 64 letters, digits, dots, hyphens and underscores.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// A note for people.
    #[schemars(length(max = 1000))]
    pub(super) notes: Option<String>,
    /// The id of the account that the webhook belongs to.
    #[schemars(required)]
    pub(super) account: Option<i64>,
    /// Whether this is the account's default webhook, to which both phases are sent.
    #[serde(default)]
    pub(super) default: bool,
    /// The URL: https://, or http:// if the account has http_enabled. It has no credentials and no fragment. Path and query may
    /// contain variables.
    #[schemars(required, length(min = 1, max = 4096))]
    pub(super) url: Option<String>,
    /// The HTTP method.
    #[serde(default)]
    pub(super) method: MethodName,
    /// How requests are authorised.
    #[serde(default)]
    pub(super) auth: AuthEntry,
    /// Headers in addition to those that every request has. Headers that the daemon or HTTP itself sets are refused:
    /// `authorization`, `connection`, `content-length`, `expect`, `host`, `te`, `traceparent`, `transfer-encoding`,
    /// `upgrade`, `webhook-id`, `webhook-signature` and `webhook-timestamp`.
    #[schemars(length(max = 64))]
    #[serde(default)]
    pub(super) headers: Vec<PartEntry>,
    /// Parameters that are added to the URL's query.
    #[schemars(length(max = 256))]
    #[serde(default)]
    pub(super) query: Vec<PartEntry>,
    /// The body of requests.
    #[serde(default)]
    pub(super) body: BodyName,
    /// For the bodies json, xml, form and multipart: the text with its variables $flow.key.NAME, $flow.syskey.NAME, $user.key.NAME,
    /// $call.PATH, $sms.PATH and %token%. { name = "NAME" } uses the text of a [[template]] and sets the body to its type.
    pub(super) template: Option<TemplateText>,
    /// Replaces template: the file that contains it.
    pub(super) template_file: Option<String>,
    /// Variables of URL and body that must have a value. Without it the delivery becomes a dead letter. Those that a
    /// function of the platform needs are mandatory without being listed.
    #[serde(default)]
    pub(super) mandatory: Vec<String>,
    /// Variables of the URL's path, or of a function, that may have no value. All others of the path are mandatory.
    #[serde(default)]
    pub(super) optional: Vec<String>,
    /// Tokens that differ from the catalogue: a variable as in ani = "$call.calleeNumber", another token as in lead =
    /// "%ani%", or a constant as in location_name = { value = "Main Street" }.
    #[serde(default)]
    pub(super) tokens: BTreeMap<String, TokenEntry>,
    /// For the body internal: the function of the platform that is called.
    pub(super) method_name: Option<String>,
    /// For the body internal: groups of variables that are sent in addition to the function's parameters.
    #[serde(default)]
    pub(super) parameters: Vec<GroupName>,
    /// For the body internal: values of the function's variables. Text may contain variables of the flow. A secret
    /// reference is never stored or shown.
    #[serde(default)]
    pub(super) values: BTreeMap<String, ValueEntry>,
    /// `whsec_` and `whsk_` secrets. Each makes one signature, so that a receiver can change from one to the next.
    #[serde(default)]
    pub(super) signing_secrets: Vec<SecretText>,
    /// Signatures in headers of their own, as the receiver already verifies them.
    #[schemars(length(max = 8))]
    #[serde(default)]
    pub(super) signatures: Vec<SignatureEntry>,
    /// Attempts per second, which may be a fraction. 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) rate_per_second: Option<f64>,
    /// Replaces rate_per_second: attempts per s, min, h or d, as in "30/min".
    pub(super) rate: Option<String>,
    /// Attempts that may be made at once after a pause. Default: those of one second, at least one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) burst: Option<u32>,
    /// Maximum number of unanswered requests. Default: [delivery] in_flight_max_webhook.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) in_flight_max: Option<u32>,
    /// Time limit from the first byte sent to the last byte read. Default: [delivery] request_timeout_ms.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) request_timeout_ms: Option<u64>,
    /// An alias of request_timeout_ms.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) timeout_ms: Option<u64>,
    /// Time limit of name look-up, TCP connect and TLS handshake together. Default: [delivery] connect_timeout_ms.
    #[schemars(range(min = 1, max = 60000))]
    pub(super) connect_timeout_ms: Option<u64>,
    /// Maximum age of a connection that gets another request, so that a moved name is noticed. Default: [delivery]
    /// connection_max_age_s.
    #[schemars(range(min = 1, max = 86400))]
    pub(super) connection_max_age_s: Option<u64>,
    /// "1.1" disables HTTP/2. Default: HTTP/2 if the endpoint supports it over TLS and does not demand HTTP/1.1.
    pub(super) http_version: Option<HttpVersion>,
    /// What is read from successful answers.
    pub(super) response: Option<ResponseEntry>,
    /// Statuses that count as delivered. Default: 200 to 299.
    #[schemars(length(min = 1), inner(range(min = 100, max = 599)))]
    pub(super) success_codes: Option<Vec<u16>>,
    /// PEM file of authorities to trust in addition to the system's, or of the server's self-signed certificate.
    pub(super) ca_file: Option<String>,
    /// PEM file of the client certificate with its chain.
    pub(super) client_certificate_file: Option<String>,
    /// PEM file of the client certificate's key.
    pub(super) client_key_file: Option<String>,
    /// Values that differ from [delivery] and [delivery.retry].
    #[serde(default)]
    pub(super) retry: RetryEntry,
    /// Values that differ from [delivery.breaker].
    #[serde(default)]
    pub(super) breaker: BreakerEntry,
}

/// The HTTP method.
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
    // The platform's word for OPTIONS.
    Option,
    Head,
}

/// The only HTTP version that an endpoint is offered.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http1,
}

/// A header or a query parameter.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartEntry {
    /// The name.
    #[schemars(required, length(min = 1))]
    pub(super) name: Option<String>,
    /// The value, which may contain variables. A secret reference is never shown.
    #[schemars(required)]
    pub(super) value: Option<SecretText>,
    /// Whether its variables must have values. If not, it is left out when one is missing.
    #[serde(default)]
    pub(super) mandatory: bool,
}

/// The body of requests.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyName {
    /// The body of the phase: the call or the delivery status.
    #[default]
    Predefined,
    /// JSON from `template`.
    Json,
    /// XML from `template`.
    Xml,
    /// A form from `template`.
    Form,
    /// The platform's word for form.
    #[serde(rename = "form-data")]
    FormData,
    /// A form as multipart/form-data from `template`.
    Multipart,
    /// No body.
    None,
    /// A call of one of the platform's functions.
    Internal,
}

/// What a body consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Predefined,
    /// The text of `template` in this language.
    Template(Language),
    None,
    Internal,
}

impl BodyName {
    pub(crate) const fn kind(self) -> BodyKind {
        match self {
            Self::Predefined => BodyKind::Predefined,
            Self::Json => BodyKind::Template(Language::Json),
            Self::Xml => BodyKind::Template(Language::Xml),
            Self::Form | Self::FormData => BodyKind::Template(Language::Form),
            Self::Multipart => BodyKind::Template(Language::Multipart),
            Self::None => BodyKind::None,
            Self::Internal => BodyKind::Internal,
        }
    }
}

/// A group of variables that is sent to a function of the platform.
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
    /// none, basic (with username and password), bearer (with token) or oauth2 (with token_url, client_id and client_secret).
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(super) kind: Option<AuthKind>,
    /// The user of basic authentication. It may contain variables.
    pub(super) username: Option<String>,
    /// The user's password. If it is no reference, it may contain variables.
    pub(super) password: Option<SecretText>,
    /// The token of bearer authentication, without the word Bearer.
    pub(super) token: Option<SecretText>,
    /// OAuth 2: the URL of the token server: https://, or http:// if the account has http_enabled.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) token_url: Option<String>,
    /// OAuth 2: the client's id.
    pub(super) client_id: Option<String>,
    /// OAuth 2: the client's secret.
    pub(super) client_secret: Option<SecretText>,
    /// OAuth 2: the scopes to ask for, separated by spaces.
    pub(super) scope: Option<String>,
    /// OAuth 2: the audience, if the token server needs one.
    pub(super) audience: Option<String>,
    /// OAuth 2: how client_id and client_secret are sent. Default: header.
    pub(super) credentials_in: Option<CredentialsIn>,
}

/// How a client's id and secret are sent to a token server.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CredentialsIn {
    /// As basic authentication.
    Header,
    /// As fields of the form.
    Body,
}

/// How requests are authorised.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthKind {
    /// No authorisation.
    None,
    /// HTTP basic authentication.
    Basic,
    /// The platform's word for basic.
    #[serde(rename = "Basic")]
    PlatformBasic,
    /// A fixed token.
    Bearer,
    /// Client credentials of OAuth 2.
    Oauth2,
}

/// What is read from successful answers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponseEntry {
    /// The format of the answer.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(super) kind: Option<AnswerKind>,
    /// Whether the delivery is retried if an answer has another format or lacks a mandatory value. Default: it is not.
    #[serde(default)]
    pub(super) retry: bool,
    /// XML: the prefixes that paths use, with their namespaces.
    #[serde(default)]
    pub(super) namespaces: BTreeMap<String, String>,
    /// Values of the answer that are saved.
    #[schemars(length(max = 256))]
    #[serde(default)]
    pub(super) map: Vec<MapEntry>,
}

/// The format of an answer.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerKind {
    /// JSON.
    Json,
    /// XML.
    Xml,
}

/// A value of the answer that is saved.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapEntry {
    /// The variable that gets the value, as in $flow.key.reqID.
    #[schemars(required)]
    pub(super) save_in: Option<String>,
    /// JSON: a path such as data.a.b[0], where data is the answer itself. XML: an XPath.
    #[schemars(required, length(min = 1, max = 4096))]
    pub(super) path: Option<String>,
    /// Whether an answer without this value fails the attempt.
    #[serde(default)]
    pub(super) mandatory: bool,
}

/// A flow.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowEntry {
    /// The flow's id in the platform.
    #[schemars(required)]
    pub(super) id: Option<i64>,
    /// The id of the account that the flow belongs to.
    #[schemars(required)]
    pub(super) account: Option<i64>,
    /// Whether the flow triggers webhooks. It overrides the records.
    #[schemars(required)]
    pub(super) webhook_enabled: Option<bool>,
}

/// A webhook that is sent in addition to the two phases.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleEntry {
    /// The id of the account whose flows the rule applies to.
    #[schemars(required)]
    pub(super) account: Option<i64>,
    /// The id of the flow that the rule applies to. Default: all flows of the account.
    pub(super) flow: Option<i64>,
    /// Triggers, any of: flow_started, flow_complete, sms:STATUS, sms:final, report_timed_out, webhook:NAME:delivered,
    /// webhook:NAME:failed.
    #[schemars(required, length(min = 1))]
    #[serde(default)]
    pub(super) on: Vec<String>,
    /// The name of the webhook, which belongs to the same account.
    #[schemars(required)]
    pub(super) webhook: Option<String>,
    /// The name of a webhook of the same account that must have ended before. Its outcome is at hand, as in
    /// $flow.key.response_status.
    pub(super) after: Option<String>,
    /// Whether the rule also applies to flows that do not enable the default webhook. Default: false.
    pub(super) any_flow: Option<bool>,
    /// Conditions, which must all be true. One on a variable that another webhook's answer gives is judged after that
    /// webhook has ended.
    #[serde(default)]
    pub(super) when: Vec<ConditionEntry>,
}

/// A condition on a variable, with one of `equals`, `one_of` and `present`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionEntry {
    /// The variable, as in $flow.key.department.
    #[schemars(required)]
    pub(super) variable: Option<String>,
    /// The value that it must have.
    pub(super) equals: Option<Scalar>,
    /// The values of which it must have one.
    #[schemars(length(min = 1))]
    pub(super) one_of: Option<Vec<Scalar>>,
    /// true: it must have a value. false: it must have none.
    pub(super) present: Option<bool>,
}

/// A value: a constant, or one that is compared with a variable's as text.
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
    /// Returns the text that is compared.
    pub(super) fn text(&self) -> Box<str> {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Boolean(value) => value.to_string().into(),
        }
    }

    /// Returns the JSON text of the value.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
        }
    }
}
