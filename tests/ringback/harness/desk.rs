//! A schema registry whose answers a test sets, and which records the questions.

use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Status and body.
type Answer = (u16, String);

/// Returns a registry's answer about an unknown id.
pub(crate) fn missing() -> Answer {
    (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string())
}

/// Returns a registry's answer about an id with this schema.
pub(crate) fn found(schema: &str) -> Answer {
    (200, json!({"schema": schema}).to_string())
}

#[derive(Default)]
struct Book {
    /// The answers to each path, without `/schemas/ids/`, in order. The last one is repeated.
    answers: BTreeMap<String, VecDeque<Answer>>,
    asked: Vec<String>,
    open: usize,
    most_open: usize,
    delay: Duration,
}

/// A running registry.
pub(crate) struct Desk {
    port: u16,
    book: Arc<Mutex<Book>>,
}

impl Desk {
    /// Starts a registry without any schema that takes `delay` for each answer.
    pub(crate) fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let book = Arc::new(Mutex::new(Book { delay, ..Book::default() }));
        let shared = book.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let book = shared.clone();
                std::thread::spawn(move || serve(stream, &book));
            }
        });
        Self { port, book }
    }

    /// Returns the URL for the configuration.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets the answers about `id`, in order. The last one is repeated.
    pub(crate) fn answer(
        &self,
        id: impl std::fmt::Display,
        answers: impl IntoIterator<Item = Answer>,
    ) {
        lock(&self.book).answers.insert(id.to_string(), answers.into_iter().collect());
    }

    /// Returns how often `id` was requested.
    pub(crate) fn asked(&self, id: impl std::fmt::Display) -> usize {
        let id = id.to_string();
        lock(&self.book).asked.iter().filter(|asked| **asked == id).count()
    }

    /// Returns the largest number of requests that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        lock(&self.book).most_open
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().expect("no panic inside")
}

fn serve(mut stream: TcpStream, book: &Mutex<Book>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default();
    let ((status, body), delay) = {
        let mut book = lock(book);
        book.open += 1;
        book.most_open = book.most_open.max(book.open);
        (book.find(path), book.delay)
    };
    std::thread::sleep(delay);
    // This comes before the answer, because the client may send its next request at once.
    lock(book).open -= 1;
    // The client may have closed the connection.
    let _written = write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

impl Book {
    fn find(&mut self, path: &str) -> Answer {
        if path == "/subjects" {
            return (200, "[]".to_owned());
        }
        let id = path.strip_prefix("/schemas/ids/").or(path.strip_prefix('/')).unwrap_or(path);
        self.asked.push(id.to_owned());
        match self.answers.get_mut(id) {
            Some(answers) if answers.len() > 1 => answers.pop_front().expect("two at least"),
            Some(answers) => answers.front().cloned().unwrap_or_else(missing),
            None => missing(),
        }
    }
}
