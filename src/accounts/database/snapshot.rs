//! The rows in force as a file, from which a daemon starts while the database is unreachable.
//!
//! The first line has the time and the shapes. Each other line is a row: the number of its shape, and its values. The
//! last line has the number of rows, so that a file that is not complete is refused. The time of the file's last change is
//! the time at which the database had the same rows still.

use super::incremental::Incremental;
use super::read::Reading;
use super::row::{Cell, Kind, Row, Shape};
use crate::codec::event::{parse_rfc3339, rfc3339};
use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Error};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The version of the format. A file of another version is not read.
const VERSION: u32 = 1;
/// The name of the file in the store's directory.
const NAME: &str = "accounts.snapshot";
/// The name of the file until it is complete.
const DRAFT: &str = "accounts.snapshot.draft";
/// Only the daemon's user may read the file, because the database may contain secrets.
const MODE: u32 = 0o600;

/// Why a snapshot can't be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot of the accounts, {}", .0.display())]
pub struct SnapshotError(PathBuf, #[source] Error);

/// The rows that were in force, and the time at which the database had them.
#[derive(Debug)]
pub struct Snapshot {
    pub at: Timestamp,
    pub reading: Reading,
}

#[derive(Deserialize, Serialize)]
struct Head {
    version: u32,
    at: String,
    shapes: Vec<ShapeLine>,
}

#[derive(Deserialize, Serialize)]
struct ShapeLine {
    kind: String,
    table: String,
    columns: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct RowLine<'a>(usize, #[serde(borrow)] Vec<Option<Cow<'a, str>>>);

#[derive(Deserialize, Serialize)]
struct End {
    rows: usize,
}

impl Snapshot {
    /// Writes the rows in force to a file in `directory`, and replaces the former one at once. `at` is the time at which
    /// the database had them. Does nothing if there is no such directory yet. Blocks.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(of: &Incremental, at: Timestamp, directory: &Path) -> Result<(), SnapshotError> {
        if !directory.is_dir() {
            return Ok(());
        }
        let (draft, file) = (directory.join(DRAFT), directory.join(NAME));
        let write = || -> std::io::Result<()> {
            // A draft that a crash has left may have another mode.
            let _ = std::fs::remove_file(&draft);
            let options =
                { OpenOptions::new() }.write(true).create_new(true).mode(MODE).open(&draft)?;
            let mut out = BufWriter::new(options);
            write_rows(of, at, &mut out)?;
            let out = out.into_inner().map_err(|error| error.into_error())?;
            out.set_modified(time(at))?;
            out.sync_all()?;
            std::fs::rename(&draft, &file)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|error| SnapshotError(file.clone(), error))
    }

    /// Records that the database had the rows of the snapshot in `directory` still at `at`. Blocks.
    ///
    /// # Errors
    /// There is no such file, or its time can't be set.
    pub fn confirm(at: Timestamp, directory: &Path) -> Result<(), SnapshotError> {
        let file = directory.join(NAME);
        let set = || File::options().append(true).open(&file)?.set_modified(time(at));
        set().map_err(|error| SnapshotError(file.clone(), error))
    }

    /// Returns whether `directory` has a snapshot.
    #[must_use]
    pub fn exists(directory: &Path) -> bool {
        directory.join(NAME).exists()
    }

    /// Reads the snapshot in `directory`, if there is one. Blocks.
    ///
    /// # Errors
    /// The file can't be read, is not complete, or has another format.
    pub fn read(directory: &Path) -> Result<Option<Self>, SnapshotError> {
        let file = directory.join(NAME);
        let failed = |error| SnapshotError(file.clone(), error);
        match File::open(&file) {
            Ok(open) => {
                let confirmed = open.metadata().and_then(|it| it.modified()).map_err(failed)?;
                let snapshot = read_rows(BufReader::new(open)).map_err(failed)?;
                let at = snapshot.at.max(Timestamp::from_ms(wall_ms(confirmed)));
                Ok(Some(Self { at, ..snapshot }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_ms()).unwrap_or_default())
}

fn wall_ms(time: SystemTime) -> i64 {
    let ms = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn write_rows(
    of: &Incremental,
    at: Timestamp,
    out: &mut impl std::io::Write,
) -> std::io::Result<()> {
    let rows = || of.kept.values().flat_map(|kept| kept.in_force.iter());
    let mut numbers: HashMap<*const Shape, usize> = HashMap::new();
    let mut shapes: Vec<&Shape> = Vec::new();
    for row in rows() {
        numbers.entry(Arc::as_ptr(&row.shape)).or_insert_with(|| {
            // Rows of several readings have equal shapes in different places.
            shapes.iter().position(|known| **known == *row.shape).unwrap_or_else(|| {
                shapes.push(&row.shape);
                shapes.len() - 1
            })
        });
    }
    let line = |shape: &&Shape| ShapeLine {
        kind: shape.kind.key().to_owned(),
        table: shape.table.to_string(),
        columns: shape.names().iter().map(ToString::to_string).collect(),
    };
    let head =
        Head { version: VERSION, at: rfc3339(at), shapes: shapes.iter().map(line).collect() };
    write_line(out, &head)?;
    let mut count = 0;
    for row in rows() {
        let number = numbers.get(&Arc::as_ptr(&row.shape)).copied().unwrap_or_default();
        let cells = row.cells.iter().map(|cell| match cell {
            Cell::Text(text) => Some(Cow::Borrowed(&**text)),
            // A row in force has no binary values in columns that count.
            Cell::Null | Cell::Binary => None,
        });
        write_line(out, &RowLine(number, cells.collect()))?;
        count += 1;
    }
    write_line(out, &End { rows: count })
}

fn write_line(out: &mut impl std::io::Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn read_rows(mut file: impl std::io::BufRead) -> std::io::Result<Snapshot> {
    let mut line = String::new();
    file.read_line(&mut line)?;
    let head: Head = serde_json::from_str(&line)?;
    let at = parse_rfc3339(&head.at).filter(|_| head.version == VERSION);
    let at = at.ok_or_else(|| Error::other(format!("its format {} is unknown", head.version)))?;
    let shapes = head.shapes.iter().map(|shape| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.key() == shape.kind);
        let kind = kind.ok_or_else(|| Error::other("it has rows of an unknown kind"))?;
        let names: Vec<Arc<str>> = shape.columns.iter().map(|name| name.as_str().into()).collect();
        Shape::new(kind, &shape.table, &names).map(Arc::new).map_err(Error::other)
    });
    let shapes: Vec<Arc<Shape>> = shapes.collect::<Result<_, _>>()?;
    let (mut reading, mut count) = (Reading::default(), 0);
    loop {
        line.clear();
        if file.read_line(&mut line)? == 0 {
            return Err(Error::other("its end is missing"));
        }
        if let Ok(End { rows }) = serde_json::from_str(&line) {
            return if rows == count {
                Ok(Snapshot { at, reading })
            } else {
                Err(Error::other("rows are missing"))
            };
        }
        let RowLine(number, cells) = serde_json::from_str(&line)?;
        let shape = shapes.get(number).filter(|shape| shape.columns.len() == cells.len());
        let shape = shape.ok_or_else(|| Error::other("a row has no shape"))?;
        let cells = cells
            .into_iter()
            .map(|cell| cell.map_or(Cell::Null, |text| Cell::Text(text.into_owned().into())));
        reading.add(Arc::new(Row::new(shape.clone(), cells.collect())));
        count += 1;
    }
}
