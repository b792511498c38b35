//! Templates of customers, and the values that are inserted.

use super::{seen, split};
use crate::target::{Seen, Target};
use ringback::definition::template::{
    BodyTemplate, HeaderTemplate, Language, Need, QueryTemplate, Tokens, UrlTemplate, Values,
    Variable,
};
use serde_json::value::RawValue;
use std::borrow::Cow;

const WORDS: &[&str] = &[
    "$flow.key.a",
    "$sms.cost.amount",
    "$$flow.key.a",
    "${flow.key.a b}",
    "${sms.a-b",
    "$${",
    "\\}",
    "%ani%",
    "%start:local%",
    "%place%",
    "%question%",
    "%prompt_responses%",
    "%tags%",
    "%%ani%%",
    "%41",
    "$flows.key.a",
    "\\ud800",
    "]]>",
    "<![CDATA[",
    "<!DOCTYPE",
    "xmlns:p='u'",
    "&amp;",
    "\r\n",
    "..",
    "%2e",
    "?",
    "#",
    "\u{202e}",
    "\u{1f4de}",
];

/// One JSON value for all variables, except that `none` has no value.
struct One<'a>(&'a str);

/// The value of structures: prompts, or anything else.
const PROMPTS: &str = r#"[{"question":"q<","a b":[1,{"":null}]},{}]"#;

impl Values for One<'_> {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        match variable.name() {
            "none" => None,
            "prompt_responses" | "tags" if self.0.len().is_multiple_of(2) => Some(PROMPTS.into()),
            _ => Some(Cow::Borrowed(self.0)),
        }
    }
}

/// Returns the template's text and the JSON text of a value.
fn parts(input: &[u8]) -> (String, String) {
    let (text, value) = split(input);
    let value = serde_json::to_string(&String::from_utf8_lossy(value));
    (String::from_utf8_lossy(text).into_owned(), value.expect("text is JSON"))
}

fn tokens() -> Tokens {
    let known = ringback::definition::catalogue::tokens();
    let names = [
        ("ani", "ani"),
        ("start", "call_start_time"),
        ("question", "question"),
        ("prompt_responses", "prompt_responses"),
        ("tags", "tags"),
    ];
    let mut tokens: Tokens =
        names.into_iter().map(|(name, meant)| (name.to_owned(), known[meant].clone())).collect();
    tokens.insert("place".to_owned(), known["ani"].clone().with_constant("\"<&\\\"\""));
    tokens
}

macro_rules! seeds {
    ($($text:literal),+ $(,)?) => {
        || [$($text),+].map(|text| text.as_bytes().to_vec()).to_vec()
    };
}

pub(super) const JSON: Target = Target {
    name: "json-template",
    run: json,
    seeds: seeds![
        "{\"a\": \"x $flow.key.a\", \"b\": $sms.cost.amount, \"c\": [\"%ani%\", $flow.key.none]}\n\nv\"\\\n",
        "[1, {\"$flow.key.a\": null}]\n\n</x>",
        "{\"${flow.key.a-b}\": [{\"q\": \"%question%\", \"p\": \"%place%\"}, \"%start:local%\"]}\n\nv",
    ],
    words: WORDS,
    bytes_per_byte: 256,
};

pub(super) const XML: Target = Target {
    name: "xml-template",
    run: xml,
    seeds: seeds![
        "<a><t>%tags%</t>${flow.key.a>b}%prompt_responses%</a>\n\nx",
        "<a b='$flow.key.a' c=\"%ani%\">x $sms.id<d>$flow.key.none</d><![CDATA[$flow.key.a]]></a>\n\n]]>&<",
    ],
    words: WORDS,
    bytes_per_byte: 1024,
};

pub(super) const FORM: Target = Target {
    name: "form-template",
    run: form,
    seeds: seeds!["a=$flow.key.a&b=x+%41 %ani%&c=$flow.key.none\n\na&b=c%"],
    words: WORDS,
    bytes_per_byte: 256,
};

pub(super) const MULTIPART: Target = Target {
    name: "multipart-template",
    run: multipart,
    seeds: seeds![
        "a=$flow.key.a&b+%41=x %ani%&c=$flow.key.none&${flow.key.n \\}}=1\n\n\r\n--ringback-\"",
    ],
    words: WORDS,
    bytes_per_byte: 1024,
};

