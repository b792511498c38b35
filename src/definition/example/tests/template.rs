//! Every template that is made from an example loads, and renders the example from its values.

use super::super::{Made, template};
use super::{json, xml};
use crate::definition::template::{BodyTemplate, Tokens, VARIABLES_MAX, Values, Variable};
use proptest::prelude::*;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

fn made(example: &str) -> Made {
    template(example.as_bytes()).unwrap_or_else(|fault| panic!("{example}: {fault}"))
}

fn fields(made: &Made) -> Vec<[&str; 3]> {
    let shown = made.fields.iter();
    shown.map(|field| [&*field.token, &*field.source, &*field.sample]).collect()
}

#[test]
fn each_value_of_an_example_becomes_a_field() {
    let json = made(
        "{\"Firstname\":\"\", \"ani\": \"7\",\n \"n\": [1, true, null], \"price $\": \"%x%\", \"%y%\": {}}",
    );
    assert_eq!(
        json.text,
        "{\"Firstname\":\"%firstname%\", \"ani\": \"%ani%\",\n \"n\": [%n_0%, %n_1%, %n_2%], \"price $$\": \"%price%\", \
         \"%%y%%\": {}}"
    );
    assert_eq!(
        fields(&json),
        [
            ["firstname", "$flow.key.Firstname", "\"\""],
            ["ani", "%ani%", "\"7\""],
            ["n_0", "$flow.key.n_0", "1"],
            ["n_1", "$flow.key.n_1", "true"],
            ["n_2", "$flow.key.n_2", "null"],
            ["price", "$flow.key.price", "\"%x%\""],
        ]
    );
    let xml =
        made("<a k='1>'><b/><c x = \"2\"></c><d> </d><e n=\"\"/>two<f><![CDATA[<]]></f><g\n/></a>");
    assert_eq!(
        xml.text,
        "<a k='%k%'><b>%b%</b><c x = \"%x%\"></c><d>%d%</d><e n=\"%n%\"/>%a%<f>%f%</f><g>%g%</g></a>"
    );
    let form = made("first=Ada+L&last=&flag&a%20b=%41\n");
    assert_eq!(form.text, "first=%first%&last=%last%&flag&a%20b=%a_b%");
    assert_eq!(fields(&form)[2], ["a_b", "$flow.key.a_b", "\"A\""]);
    for example in [&json, &xml, &form] {
        assert_eq!(example.fault(), None);
    }
    let text = made("{\"a\":1,\"A\":2,\"9\":3}").text;
    assert_eq!(text, "{\"a\":%a%,\"A\":%a_2%,\"9\":%field_9%}");
}

#[test]
fn a_template_is_valid_toml() {
    for example in [
        "{\"a\":\n \"'''\"}",
        "{\"q'\": 1}",
        "<a>é</a>",
        "{\"a'''b\":\t1}",
        "a=b&c='",
        "{}",
        "{\"\u{7f}\":1}",
    ] {
        let made = made(example);
        let text = made.definition("a \"name\"");
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let template = &table["template"][0];
        assert_eq!(template["name"].as_str(), Some("a \"name\""));
        assert_eq!(template["format"].as_str(), Some(made.text.as_str()), "{text}");
        let tokens = template.get("tokens").and_then(toml::Value::as_table);
        assert_eq!(tokens.map_or(0, toml::Table::len), made.fields.len());
    }
}

#[test]
fn faults_of_examples_for_templates_have_a_position() {
    let fault = |example: &[u8]| template(example).unwrap_err().to_string();
    assert_eq!(fault(b"{\n \"a\": x}"), "not JSON (line 2, column 7)");
    assert_eq!(fault(b"<a>\n</b>"), "not XML: the wrong element is closed (line 2, column 1)");
    assert_eq!(fault(b"plain"), "not JSON (line 1, column 1)");
    let twice = made("{\"a\":1,\"a\":2}").fault().unwrap();
    assert!(twice.contains("another member of this object has the same name"), "{twice}");
}

/// The values of an example's fields.
struct Sampled(BTreeMap<String, String>);

impl Values for Sampled {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        self.0.get(variable.name()).map(|json| Cow::Borrowed(json.as_str()))
    }
}

proptest! {
    #[test]
    fn the_template_of_random_json_renders_the_same_json(example in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&example) } else { serde_json::to_string(&example) };
        let made = made(&text.unwrap());
        let mut scalars = Vec::new();
        all_scalars(&example, &mut scalars);
        prop_assert_eq!(made.fields.len(), scalars.len());
        let mut tokens = Tokens::new();
        let mut values = BTreeMap::new();
        for (index, (field, value)) in made.fields.iter().zip(&scalars).enumerate() {
            let variable: Variable = format!("$flow.key.v{index}").parse().unwrap();
            tokens.insert(field.token.clone(), variable);
            values.insert(format!("v{index}"), value.to_string());
        }
        if tokens.len() > VARIABLES_MAX {
            return Ok(());
        }
        let parsed = BodyTemplate::parse(made.language, &made.text, &tokens, &|_| false);
        let parsed = parsed.map_err(|faults| TestCaseError::fail(format!("{faults:?} {}", made.text)))?;
        // A field for `null` has no value.
        if !values.values().any(|json| json == "null") {
            let mut out = Vec::new();
            parsed.render(&Sampled(values), &mut out).unwrap();
            let out: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(out, example);
        }
    }

    #[test]
    fn the_template_of_random_xml_loads((example, count) in xml()) {
        let example = format!("<r xmlns:s='urn:s' xmlns:t='urn:t'>{example}</r>");
        let made = made(&example);
        prop_assert_eq!(made.fields.len(), count, "{}", made.text);
        if count < VARIABLES_MAX {
            prop_assert_eq!(made.fault(), None, "{}", made.text);
        }
    }
}

/// Lists the scalars of a JSON tree in its order, with `null`.
fn all_scalars(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(value.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| all_scalars(item, found)),
        Value::Object(members) => members.values().for_each(|member| all_scalars(member, found)),
    }
}
