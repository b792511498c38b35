//! A page of the guide as an operator follows it: its commands, taken from its text, in their order.

use super::shell::{Running, Shell};
use crate::harness::daemon::{Daemon, Done};
use crate::harness::stage::{Stage, TOPICS};
use crate::harness::{PATIENCE, wait_until};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Returns the directory of the guide.
pub(super) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/guide")
}

/// Returns the command by which systemd reloads the daemon.
fn reload() -> String {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/ringback.service");
    let unit = std::fs::read_to_string(unit).expect("the unit");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecReload="));
    command.expect("a command that reloads").to_owned()
}

/// A page of the guide, with a record of the commands and programs that were run.
pub(super) struct Page {
    name: &'static str,
    /// The text, with its white space reduced to single spaces.
    text: String,
    /// Each command, after the heading above it.
    commands: Vec<(String, String)>,
    ran: Mutex<BTreeSet<usize>>,
    /// The code blocks that are not for a shell: language and text.
    programs: Vec<(String, String)>,
    used: Mutex<BTreeSet<usize>>,
}

/// Languages of blocks that no test needs to run.
const SHOWN_ONLY: [&str; 3] = ["json", "mermaid", "text"];

impl Page {
    pub(super) fn open(name: &'static str) -> Self {
        let text = std::fs::read_to_string(directory().join(name)).expect("a page of the guide");
        let (commands, programs) = (commands(&text), programs(&text));
        let (ran, used) = (Mutex::default(), Mutex::default());
        Self { name, text: words(&text), commands, ran, programs, used }
    }

    /// Returns the text of the blocks in this language.
    pub(super) fn blocks(&self, language: &str) -> Vec<&str> {
        let of_language = self.programs.iter().filter(|(its, _)| its == language);
        of_language.map(|(_, text)| text.as_str()).collect()
    }

    /// Returns a reader at the beginning of the page.
    pub(super) fn follow(&self) -> Reader<'_> {
        Reader { page: self, at: 0, block: 0, names: Vec::new() }
    }

    /// Panics unless the scenes ran every command and used every program.
    pub(super) fn is_followed(&self) {
        let ran = self.ran.lock().expect("no panic inside");
        let commands = self.commands.iter().enumerate();
        let left = commands.filter(|(index, _)| !ran.contains(index)).map(|(_, command)| command);
        let left: Vec<_> = left.collect();
        assert!(left.is_empty(), "{}: no scene runs {left:?}", self.name);
        let used = self.used.lock().expect("no panic inside");
        let programs = self.programs.iter().enumerate();
        let left = programs.filter(|(index, (language, _))| {
            !used.contains(index) && !SHOWN_ONLY.contains(&language.as_str())
        });
        let left: Vec<_> = left.map(|(_, program)| program).collect();
        assert!(left.is_empty(), "{}: no scene uses {left:?}", self.name);
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns each code block that is not for a shell: its language, and its text without the indentation of a list.
fn programs(text: &str) -> Vec<(String, String)> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|part| part.split_once('\n'));
    let others = blocks.filter(|(language, _)| !language.is_empty() && *language != "sh");
    let dedented = |text: &str| {
        let filled = text.lines().filter(|line| !line.trim().is_empty());
        let indent = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
        let lines = text.lines().map(|line| line.get(indent..).unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    };
    others.map(|(language, text)| (language.to_owned(), dedented(text))).collect()
}

/// Returns the commands: `ringback …` in a paragraph, and each line of a shell's code block, without its comment.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    let mut heading = String::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            let (language, block) = part.split_once('\n').unwrap_or_default();
            let is_shell = language.is_empty() || language == "sh";
            let lines = block.lines().filter(|_| is_shell);
            let lines = lines.map(|line| line.split(" # ").next().unwrap_or_default().trim());
            let lines = lines.filter(|line| !line.is_empty());
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

/// Follows a page from its beginning to its end. It may skip commands.
pub(super) struct Reader<'a> {
    page: &'a Page,
    at: usize,
    /// The index of the next program.
    block: usize,
    /// Texts of the page, each with its replacement in this test.
    names: Vec<(&'static str, String)>,
}

