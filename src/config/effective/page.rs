//! The configuration in force as JSON, and the differences from another daemon's.

use super::keys::{INHERITED, Reload};
use super::{Effective, Entry, Hashes, Source};
use crate::inspect::accounts::{SettingSource, SettingView};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, in the form of faults.
    pub key: String,
    /// Only a restart applies it, and SIGHUP does not.
    pub needs_restart: bool,
}

impl Effective {
    /// Returns the configuration as JSON. `loaded_at` is the time since which it is in force.
    #[must_use]
    pub fn page(&self, hashes: &Hashes, loaded_at: &str) -> String {
        let mut page = self.summary(hashes, loaded_at);
        let settings = self.settings.iter().map(|entry| {
            let mut shown = object(&shown(entry));
            if let Some(other) = self.waiting.iter().find(|other| other.key == entry.key) {
                shown.insert("after_restart".to_owned(), other.value.clone());
            }
            Json::Object(shown)
        });
        let more = self.waiting.iter().filter(|other| self.of_settings(&other.key).is_none());
        let more = more.map(|other| {
            json!({"key": other.key, "value": null, "source": "default", "after_restart": other.value})
        });
        page.insert("settings".to_owned(), settings.chain(more).collect());
        let accounts = self.account_settings();
        let accounts = accounts.iter().map(|setting| Json::Object(object(setting))).collect();
        page.insert("accounts".to_owned(), accounts);
        format!("{}\n", Json::Object(page))
    }

    /// Returns the hashes, the names of the files and the keys that need a restart, as JSON.
    #[must_use]
    pub fn summary_page(&self, hashes: &Hashes, loaded_at: &str) -> String {
        format!("{}\n", Json::Object(self.summary(hashes, loaded_at)))
    }

    fn summary(&self, hashes: &Hashes, loaded_at: &str) -> Map<String, Json> {
        let page = json!({
            "hash": hashes.all,
            "accounts_hash": hashes.accounts,
            "secrets_hash": hashes.secrets,
            "loaded_at": loaded_at,
            "file": self.file.to_string_lossy(),
            "accounts_file": self.accounts_file.to_string_lossy(),
            "restart_needed": self.restart_needed(),
        });
        if let Json::Object(page) = page { page } else { Map::new() }
    }

    fn of_settings(&self, key: &str) -> Option<&Entry> {
        self.settings.iter().find(|entry| entry.key == key)
    }

    /// Returns the settings of the accounts, with those that webhooks inherit.
    pub(in crate::config) fn account_settings(&self) -> Vec<SettingView> {
        self.accounts.iter().map(shown).chain(self.inherited()).collect()
    }

    /// Returns the values that webhooks inherit from `[delivery]`.
    fn inherited(&self) -> Vec<SettingView> {
        let own: BTreeMap<&str, &Json> =
            self.accounts.iter().map(|entry| (entry.key.as_str(), &entry.value)).collect();
        let named = |key: &&str| {
            let name = key.strip_prefix("webhook[")?.strip_suffix("].name")?;
            (!name.contains(']')).then(|| format!("webhook[{name}]"))
        };
        let webhooks: Vec<String> = own.keys().filter_map(named).collect();
        let mut found = Vec::new();
        for webhook in webhooks {
            for (name, of) in INHERITED {
                let key = format!("{webhook}.{name}");
                let is_own = own.contains_key(key.as_str())
                    || (*name == "request_timeout_ms"
                        && own.contains_key(format!("{webhook}.timeout_ms").as_str()));
                let Some(entry) = self.of_settings(of).filter(|_| !is_own) else { continue };
                // A webhook's own first interval raises the inherited maximum.
                let first = (*name == "retry.interval_max_ms")
                    .then(|| own.get(format!("{webhook}.retry.initial_interval_ms").as_str()))
                    .flatten()
                    .filter(|first| first.as_u64() > entry.value.as_u64());
                let value = first.map_or(&entry.value, |first| *first);
                let source = SettingSource::Inherited { inherited_from: (*of).to_owned() };
                found.push(SettingView { key, value: value.clone(), source });
            }
        }
        found
    }

    /// Returns the keys that differ from a daemon whose page is `page`. Secrets are not shown, so they are not
    /// compared.
    #[must_use]
    pub fn differences(&self, page: &Json) -> Vec<Difference> {
        let sections = [("settings", &self.settings), ("accounts", &self.accounts)];
        let mut found = Vec::new();
        for (name, own) in sections {
            let theirs = page.get(name).and_then(Json::as_array).into_iter().flatten();
            let theirs = by_key(theirs.filter_map(|entry| {
                let is_own = entry.get("inherited_from").is_none();
                Some((entry.get("key")?.as_str()?, entry.get("value")?)).filter(|_| is_own)
            }));
            let own = by_key(own.iter().map(|entry| (entry.key.as_str(), &entry.value)));
            let keys: BTreeSet<&str> = theirs.keys().chain(own.keys()).copied().collect();
            let differing = keys.into_iter().filter(|key| {
                let (ours, theirs) = (own.get(key), theirs.get(key));
                // A key without a value counts as missing.
                let is_set = |values: &Vec<&Json>| values.iter().any(|value| !value.is_null());
                ours != theirs && (ours.is_some_and(is_set) || theirs.is_some_and(is_set))
            });
            found.extend(differing.map(|key| Difference {
                key: key.to_owned(),
                needs_restart: name == "settings" && super::keys::reload(key) == Reload::Restart,
            }));
        }
        found
    }
}

/// Groups values by key. A list may contain one name twice.
fn by_key<'a>(
    entries: impl Iterator<Item = (&'a str, &'a Json)>,
) -> BTreeMap<&'a str, Vec<&'a Json>> {
    let mut found: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
    for (key, value) in entries {
        found.entry(key).or_default().push(value);
    }
    found
}

fn shown(entry: &Entry) -> SettingView {
    let source = match &entry.source {
        Source::Default => SettingSource::Default,
        Source::File(file, line) => {
            SettingSource::File { file: file.to_string_lossy().into_owned(), line: *line }
        }
        Source::Variable(name) => SettingSource::Environment { variable: name.clone() },
        Source::Row(place) => SettingSource::Database {
            table: place.table.to_string(),
            row: place.row.to_string(),
            column: place.column.as_ref().map(ToString::to_string),
        },
    };
    SettingView { key: entry.key.clone(), value: entry.value.clone(), source }
}

fn object(setting: &SettingView) -> Map<String, Json> {
    match serde_json::to_value(setting) {
        Ok(Json::Object(object)) => object,
        // Does not happen: a struct is an object.
        Ok(_) | Err(_) => Map::new(),
    }
}
