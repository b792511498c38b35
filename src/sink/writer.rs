//! Writes batches into the database until each document is acknowledged or refused.
//!
//! Only the commands `update` and `buildInfo` are used, which every server that speaks MongoDB's protocol has. An update
//! selects a document by its id alone: the condition that keeps the newer answer is in `$max`, so that the index of the
//! ids serves every update.

use super::answer::{c_string, field_name};
use super::batch::Update;
use super::reply::{self, Reply, UnknownCodes};
use super::settings::{self, MissingDocument, MongoSettings, WriteConcern};
use mongodb::bson::raw::{CStr, CString, cstr};
use mongodb::bson::{RawArrayBuf, RawDocumentBuf};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use std::fmt;
use std::future::IntoFuture;
use std::ops::Range;
use std::time::Duration;

/// The maximum size of one command, in bytes. MongoDB limits it to 16 MiB, and the message around it to 48 MB.
const COMMAND_BYTES_MAX: usize = 12 << 20;
/// The maximum number of answers in one command. MongoDB limits the statements to 100,000.
const COMMAND_ANSWERS_MAX: usize = 10_000;
/// Likewise for FerretDB 1 with SQLite. It keeps a connection for each statement until the command ends, and stops for
/// ever when all of its 100 connections wait for another one. Two sinks stay below that.
const FERRETDB_ANSWERS_MAX: usize = 40;
/// More than what a statement has besides its names, its ids and its answers: operators, flags and BSON's own bytes.
const STATEMENT_BYTES: usize = 256;
/// The name that MongoDB's own logs and `currentOp` show.
const APP_NAME: &str = "ringback-sink";
/// The types of a null value and of an array in a query.
const NULL_TYPE: i32 = 10;
const ARRAY_TYPE: i32 = 4;

/// The reason why a batch is not written yet. It can be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    pub(super) text: String,
    /// Whether the database sent a code that is known neither as transient nor as one of a single document.
    pub(super) has_unknown_code: bool,
}

impl StoreError {
    pub(super) const fn new(text: String) -> Self {
        Self { text, has_unknown_code: false }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}

/// The result of a batch, in answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WrittenCounts {
    /// The answers of documents that were changed or created.
    pub(super) written: u64,
    /// The answers of documents that already had all of these answers or newer ones.
    pub(super) unchanged: u64,
    /// The answers without a document.
    pub(super) missing: u64,
    /// The answers that the database refuses.
    pub(super) refused: u64,
}

/// An answer that the database refuses, now and later.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) update: Update,
    /// The database's number of the error.
    pub(super) code: i32,
    /// The database's text.
    pub(super) text: String,
}

/// The result of a batch.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) counts: WrittenCounts,
    pub(super) refused: Vec<Refused>,
}

/// Writes answers into one collection.
#[derive(Clone)]
pub struct Writer {
    database: Database,
    collection: String,
    id_field: CString,
    field: String,
    missing: MissingDocument,
    write_concern: WriteConcern,
    timeout: Duration,
    /// The maximum number of answers in one command.
    answers_max: usize,
}

/// Updates that are still to be sent, and what was done already so that the database accepts them.
struct Part {
    range: Range<usize>,
    are_nulls_replaced: bool,
    is_repeated: bool,
}

impl Part {
    const fn new(range: Range<usize>) -> Self {
        Self { range, are_nulls_replaced: false, is_repeated: false }
    }
}

impl Writer {
    /// Connects to the database, and checks that it answers.
    ///
    /// # Errors
    /// The names of the servers can't be looked up (`mongodb+srv`), TLS can't be set up, or the database does not answer
    /// in time or refuses the login.
    pub async fn connect(settings: &MongoSettings) -> Result<Self, StoreError> {
        let parsed = ClientOptions::parse(settings.uri.reveal()).await;
        let wrong = |error| StoreError::new(settings::problem(&error, settings.uri.reveal()));
        let mut options = parsed.map_err(wrong)?;
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        options.server_selection_timeout.get_or_insert(settings.request_timeout);
        let client = Client::with_options(options).map_err(|error| failed(&error))?;
        let mut writer = Self {
            database: client.database(&settings.database),
            collection: settings.collection.clone(),
            id_field: c_string(settings.id_field.clone()),
            field: settings.field.clone(),
            missing: settings.missing,
            write_concern: settings.write_concern,
            timeout: settings.request_timeout,
            answers_max: COMMAND_ANSWERS_MAX,
        };
        let mut command = RawDocumentBuf::new();
        command.append(cstr!("buildInfo"), 1);
        let answer = writer.run(command).await?.map_err(|error| failed(&error))?;
        // FerretDB 2 has another storage, and another member.
        if answer.contains_key("ferretdbVersion") {
            writer.answers_max = FERRETDB_ANSWERS_MAX;
        }
        Ok(writer)
    }

