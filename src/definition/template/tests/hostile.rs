//! Unusual values (halves of surrogate pairs, a megabyte, broken JSON text) and templates made to be slow.

use super::super::{BodyTemplate, HeaderTemplate, Language, Need, Tokens, UrlTemplate, Values};
use super::{Given, given};

/// Renders a template around `$flow.key.a` as JSON, XML, form, URL and header.
fn rendered(values: &dyn Values) -> [String; 5] {
    let tokens = Tokens::new();
    let mut outs = [const { Vec::new() }; 5];
    let [json, xml, form, url, header] = &mut outs;
    let template =
        BodyTemplate::parse(Language::Json, r#"["$flow.key.a.","$flow.key.a"]"#, &tokens, &|_| {
            true
        })
        .unwrap();
    template.render(values, json).unwrap();
    let text = "<r b='$flow.key.a'>$flow.key.a<![CDATA[$flow.key.a]]></r>";
    BodyTemplate::parse(Language::Xml, text, &tokens, &|_| true)
        .unwrap()
        .render(values, xml)
        .unwrap();
    BodyTemplate::parse(Language::Form, "a=$flow.key.a", &tokens, &|_| true)
        .unwrap()
        .render(values, form)
        .unwrap();
    let template =
        UrlTemplate::parse("https://h/$flow.key.a", &tokens, &|_| Need::Mandatory).unwrap();
    template.render(&[], values, url).unwrap();
    let template = HeaderTemplate::parse("x", "$flow.key.a", true, &tokens).unwrap();
    template.render(values, header).unwrap();
    outs.map(|out| String::from_utf8(out).unwrap())
}

#[test]
fn half_a_surrogate_pair_is_copied_in_json_and_replaced_elsewhere() {
    for half in ["\\ud800", "\\udc00x", "\\ud83d\\n", "\\ud83d\\ud83d\\ude00", "\\uD83D\\u0041"] {
        let [json, xml, form, url, header] = rendered(&given(&[("a", &format!("\"{half}\""))]));
        assert_eq!(json, format!("[\"{half}.\",\"{half}\"]"));
        let text =
            half.replace("\\ud83d\\ude00", "😀").replace("\\n", "\n").replace("\\u0041", "A");
        let text = ["\\ud800", "\\udc00", "\\ud83d", "\\uD83D"]
            .iter()
            .fold(text, |text, half| text.replace(half, "\u{fffd}"));
        let document = roxmltree::Document::parse(&xml).unwrap();
        assert_eq!(document.root_element().attribute("b"), Some(&*text));
        assert_eq!(document.root_element().text(), Some(&*text.repeat(2)));
        let pair = ::url::form_urlencoded::parse(form.as_bytes()).next().unwrap();
        assert_eq!(pair.1, text);
        assert!(url.contains("%EF%BF%BD") && header.contains('\u{fffd}'));
    }
}

#[test]
fn a_value_of_a_megabyte_is_rendered_exactly() {
    let text = "a\"\\\u{0}é😀]]>&<\r\n%/".repeat((1 << 20) / 20);
    let [json, xml, form, url, _] =
        rendered(&given(&[("a", &serde_json::to_string(&text).unwrap())]));
    let [_, read]: [String; 2] = serde_json::from_str(&json).unwrap();
    assert!(read == text);
    let held = text.replace('\0', "\u{fffd}");
    let document = roxmltree::Document::parse(&xml).unwrap();
    assert!(document.root_element().attribute("b") == Some(&held));
    assert!(document.root_element().text() == Some(&held.repeat(2)));
    assert!(::url::form_urlencoded::parse(form.as_bytes()).next().unwrap().1 == text);
    let url = ::url::Url::parse(&url).unwrap();
    let path = percent_encoding::percent_decode_str(url.path()).decode_utf8().unwrap().into_owned();
    assert!(path.strip_prefix('/') == Some(&text));
}

#[test]
fn values_that_are_not_json_cause_no_panic() {
    for json in [
        "\"",
        "\"\\",
        "\"\\\"",
        "\"\\u",
        "\"\\u12\"",
        "\"\\ud83d\\u\"",
        "\"a",
        "x",
        "\"\\é\"",
        "\"\\u+123\"",
        "\"\\u00é\"",
    ] {
        let _ = rendered(&given(&[("a", json)]));
    }
}

#[test]
fn templates_made_to_be_slow_take_bounded_time() {
    let start = std::time::Instant::now();
    let tokens = super::tokens();
    for unit in [
        "$flow.key.a",
        "%ani%",
        "%zzzz%",
        "$",
        "%",
        "%%",
        "$$",
        "$flow.",
        "/",
        "&",
        "/$call.a",
        "[",
        "\"",
        "<a>",
        "<",
        "<!--",
        "<a b='",
        "<a ",
        "<?",
        " b='$call.a'",
        "<![CDATA[$call.a>",
        "[$call.a,",
        "{\"a\":",
        "&$call.a=$call.b",
        "</a>",
        "\n",
        "é",
        "\\",
    ] {
        let text = unit.repeat(super::super::TEXT_BYTES_MAX / unit.len() - 10);
        let none = Given::default();
        let mut out = Vec::new();
        for text in [
            text.clone(),
            format!("[\"{text}\"]"),
            format!("<a>{text}</a>"),
            format!("<a b='{text}'/>"),
            format!("https://h/{text}"),
        ] {
            if let Ok(template) = BodyTemplate::parse(Language::Json, &text, &tokens, &|_| false) {
                template.render(&none, &mut out).unwrap();
            }
            if let Ok(template) = BodyTemplate::parse(Language::Xml, &text, &tokens, &|_| false) {
                template.render(&none, &mut out).unwrap();
            }
            if let Ok(template) = BodyTemplate::parse(Language::Form, &text, &tokens, &|_| false) {
                template.render(&none, &mut out).unwrap();
            }
            let template = UrlTemplate::parse(&text, &tokens, &|_| Need::Optional);
            drop(template.map(|template| template.render(&[], &none, &mut out)));
            drop(
                HeaderTemplate::parse("x", &text, false, &tokens)
                    .map(|template| template.render(&none, &mut out)),
            );
        }
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
