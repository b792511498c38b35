//! Writes text to stderr and stdout, escaped for a terminal. A missing reader or a full disk never causes a panic or an
//! exit.
//!
//! The standard library's `println!` and `eprintln!` panic when they can't write, and a panic ends the daemon. No
//! module uses them: `err_line!` and `out_line!` replace them.

use super::escape::printable;
use std::fmt;
use std::io::{self, ErrorKind, StderrLock, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Writes a line to stderr. A line that can't be written is dropped and counted.
macro_rules! err_line {
    ($($text:tt)*) => {
        $crate::telemetry::output::err(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Writes a line to stdout. If it can't be written, the command continues; [`out_failure`] returns the error later.
macro_rules! out_line {
    ($($text:tt)*) => {
        $crate::telemetry::output::out(format_args!("{}\n", format_args!($($text)*)))
    };
}

pub(crate) use {err_line, out_line};

/// Lines that could not be written to stderr since the process began.
static LINES_LOST: AtomicU64 = AtomicU64::new(0);
/// Whether the last line was written only in part.
static IS_TORN: AtomicBool = AtomicBool::new(false);
/// The first error of a write to stdout.
static OUT_FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Returns how many lines could not be written to stderr.
pub(super) fn lines_lost() -> u64 {
    LINES_LOST.load(Ordering::Relaxed)
}

/// Writes a text to stderr. It ends with a newline unless it is a prompt.
pub fn err(text: fmt::Arguments<'_>) {
    // One write call, so that lines of several threads do not mix.
    BestEffort::stderr().put(printable(&text.to_string()).as_bytes());
}

/// Writes a text to stdout. It ends with a newline.
pub fn out(text: fmt::Arguments<'_>) {
    note_out(&io::stdout().lock().write_all(printable(&text.to_string()).as_bytes()));
}

/// Records that a write to stdout failed.
pub fn note_out(written: &io::Result<()>) {
    if let Err(error) = written {
        let known = error.raw_os_error().map(io::Error::from_raw_os_error);
        // Only the first error is kept.
        let _ = OUT_FAILURE.set(known.unwrap_or_else(|| error.kind().into()));
    }
}

/// Returns the error that made stdout incomplete. A reader that stopped early, such as `head`, is no error.
#[must_use]
pub fn out_failure() -> Option<&'static io::Error> {
    note_out(&io::stdout().lock().flush());
    OUT_FAILURE.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// A writer that never fails. A line that can't be written as a whole is dropped and counted.
pub(super) struct BestEffort<W: Write> {
    out: W,
    lost: &'static AtomicU64,
    is_torn: &'static AtomicBool,
}

impl BestEffort<StderrLock<'static>> {
    /// Returns this process's stderr. Other threads wait until the line is written, so that no line is written within
    /// another.
    pub(super) fn stderr() -> Self {
        Self { out: io::stderr().lock(), lost: &LINES_LOST, is_torn: &IS_TORN }
    }
}

impl<W: Write> BestEffort<W> {
    /// Writes one line. A line that can't be written is counted as lost.
    fn put(&mut self, line: &[u8]) {
        // The rest of a torn line would make this one unreadable too.
        if self.is_torn.load(Ordering::Relaxed) {
            if !self.put_all(b"\n") {
                self.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.is_torn.store(false, Ordering::Relaxed);
        }
        if !self.put_all(line) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns whether all of it was written.
    fn put_all(&mut self, bytes: &[u8]) -> bool {
        let mut left = bytes;
        while !left.is_empty() {
            match self.out.write(left) {
                Ok(count) if count > 0 => left = left.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    if left.len() < bytes.len() {
                        self.is_torn.store(true, Ordering::Relaxed);
                    }
                    return false;
                }
            }
        }
        true
    }
}

/// `tracing` writes one whole line at a time.
impl<W: Write> Write for BestEffort<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // There is no buffer, and an error can't be reported anywhere.
        let _ = self.out.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with this many bytes of room. It accepts at most four bytes per write.
    #[derive(Default)]
    struct Disk {
        room: usize,
        written: Vec<u8>,
        interrupts: usize,
        error: Option<ErrorKind>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.interrupts > 0 {
                self.interrupts -= 1;
                return Err(ErrorKind::Interrupted.into());
            }
            if self.room == 0 {
                return Err(self.error.unwrap_or(ErrorKind::StorageFull).into());
            }
            let count = bytes.len().min(self.room).min(4);
            self.written.extend_from_slice(&bytes[..count]);
            self.room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(ErrorKind::StorageFull.into())
        }
    }

    fn statics() -> (&'static AtomicU64, &'static AtomicBool) {
        (Box::leak(Box::default()), Box::leak(Box::default()))
    }

    #[test]
    fn a_line_that_can_not_be_written_is_dropped_and_counted() {
        for kind in [ErrorKind::StorageFull, ErrorKind::BrokenPipe, ErrorKind::WouldBlock] {
            let (lost, is_torn) = statics();
            let mut disk = Disk { error: Some(kind), ..Disk::default() };
            let mut writer = BestEffort { out: &mut disk, lost, is_torn };
            assert!(writer.write_all(b"one\n").is_ok() && writer.flush().is_ok(), "{kind}");
            assert!(writer.write_all(b"two\n").is_ok(), "{kind}");
            assert_eq!(lost.load(Ordering::Relaxed), 2, "{kind}");
        }
    }

    #[test]
    fn the_line_after_an_incomplete_one_begins_on_a_new_line() {
        let (lost, is_torn) = statics();
        let mut disk = Disk { room: 10, interrupts: 2, ..Disk::default() };
        let put = |disk: &mut Disk, line: &[u8]| BestEffort { out: disk, lost, is_torn }.put(line);
        put(&mut disk, b"whole\n");
        put(&mut disk, b"broken off\n");
        put(&mut disk, b"nothing of this\n");
        disk.room = 100;
        put(&mut disk, b"whole again\n");
        put(&mut disk, b"and again\n");
        assert_eq!(String::from_utf8_lossy(&disk.written), "whole\nbrok\nwhole again\nand again\n");
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }
}
