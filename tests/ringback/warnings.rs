//! What `ringback check` says about a configuration that is valid: a warning for each thing that is hardly meant, and an
//! explanation of what rules need.

use crate::harness::child::run_dir;
use crate::harness::daemon::command;

/// Every warning once, in the order of the lines.
const ACCOUNTS: &str = r#"[[account]]
id = 28
"account.sms.notifyOnDelivery" = true

[[account]]
id = 29
webhook_enabled = true

[[webhook]]
name = "crm"
account = 28
default = true
url = "https://crm.example.com/"
body = "none"

[[webhook]]
name = "began"
account = 28
url = "https://crm.example.com/began"
body = "json"
template = '{"sms": "$sms.id", "end": "%call_end_time%", "start": "%call_start_time%"}'
response = { type = "json", map = [{ save_in = "$flow.key.g", path = "x.glossary.title" }] }

[[webhook]]
name = "nobody"
account = 28
url = "https://crm.example.com/nobody"

[[flow]]
id = 7
account = 29
webhook_enabled = true

[[rule]]
account = 28
on = ["flow_started"]
webhook = "began"

[[rule]]
account = 28
on = ["sms:DELIVERD"]
webhook = "crm"
any_flow = false
"#;

#[test]
fn check_warns_of_everything_that_is_valid_and_hardly_meant() {
    let dir = tempfile::tempdir_in(run_dir()).expect("a directory");
    let config = dir.path().join("ringback.toml");
    std::fs::write(&config, "[topics]\nflow_started = \"flow-started\"\n").expect("a file");
    std::fs::write(dir.path().join("accounts.toml"), ACCOUNTS).expect("a file");
    let done = command(&["check", "--config", config.to_str().expect("a plain path")]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let folder = format!("{}/", dir.path().display());
    let of_accounts = done.err.lines().filter(|line| line.contains("accounts.toml"));
    let lines: Vec<String> = of_accounts.map(|line| line.replace(&folder, "")).collect();
    let wanted = [
        ("accounts.toml:7: warning: account[29].webhook_enabled: ", "account 29 has none"),
        ("accounts.toml:14: warning: webhook[crm].body: ", "write \"predefined\""),
        (
            "accounts.toml:22: warning: webhook[began].response.map[#1].path: ",
            "`data.glossary.title`",
        ),
        ("accounts.toml:25: warning: webhook[nobody].name: ", "neither a rule nor notify names it"),
        ("accounts.toml:32: warning: flow[7].webhook_enabled: ", "account 29 has none"),
        ("accounts.toml:36: warning: rule[#1].on: ", "$call.endTime (%call_end_time%), $sms.id"),
        ("accounts.toml:41: warning: rule[#2].on[#1]: ", "did you mean sms:DELIVERED?"),
        ("accounts.toml:34: note: rule[#1].any_flow: ", "any_flow = true"),
    ];
    for (index, (start, part)) in wanted.iter().enumerate() {
        let line = lines.iter().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{index}: {start}: {lines:#?}"));
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(lines.len(), wanted.len(), "{lines:#?}");
    assert!(done.out.contains("no faults"), "{done:?}");
}