    /// Writes `updates`, which are sorted by SMS. Writing the same ones again changes nothing.
    pub(super) async fn write(
        &self,
        updates: &[Update],
        unknown: UnknownCodes,
    ) -> Result<Written, StoreError> {
        let mut written = Written::default();
        let names = self.id_field.as_str().len() + self.field.len();
        let first = commands(updates, self.answers_max, names + STATEMENT_BYTES).into_iter();
        let mut left: Vec<Part> = first.rev().map(Part::new).collect();
        while let Some(mut part) = left.pop() {
            let range = part.range.clone();
            let sent = updates.get(range.clone()).unwrap_or_default();
            let (code, text) = match self.send(self.statements(sent), unknown).await? {
                Reply::Done(done) => {
                    written.counts.add(sent, done);
                    continue;
                }
                Reply::Refused { code, text } => (code, text),
            };
            if self.resolve(code, &mut part, sent, unknown).await? {
                left.push(part);
            } else if sent.len() > 1 {
                // Servers differ in what they say about the other updates of a command, and all can be sent again.
                let middle = range.start + sent.len() / 2;
                left.push(Part::new(middle..range.end));
                left.push(Part::new(range.start..middle));
            } else {
                written.counts.refused += 1;
                let refuse = |update: &Update| Refused { update: update.clone(), code, text };
                written.refused.extend(sent.first().map(refuse));
            }
        }
        Ok(written)
    }

    /// Removes the cause of a refusal, if that is possible and was not done for this part. Returns whether the updates
    /// are to be sent again.
    async fn resolve(
        &self,
        code: i32,
        part: &mut Part,
        updates: &[Update],
        unknown: UnknownCodes,
    ) -> Result<bool, StoreError> {
        if reply::may_be_null(code) && !part.are_nulls_replaced {
            part.are_nulls_replaced = true;
            return self.replace_nulls(updates, unknown).await;
        }
        // Another writer created the document at the same time.
        let repeats = code == reply::DUPLICATE_KEY && !part.is_repeated;
        part.is_repeated |= repeats;
        Ok(repeats)
    }

    /// Sends one update command.
    async fn send(
        &self,
        statements: RawArrayBuf,
        unknown: UnknownCodes,
    ) -> Result<Reply, StoreError> {
        match self.run(self.update_command(statements)).await? {
            Ok(answer) => reply::read(&answer, unknown),
            Err(error) => reply::of_error(&error).ok_or_else(|| failed(&error)),
        }
    }

    fn update_command(&self, statements: RawArrayBuf) -> RawDocumentBuf {
        let mut command = RawDocumentBuf::new();
        command.append(cstr!("update"), self.collection.as_str());
        command.append(cstr!("updates"), statements);
        // The documents of a command are independent of each other.
        command.append(cstr!("ordered"), false);
        let mut concern = RawDocumentBuf::new();
        match self.write_concern {
            WriteConcern::Majority => concern.append(cstr!("w"), "majority"),
            WriteConcern::Servers(count) => concern.append(cstr!("w"), i64::from(count)),
        }
        command.append(cstr!("writeConcern"), concern);
        command
    }

    /// Returns one statement for each document, with all of its answers.
    fn statements(&self, updates: &[Update]) -> RawArrayBuf {
        let upserts = self.missing == MissingDocument::Upsert;
        let of_document = |answers: &[Update]| {
            let mut newest = RawDocumentBuf::new();
            for Update { delivery, answer, .. } in answers {
                let name = field_name(&delivery.to_string());
                newest.append(c_string(format!("{}.{name}", self.field)), &*answer.document);
            }
            statement(self.query(answers), (cstr!("$max"), newest), upserts)
        };
        updates.chunk_by(|one, other| one.sms == other.sms).map(of_document).collect()
    }

