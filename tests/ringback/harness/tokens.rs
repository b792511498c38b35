//! A token endpoint of OAuth 2.0. Its tokens expire after a short time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A running endpoint.
pub(crate) struct Tokens {
    port: u16,
    given: Arc<AtomicUsize>,
}

impl Tokens {
    /// Starts an endpoint whose tokens are for `subject` and live for `lifetime`.
    pub(crate) fn start(subject: &'static str, lifetime: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let given = Arc::new(AtomicUsize::new(0));
        let count = given.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                answer(stream, &token(subject, lifetime), lifetime);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, given }
    }

    /// Returns the URL of the endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// Returns the number of tokens that were given out.
    pub(crate) fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

/// Returns a token without a signature, which the tests' broker accepts.
fn token(subject: &str, lifetime: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({"sub": subject, "iat": now, "exp": now + lifetime.as_secs()});
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
}

fn answer(mut stream: TcpStream, token: &str, lifetime: Duration) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    // The request's body is short, and this text is at its end.
    loop {
        let read = stream.read(&mut buffer).expect("a request");
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        if read == 0 || text.contains("grant_type=client_credentials") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    assert!(text.contains("grant_type=client_credentials"), "{text}");
    let body = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": lifetime.as_secs(),
    });
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    // The client may have closed the connection.
    let _written = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
}
