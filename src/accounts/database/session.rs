//! The queries of a reading, on one connection.

use super::Queries;
use super::connection::{DatabaseError, in_query, text};
use super::read::Reading;
use super::row::{Cell, Kind, Row, Shape};
use crate::domain::AccountId;
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A query that returns more rows reads a wrong table.
const ROWS_MAX: usize = 5_000_000;
/// After this number of rows, other tasks of the thread get their turn.
const ROWS_AT_ONCE: usize = 500;

/// A connection during a reading.
pub(super) struct Session<'a> {
    pub(super) conn: &'a mut Conn,
    pub(super) known: &'a HashMap<u128, Arc<Row>>,
    pub(super) shapes: BTreeMap<Kind, Arc<Shape>>,
}

impl Session<'_> {
    /// Reads all rows and their version, unless it is `version`.
    pub(super) async fn all(
        &mut self,
        queries: &Queries,
        version: Option<&str>,
    ) -> Result<Option<(Reading, Option<String>)>, DatabaseError> {
        self.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        let now = match &queries.version {
            Some(query) => self.version(query).await?,
            None => None,
        };
        let mut read = None;
        if now.is_none() || now.as_deref() != version {
            let mut reading = Reading::default();
            for kind in Kind::ALL {
                self.rows(kind, query_of(queries, kind), &mut reading).await?;
            }
            read = Some((reading, now));
        }
        self.execute("COMMIT").await?;
        Ok(read)
    }

    /// Reads the rows of some accounts.
    pub(super) async fn some(
        &mut self,
        queries: &Queries,
        accounts: &[AccountId],
    ) -> Result<Reading, DatabaseError> {
        let mut ids: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        if ids.is_empty() {
            ids.push("NULL".to_owned());
        }
        let mut reading = Reading { only: Some(accounts.to_vec()), ..Reading::default() };
        self.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        for kind in Kind::ALL {
            // Without a shape, the query returned no row so far, and its columns are unknown.
            let column = match (self.shapes.get(&kind), kind) {
                (Some(shape), _) => shape.account_column().replace('`', "``"),
                (None, Kind::Account) => "id".to_owned(),
                (None, Kind::Webhook | Kind::Flow | Kind::Rule) => "account".to_owned(),
            };
            let query = query_of(queries, kind).trim().trim_end_matches(';');
            let query = format!(
                // The query may end with a comment.
                "SELECT * FROM ({query}\n) AS ringback_rows WHERE `{column}` IN ({})",
                ids.join(", ")
            );
            self.rows(kind, &query, &mut reading).await.map_err(|error| {
                match error.is_of_query() {
                    true => DatabaseError::new(format!(
                        "{} (as a subquery, to look up single accounts)",
                        error
                    )),
                    false => error,
                }
            })?;
        }
        self.execute("COMMIT").await?;
        Ok(reading)
    }

    async fn execute(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.conn.query_drop(statement).await.map_err(|error| text(&error))
    }

    /// Returns the values of the first row of the version query as one text, or `None` if there is no row.
    async fn version(&mut self, query: &str) -> Result<Option<String>, DatabaseError> {
        let row = self.conn.query_first::<mysql_async::Row, _>(query).await;
        let row = row.map_err(|error| in_query(&error, "version_query"))?;
        Ok(row.map(|row| {
            let values = row.unwrap_raw();
            let values: Vec<String> =
                values.iter().flatten().map(|value| value.as_sql(true)).collect();
            values.join(", ")
        }))
    }

    /// Adds the rows of a query to `reading`.
    async fn rows(
        &mut self,
        kind: Kind,
        query: &str,
        reading: &mut Reading,
    ) -> Result<(), DatabaseError> {
        let name = format!("{}s_query", kind.key());
        let failed = |error: Error| in_query(&error, &name);
        let mut result = self.conn.query_iter(query).await.map_err(failed)?;
        let columns = result.columns().unwrap_or_default();
        let names: Vec<Arc<str>> =
            columns.iter().map(|column| Arc::from(&*column.name_str())).collect();
        let is_bits: Vec<bool> = columns
            .iter()
            .map(|column| column.column_type() == ColumnType::MYSQL_TYPE_BIT)
            .collect();
        let shape = match self.shapes.get(&kind).filter(|shape| shape.names() == names) {
            Some(shape) => shape.clone(),
            None => {
                let mut tables = columns.iter().map(|column| column.org_table_str().into_owned());
                let table = tables.find(|table| !table.is_empty()).unwrap_or_else(|| name.clone());
                Arc::new(Shape::new(kind, &table, &names).map_err(DatabaseError::new)?)
            }
        };
        self.shapes.insert(kind, shape.clone());
        let mut count = 0;
        while let Some(row) = result.next().await.map_err(failed)? {
            let values = row.unwrap_raw();
            let cells =
                values.into_iter().zip(&is_bits).map(|(value, is_bits)| cell(value, *is_bits));
            let row = Row::new(shape.clone(), cells.collect());
            let row = self.known.get(&row.hash).cloned().unwrap_or_else(|| Arc::new(row));
            reading.add(row);
            count += 1;
            if count > ROWS_MAX {
                let problem = format!("{name} returns more than {ROWS_MAX} rows");
                return Err(DatabaseError::new(problem));
            }
            if count % ROWS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

fn query_of(queries: &Queries, kind: Kind) -> &str {
    match kind {
        Kind::Account => &queries.accounts,
        Kind::Webhook => &queries.webhooks,
        Kind::Flow => &queries.flows,
        Kind::Rule => &queries.rules,
    }
}

/// Returns the value as text, as all values of a query without parameters arrive.
fn cell(value: Option<Value>, is_bits: bool) -> Cell {
    match value {
        None | Some(Value::NULL) => Cell::Null,
        Some(Value::Bytes(bytes)) if is_bits => {
            let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            Cell::Text(number.to_string().into())
        }
        Some(Value::Bytes(bytes)) => {
            String::from_utf8(bytes).map_or(Cell::Binary, |text| Cell::Text(text.into()))
        }
        Some(
            other @ (Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Date(..)
            | Value::Time(..)),
        ) => Cell::Text(other.as_sql(true).trim_matches('\'').into()),
    }
}
