//! The commands that help to write templates, and what `ringback check` says about names and templates.

use super::commands::{file, stage};
use super::{default_webhook, record};
use crate::harness::daemon::EX_CONFIG;
use serde_json::Value;

#[test]
fn a_template_is_made_from_an_example_and_used() {
    let stage = stage("templates-extract", &default_webhook(28, "url = \"{url}/28\""));
    let example = file(&stage, "lead.json", br#"{"Firstname": "", "calls": [{"ani": 7}]}"#);
    let done = stage.command(&["webhook", "extract", "--template", &example]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!(
        done.out,
        "[[template]]\nname = \"lead\"\ntype = \"json\"\nformat = '''\n\
         {\"Firstname\": \"%firstname%\", \"calls\": [{\"ani\": %ani%}]}'''\n\n\
         # The value of each field: a variable, a token (`ringback webhook tokens`), or { value = \"…\" }.\n\
         [template.tokens]\nfirstname = \"$flow.key.Firstname\" # \"\"\nani = \"%ani%\" # 7\n"
    );
    // The printed template can be used as it is.
    let definition = "url = \"{url}/28\"\ntemplate = { name = \"lead\" }";
    super::define(&stage, &(done.out + &default_webhook(28, definition)));
    let keys = [("Firstname", r#""Ada""#)];
    let flow = record(&stage, "u-1", 28, &keys).value.expect("a record");
    let flow = file(&stage, "flow.json", &flow);
    let done = stage.command(&["webhook", "preview", "of-28", "--flow", &flow]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let body = r#"{"Firstname":"Ada","calls":[{"ani":"919879072567"}]}"#;
    assert!(done.out.ends_with(&format!("\n\n{body}\n")), "{done:?}");
    for (name, example, wanted) in [
        ("bad.json", "{\"a\": }", "bad.json:1:7: not JSON"),
        (
            "twice.json",
            "{\"a\":1,\"a\":2}",
            "no template can contain this example: line 1, column ",
        ),
    ] {
        let example = file(&stage, name, example.as_bytes());
        let done = stage.command(&["webhook", "extract", "--template", &example]);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
        assert!(done.err.contains(wanted), "{done:?}");
    }
}

#[test]
fn the_tokens_are_listed_with_group_meaning_example_and_source() {
    let stage = stage("templates-tokens", "");
    let all = stage.command(&["webhook", "tokens"]);
    assert_eq!((all.code, all.out.lines().count()), (Some(0), 78), "{all:?}");
    let head: Vec<&str> = all.out.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(head, ["TOKEN", "GROUP", "MEANING", "EXAMPLE", "SOURCE"]);
    let group = stage.command(&["webhook", "tokens", "--group", "dni", "--json"]);
    let rows: Vec<Value> =
        group.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(rows.len() > 20 && rows.iter().all(|row| row["group"] == "dni"), "{group:?}");
    let lat = rows.iter().find(|row| row["token"] == "%visitor_lat%").expect("it is of this group");
    assert_eq!(
        (&lat["example"], &lat["source"]),
        (&"34.153500".into(), &"$flow.key.visitor_lat".into())
    );
    let ends = stage.command(&["webhook", "tokens", "--group", "call_end"]);
    let status = ends.out.lines().find(|line| line.starts_with("%dialstatus%")).expect("it");
    assert!(
        status.contains("ANSWER") && status.ends_with("else from $call.hangupCause"),
        "{status}"
    );
    assert_eq!(stage.command(&["webhook", "tokens", "--group", "dnis"]).code, Some(2));
}

#[test]
fn check_warns_of_names_that_seem_to_end_too_early_and_refuses_templates_of_other_groups() {
    let doubtful =
        "url = \"{url}/28\"\nbody = \"json\"\ntemplate = '{\"a\": \"$flow.key.customer-name\"}'";
    let stage = stage("templates-check", &default_webhook(28, doubtful));
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let wanted = "warning: webhook[of-28].template: a hyphen, a letter or a digit follows `$flow.key.customer`, and is \
                  not a part of the name (line 1, column 8); write braces around the whole name if it is meant to be, else \
                  `${flow.key.customer}`";
    assert!(done.err.contains(wanted), "{done:?}");
    let template =
        "[[template]]\nname = \"lead\"\ngroup = \"dealers\"\ntype = \"json\"\nformat = \"{}\"\n";
    let definition = "url = \"{url}/28\"\ntemplate = { name = \"lead\" }\nheaders = [{ name = \"$flow.key.type\", value = \"x\" }]";
    super::define(&stage, &(template.to_owned() + &default_webhook(28, definition)));
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(EX_CONFIG), "{done:?}");
    for wanted in [
        "the template `lead` is for the group `dealers`, and the account is of no group",
        "a variable cannot stand in the name of a header (line 1, column 1); write the name out",
    ] {
        assert!(done.err.contains(wanted), "{wanted}: {done:?}");
    }
}
