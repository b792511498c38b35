//! Mutates inputs, runs targets, checks the results, and shrinks inputs that break a target.

use crate::corpus;
use crate::mutate::{Random, mutate};
use crate::process;
use crate::target::{ALLOWED_BYTES, Seen, Target};
use std::cell::RefCell;
use std::fmt;
use std::io::{Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

/// An input that takes longer counts as hanging.
const RUN_TIME_MAX: Duration = Duration::from_secs(5);
/// Every 16th input runs twice.
const TWICE: u64 = 16;
/// The limits of shrinking one input: the number of smaller inputs to try, and the time.
const SHRINK_RUNS: usize = 20_000;
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// An input that breaks a target, and how.
pub(crate) struct Failure {
    /// The shrunk input.
    pub(crate) input: Vec<u8>,
    what: What,
}

/// How an input breaks a target.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A panic at this place of the source with this message.
    Panic { at: String, message: String },
    /// This many bytes were allocated at once, which is too much.
    Memory(usize),
    /// The run took this time, which is too long.
    Time(Duration),
    /// The second run had another result.
    Differs,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { at, message } => write!(f, "{message} (at {at})"),
            Self::Memory(bytes) => write!(f, "the run took {bytes} bytes of memory"),
            Self::Time(time) => write!(f, "the run took {} ms", time.as_millis()),
            Self::Differs => f.write_str("the second run had another result"),
        }
    }
}

impl What {
    /// Returns whether both are the same fault. The message of a panic may differ after shrinking.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Panic { at, .. }, Self::Panic { at: other, .. }) => at == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// Describes the failure for people: how it breaks, the input as a literal, and how to reproduce it.
pub(crate) fn describe(target: &Target, failure: &Failure) -> String {
    format!(
        "{} does not withstand {} bytes: {}\n  b\"{}\"\nwrite them to a file in tests/fuzz/corpus/{}/ and fix the target",
        target.name,
        failure.input.len(),
        failure.what,
        failure.input.escape_ascii(),
        target.name,
    )
}

/// The limits of a run.
pub(crate) struct Limit {
    pub(crate) runs: u64,
    pub(crate) time: Duration,
}

/// A target under mutations.
pub(crate) struct Engine {
    target: &'static Target,
    random: Random,
    inputs: Vec<Vec<u8>>,
    /// The magnitudes of the counts seen so far of each branch, one bit per magnitude.
    seen: Vec<u8>,
    reached: usize,
    runs: u64,
    time: Duration,
    remembers: bool,
    now: Option<std::fs::File>,
}

impl Engine {
    pub(crate) fn new(target: &'static Target, seed: u64, inputs: Vec<Vec<u8>>) -> Self {
        let seed = seed ^ xxhash_rust::xxh3::xxh3_64(target.name.as_bytes());
        let seen = vec![0; process::branches()];
        let mut engine = Self {
            target,
            random: Random::new(seed),
            inputs: Vec::new(),
            seen,
            reached: 0,
            runs: 0,
            time: Duration::ZERO,
            remembers: false,
            now: None,
        };
        // Values that are created once, at their first use, must not count for any input.
        for input in &inputs {
            let _ = run(target, input);
            engine.is_new();
        }
        engine.inputs = inputs;
        engine
    }

    /// Adds the inputs that earlier runs have kept, and keeps new ones.
    pub(crate) fn remembering(mut self) -> Self {
        for input in corpus::remembered(self.target) {
            let _ = run(self.target, &input);
            if self.is_new() {
                self.inputs.push(input);
            }
        }
        self.remembers = true;
        self.now = corpus::now(self.target);
        self
    }

    pub(crate) fn target(&self) -> &'static Target {
        self.target
    }

    /// Mutates until `limit` or until the target breaks.
    pub(crate) fn run(&mut self, limit: &Limit) -> Option<Failure> {
        let started = Instant::now();
        let mut runs = 0;
        let mut failure = None;
        while runs < limit.runs && failure.is_none() {
            if runs % 64 == 0 && started.elapsed() >= limit.time {
                break;
            }
            runs += 1;
            let mut input = self.next_input();
            self.note(&input);
            let twice = runs % TWICE == 0;
            let result = if twice {
                withstands(self.target, &input)
            } else {
                run(self.target, &input).map(drop)
            };
            match result {
                Err(what) => failure = Some(shrink(self.target, input, what)),
                Ok(()) if self.is_new() => {
                    if self.remembers {
                        corpus::remember(self.target, &input);
                    }
                    input.shrink_to_fit();
                    self.inputs.push(input);
                }
                Ok(()) => {}
            }
        }
        self.runs += runs;
        self.time += started.elapsed();
        failure
    }

