//! What an answer of the registry means.

use reqwest::StatusCode;
use serde::Deserialize;

/// Of a longer answer nothing is read.
pub(super) const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// A schema, as the registry shows it.
#[derive(Deserialize)]
struct Body {
    schema: String,
    #[serde(rename = "schemaType", default)]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<serde::de::IgnoredAny>>,
}

/// How a registry says what is wrong.
#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
}

/// What was found at an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The text of an Avro schema.
    Schema(String),
    /// The same, which refers to schemas that stand elsewhere.
    Refers(String),
    /// Nothing that can be used, and why.
    Nothing(&'static str),
    /// Nothing, if it is the id that was refused and not whatever is asked.
    Refused,
}

/// What an answer says of the id that was asked for.
///
/// # Errors
/// Why it says nothing of the id: an outage, in a few words.
pub(super) fn judge(status: StatusCode, body: &[u8]) -> Result<Found, String> {
    let code = serde_json::from_slice(body).map(|Refusal { error_code }| error_code).ok();
    match status {
        _ if status.is_success() && body.len() > SCHEMA_BYTES_MAX => {
            Ok(Found::Nothing("it is longer than a schema may be"))
        }
        _ if status.is_success() => {
            let body: Body = parse(body)?;
            if !body.is_avro() {
                return Ok(Found::Nothing("it is no Avro schema"));
            }
            let refers = body.references.is_some_and(|references| !references.is_empty());
            Ok(if refers { Found::Refers(body.schema) } else { Found::Schema(body.schema) })
        }
        // 40403: no such schema; its siblings name a subject or a version. A gateway's 404, or that of a wrong path, has none of
        // these.
        StatusCode::NOT_FOUND if code.is_some_and(|code| code / 100 == 404) => {
            Ok(Found::Nothing("there is no schema with this id"))
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(match code {
            Some(_) => Found::Nothing("it refuses the id"),
            None => Found::Refused,
        }),
        _ => Err(outage(status)),
    }
}

/// Why a registry that answers so is out of order.
pub(super) fn outage(status: StatusCode) -> String {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("it answers {status}: check [schema_registry] username and password")
        }
        StatusCode::NOT_FOUND => {
            format!(
                "it answers {status}, not as a schema registry does: check [schema_registry] url"
            )
        }
        _ => format!("it answers {status}"),
    }
}

fn parse(bytes: &[u8]) -> Result<Body, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("its answer is no schema: {error}"))
}

impl Body {
    /// Avro is the default and is left out of the answer.
    fn is_avro(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == "AVRO")
    }
}

/// The schema that an answer of the registry holds; `None` when it is no Avro schema.
///
/// # Errors
/// When it is no answer of a registry.
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
    fn only_what_the_registry_says_of_the_id_is_final() {
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
    fn what_says_nothing_of_the_id_is_an_outage() {
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
