//! The end of the process.

/// The process's exit code: 0, 1, 2, or a code of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ExitCode(u8);

impl ExitCode {
    pub(crate) const SUCCESS: Self = Self(0);
    pub(crate) const FAILURE: Self = Self(1);

    /// Ends the process at once, without the exit handlers of C libraries. OpenSSL's handler frees memory that
    /// librdkafka's threads may still use, and the allocator may already be gone. About one in 150 commands died of
    /// SIGSEGV after it had done its work. The caller must have written everything that is to be kept.
    pub fn end(self) -> ! {
        signal_hook::low_level::exit(self.0.into())
    }
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}
