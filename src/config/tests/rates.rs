//! The spellings of rates: of the instance, of an account and of a webhook.

use super::{Folder, check};
use crate::delivery::PerSecond;
use crate::domain::{AccountId, WebhookName};

const WEBHOOK: &str = "[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/\"\n";

/// Returns the rates of the instance, of the account and of the webhook, and the webhook's burst.
fn rates(line: &str) -> ([Option<PerSecond>; 3], Option<u32>) {
    let settings = format!("[delivery]\n{line}\n");
    let accounts = format!("[[account]]\nid = 1\n{line}\n{WEBHOOK}{line}\n");
    let (settings, accounts) = Folder::new(&settings, &accounts).loaded();
    let (webhook, _) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    let of_account = accounts.account_rates.get(&AccountId(1)).copied();
    let rates = [settings.delivery.rate_per_second, of_account, webhook.limits.rate_per_second];
    (rates, webhook.limits.burst.map(Into::into))
}

#[test]
fn a_rate_is_a_number_per_second_or_per_unit() {
    for (line, per_second, burst) in [
        ("rate_per_second = 5", 5.0, 5),
        ("rate_per_second = 0.5", 0.5, 1),
        ("rate_per_second = 2.5", 2.5, 2),
        ("rate = \"30/min\"", 0.5, 1),
        ("rate = \"7/s\"", 7.0, 7),
        ("rate = \"7200/h\"", 2.0, 2),
        ("rate = \"0.5 / second\"", 0.5, 1),
    ] {
        let rate = PerSecond::new(per_second);
        assert!(rate.is_some());
        assert_eq!(rates(line), ([rate; 3], Some(burst)), "{line}");
    }
    for line in ["rate_per_second = 0", "rate_per_second = 0.0", "rate = \"0/min\"", ""] {
        assert_eq!(rates(line), ([None; 3], None), "{line}");
    }
}

#[test]
fn a_burst_can_be_combined_with_a_rate() {
    let text = format!("[[account]]\nid = 1\n{WEBHOOK}rate = \"30/min\"\nburst = 3\n");
    let (_, accounts) = Folder::new("", &text).loaded();
    let (webhook, _) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    assert_eq!(webhook.limits.burst.map(u32::from), Some(3));
}

#[test]
fn faults_of_a_rate_name_file_key_and_fix() {
    let both = "rate_per_second = 1\nrate = \"1/s\"\n";
    check(
        &format!("[delivery]\n{both}"),
        &format!("[[account]]\nid = 1\n{both}{WEBHOOK}{both}"),
        &[
            "accounts.toml:4: account[1].rate: means the same as `rate_per_second`, which is set too; keep one of them",
            "accounts.toml:10: webhook[w].rate: means the same as `rate_per_second`, which is set too; keep one of \
             them",
            "ringback.toml:3: delivery.rate: means the same as `rate_per_second`, which is set too; keep one of them",
        ],
    );
    let units = "write a number and a unit, such as \"5/s\", \"30/min\", \"100/h\" or \"1/d\"";
    for (line, fault) in [
        ("rate = \"30/week\"", format!("rate: is not a rate; {units}")),
        ("rate = \"often\"", format!("rate: is not a rate; {units}")),
        ("rate = \"-1/s\"", format!("rate: is not a rate; {units}")),
        ("rate = 5", "rate: is a whole number; write text".to_owned()),
        (
            "rate = \"2000000/s\"",
            "rate: is more than 1000000 a second; write less, or 0 for no limit".to_owned(),
        ),
        (
            "rate = \"0.1/d\"",
            "rate: is less than one a day; write more, or 0 for no limit".to_owned(),
        ),
        (
            "rate_per_second = 0.000001",
            "rate_per_second: is less than one a day; write more, or 0 for no limit".to_owned(),
        ),
        (
            "rate_per_second = \"5\"",
            "rate_per_second: is text; write a number from 0 to 1000000".to_owned(),
        ),
    ] {
        let text = format!("[[account]]\nid = 1\n{WEBHOOK}{line}\n");
        check("", &text, &[&format!("accounts.toml:7: webhook[w].{fault}")]);
    }
}
