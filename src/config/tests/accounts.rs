//! The settings of `accounts.toml`, and its faults.

use super::{Folder, WHSEC, check};
use crate::config::Accounts;
use crate::delivery::{Auth, SentIn};
use crate::domain::{AccountId, WebhookName};
use std::time::Duration;

const ACCOUNT: &str = "[[account]]\nid = 1\n";

fn accounts(text: &str) -> Accounts {
    Folder::new("", text).loaded().1
}

/// Checks the faults of one webhook with `lines`, which start at line 6.
#[track_caller]
fn check_webhook(lines: &str, wanted: &[&str]) {
    let text = format!("{ACCOUNT}[[webhook]]\nname = \"w\"\naccount = 1\n{lines}");
    check("", &text, wanted);
}

#[test]
fn a_webhook_has_the_defaults_of_the_settings() {
    let settings =
        "[delivery]\nrequest_timeout_ms = 7\nattempts_max = 2\nin_flight_max_webhook = 3\n";
    let text =
        format!("{ACCOUNT}[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/c\"\n");
    let (_, accounts) = Folder::new(settings, &text).loaded();
    let (webhook, rules) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    assert_eq!(webhook.method, http::Method::POST);
    assert!(matches!(webhook.auth, Auth::None));
    assert_eq!(webhook.success.0, [(200, 299)]);
    assert_eq!(webhook.request_timeout, Duration::from_millis(7));
    assert!(!webhook.http1_only, "HTTP/2 is offered unless it is forbidden");
    assert_eq!(webhook.limits.rate_per_second, None);
    assert_eq!(webhook.limits.burst, None);
    assert_eq!(webhook.limits.in_flight_max.get(), 3);
    assert_eq!(rules.attempts_max, 2);
    assert_eq!(rules.retry.intervals_ms, [5000, 10_000]);
    let account = &accounts.accounts[&AccountId(1)];
    assert_eq!(account, &crate::domain::AccountPolicy::default());
    assert!(accounts.account_rates.is_empty());
}

#[test]
fn a_webhook_can_differ_in_everything() {
    let text = format!(
        "{ACCOUNT}http_enabled = true\n[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"http://a.b/c%20d?e={{f}}\"\n\
         method = \"PUT\"\nauth = {{ type = \"none\" }}\nsigning_secrets = [\"{WHSEC}\", \"{WHSEC}\"]\n\
         rate_per_second = 5\ntimeout_ms = 60000\nconnect_timeout_ms = 9\nconnection_max_age_s = 8\nhttp_version = \"1.1\"\nsuccess_codes = [204, 200, 201]\n\
         retry = {{ age_max_s = 2, initial_interval_ms = 1, multiplier = 3.0, interval_max_ms = 9, \
         randomization_factor = 0 }}\n",
    );
    let accounts = accounts(&text);
    let (webhook, rules) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    assert_eq!(webhook.method, http::Method::PUT);
    assert_eq!(webhook.signing_secrets.len(), 2);
    assert_eq!(webhook.limits.burst.unwrap().get(), 5, "the burst is the rate unless set");
    assert_eq!(webhook.request_timeout, Duration::from_secs(60));
    assert_eq!(webhook.connect_timeout, Duration::from_millis(9));
    assert_eq!(webhook.connection_max_age, Duration::from_secs(8));
    assert!(webhook.http1_only);
    assert_eq!(webhook.success.0, [(200, 201), (204, 204)]);
    assert_eq!(rules.age_max_ms, 2000);
    assert_eq!(rules.retry.intervals_ms, [1, 3, 9]);
    assert!(rules.retry.randomization_factor.abs() < f64::EPSILON);
}

