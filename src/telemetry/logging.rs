//! Structured logs to stderr. The daemon works even if no program reads its log.

use super::line::{self, Form};
use super::output::{self, BestEffort};
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Dispatch;
use tracing::level_filters::STATIC_MAX_LEVEL;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Dependencies that log much that operators don't need. `RUST_LOG` can name them to enable their logs.
const NOISY: [&str; 7] = ["h2", "hickory", "hyper", "librdkafka", "rdkafka", "reqwest", "rustls"];

/// Dependencies that log errors which their callers get too, with fewer details. `RUST_LOG` can name them to enable
/// their logs.
///
/// The certificate verifier logs an ERROR for each certificate that it refuses, without the webhook; the attempt's
/// outcome has it.
const REDUNDANT: [&str; 1] = ["rustls_platform_verifier"];

/// Whether the log of this process is JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    /// One JSON object per line, for machines.
    Json,
}

impl LogFormat {
    /// All variants, in declaration order.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Text, Self::Json];

    /// Returns the format's name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a log format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a log format is `auto`, `text` or `json`")]
pub struct LogFormatError;

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(LogFormatError)
    }
}

/// Why logging could not be initialised.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` is not a valid log filter.
    #[error("RUST_LOG={0:?} is no log filter: write a level, or `target=level`, comma separated")]
    Filter(String, #[source] ParseError),
    /// Logging was initialised before.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Initialises the logs of the process with `level`, unless `RUST_LOG` sets another one.
///
/// # Errors
/// `RUST_LOG` can't be parsed, or this is the second call.
pub fn init(format: LogFormat, level: LevelFilter) -> Result<(), LoggingError> {
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let rust_log = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = filter(&rust_log, level).map_err(|error| LoggingError::Filter(rust_log, error))?;
    IS_JSON.store(json, Ordering::Relaxed);
    dispatch(json, colours, filter, BestEffort::stderr).try_init().map_err(LoggingError::Twice)
}

/// Writes the daemon's final message past all filters: one line for each line of `text`, as JSON if the log is JSON.
pub fn last_words(text: &str) {
    for line in text.lines() {
        if IS_JSON.load(Ordering::Relaxed) {
            output::err(format_args!("{}\n", object(line)));
        } else {
            output::err(format_args!("{line}\n"));
        }
    }
}

/// Makes an ERROR in the format of the log's own lines.
fn object(message: &str) -> serde_json::Value {
    serde_json::json!({
        "timestamp": jiff::Timestamp::now().to_string(),
        "level": "ERROR",
        "message": message,
        "target": env!("CARGO_PKG_NAME"),
    })
}

/// Logs a panic in the format of the log's own lines: one line, without paths of the machine that built the binary.
pub fn report_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let place = panic.location().map_or_else(String::new, |at| format!(" at {at}"));
    let message = panic.payload_as_str().unwrap_or("no message");
    let text = format!("thread '{name}' panicked{place}: {message}").replace('\n', " ");
    last_words(&line::without_build_paths(&text).unwrap_or(text));
    // A requested backtrace keeps its paths.
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        last_words(&trace.to_string());
    }
}

/// Adds the directives of `rust_log` to the defaults.
fn filter(rust_log: &str, default: LevelFilter) -> Result<EnvFilter, ParseError> {
    // An empty directive would count as a level.
    let parts: Vec<&str> =
        rust_log.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let asked = parts.iter().rev().find_map(|part| part.parse().ok());
    let level: LevelFilter = asked.unwrap_or(default).min(STATIC_MAX_LEVEL);
    // A level below warnings applies to dependencies too.
    let noisy_level = level.min(LevelFilter::WARN);
    let noisy = NOISY.iter().map(|target| format!("{target}={noisy_level}"));
    let redundant = REDUNDANT.iter().map(|target| format!("{target}={}", LevelFilter::OFF));
    let directives: Vec<String> = std::iter::once(level.to_string())
        .chain(noisy)
        .chain(redundant)
        // The later directive for a target wins.
        .chain(parts.iter().map(|part| within_reach(part)).collect::<Result<Vec<_>, _>>()?)
        .collect();
    EnvFilter::builder().parse(directives.join(","))
}

/// Traces are not compiled in, so a directive for them gets the highest existing level. Otherwise the filter would
/// print a coloured warning to stderr, and panic if it can't. A directive without a level means all levels.
fn within_reach(directive: &str) -> Result<String, ParseError> {
    let parsed: Directive = directive.parse()?;
    // The library prints the level last.
    let spelt = parsed.to_string();
    let (target, level) =
        spelt.rsplit_once('=').map_or(("", spelt.as_str()), |(target, level)| (target, level));
    let reachable = level.parse::<LevelFilter>().map(|level| level.min(STATIC_MAX_LEVEL));
    Ok(match reachable {
        Ok(level) if target.is_empty() => level.to_string(),
        Ok(level) => format!("{target}={level}"),
        Err(_) => spelt,
    })
}

/// Creates writers that clean log lines.
struct Tidy<W> {
    inner: W,
    form: Form,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Tidy<W> {
    type Writer = TidyLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        TidyLine { inner: self.inner.make_writer(), form: self.form }
    }
}

/// Cleans one log line, then writes it.
struct TidyLine<W> {
    inner: W,
    form: Form,
}

