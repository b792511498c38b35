//! Rows as the database returns them, and the shapes that say what their columns mean.

use crate::accounts::build::schema;
use crate::document::{Origin, RowOrigin, keys};
use crate::domain::AccountId;
use serde_json::Value as Json;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The names of the column with an account's id, in the order in which they are tried. Case and underscores do not
/// count.
const ACCOUNT_COLUMNS: [&str; 2] = ["account", "accountid"];
/// The names of the column with a setting's name, if each row is a setting.
const NAME_COLUMNS: [&str; 3] = ["name", "setting", "key"];
/// The column with the other keys as a JSON object.
pub(super) const DEFINITION: &str = "definition";

/// The kind of entry that a row describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Account,
    Webhook,
    Flow,
    Rule,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Account, Self::Webhook, Self::Flow, Self::Rule];

    /// Returns the name of the list of such entries.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Webhook => "webhook",
            Self::Flow => "flow",
            Self::Rule => "rule",
        }
    }

    /// Returns the schema of such an entry.
    pub(super) fn schema(self) -> &'static Json {
        static NOTHING: Json = Json::Null;
        let key = self.key();
        schema().pointer(&format!("/properties/{key}/items")).unwrap_or(&NOTHING)
    }
}

/// The columns of a query's rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) table: Arc<str>,
    pub(super) columns: Box<[Column]>,
    /// The index of the column with the account's id.
    account: usize,
    /// The index of the column with the row's id.
    id: Option<usize>,
    /// The indexes of the columns with the name and the value, if each row is a setting of an account.
    pub(super) setting: Option<(usize, usize)>,
}

/// A column of a shape.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: Arc<str>,
    /// The key of the entry that its values are, if any.
    pub(super) key: Option<Arc<str>>,
}

impl Shape {
    /// Returns the shape of rows with columns of these names.
    ///
    /// # Errors
    /// No column has the account's id. The text says so.
    pub(super) fn new(kind: Kind, table: &str, names: &[Arc<str>]) -> Result<Self, String> {
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let find = |wanted: &str| plain.iter().position(|name| name == wanted);
        let account = ACCOUNT_COLUMNS.into_iter().find_map(find);
        let own_id = names.iter().position(|name| name.eq_ignore_ascii_case("id"));
        let is_account = kind == Kind::Account;
        let account_column = account.or(own_id.filter(|_| is_account)).ok_or_else(|| {
            let query = format!("accounts.mysql.{}s_query", kind.key());
            let wanted = if is_account { "id or account_id" } else { "account" };
            format!("{query} returns no column {wanted}: it returns {}", names.join(", "))
        })?;
        let name = NAME_COLUMNS.into_iter().find_map(find);
        let setting = is_account.then(|| name.zip(find("value"))).flatten();
        let is_key_of_flow = kind == Kind::Flow;
        let own_id = own_id.filter(|index| !is_key_of_flow && *index != account_column);
        let id = find("rowid").or(own_id);
        let known = keys(kind.schema());
        let key = |index: usize, name: &Arc<str>| {
            if index == account_column {
                return Some(if is_account { "id".into() } else { "account".into() });
            }
            if setting.is_some() || id == Some(index) {
                return None;
            }
            known.iter().find(|key| key.eq_ignore_ascii_case(name)).map(|key| Arc::from(*key))
        };
        let columns = names.iter().enumerate();
        let columns =
            columns.map(|(index, name)| Column { name: name.clone(), key: key(index, name) });
        let (columns, table) = (columns.collect(), table.into());
        Ok(Self { kind, table, columns, account: account_column, id, setting })
    }

    /// Returns the name of the column with the account's id.
    pub(super) fn account_column(&self) -> &str {
        self.columns.get(self.account).map_or("", |column| &column.name)
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

/// Returns the name without case and underscores.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_').flat_map(char::to_lowercase).collect()
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Text(Box<str>),
    /// Bytes that are not UTF-8.
    Binary,
}

/// A row of one of the queries.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) shape: Arc<Shape>,
    pub(super) cells: Box<[Cell]>,
    /// A hash of the shape and of all values.
    pub(super) hash: u128,
}

impl Row {
    pub(super) fn new(shape: Arc<Shape>, cells: Box<[Cell]>) -> Self {
        let hash = hash(&shape, &cells);
        Self { shape, cells, hash }
    }

    pub(super) fn kind(&self) -> Kind {
        self.shape.kind
    }

    pub(super) fn text(&self, index: usize) -> Option<&str> {
        match self.cells.get(index)? {
            Cell::Text(text) => Some(text),
            Cell::Null | Cell::Binary => None,
        }
    }

    /// Returns the value of the column that stands for `key`.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        let is_its = |column: &Column| column.key.as_deref() == Some(key);
        self.text(self.shape.columns.iter().position(is_its)?)
    }

    /// Returns the account that the row belongs to, if it names one.
    pub(super) fn account(&self) -> Option<AccountId> {
        self.text(self.shape.account)?.trim().parse().ok().map(AccountId)
    }

    /// Returns the row's id: that of the database, or what tells the row from others of its kind.
    pub(super) fn id(&self) -> Box<str> {
        if let Some(id) = self.shape.id.and_then(|index| self.text(index)) {
            return id.into();
        }
        let account = self.text(self.shape.account).unwrap_or("NULL");
        let own = match (self.kind(), self.shape.setting) {
            (Kind::Account, Some((name, _))) => self.text(name),
            (Kind::Account, None) => return account.into(),
            (Kind::Webhook, _) => return self.text_of("name").unwrap_or("NULL").into(),
            (Kind::Flow, _) => self.text_of("id"),
            (Kind::Rule, _) => self.text_of("webhook"),
        };
        format!("{account}/{}", own.unwrap_or("NULL")).into()
    }

    /// Returns the origin of the row's value in `column`, or of the row as a whole.
    pub(super) fn origin(&self, column: Option<&Arc<str>>) -> Origin {
        let (table, row, column) = (self.shape.table.clone(), self.id(), column.cloned());
        Origin::Row(Arc::new(RowOrigin { table, row, column }))
    }
}

fn hash(shape: &Shape, cells: &[Cell]) -> u128 {
    let mut hasher = Xxh3::new();
    let mut add = |text: &str| {
        hasher.update(&text.len().to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(shape.kind.key());
    add(&shape.table);
    for (column, cell) in shape.columns.iter().zip(cells) {
        match cell {
            Cell::Text(text) => {
                add(&column.name);
                add(text);
            }
            Cell::Null => {}
            Cell::Binary => {
                add(&column.name);
                add("\0binary");
            }
        }
    }
    hasher.digest128()
}
