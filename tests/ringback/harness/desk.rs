//! A schema registry that answers as a test says, and remembers what it was asked.

use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Status and body.
type Answer = (u16, String);

/// What a registry says of an id that it does not know.
pub(crate) fn missing() -> Answer {
    (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string())
}

/// What it says of one that it knows.
pub(crate) fn found(schema: &str) -> Answer {
    (200, json!({"schema": schema}).to_string())
}

#[derive(Default)]
struct Book {
    /// The answers to each path after `/schemas/ids/`; the last one stays.
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
    /// It knows nothing, and takes so long for each answer.
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

    /// What goes into the configuration.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it answers so of `id`, one after the other; the last answer stays.
    pub(crate) fn answer(
        &self,
        id: impl std::fmt::Display,
        answers: impl IntoIterator<Item = Answer>,
    ) {
        lock(&self.book).answers.insert(id.to_string(), answers.into_iter().collect());
    }

    /// How often it was asked of `id`.
    pub(crate) fn asked(&self, id: impl std::fmt::Display) -> usize {
        let id = id.to_string();
        lock(&self.book).asked.iter().filter(|asked| **asked == id).count()
    }

    /// How many questions were open at once.
    pub(crate) fn most_open(&self) -> usize {
        lock(&self.book).most_open
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().expect("nobody panicked")
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
    // Whoever is answered may ask again at once.
    lock(book).open -= 1;
    // Whoever asked may have gone.
    let _written = write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

impl Book {
    fn find(&mut self, path: &str) -> Answer {
        let Some(id) = path.strip_prefix("/schemas/ids/") else { return (200, "[]".to_owned()) };
        self.asked.push(id.to_owned());
        match self.answers.get_mut(id) {
            Some(answers) if answers.len() > 1 => answers.pop_front().expect("two at least"),
            Some(answers) => answers.front().cloned().unwrap_or_else(missing),
            None => missing(),
        }
    }
}