/// `tracing` passes one whole line at a time.
impl<W: Write> Write for TidyLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.inner.write_all(line::tidied(&String::from_utf8_lossy(line), self.form).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn dispatch<W>(json: bool, colours: bool, filter: EnvFilter, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let form = if json { Form::Json } else { Form::Text { coloured: colours } };
    // By default it would report a failed write to stderr on stderr itself, and panic.
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(Tidy { inner: writer, form });
    if json {
        Dispatch::new(
            builder
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .finish(),
        )
    } else {
        Dispatch::new(builder.with_ansi(colours).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, LazyLock, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, colours: bool, rust_log: &str, log: impl FnOnce()) -> String {
        // With a single dispatcher, `tracing` asks the current thread, which may have none. A second, permanent
        // dispatcher makes it ask all, so that parallel tests do not disable each other's logs.
        static STAYS: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
        LazyLock::force(&STAYS);
        let buffer = Buffer::default();
        let sink = buffer.clone();
        let filter = filter(rust_log, LevelFilter::INFO).unwrap();
        let dispatch = dispatch(json, colours, filter, move || sink.clone());
        tracing::dispatcher::with_default(&dispatch, log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_object_per_line() {
        let lines = logged(true, false, "", || {
            tracing::info!(partition = 3, "restored");
            tracing::warn!("slow");
            tracing::debug!("too much");
        });
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "restored");
        assert_eq!(lines[0]["partition"], 3);
        assert_eq!(lines[0]["level"], "INFO");
        assert!(lines[0]["timestamp"].is_string());
    }

    #[test]
    fn text_is_coloured_only_where_colours_are_allowed() {
        let plain = logged(false, false, "", || tracing::info!(partition = 3, "restored"));
        assert!(plain.contains("restored partition=3") && !plain.contains('\x1b'), "{plain}");
        let coloured = logged(false, true, "", || tracing::info!("restored"));
        assert!(coloured.contains('\x1b'), "{coloured}");
    }

    #[test]
    fn noisy_dependencies_log_only_warnings_unless_the_filter_names_them() {
        let talk = || {
            tracing::debug!(target: "hyper::proto", "hyper-debug");
            tracing::warn!(target: "librdkafka", "rdkafka-warn");
            tracing::error!(target: "rustls", "rustls-error");
            tracing::debug!("own-debug");
        };
        let check = |rust_log: &str, then: &[&str]| {
            let text = logged(false, false, rust_log, talk);
            let words = ["hyper-debug", "rdkafka-warn", "rustls-error", "own-debug"];
            let seen: Vec<&str> = words.into_iter().filter(|word| text.contains(word)).collect();
            assert_eq!(seen, then, "RUST_LOG={rust_log}");
        };
        check("", &["rdkafka-warn", "rustls-error"]);
        check("debug", &["rdkafka-warn", "rustls-error", "own-debug"]);
        check("debug,hyper=debug", &["hyper-debug", "rdkafka-warn", "rustls-error", "own-debug"]);
        check("ringback=debug", &["rdkafka-warn", "rustls-error", "own-debug"]);
        check("trace,hyper=TRACE", &["hyper-debug", "rdkafka-warn", "rustls-error", "own-debug"]);
        check("hyper", &["hyper-debug", "rdkafka-warn", "rustls-error"]);
        check("error", &["rustls-error"]);
        check("off", &[]);
    }

    #[test]
    fn a_filter_enables_no_level_that_is_not_compiled_in() {
        for rust_log in
            ["trace", "TRACE", "5", "ringback", "ringback=trace", "a=5,b[c{d=1}]=trace", "trace,h2"]
        {
            let filter = filter(rust_log, LevelFilter::INFO).unwrap().to_string();
            assert!(!filter.contains("trace"), "RUST_LOG={rust_log}: {filter}");
        }
    }

    #[test]
    fn errors_that_the_caller_also_gets_are_logged_on_demand_only() {
        let talk = || tracing::error!(target: "rustls_platform_verifier::x", "refused-certificate");
        assert_eq!(logged(true, false, "debug", talk), "");
        let named = logged(true, false, "rustls_platform_verifier=error", talk);
        assert!(named.contains("refused-certificate"), "{named}");
    }

    #[test]
    fn no_line_has_foreign_control_characters_in_either_format() {
        let bad = "a\u{1b}[2J\u{202e}b\u{9b}";
        for (json, colours) in [(true, false), (false, false), (false, true)] {
            let line = logged(json, colours, "", || {
                tracing::info!(shown = %bad, quoted = bad, debug = ?bad, "{bad}");
            });
            assert!(!line.contains(['\u{202e}', '\u{9b}']), "{line:?}");
            assert!(!line.contains("\u{1b}[2J"), "{line:?}");
            assert!(colours || !line.contains('\u{1b}'), "{line:?}");
        }
    }

    #[test]
    fn the_last_line_is_an_object_like_the_lines_before() {
        let words = object("a \"quoted\" word");
        assert_eq!(words["message"], "a \"quoted\" word");
        let lines = logged(true, false, "", || tracing::error!("a line"));
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        for (name, value) in line.as_object().unwrap() {
            assert_eq!(value.is_string(), words[name].is_string(), "{name}");
        }
    }

    #[test]
    fn formats_and_filters_are_parsed() {
        for format in LogFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("xml".parse::<LogFormat>(), Err(LogFormatError));
        assert!(filter("ringback=loud", LevelFilter::INFO).is_err());
    }
}
