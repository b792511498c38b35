//! Named templates, tokens and constants, and texts with variables in new places.

use super::{Folder, check};
use crate::config::Accounts;
use crate::delivery::Auth;
use crate::domain::{Definitions as _, Facts, WebhookName};
use bytes::Bytes;

const ACCOUNTS: &str = "[[account]]\nid = 1\ngroup = \"a\"\nvalues = { place = \"Here\", number = 7 }\n\
    [[account]]\nid = 2\n";

/// Returns the lines of a webhook, which are eight with two lines in `more`.
fn webhook(name: &str, account: i64, more: &str) -> String {
    format!("[[webhook]]\nname = \"{name}\"\naccount = {account}\nurl = \"https://a.b/\"\n{more}\n")
}

fn rendered(accounts: &Accounts, name: &str, record: &str) -> String {
    let facts = Facts { record: Some(Bytes::from(record.to_owned())), ..Facts::default() };
    let name = WebhookName::new(name).unwrap();
    let (body, _) =
        accounts.definitions.read(&facts).render(&name, &Bytes::from_static(b"P")).unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn webhooks_use_a_template_with_their_own_tokens() {
    let template = "[[template]]\nname = \"t\"\ngroup = \"a\"\ntype = \"form\"\n\
        format = \"p=%place%&n=%number%&x=%x%\"\ntokens = { x = \"%ani%\", place = \"$flow.key.place\" }\n\
        [[template]]\nname = \"open\"\ntype = \"json\"\nformat_file = \"open.json\"\n";
    let text = format!(
        "{ACCOUNTS}{template}{}{}{}",
        webhook("one", 1, "template = { name = \"t\" }\nbody = \"form\""),
        webhook("two", 1, "template = { name = \"t\" }\ntokens = { x = { value = true } }"),
        webhook("open", 2, "template = { name = \"open\" }"),
    );
    let folder = Folder::new("", &text).with("open.json", "{\"ani\": \"%ani%\"}");
    let (_, accounts) = folder.loaded();
    let record = r#"{"callDetails":[{"calleeNumber":"9"}],"keys":[{"name":"$flow.key.place","value":"There"}]}"#;
    assert_eq!(rendered(&accounts, "one", record), "p=Here&n=7&x=9");
    assert_eq!(rendered(&accounts, "two", record), "p=Here&n=7&x=true");
    assert_eq!(rendered(&accounts, "open", record), "{\"ani\":\"9\"}");
}

#[test]
fn a_template_is_only_for_its_group_and_exists_once() {
    let template = |name: &str, group: &str, more: &str| {
        format!("[[template]]\nname = \"{name}\"\ngroup = \"{group}\"\ntype = \"json\"\n{more}\n")
    };
    // The templates begin at line 7 and have five lines each; the webhooks begin at line 27 and have five lines.
    let text = format!(
        "{ACCOUNTS}{}{}{}{}{}{}{}{}",
        template("lead", "a", "format = \"{}\""),
        template("lead", "b", "format = \"{}\""),
        template("unused", "b", "format = '{\"x\": %nothing%}'"),
        template("both", "a", "format = \"{}\"\nformat_file = \"x\""),
        webhook("w1", 2, "template = { name = \"lead\" }"),
        webhook("w2", 1, "template = { name = \"laed\" }"),
        webhook("w3", 1, "template = { name = \"lead\" }\nbody = \"xml\""),
        webhook("w4", 1, "template = { nam = \"lead\" }"),
    );
    check(
        "",
        &text,
        &[
            "accounts.toml:13: template[lead].name: template lead is already defined in line 8; give it another name",
            "accounts.toml:21: template[unused].format: the token `%nothing%` does not exist (line 1, column 7); map it to a \
             variable; `%%nothing%%` stands for the text itself",
            "accounts.toml:27: template[both].format_file: `format` is set too; keep one of them",
            "accounts.toml:32: webhook[w1].template.name: the template `lead` is for the group `a`, and the account is of no \
             group; set group = \"a\" at the [[account]], or use another template",
            "accounts.toml:37: webhook[w2].template.name: there is no template `laed`; write `lead`",
            "accounts.toml:43: webhook[w3].body: is not the type of the template `lead`, which is json; remove it: the \
             template says what the body is",
            "accounts.toml:48: webhook[w4].template.name: is missing; add `name`: text",
            "accounts.toml:48: webhook[w4].template.nam: unknown key; did you mean `name`?",
        ],
    );
}

#[test]
fn faults_of_tokens_and_values_say_what_to_write() {
    let lines = "tokens = { X = \"%ani%\", a = \"Auto ID\", b = {}, c = 5 }\nbody = \"internal\"\n\
        method_name = \"createOutbound\"\nvalues = { \"$flow.syskey.flowID\" = \"$flow.kee.x\" }\n\
        auth = { type = \"basic\", username = \"$flow.key.u $flow.kee.v\", password = \"hush $flow.key.a $flow.kee.b\" }\n\
        headers = [{ name = \"$flow.key.type\", value = \"x\" }]";
    let text = format!("[[account]]\nid = 1\n{}", webhook("w", 1, lines));
    check(
        "",
        &text,
        &[
            "accounts.toml:7: webhook[w].tokens.b.value: is missing; add `value`: text or a whole number or true or false",
            "accounts.toml:7: webhook[w].tokens.c: is a whole number; write text or a table with value",
            "accounts.toml:7: webhook[w].tokens.X: is not a token's name; use lower-case letters, digits and underscores",
            "accounts.toml:7: webhook[w].tokens.a: `Auto ID` is neither a variable nor a token of the catalogue; write it like \
             \"$flow.key.NAME\" or \"%ani%\", or { value = \"…\" } for a constant",
            "accounts.toml:10: webhook[w].values.$flow.syskey.flowID: `$flow.kee.x` is not a variable (line 1, column 1); did you \
             mean `$flow.key.x`? `$$` stands for a plain `$`",
            "accounts.toml:11: webhook[w].auth.username: `$flow.kee.v` is not a variable (line 1, column 13); did you mean \
             `$flow.key.v`? `$$` stands for a plain `$`",
            "accounts.toml:11: webhook[w].auth.password: a variable or token is misspelt (line 1, column 18); correct it; `$$` \
             stands for a plain `$`, and `%%` before a token for `%`",
            "accounts.toml:12: webhook[w].headers[$flow.key.type]: a variable cannot stand in the name of a header (line 1, \
             column 1); write the name out; variables stand in the value only",
        ],
    );
}

#[test]
fn credentials_without_variables_are_sent_as_they_are_written() {
    let auth = |password: &str| {
        format!("auth = {{ type = \"basic\", username = \"u$1\", password = {password} }}")
    };
    let loaded = |password: &str| {
        let text = format!("[[account]]\nid = 1\n{}", webhook("w", 1, &auth(password)));
        let folder = Folder::new("", &text).variable("P", "$flow.key.a");
        let webhooks = folder.loaded().1.webhooks;
        webhooks.values().next().unwrap().0.clone()
    };
    for (written, sent) in [
        ("'pa$$word%%x%%'", "pa$$word%%x%%"),
        ("'$flow.kee.x %word%'", "$flow.kee.x %word%"),
        ("{ env = \"P\" }", "$flow.key.a"),
    ] {
        let webhook = loaded(written);
        let Auth::Basic { username, password } = &webhook.auth else { panic!("{written}") };
        assert_eq!((username.as_str(), password.reveal()), ("u$1", sent));
        assert!(webhook.request.is_none());
    }
    let webhook = loaded("'$flow.key.a'");
    assert!(matches!(webhook.auth, Auth::None));
    let facts = br#"{"$flow.key.a":"p"}"#;
    let kept = crate::definition::facts::Kept::read(facts);
    let parts = webhook.request.as_ref().unwrap().render(&kept).unwrap();
    // `u$1:p`
    assert_eq!(parts.headers[0].1, "Basic dSQxOnA=");
    let shown = webhook.shown.as_ref().unwrap().render(&kept).unwrap();
    assert_eq!(
        (shown.headers[0].0.as_str(), &shown.headers[0].1),
        ("authorization", &"***".parse().unwrap())
    );
}

#[test]
fn names_that_seem_to_end_too_early_are_warnings() {
    let lines = "body = \"internal\"\nmethod_name = \"createOutbound\"\n\
        values = { \"$flow.syskey.flowID\" = \"$flow.key.a-b\" }\nquery = [{ name = \"q\", value = \"$flow.key.é\" }]";
    let template = "[[template]]\nname = \"t\"\ntype = \"json\"\nformat = '{\"a\": \"$flow.key.first-name\"}'\n";
    let text = format!("[[account]]\nid = 1\n{template}{}", webhook("w", 1, lines));
    let text =
        text.replace("$flow.key.é", "$flow.key.né").replace("https://a.b/", "https://a.b/$sms.a-");
    let folder = Folder::new("", &text);
    let said = |line: usize, key: &str, name: &str, column: usize| {
        let bare = name.trim_start_matches('$');
        format!(
            "accounts.toml:{line}: warning: {key}: a hyphen, a letter or a digit follows `{name}`, and is not a part of the \
             name (line 1, column {column}); write braces around the whole name if it is meant to be, else `${{{bare}}}`"
        )
    };
    let mut warnings = folder.warnings();
    warnings.retain(|warning| warning.contains("is not a part of the name"));
    let values = "webhook[w].values.$flow.syskey.flowID";
    assert_eq!(
        warnings,
        [
            said(6, "template[t].format", "$flow.key.first", 8),
            said(10, "webhook[w].url", "$sms.a", 13),
            said(13, values, "$flow.key.a", 1),
            said(14, "webhook[w].query[q].value", "$flow.key.n", 1),
        ]
    );
}

#[test]
fn lists_and_tags_that_are_mapped_to_another_variable_may_be_strings() {
    let lines = "body = \"json\"\ntokens = { prompt_responses = \"$flow.key.answers\", tags = \"$user.key.labels\" }\n\
        template = '{\"a\": [{\"q\": \"%question%\"}], \"all\": %prompt_responses%, \"t\": %tags%}'";
    let text = format!("[[account]]\nid = 1\n{}", webhook("w", 1, lines));
    let (_, accounts) = Folder::new("", &text).loaded();
    let record = r#"{"keys":[{"name":"$flow.key.answers","value":"[{\"question\": \"q\"}]"},
        {"name":"$user.key.labels","value":"{\"a\": 1}"}]}"#;
    let wanted = r#"{"a":[{"q":"q"}],"all":[{"question":"q"}],"t":{"a":1}}"#;
    assert_eq!(rendered(&accounts, "w", record), wanted);
}

