//! A page of the guide as an operator follows it: its commands, taken from its text, in their order.

use crate::harness::daemon::{Daemon, Done};
use crate::harness::stage::{Stage, TOPICS};
use crate::harness::{PATIENCE, wait_until};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Where the pages are.
pub(super) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/guide")
}

/// A page.
pub(super) struct Page {
    name: &'static str,
    /// Without the line ends of its paragraphs.
    text: String,
    /// The heading that each stands below, and the command.
    commands: Vec<(String, String)>,
    ran: Mutex<BTreeSet<usize>>,
}

impl Page {
    pub(super) fn open(name: &'static str) -> Self {
        let text = std::fs::read_to_string(directory().join(name)).expect("a page of the guide");
        let (commands, ran) = (commands(&text), Mutex::default());
        Self { name, text: words(&text), commands, ran }
    }

    /// An operator who begins to follow it.
    pub(super) fn follow(&self) -> Reader<'_> {
        Reader { page: self, at: 0, names: Vec::new() }
    }

    /// Panics unless somebody ran every command.
    pub(super) fn is_followed(&self) {
        let ran = self.ran.lock().expect("no panic inside");
        let commands = self.commands.iter().enumerate();
        let left = commands.filter(|(index, _)| !ran.contains(index)).map(|(_, command)| command);
        let left: Vec<_> = left.collect();
        assert!(left.is_empty(), "{}: no scene runs {left:?}", self.name);
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `ringback …` in a paragraph, and every line of a code block.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    let mut heading = String::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            // The first line names the language.
            let lines = part.lines().skip(1).map(str::trim).filter(|line| !line.is_empty());
            commands.extend(lines.map(|line| (heading.clone(), line.to_owned())));
            continue;
        }
        for section in part.split("\n## ").enumerate() {
            let (place, section) = section;
            if place > 0 {
                section.lines().next().unwrap_or_default().clone_into(&mut heading);
            }
            let inline = section.split('`').skip(1).step_by(2).map(words);
            let inline = inline.filter(|code| code.starts_with("ringback "));
            commands.extend(inline.map(|code| (heading.clone(), code)));
        }
    }
    commands
}

/// Somebody who follows a page from its beginning to its end, and may leave commands out.
pub(super) struct Reader<'a> {
    page: &'a Page,
    at: usize,
    /// What the page calls something, and what it is here.
    names: Vec<(&'static str, String)>,
}

impl Reader<'_> {
    /// What the page calls `name` is `real` here.
    pub(super) fn call(mut self, name: &'static str, real: impl Into<String>) -> Self {
        self.names.push((name, real.into()));
        self
    }

    /// Begins below this heading.
    pub(super) fn below(mut self, heading: &str) -> Self {
        let found = self.page.commands.iter().position(|(below, _)| below == heading);
        self.at = found.unwrap_or_else(|| panic!("{}: nothing below {heading}", self.page.name));
        self
    }

    /// The page's next command that reads like this, with the names of this place.
    fn next(&mut self, stage: &Stage, command: &str) -> String {
        let all = &self.page.commands;
        let found = (self.at..all.len()).find(|index| all[*index].1 == command);
        let index = found.unwrap_or_else(|| {
            panic!("{} has no `{command}` after its command {}", self.page.name, self.at)
        });
        self.at = index + 1;
        self.page.ran.lock().expect("no panic inside").insert(index);
        let mut text = all[index].1.clone();
        for (_, kind) in TOPICS {
            text =
                text.replace(&format!("--topic {kind}"), &format!("--topic {}", stage.topic(kind)));
        }
        self.names.iter().fold(text, |text, (name, real)| text.replace(name, real))
    }

    /// Runs the page's next command that reads like this, again and again until what it did satisfies `enough`.
    pub(super) fn until(
        &mut self,
        stage: &Stage,
        command: &str,
        enough: impl Fn(&Done) -> bool,
    ) -> Done {
        let text = self.next(stage, command);
        let words: Vec<&str> = text.split(' ').skip(1).collect();
        // Each is given the configuration of the place.
        let end = words.iter().position(|word| *word == "--config").unwrap_or(words.len());
        let mut last = None;
        wait_until(&format!("`{command}` says what it should"), PATIENCE, || {
            let done = stage.command(&words[..end]);
            let is_enough = enough(&done);
            if !is_enough && last.replace(done.out.clone()).as_ref() != Some(&done.out) {
                println!("{command}: {:?} {}{}", done.code, done.out, done.err);
            }
            is_enough.then_some(done)
        })
    }

    /// Runs the page's next command that reads like this, once the group has no members where it needs that.
    pub(super) fn runs(&mut self, stage: &Stage, command: &str) -> Done {
        self.until(stage, command, |done| !done.err.contains(" members: stop all instances"))
    }

    /// The same; it ends with 0.
    pub(super) fn succeeds(&mut self, stage: &Stage, command: &str) -> Done {
        let done = self.runs(stage, command);
        done.succeeds();
        done
    }

    /// Starts instance `number` by the page's next command that reads like this.
    pub(super) fn starts(&mut self, stage: &Stage, number: u8, command: &str) -> Daemon {
        let text = self.next(stage, command);
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[..2], ["ringback", "run"], "a daemon");
        stage.spawn_with(number, &words[2..])
    }

    /// The same; it becomes ready.
    pub(super) fn starts_ready(&mut self, stage: &Stage, command: &str) -> Daemon {
        let mut daemon = self.starts(stage, 0, command);
        daemon.wait_ready();
        daemon
    }

    /// The same; it ends with `code`. Returns what it said.
    pub(super) fn is_refused(&mut self, stage: &Stage, number: u8, command: &str) -> String {
        let mut daemon = self.starts(stage, number, command);
        daemon.wait_end(crate::harness::daemon::EX_CONFIG, PATIENCE)
    }

    /// Runs the page's next line of a code block that reads like this in a shell, with what the page says of `daemon`.
    pub(super) fn shell(&mut self, stage: &Stage, daemon: &Daemon, command: &str) -> Done {
        let text = self.next(stage, command);
        let text = text.replace("$(pgrep -x ringback)", &daemon.pid().to_string());
        let text = text.replace("127.0.0.1:9464", &format!("127.0.0.1:{}", daemon.port()));
        let output = Command::new("sh").args(["-c", &text]).output().expect("a shell");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The page quotes this, and `text` says it.
    #[track_caller]
    pub(super) fn sees(&self, quoted: &str, text: &str) {
        self.says(quoted);
        assert!(text.contains(quoted), "it does not say {quoted:?}: {text}");
    }

    /// The page says this.
    #[track_caller]
    pub(super) fn says(&self, quoted: &str) {
        assert!(self.page.text.contains(quoted), "{} does not say {quoted:?}", self.page.name);
    }
}

#[test]
fn commands_are_found_in_paragraphs_and_in_code_blocks() {
    let page = "# A\n\n`ringback a\n  --b` and `ringback_c`\n\n## D e\n\n- `ringback f`: `g`\n\n```sh\nh | i\n\nj\n```\n\n`ringback k`\n";
    let of = |heading: &str, command: &str| (heading.to_owned(), command.to_owned());
    let all = [
        of("", "ringback a --b"),
        of("D e", "ringback f"),
        of("D e", "h | i"),
        of("D e", "j"),
        of("D e", "ringback k"),
    ];
    assert_eq!(commands(page), all);
}