    fn next_input(&mut self) -> Vec<u8> {
        // The latest inputs are chosen more often.
        let length = self.inputs.len();
        let recent = self.random.below(3) == 0;
        let from = if recent { length - length.min(8) } else { 0 };
        let mut input = self.inputs[from + self.random.below(length - from)].clone();
        mutate(&mut input, &self.inputs, self.target.words, &mut self.random);
        input
    }

    /// Writes the input to a file, so that an input that aborts the process is known.
    fn note(&mut self, input: &[u8]) {
        if let Some(file) = &mut self.now {
            let written =
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(input));
            written.expect("the input can be noted");
        }
    }

    /// Returns whether the last run took a new branch, or took a branch more often than any run before.
    fn is_new(&mut self) -> bool {
        let mut new = false;
        process::take_branches(|at, count| {
            let bit = 1 << (7 - count.leading_zeros().min(7));
            if self.seen[at] & bit == 0 {
                self.reached += usize::from(self.seen[at] == 0);
                self.seen[at] |= bit;
                new = true;
            }
        });
        new
    }

    pub(crate) fn progress(&self) -> String {
        let per_second = self.runs as f64 / self.time.as_secs_f64().max(0.001);
        format!(
            "{:<16} {:>9} runs {:>7.0}/s {:>5} inputs {:>6} branches",
            self.target.name,
            self.runs,
            per_second,
            self.inputs.len(),
            self.reached
        )
    }
}

/// Returns an error if `input` breaks the target, or if two runs have different results.
pub(crate) fn withstands(target: &Target, input: &[u8]) -> Result<(), What> {
    let first = match run(target, input) {
        // Tables that a decoder creates at their first use stay, so they do not count as memory of this input.
        Err(What::Memory(_)) => run(target, input),
        first => first,
    }?;
    let second = run(target, input)?;
    if format!("{first:?}") == format!("{second:?}") { Ok(()) } else { Err(What::Differs) }
}

thread_local! {
    static PANIC: RefCell<Option<What>> = const { RefCell::new(None) };
    static QUIET: RefCell<bool> = const { RefCell::new(false) };
}

/// Records panics of a target instead of printing them.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.with_borrow(|quiet| !*quiet) {
                return usual(info);
            }
            let at = info.location().map_or_else(String::new, ToString::to_string);
            let message = info.payload_as_str().unwrap_or("a panic").to_owned();
            PANIC.set(Some(What::Panic { at, message }));
        }));
    });
}

fn run(target: &Target, input: &[u8]) -> Result<Seen, What> {
    note_panics();
    let started = Instant::now();
    QUIET.set(true);
    let (result, bytes) =
        process::allocated(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    QUIET.set(false);
    let time = started.elapsed();
    let Ok(seen) = result else {
        let unknown = What::Panic { at: String::new(), message: "a panic".to_owned() };
        return Err(PANIC.take().unwrap_or(unknown));
    };
    if bytes > ALLOWED_BYTES + target.bytes_per_byte * input.len() {
        return Err(What::Memory(bytes));
    }
    if time > RUN_TIME_MAX {
        return Err(What::Time(time));
    }
    Ok(seen)
}

/// Returns the smallest input found that breaks `target` in the same way.
fn shrink(target: &Target, input: Vec<u8>, what: What) -> Failure {
    let mut failure = Failure { input, what };
    let mut left = SHRINK_RUNS;
    let started = Instant::now();
    let mut try_smaller = |failure: &mut Failure, smaller: Vec<u8>| {
        if left == 0 || started.elapsed() > SHRINK_TIME {
            return false;
        }
        left -= 1;
        match withstands(target, &smaller) {
            Err(what) if what.is(&failure.what) => {
                *failure = Failure { input: smaller, what };
                true
            }
            _ => false,
        }
    };
    loop {
        let before = failure.input.clone();
        let mut block = failure.input.len();
        while block > 0 {
            let mut at = 0;
            while at < failure.input.len() {
                let end = (at + block).min(failure.input.len());
                let smaller = [&failure.input[..at], &failure.input[end..]].concat();
                if !try_smaller(&mut failure, smaller) {
                    at = end;
                }
            }
            block /= 2;
        }
        for at in 0..failure.input.len() {
            for simple in [b'0', b'a', 0] {
                if failure.input[at] != simple {
                    let mut simpler = failure.input.clone();
                    simpler[at] = simple;
                    if try_smaller(&mut failure, simpler) {
                        break;
                    }
                } else {
                    break;
                }
            }
        }
        if failure.input == before {
            return failure;
        }
    }
}

/// Returns another seed every second.
pub(crate) fn seed_of_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