pub(super) const URL: Target = Target {
    name: "url-template",
    run: url,
    seeds: seeds!["https://a.example/x/$flow.key.a?b=%ani%&c=$flow.key.none\n\n../?#"],
    words: WORDS,
    bytes_per_byte: 1024,
};

fn json(input: &[u8]) -> Seen {
    let (text, value) = parts(input);
    let template = match BodyTemplate::parse(Language::Json, &text, &tokens(), &|_| false) {
        Ok(template) => template,
        Err(faults) => return seen(faults),
    };
    let mut out = Vec::new();
    template.render(&One(&value), &mut out).expect("nothing is mandatory");
    serde_json::from_slice::<&RawValue>(&out).expect("the output is JSON");
    seen(out)
}

fn xml(input: &[u8]) -> Seen {
    let (text, value) = parts(input);
    let template = match BodyTemplate::parse(Language::Xml, &text, &tokens(), &|_| false) {
        Ok(template) => template,
        Err(faults) => return seen(faults),
    };
    let mut out = Vec::new();
    template.render(&One(&value), &mut out).expect("nothing is mandatory");
    roxmltree::Document::parse(std::str::from_utf8(&out).expect("UTF-8"))
        .expect("the output is XML");
    seen(out)
}

fn form(input: &[u8]) -> Seen {
    let (text, value) = parts(input);
    let template = match BodyTemplate::parse(Language::Form, &text, &tokens(), &|_| false) {
        Ok(template) => template,
        Err(faults) => return seen(faults),
    };
    let mut out = Vec::new();
    template.render(&One(&value), &mut out).expect("nothing is mandatory");
    assert!(out.iter().all(|byte| byte.is_ascii_graphic()), "{}", String::from_utf8_lossy(&out));
    seen(out)
}

/// No value may end its part, and no name its quotes.
fn multipart(input: &[u8]) -> Seen {
    let (text, value) = parts(input);
    let template = match BodyTemplate::parse(Language::Multipart, &text, &tokens(), &|_| false) {
        Ok(template) => template,
        Err(faults) => return seen(faults),
    };
    let mut out = Vec::new();
    template.render(&One(&value), &mut out).expect("nothing is mandatory");
    let content_type = template.content_type_of(&out).into_owned();
    let boundary = content_type.split_once("boundary=").expect("a boundary").1;
    let body = String::from_utf8(out).expect("UTF-8");
    let parts = body.strip_suffix(&format!("--{boundary}--\r\n")).expect("an end");
    for part in parts.split(&format!("--{boundary}\r\n")).skip(1) {
        let (head, _) = part.split_once("\r\n\r\n").expect("a head");
        let name = head.strip_prefix("Content-Disposition: form-data; name=\"").expect("a name");
        let name = name.strip_suffix('"').expect("a quote");
        assert!(!name.contains(['"', '\r', '\n']), "{name}");
    }
    seen(body)
}

/// No value may change the origin of the customer's URL. The text is used as a header and as a query entry too.
fn url(input: &[u8]) -> Seen {
    let (text, value) = parts(input);
    let query = QueryTemplate::parse("q", &text, false, &tokens());
    let header = HeaderTemplate::parse("x-a", &text, false, &tokens());
    let mut written = Vec::new();
    if let Ok(header) = &header
        && header.render(&One(&value), &mut written).expect("the header is optional")
    {
        http::HeaderValue::from_bytes(&written).expect("a header's value");
    }
    let template = match UrlTemplate::parse(&text, &tokens(), &|_| Need::Optional) {
        Ok(template) => template,
        Err(faults) => return seen((faults, query.is_ok(), written)),
    };
    let mut out = Vec::new();
    let queries: Vec<QueryTemplate> = query.into_iter().collect();
    if template.render(&queries, &One(&value), &mut out).is_err() {
        return seen((value, written));
    }
    let rendered = url::Url::parse(std::str::from_utf8(&out).expect("UTF-8")).expect("a URL");
    let base = url::Url::parse(template.base()).expect("a URL");
    assert_eq!(rendered.origin(), base.origin(), "{rendered}");
    seen((out, written))
}
