//! How the process ends.

/// The code that the process ends with: 0, or one of `sysexits.h`, or 1 and 2 as usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ExitCode(u8);

impl ExitCode {
    pub(crate) const SUCCESS: Self = Self(0);
    pub(crate) const FAILURE: Self = Self(1);

    /// Ends the process at once, without the handlers that C libraries have registered for its end. OpenSSL's one frees memory
    /// while threads of librdkafka may still use it, and the allocator may have ended before: about one in 150 commands died
    /// of SIGSEGV with its work done. So everything that is to be kept has been written before.
    pub fn end(self) -> ! {
        signal_hook::low_level::exit(self.0.into())
    }
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}
