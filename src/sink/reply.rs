//! The database's answers to update commands.

use super::writer::StoreError;
use mongodb::bson::{Bson, Document};
use mongodb::error::{Error, ErrorKind};

/// The database's answer to an update command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Every update is acknowledged.
    Done(Done),
    /// The first document that the database refuses. Other updates of the command may not be executed.
    Refused { code: i32, text: String },
}

/// The treatment of errors whose codes are in none of the lists of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnknownCodes {
    /// The update is tried again: the cause may be an outage.
    Retry,
    /// The update is refused: it was tried for long enough.
    Refuse,
}

/// The numbers of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// The documents that were found or created.
    pub(super) matched: u64,
    pub(super) modified: u64,
    pub(super) upserted: u64,
}

/// The codes of errors that a later try may not have: the server changes its role, stops or has no room, or two writers
/// met. Some of them need a correction of the rights or of the configuration, and none is about a single document.
const TRANSIENT: [i32; 37] = [
    6,     // HostUnreachable
    7,     // HostNotFound
    13,    // Unauthorized
    24,    // LockTimeout
    46,    // LockBusy
    50,    // MaxTimeMSExpired
    61,    // ShardKeyNotFound
    63,    // StaleShardVersion
    64,    // WriteConcernFailed
    65,    // MultipleErrorsOccurred
    70,    // ShardNotFound
    72,    // InvalidOptions: the collection is sharded by a field that the update does not name
    83,    // RemoteResultsUnavailable
    89,    // NetworkTimeout
    91,    // ShutdownInProgress
    112,   // WriteConflict
    133,   // FailedToSatisfyReadPreference
    134,   // ReadConcernMajorityNotAvailableYet
    150,   // StaleEpoch
    175,   // QueryPlanKilled
    189,   // PrimarySteppedDown
    202,   // NetworkInterfaceExceededTimeLimit
    249,   // StaleDbVersion
    262,   // ExceededTimeLimit
    365,   // TemporarilyUnavailable
    371,   // UserWritesBlocked
    9001,  // SocketException
    10058, // LegacyNotPrimary
    10107, // NotWritablePrimary
    11600, // InterruptedAtShutdown
    11601, // Interrupted
    11602, // InterruptedDueToReplStateChange
    13388, // StaleConfig
    13435, // NotPrimaryNoSecondaryOk
    13436, // NotPrimaryOrSecondary
    14031, // OutOfDiskSpace
    16500, // the limit of requests of Cosmos DB
];

/// The codes of errors that a document or its answer causes, so that a later try has them too.
const OF_DOCUMENTS: [i32; 21] = [
    2,     // BadValue
    9,     // FailedToParse
    14,    // TypeMismatch
    15,    // Overflow
    22,    // InvalidBSON
    28,    // PathNotViable
    40,    // ConflictingUpdateOperators
    52,    // DollarPrefixedFieldName
    53,    // InvalidIdField
    54,    // NotSingleValueField
    56,    // EmptyFieldName
    57,    // DottedFieldName
    66,    // ImmutableField
    121,   // DocumentValidationFailure
    171,   // CannotIndexParallelArrays
    10334, // BSONObjectTooLarge
    11000, // DuplicateKey
    16837, // PathNotViable of older versions
    17280, // KeyTooLong
    17419, // the document after the update is too large
    17420, // likewise, in older versions
];

const TYPE_MISMATCH: i32 = 14;
const PATH_NOT_VIABLE: i32 = 28;
/// The document exists already, or a unique index of another field forbids it.
pub(super) const DUPLICATE_KEY: i32 = 11000;

/// Returns whether a null in the place of a document may cause the error.
pub(super) const fn may_be_null(code: i32) -> bool {
    matches!(code, PATH_NOT_VIABLE | TYPE_MISMATCH)
}

/// Reads the answer to an update command.
///
/// # Errors
/// The write is not acknowledged as configured, or failed for a reason that may pass.
pub(super) fn read(answer: &Document, unknown: UnknownCodes) -> Result<Reply, StoreError> {
    let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    // Updates with later errors are sent again, so that these are read then.
    if let Some(error) = errors.iter().find_map(Bson::as_document) {
        let (code, text) = (number(error, "code"), text(error));
        let code = i32::try_from(code).unwrap_or(i32::MAX);
        let is_transient = TRANSIENT.contains(&code);
        let is_unknown = !is_transient && !OF_DOCUMENTS.contains(&code);
        if is_transient || is_unknown && unknown == UnknownCodes::Retry {
            let text = format!("an update failed with code {code}: {text}{}", advice(code));
            return Err(StoreError { text, has_unknown_code: is_unknown });
        }
        return Ok(Reply::Refused { code, text });
    }
    if let Ok(error) = answer.get_document("writeConcernError") {
        let (code, text) = (number(error, "code"), text(error));
        return Err(StoreError::new(format!("the write is not acknowledged, code {code}: {text}")));
    }
    let upserted = answer.get_array("upserted").map_or(0, |upserted| upserted.len() as u64);
    let count = |name| u64::try_from(number(answer, name)).unwrap_or(0);
    Ok(Reply::Done(Done { matched: count("n"), modified: count("nModified"), upserted }))
}

/// Returns what somebody has to do about a transient error that no retry ends.
const fn advice(code: i32) -> &'static str {
    match code {
        13 => ": the user of sink.mongodb.uri needs the right to update the collection",
        61 | 72 => {
            ": shard the collection by sink.mongodb.id_field, or choose the field by which it is sharded"
        }
        _ => "",
    }
}

/// Returns the refusal in the error of a whole command, if one of its documents causes the error. Every other error of a
/// command concerns all of its documents, and may pass.
pub(super) fn of_error(error: &Error) -> Option<Reply> {
    let ErrorKind::Command(command) = &*error.kind else { return None };
    let (code, text) = (command.code, command.message.clone());
    OF_DOCUMENTS.contains(&code).then_some(Reply::Refused { code, text })
}

fn text(error: &Document) -> String {
    error.get_str("errmsg").unwrap_or("no text").to_owned()
}

/// Returns a whole number, which servers send in any of three types; 0 without one.
fn number(document: &Document, name: &str) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a code or a count is a whole number")]
    let of_float = |float: f64| float as i64;
    let small = document.get_i32(name).map(i64::from);
    let whole = small.or_else(|_| document.get_i64(name));
    whole.or_else(|_| document.get_f64(name).map(of_float)).unwrap_or(0)
}
