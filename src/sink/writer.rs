//! Writes batches into the database until each document is acknowledged or refused.
//!
//! Only the commands `update` and `ping` are used, which every server that speaks MongoDB's protocol has. An update
//! selects a document by its id alone: the condition that keeps the newer answer is in `$max`, so that the index of the
//! ids serves every update.

use super::answer::{c_string, field_name};
use super::batch::Update;
use super::reply::{self, Reply};
use super::settings::{MissingDocument, MongoSettings, WriteConcern};
use mongodb::bson::raw::{CString, cstr};
use mongodb::bson::{RawArrayBuf, RawDocumentBuf};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use std::fmt;
use std::future::IntoFuture;
use std::ops::Range;
use std::time::Duration;

/// The maximum size of the answers in one command, in bytes. MongoDB accepts 48 MB.
const COMMAND_BYTES_MAX: usize = 16 << 20;
/// The name that MongoDB's own logs and `currentOp` show.
const APP_NAME: &str = "ringback-sink";
/// The type of a null value in a query.
const NULL_TYPE: i32 = 10;

/// The reason why a batch is not written yet. It can be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub(super) String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
}

impl Writer {
    /// Creates a client. It connects with the first command.
    ///
    /// # Errors
    /// The names of the servers can't be looked up (`mongodb+srv`), or TLS can't be set up.
    pub async fn new(settings: &MongoSettings) -> Result<Self, StoreError> {
        let parsed = ClientOptions::parse(settings.uri.reveal()).await;
        let mut options = parsed.map_err(|error| failed(&error))?;
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        options.server_selection_timeout.get_or_insert(settings.request_timeout);
        let client = Client::with_options(options).map_err(|error| failed(&error))?;
        Ok(Self {
            database: client.database(&settings.database),
            collection: settings.collection.clone(),
            id_field: c_string(settings.id_field.clone()),
            field: settings.field.clone(),
            missing: settings.missing,
            write_concern: settings.write_concern,
            timeout: settings.request_timeout,
        })
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// It does not answer in time, or refuses the login.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut command = RawDocumentBuf::new();
        command.append(cstr!("ping"), 1);
        self.run(command).await?.map(drop).map_err(|error| failed(&error))
    }

    /// Writes `updates`, which are sorted by SMS. Writing the same ones again changes nothing.
    pub(super) async fn write(&self, updates: &[Update]) -> Result<Written, StoreError> {
        let mut written = Written::default();
        let first = commands(updates).into_iter().map(|range| (range, true));
        // The updates that are left, and whether they may be sent again as they are.
        let mut left: Vec<(Range<usize>, bool)> = first.rev().collect();
        while let Some((range, may_repeat)) = left.pop() {
            let part = updates.get(range.clone()).unwrap_or_default();
            let (code, text) = match self.send(part).await? {
                Reply::Done(done) => {
                    written.counts.add(part, done);
                    continue;
                }
                Reply::Refused { code, text } => (code, text),
            };
            if may_repeat && self.resolve(code, part).await? {
                left.push((range, false));
            } else if part.len() > 1 {
                // Servers differ in what they say about the other updates of a command, and all can be sent again.
                let middle = range.start + part.len() / 2;
                left.push((middle..range.end, may_repeat));
                left.push((range.start..middle, may_repeat));
            } else {
                written.counts.refused += 1;
                let refuse = |update: &Update| Refused { update: update.clone(), code, text };
                written.refused.extend(part.first().map(refuse));
            }
        }
        Ok(written)
    }

    /// Removes the cause of a refusal, if that is possible. Returns whether the updates are to be sent again.
    async fn resolve(&self, code: i32, updates: &[Update]) -> Result<bool, StoreError> {
        if reply::may_be_null(code) {
            return self.replace_nulls(updates).await;
        }
        Ok(reply::may_be_created(code))
    }

    /// Sends one update command.
    async fn send(&self, updates: &[Update]) -> Result<Reply, StoreError> {
        let mut statements = RawArrayBuf::new();
        for of_sms in updates.chunk_by(|one, other| one.sms == other.sms) {
            statements.push(self.statement(of_sms));
        }
        match self.run(self.update_command(statements)).await? {
            Ok(answer) => reply::read(&answer),
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

    /// Returns the update of one document with all of its answers.
    fn statement(&self, of_sms: &[Update]) -> RawDocumentBuf {
        let mut query = RawDocumentBuf::new();
        let mut newest = RawDocumentBuf::new();
        if let Some(Update { sms, .. }) = of_sms.first() {
            query.append(&self.id_field, &**sms);
        }
        for Update { delivery, answer, .. } in of_sms {
            let name = field_name(&delivery.to_string());
            newest.append(c_string(format!("{}.{name}", self.field)), &*answer.document);
        }
        let mut operators = RawDocumentBuf::new();
        operators.append(cstr!("$max"), newest);
        let mut statement = RawDocumentBuf::new();
        statement.append(cstr!("q"), query);
        statement.append(cstr!("u"), operators);
        statement.append(cstr!("upsert"), self.missing == MissingDocument::Upsert);
        // An id selects one document. But FerretDB keeps a connection for each single update until the command ends, and
        // stops for ever when it has no more of them.
        statement.append(cstr!("multi"), true);
        statement
    }

    /// Makes the field of these documents an empty document where it is null: no database writes below a null. Returns
    /// whether a document was changed.
    async fn replace_nulls(&self, updates: &[Update]) -> Result<bool, StoreError> {
        let ids: RawArrayBuf = updates.iter().map(|update| &*update.sms).collect();
        let document = |name: CString, value: RawDocumentBuf| {
            let mut document = RawDocumentBuf::new();
            document.append(name, value);
            document
        };
        let mut among = RawDocumentBuf::new();
        among.append(cstr!("$in"), ids);
        let mut is_null = RawDocumentBuf::new();
        is_null.append(cstr!("$type"), NULL_TYPE);
        let field = c_string(self.field.clone());
        let mut query = document(self.id_field.clone(), among);
        query.append(&field, is_null);
        let set = document(field, RawDocumentBuf::new());
        let mut statement = RawDocumentBuf::new();
        statement.append(cstr!("q"), query);
        statement.append(cstr!("u"), document(cstr!("$set").to_owned(), set));
        statement.append(cstr!("multi"), true);
        let mut statements = RawArrayBuf::new();
        statements.push(statement);
        match self.run(self.update_command(statements)).await? {
            Ok(answer) => match reply::read(&answer)? {
                Reply::Done(done) => Ok(done.modified > 0),
                Reply::Refused { .. } => Ok(false),
            },
            Err(error) => Err(failed(&error)),
        }
    }

    /// Runs a command. The outer error is a command that takes too long.
    async fn run(
        &self,
        command: RawDocumentBuf,
    ) -> Result<mongodb::error::Result<mongodb::bson::Document>, StoreError> {
        // An abandoned command ends its connection, and may still be executed. Every command may be repeated.
        let answer = self.database.run_raw_command(command).into_future();
        tokio::time::timeout(self.timeout, answer)
            .await
            .map_err(|_| StoreError(format!("no answer within {} ms", self.timeout.as_millis())))
    }
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

/// Divides the updates so that each command stays below its limit. All answers of a document stay together, unless they
/// alone exceed it.
pub(super) fn commands(updates: &[Update]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, update) in updates.iter().enumerate() {
        let size = update.answer.document.as_bytes().len();
        if bytes + size > COMMAND_BYTES_MAX && index > start {
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
    StoreError(error.kind.to_string())
}
