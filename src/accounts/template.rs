//! Templates that have a name, so that several webhooks can use them.

use super::body::Text;
use super::definition::doubtful;
use super::entry::TemplateEntry;
use super::tokens;
use crate::definition::template::{Language, Tokens};
use crate::document::{Context, Place, nearest};
use std::collections::BTreeMap;

/// The templates by name.
pub(super) type Templates = BTreeMap<String, Template>;

/// A template.
pub(super) struct Template {
    /// The group of accounts that can use it, or `None` if all can.
    pub(super) group: Option<String>,
    pub(super) language: Language,
    pub(super) text: String,
    /// The key that has the text, or the name of its file.
    key: &'static str,
    /// The tokens that differ from the catalogue.
    pub(super) tokens: Tokens,
}

impl Template {
    fn is_visible(&self, group: Option<&str>) -> bool {
        self.group.is_none() || self.group.as_deref() == group
    }
}

/// Reads `entry`, and reports its faults.
pub(super) fn read(
    entry: &TemplateEntry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Template> {
    let tokens = tokens::read(&entry.tokens, &place.key("tokens"), context);
    let (key, text) = match (&entry.format, &entry.format_file) {
        (Some(text), None) => ("format", text.clone()),
        (None, Some(name)) => {
            ("format_file", context.text_of_file(&place.key("format_file"), name)?)
        }
        (Some(_), Some(_)) => {
            context.fault(&place.key("format_file"), "`format` is set too", "keep one of them");
            return None;
        }
        (None, None) => {
            let fix = "write format = \"…\", or format_file = \"PATH\"";
            context.fault(place, "has no text", fix);
            return None;
        }
    };
    doubtful(&text, &place.key(key), context);
    // The check reports a missing or unknown type.
    let language = entry.kind?.language();
    Some(Template { group: entry.group.clone(), language, text, key, tokens })
}

/// Checks a template that no webhook uses. Webhooks check those that they use, with their own tokens.
pub(super) fn check_unused(template: &Template, place: &Place<'_>, context: &mut Context<'_>) {
    let tokens = tokens::with_catalogue([&template.tokens]);
    let Template { language, text, key, .. } = template;
    let text = Text { language: *language, text, tokens: &tokens, of: "" };
    text.parse(&|_| false, &place.key(key), context);
}

/// Returns the template `name`, if accounts of `group` can use it. `place` is that of the name.
pub(super) fn find<'t>(
    templates: &'t Templates,
    name: &str,
    group: Option<&str>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<&'t Template> {
    let found = templates.get(name);
    match found {
        Some(template) if template.is_visible(group) => found,
        Some(Template { group: wanted, .. }) => {
            let wanted = wanted.as_deref().unwrap_or_default();
            let own = group.map_or("no group".to_owned(), |own| format!("the group `{own}`"));
            let problem = format!(
                "the template `{name}` is for the group `{wanted}`, and the account is of {own}"
            );
            let fix =
                format!("set group = \"{wanted}\" at the [[account]], or use another template");
            context.fault(place, problem, fix);
            None
        }
        None => {
            let visible = templates.iter().filter(|(_, template)| template.is_visible(group));
            let fix = match nearest(name, visible.map(|(name, _)| name.as_str())) {
                Some(nearest) => format!("write `{nearest}`"),
                None => format!("add a [[template]] with name = \"{name}\""),
            };
            context.fault(place, format!("there is no template `{name}`"), fix);
            None
        }
    }
}
