//! Interprets the registry's answers.

use reqwest::StatusCode;
use serde::Deserialize;

/// The size limit of an answer, in bytes. A longer one is not parsed.
pub(super) const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// A schema in the registry's format.
#[derive(Deserialize)]
struct Body {
    schema: String,
    #[serde(rename = "schemaType", default)]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<serde::de::IgnoredAny>>,
}

/// An error in the registry's format.
#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
}

/// The meaning of an answer for the requested id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The text of an Avro schema.
    Schema(String),
    /// The text of an Avro schema that refers to other schemas.
    Refers(String),
    /// No usable schema, with the reason.
    Nothing(&'static str),
    /// No schema, provided that the registry refuses only this id and not every request.
    Refused,
}

/// Interprets an answer to the request for an id.
///
/// # Errors
/// The answer says nothing about the id: an outage, described in a few words.
pub(super) fn judge(status: StatusCode, body: &[u8]) -> Result<Found, String> {
    let code = serde_json::from_slice(body).map(|Refusal { error_code }| error_code).ok();
    match status {
        _ if status.is_success() && body.len() > SCHEMA_BYTES_MAX => {
            Ok(Found::Nothing("the schema is longer than allowed"))
        }
        _ if status.is_success() => {
            let body: Body = parse(body)?;
            if !body.is_avro() {
                return Ok(Found::Nothing("it is not an Avro schema"));
            }
            let refers = body.references.is_some_and(|references| !references.is_empty());
            Ok(if refers { Found::Refers(body.schema) } else { Found::Schema(body.schema) })
        }
        // 40403 means that there is no such schema; 40401 and 40402 name a subject or a version. The 404 of a gateway
        // or of a wrong path has none of these codes.
        StatusCode::NOT_FOUND if code.is_some_and(|code| code / 100 == 404) => {
            Ok(Found::Nothing("no schema has this id"))
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(match code {
            Some(_) => Found::Nothing("the registry rejects the id"),
            None => Found::Refused,
        }),
        _ => Err(outage(status)),
    }
}

/// Describes an answer that shows an outage of the registry.
pub(super) fn outage(status: StatusCode) -> String {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("it answers {status}: check [schema_registry] username and password")
        }
        StatusCode::NOT_FOUND => {
            format!("it answers {status}, unlike a schema registry: check [schema_registry] url")
        }
        _ => format!("it answers {status}"),
    }
}

fn parse(bytes: &[u8]) -> Result<Body, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("its answer is not a schema: {error}"))
}

impl Body {
    /// Returns whether the schema is Avro, the default type, which the registry omits from its answer.
    fn is_avro(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == "AVRO")
    }
}

/// Parses the schema in an answer of the registry; `None`: it is not an Avro schema.
///
/// # Errors
/// The bytes are not an answer of a registry.
pub fn read_answer(bytes: &[u8]) -> Result<Option<String>, String> {
    let body = parse(bytes)?;
    Ok(body.is_avro().then_some(body.schema))
}

#[cfg(test)]
mod tests {
    use super::{Found, judge};
    use reqwest::StatusCode;

    fn judged(status: u16, body: &str) -> Result<Found, String> {
        judge(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn only_an_answer_about_the_id_is_final() {
        let is_nothing = |status, body: &str| matches!(judged(status, body), Ok(Found::Nothing(_)));
        for code in [40401, 40402, 40403] {
            let body = format!(r#"{{"error_code":{code},"message":"no"}}"#);
            assert!(is_nothing(404, &body), "{code}");
        }
        for status in [400, 422] {
            assert!(is_nothing(status, r#"{"error_code":42202,"message":"no"}"#), "{status}");
            for body in ["", "<html>", "{}"] {
                assert_eq!(judged(status, body), Ok(Found::Refused), "{status} {body}");
            }
        }
        assert!(is_nothing(200, r#"{"schema":"{}","schemaType":"JSON"}"#));
        let schema = |text: &str| Ok(Found::Schema(text.to_owned()));
        assert_eq!(judged(200, r#"{"schema":"\"int\"","references":[]}"#), schema("\"int\""));
        assert_eq!(judged(200, r#"{"schema":"broken","schemaType":"AVRO"}"#), schema("broken"));
        let refers = r#"{"schema":"\"A\"","references":[{"name":"A","subject":"a","version":1}]}"#;
        assert_eq!(judged(200, refers), Ok(Found::Refers("\"A\"".to_owned())));
    }

    #[test]
    fn an_answer_that_is_not_about_the_id_is_an_outage() {
        for (status, body) in [
            (404, ""),
            (404, "<html>nginx</html>"),
            (404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
            (404, r#"{"message":"no Route matched with those values"}"#),
            (200, "<html>please log in</html>"),
            (200, "{}"),
            (200, ""),
            (301, ""),
            (401, r#"{"error_code":401,"message":"Unauthorized"}"#),
            (403, r#"{"error_code":40301,"message":"denied"}"#),
            (408, ""),
            (429, r#"{"error_code":429,"message":"slow down"}"#),
            (500, r#"{"error_code":50001,"message":"the store"}"#),
            (502, ""),
            (503, r#"{"error_code":40403,"message":"not this time"}"#),
        ] {
            assert!(judged(status, body).is_err(), "{status} {body}");
        }
        assert!(judged(401, "").unwrap_err().contains("[schema_registry] username"));
        assert!(judged(404, "").unwrap_err().contains("[schema_registry] url"));
    }
}
