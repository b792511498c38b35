//! The catalogue is complete, and all of its rows can be parsed.

mod shown;

use super::{INTERNAL, Method, TOKENS, is_known, methods, nested, tokens};
use crate::definition::facts::Facts;
use crate::definition::template::{BodyTemplate, Derived, Family, Language, Values, Variable};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

const TOKEN_NAMES: &str = "
    callid session_id dialed_time answered_time dialstatus tracking ani call_start_time call_end_time target global_id
    landing_domain repeat_caller prompt_responses question question_link response domain_name campaign_name rec_audiourl
    rec_audiowavurl ani_is_valid ani_line_type ani_carrier ani_full_name ani_first_name ani_middle_name ani_last_name ani_type
    ani_street_line_1 ani_street_line_2 ani_city ani_zip ani_zip4 ani_state ani_country_code ani_street_number
    ani_street_name ani_street_type ani_updated_at tags location_name location_address_line_1 location_address_line_2
    location_address_city location_address_zip location_address_state account_id location_id page_id page_converted_on
    first_page_landed_on vehicle_vin vehicle_year vehicle_make vehicle_model referral_domain medium utm_source utm_medium
    utm_campaign utm_content keyword gclid ring_count site_id domain_id visitor_browser_family visitor_browser_version
    visitor_device visitor_country_code visitor_region visitor_city visitor_ip_address visitor_operating_system visitor_lat
    visitor_long
";

const METHOD_NAMES: &str = "
    createOutbound updateUserPreferences fetchUserPreferences updatePauseStatusForCLI linkcreation translateText
    speechprocessing ValidateDateAndTime Pullreport
";

/// The tokens with the same meaning as a field of the gateways. Every other token is a flow key of the same name.
const FIELDS: [(&str, &str); 6] = [
    ("callid", "$call.cdrId"),
    ("session_id", "$flow.syskey.phononUuid"),
    ("tracking", "$call.didNumber"),
    ("ani", "$call.calleeNumber"),
    ("call_start_time", "$call.startTime"),
    ("call_end_time", "$call.endTime"),
];

/// The file with all fields of each token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    token: BTreeMap<String, StrictRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictRow {
    group: String,
    meaning: String,
    example: String,
    variable: String,
    #[serde(default)]
    nested: bool,
    derived: Option<String>,
}

fn sorted(names: &str) -> Vec<&str> {
    let mut names: Vec<_> = names.split_whitespace().collect();
    names.sort_unstable();
    names
}

fn method(name: &str) -> &'static Method {
    &methods()[name]
}

#[test]
fn every_token_exists_and_stands_for_a_variable() {
    let names: Vec<_> = tokens().keys().map(String::as_str).collect();
    assert_eq!(names, sorted(TOKEN_NAMES));
    assert_eq!(names.len(), 77);
    for (name, variable) in tokens() {
        let field = FIELDS.iter().find(|(token, _)| token == name).map(|(_, field)| *field);
        let expected = field.map_or_else(|| format!("$flow.key.{name}"), str::to_owned);
        assert_eq!(variable.to_string(), expected);
    }
}

#[test]
fn the_file_of_tokens_has_all_fields_of_each_token() {
    let file: Strict = toml::from_str(TOKENS).unwrap();
    for (name, row) in &file.token {
        let groups = ["call_begin", "call_end", "dni", "location_info"];
        assert!(groups.contains(&row.group.as_str()) && !row.meaning.is_empty(), "{name}");
        let variable: Variable = row.variable.parse().unwrap();
        let token = &tokens()[name];
        assert_eq!(token.plain(), variable);
        assert_eq!(token.derived().map(Derived::word), row.derived.as_deref(), "{name}");
        assert_eq!(row.example.is_empty(), name == "utm_source", "{name}");
        assert_eq!(nested().contains(&variable), row.nested, "{name}");
    }
    assert_eq!(file.token.len(), tokens().len());
}

#[test]
fn tokens_for_objects_are_nested() {
    let names: Vec<_> = nested().iter().map(Variable::to_string).collect();
    assert_eq!(names, ["$flow.key.prompt_responses", "$flow.key.tags"]);
}

#[test]
fn a_template_may_use_every_token() {
    struct Spelling;
    impl Values for Spelling {
        fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
            Some(format!("\"{variable}\"").into())
        }
    }
    for (name, variable) in tokens() {
        let text = format!("[\"%{name}%\"]");
        let template = BodyTemplate::parse(Language::Json, &text, tokens(), &|_| true).unwrap();
        let mut out = Vec::new();
        template.render(&Spelling, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("[\"{variable}\"]"));
    }
}

#[test]
fn every_method_appears_once_and_templates_know_all_names_but_the_platforms_own() {
    let names: Vec<_> = methods().keys().map(String::as_str).collect();
    assert_eq!(names, sorted(METHOD_NAMES));
    assert_eq!(super::method::read(INTERNAL).unwrap().len(), names.len());
    for method in methods().values() {
        assert!(!method.purpose.is_empty(), "{}", method.name);
        assert!(method.response.iter().all(|name| is_known(name)), "{}", method.name);
    }
    let requests = methods().values().flat_map(|method| method.names());
    let unknown: Vec<_> = requests.filter(|name| !is_known(name)).collect();
    let own = ["$user.syskey.contactNumber", "$user.syskey.accountID"];
    assert_eq!(unknown, [own, own].concat());
}

