//! MongoDB's Extended JSON as plain JSON: `{"$numberLong":"28"}` becomes `28`, `{"$oid":"…"}` becomes `"…"`, and
//! `{"$date":1697696721042}` becomes RFC 3339. The document's `_id` is the `id` if it has no other.

use super::{Bad, json_fault};
use crate::codec::event::rfc3339;
use crate::domain::Timestamp;
use crate::json;
use crate::json::TextFault;
use crate::json::scan::{self, ValueKind};
use crate::json::walk::{Begins, Cursor};

/// Returns the JSON object `document`, which may be in Extended JSON, as plain JSON.
pub(super) fn simplified(document: &[u8]) -> Result<Vec<u8>, Bad> {
    let [id] = scan::members(document, &["id"]).map_err(json_fault)?;
    let rename = id.is_none_or(|id| id.kind == ValueKind::Null);
    let text = std::str::from_utf8(document).unwrap_or_default();
    let mut out = Vec::with_capacity(text.len());
    value(&mut Cursor::new(text), rename, &mut out)
        .map_err(|_| Bad::undecodable("the document in the change event is nested too deep"))?;
    Ok(out)
}

/// Writes the value at the cursor. `rename`: its `_id` becomes `id`.
fn value(cursor: &mut Cursor<'_>, rename: bool, out: &mut Vec<u8>) -> Result<(), TextFault> {
    match cursor.begins() {
        Begins::Scalar => {
            let start = cursor.at();
            cursor.skip_value()?;
            out.extend_from_slice(cursor.since(start).as_bytes());
            Ok(())
        }
        Begins::Array => {
            out.push(b'[');
            cursor.array(|cursor, index| {
                if index > 0 {
                    out.push(b',');
                }
                value(cursor, false, out)
            })?;
            out.push(b']');
            Ok(())
        }
        Begins::Object => object(cursor, rename, out),
    }
}

fn object(cursor: &mut Cursor<'_>, rename: bool, out: &mut Vec<u8>) -> Result<(), TextFault> {
    let start = out.len();
    let mut members = 0;
    let mut only = ("", 0);
    out.push(b'{');
    cursor.object(|cursor, name| {
        if rename && name == "\"id\"" {
            // It is null, and the `_id` takes its place.
            return cursor.skip_value();
        }
        if members > 0 {
            out.push(b',');
        }
        members += 1;
        let name = if rename && name == "\"_id\"" { "\"id\"" } else { name };
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        only = (name, out.len());
        value(cursor, false, out)
    })?;
    let (name, at) = only;
    if members == 1
        && let Some(plain) = plain(name, out.get(at..).unwrap_or_default())
    {
        out.truncate(start);
        out.extend_from_slice(&plain);
        return Ok(());
    }
    out.push(b'}');
    Ok(())
}

/// Returns the plain form of an object with the one member `name`, if it is a value of Extended JSON.
fn plain(name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let text = || json::read_string(value);
    match name {
        "\"$oid\"" | "\"$uuid\"" | "\"$symbol\"" => text().map(|_| value.to_vec()),
        "\"$numberLong\"" | "\"$numberInt\"" | "\"$numberDouble\"" | "\"$numberDecimal\"" => {
            // Infinity and NaN are no numbers of JSON, and stay text.
            let digits = text()?;
            let number = serde_json::from_str::<serde_json::Number>(&digits);
            Some(if number.is_ok() { digits.as_bytes().to_vec() } else { value.to_vec() })
        }
        "\"$date\"" => {
            let milliseconds = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let Some(at) = milliseconds.map(Timestamp::from_ms) else {
                return text().map(|_| value.to_vec());
            };
            let mut out = Vec::new();
            json::write_string(&mut out, &rfc3339(at));
            Some(out)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::simplified;

    #[test]
    fn extended_json_becomes_plain_json_that_keeps_its_spelling() {
        for (document, plain) in [
            (r#"{"_id":{"$oid":"65a"},"n":{"$numberLong":"28"}}"#, r#"{"id":"65a","n":28}"#),
            (r#"{"_id":1,"id":"s"}"#, r#"{"_id":1,"id":"s"}"#),
            // Blanks in front change nothing.
            (" \n{\"_id\":1,\"id\":\"s\"}", r#"{"_id":1,"id":"s"}"#),
            (" {\"_id\":1}", r#"{"id":1}"#),
            (r#"{"id":null,"_id":1}"#, r#"{"id":1}"#),
            (
                r#"{"id":"s", "a":[ {"$numberDecimal":"0.10"} ,null]}"#,
                r#"{"id":"s","a":[0.10,null]}"#,
            ),
            (
                r#"{"id":1,"d":{"$date":1697696721042}}"#,
                r#"{"id":1,"d":"2023-10-19T06:25:21.042Z"}"#,
            ),
            (
                r#"{"id":1,"d":{"$date":{"$numberLong":"1697696721042"}}}"#,
                r#"{"id":1,"d":"2023-10-19T06:25:21.042Z"}"#,
            ),
            (
                r#"{"id":1,"d":{"$date":"2023-10-19T06:25:21Z"}}"#,
                r#"{"id":1,"d":"2023-10-19T06:25:21Z"}"#,
            ),
            (r#"{"id":1,"x":{"$numberDouble":"NaN"}}"#, r#"{"id":1,"x":"NaN"}"#),
            (
                r#"{"id":1,"x":{"$other":"1"},"y":{"$oid":"a","b":1}}"#,
                r#"{"id":1,"x":{"$other":"1"},"y":{"$oid":"a","b":1}}"#,
            ),
            (r#"{"a":{"_id":1,"id":null}}"#, r#"{"a":{"_id":1,"id":null}}"#),
            (r#"{"a":{"_id":1}}"#, r#"{"a":{"_id":1}}"#),
        ] {
            let written = simplified(document.as_bytes()).unwrap();
            assert_eq!(std::str::from_utf8(&written).unwrap(), plain, "{document}");
        }
        assert!(simplified(b"{").is_err());
    }
}
