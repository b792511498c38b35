//! A directory of accounts files: each file is read at the start and at a reload, and a fault names its file.

use super::{event, reload};
use crate::harness::PATIENCE;
use crate::harness::samples::{self, ACCOUNT};
use crate::harness::stage::Stage;
use serde_json::Value;

#[test]
fn files_of_a_directory_are_one_source_and_a_fault_names_its_file() {
    let mut stage = Stage::new("reloads-directory");
    stage.set("accounts.file", "accounts.d");
    let directory = stage.instance_dir(0).join("accounts.d");
    std::fs::create_dir_all(&directory).expect("a directory");
    let write = |name: &str, account: i64, url: &str| {
        let text = format!(
            "[[account]]\nid = {account}\nhttp_enabled = true\n\n[[webhook]]\nname = 'hook-{account}'\n\
             account = {account}\ndefault = true\nurl = '{url}'\n"
        );
        std::fs::write(directory.join(name), text).expect("a file");
    };
    write("one.toml", ACCOUNT, &stage.receiver.url("/one"));
    let daemon = stage.start();
    stage.send_flows(&[samples::flow("first", &[])]);
    assert_eq!(stage.receiver.wait_for(1, PATIENCE)[0].path, "/one");

    write("two.toml", 2900, &stage.receiver.url("/two"));
    reload(&stage, &daemon, "applied", 1.0);
    let mut flow = samples::flow("second", &[]);
    flow["accountID"] = 2900.into();
    stage.send_flows(&[flow]);
    assert_eq!(stage.receiver.wait_for(2, PATIENCE)[1].path, "/two");
    let (_, page) = daemon.get("/api/v1/accounts/2900").expect("an answer");
    let shown = stage.command(&["account", "show", "2900", "--json"]);
    let (of_daemon, of_command): (Value, Value) = (
        serde_json::from_str(&page).expect("JSON"),
        serde_json::from_str(&shown.out).expect("JSON"),
    );
    assert_eq!(of_daemon, of_command, "the daemon and the command agree");
    let settings = of_daemon["settings"].as_array().expect("a list");
    let find = |key: &str| settings.iter().find(|it| it["key"] == key).expect("a setting");
    let url = find("webhook[hook-2900].url");
    assert_eq!(url["line"], 9, "{url}");
    assert!(url["file"].as_str().expect("a file").ends_with("accounts.d/two.toml"), "{url}");
    assert_eq!(find("account[2900].account.sms.notifyOnDelivery")["source"], "default");

    write("two.toml", 2900, "htps://wrong");
    write("one.toml", ACCOUNT, &stage.receiver.url("/moved"));
    reload(&stage, &daemon, "refused", 1.0);
    let said = event(&stage, "reload_refused");
    let detail = said["detail"].as_str().expect("a text");
    assert!(detail.contains("accounts.d/two.toml:9: webhook[hook-2900].url"), "{detail}");
    let checked = stage.command(&["check"]);
    assert_eq!(checked.code, Some(78));
    assert!(checked.err.contains("accounts.d/two.toml:9: "), "{checked:?}");
    stage.send_flows(&[samples::flow("third", &[])]);
    assert_eq!(stage.receiver.wait_for(3, PATIENCE)[2].path, "/one", "a file is all or nothing");
}
