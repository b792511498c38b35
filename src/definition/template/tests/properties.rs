//! For any values the result has the template's structure and contains the values exactly.

use super::super::{
    BodyTemplate, HeaderTemplate, Language, Need, Tokens, Unrenderable, UrlTemplate,
};
use super::generated::{NAMES, TextPart, left_out, meant, parts, spelt, values};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// A JSON template.
#[derive(Clone, Debug)]
enum Json {
    Bare(usize),
    Text(Vec<TextPart>),
    Fixed(&'static str),
    Array(Vec<Self>),
    Object(Vec<(Vec<TextPart>, Self)>),
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        (0..NAMES.len()).prop_map(Json::Bare),
        parts(&[" x ", "{", "[", ",", ":", "é", " 100% "]).prop_map(Json::Text),
        proptest::sample::select(&["1.50", "null", "true", "{}", "[]"]).prop_map(Json::Fixed),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let member = (parts(&["-x", "{"]), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Json::Array),
            prop::collection::vec(member, 0..6).prop_map(Json::Object),
        ]
    })
}

impl Json {
    fn spell(&self) -> String {
        match self {
            Self::Bare(index) => format!(" $flow.key.{}\n", NAMES[*index]),
            Self::Text(parts) => format!("\"{}\"", spelt(parts)),
            Self::Fixed(text) => (*text).to_owned(),
            Self::Array(items) => {
                format!("[{}]", items.iter().map(Self::spell).collect::<Vec<_>>().join(" ,"))
            }
            Self::Object(members) => {
                // A number keeps the names different.
                let members = members.iter().enumerate().map(|(index, (name, value))| {
                    format!("\"{index}{}\" : {}", spelt(name), value.spell())
                });
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn mean(&self, values: &[Option<Value>]) -> Option<Value> {
        match self {
            Self::Bare(index) => values[*index].clone(),
            Self::Text(parts) if left_out(parts, values) => None,
            Self::Text(parts) => Some(meant(parts, values).into()),
            Self::Fixed(text) => Some(serde_json::from_str(text).unwrap()),
            Self::Array(items) => Some(items.iter().filter_map(|item| item.mean(values)).collect()),
            Self::Object(members) => {
                let members = members.iter().enumerate().filter_map(|(index, (name, value))| {
                    Some((format!("{index}{}", meant(name, values)), value.mean(values)?))
                });
                Some(Value::Object(members.collect::<Map<_, _>>()))
            }
        }
    }
}

/// Replaces the characters that XML 1.0 can't contain.
fn held(text: &str) -> String {
    let is_held = |found: char| {
        matches!(found, '\t' | '\n' | '\r')
            || found >= ' ' && !matches!(found, '\u{fffe}' | '\u{ffff}')
    };
    text.chars().map(|found| if is_held(found) { found } else { '\u{fffd}' }).collect()
}

fn run(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(run(4000))]

    #[test]
    fn json_contains_the_values_exactly(template in json(), (values, given) in values()) {
        let parsed = BodyTemplate::parse(Language::Json, &template.spell(), &Tokens::new(), &|_| false).unwrap();
        let mut out = Vec::new();
        parsed.render(&given, &mut out).unwrap();
        let read: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(read, template.mean(&values).unwrap_or(Value::Null));
    }

    #[test]
    fn xml_contains_the_values_exactly(
        attribute in parts(&["-x ", "&amp;", "]]", ">"]),
        text in parts(&["-x ", "&lt;", "]] ", "> "]),
        cdata in parts(&["-x ", "&", "]", ">", "<"]).prop_filter("CDATA", |parts| !spelt(parts).contains("]]>")),
        (values, given) in values(),
    ) {
        let template = format!(
            "<r><a b=\"{}\" c='{0}'/><t>{}</t><d><![CDATA[{}]]></d></r>",
            spelt(&attribute), spelt(&text), spelt(&cdata),
        );
        let parsed = BodyTemplate::parse(Language::Xml, &template, &Tokens::new(), &|_| false).unwrap();
        let mut out = Vec::new();
        parsed.render(&given, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let document = roxmltree::Document::parse(&out).unwrap();
        let element = |name: &str| document.descendants().find(|node| node.has_tag_name(name));
        let held = |parts: &[TextPart]| {
            let parts: Vec<_> = parts.iter().map(|part| match part {
                TextPart::Text(text) => TextPart::Text(text.replace("&amp;", "&").replace("&lt;", "<")),
                TextPart::Variable(index) => TextPart::Variable(*index),
            }).collect();
            (!left_out(&parts, &values)).then(|| held(&meant(&parts, &values)))
        };
        for name in ["b", "c"] {
            let found = element("a").unwrap().attribute(name).map(str::to_owned);
            prop_assert_eq!(found, held(&attribute), "{}", out);
        }
        let text_of = |name| element(name).map(|node| node.text().unwrap_or_default().to_owned());
        prop_assert_eq!(text_of("t"), held(&text), "{}", out);
        let cdata: Vec<_> = cdata.into_iter().map(|part| match part {
            TextPart::Text(text) => TextPart::Text(text.replace('&', "&amp;").replace('<', "&lt;")),
            variable @ TextPart::Variable(_) => variable,
        }).collect();
        prop_assert_eq!(text_of("d"), held(&cdata), "{}", out);
    }

    #[test]
    fn forms_contain_the_values_exactly(
        pairs in prop::collection::vec((parts(&["-x", ":"]), parts(&["-x", " ", "=", "é", "% "])), 0..5),
        (values, given) in values(),
    ) {
        let spelt: Vec<_> = pairs.iter().enumerate()
            .map(|(index, (name, value))| format!("{index}{}={}", spelt(name), spelt(value))).collect();
        let template = BodyTemplate::parse(Language::Form, &spelt.join("&"), &Tokens::new(), &|_| false).unwrap();
        let mut out = Vec::new();
        template.render(&given, &mut out).unwrap();
        let read: Vec<_> = ::url::form_urlencoded::parse(&out).into_owned().collect();
        let expected: Vec<_> = pairs.iter().enumerate()
            .filter(|(_, (_, value))| !left_out(value, &values))
            .map(|(index, (name, value))| (format!("{index}{}", meant(name, &values)), meant(value, &values)))
            .collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn urls_contain_the_values_exactly(
        path in prop::collection::vec(parts(&["-x", ".", "é", "%-"]), 1..4),
        pairs in prop::collection::vec(parts(&["-x", "- -", "=", "é", "/?"]), 0..4),
        (values, given) in values(),
    ) {
        let segments: Vec<_> = path.iter().map(|parts| spelt(parts)).collect();
        let spelt_pairs: Vec<_> = pairs.iter().enumerate()
            .map(|(index, value)| format!("{index}={}", spelt(value))).collect();
        let text = format!("https://u@h.example:1/{}?{}", segments.join("/"), spelt_pairs.join("&"));
        let parsed = UrlTemplate::parse(&text, &Tokens::new(), &|_| Need::Optional);
        let steps = |segment: &str| matches!(segment, "." | "..");
        if segments.iter().any(|segment| steps(segment)) {
            prop_assert!(parsed.is_err());
            return Ok(());
        }
        let mut out = Vec::new();
        let rendered = parsed.unwrap().render(&[], &given, &mut out);
        let meant_path: Vec<_> = path.iter().map(|parts| meant(parts, &values)).collect();
        if meant_path.iter().any(|segment| steps(segment)) {
            let refused = matches!(rendered, Err(Unrenderable::DotSegment { .. }));
            prop_assert!(refused);
            return Ok(());
        }
        prop_assert_eq!(rendered, Ok(()));
        let out = String::from_utf8(out).unwrap();
        let url = ::url::Url::parse(&out).unwrap();
        prop_assert_eq!(url.as_str(), &out);
        prop_assert_eq!(url.authority(), "u@h.example:1");
        let read_path: Vec<_> = url.path_segments().unwrap()
            .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8().unwrap().into_owned())
            .collect();
        prop_assert_eq!(read_path, meant_path);
        let read: Vec<_> = url.query_pairs().into_owned().collect();
        let expected: Vec<_> = pairs.iter().enumerate()
            .filter(|(_, value)| !left_out(value, &values))
            .map(|(index, value)| (index.to_string(), meant(value, &values)))
            .collect();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(url.query().is_some(), url.query_pairs().count() > 0);
    }

    #[test]
    fn headers_are_always_valid(parts in parts(&["-x", " ", "é", "\r\n"]), (values, given) in values()) {
        let template = HeaderTemplate::parse("x", &spelt(&parts), false, &Tokens::new()).unwrap();
        let mut out = Vec::new();
        if template.render(&given, &mut out).unwrap() {
            let spaced: String =
                meant(&parts, &values).chars().map(|found| if found.is_control() { ' ' } else { found }).collect();
            prop_assert_eq!(String::from_utf8(out.clone()).unwrap(), spaced.trim_matches(' '));
            prop_assert!(http::HeaderValue::from_bytes(&out).is_ok());
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[$%{}\\[\\]<>&\"'=:,./?#! a-z\\\\flowkeysmani0-9\r\n-]{0,80}") {
        let tokens = super::tokens();
        let all = super::given(&[]);
        if let Ok(template) = BodyTemplate::parse(Language::Json, &text, &tokens, &|_| false) {
            let mut out = Vec::new();
            template.render(&all, &mut out).unwrap();
            serde_json::from_slice::<Value>(&out).unwrap();
        }
        if let Ok(template) = BodyTemplate::parse(Language::Xml, &text, &tokens, &|_| false) {
            let mut out = Vec::new();
            template.render(&all, &mut out).unwrap();
            roxmltree::Document::parse(std::str::from_utf8(&out).unwrap()).unwrap();
        }
        if let Ok(template) = UrlTemplate::parse(&format!("https://h/{text}"), &tokens, &|_| Need::Optional) {
            let mut out = Vec::new();
            if template.render(&[], &all, &mut out).is_ok() {
                let out = String::from_utf8(out).unwrap();
                let url = ::url::Url::parse(&out).unwrap();
                prop_assert_eq!(url.as_str(), out);
            }
        }
        let _ = BodyTemplate::parse(Language::Form, &text, &tokens, &|_| false);
    }
}
