//! Entries of templates and tokens.

use super::Scalar;
use crate::definition::template::Language;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The text of a body that several webhooks can use.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateEntry {
    /// The unique name, by which webhooks refer to it.
    #[schemars(required, length(min = 1, max = 64))]
    pub(in crate::accounts) name: Option<String>,
    /// The group of accounts that can use it. Default: all accounts can.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::accounts) group: Option<String>,
    /// The language of the text.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(in crate::accounts) kind: Option<TemplateKind>,
    /// The text with its variables and tokens, as in `template` of a webhook.
    pub(in crate::accounts) format: Option<String>,
    /// Replaces format: the file that contains it.
    pub(in crate::accounts) format_file: Option<String>,
    /// Tokens that differ from the catalogue, as in `tokens` of a webhook.
    #[serde(default)]
    pub(in crate::accounts) tokens: BTreeMap<String, TokenEntry>,
}

/// The language of a template.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TemplateKind {
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// A form.
    Form,
    /// A form as multipart/form-data.
    Multipart,
}

impl TemplateKind {
    pub(in crate::accounts) const fn language(self) -> Language {
        match self {
            Self::Json => Language::Json,
            Self::Xml => Language::Xml,
            Self::Form => Language::Form,
            Self::Multipart => Language::Multipart,
        }
    }
}

/// The template of a webhook.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum TemplateText {
    /// The text itself.
    Text(String),
    /// A reference to a [[template]].
    Named {
        /// The name of the template.
        #[schemars(required, length(min = 1))]
        name: Option<String>,
    },
}

/// The meaning of a token.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum TokenEntry {
    /// A variable, or another token.
    Source(String),
    /// A constant.
    Constant {
        /// The value.
        #[schemars(required)]
        value: Option<Scalar>,
    },
}
