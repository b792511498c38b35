//! The parts of a request beside its body that may contain variables.

use crate::definition::template::{
    HeaderTemplate, QueryTemplate, TextTemplate, UrlTemplate, Use, Values,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use std::fmt;

/// URL, query, headers and credentials of a definition.
#[derive(Clone)]
pub struct Request {
    /// The template of the URL.
    pub url: UrlTemplate,
    /// The entries to add to the URL's query.
    pub query: Vec<QueryTemplate>,
    /// The headers beside those that every request has.
    pub headers: Vec<HeaderTemplate>,
    /// The credentials of basic authentication, if they contain variables.
    pub credentials: Option<Credentials>,
}

/// The credentials of basic authentication. All of their variables must have values.
#[derive(Clone)]
pub struct Credentials {
    pub username: TextTemplate,
    pub password: TextTemplate,
}

impl Credentials {
    /// Renders the value of the header `authorization`.
    fn render(&self, values: &dyn Values) -> Result<HeaderValue, String> {
        let (mut username, mut password) = (String::new(), String::new());
        let rendered = [
            self.username.render(values, &mut username),
            self.password.render(values, &mut password),
        ];
        let missing: Vec<String> =
            rendered.into_iter().filter_map(|it| Some(it.err()?.to_string())).collect();
        if !missing.is_empty() {
            return Err(missing.join("; "));
        }
        if username.contains(':') || username.contains(char::is_control) {
            return Err(
                "the values make a user name with a colon or a control character".to_owned()
            );
        }
        let pair = STANDARD.encode(format!("{username}:{password}"));
        let value = HeaderValue::try_from(format!("Basic {pair}"));
        let mut value = value.map_err(|_| "the credentials make no header".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }
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
        match self.credentials.as_ref().map(|it| it.render(values)) {
            Some(Ok(value)) => headers.push((AUTHORIZATION, value)),
            Some(Err(problem)) => problems.push(problem),
            None => {}
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
        let credentials = self.credentials.iter().flat_map(|Credentials { username, password }| {
            username.variables().iter().chain(password.variables())
        });
        self.url.variables().iter().chain(query).chain(headers).chain(credentials)
    }
}
