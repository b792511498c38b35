//! Definitions: the rendered body, the values that are kept for each attempt, and the error if a value is missing.

use super::*;
use crate::definition::facts::Kept;
use crate::definition::template::{
    BodyTemplate, DefinitionPart, HeaderTemplate, Language, Need, QueryTemplate, TextTemplate,
    Tokens, UrlTemplate,
};
use crate::domain::{Definitions as _, Mapped};
use std::collections::{BTreeMap, BTreeSet};

const RECORD: &[u8] = br#"{"phononUuid":"u-1","callDetails":[{"calleeType":"AGENT","calleeNumber":"2"},{"calleeType":"VISITOR","calleeNumber":"1"}],"keys":[{"name":"$flow.key.a","value":0.10},{"name":"$user.key.b","value":"\u00e9 &"},{"name":"$user.syskey.contactNumber","value":"3"}]}"#;

fn facts() -> Facts {
    let mapped = vec![Mapped { save_in: "$flow.key.m".into(), value: "[1]".into() }];
    let reports = vec![Bytes::from_static(br#"{"id":"s"}"#)];
    Facts { record: Some(Bytes::from_static(RECORD)), reports, mapped }
}

fn request(url: &str, query: &[(&str, &str, bool)], headers: &[(&str, &str, bool)]) -> Request {
    let tokens = Tokens::new();
    Request {
        url: UrlTemplate::parse(url, &tokens, &|_| Need::Unsaid).unwrap(),
        query: query
            .iter()
            .map(|(name, value, must)| QueryTemplate::parse(name, value, *must, &tokens).unwrap())
            .collect(),
        headers: headers
            .iter()
            .map(|(name, value, must)| HeaderTemplate::parse(name, value, *must, &tokens).unwrap())
            .collect(),
        credentials: None,
    }
}

fn json(text: &str, mandatory: bool) -> Body {
    Body::Template(
        BodyTemplate::parse(Language::Json, text, &Tokens::new(), &|_| mandatory).unwrap(),
    )
}

fn render(
    definition: &Definition,
    predefined: &Bytes,
    facts: &Facts,
) -> Result<(Bytes, Rendered), Box<str>> {
    definition.render(predefined, facts, &facts::Facts::of(facts, catalogue::nested()))
}

fn rendered(definition: &Definition) -> Result<(String, Rendered), Box<str>> {
    let (body, rendered) = render(definition, &Bytes::from_static(b"P"), &facts())?;
    Ok((String::from_utf8(body.to_vec()).unwrap(), rendered))
}

#[test]
fn only_the_values_of_url_query_and_headers_are_kept_with_the_body() {
    let request = request(
        "https://a.example/$flow.key.a/x?u=$user.key.b",
        &[("q", "$flow.key.none", false), ("m", "$flow.key.m", true)],
        &[("X-A", "<$call.calleeNumber>", false), ("X-B", "$flow.key.none", false)],
    );
    let body = json(r#"{"sms": $sms.id, "a": $flow.key.a}"#, false);
    let definition = Definition::new(body, Some(Arc::new(request.clone())));
    let (body, kept) = rendered(&definition).unwrap();
    assert_eq!(body, r#"{"sms":"s","a":0.10}"#);
    assert_eq!(
        kept.values,
        r#"{"$flow.key.a":0.10,"$user.key.b":"\u00e9 &","$flow.key.m":[1],"$call.calleeNumber":"1"}"#
    );
    let parts = request.render(&Kept::read(&kept.values)).unwrap();
    assert_eq!(parts.url.as_str(), "https://a.example/0.10/x?u=%C3%A9+%26&m=%5B1%5D");
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(headers, [("x-a", "<1>")]);
    assert!(definition.uses("$flow.key.none") && !definition.uses("$flow.key.other"));
    assert!(definition.uses_variables() && !definition.is_fixed());
}

#[test]
fn missing_values_of_all_parts_are_reported_at_once() {
    let request = request(
        "https://a.example/$flow.key.in_path",
        &[("q", "$flow.key.in_query", true)],
        &[("X-A", "$flow.key.in_header", true)],
    );
    let definition =
        Definition::new(json(r#"{"a": $flow.key.in_body}"#, true), Some(Arc::new(request)));
    let problem = rendered(&definition).unwrap_err();
    for part in
        ["in_body` in the body", "in_path` in the URL", "in_query` in the query", "in_header`"]
    {
        assert!(problem.contains(part), "{part}: {problem}");
    }
}

#[test]
fn a_definition_without_variables_is_rendered_unless_its_body_is_predefined() {
    let fixed = Definition::new(Body::Predefined, None);
    assert!(fixed.is_fixed() && !fixed.uses_variables());
    assert_eq!(rendered(&fixed).unwrap().0, "P");
    let only_headers = Definition::new(
        Body::Predefined,
        Some(Arc::new(request("https://a.example/", &[], &[("X-A", "b", false)]))),
    );
    assert!(only_headers.is_fixed());
    let none = Definition::new(Body::None, None);
    assert!(!none.is_fixed());
    let (body, kept) = rendered(&none).unwrap();
    assert_eq!((&*body, kept.content_type, &*kept.values), ("", None, &b"{}"[..]));
}

fn values(texts: &[(&str, &str)], mandatory: bool) -> BTreeMap<String, Given> {
    let value = |(name, text): &(&str, &str)| {
        let part = DefinitionPart::Value((*name).into());
        let value = TextTemplate::parse(text, &part, &|_| mandatory, &Tokens::new()).unwrap();
        ((*name).to_owned(), Given::Text(value))
    };
    texts.iter().map(value).collect()
}

#[test]
fn values_of_a_call_are_templates() {
    let method = &catalogue::methods()["createOutbound"];
    let call = |texts: &[(&str, &str)], mandatory| {
        let values = values(texts, mandatory);
        let optional = method.names().map(str::to_owned).collect();
        let internal = Internal::new(method.clone(), vec![Group::FlowKey], values);
        let internal = internal.needing(BTreeSet::new(), optional);
        Definition::new(Body::Internal(internal), None)
    };
    let texts = [
        ("$flow.syskey.clientID", "$flow.key.none"),
        ("$flow.syskey.contactNumbers", "$call.calleeNumber"),
        ("$flow.syskey.delayMinutes", "$flow.key.a"),
        ("$flow.syskey.flowID", "a \"$user.key.b\" $$1"),
        ("$flow.syskey.securityID", "$flow.key.none"),
    ];
    let definition = call(&texts, false);
    assert_eq!(
        rendered(&definition).unwrap().0,
        concat!(
            r#"{"method":"createOutbound","keys":[{"name":"$flow.syskey.contactNumbers","value":"1"},"#,
            r#"{"name":"$flow.syskey.delayMinutes","value":0.10},"#,
            r#"{"name":"$flow.syskey.flowID","value":"a \"\u00e9 &\" $1"},"#,
            r#"{"name":"$flow.key.a","value":0.10},{"name":"$flow.key.m","value":[1]}]}"#
        )
    );
    assert!(definition.uses("$call.calleeNumber") && definition.uses("$flow.key.none"));
    let problem = rendered(&call(&texts, true)).unwrap_err();
    let wanted = "no value for `$flow.key.none` in the value of `$flow.syskey.clientID` (line 1, column 1), \
                  `$flow.key.none` in the value of `$flow.syskey.securityID`";
    assert!(problem.starts_with(wanted), "{problem}");
}

#[test]
fn a_secret_of_a_call_is_a_placeholder_until_it_is_sent() {
    let method = &catalogue::methods()["translateText"];
    let mut values = values(&[("$flow.key.inputText", "$flow.key.m")], false);
    values.insert("$flow.key.sourceLang".to_owned(), Given::Constant("7".into()));
    values.insert("$flow.key.targetLang".to_owned(), Given::Constant("true".into()));
    values.insert("$flow.key.apiKey".to_owned(), Given::Secret);
    let internal = Body::Internal(Internal::new(method.clone(), Vec::new(), values));
    let (body, _) = rendered(&Definition::new(internal, None)).unwrap();
    let stored = |key: &str| {
        format!(
            r#"{{"method":"translateText","keys":[{{"name":"$flow.key.apiKey","value":"{key}"}},{{"name":"$flow.key.inputText","value":[1]}},{{"name":"$flow.key.sourceLang","value":7}},{{"name":"$flow.key.targetLang","value":true}}]}}"#
        )
    };
    assert_eq!(body, stored("***secret***"));
    let mut secrets = BodySecrets::default();
    secrets.add("$flow.key.apiKey", "hush");
    assert_eq!(secrets.filled(&body.into()).unwrap(), stored("hush"));
}

#[test]
fn a_variable_that_a_function_needs_and_that_has_no_value_is_named() {
    let method = &catalogue::methods()["createOutbound"];
    let call = |optional: &[&str]| {
        let given = values(&[("$flow.syskey.flowID", "1"), ("$flow.key.extra", "x")], false);
        let optional = optional.iter().map(|name| (*name).to_owned()).collect();
        let internal = Internal::new(method.clone(), Vec::new(), given);
        let internal = internal.needing(BTreeSet::from(["$flow.key.z".to_owned()]), optional);
        rendered(&Definition::new(Body::Internal(internal), None)).unwrap_err()
    };
    assert_eq!(
        call(&["$flow.syskey.apiVersion", "$flow.syskey.securityID", "$flow.syskey.clientID"]),
        "no value for $flow.key.z, $flow.syskey.contactNumbers, $flow.syskey.delayMinutes, which createOutbound needs"
            .into()
    );
}

#[test]
fn a_parameter_takes_its_value_from_the_record_if_no_key_has_its_name() {
    let method = &catalogue::methods()["updateUserPreferences"];
    let internal = Internal::new(method.clone(), Vec::new(), BTreeMap::new());
    let definition = Definition::new(Body::Internal(internal), None);
    let record = br#"{"accountID":28,"callDetails":[{"calleeType":"VISITOR","calleeNumber":"9"}],"keys":[]}"#;
    let facts = Facts { record: Some(Bytes::from_static(record)), ..Facts::default() };
    let (body, _) = render(&definition, &Bytes::new(), &facts).unwrap();
    assert_eq!(
        body,
        r#"{"method":"updateUserPreferences","keys":[{"name":"$user.syskey.contactNumber","value":"9"},{"name":"$user.syskey.accountID","value":28}]}"#
    );
    let problem = render(&definition, &Bytes::new(), &Facts::default()).unwrap_err();
    assert!(problem.contains("$user.syskey.accountID, $user.syskey.contactNumber"), "{problem}");
}

#[test]
fn a_family_is_used_if_one_of_its_variables_is() {
    let of_template = Definition::new(json(r#"{"a": $user.key.city}"#, false), None);
    assert!(of_template.uses("$user.key.*") && !of_template.uses("$flow.key.*"));
    let method = &catalogue::methods()["linkcreation"];
    let internal = Internal::new(method.clone(), vec![Group::UserKey], BTreeMap::new());
    let call = Definition::new(Body::Internal(internal), None);
    assert!(call.uses("$user.key.*") && call.uses("$flow.key.*") && !call.uses("$flow.syskey.*"));
    let answers: Vec<&str> = call.answers().collect();
    assert_eq!(answers, ["$flow.key.shortenUrl", "$flow.key.botUniqueID"]);
}

#[test]
fn credentials_are_rendered_from_the_values_that_are_kept() {
    let text = |text, part| TextTemplate::parse(text, &part, &|_| true, &Tokens::new()).unwrap();
    let with = |username, password| {
        let credentials = Credentials {
            username: text(username, DefinitionPart::Username),
            password: text(password, DefinitionPart::Password),
        };
        let request = request("https://a.example/", &[], &[]);
        Arc::new(Request { credentials: Some(credentials), ..request })
    };
    let good = with("u-$call.calleeNumber", "$user.key.b");
    let definition = Definition::new(Body::Predefined, Some(good.clone()));
    assert!(!definition.is_fixed());
    let (_, kept) = rendered(&definition).unwrap();
    let parts = good.render(&Kept::read(&kept.values)).unwrap();
    let [(name, value)] = parts.headers.as_slice() else { panic!("one header") };
    // `u-1:é &`
    assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Basic dS0xOsOpICY="));
    assert!(value.is_sensitive());
    for (username, password, problem) in [
        ("$flow.key.none", "$flow.key.b", "`$flow.key.none` in the user name (line 1, column 1)"),
        ("$flow.key.none", "$flow.key.b", "`$flow.key.b` in the password (line 1, column 1)"),
        ("$flow.key.a:", "x", "a user name with a colon"),
    ] {
        let definition = Definition::new(Body::None, Some(with(username, password)));
        let found = rendered(&definition).unwrap_err();
        assert!(found.contains(problem), "{found}");
    }
}

#[test]
fn a_call_of_the_platform_carries_each_name_once() {
    let method = &catalogue::methods()["updateUserPreferences"];
    let values = values(&[("$user.syskey.accountID", "28")], false);
    let groups = vec![Group::UserKey, Group::FlowKey, Group::Call];
    let internal = Internal::new(method.clone(), groups, values);
    let definition = Definition::new(Body::Internal(internal), None);
    assert_eq!(
        rendered(&definition).unwrap().0,
        concat!(
            r#"{"method":"updateUserPreferences","keys":[{"name":"$user.syskey.accountID","value":"28"},"#,
            r#"{"name":"$user.syskey.contactNumber","value":"3"},{"name":"$user.key.b","value":"\u00e9 &"},"#,
            r#"{"name":"$flow.key.a","value":0.10},{"name":"$flow.key.m","value":[1]},"#,
            r#"{"name":"$call.calleeNumber","value":"1"},{"name":"$call.calleeType","value":"VISITOR"}]}"#
        )
    );
    assert!(definition.uses("$flow.key.anything") && !definition.uses("$user.syskey.accountID"));
    assert!(definition.uses_variables());
}

#[test]
fn conditions_read_values_as_text() {
    let (mut facts, defined) = (facts(), Defined::default());
    let (save_in, value) = ("$flow.key.first-name é".into(), "\"Ada\"".into());
    facts.mapped.push(Mapped { save_in, value });
    let reading = defined.read(&facts);
    for (variable, text) in [
        ("$flow.key.a", Some("0.10")),
        ("$user.key.b", Some("é &")),
        ("$flow.key.m", Some("[1]")),
        ("$flow.syskey.phononUuid", Some("u-1")),
        ("$flow.key.none", None),
        ("no variable", None),
        ("$flow.key.first-name é", Some("Ada")),
    ] {
        assert_eq!(reading.text(variable).as_deref(), text, "{variable}");
    }
}

#[test]
fn values_that_make_a_request_too_long_are_refused() {
    let long = "x".repeat(300_000);
    let record = format!("{{\"keys\":[{{\"name\":\"$flow.key.a\",\"value\":\"{long}\"}}]}}");
    let facts = Facts { record: Some(record.into()), ..Facts::default() };
    let of = |definition: &Definition| render(definition, &Bytes::new(), &facts);
    let times = |count: usize| format!("[{}]", vec!["$flow.key.a"; count].join(","));
    let many = |count| Definition::new(json(&times(count), false), None);
    assert!(of(&many(20)).is_ok());
    let problem = of(&many(500)).unwrap_err();
    assert!(problem.contains("the body longer than"), "{problem}");
    // The length that escapes add counts too.
    let quotes = "\"".repeat(1_500_000);
    let mapped = Mapped {
        save_in: "$flow.key.m".into(),
        value: serde_json::to_string(&quotes).unwrap().into(),
    };
    let escaped = Facts { mapped: vec![mapped], ..Facts::default() };
    let xml =
        BodyTemplate::parse(Language::Xml, "<a b='$flow.key.m'/>", &Tokens::new(), &|_| false)
            .unwrap();
    let xml = Definition::new(Body::Template(xml), None);
    assert!(render(&xml, &Bytes::new(), &escaped).unwrap_err().contains("the body longer than"));
    let url =
        "https://a.example/?q=$flow.key.a&r=$flow.syskey.keys&s=$flow.syskey.b&t=$flow.syskey.c";
    let record = format!("{{\"keys\":[\"{long}\"],\"b\":\"{long}\",\"c\":\"{long}{long}\"}}");
    let facts = Facts { record: Some(record.into()), ..Facts::default() };
    let url = Definition::new(Body::None, Some(Arc::new(request(url, &[], &[]))));
    let problem = render(&url, &Bytes::new(), &facts).unwrap_err();
    assert!(problem.contains("URL, query or headers longer than"), "{problem}");
}
