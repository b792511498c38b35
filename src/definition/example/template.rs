//! Makes a template from an example of a body.

use super::definition::push_string;
use super::fields::{Field, Writer};
use super::name::PathSegment;
use super::{ExampleFault, LEAVES_MAX, is_unseen};
use crate::definition::mapping::xml;
use crate::definition::template::{BodyTemplate, Language, Tokens};
use crate::json::TextFault;
use crate::json::walk::{self, Begins, Cursor};
use roxmltree::Node;
use serde_json::Value as Json;
use url::form_urlencoded;

/// A template that was made from an example.
#[derive(Debug)]
pub struct Made {
    pub language: Language,
    /// The text, with a token in the place of each value.
    pub text: String,
    /// The fields in the order of the text.
    pub fields: Vec<Field>,
}

/// Makes a template from `bytes`: JSON, XML, or a form. The first character distinguishes them.
///
/// # Errors
///
/// The example is none of them, or a template can't contain it. The error contains the place.
pub fn template(bytes: &[u8]) -> Result<Made, ExampleFault> {
    let begins = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let mut writer = Writer::default();
    let language = match begins.first() {
        Some(b'<') => {
            of_xml(&mut writer, bytes)?;
            Language::Xml
        }
        Some(b'{' | b'[' | b'"') | None => {
            of_json(&mut writer, bytes)?;
            Language::Json
        }
        Some(_) if begins.contains(&b'=') => {
            of_form(&mut writer, bytes)?;
            Language::Form
        }
        Some(_) => {
            of_json(&mut writer, bytes)?;
            Language::Json
        }
    };
    let Writer { text, fields, .. } = writer;
    if fields.len() > LEAVES_MAX {
        return Err(TextFault::at(bytes, 0, "more than 10,000 values"));
    }
    Ok(Made { language, text, fields })
}

impl Made {
    /// Checks that the template can be loaded with its fields. Returns the first fault, for people.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let mut tokens = crate::definition::catalogue::tokens().clone();
        let variable = |field: &Field| field.source.parse().ok();
        let own: Tokens = self
            .fields
            .iter()
            .filter_map(|field| Some((field.token.clone(), variable(field)?)))
            .collect();
        tokens.extend(own);
        let parsed = BodyTemplate::parse(self.language, &self.text, &tokens, &|_| false);
        parsed.err()?.first().map(ToString::to_string)
    }

    /// Writes a `[[template]]` of the accounts file.
    #[must_use]
    pub fn definition(&self, name: &str) -> String {
        let kind = self.language.word();
        let mut out = String::from("[[template]]\nname = ");
        push_string(&mut out, name);
        out.push_str(&format!("\ntype = \"{kind}\"\nformat = "));
        push_text(&mut out, &self.text);
        if self.fields.is_empty() {
            return out + "\n";
        }
        out.push_str("\n\n# The value of each field: a variable, a token (`ringback webhook tokens`), or { value = \"…\" }.\n");
        out.push_str("[template.tokens]\n");
        for Field { token, source, sample } in &self.fields {
            out.push_str(&format!("{token} = "));
            push_string(&mut out, source);
            out.push_str(&format!(" # {sample}\n"));
        }
        out
    }
}

/// Writes `text` over several lines if it has several, and without escapes if that is possible.
fn push_text(out: &mut String, text: &str) {
    let is_plain = |letter: char| letter == '\n' || letter == '\t' || !is_unseen(letter);
    if text.chars().all(is_plain) && !text.contains("'''") && !text.ends_with('\'') {
        out.push_str("'''\n");
        out.push_str(text);
        out.push_str("'''");
    } else {
        push_string(out, text);
    }
}

fn of_json(writer: &mut Writer, bytes: &[u8]) -> Result<(), TextFault> {
    let text = walk::check(bytes)?;
    let mut at = 0;
    json_value(writer, &mut Cursor::new(text), text, &mut at, &mut Vec::new())?;
    writer.literal(text.get(at..).unwrap_or_default());
    Ok(())
}

