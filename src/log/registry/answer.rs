//! Interprets the registry's answers.

use crate::codec::source::RegisteredSchema;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// The size limit of an answer, in bytes. A longer one is not parsed.
pub(super) const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// A schema in the registry's format.
#[derive(Deserialize)]
struct Body {
    schema: String,
    #[serde(rename = "schemaType", default)]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

/// A reference to another schema.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Reference {
    subject: String,
    version: u32,
}

impl Reference {
    /// Returns the path at which the registry has the schema.
    pub(super) fn path(&self) -> String {
        let subject = utf8_percent_encode(&self.subject, NON_ALPHANUMERIC);
        format!("subjects/{subject}/versions/{}", self.version)
    }
}

/// An error in the registry's format.
#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
}

/// The meaning of an answer for the requested id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Schema(RegisteredSchema),
    /// The text of an Avro schema that refers to other schemas.
    Refers(String, Vec<Reference>),
    /// No usable schema, with the reason.
    Nothing(&'static str),
    /// No schema, provided that the registry refuses only this id and not every request.
    Refused,
}

/// Interprets an answer to the request for an id, or for a version of a subject.
///
/// # Errors
/// The answer says nothing about the id: an outage, described in a few words.
pub(super) fn judge(status: StatusCode, body: &[u8]) -> Result<Found, String> {
    let code = serde_json::from_slice(body).map(|Refusal { error_code }| error_code).ok();
    match status {
        _ if status.is_success() && body.len() > SCHEMA_BYTES_MAX => {
            Ok(Found::Nothing("the schema is longer than allowed"))
        }
        _ if status.is_success() => parse(body).map(Body::found),
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

/// Interprets Apicurio's answer with the content of a schema, which does not say the type. `None`: there is none.
///
/// # Errors
/// The answer says nothing about the id: an outage, described in a few words.
pub(super) fn judge_content(
    status: StatusCode,
    body: &[u8],
) -> Result<Option<RegisteredSchema>, String> {
    // The answer of a gateway or of a wrong path has no code.
    let code = serde_json::from_slice(body).map(|Refusal { error_code }| error_code).ok();
    match status {
        StatusCode::NOT_FOUND if code == Some(404) => return Ok(None),
        _ if !status.is_success() => return Err(outage(status)),
        _ if body.len() > SCHEMA_BYTES_MAX => return Ok(None),
        _ => {}
    }
    let Ok(text) = std::str::from_utf8(body) else { return Ok(None) };
    let avro = || RegisteredSchema::Avro { text: text.to_owned(), references: Vec::new() };
    Ok(Some(match serde_json::from_str(text) {
        Err(_) => RegisteredSchema::Protobuf,
        // A JSON Schema has no fields, and no name of a simple type or union as a whole.
        Ok(Value::Object(content)) if content.get("fields").is_none() => RegisteredSchema::Json,
        Ok(_) => avro(),
    }))
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
    fn found(self) -> Found {
        match self.kind.as_deref() {
            // The default type, which the registry omits from its answer.
            None | Some("AVRO") => {}
            Some("JSON") => return Found::Schema(RegisteredSchema::Json),
            Some("PROTOBUF") => return Found::Schema(RegisteredSchema::Protobuf),
            Some(_) => return Found::Nothing("its type is none of AVRO, JSON and PROTOBUF"),
        }
        let text = self.schema;
        match self.references {
            Some(references) if !references.is_empty() => Found::Refers(text, references),
            Some(_) | None => {
                Found::Schema(RegisteredSchema::Avro { text, references: Vec::new() })
            }
        }
    }
}

/// Parses the schema in an answer of the registry; `None`: it is not an Avro schema.
///
/// # Errors
/// The bytes are not an answer of a registry.
pub fn read_answer(bytes: &[u8]) -> Result<Option<String>, String> {
    Ok(match parse(bytes)?.found() {
        Found::Schema(RegisteredSchema::Avro { text, .. }) | Found::Refers(text, _) => Some(text),
        Found::Schema(_) | Found::Nothing(_) | Found::Refused => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Found, judge, judge_content};
    use crate::codec::source::RegisteredSchema;
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
        assert!(is_nothing(200, r#"{"schema":"{}","schemaType":"XSD"}"#));
        let avro = |text: &str| {
            let references = Vec::new();
            Ok(Found::Schema(RegisteredSchema::Avro { text: text.to_owned(), references }))
        };
        assert_eq!(judged(200, r#"{"schema":"\"int\"","references":[]}"#), avro("\"int\""));
        assert_eq!(judged(200, r#"{"schema":"broken","schemaType":"AVRO"}"#), avro("broken"));
        let refers =
            r#"{"schema":"\"A\"","references":[{"name":"A","subject":"a/b","version":2}]}"#;
        let Ok(Found::Refers(text, references)) = judged(200, refers) else { panic!() };
        assert_eq!((text.as_str(), references.len()), ("\"A\"", 1));
        assert_eq!(references[0].path(), "subjects/a%2Fb/versions/2");
        for (kind, schema) in
            [("JSON", RegisteredSchema::Json), ("PROTOBUF", RegisteredSchema::Protobuf)]
        {
            let body = format!(r#"{{"schema":"whatever","schemaType":"{kind}"}}"#);
            assert_eq!(judged(200, &body), Ok(Found::Schema(schema)));
        }
    }

    #[test]
    fn the_type_of_a_schema_in_apicurios_own_answer_is_recognised_by_its_content() {
        let judged = |status, body: &str| {
            judge_content(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        let kind = |body: &str| judged(200, body).unwrap().unwrap();
        assert_eq!(kind(r#"{"type":"object","properties":{}}"#), RegisteredSchema::Json);
        assert_eq!(kind("syntax = \"proto3\";"), RegisteredSchema::Protobuf);
        for avro in [r#"{"type":"record","name":"F","fields":[]}"#, "\"string\""] {
            assert!(matches!(kind(avro), RegisteredSchema::Avro { .. }), "{avro}");
        }
        let missing = r#"{"error_code":404,"message":"No artifact with ID '7'"}"#;
        assert_eq!(judged(404, missing), Ok(None));
        for (status, body) in [(404, "<html>"), (404, ""), (503, missing), (401, "")] {
            assert!(judged(status, body).is_err(), "{status} {body}");
        }
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
