//! Mutates, runs, watches, and shrinks what breaks a target.

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

/// An input that takes longer is one that hangs.
const RUN_TIME_MAX: Duration = Duration::from_secs(5);
/// One in so many inputs runs twice.
const TWICE: u64 = 16;
/// So often a smaller input is tried while one is shrunk, and so long.
const SHRINK_RUNS: usize = 20_000;
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// What breaks a target.
pub(crate) struct Failure {
    /// Shrunk.
    pub(crate) input: Vec<u8>,
    what: What,
}

/// How an input breaks a target.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Where, and what it said.
    Panic { at: String, message: String },
    /// So many bytes at once.
    Memory(usize),
    /// So long.
    Time(Duration),
    /// The second run saw something else.
    Differs,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { at, message } => write!(f, "{message} (at {at})"),
            Self::Memory(bytes) => write!(f, "it took {bytes} bytes of memory"),
            Self::Time(time) => write!(f, "it took {} ms", time.as_millis()),
            Self::Differs => f.write_str("it saw something else the second time"),
        }
    }
}

impl What {
    /// Whether it is the same fault: a shrunk input may say it in other words.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Panic { at, .. }, Self::Panic { at: other, .. }) => at == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// The failure for people: how, the input as a literal, and how to see it again.
pub(crate) fn told(target: &Target, failure: &Failure) -> String {
    format!(
        "{} does not withstand {} bytes: {}\n  b\"{}\"\nput them into a file of tests/fuzz/corpus/{}/ and mend it",
        target.name,
        failure.input.len(),
        failure.what,
        failure.input.escape_ascii(),
        target.name,
    )
}

/// How long a run goes on.
pub(crate) struct Limit {
    pub(crate) runs: u64,
    pub(crate) time: Duration,
}

/// A target under mutations.
pub(crate) struct Engine {
    target: &'static Target,
    random: Random,
    inputs: Vec<Vec<u8>>,
    /// For each counted branch the magnitudes of counts that were seen, a bit each.
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
        // What is made once, the first time that it is needed, counts for no input.
        for input in &inputs {
            let _ = run(target, input);
            engine.is_new();
        }
        engine.inputs = inputs;
        engine
    }

    /// With what earlier runs have found, and keeping what this one finds.
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

    /// Mutates until `limit`, or until something breaks.
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
        // What was found last is taken more often.
        let length = self.inputs.len();
        let recent = self.random.below(3) == 0;
        let from = if recent { length - length.min(8) } else { 0 };
        let mut input = self.inputs[from + self.random.below(length - from)].clone();
        mutate(&mut input, &self.inputs, self.target.words, &mut self.random);
        input
    }

    /// An input that ends the process is in this file then.
    fn note(&mut self, input: &[u8]) {
        if let Some(file) = &mut self.now {
            let written =
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(input));
            written.expect("the input can be noted");
        }
    }

    /// Whether the last run took a branch, or took one so often, as none before.
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

/// Whether `input` breaks nothing, in two runs that see the same.
pub(crate) fn withstands(target: &Target, input: &[u8]) -> Result<(), What> {
    let first = match run(target, input) {
        // Tables that a decoder makes when they are first needed stay, and are no memory of this input.
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

/// Panics of a target are not printed, but noted.
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

/// The smallest input that is found to break `target` in the same way.
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

/// Another one every time.
pub(crate) fn seed_of_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
