//! `ringback healthcheck`

use super::{CONFIGURATION, FAILED};
use crate::config::{Fault, Faults, Settings};
use crate::exit::ExitCode;
use crate::telemetry::{err_line, output};
use clap::Args;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The pages list reasons, each in a line, so that no answer is larger.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks the daemon on this machine whether it is live
///
/// Prints its answer. Exits with 0 if the daemon is live, and with 1 if it is not or does not answer. The address is
/// `[http] listen`; if that is 0.0.0.0 or [::], the loopback address is asked. No token is needed. Of the configuration,
/// only ringback.toml and the environment are read, so that a fault in the accounts does not count.
///
/// Without --ready, the page is /livez: it fails when the engine or a partition makes no progress, so that a restart
/// helps. A daemon that waits for Kafka or restores its partitions is live but not ready, and a restart would only
/// delay it. So --ready is for what decides whether to wait, and not for what restarts a container.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback healthcheck
  ringback healthcheck --ready --timeout 2")]
pub(super) struct Arguments {
    /// Asks /readyz: whether all partitions of this instance are restored
    #[arg(long)]
    ready: bool,
    /// Asks the sink, on `[sink.mongodb] listen`
    #[arg(long)]
    sink: bool,
    /// The number of seconds after which no answer counts as a failure
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

pub(super) fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let settings = match Settings::load(file) {
        Ok(settings) => settings,
        Err(faults) => return super::refuse(&faults),
    };
    let (key, listen) = match (&settings.sink, arguments.sink) {
        (_, false) => ("http.listen", settings.http.listen),
        (Some(sink), true) => ("sink.mongodb.listen", sink.listen),
        (None, true) => {
            let fault = Fault::missing(&settings.file, "sink.mongodb", "leave out --sink");
            return super::refuse(&Faults(vec![fault]));
        }
    };
    let Some(address) = reachable(listen) else {
        err_line!("ringback: {key} is {listen}: the system chooses the port, so it is not known");
        return ExitCode::from(CONFIGURATION);
    };
    let page = if arguments.ready { "/readyz" } else { "/livez" };
    match get(address, page, Duration::from_secs(arguments.timeout)) {
        Ok((status, body)) => {
            output::out(format_args!("{body}"));
            if status == 200 {
                return ExitCode::SUCCESS;
            }
            err_line!("ringback: http://{address}{page} answers {status}");
        }
        Err(error) => err_line!("ringback: http://{address}{page} does not answer: {error}"),
    }
    ExitCode::from(FAILED)
}

/// Returns the address at which a listener can be reached from this machine. `None` if its port is not known.
pub(super) fn reachable(listen: SocketAddr) -> Option<SocketAddr> {
    let mut address = listen;
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(Ipv4Addr::LOCALHOST.into())
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(Ipv6Addr::LOCALHOST.into())
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => {}
    }
    (address.port() != 0).then_some(address)
}

/// Sends `GET` and returns the status and the body. All of it takes at most `timeout`. HTTP/1.0 has no chunks, so that
/// the body ends with the connection.
fn get(address: SocketAddr, path: &str, timeout: Duration) -> io::Result<(u16, String)> {
    let deadline = Instant::now() + timeout;
    let late = || io::Error::new(ErrorKind::TimedOut, format!("no answer in {timeout:?}"));
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(late()),
        left => Ok(Some(left)),
    };
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_write_timeout(left()?)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        stream.set_read_timeout(left()?)?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(size) => answer.extend(part.iter().take(size)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(late()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("the answer is too long"));
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let parsed = answer
        .split_once("\r\n\r\n")
        .and_then(|(head, body)| Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned())));
    parsed.ok_or_else(|| io::Error::other("the answer is no HTTP"))
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        let of = |listen: &str| reachable(listen.parse().unwrap()).map(|it| it.to_string());
        for (listen, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.1.2.3:9464", "10.1.2.3:9464"),
            ("[fd00::1]:9464", "[fd00::1]:9464"),
        ] {
            assert_eq!(of(listen).as_deref(), Some(asked));
        }
        assert_eq!(of("127.0.0.1:0"), None);
    }
}