#[test]
fn a_fault_of_a_template_names_the_key_that_has_its_text() {
    let text = "[[template]]\nname = \"t\"\ntype = \"json\"\nformat_file = \"t.json\"\n";
    let folder = Folder::new("", text).with("t.json", "{]");
    let faults = folder.faults();
    assert!(faults.len() == 1, "{faults:?}");
    assert!(faults[0].starts_with("accounts.toml:4: template[t].format_file: "), "{faults:?}");
}

#[test]
fn an_answer_does_not_set_the_outcome_of_its_webhook() {
    let lines = "response = { type = \"json\", map = [{ save_in = \"$flow.key.response_raw\", path = \"data.a\" }, \
        { save_in = \"$flow.key.a\", path = \"data.a\" }] }\ndefault = true";
    let text = format!("[[account]]\nid = 1\n{}", webhook("w", 1, lines));
    let folder = Folder::new("", &text);
    let warnings = folder.warnings();
    let wanted = "accounts.toml:7: warning: webhook[w].response.map[#1].save_in: the outcome of the webhook sets \
                  $flow.key.response_raw itself, so that this has no effect; give it another name";
    assert_eq!(warnings, [wanted]);
    let (_, accounts) = folder.loaded();
    let saves = accounts.definitions.saves(&WebhookName::new("w").unwrap());
    assert_eq!(saves, [Box::from("$flow.key.a")]);
}
