//! The request that a webhook makes of given records, as an answer that can be serialised.

mod sample;

pub use sample::{Sample, of_records, sample};

use crate::codec::rendering;
use crate::definition::RequestParts;
use crate::delivery::Webhook;
use crate::domain::{BodyKind, Definition};
use serde::Serialize;

/// A request that is not sent. Secrets are hidden, and what is signed or counted for each attempt is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The webhook's name.
    pub webhook: String,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers, in their order.
    pub headers: Vec<Header>,
    /// What the body is: `json`, `xml`, `form` or `none`.
    pub content: &'static str,
    /// The body, if there is one.
    pub body: Option<String>,
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Preview {
    /// Renders the request of `webhook`, which is defined so, of `sample`.
    ///
    /// # Errors
    /// What has no value.
    pub fn of(
        webhook: &Webhook,
        definition: Option<&Definition>,
        sample: &Sample,
    ) -> Result<Self, Box<str>> {
        let (body, rendered) = sample.rendered(definition)?;
        let parts = webhook.shown_parts(rendered.as_ref());
        let (url, headers) = match &parts {
            Some(RequestParts { url, headers }) => (url.to_string(), headers.as_slice()),
            None => (webhook.shown_url(), &[][..]),
        };
        let kind = rendered.map_or(BodyKind::Json, |rendered| rendered.kind);
        let headers = headers.iter().map(|(name, value)| Header {
            name: name.to_string(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        });
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Self {
            webhook: webhook.name.to_string(),
            method: webhook.method.to_string(),
            url,
            headers: headers.collect(),
            content: rendering::content(kind),
            body: (kind != BodyKind::None).then_some(body),
        })
    }
}
