//! Arrays that are repeated for each prompt, and objects that become elements.

use super::super::{BodyTemplate, Language, Values, Variable};
use crate::definition::catalogue;
use std::borrow::Cow;

/// The value of the list of prompts and of the tags, and of the flow key `question`.
#[derive(Default)]
struct Known {
    list: Option<String>,
    question: Option<&'static str>,
}

impl Values for Known {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        match variable.name() {
            "prompt_responses" | "tags" => self.list.as_deref().map(Cow::Borrowed),
            "question" => self.question.map(Cow::Borrowed),
            "fixed" => Some("7".into()),
            _ => None,
        }
    }
}

fn rendered(language: Language, text: &str, known: &Known) -> String {
    let template = BodyTemplate::parse(language, text, catalogue::tokens(), &|_| false).unwrap();
    let mut out = Vec::new();
    template.render(known, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(text: &str, list: &str, expected: &str) {
    let known = Known { list: Some(list.to_owned()), question: None };
    assert_eq!(rendered(Language::Json, text, &known), expected, "{text}");
}

const TWO: &str =
    r#"[{"question":"q\"1","response":"1"},{"question":"q2","question_link":"l2","response":2}]"#;

#[test]
fn an_array_is_repeated_for_each_prompt() {
    let object = r#"{"a": [{"q": "%question%", "l": "%question_link%", "r": %response%, "f": $flow.key.fixed}]}"#;
    check(object, TWO, r#"{"a":[{"q":"q\"1","r":"1","f":7},{"q":"q2","l":"l2","r":2,"f":7}]}"#);
    check(object, "[]", r#"{"a":[]}"#);
    check(object, r#"{"question":"only"}"#, r#"{"a":[{"q":"only","f":7}]}"#);
    check(object, r#"[1,null,{"response":null,"question":"x"},[]]"#, r#"{"a":[{"q":"x","f":7}]}"#);
    check(r#"["%question%"]"#, TWO, r#"["q\"1","q2"]"#);
    check(r#"["%question_link%"]"#, TWO, r#"["l2"]"#);
    // Items beside each other are repeated together; others are not repeated.
    check(r#"["%question%: ", "%response%"]"#, TWO, r#"["q\"1: ","1","q2: ","2"]"#);
    check(r#"[0, {"q": "%question%"}, 9]"#, TWO, r#"[0,{"q":"q\"1"},{"q":"q2"},9]"#);
    check(r#"[0, {"q": "%question%"}, 9]"#, "[]", "[0,9]");
    check(
        r#"[{"q": "%question%"}, 9, {"r": "%response%"}]"#,
        TWO,
        r#"[{"q":"q\"1"},{"q":"q2"},9,{"r":"1"},{"r":"2"}]"#,
    );
    check(r#"[$flow.key.none, {"q": "%question%"}, $flow.key.fixed]"#, "[]", "[7]");
    // Of nested arrays, the innermost one is repeated.
    check(r#"[{"calls": [{"q": "%question%"}]}]"#, TWO, r#"[{"calls":[{"q":"q\"1"},{"q":"q2"}]}]"#);
    check(r#"[["%question%"], ["%response%"]]"#, TWO, r#"[["q\"1","q2"],["1","2"]]"#);
    check(
        r#"[{"q": "%question%", "r": ["%response%"]}]"#,
        TWO,
        r#"[{"q":"q\"1","r":["1"]},{"q":"q2","r":["2"]}]"#,
    );
}

#[test]
fn flow_keys_describe_one_prompt_if_there_is_no_list() {
    let text = r#"{"a": [{"q": "%question%", "r": "%response%"}]}"#;
    let one = Known { list: None, question: Some("\"q\"") };
    assert_eq!(rendered(Language::Json, text, &one), r#"{"a":[{"q":"q"}]}"#);
    assert_eq!(rendered(Language::Json, text, &Known::default()), r#"{"a":[]}"#);
    // Outside of arrays nothing is repeated.
    let text = r#"{"q": "%question%"}"#;
    let both = Known { list: Some(TWO.to_owned()), question: Some("\"q\"") };
    assert_eq!(rendered(Language::Json, text, &both), r#"{"q":"q"}"#);
}

#[test]
fn repeated_items_end_at_a_limit() {
    let many = format!("[{}{{}}]", "{},".repeat(100_000));
    let text = format!("[{{\"q\": \"%question%\", \"x\": \"{}\"}}]", "x".repeat(200_000));
    let known = Known { list: Some(many), question: None };
    let out = rendered(Language::Json, &text, &known);
    assert!(((8 << 20)..(9 << 20)).contains(&out.len()), "{}", out.len());
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
}

#[test]
fn the_arrays_of_a_body_share_the_limit() {
    let many = format!("[{}{{}}]", "{},".repeat(200));
    let item = |letter: &str| {
        format!("[{{\"q\": \"%question%\", \"x\": \"{}\"}}]", letter.repeat(100_000))
    };
    let text = format!("{{\"a\": {}, \"b\": {}}}", item("x"), item("y"));
    let known = Known { list: Some(many), question: None };
    let out = rendered(Language::Json, &text, &known);
    assert!(((8 << 20)..(9 << 20)).contains(&out.len()), "{}", out.len());
    assert!(out.ends_with("\"b\":[]}"), "the first array takes all of it");
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
}

#[test]
fn tags_and_prompts_become_elements() {
    let xml = |text: &str, list: &str| {
        let known = Known { list: Some(list.to_owned()), question: None };
        let out = rendered(Language::Xml, text, &known);
        roxmltree::Document::parse(&out).unwrap();
        out
    };
    assert_eq!(
        xml(
            "<a><tags>%tags%</tags></a>",
            r#"{"Region":"south & <west>","a b":1,"1x":null,"":true,"é":[1,{"n":[]}]}"#
        ),
        "<a><tags><Region>south &amp; &lt;west&gt;</Region><a_b>1</a_b><_1x></_1x><_>true</_><é><item>1</item>\
         <item><n></n></item></é></tags></a>"
    );
    assert_eq!(
        xml("<a>%prompt_responses%</a>", TWO),
        "<a><prompt><question>q\"1</question><response>1</response></prompt><prompt><question>q2</question>\
         <question_link>l2</question_link><response>2</response></prompt></a>"
    );
    // Elsewhere, and for values that are neither objects nor arrays, the value is text.
    assert_eq!(xml("<a b='%tags%'/>", r#"{"x":1}"#), "<a b='{&quot;x&quot;:1}'/>");
    assert_eq!(xml("<a><b>%tags%</b></a>", "\"none\""), "<a><b>none</b></a>");
}
