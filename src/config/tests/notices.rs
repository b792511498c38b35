//! The webhook of an account that gets notices about its endpoints.

use super::{Folder, check};
use crate::config::Accounts;
use crate::domain::{AccountId, NoticePolicy, WebhookName};

const ACCOUNT: &str = "[[account]]\nid = 1\n";

fn accounts(text: &str) -> Accounts {
    Folder::new("", text).loaded().1
}

#[test]
fn an_account_names_one_of_its_webhooks_for_notices() {
    let webhook = |name: &str, lines: &str| {
        format!("[[webhook]]\nname = \"{name}\"\naccount = 1\nurl = \"https://a.b/c\"\n{lines}")
    };
    let text = format!("{ACCOUNT}notify = \"ops\"\n{}", webhook("ops", ""));
    let notices = accounts(&text).accounts[&AccountId(1)].notices.clone().unwrap();
    let name = WebhookName::new("ops").unwrap();
    assert_eq!(
        notices,
        NoticePolicy { webhook: name, after_ms: 600_000, dead_letters: 10 },
        "the defaults"
    );
    let text = format!(
        "{ACCOUNT}notify = \"ops\"\nnotify_after_s = 5\nnotify_dead_letters = 1\n{}",
        webhook("ops", "")
    );
    let notices = accounts(&text).accounts[&AccountId(1)].notices.clone().unwrap();
    assert_eq!((notices.after_ms, notices.dead_letters), (5000, 1));

    let named = |webhooks: &str| format!("{ACCOUNT}notify = \"ops\"\n{webhooks}");
    check(
        "",
        &named(&webhook("opz", "default = true\n")),
        &["accounts.toml:3: account[1].notify: account 1 has no webhook `ops`; write `opz`"],
    );
    let problem = "accounts.toml:3: account[1].notify: webhook `ops` has variables or a body of its own, and a notice belongs to \
                   no flow; name a [[webhook]] with body = \"predefined\" and without variables";
    for lines in ["body = \"json\"\ntemplate = '{\"a\": 1}'\n", "body = \"none\"\n"] {
        check("", &named(&webhook("ops", lines)), &[problem]);
    }
    let lines = "query = [{ name = \"caller\", value = \"$call.calleeNumber\" }]\n";
    check("", &named(&webhook("ops", lines)), &[problem]);
}
