//! Tests of the writer against a server that answers as each test says.

use super::super::batch::Update;
use super::super::reply::UnknownCodes;
use super::super::settings::MongoSettings;
use super::super::writer::{Writer, Written, WrittenCounts};
use super::{ID, delivered, settings, updates};
use crate::delivery::Secret;
use mongodb::bson::{Document, RawDocument, doc};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The length of a message's header, and of its flags and the kind of its first section.
const HEADER_BYTES: usize = 16;
const FLAGS_BYTES: usize = 5;
const OP_MSG: i32 = 2013;

type Answers = Arc<dyn Fn(&Document) -> Document + Send + Sync>;

/// Starts a server that answers the command `update` with `answers`, and returns its connection string. It ends with the
/// tests.
fn server(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = answers.clone();
            std::thread::spawn(move || while serve(&stream, &answers).is_some() {});
        }
    });
    format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=5000")
}

/// Answers one message. Returns `None` when the client has closed the connection.
fn serve(mut stream: &TcpStream, answers: &Answers) -> Option<()> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).ok()?;
    let number = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let mut body = vec![0; usize::try_from(number(0)).unwrap() - HEADER_BYTES];
    stream.read_exact(&mut body).ok()?;
    let from = &body[FLAGS_BYTES..];
    let length = i32::from_le_bytes(from[..4].try_into().unwrap());
    let command = RawDocument::from_bytes(&from[..usize::try_from(length).unwrap()]).unwrap();
    let command = Document::try_from(command).unwrap();
    let answer = match command.keys().next().map(String::as_str) {
        Some("update" | "buildInfo") => answers(&command),
        _ => doc! {
            "isWritablePrimary": true, "ismaster": true, "helloOk": true, "minWireVersion": 0, "maxWireVersion": 21,
            "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "ok": 1.0,
        },
    };
    let mut bytes = Vec::new();
    answer.to_writer(&mut bytes).unwrap();
    let length = i32::try_from(HEADER_BYTES + FLAGS_BYTES + bytes.len()).unwrap();
    let header = [length, 1, number(4), OP_MSG];
    let mut message: Vec<u8> = header.iter().flat_map(|number| number.to_le_bytes()).collect();
    message.extend_from_slice(&[0; FLAGS_BYTES]);
    message.extend_from_slice(&bytes);
    stream.write_all(&message).ok()
}

/// Returns the statements of an update command.
fn statements(command: &Document) -> Vec<Document> {
    let all = command.get_array("updates").unwrap();
    all.iter().map(|it| it.as_document().unwrap().clone()).collect()
}

fn sms(statement: &Document) -> &str {
    statement.get_document("q").unwrap().get_str("_id").unwrap()
}

/// Answers an update command: `code` returns the error of a statement, if it has one. The other statements are executed.
fn answer(command: &Document, code: impl Fn(&Document) -> Option<i32>) -> Document {
    let (mut done, mut errors) = (0, Vec::new());
    for (index, statement) in (0_i32..).zip(statements(command)) {
        match code(&statement) {
            None => done += 1,
            Some(code) => errors.push(doc! { "index": index, "code": code, "errmsg": "why" }),
        }
    }
    let mut answer = doc! { "n": done, "nModified": done, "ok": 1.0 };
    if !errors.is_empty() {
        answer.insert("writeErrors", errors);
    }
    answer
}

fn is_update(command: &Document) -> bool {
    command.contains_key("update")
}