    /// Returns the query of the document that these answers belong to.
    fn query(&self, of_sms: &[Update]) -> RawDocumentBuf {
        let mut query = RawDocumentBuf::new();
        if let Some(Update { sms, .. }) = of_sms.first() {
            query.append(&self.id_field, &**sms);
        }
        query
    }

    /// Makes the field of these documents an empty document where it is null: no database writes below a null. Returns
    /// whether a document was changed.
    async fn replace_nulls(
        &self,
        updates: &[Update],
        unknown: UnknownCodes,
    ) -> Result<bool, StoreError> {
        let field = c_string(self.field.clone());
        let of_document = |answers: &[Update]| {
            // The type of an array is also that of each of its elements.
            let mut no_array = RawDocumentBuf::new();
            no_array.append(cstr!("$type"), ARRAY_TYPE);
            let mut is_null = RawDocumentBuf::new();
            is_null.append(cstr!("$type"), NULL_TYPE);
            is_null.append(cstr!("$not"), no_array);
            let mut query = self.query(answers);
            query.append(&field, is_null);
            let mut empty = RawDocumentBuf::new();
            empty.append(&field, RawDocumentBuf::new());
            statement(query, (cstr!("$set"), empty), false)
        };
        let of_sms = updates.chunk_by(|one, other| one.sms == other.sms);
        match self.send(of_sms.map(of_document).collect(), unknown).await? {
            Reply::Done(done) => Ok(done.modified > 0),
            Reply::Refused { .. } => Ok(false),
        }
    }

    /// Runs a command. The outer error is a command that takes too long.
    async fn run(
        &self,
        command: RawDocumentBuf,
    ) -> Result<mongodb::error::Result<mongodb::bson::Document>, StoreError> {
        // An abandoned command ends its connection, and may still be executed. Every command may be repeated.
        let answer = self.database.run_raw_command(command).into_future();
        let late = || format!("no answer within {} ms", self.timeout.as_millis());
        let answered = tokio::time::timeout(self.timeout, answer).await;
        answered.map_err(|_| StoreError::new(late()))
    }
}

/// Returns the update of the one document that `query` selects.
fn statement(
    query: RawDocumentBuf,
    (operator, fields): (&CStr, RawDocumentBuf),
    upserts: bool,
) -> RawDocumentBuf {
    let mut operators = RawDocumentBuf::new();
    operators.append(operator, fields);
    let mut statement = RawDocumentBuf::new();
    statement.append(cstr!("q"), query);
    statement.append(cstr!("u"), operators);
    statement.append(cstr!("upsert"), upserts);
    // An update of several documents can miss one that moves between shards, and is not repeated after a duplicate key.
    statement.append(cstr!("multi"), false);
    statement
}

impl WrittenCounts {
    /// Counts the answers of a command that changed documents and refused none. The database counts documents, of which
    /// one may get several answers.
    pub(super) fn add(&mut self, part: &[Update], done: reply::Done) {
        let answers = part.len() as u64;
        let documents = part.chunk_by(|one, other| one.sms == other.sms).count() as u64;
        let missing = documents.saturating_sub(done.matched);
        let changed = done.modified + done.upserted;
        let unchanged = documents.saturating_sub(missing + changed);
        self.missing += missing;
        self.unchanged += unchanged;
        self.written += answers.saturating_sub(missing + unchanged);
    }
}

/// Divides the updates so that each command stays below its limits: `answers_max`, and the bytes of the answers and the
/// ids with `overhead` bytes for each.
pub(super) fn commands(
    updates: &[Update],
    answers_max: usize,
    overhead: usize,
) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, Update { sms, answer, .. }) in updates.iter().enumerate() {
        let size = answer.document.as_bytes().len() + sms.len() + overhead;
        let is_full = bytes + size > COMMAND_BYTES_MAX || index - start >= answers_max;
        if is_full && index > start {
            ranges.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < updates.len() {
        ranges.push(start..updates.len());
    }
    ranges
}

/// Returns the driver's own text, without its labels and the server's whole answer.
fn failed(error: &mongodb::error::Error) -> StoreError {
    StoreError::new(error.kind.to_string())
}
