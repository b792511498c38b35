//! What the demo says, a line or a block at a time, whoever says it.

use crate::clock;
use crate::telemetry::escape::printable;
use std::io::{IsTerminal as _, Write as _};

/// What a line is about.
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
    /// The demo itself.
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

    /// The colour of a terminal.
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

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    colours: bool,
}

impl Screen {
    /// With colours only on a terminal, and not against the user's wish.
    pub(super) fn new() -> Self {
        let wished = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wished && std::io::stdout().is_terminal() }
    }

    /// A line with the time in UTC.
    pub(super) fn line(self, about: About, text: &str) {
        self.block(about, text, "");
    }

    /// A line, and something longer below it that nothing else comes between.
    pub(super) fn block(self, about: About, text: &str, below: &str) {
        let now = jiff::Timestamp::from_millisecond(clock::wall().as_ms()).unwrap_or_default();
        let time = now.strftime("%H:%M:%S%.3f");
        let word = about.word();
        let (on, off) = if self.colours { (about.colour(), "\x1b[0m") } else { ("", "") };
        let mut out = std::io::stdout().lock();
        // Whoever has closed the output does not want to see more.
        let _ = writeln!(out, "{time}  {on}{word:<11}{off}  {}", printable(text));
        if !below.is_empty() {
            let _ = writeln!(out, "{}", printable(below));
        }
    }
}