#[test]
fn the_platforms_settings_may_be_written_without_quotes() {
    let accounts = accounts(
        "[[account]]\nid = 1\naccount.sms.notifyOnDelivery = true\n[[account]]\nid = 2\n\
         \"account.sms.notifyOnDelivery\" = true\naccount.sms.notifyOnDelivery.attachflowkeys = true\n",
    );
    let flags = |id| {
        let account = &accounts.accounts[&AccountId(id)];
        (account.notify_on_delivery, account.attach_flow_keys)
    };
    assert_eq!((flags(1), flags(2)), ((true, false), (true, true)));
    check(
        "",
        "[[account]]\nid = 1\naccount.sms.notifyOnDeliver = true\n\"account.sms.notifyOnDelivery\" = true\n\
         [[account]]\nid = 2\naccount.sms.notifyOnDelivery = true\n\"account.sms.notifyOnDelivery\" = true\n",
        &[
            "accounts.toml:3: account[1].account.sms.notifyOnDeliver: unknown key; did you mean \
             `account.sms.notifyOnDelivery`?",
            "accounts.toml:7: account.sms.notifyOnDelivery: is set twice here; keep one of the two spellings",
        ],
    );
}

#[test]
fn a_url_must_be_https_and_complete_and_without_secrets() {
    for (url, wanted) in [
        (
            "http://a.b/",
            "is http://, and its account does not allow that; write https://, or set http_enabled = true at the \
             [[account]]",
        ),
        ("ftp://a.b/", "is not an https:// URL; write https://, the only scheme beside http://"),
        (
            "https://u:hush@a.b/",
            "holds credentials, which would show in logs; move them to auth = { type = \"basic\", … }",
        ),
        (
            "https://a.b/#c",
            "has a fragment, which no request carries; remove `#` and what follows it",
        ),
        (
            "a.b/c",
            "is not a URL: relative URL without a base; write it as in \"https://example.com/hooks/phonon\"",
        ),
        (
            "https://a.b/$Flow.key.x",
            "bad template of URL: `$Flow.key.x` is not a variable (line 1, column 13); did you mean `$flow.key.x`? \
             `$$` stands for a plain `$`",
        ),
        (
            "https://a.b/?c=%targett%",
            "bad template of URL: the token `%targett%` does not exist (line 1, column 16); did you mean `%target%`? \
             `%%targett%%` stands for the text itself",
        ),
        (
            "https://a.b/{c",
            "bad template of URL: its braces do not match; write the whole URL out, and %7B and %7D for braces",
        ),
    ] {
        check_webhook(
            &format!("url = \"{url}\""),
            &[&format!("accounts.toml:6: webhook[w].url: {wanted}")],
        );
    }
}

#[test]
fn tokens_are_checked_as_far_as_they_can_be() {
    check_webhook(
        "url = \"https://a.b/\"\nauth = { type = \"bearer\", token = \"Bearer x\" }\n",
        &[
            "accounts.toml:7: webhook[w].auth.token: is empty, or has a character that a header cannot carry; write the \
           token alone, without the word Bearer",
        ],
    );
    check_webhook(
        "url = \"https://a.b/\"\nauth = { type = \"oauth2\", token_url = \"http://a.b/\", client_id = \"c\", \
         client_secret = \"s\" }\n",
        &[
            "accounts.toml:7: webhook[w].auth.token_url: is http://, and its account does not allow that; write \
           https://, or set http_enabled = true at the [[account]]",
        ],
    );
    check_webhook(
        "url = \"https://a.b/\"\nauth = { type = \"oauth2\", token = \"t\" }\n",
        &[
            "accounts.toml:7: webhook[w].auth: its type is `oauth2`, and it has no `token_url`, `client_id`, \
             `client_secret`; write it as { type = \"oauth2\", token_url = \"https://…\", client_id = \"…\", \
             client_secret = { env = \"NAME\" } }",
            "accounts.toml:7: webhook[w].auth: its type is `oauth2`, which has no `token`; remove it, or write the type \
             that it belongs to",
        ],
    );
    let text = format!(
        "{ACCOUNT}[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/c\"\nauth = {{ type = \"oauth2\", \
         token_url = \"https://a.b/t\", client_id = \"c\", client_secret = \"hush\", scope = \"a b\", audience = \
         \"x\", credentials_in = \"body\" }}\n"
    );
    let (_, accounts) = Folder::new("", &text).loaded();
    let (webhook, _) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    let Auth::OAuth2(credentials) = &webhook.auth else { panic!("{:?}", webhook.auth) };
    assert_eq!(credentials.token_url.as_str(), "https://a.b/t");
    assert_eq!(credentials.client_secret.reveal(), "hush");
    assert_eq!(credentials.sent_in, SentIn::Body);
    assert_eq!(
        (credentials.scope.as_deref(), credentials.audience.as_deref()),
        (Some("a b"), Some("x"))
    );
    assert!(!format!("{webhook:?}").contains("hush"));
}

