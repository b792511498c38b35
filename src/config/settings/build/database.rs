//! Converts `[accounts.mysql]` to the settings of the accounts' database.

use super::Duration;
use super::file::{AccountsSection, Mysql, SourceName, TlsName};
use crate::accounts::{DatabaseSettings, Queries, tls_of_files};
use crate::delivery::Secret;
use crate::document::{Context, Place, SecretText};

/// Returns the settings of the database, if accounts come from one. `place` is that of `[accounts]`.
pub(super) fn read(
    written: &AccountsSection,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<DatabaseSettings> {
    let at = place.key("mysql");
    let Some(mysql) = &written.mysql else {
        if written.source == SourceName::Mysql {
            let fix =
                "add [accounts.mysql] with url = { env = \"NAME\" }, or set source = \"file\"";
            context.fault(&place.key("source"), "needs the section [accounts.mysql]", fix);
        }
        return None;
    };
    let url = mysql.url.as_ref().and_then(|url| context.secret(&at.key("url"), url));
    let url = url.filter(|url| is_good(url, &at.key("url"), context));
    let url_file = match &mysql.url {
        Some(SecretText::Reference { file: Some(path), .. }) => {
            Some(context.path(&at.key("url").key("file"), path))
        }
        Some(SecretText::Reference { file: None, .. } | SecretText::Literal(_)) | None => None,
    };
    let files = [&mysql.ca_file, &mysql.client_certificate_file, &mysql.client_key_file];
    let [ca, certificate, key] = files.map(|file| file.as_deref());
    let tls = tls_of_files(ca, certificate, key, &at, context);
    if mysql.tls == TlsName::Off
        && let Some(key) = [(ca, "ca_file"), (certificate, "client_certificate_file")]
            .into_iter()
            .find_map(|(file, key)| file.map(|_| key))
    {
        let problem = "has no effect, because the connection does not use TLS";
        context.fault(&at.key(key), problem, "remove it, or set tls = \"required\"");
    }
    if written.source == SourceName::File {
        return None;
    }
    if mysql.url.is_none() {
        let fix = "write url = { env = \"NAME\" } with mysql://user:password@host:3306/database";
        context.fault(&at.key("url"), "is missing", fix);
    }
    Some(DatabaseSettings {
        url: url?,
        url_file,
        tls: (mysql.tls == TlsName::Required).then_some(tls),
        pool_size: mysql.pool_size,
        poll_interval: Duration::from_secs(mysql.poll_interval_s),
        read_timeout: Duration::from_secs(mysql.read_timeout_s),
        unknown_account_wait: Duration::from_secs(mysql.unknown_account_wait_s),
        references: mysql.references,
        queries: queries(mysql),
    })
}

fn queries(mysql: &Mysql) -> Queries {
    let ready = Queries::default();
    let own =
        [&mysql.accounts_query, &mysql.webhooks_query, &mysql.flows_query, &mysql.rules_query];
    let version = match own.iter().all(|query| query.is_none()) {
        true => mysql.version_query.clone().or(ready.version),
        // The ready query knows only the ready tables.
        false => mysql.version_query.clone(),
    };
    Queries {
        accounts: mysql.accounts_query.clone().unwrap_or(ready.accounts),
        webhooks: mysql.webhooks_query.clone().unwrap_or(ready.webhooks),
        flows: mysql.flows_query.clone().unwrap_or(ready.flows),
        rules: mysql.rules_query.clone().unwrap_or(ready.rules),
        version,
    }
}

/// Reports why `url` names no database. The fault does not quote it, because it may contain a password.
fn is_good(url: &Secret, place: &Place<'_>, context: &mut Context<'_>) -> bool {
    let problem = match reqwest::Url::parse(url.reveal()) {
        Err(error) => format!("is not a URL: {error}"),
        Ok(url) if url.scheme() != "mysql" => "does not begin with mysql://".to_owned(),
        Ok(url) if url.host_str().is_none_or(str::is_empty) => "has no host".to_owned(),
        Ok(url) if url.path().trim_matches('/').is_empty() => "names no database".to_owned(),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "has a query or a fragment, which has no meaning here".to_owned()
        }
        Ok(_) => return true,
    };
    context.fault(place, problem, "write it as in mysql://user:password@host:3306/database");
    false
}