#[test]
fn a_file_adds_functions_and_replaces_built_in_ones() {
    let text = r#"
        [[method]]
        name = "FindLanguage"
        request = ["$flow.key.text", { name = "$flow.key.hint", from = ["$call.calleeNumber"], optional = true }]
        response = ["$flow.key.language"]
        [[method]]
        name = "Pullreport"
    "#;
    let methods = super::extended(text).unwrap();
    assert_eq!(methods.len(), super::methods().len() + 1);
    let found = &methods["FindLanguage"];
    let needed: Vec<bool> = found.request.iter().map(super::Parameter::is_needed).collect();
    assert_eq!(needed, [true, false]);
    assert!(found.uses("$call.calleeNumber") && !found.wants("$call.calleeNumber"));
    assert_eq!(found.full_name("hint"), Some("$flow.key.hint"));
    assert_eq!(
        (found.full_name("int"), found.full_name("key.hint")),
        (None, Some("$flow.key.hint"))
    );
    assert_eq!(methods["Pullreport"].purpose, "");
    for (text, problem) in [
        ("[[method]]\nname = \"a\"\n[[method]]\nname = \"a\"\n", "the method `a` is there twice"),
        ("[[method]]\nname = \"\"\n", "has no name"),
        ("[[method]]\nname = \"a\"\nrequest = [\"\"]\n", "has no name"),
        ("[[method]]\nname = \"a\"\nrequests = []\n", "line 3: unknown field `requests`"),
        ("[[method]\n", "line 1: "),
    ] {
        let found = super::extended(text).unwrap_err().to_string();
        assert!(found.contains(problem) && !found.contains('\n'), "{text}: {found}");
    }
    let from = "[[method]]\nname = \"a\"\nrequest = [{ name = \"b\", from = [\"c\"] }]\n";
    assert!(super::extended(from).is_err());
}

#[test]
fn an_answer_gives_values_to_listed_variables_and_families_only() {
    let outbound = method("createOutbound");
    assert!(outbound.answers("$flow.key.obdReqID"));
    for other in
        ["$flow.key.obdreqid", "$flow.key.obdReqIDs", "$flow.syskey.flowID", "obdReqID", ""]
    {
        assert!(!outbound.answers(other), "{other}");
    }
    let fetch = method("fetchUserPreferences");
    assert!(fetch.answers("$user.key.city"));
    for other in ["$user.key.", "$user.key.a.b", "$user.key.*", "$user.syskey.a", "$flow.key.city"]
    {
        assert!(!fetch.answers(other), "{other}");
    }
    let silent = [method("Pullreport"), method("updateUserPreferences")];
    assert!(silent.iter().all(|method| !method.answers("$flow.key.status")));
}

#[test]
fn a_family_is_known_if_its_variables_are() {
    for name in ["$flow.key.*", "$user.key.*", "$call.*", "$flow.key.a", "$sms.cost.amount"] {
        assert!(is_known(name), "{name}");
    }
    for name in ["$user.syskey.*", "$flow.*", "*", "", "$flow.key.", "$flow.key.a*", "$flow.key.**"]
    {
        assert!(!is_known(name), "{name}");
    }
}

/// Returns a record with `value` in the place of `variable`.
fn record_with(variable: &Variable, value: &str) -> serde_json::Value {
    match variable.family() {
        Family::Call => {
            let leg = serde_json::json!({"calleeType": "VISITOR", variable.name(): value});
            serde_json::json!({"callDetails": [leg]})
        }
        Family::FlowSyskey => serde_json::json!({variable.name(): value}),
        Family::FlowKey | Family::UserKey | Family::Sms => {
            serde_json::json!({"keys": [{"name": variable.to_string(), "value": value}]})
        }
    }
}

#[test]
fn each_token_is_rendered_as_the_platforms_show_it() {
    let mut shown = 0;
    for line in shown::SHOWN.lines().filter(|line| !line.is_empty()) {
        let (token, value) = line.split_once(' ').unwrap();
        let variable = &tokens()[token];
        let record = record_with(variable, value).to_string();
        let facts = Facts::new(Some(record.as_bytes()), &[], &[], nested());
        let (text, wanted) = if nested().contains(&variable.plain()) {
            (format!("{{\"x\": %{token}%}}"), format!("{{\"x\":{value}}}"))
        } else {
            (format!("{{\"x\": \"%{token}%\"}}"), serde_json::json!({"x": value}).to_string())
        };
        let template = BodyTemplate::parse(Language::Json, &text, tokens(), &|_| true).unwrap();
        let mut out = Vec::new();
        template.render(&facts, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), wanted, "{token}");
        shown += 1;
    }
    assert_eq!(shown, 75);
}