#[test]
fn every_part_of_response_settings_is_checked() {
    check_webhook(
        "url = \"https://a.b/\"\nresponse = { type = \"json\", namespaces = { p = \"u\" }, map = [\
         { save_in = \"$sms.id\", path = \"a[-1]\" }, { save_in = \"$flow.key.a\", path = \"a.b[0]\" }, \
         { save_in = \"$flow.key.a\", path = \"b\" }] }\n",
        &[
            "accounts.toml:7: webhook[w].response.map[#1].save_in: is not a variable that an answer can set; \
             write it as $flow.key.NAME, with letters, digits and underscores, or as ${flow.key.NAME}",
            "accounts.toml:7: webhook[w].response.map[#3].save_in: $flow.key.a is set twice; give one of them \
             another name",
            "accounts.toml:7: webhook[w].response.namespaces: JSON has no namespaces; remove it",
            "accounts.toml:7: webhook[w].response.map[#1].path: an index counts from the beginning, so it is not negative (column 3); write 0 for the \
             first item",
        ],
    );
    check_webhook(
        "url = \"https://a.b/\"\nmethod = \"HEAD\"\nresponse = { type = \"json\" }\n",
        &[
            "accounts.toml:8: webhook[w].response: has no effect: the answer to a HEAD request has no body; remove \
             it, or set another method",
        ],
    );
    check_webhook(
        "url = \"https://a.b/\"\nresponse = { type = \"xml\", map = [{ save_in = \"$user.key.a\", path = \"//q:a\" }] }\n",
        &[
            "accounts.toml:7: webhook[w].response.map[#1].path: the prefix `q` is not declared (column 3); declare it \
             in the definition, or write `*[local-name()='…']`",
        ],
    );
    let text = format!(
        "{ACCOUNT}[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/c\"\nresponse = {{ type = \"xml\", \
         namespaces = {{ q = \"u\" }}, map = [{{ save_in = \"$user.key.a\", path = \"//q:a\" }}] }}\n"
    );
    let (_, accounts) = Folder::new("", &text).loaded();
    let (webhook, _) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    let response = webhook.response.as_ref().unwrap();
    assert_eq!((response.save_in[0].as_deref(), response.retry), (Some("$user.key.a"), false));
    let found = response.map.apply(b"<a xmlns='u'>1</a>").unwrap();
    assert_eq!(found, [(0, "\"1\"".to_owned())]);
}