/// Writes the value at the cursor. The text before `at` is written. The cursor's limit of depth bounds the recursion.
fn json_value(
    writer: &mut Writer,
    cursor: &mut Cursor<'_>,
    text: &str,
    at: &mut usize,
    parts: &mut Vec<PathSegment>,
) -> Result<(), TextFault> {
    match cursor.begins() {
        Begins::Object => cursor.object(|cursor, name| {
            let name = walk::decode(name).unwrap_or_default().into_owned();
            parts.push(PathSegment::Name(name));
            let written = json_value(writer, cursor, text, at, parts);
            parts.pop();
            written
        }),
        Begins::Array => cursor.array(|cursor, index| {
            parts.push(PathSegment::Index(index));
            let written = json_value(writer, cursor, text, at, parts);
            parts.pop();
            written
        }),
        Begins::Scalar => {
            let start = cursor.at();
            cursor.skip_value()?;
            let value = cursor.since(start);
            writer.literal(text.get(*at..start).unwrap_or_default());
            let quote = if value.starts_with('"') { "\"" } else { "" };
            writer.text.push_str(quote);
            writer.field(parts, value);
            writer.text.push_str(quote);
            *at = cursor.at();
            Ok(())
        }
    }
}

fn of_form(writer: &mut Writer, bytes: &[u8]) -> Result<(), TextFault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| TextFault::at(bytes, error.valid_up_to(), "not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    for (index, pair) in text.split('&').enumerate() {
        writer.literal(if index == 0 { "" } else { "&" });
        let Some((name, _)) = pair.split_once('=') else {
            writer.literal(pair);
            continue;
        };
        writer.literal(name);
        writer.text.push('=');
        let (name, value) = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
        writer.field(&[PathSegment::Name(name.into_owned())], &Json::from(&*value).to_string());
    }
    Ok(())
}

fn of_xml(writer: &mut Writer, bytes: &[u8]) -> Result<(), TextFault> {
    let text = xml::decode(bytes)?;
    let document = xml::parse(&text)?;
    let mut at = 0;
    element(writer, document.root_element(), &text, &mut at, &mut Vec::new());
    writer.literal(text.get(at..).unwrap_or_default());
    Ok(())
}

/// Writes an element. The text before `at` is written. The parser's limit of depth bounds the recursion.
fn element(
    writer: &mut Writer,
    element: Node<'_, '_>,
    text: &str,
    at: &mut usize,
    parts: &mut Vec<PathSegment>,
) {
    parts.push(PathSegment::Name(element.tag_name().name().to_owned()));
    for attribute in element.attributes() {
        let range = attribute.range_value();
        writer.literal(text.get(*at..range.start).unwrap_or_default());
        parts.push(PathSegment::Name(attribute.name().to_owned()));
        writer.field(parts, &Json::from(attribute.value()).to_string());
        parts.pop();
        *at = range.end;
    }
    if element.children().any(|child| child.is_element()) {
        for child in element.children() {
            if child.is_element() {
                self::element(writer, child, text, at, parts);
            } else if child.text().is_some_and(|text| child.is_text() && !text.trim().is_empty()) {
                writer.literal(text.get(*at..child.range().start).unwrap_or_default());
                writer.field(parts, &Json::from(child.text().unwrap_or_default()).to_string());
                *at = child.range().end;
            }
        }
    } else {
        leaf(writer, element, text, at, parts);
    }
    parts.pop();
}

/// Writes an element without child elements. One with attributes only stays empty.
fn leaf(
    writer: &mut Writer,
    element: Node<'_, '_>,
    text: &str,
    at: &mut usize,
    parts: &[PathSegment],
) {
    let texts = element.children().filter(Node::is_text).filter_map(|child| child.text());
    let content: String = texts.collect();
    if content.is_empty() && element.attributes().len() > 0 {
        return;
    }
    let range = element.range();
    let spelt = text.get(range.clone()).unwrap_or_default();
    let begun = tag_end(spelt);
    let value = Json::from(content).to_string();
    if let Some(tag) = spelt.strip_suffix("/>").filter(|_| begun == spelt.len()) {
        writer.literal(text.get(*at..range.start + tag.len()).unwrap_or_default().trim_end());
        let name = tag.get(1..).unwrap_or_default().split_ascii_whitespace().next();
        writer.text.push('>');
        writer.field(parts, &value);
        writer.text.push_str("</");
        writer.literal(name.unwrap_or_default());
        writer.text.push('>');
        *at = range.end;
    } else {
        writer.literal(text.get(*at..range.start + begun).unwrap_or_default());
        writer.field(parts, &value);
        *at = range.start + spelt.rfind("</").unwrap_or(spelt.len());
    }
}

/// Returns the byte behind the start tag of an element. Attribute values may contain `>`.
fn tag_end(element: &str) -> usize {
    let mut quote = None;
    for (at, letter) in element.char_indices() {
        match (quote, letter) {
            (None, '>') => return at + 1,
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
    }
    element.len()
}
