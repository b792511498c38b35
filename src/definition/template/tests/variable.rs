//! Variables, tokens and their escapes, in plain text.

use super::super::{Family, HeaderTemplate, Variable, position};
use super::{assert_faults, given, tokens};

/// Checks the text that is rendered if each variable's value is its own spelling in brackets.
#[track_caller]
fn check(text: &str, expected: &str) {
    let template = HeaderTemplate::parse("x", text, true, &tokens()).unwrap();
    let values: Vec<_> = template
        .variables()
        .iter()
        .map(|found| (found.variable.to_string(), format!("\"[{}]\"", found.variable)))
        .collect();
    let values: Vec<_> = values.iter().map(|(name, json)| (&**name, &**json)).collect();
    let mut out = Vec::new();
    assert!(template.render(&given(&values), &mut out).unwrap());
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn variables_are_read_and_shown_as_they_are_spelt() {
    for (text, family, name) in [
        ("$flow.key.lead_ID9", Family::FlowKey, "lead_ID9"),
        ("$flow.syskey.flowID", Family::FlowSyskey, "flowID"),
        ("$user.key.x", Family::UserKey, "x"),
        ("$call.phononUuid", Family::Call, "phononUuid"),
        ("$sms.cost.currency.currencyName", Family::Sms, "cost.currency.currencyName"),
    ] {
        let variable: Variable = text.parse().unwrap();
        assert_eq!((variable.family(), variable.name()), (family, name));
        assert_eq!(variable.to_string(), text);
        assert_eq!(Variable::new(family, name), Some(variable));
    }
    for text in [
        "",
        "$",
        "$flow.key.",
        "$flow.key.a.b",
        "$flow.key.a b",
        "$sms.",
        "$sms.a.",
        "$sms.a..b",
        "$sms.é",
        "x$sms.a",
    ] {
        assert!(text.parse::<Variable>().is_err(), "{text}");
    }
    assert_eq!(Variable::new(Family::Sms, ".a"), None);
    assert_eq!(Variable::new(Family::UserKey, "a.b"), None);
}

#[test]
fn a_name_is_one_segment_and_a_path_takes_dots_before_names() {
    check("Hi $flow.key.name.", "Hi [$flow.key.name].");
    check("$flow.key.a.b", "[$flow.key.a].b");
    check("$sms.cost.amount.", "[$sms.cost.amount].");
    check("$sms.cost..amount", "[$sms.cost]..amount");
    check("$call.a-b$user.key.c$flow.syskey.d", "[$call.a]-b[$user.key.c][$flow.syskey.d]");
}

#[test]
fn tokens_stand_for_variables() {
    check("%ani%%callid%", "[$call.callDetails.calleeNumber][$call.phononUuid]");
    check("5%ad%", "5[$flow.key.ad]");
}

#[test]
fn other_dollar_and_percent_signs_are_text() {
    for text in [
        "100% sure, 50% off",
        "$",
        "%",
        "%%",
        "$5",
        "a$b.c",
        "$flow",
        "$call me",
        "$calls. Now",
        "%Ani%",
        "%1a%",
        "%ani",
        "% ani%",
        "%%%",
        "$flow:key",
        "%ani-x%",
        "%%ani",
        "$flowers",
        "%%",
    ] {
        check(text, text);
    }
}

#[test]
fn a_doubled_dollar_is_an_escape_and_so_is_a_doubled_percent_before_a_token() {
    for (text, expected) in [
        ("$$flow.key.a", "$flow.key.a"),
        ("$$$flow.key.a", "$[$flow.key.a]"),
        ("$$$$flow.key.a", "$$flow.key.a"),
        ("$$", "$"),
        ("$$$", "$$"),
        ("$$5 or $5", "$5 or $5"),
        ("$$flow", "$flow"),
        ("$$sms.a.b.", "$sms.a.b."),
        ("$$flow.keys.a", "$flow.keys.a"),
        ("%%ani%%", "%ani%"),
        ("%%ani%", "%ani%"),
        ("100%%ani%%.", "100%ani%."),
        ("%%foo%%", "%foo%"),
        ("$$x", "$x"),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_misspelt_variable_is_a_fault_with_a_suggestion() {
    for (text, expected) in [
        ("$flow.keys.a", "did you mean `$flow.key.a`?"),
        ("$flow.sysky.a", "did you mean `$flow.syskey.a`?"),
        ("$flows.key.a", "did you mean `$flow.key.a`?"),
        ("$Flow.key.a", "did you mean `$flow.key.a`?"),
        ("$flow.lead", "did you mean `$flow.key.lead`?"),
        ("$flow.key", "did you mean `$flow.key.<name>`?"),
        ("$flow.key.", "did you mean `$flow.key.<name>`?"),
        ("$flow.", "did you mean `$flow.key.<name>`?"),
        ("$user.syskey.a", "did you mean `$user.key.a`?"),
        ("$call.", "did you mean `$call.<path>`?"),
        ("$calls.a.b", "did you mean `$call.a.b`?"),
        ("$sms. x", "did you mean `$sms.<path>`?"),
        ("%anni%", "did you mean `%ani%`? `%%anni%%` stands"),
        ("%xyzzy%", "map it to a variable"),
    ] {
        let parsed = HeaderTemplate::parse("x", &format!("é\n{text}"), true, &tokens());
        assert_faults(parsed, &[&format!("2:1 {expected}")]);
    }
    let parsed = HeaderTemplate::parse("x", "%ani%", true, &super::Tokens::new());
    assert_faults(parsed, &["1:1 maps no tokens"]);
}

#[test]
fn all_faults_are_reported_up_to_a_limit() {
    let parsed = HeaderTemplate::parse("x", "%a1% $flow.x\n $sms.", true, &tokens());
    assert_faults(parsed, &["1:1 %a1%", "1:6 $flow.key.x", "2:2 $sms.<path>"]);
    let many = "%zzzzz%".repeat(1000);
    assert_eq!(HeaderTemplate::parse("x", &many, true, &tokens()).unwrap_err().len(), 100);
    let long = format!("$flow.key{}", ".a".repeat(1000));
    assert!(HeaderTemplate::parse("x", &format!("${long}"), true, &tokens()).is_ok());
    let faults = HeaderTemplate::parse("x", &long.replace("key", "kex"), true, &tokens());
    assert!(faults.unwrap_err()[0].problem.len() < 200);
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let longest = "a".repeat(super::super::TEXT_BYTES_MAX);
    assert!(HeaderTemplate::parse("x", &longest, true, &tokens()).is_ok());
    let parsed = HeaderTemplate::parse("x", &format!("{longest}\u{e9}"), true, &tokens());
    assert_faults(parsed, &["1:262145 bytes long; at most 262144"]);
}

#[test]
fn a_text_with_too_many_variables_is_refused() {
    let most = "$call.a ".repeat(super::super::VARIABLES_MAX);
    assert!(HeaderTemplate::parse("x", &most, true, &tokens()).is_ok());
    let parsed = HeaderTemplate::parse("x", &format!("{most}%ani% %ani%"), true, &tokens());
    assert_faults(parsed, &["1:8001 more than 1000 variables"]);
}

#[test]
fn positions_count_lines_and_characters() {
    let text = "aé\r\nफ😀b";
    for (offset, expected) in [
        (0, (1, 1)),
        (1, (1, 2)),
        (2, (1, 2)),
        (3, (1, 3)),
        (5, (2, 1)),
        (8, (2, 2)),
        (12, (2, 3)),
        (99, (2, 4)),
    ] {
        assert_eq!(position(text, offset), expected, "{offset}");
    }
}

#[test]
fn each_use_of_a_variable_has_its_position() {
    let template =
        HeaderTemplate::parse("x", "é%ani%\n $flow.key.a$flow.key.a", false, &tokens()).unwrap();
    let uses: Vec<_> = template.variables().iter().map(ToString::to_string).collect();
    assert_eq!(
        uses,
        [
            "`$call.callDetails.calleeNumber` in the header `x` (line 1, column 2)",
            "`$flow.key.a` in the header `x` (line 2, column 2)",
            "`$flow.key.a` in the header `x` (line 2, column 13)",
        ]
    );
}
