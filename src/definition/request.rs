//! The parts of a request beside its body that may contain variables.

use crate::definition::template::{HeaderTemplate, QueryTemplate, UrlTemplate, Use, Values};
use http::{HeaderName, HeaderValue};
use std::fmt;

/// URL, query and headers of a definition.
#[derive(Clone)]
pub struct Request {
    /// The template of the URL.
    pub url: UrlTemplate,
    /// The entries to add to the URL's query.
    pub query: Vec<QueryTemplate>,
    /// The headers beside those that every request has.
    pub headers: Vec<HeaderTemplate>,
}

/// Hides the contents, which may include secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// URL, query and headers of one attempt.
pub struct RequestParts {
    /// The URL with its query.
    pub url: reqwest::Url,
    /// The headers, in the definition's order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Request {
    /// Renders the parts of a request with `values`.
    ///
    /// # Errors
    /// A mandatory value is missing, or the values make no valid URL or header. The error is a text for operators.
    pub fn render(&self, values: &dyn Values) -> Result<RequestParts, String> {
        let mut problems = Vec::new();
        let mut text = Vec::new();
        if let Err(problem) = self.url.render(&self.query, values, &mut text) {
            problems.push(problem.to_string());
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            let mut value = Vec::new();
            match header.render(values, &mut value) {
                Ok(true) => match HeaderValue::from_bytes(&value) {
                    Ok(mut value) => {
                        value.set_sensitive(header.is_secret());
                        headers.push((header.name().clone(), value));
                    }
                    Err(_) => {
                        problems.push(format!("the header `{}` has no valid value", header.name()))
                    }
                },
                Ok(false) => {}
                Err(missing) => problems.push(missing.to_string()),
            }
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let url = std::str::from_utf8(&text).ok().and_then(|text| reqwest::Url::parse(text).ok());
        let url = url.ok_or_else(|| "the values do not form a valid URL".to_owned())?;
        Ok(RequestParts { url, headers })
    }

    /// Returns every place that uses a variable.
    pub fn variables(&self) -> impl Iterator<Item = &Use> {
        let query = self.query.iter().flat_map(QueryTemplate::variables);
        let headers = self.headers.iter().flat_map(HeaderTemplate::variables);
        self.url.variables().iter().chain(query).chain(headers)
    }
}
