//! The demo's output. Each line or block is printed as a whole.

use crate::clock;
use crate::telemetry::escape::printable;
use std::io::{IsTerminal as _, Write as _};

/// The subject of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A source record that the demo produces.
    Record,
    /// A webhook that arrives.
    Webhook,
    /// An event of the daemon.
    Event,
    /// A dead letter of the daemon.
    DeadLetter,
    Demo,
}

impl About {
    const fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Webhook => "webhook",
            Self::Event => "event",
            Self::DeadLetter => "dead letter",
            Self::Demo => "demo",
        }
    }

    /// Returns the escape sequence of the subject's colour.
    const fn colour(self) -> &'static str {
        match self {
            Self::Record => "\x1b[36m",
            Self::Webhook => "\x1b[1;32m",
            Self::Event => "\x1b[2m",
            Self::DeadLetter => "\x1b[1;31m",
            Self::Demo => "\x1b[1m",
        }
    }
}

/// The demo's standard output, with or without colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    colours: bool,
}

impl Screen {
    /// Uses colours if standard output is a terminal and `NO_COLOR` is not set.
    pub(super) fn new() -> Self {
        let wished = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wished && std::io::stdout().is_terminal() }
    }

    /// Prints a line with the time in UTC.
    pub(super) fn line(self, about: About, text: &str) {
        self.block(about, text, "");
    }

    /// Prints a line and a text below it, without lines of other threads between them.
    pub(super) fn block(self, about: About, text: &str, below: &str) {
        let now = jiff::Timestamp::from_millisecond(clock::wall().as_ms()).unwrap_or_default();
        let time = now.strftime("%H:%M:%S%.3f");
        let word = about.word();
        let (on, off) = if self.colours { (about.colour(), "\x1b[0m") } else { ("", "") };
        let mut out = std::io::stdout().lock();
        // Errors are ignored: a reader that closed the output wants no more of it.
        let _ = writeln!(out, "{time}  {on}{word:<11}{off}  {}", printable(text));
        if !below.is_empty() {
            let _ = writeln!(out, "{}", printable(below));
        }
    }
}
