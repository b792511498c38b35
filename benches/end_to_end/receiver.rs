//! The endpoint: a process that answers 200 at once and counts requests. It reads commands from its standard input, one
//! per line:
//!
//! - `count` returns the number of requests, and the times of the first and the last one.
//! - `take` returns every arrival.
//! - `reset` sets everything to zero.
//! - From `down` to `up` every connection is closed at once.
//!
//! It supports only the HTTP/1.1 that a webhook needs, with one thread per connection, because it shares the cores with
//! the daemon.

use crate::child::{self, mortal};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The argument that makes the benchmark's binary run as the receiver.
pub(crate) const MODE: &str = "receiver";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Returns the present time in Unix microseconds.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_micros()).expect("before the year 586000")
}

#[derive(Default)]
struct Seen {
    count: AtomicU64,
    first_us: AtomicU64,
    last_us: AtomicU64,
    down: AtomicBool,
    /// Arrival time, phase and uuid of each webhook.
    arrivals: Mutex<Vec<(u64, u8, [u8; 36])>>,
}

/// Runs the receiver in its own process.
pub(crate) fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    let seen = Arc::new(Seen::default());
    let shared = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = shared.clone();
            if seen.down.load(Ordering::Relaxed) {
                continue;
            }
            // The client reconnects after its connection breaks.
            std::thread::spawn(move || serve(stream, &seen));
        }
    });
    for line in std::io::stdin().lines() {
        seen.answer(&line.expect("the benchmark writes text"));
    }
}

impl Seen {
    fn answer(&self, word: &str) {
        let mut out = std::io::stdout().lock();
        let written = match word {
            "count" => {
                let [count, first, last] = [&self.count, &self.first_us, &self.last_us]
                    .map(|number| number.load(Ordering::Relaxed));
                writeln!(out, "{count} {first} {last}")
            }
            "take" => {
                let arrivals = std::mem::take(&mut *self.arrivals.lock().expect("no panic inside"));
                let mut text = format!("{}\n", arrivals.len());
                for (at, phase, uuid) in arrivals {
                    text += &format!("{at} {phase} {}\n", String::from_utf8_lossy(&uuid));
                }
                out.write_all(text.as_bytes())
            }
            "down" | "up" => {
                self.down.store(word == "down", Ordering::Relaxed);
                writeln!(out, "done")
            }
            _ => {
                for number in [&self.count, &self.first_us, &self.last_us] {
                    number.store(0, Ordering::Relaxed);
                }
                self.arrivals.lock().expect("no panic inside").clear();
                writeln!(out, "done")
            }
        };
        written.and_then(|()| out.flush()).expect("the benchmark reads");
    }

    fn request(&self, body: &[u8]) {
        let now = now_us();
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first_us.store(now, Ordering::Relaxed);
        }
        self.last_us.store(now, Ordering::Relaxed);
        // Only the body of phase 2 begins with the uuid.
        let (phase, from) = if body.starts_with(b"{\"phonon-uuid\"") { (2, 0) } else { (1, 15) };
        if let Some(uuid) = uuid_after(body.get(from..).unwrap_or_default()) {
            self.arrivals.lock().expect("no panic inside").push((now, phase, uuid));
        }
    }
}

fn uuid_after(body: &[u8]) -> Option<[u8; 36]> {
    const NAME: &[u8] = b"\"phonon-uuid\":\"";
    let at = find(body, NAME)?;
    body.get(at + NAME.len()..)?.first_chunk().copied()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Serves a connection until its client closes it.
fn serve(mut stream: TcpStream, seen: &Seen) {
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = Vec::with_capacity(64 << 10);
    let mut chunk = vec![0; 64 << 10];
    loop {
        while let Some((head, length)) = whole(&buffer) {
            seen.request(&buffer[head..head + length]);
            buffer.drain(..head + length);
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Returns the lengths of the head and the body of the first request in the buffer, once it is complete.
fn whole(buffer: &[u8]) -> Option<(usize, usize)> {
    const NAME: &str = "content-length:";
    let head = find(buffer, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).expect("a head is text");
    let length = text.lines().find_map(|line| {
        let name = line.get(..NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then(|| line[NAME.len()..].trim().parse().ok())?
    });
    let length: usize = length.unwrap_or(0);
    (buffer.len() >= head + length).then_some((head, length))
}

/// The receiver's process, as the benchmark uses it.
pub(crate) struct Receiver {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    port: u16,
}

/// The number of requests, and the time from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) span: Duration,
}

impl Receiver {
    /// Starts the receiver's process.
    pub(crate) fn start() -> Self {
        let binary = std::env::current_exe().expect("a binary");
        let mut command = mortal(binary);
        command.arg(MODE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child::spawn(command);
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("the receiver prints its port");
        Self { child, answers, port: line.trim().parse().expect("a port") }
    }

    /// Returns the URL of the endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/phonon", self.port)
    }

    fn ask(&mut self, word: &str) -> String {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{word}").expect("the receiver reads");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the receiver answers");
        line.trim().to_owned()
    }

    /// Sets all counts to zero.
    pub(crate) fn reset(&mut self) {
        self.ask("reset");
    }

    /// Makes the receiver close every connection from now on, or serve again.
    pub(crate) fn set_down(&mut self, down: bool) {
        self.ask(if down { "down" } else { "up" });
    }

    /// Returns the requests since the last reset.
    pub(crate) fn count(&mut self) -> Count {
        let answer = self.ask("count");
        let numbers: Vec<u64> = answer.split(' ').map(|n| n.parse().expect("a number")).collect();
        let span = Duration::from_micros(numbers[2].saturating_sub(numbers[1]));
        Count { requests: numbers[0], span }
    }

    /// Returns the first arrival of each uuid and phase in Unix microseconds.
    pub(crate) fn take(&mut self) -> BTreeMap<(String, u8), u64> {
        let lines: usize = self.ask("take").parse().expect("a number");
        let mut arrivals = BTreeMap::new();
        for _ in 0..lines {
            let line = self.line();
            let mut words = line.split(' ');
            let mut word = || words.next().expect("three words");
            let (at, phase, uuid) = (word().parse(), word().parse(), word().to_owned());
            arrivals.entry((uuid, phase.expect("a phase"))).or_insert(at.expect("a time"));
        }
        arrivals
    }

    /// Waits until there are `requests` requests. Panics when none comes for half a minute.
    pub(crate) fn wait_for(&mut self, requests: u64, what: &str) -> Count {
        const PATIENCE: Duration = Duration::from_secs(30);
        let mut progress = Instant::now();
        let mut before = 0;
        loop {
            let count = self.count();
            if count.requests >= requests {
                return count;
            }
            if count.requests > before {
                before = count.requests;
                progress = Instant::now();
            }
            let stuck = progress.elapsed() > PATIENCE;
            assert!(!stuck, "{what}: only {before} of {requests} webhooks came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