#[test]
fn each_part_of_a_webhook_is_checked() {
    check_webhook(
        r#"url = "https://a.b/"
method = "post"
auth = { type = "basic", username = "u" }
signing_secrets = ["hush", "whsec_hush!", "whsec_aHVzaA==", { env = "NOT_SET" }]
burst = 5
timeout_ms = 5
request_timeout_ms = 5
success_codes = [99, 200]
ca_file = "missing.pem"
client_key_file = "client.key"
retry = { attempts_max = 0, initial_interval_ms = 5, interval_max_ms = 4, max = 1 }
"#,
        &[
            "accounts.toml:7: webhook[w].method: unknown word `post`; did you mean `POST`?",
            "accounts.toml:8: webhook[w].auth: its type is `basic`, and it has no `password`; write it as \
             { type = \"basic\", username = \"…\", password = { env = \"NAME\" } }",
            "accounts.toml:9: webhook[w].signing_secrets[#1]: a signing secret starts with `whsec_` or `whsk_`; make \
             one with `ringback secret new`",
            "accounts.toml:9: webhook[w].signing_secrets[#2]: the text after `whsec_` is not base64; make a secret with \
             `ringback secret new`",
            "accounts.toml:9: webhook[w].signing_secrets[#3]: a signing secret has 24 to 64 bytes, this one has 4; \
             make one with `ringback secret new`",
            "accounts.toml:9: webhook[w].signing_secrets[#4]: the environment variable `NOT_SET` is not set; set it, \
             or write { file = \"PATH\" }",
            "accounts.toml:10: webhook[w].burst: has no meaning without a rate; set `rate_per_second` or `rate` too, \
             or remove it",
            "accounts.toml:11: webhook[w].timeout_ms: is another name of `request_timeout_ms`, which is set too; \
             keep one of them",
            "accounts.toml:13: webhook[w].success_codes[#1]: is 99; write a whole number from 100 to 599",
            "accounts.toml:14: webhook[w].ca_file: cannot read missing.pem: No such file or directory (os error 2); \
             name a file that this user may read",
            "accounts.toml:15: webhook[w].client_key_file: has no certificate; set `client_certificate_file` too, or \
             remove it",
            "accounts.toml:16: webhook[w].retry.attempts_max: is 0; write a whole number from 1 to 10000",
            "accounts.toml:16: webhook[w].retry.max: unknown key; remove it; known here: age_max_s, attempts_max, \
             disable_after_s, initial_interval_ms, interval_max_ms, multiplier, randomization_factor, \
             retry_after_max_s, statuses",
            "accounts.toml:16: webhook[w].retry.interval_max_ms: is shorter than `initial_interval_ms`; write 5 or \
             more",
        ],
    );
    check_webhook(
        "url = \"https://a.b/\"\nauth = { type = \"none\", username = \"u\" }\nattempts_max = 5\nsuccess_codes = []\n",
        &[
            "accounts.toml:7: webhook[w].auth: its type is `none`, which has no `username`; remove it, or write the \
             type that it belongs to",
            "accounts.toml:8: webhook[w].attempts_max: unknown key; `attempts_max` is a key of `webhook.retry`",
            "accounts.toml:9: webhook[w].success_codes: is an empty list; name at least one, or remove the key",
        ],
    );
    check_webhook(
        "url = \"https://a.b/\"\nrequest_timeout_ms = 60001\nconnect_timeout_ms = 60001\n\
         connection_max_age_s = 86401\n",
        &[
            "accounts.toml:7: webhook[w].request_timeout_ms: is 60001; write a whole number from 1 to 60000",
            "accounts.toml:8: webhook[w].connect_timeout_ms: is 60001; write a whole number from 1 to 60000",
            "accounts.toml:9: webhook[w].connection_max_age_s: is 86401; write a whole number from 1 to 86400",
        ],
    );
    check_webhook(
        &format!(
            "url = \"https://a.b/\"\nnotes = \"{}\"\nauth = {{ type = \"digest\" }}\n",
            "n".repeat(1001)
        ),
        &[
            "accounts.toml:7: webhook[w].notes: has 1001 characters; shorten it to 1000 characters",
            "accounts.toml:8: webhook[w].auth.type: unknown word `digest`; write one of none, basic, Basic, bearer, oauth2",
        ],
    );
}

#[test]
fn http_1_1_is_the_only_version_that_can_be_forced() {
    check_webhook(
        "url = \"https://a.b/\"\nhttp_version = \"2\"\n",
        &["accounts.toml:7: webhook[w].http_version: unknown word `2`; write one of 1.1"],
    );
}