impl Reader<'_> {
    /// Replaces `name` with `real` in commands and programs.
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

    /// Returns the page's next command that reads like this, with this test's names.
    fn take(&mut self, command: &str) -> String {
        let all = &self.page.commands;
        let found = (self.at..all.len()).find(|index| all[*index].1 == command);
        let index = found.unwrap_or_else(|| {
            panic!("{} has no `{command}` after its command {}", self.page.name, self.at)
        });
        self.at = index + 1;
        self.page.ran.lock().expect("no panic inside").insert(index);
        self.named(&all[index].1)
    }

    fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, real)| text.replace(name, real))
    }

    /// Like `take`, and with this stage's topics.
    fn next(&mut self, stage: &Stage, command: &str) -> String {
        let text = self.take(command);
        TOPICS.iter().fold(text, |text, (_, kind)| {
            text.replace(&format!("--topic {kind}"), &format!("--topic {}", stage.topic(kind)))
        })
    }

    /// Returns the page's next block in this language, with this test's names.
    pub(super) fn program(&mut self, language: &str) -> String {
        let all = &self.page.programs;
        let found = (self.block..all.len()).find(|index| all[*index].0 == language);
        let index = found.unwrap_or_else(|| panic!("{} has no more {language}", self.page.name));
        self.block = index + 1;
        self.page.used.lock().expect("no panic inside").insert(index);
        self.named(&all[index].1)
    }

    /// Runs the page's next command that reads like this in `shell`.
    pub(super) fn types(&mut self, shell: &mut Shell, command: &str) -> Done {
        let text = self.take(command);
        shell.runs(&text)
    }

    /// Like `types`, and panics unless it ends with 0.
    #[track_caller]
    pub(super) fn types_well(&mut self, shell: &mut Shell, command: &str) -> Done {
        let done = self.types(shell, command);
        assert_eq!(done.code, Some(0), "{command}: {done:?}");
        done
    }

    /// Starts the page's next command that reads like this in `shell`. It runs until the result is dropped.
    pub(super) fn leaves(&mut self, shell: &Shell, command: &str) -> Running {
        let text = self.take(command);
        shell.starts(&text)
    }

    /// Runs the page's next command that reads like this, repeatedly until its result satisfies `enough`.
    pub(super) fn until(
        &mut self,
        stage: &Stage,
        command: &str,
        enough: impl Fn(&Done) -> bool,
    ) -> Done {
        let text = self.next(stage, command);
        let words: Vec<&str> = text.split(' ').skip(1).collect();
        // The stage passes its own configuration file.
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

    /// Runs the page's next command that reads like this. Waits until the group has no members if the command needs
    /// that.
    pub(super) fn runs(&mut self, stage: &Stage, command: &str) -> Done {
        self.until(stage, command, |done| !done.err.contains(" members: stop all instances"))
    }

    /// Like `runs`, but panics unless the command ends with 0.
    pub(super) fn succeeds(&mut self, stage: &Stage, command: &str) -> Done {
        let done = self.runs(stage, command);
        done.succeeds();
        done
    }

    /// Starts instance `number` with the page's next command that reads like this.
    pub(super) fn starts(&mut self, stage: &Stage, number: u8, command: &str) -> Daemon {
        let text = self.next(stage, command);
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[..2], ["ringback", "run"], "a daemon");
        let end = words.iter().position(|word| *word == "--config").unwrap_or(words.len());
        stage.spawn_with(number, &words[2..end])
    }

    /// Starts instance 0 like `starts`, and waits until it is ready.
    pub(super) fn starts_ready(&mut self, stage: &Stage, command: &str) -> Daemon {
        let mut daemon = self.starts(stage, 0, command);
        daemon.wait_ready();
        daemon
    }

    /// Starts the sink with the page's next command that reads like this, and waits until it is ready.
    pub(super) fn starts_sink(&mut self, stage: &Stage, command: &str) -> Daemon {
        let text = self.next(stage, command);
        assert!(text.starts_with("ringback sink mongodb "), "a sink");
        stage.start_sink(20)
    }

    /// Goes back to the page's last command, which is run again.
    pub(super) fn again(&mut self) {
        self.at -= 1;
    }

    /// Starts an instance like `starts`, and waits until it ends with 78. Returns its output.
    pub(super) fn is_refused(&mut self, stage: &Stage, number: u8, command: &str) -> String {
        let mut daemon = self.starts(stage, number, command);
        daemon.wait_end(crate::harness::daemon::EX_CONFIG, PATIENCE)
    }

    /// Runs the page's next line of a code block that reads like this in a shell, with the process id and the port of
    /// `daemon`. A reload runs what the systemd unit says.
    pub(super) fn shell(&mut self, stage: &Stage, daemon: &Daemon, command: &str) -> Done {
        let text = self.next(stage, command);
        let pid = daemon.pid().to_string();
        let text = text.replace("systemctl reload ringback", &reload().replace("$MAINPID", &pid));
        let main_pid = "$(systemctl show --property MainPID --value ringback)";
        let text = text.replace(main_pid, &pid);
        let address = format!("127.0.0.1:{}", daemon.port());
        let text = ["127.0.0.1:9464", "127.0.0.1:9465"]
            .iter()
            .fold(text, |text, shown| text.replace(shown, &address));
        let output = Command::new("sh").args(["-c", &text]).output().expect("a shell");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Panics unless the page quotes this, and `text` contains it.
    #[track_caller]
    pub(super) fn sees(&self, quoted: &str, text: &str) {
        self.says(quoted);
        assert!(text.contains(quoted), "it does not say {quoted:?}: {text}");
    }

    /// Panics unless the page contains this text.
    #[track_caller]
    pub(super) fn says(&self, quoted: &str) {
        assert!(self.page.text.contains(quoted), "{} does not say {quoted:?}", self.page.name);
    }
}

#[test]
fn commands_are_found_in_paragraphs_and_in_code_blocks() {
    let page = "# A\n\n`ringback a\n  --b` and `ringback_c`\n\n## D e\n\n- `ringback f`: `g`\n\n```sh\nh | i # l\n\nj\n```\n\n`ringback k`\n";
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

#[test]
fn programs_are_found_with_their_languages_and_without_the_indentation_of_a_list() {
    let page = "1. A\n\n   ```toml\n   [a]\n\n   b = 1\n   ```\n\n```sh\nc\n```\n\n```go\nd {\n\te\n}\n```\n";
    let of = |language: &str, text: &str| (language.to_owned(), text.to_owned());
    assert_eq!(programs(page), [of("toml", "[a]\n\nb = 1\n"), of("go", "d {\n\te\n}")]);
}
