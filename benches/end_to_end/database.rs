//! The databases of the sink: one that acknowledges every update at once, in MongoDB's protocol, and stores nothing, which
//! shows the speed of the sink and of the driver; and FerretDB, which stores the answers in SQLite.

use crate::child::{self, cache, free_port, mortal, run_dir};
use crate::wait::{PATIENCE, wait_until};
use mongodb::Client;
use mongodb::bson::{Document, RawDocument, doc};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// The argument that makes the benchmark's binary run as this database.
pub(crate) const MODE: &str = "database";

const INSERTED_AT_ONCE: usize = 1000;
/// The length of a message's header, and of its flags and the kind of its first section.
const HEADER_BYTES: usize = 16;
const FLAGS_BYTES: usize = 5;
const OP_MSG: i32 = 2013;

/// A database in a process of its own. Dropping it sends SIGKILL.
pub(crate) struct Database {
    child: Child,
    port: u16,
}

impl Database {
    /// Starts the database that stores nothing.
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut command = mortal(std::env::current_exe().expect("a binary"));
        command.args([MODE, &port.to_string()]);
        Self::spawn(command, port)
    }

    /// Starts FerretDB with a document for each of `sms`.
    pub(crate) fn ferretdb(sms: impl Iterator<Item = String>) -> Self {
        let (port, dir) = (free_port(), run_dir().join("ferretdb"));
        std::fs::create_dir_all(&dir).expect("a directory");
        let program = cache().join("ferretdb/ferretdb");
        let mut command = mortal(&program);
        command.args(["serve", &format!("127.0.0.1:{port}")]).arg(&dir);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let database = Self::spawn(command, port);
        let documents: Vec<Document> = sms.map(|id| doc! { "_id": id }).collect();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let client = Client::with_uri_str(database.uri()).await.expect("a client");
            let collection = client.database("bench").collection::<Document>("SMSDetailDocument");
            for some in documents.chunks(INSERTED_AT_ONCE) {
                collection.insert_many(some).await.expect("the documents are inserted");
            }
        });
        // FerretDB has no index of the ids, and would read all documents for each update.
        let indexed = mortal(&program).arg("index").arg(&dir).status();
        assert!(indexed.expect("the program runs").success(), "the index is created");
        database
    }

    fn spawn(command: Command, port: u16) -> Self {
        let database = Self { child: child::spawn(command), port };
        wait_until("the database listens", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        database
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}", self.port)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Runs the database in its own process, which ends with the benchmark.
pub(crate) fn run(arguments: &[&str]) {
    let port = arguments.first().and_then(|port| port.parse().ok()).expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || while serve(&stream).is_some() {});
    }
}

/// Answers one message. Returns `None` when the client has gone.
fn serve(mut stream: &TcpStream) -> Option<()> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).ok()?;
    let number = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let length = usize::try_from(number(0)).expect("a length");
    let mut body = vec![0; length - HEADER_BYTES];
    stream.read_exact(&mut body).ok()?;
    let answer = answer(RawDocument::from_bytes(document(&body)).expect("BSON"));
    let mut bytes = Vec::new();
    answer.to_writer(&mut bytes).expect("BSON");
    let length = HEADER_BYTES + FLAGS_BYTES + bytes.len();
    let mut message = Vec::with_capacity(length);
    let header = [i32::try_from(length).expect("small"), 1, number(4), OP_MSG];
    header.iter().for_each(|number| message.extend_from_slice(&number.to_le_bytes()));
    message.extend_from_slice(&[0; FLAGS_BYTES]);
    message.extend_from_slice(&bytes);
    stream.write_all(&message).ok()
}

/// Returns the document of the first section, without a checksum behind it.
fn document(body: &[u8]) -> &[u8] {
    let from = &body[FLAGS_BYTES..];
    let length = i32::from_le_bytes(from[..4].try_into().expect("four bytes"));
    &from[..usize::try_from(length).expect("a length")]
}

fn answer(command: &RawDocument) -> Document {
    let (name, _) = command.iter().next().expect("a command").expect("BSON");
    match name.as_str() {
        "update" => {
            let updates = command.get_array("updates").expect("updates");
            let count = i32::try_from(updates.into_iter().count()).expect("few");
            doc! { "n": count, "nModified": count, "ok": 1.0 }
        }
        "hello" | "isMaster" | "ismaster" => doc! {
            "isWritablePrimary": true, "ismaster": true, "helloOk": true, "minWireVersion": 0, "maxWireVersion": 21,
            "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "ok": 1.0,
        },
        _ => doc! { "ok": 1.0 },
    }
}
