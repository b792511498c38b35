//! Names with other characters than letters, digits and underscores, which stand in braces.

use super::super::{
    BodyTemplate, Derived, Family, HeaderTemplate, Language, Need, UrlTemplate, Variable,
    doubtful_names, masked_names,
};
use super::{Given, Tokens, assert_faults, described, given, tokens};

const NAMES: [&str; 6] = ["customer-name", "first name", "नाम", "a/b?c#d&e=f", "a.b", "x'>%;"];

#[test]
fn a_name_in_braces_has_any_characters() {
    for name in NAMES {
        let spelt = format!("${{flow.key.{name}}}");
        let variable: Variable = spelt.parse().unwrap();
        assert_eq!((variable.family(), variable.name()), (Family::FlowKey, name));
        assert_eq!((variable.to_string(), variable.key()), (spelt, format!("$flow.key.{name}")));
        assert_eq!(Variable::of_key(&variable.key()), Some(variable));
    }
    for (spelt, key) in [
        (r#"${user.key.a\}b\"\<\$\{\\}"#, r#"$user.key.a}b"<${\"#),
        ("${call.a-b.c d}", "$call.a-b.c d"),
        ("${flow.syskey.x-y}", "$flow.syskey.x-y"),
    ] {
        let variable: Variable = spelt.parse().unwrap();
        assert_eq!((variable.to_string().as_str(), variable.key().as_str()), (spelt, key));
    }
    // A name that needs no braces is shown without them.
    assert_eq!("${flow.key.a}".parse::<Variable>().unwrap().to_string(), "$flow.key.a");
    for text in
        ["${flow.key.}", "${flow.key.a", "${flow.key.a\n}", "${sms.a..b}", "${sms.}", "${a}"]
    {
        assert!(text.parse::<Variable>().is_err(), "{text}");
    }
}

/// Renders a body in which each name of `NAMES` has the value `<v0>` to `<v5>`.
#[track_caller]
fn check(language: Language, text: &str, expected: &str) {
    let template = BodyTemplate::parse(language, text, &tokens(), &|_| false).unwrap();
    let mut values = given(&[]);
    for (index, name) in NAMES.iter().enumerate() {
        let variable: Variable = format!("${{flow.key.{name}}}").parse().unwrap();
        values.0.insert(variable.to_string(), format!("\"<v{index}>\""));
    }
    let mut out = Vec::new();
    template.render(&values, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
}

#[test]
fn names_in_braces_do_not_change_the_structure_around_them() {
    let all = |before: &str, after: &str| {
        NAMES.map(|name| format!("{before}${{flow.key.{name}}}{after}")).concat()
    };
    check(
        Language::Json,
        r#"{"a": "x${flow.key.customer-name}-y", "b": ${flow.key.first name}, "c": "${flow.key.a/b?c#d&e=f}",
            "${flow.key.नाम}": 1, "d": "${flow.key.none-such}", "e": "$${flow.key.a}"}"#,
        r#"{"a":"x<v0>-y","b":"<v1>","c":"<v3>","<v2>":1,"e":"${flow.key.a}"}"#,
    );
    check(
        Language::Xml,
        &format!("<r a=\"{}\">{}<n>${{flow.key.no-ne}}</n></r>", all("", ""), all("[", "]")),
        "<r a=\"&lt;v0&gt;&lt;v1&gt;&lt;v2&gt;&lt;v3&gt;&lt;v4&gt;&lt;v5&gt;\">\
         [&lt;v0&gt;][&lt;v1&gt;][&lt;v2&gt;][&lt;v3&gt;][&lt;v4&gt;][&lt;v5&gt;]</r>",
    );
    check(
        Language::Form,
        &(all("n=", "&") + "gone=${flow.key.none=&such}"),
        "n=%3Cv0%3E&n=%3Cv1%3E&n=%3Cv2%3E&n=%3Cv3%3E&n=%3Cv4%3E&n=%3Cv5%3E",
    );
    let url = "https://a.example/${flow.key.a/b?c#d&e=f}/x?q=${flow.key.a/b?c#d&e=f}&r=${flow.key.no&=ne}";
    let template = UrlTemplate::parse(url, &tokens(), &|_| Need::Unsaid).unwrap();
    let values = Given([("${flow.key.a/b?c#d&e=f}".to_owned(), "\"1/2\"".to_owned())].into());
    let mut out = Vec::new();
    template.render(&[], &values, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "https://a.example/1%2F2/x?q=1%2F2");
    let masked = masked_names(url);
    assert_eq!(masked.len(), url.len());
    assert!(masked.starts_with("https://a.example/${flow.key.avbvcvdvevf}/x?q="), "{masked}");
}

#[test]
fn faults_of_names_in_braces_say_what_to_write() {
    for (text, expected) in [
        ("${flow.key.a", "the braces of this variable do not end; close them behind the name"),
        ("${flow.key.a\", \"}", "the braces of this variable do not end"),
        ("${flow.key.}", "did you mean `${flow.key.<name>}`?"),
        ("${flows.key.a-b}", "did you mean `${flow.key.a}`?"),
        ("${user.syskey.a}", "did you mean `${user.key.a}`?"),
    ] {
        let parsed = HeaderTemplate::parse("x", &format!("é\n{text}"), true, &tokens());
        assert_faults(parsed, &[&format!("2:1 {expected}")]);
    }
    // Other braces are text.
    for text in ["${x}", "${", "${}", "{flow.key.a}", "$ {flow.key.a}"] {
        let template = HeaderTemplate::parse("x", text, true, &tokens()).unwrap();
        assert!(template.variables().is_empty(), "{text}");
    }
    // The place of a fault behind a name counts characters.
    let text = "<a>${flow.key.नाम}</b>";
    let parsed = BodyTemplate::parse(Language::Xml, text, &tokens(), &|_| false);
    let place = described(&parsed.unwrap_err());
    assert!(place[0].starts_with("1:19 "), "{place:?}");
}

#[test]
fn a_name_that_a_letter_a_digit_or_a_hyphen_follows_is_doubtful() {
    for (text, expected) in [
        (
            "x $flow.key.customer-name!",
            "1:3 a hyphen, a letter or a digit follows `$flow.key.customer`, and is not a part of the name; write braces \
             around the whole name if it is meant to be, else `${flow.key.customer}`",
        ),
        (
            "$flow.key.caféx",
            "1:1 a hyphen, a letter or a digit follows `$flow.key.caf`, and is not",
        ),
        ("$sms.a.b٣", "1:1 a hyphen, a letter or a digit follows `$sms.a.b`"),
        ("$flow.key.a-$flow.key.b", "1:1 a hyphen, a letter or a digit follows `$flow.key.a`"),
    ] {
        let found = described(&doubtful_names(text));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    }
    // The text behind the name may be secret.
    let found = described(&doubtful_names("https://a.b/?user=$flow.key.a-hunter2&key=hunter3"));
    assert!(found.len() == 1 && !found[0].contains("hunter"), "{found:?}");
    for text in [
        "$flow.key.a.b $flow.key.a, $flow.key.a_b9",
        "${flow.key.a}-b ${flow.key.a}é",
        "$$flow.key.a-b",
        "%ani%-x",
        "$flow.key.a$flow.key.b",
    ] {
        assert_eq!(doubtful_names(text), [], "{text}");
    }
}

#[test]
fn a_token_of_a_time_has_a_local_form() {
    let start: Variable = "$call.startTime".parse().unwrap();
    let utc = start.clone().derived_by(Derived::Utc);
    let tokens =
        Tokens::from([("start".to_owned(), utc.clone()), ("ani".to_owned(), start.clone())]);
    let text = "%start% %start:local% %%start:local%%";
    let template = HeaderTemplate::parse("x", text, true, &tokens).unwrap();
    let variables: Vec<_> = template.variables().iter().map(|found| &found.variable).collect();
    assert_eq!(variables, [&utc, &start]);
    let parsed = HeaderTemplate::parse("x", "%start:loc% %ani:local% %x:local%", true, &tokens);
    assert_faults(
        parsed,
        &[
            "1:1 the token `%start%` has no form `loc`; write `%start%` for UTC, or `%start:local%`",
            "1:13 the token `%ani%` has no form `local`; write `%ani%`; only tokens of times",
        ],
    );
}

#[test]
fn a_constant_needs_no_source() {
    let constant: Variable = "$flow.key.place".parse().unwrap();
    let constant = constant.with_constant("\"Auto <ID>\"");
    let tokens = Tokens::from([("place".to_owned(), constant)]);
    let json = (r#"{"a": "%place%!", "b": %place%}"#, r#"{"a":"Auto <ID>!","b":"Auto <ID>"}"#);
    for (language, text, expected) in [
        (Language::Json, json.0, json.1),
        (Language::Xml, "<a>%place%</a>", "<a>Auto &lt;ID&gt;</a>"),
        (Language::Form, "a=%place%", "a=Auto+%3CID%3E"),
    ] {
        let template = BodyTemplate::parse(language, text, &tokens, &|_| true).unwrap();
        let mut out = Vec::new();
        template.render(&given(&[("place", "\"other\"")]), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
