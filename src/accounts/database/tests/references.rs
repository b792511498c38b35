//! Files and variables to which rows can refer.

use super::{World, accounts, webhooks};

#[test]
fn rows_can_not_refer_to_the_secrets_of_the_daemon_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let settings = |more: &str| {
        format!(
            "[store]\ndirectory = {:?}\n[accounts]\nsource = \"mysql\"\n[accounts.mysql]\nurl = {{ env = \"OWN_URL\" }}\n{more}",
            path("data"),
        )
    };
    let variables = || {
        let url = "mysql://ringback:hush@127.0.0.1/platform".to_owned();
        let all = [
            ("OWN_URL", url),
            ("CRM", "theirs".to_owned()),
            ("ringback__KAFKA__GROUP_ID", "g".to_owned()),
        ];
        all.map(|(name, value)| (name.to_owned(), value)).into()
    };
    std::fs::create_dir(path("data")).unwrap();
    for name in ["crm", "data/accounts.snapshot"] {
        std::fs::write(path(name), "theirs").unwrap();
    }
    let token = |reference: &str| {
        let definition = format!(r#"{{"auth": {{"type": "bearer", "token": {reference}}}}}"#);
        webhooks(&[&["7", "crm", "28", "1", "https://crm.example.com/", &definition]])
    };
    let of_file = |name: &str| format!(r#"{{"file": {:?}}}"#, path(name));
    let own = |path: &str| format!(r#"{{"file": {path:?}}}"#);
    for (more, reference, problem) in [
        ("", r#"{"env": "CRM"}"#.to_owned(), None),
        ("", of_file("crm"), None),
        ("", r#"{"env": "OWN_URL"}"#.to_owned(), Some("belongs to the daemon's own configuration")),
        (
            "",
            r#"{"env": "ringback__KAFKA__GROUP_ID"}"#.to_owned(),
            Some("belongs to the daemon's own configuration"),
        ),
        ("", of_file("ringback.toml"), Some("belongs to the daemon's own configuration")),
        (
            "",
            of_file("data/../data/accounts.snapshot"),
            Some("belongs to the daemon's own configuration"),
        ),
        ("", own("/proc/self/environ"), Some("is not a regular file")),
        ("", own("/dev/zero"), Some("is not a regular file")),
        (
            "references = false",
            r#"{"env": "CRM"}"#.to_owned(),
            Some("rows can't refer to files and variables"),
        ),
        ("references = false", of_file("crm"), Some("rows can't refer to files and variables")),
    ] {
        let mut world = World::with(folder.path(), &settings(more), variables());
        world.apply(&[accounts(&[&["28", "1", "0"]]), token(&reference)]);
        let faults = world.faults();
        match problem {
            None => assert_eq!(faults, Vec::<String>::new(), "{reference}"),
            Some(problem) => {
                assert_eq!((faults.len(), world.url("crm")), (1, None), "{reference}: {faults:?}");
                assert!(faults[0].contains(problem), "{reference}: {faults:?}");
            }
        }
    }
}