#[test]
fn certificates_are_read_when_they_are_loaded() {
    let lines = |ca: &str, certificate: &str, key: &str| {
        format!(
            "{ACCOUNT}[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/\"\nca_file = \"{ca}\"\n\
             client_certificate_file = \"{certificate}\"\nclient_key_file = \"{key}\"\n"
        )
    };
    let folder = |text: &str| {
        Folder::new("", text)
            .with("good.pem", include_bytes!("tls/client.pem"))
            .with("good.key", include_bytes!("tls/client.key"))
            .with("other.key", include_bytes!("tls/other.key"))
            .with("text", "hush")
            .with("odd.pem", "-----BEGIN CERTIFICATE-----\naHVzaA==\n-----END CERTIFICATE-----\n")
    };
    folder(&lines("good.pem", "good.pem", "good.key")).loaded();
    for (text, key, wanted) in [
        (lines("text", "good.pem", "good.key"), "7: webhook[w].ca_file", "holds no certificate"),
        (lines("odd.pem", "good.pem", "good.key"), "7: webhook[w].ca_file", "holds a certificate"),
        (
            lines("good.pem", "text", "good.key"),
            "8: webhook[w].client_certificate_file",
            "holds no certificate",
        ),
        (
            lines("good.pem", "good.pem", "text"),
            "9: webhook[w].client_key_file",
            "holds no private",
        ),
        (
            lines("good.pem", "good.pem", "other.key"),
            "9: webhook[w].client_key_file",
            "does not fit",
        ),
    ] {
        let faults = folder(&text).faults();
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(fault.starts_with(&format!("accounts.toml:{key}: {wanted}")), "{fault}");
        assert!(!fault.contains("hush"), "{fault}");
    }
}

#[test]
fn entries_agree_with_each_other() {
    check(
        "",
        r#"[[account]]
id = 1
[[account]]
id = 1
[[webhook]]
name = "a"
account = 1
default = true
url = "https://a.b/"
[[webhook]]
name = "a"
account = 1
url = "https://a.b/"
[[webhook]]
name = "b"
account = 1
default = true
url = "https://a.b/"
[[webhook]]
name = "no good"
account = 2
url = "http://a.b/"
[[webhook]]
[[flow]]
id = 5
account = 3
webhook_enabled = true
[[flow]]
id = 6
account = 1
webhook_enabled = true
[[flow]]
id = 6
account = 1
webhook_enabled = false
"#,
        &[
            "accounts.toml:4: account[1].id: account 1 is already defined in line 2; give it another id",
            "accounts.toml:11: webhook[a].name: webhook a is already defined in line 6; give it another name",
            "accounts.toml:17: webhook[b].default: webhook a is the default of account 1 too; keep `default = true` at \
             one of them",
            "accounts.toml:20: webhook[no good].name: is not a webhook's name; use 1 to 64 letters, digits, dots, \
             hyphens and underscores",
            "accounts.toml:21: webhook[no good].account: account 2 is not configured; add an [[account]] with id = 2, \
             or name an existing one: 1",
            "accounts.toml:23: webhook[#5].name: is missing; add `name`: text",
            "accounts.toml:23: webhook[#5].account: is missing; add `account`: a whole number",
            "accounts.toml:23: webhook[#5].url: is missing; add `url`: text",
            "accounts.toml:26: flow[5].account: account 3 is not configured; add an [[account]] with id = 3, or name \
             an existing one: 1",
            "accounts.toml:33: flow[6].id: flow 6 of account 1 is already defined in line 29; remove one of them",
        ],
    );
}

