//! The request that a webhook makes from given records, as an answer that can be serialised.

mod sample;

pub use sample::{Sample, of_records, sample};

use crate::codec::content;
use crate::definition::RequestParts;
use crate::delivery::Webhook;
use crate::domain::Definitions;
use serde::Serialize;

/// A request that is not sent. Secrets are hidden. Headers that are signed or counted for each attempt are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    pub webhook: String,
    /// The webhook's note for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    pub method: String,
    /// The URL. Secrets in it are hidden.
    pub url: String,
    /// The headers, in their order.
    pub headers: Vec<Header>,
    /// The kind of the body: `json`, `xml`, `form`, `none`, or its content type.
    pub content: String,
    /// The body, if there is one.
    pub body: Option<String>,
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl Preview {
    /// Renders the request of `webhook` from `sample`.
    ///
    /// # Errors
    /// A variable that is needed has no value. The text names it.
    pub fn of(
        webhook: &Webhook,
        definitions: &dyn Definitions,
        sample: &Sample,
    ) -> Result<Self, Box<str>> {
        let (body, rendered) = sample.rendered(definitions, &webhook.name)?;
        let parts = webhook.shown_parts(rendered.as_ref());
        let (url, headers) = match &parts {
            Some(RequestParts { url, headers }) => (url.to_string(), headers.as_slice()),
            None => (webhook.shown_url(), &[][..]),
        };
        // A webhook without a definition sends the predefined body, which is JSON.
        let (content, has_body) = rendered.map_or(("json".to_owned(), true), |rendered| {
            let content = content::word(&rendered.content_type).to_owned();
            (content, rendered.content_type.is_some())
        });
        let headers = headers.iter().map(|(name, value)| Header {
            name: name.to_string(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        });
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Self {
            webhook: webhook.name.to_string(),
            notes: webhook.notes.as_deref().map(str::to_owned),
            method: webhook.method.to_string(),
            url,
            headers: headers.collect(),
            content,
            body: has_body.then_some(body),
        })
    }
}
