//! A minimal HTTP client: one request per connection, and HTTP/1.0, so that no answer comes in chunks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The status and body of an answer, or the error of the connection.
pub(crate) type Answered = std::io::Result<(u16, String)>;

/// Sends a `GET` request.
pub(crate) fn get(port: u16, path: &str) -> Answered {
    exchange(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"))
}

/// Sends a `GET` request with these headers.
pub(crate) fn get_with(port: u16, path: &str, headers: &[(&str, &str)]) -> Answered {
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    exchange(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n"))
}

/// Sends a `POST` request with a JSON body.
pub(crate) fn post(port: u16, path: &str, body: &str) -> Answered {
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(port, &(head + body))
}

/// `POST` with these headers.
pub(crate) fn post_with(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    );
    exchange_bytes(port, &[head.as_bytes(), body].concat())
}

fn exchange(port: u16, request: &str) -> Answered {
    exchange_bytes(port, request.as_bytes())
}

fn exchange_bytes(port: u16, request: &[u8]) -> Answered {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let broken = || std::io::Error::other(format!("no HTTP: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
    Ok((status, body.to_owned()))
}