#[test]
fn faults_of_both_files_come_at_once_and_none_hides_another() {
    check(
        "[kafka]\ngroup_id = 1\n[http]\nlisten = \"0.0.0.0:1\"\n",
        "[[account]]\nid = 1\nhttp_enabld = true\nrate_per_second = -1\n[[webhook]]\nname = \"w\"\naccount = 1\n\
         url = \"ftp://x/\"\nmethod = 5\nauth = 1\n[[flow]]\nid = \"x\"\naccount = 9\nwebhook_enabled = 1\n",
        &[
            "accounts.toml:3: account[1].http_enabld: unknown key; did you mean `http_enabled`?",
            "accounts.toml:4: account[1].rate_per_second: is -1; write a number from 0 to 1000000",
            "accounts.toml:8: webhook[w].url: is not an https:// URL; write https://, the only scheme beside http://",
            "accounts.toml:9: webhook[w].method: is a \
             whole number; write one of GET, POST, PUT, PATCH, DELETE, OPTIONS, OPTION, HEAD",
            "accounts.toml:10: webhook[w].auth: is a whole number; write a table",
            "accounts.toml:12: flow[x].id: is text; write a whole number",
            "accounts.toml:13: flow[x].account: account 9 is not configured; add an [[account]] with id = 9, or name \
             an existing one: 1",
            "accounts.toml:14: flow[x].webhook_enabled: is a whole number; write true or false",
            "ringback.toml:2: kafka.group_id: is a whole number; write text",
            "ringback.toml:4: http.listen: 0.0.0.0 can be reached from other hosts, and there is no `http.token`; set \
             token = { env = \"NAME\" } under [http], or listen on 127.0.0.1",
        ],
    );
}

#[test]
fn a_list_of_tables_has_two_brackets() {
    check(
        "",
        "[account]\nid = 1\n",
        &[
            "accounts.toml:1: account: is a table; write [[account]], with two brackets on each side",
        ],
    );
}

#[test]
fn the_fault_of_a_missing_accounts_file_names_its_key() {
    let folder = Folder::new("[accounts]\nfile = \"none.toml\"\n", "");
    let faults = folder.faults();
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert!(fault.starts_with("none.toml: cannot be read: "), "{fault}");
    assert!(fault.contains("`accounts.file` of ringback.toml"), "{fault}");
}

#[test]
fn a_secret_of_a_header_is_sent_unchanged_and_never_shown() {
    let text = format!(
        "{ACCOUNT}[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/c\"\nheaders = [{{ name = \"X-Key\", \
         value = {{ env = \"KEY\" }} }}]\nquery = [{{ name = \"k\", value = {{ env = \"KEY\" }} }}]\n"
    );
    let secret = "a%cd_ef%9 $call.x $$flow.key.y %%ani%%";
    let folder = Folder::new("", &text).variable("KEY", secret);
    let (_, accounts) = folder.loaded();
    let (webhook, _) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    let none = crate::definition::facts::Kept::read(b"{}");
    let sent = webhook.request.as_ref().unwrap().render(&none).unwrap();
    let (_, value) = &sent.headers[0];
    assert_eq!((value.as_bytes(), value.is_sensitive()), (secret.as_bytes(), true));
    let pairs: Vec<_> = sent.url.query_pairs().collect();
    assert_eq!(pairs[0].1, secret);
    let shown = webhook.shown_parts(None).unwrap();
    assert_eq!((shown.url.query(), shown.headers[0].1.as_bytes()), (Some("k=***"), &b"***"[..]));
    assert!(!format!("{webhook:?}").contains("cd_ef"));
}

#[test]
fn doubled_signs_in_a_url_are_plain_ones_without_a_variable_too() {
    for (url, sent) in [
        ("https://a.b/$$flow.key.x/%%ani%%", "https://a.b/$flow.key.x/%25ani%25"),
        ("https://a.b/c?price=$$5&t=%%ani%%", "https://a.b/c?price=$5&t=%25ani%25"),
        ("https://a.b/100%/c?d=50%25", "https://a.b/100%/c?d=50%25"),
    ] {
        let text = format!("{ACCOUNT}[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"{url}\"\n");
        let (_, accounts) = Folder::new("", &text).loaded();
        let (webhook, _) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
        let parts = webhook.shown_parts(None);
        let shown = parts.as_ref().map_or(&webhook.url, |parts| &parts.url);
        assert_eq!(shown.as_str(), sent, "{url}");
    }
}
