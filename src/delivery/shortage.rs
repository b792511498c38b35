//! Shortages of the daemon itself: an attempt could not be made, and its endpoint is not the cause.
//!
//! A shortage does not count as an attempt and says nothing about the endpoint: the delivery is put back. It is
//! recognised by the system's error number, wherever that is in the chain of causes. No answer of an endpoint can cause
//! one.

use rustix::io::Errno;
use std::error::Error;
use std::io;

/// A resource that the daemon lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The process can't open another file (EMFILE).
    #[error("the process has too many files open (EMFILE)")]
    OpenFiles,
    /// The host can't open another file (ENFILE).
    #[error("the host has too many files open (ENFILE)")]
    HostFiles,
    /// The system has no memory left (ENOMEM).
    #[error("the host has no memory left (ENOMEM)")]
    Memory,
    /// All local ports to that address are in use (EADDRNOTAVAIL).
    #[error("the host has no local port left (EADDRNOTAVAIL)")]
    Ports,
    /// The system has no buffer for a socket, or no room to watch it (ENOBUFS, ENOSPC).
    #[error("the host has no buffer left for sockets (ENOBUFS)")]
    Buffers,
}

impl Shortage {
    /// All variants, in declaration order.
    pub const ALL: [Self; 5] =
        [Self::OpenFiles, Self::HostFiles, Self::Memory, Self::Ports, Self::Buffers];

    /// Returns whether other addresses can still be called.
    pub(super) fn is_of_one_address(self) -> bool {
        match self {
            // Ports are counted per remote address and port.
            Self::Ports => true,
            Self::OpenFiles | Self::HostFiles | Self::Memory | Self::Buffers => false,
        }
    }

    /// Returns the shortage in `error` or among its causes.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(shortage) = error.downcast_ref::<Self>() {
                return Some(*shortage);
            }
            let io = error.downcast_ref::<io::Error>();
            if let Some(shortage) = io.and_then(Self::of_number) {
                return Some(shortage);
            }
            next = match io.and_then(io::Error::get_ref) {
                // An error that wraps another one returns the inner error's source as its own.
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    fn of_number(error: &io::Error) -> Option<Self> {
        let number = Errno::from_raw_os_error(error.raw_os_error()?);
        let known = [
            (Errno::MFILE, Self::OpenFiles),
            (Errno::NFILE, Self::HostFiles),
            (Errno::NOMEM, Self::Memory),
            (Errno::ADDRNOTAVAIL, Self::Ports),
            (Errno::NOBUFS, Self::Buffers),
            // Nothing is written to a disk here: this is the limit of watches (fs.epoll.max_user_watches).
            (Errno::NOSPC, Self::Buffers),
        ];
        known.into_iter().find(|(other, _)| *other == number).map(|(_, shortage)| shortage)
    }
}

#[cfg(test)]
mod tests {
    use super::Shortage;
    use std::io;

    fn number(errno: rustix::io::Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn every_error_number_of_a_shortage_is_found_in_nested_errors() {
        use rustix::io::Errno;
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Box<dyn std::error::Error + Send + Sync>);
        for (errno, shortage) in [
            (Errno::MFILE, Shortage::OpenFiles),
            (Errno::NFILE, Shortage::HostFiles),
            (Errno::NOMEM, Shortage::Memory),
            (Errno::ADDRNOTAVAIL, Shortage::Ports),
            (Errno::NOBUFS, Shortage::Buffers),
            (Errno::NOSPC, Shortage::Buffers),
        ] {
            assert_eq!(Shortage::of(&number(errno)), Some(shortage), "{errno:?}");
            let wrapped = io::Error::other(Outer(io::Error::other(number(errno)).into()));
            assert_eq!(Shortage::of(&wrapped), Some(shortage), "{errno:?}");
        }
        let files = io::Error::other(Shortage::OpenFiles);
        assert_eq!(Shortage::of(&Outer(files.into())), Some(Shortage::OpenFiles));
    }

    #[test]
    fn errors_that_an_endpoint_or_the_network_can_cause_are_no_shortages() {
        use rustix::io::Errno;
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::CONNABORTED,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::NETDOWN,
            Errno::TIMEDOUT,
            Errno::PIPE,
            Errno::NOTCONN,
            Errno::PROTO,
            Errno::ACCESS,
            Errno::PERM,
            Errno::INVAL,
            Errno::AGAIN,
            Errno::INTR,
            Errno::ADDRINUSE,
        ] {
            assert_eq!(Shortage::of(&number(errno)), None, "{errno:?}");
        }
        assert_eq!(Shortage::of(&io::Error::other("Too many open files")), None);
        assert_eq!(Shortage::of(&io::Error::from(io::ErrorKind::OutOfMemory)), None);
    }
}
