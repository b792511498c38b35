//! `[sink]`: the databases to which sinks write.

use crate::config::settings::HttpSettings;
use crate::config::settings::file::sink as file;
use crate::document::{Context, Place};
use crate::sink::{MissingDocument, MongoSettings, WriteConcern, check_uri};
use std::net::SocketAddr;
use std::time::Duration;

/// The longest name of a database that MongoDB accepts, in bytes.
const DATABASE_BYTES_MAX: usize = 63;
/// The letters that MongoDB forbids in a database's name on any system.
const NOT_IN_DATABASE: [char; 12] = ['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?'];

/// Returns the settings of the sink to MongoDB. `None`: there is none, or it has a fault.
pub(super) fn mongodb(
    written: &file::MongoDb,
    http: &HttpSettings,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<MongoSettings> {
    let before = context.faults.len();
    let at = place.key("uri");
    let uri = written.uri.as_ref().and_then(|text| context.secret(&at, text));
    let shown = uri.as_ref().map(|uri| check_uri(uri.reveal()));
    if let Some(Err(problem)) = &shown {
        context.fault(
            &at,
            format!("is not a connection string: {problem}"),
            "write mongodb://user:password@host:27017 or mongodb+srv://user:password@host",
        );
    }
    let database = written.database.clone().unwrap_or_default();
    let is_name = !database.is_empty()
        && database.len() <= DATABASE_BYTES_MAX
        && !database.contains(NOT_IN_DATABASE)
        && !database.contains('\0');
    if written.database.is_some() && !is_name {
        let fix = "use 1 to 63 letters, digits, hyphens and underscores";
        context.fault(&place.key("database"), "is not a database's name", fix);
    }
    let collection = &written.collection;
    if collection.is_empty()
        || collection.contains(['$', '\0'])
        || collection.starts_with("system.")
    {
        let fix =
            "use letters, digits, dots, hyphens and underscores; it must not begin with `system.`";
        context.fault(&place.key("collection"), "is not a collection's name", fix);
    }
    let (id_field, field) = (&written.id_field, &written.field);
    for (key, name) in [("id_field", id_field), ("field", field)] {
        if !is_path(name) {
            let problem = "is not the path of a field";
            let fix = "write names as in \"notify_on_delivery\" or \"answers.webhooks\": none is empty or begins with $";
            context.fault(&place.key(key), problem, fix);
        }
    }
    let is_below = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if is_below(field, id_field) || is_below(id_field, field) || is_below(field, "_id") {
        let fix = "name a field of its own, such as \"notify_on_delivery\"";
        context.fault(&place.key("field"), "is the field that contains the id", fix);
    }
    let listen = listen(&written.listen, http, &place.key("listen"), context);
    let (Some(uri), Some(Ok(shown)), Some(listen)) = (uri, shown, listen) else { return None };
    (context.faults.len() == before).then(|| MongoSettings {
        uri,
        shown,
        database,
        collection: collection.clone(),
        id_field: id_field.clone(),
        field: field.clone(),
        missing: match written.missing {
            file::Missing::Skip => MissingDocument::Skip,
            file::Missing::Upsert => MissingDocument::Upsert,
        },
        write_concern: match written.write_concern {
            file::WriteConcern::Word(file::Word::Majority) => WriteConcern::Majority,
            file::WriteConcern::Servers(count) => WriteConcern::Servers(count),
        },
        batch_documents_max: written.batch_documents_max,
        batch_bytes_max: written.batch_bytes_max,
        request_timeout: Duration::from_millis(written.request_timeout_ms),
        listen,
    })
}

/// Returns whether `path` consists of names that MongoDB accepts as names of fields.
fn is_path(path: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('$') && !name.contains('\0');
    path.split('.').all(is_name)
}

/// Parses the sink's own address.
fn listen(
    text: &str,
    http: &HttpSettings,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<SocketAddr> {
    let listen = super::checks::listen(text, "127.0.0.1:9465", place, context)?;
    super::checks::guarded(listen, http.token.is_some(), place, context);
    if listen == http.listen && listen.port() != 0 {
        let fix = "give the sink a port of its own, such as \"127.0.0.1:9465\"";
        context.fault(place, "is the address of `http.listen` too", fix);
    }
    Some(listen)
}
