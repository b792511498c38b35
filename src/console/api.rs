//! The API: the same answers as JSON. One list has each operation with its path, its parameters and its handler. The
//! router and the OpenAPI document are made from it.

mod document;
mod handlers;

pub use document::document;

use super::Console;
use super::failure::Failure;
use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};
use serde_json::json;
use std::sync::Arc;

/// An operation of the API.
struct Operation {
    method: Method,
    path: &'static str,
    /// One sentence.
    says: &'static str,
    parameters: &'static [Parameter],
    /// The schema of the answer.
    answer: fn(&mut SchemaGenerator) -> Schema,
    /// `None`: the server answers itself.
    handler: Option<fn() -> MethodRouter<Arc<Console>>>,
}

/// The method of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

/// A parameter of an operation: in its path if the path names it, otherwise in the query of a GET and in the JSON object
/// of a POST.
struct Parameter {
    name: &'static str,
    /// Its type in JSON: `string`, `integer` or `boolean`.
    kind: &'static str,
    says: &'static str,
}

const fn text(name: &'static str, says: &'static str) -> Parameter {
    Parameter { name, kind: "string", says }
}

const fn integer(name: &'static str, says: &'static str) -> Parameter {
    Parameter { name, kind: "integer", says }
}

const fn flag(name: &'static str, says: &'static str) -> Parameter {
    Parameter { name, kind: "boolean", says }
}

pub(super) fn router() -> Router<Arc<Console>> {
    let router = handlers::OPERATIONS
        .iter()
        .filter_map(|operation| Some((operation.path, operation.handler?)))
        .fold(Router::new(), |router, (path, handler)| router.route(path, handler()));
    router.layer(middleware::map_response(as_json))
}

/// Shows a failure as a JSON object.
async fn as_json(response: Response) -> Response {
    let Some(failure) = response.extensions().get::<Failure>() else { return response };
    let mut shown =
        (failure.status(), page(&json!({ "error": failure.to_string() }))).into_response();
    if let Some(seconds) = response.headers().get(header::RETRY_AFTER) {
        shown.headers_mut().insert(header::RETRY_AFTER, seconds.clone());
    }
    shown
}

/// Returns a JSON value on a line.
fn page(value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "application/json")], format!("{text}\n")).into_response()
        }
        Err(error) => Failure::Internal(error.to_string()).into_response(),
    }
}