/// Returns one answer for each of these SMS.
fn of_sms(names: &[&str]) -> Vec<Update> {
    let list: Vec<String> = names.iter().map(|sms| format!("\"{sms}\"")).collect();
    updates(&[(1, delivered(ID, 1, &format!(r#""sms":[{}]"#, list.join(",")), "null"))])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect(answers: Answers) -> Writer {
    let uri = Secret::new(server(answers));
    Writer::connect(&MongoSettings { uri, ..settings() }).await.unwrap()
}

fn refused(written: &Written) -> Vec<(&str, i32)> {
    written.refused.iter().map(|it| (&*it.update.sms, it.code)).collect()
}

#[test]
fn beside_a_duplicate_key_a_null_is_still_replaced() {
    let is_replaced = Mutex::new(false);
    let answers = move |command: &Document| {
        if !is_update(command) {
            return doc! { "ok": 1.0 };
        }
        answer(command, |statement| {
            let mut is_replaced = is_replaced.lock().unwrap();
            let is_set = statement.get_document("u").unwrap().contains_key("$set");
            match sms(statement) {
                "a-duplicate" if !is_set => Some(11000),
                "b-null" if is_set => {
                    *is_replaced = true;
                    None
                }
                "b-null" if !*is_replaced => Some(28),
                _ => None,
            }
        })
    };
    runtime().block_on(async {
        let writer = connect(Arc::new(answers)).await;
        let updates = of_sms(&["a-duplicate", "b-null"]);
        let written = writer.write(&updates, UnknownCodes::Retry).await.unwrap();
        assert_eq!(refused(&written), [("a-duplicate", 11000)]);
        assert_eq!(written.counts, WrittenCounts { written: 1, refused: 1, ..Default::default() });
    });
}

#[test]
fn a_document_that_is_too_large_is_refused_at_once_and_the_others_are_written() {
    for code in [10334, 17419, 17420] {
        let answers = move |command: &Document| match is_update(command) {
            true => answer(command, |it| (sms(it) == "large").then_some(code)),
            false => doc! { "ok": 1.0 },
        };
        runtime().block_on(async {
            let writer = connect(Arc::new(answers)).await;
            let updates = of_sms(&["a", "b", "large", "z"]);
            let written = writer.write(&updates, UnknownCodes::Retry).await.unwrap();
            assert_eq!(refused(&written), [("large", code)]);
            assert_eq!(written.counts.written, 3);
        });
    }
}

#[test]
fn an_unknown_code_is_refused_only_when_it_was_tried_for_long_enough() {
    let answers = |command: &Document| match is_update(command) {
        true => answer(command, |it| (sms(it) == "odd").then_some(4711)),
        false => doc! { "ok": 1.0 },
    };
    runtime().block_on(async {
        let writer = connect(Arc::new(answers)).await;
        let updates = of_sms(&["a", "odd", "z"]);
        let failed = writer.write(&updates, UnknownCodes::Retry).await.unwrap_err();
        assert!(failed.has_unknown_code, "{failed}");
        let written = writer.write(&updates, UnknownCodes::Refuse).await.unwrap();
        assert_eq!(refused(&written), [("odd", 4711)]);
    });
}

#[test]
fn a_null_that_the_database_does_not_replace_is_refused() {
    let answers = |command: &Document| {
        if !is_update(command) {
            return doc! { "ok": 1.0 };
        }
        let all = statements(command);
        let is_set = all.iter().any(|it| it.get_document("u").unwrap().contains_key("$set"));
        match is_set {
            true => doc! { "ok": 0.0, "code": 121, "errmsg": "Document failed validation" },
            false => answer(command, |it| (sms(it) == "null").then_some(28)),
        }
    };
    runtime().block_on(async {
        let writer = connect(Arc::new(answers)).await;
        let updates = of_sms(&["a", "null"]);
        let written = writer.write(&updates, UnknownCodes::Retry).await.unwrap();
        assert_eq!(refused(&written), [("null", 28)]);
    });
}

#[test]
fn each_statement_updates_one_document_and_ferretdb_gets_few_of_them_at_once() {
    for (build, most) in
        [(doc! { "ok": 1.0 }, 100), (doc! { "ferretdbVersion": "v1.24.2", "ok": 1.0 }, 40)]
    {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = sent.clone();
        let answers = move |command: &Document| {
            if !is_update(command) {
                return build.clone();
            }
            let all = statements(command);
            assert!(all.iter().all(|it| it.get_bool("multi").is_ok_and(|it| !it)));
            assert!(all.iter().all(|it| it.get_bool("upsert").is_ok_and(|it| !it)));
            kept.lock().unwrap().push(all.len());
            answer(command, |_| None)
        };
        runtime().block_on(async {
            let writer = connect(Arc::new(answers)).await;
            let names: Vec<String> = (0..100).map(|n| format!("s-{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let written = writer.write(&of_sms(&names), UnknownCodes::Retry).await.unwrap();
            assert_eq!(written.counts.written, 100);
        });
        let sent = sent.lock().unwrap();
        assert_eq!((sent.iter().max(), sent.iter().sum()), (Some(&most), 100));
    }
}
