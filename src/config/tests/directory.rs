//! A directory in the place of the accounts file.

use super::Folder;

/// Expects a fault with this beginning.
#[track_caller]
fn expect(faults: &[String], wanted: &str) {
    assert!(faults.iter().any(|fault| fault.starts_with(wanted)), "{wanted}: {faults:#?}");
}

#[test]
fn the_files_of_a_directory_count_as_one_file_and_a_fault_names_its_file() {
    let folder = Folder::new("[accounts]\nfile = \"accounts.d\"\n", "");
    let directory = folder.path("accounts.d");
    std::fs::create_dir(&directory).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let fix = "create it, or name another one: `accounts.file` of ringback.toml";
    assert_eq!(folder.faults(), [format!("accounts.d: has no file *.toml; {fix}")]);

    let webhook =
        "[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://w.invalid/\"\ndefault = true\n";
    write("b.toml", webhook);
    write("a.toml", "[[account]]\nid = 1\n[[account]]\nid = 2\n");
    // Neither an editor's file nor other files count.
    write(".a.toml", "not TOML at all");
    write("notes.txt", "not TOML at all");
    let (_, accounts) = folder.loaded();
    assert_eq!(accounts.accounts.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(accounts.webhooks.len(), 1);

    write("c.toml", "account = 5\n");
    write("e.toml", "flow = ");
    let faults = folder.faults();
    expect(&faults, "accounts.d/c.toml:1: account: is a whole number");
    expect(&faults, "accounts.d/e.toml:1: is not TOML");
    std::fs::remove_file(directory.join("e.toml")).unwrap();
    write("c.toml", webhook);
    write("d.toml", "[[flow]]\nid = 1\n");
    let faults = folder.faults();
    let twice =
        "accounts.d/c.toml:2: webhook[w].name: webhook w is already defined: accounts.d/b.toml:2";
    expect(&faults, twice);
    expect(&faults, "accounts.d/d.toml:1: flow[1].account: is missing");
}
