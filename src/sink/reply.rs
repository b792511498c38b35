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

/// The numbers of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// The documents that were found or created.
    pub(super) matched: u64,
    pub(super) modified: u64,
    pub(super) upserted: u64,
}

/// The codes of errors in single updates that a later try may not have: the server changes its role or stops, or two
/// writers met.
const TRANSIENT: [i32; 24] = [
    6,     // HostUnreachable
    7,     // HostNotFound
    13,    // Unauthorized
    24,    // LockTimeout
    46,    // LockBusy
    50,    // MaxTimeMSExpired
    63,    // StaleShardVersion
    64,    // WriteConcernFailed
    89,    // NetworkTimeout
    91,    // ShutdownInProgress
    112,   // WriteConflict
    133,   // FailedToSatisfyReadPreference
    134,   // ReadConcernMajorityNotAvailableYet
    150,   // StaleEpoch
    189,   // PrimarySteppedDown
    262,   // ExceededTimeLimit
    9001,  // SocketException
    10058, // LegacyNotPrimary
    10107, // NotWritablePrimary
    11600, // InterruptedAtShutdown
    11602, // InterruptedDueToReplStateChange
    13388, // StaleConfig
    13435, // NotPrimaryNoSecondaryOk
    13436, // NotPrimaryOrSecondary
];

/// The codes of errors of a whole command that one of its documents causes.
const OF_DOCUMENTS: [i32; 14] = [
    2,     // BadValue
    9,     // FailedToParse
    14,    // TypeMismatch
    15,    // Overflow
    28,    // PathNotViable
    40,    // ConflictingUpdateOperators
    52,    // DollarPrefixedFieldName
    56,    // EmptyFieldName
    57,    // DottedFieldName
    66,    // ImmutableField
    121,   // DocumentValidationFailure
    10334, // BSONObjectTooLarge
    17419, // the document after the update is too large
    17420, // likewise, in older versions
];

const TYPE_MISMATCH: i32 = 14;
const PATH_NOT_VIABLE: i32 = 28;
const DUPLICATE_KEY: i32 = 11000;

/// Returns whether a null in the place of a document may cause the error.
pub(super) const fn may_be_null(code: i32) -> bool {
    matches!(code, PATH_NOT_VIABLE | TYPE_MISMATCH)
}

/// Returns whether the error may come from another writer, which created the same document at the same time.
pub(super) const fn may_be_created(code: i32) -> bool {
    code == DUPLICATE_KEY
}

/// Reads the answer to an update command.
///
/// # Errors
/// The write is not acknowledged as configured, or failed for a reason that may pass.
pub(super) fn read(answer: &Document) -> Result<Reply, StoreError> {
    let errors = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    // Updates with later errors are sent again, so that these are read then.
    if let Some(error) = errors.iter().find_map(Bson::as_document) {
        let (code, text) = (number(error, "code"), text(error));
        let code = i32::try_from(code).unwrap_or(i32::MAX);
        if TRANSIENT.contains(&code) {
            return Err(StoreError(format!("an update failed with code {code}: {text}")));
        }
        return Ok(Reply::Refused { code, text });
    }
    if let Ok(error) = answer.get_document("writeConcernError") {
        let (code, text) = (number(error, "code"), text(error));
        return Err(StoreError(format!("the write is not acknowledged, code {code}: {text}")));
    }
    let upserted = answer.get_array("upserted").map_or(0, |upserted| upserted.len() as u64);
    let count = |name| u64::try_from(number(answer, name)).unwrap_or(0);
    Ok(Reply::Done(Done { matched: count("n"), modified: count("nModified"), upserted }))
}

/// Returns the refusal in the error of a whole command, if one of its documents causes the error.
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
