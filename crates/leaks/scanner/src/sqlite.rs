//! Scans SQLite databases: their rows, which page boundaries do not split, and then all raw bytes, which may contain
//! deleted rows.

pub(crate) mod columns;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_database::Foreign;
use keyroll_database::rusqlite;
use keyroll_database::rusqlite::types::ValueRef;
use zeroize::Zeroizing;

use crate::error_text::{FAR_MORE, why};
use crate::regular_file::open;
use crate::scan::{Location, Worker};
use crate::sqlite::columns::Columns;
use crate::unpack::format::{HEAD_BYTES, is_special};
use crate::unpack::{AS_RAW_BYTES, Budget, named};

/// The largest database, with its log, that is read from a copy in memory, bytes: one inside another file, or with a
/// log.
const COPY_BYTES_MAX: u64 = 64 << 20;

/// How long the rows of one database are read, seconds. Some millions of rows need ten.
const ROWS_S_MAX: u64 = 300;

/// The fewest bytes of a row in its file: two in the cell list, its length, its number, and one of content. More rows
/// mean that pages are listed several times.
const ROW_BYTES_MIN: u64 = 4;

/// The shortest cell that may contain a credential, bytes.
const CELL_BYTES_MIN: usize = 8;

/// The table of tables: their definitions contain text too.
const SCHEMA: &str = "sqlite_schema";

/// The suffix of a write-ahead log.
const LOG: &str = "-wal";

/// What may still be read of one database.
struct RowBudget<'b> {
    rows: u64,
    bytes: &'b Budget,
    depth: usize,
}

/// Why reading the rows of a table ended early.
enum RowsEnded {
    Refused(rusqlite::Error),
    Rows,
    Bytes,
}

impl From<rusqlite::Error> for RowsEnded {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error)
    }
}

impl RowsEnded {
    /// Messages of SQLite may quote the schema, which may contain a value: only the kind of error is shown.
    fn why(&self) -> String {
        match self {
            Self::Refused(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) =>
            {
                format!("they were read for {ROWS_S_MAX} s")
            }
            Self::Refused(rusqlite::Error::SqliteFailure(error, _)) => {
                rusqlite::ffi::code_to_str(error.extended_code).to_owned()
            }
            Self::Refused(_) => "the database is malformed".to_owned(),
            Self::Rows => "it names pages more than once".to_owned(),
            Self::Bytes => FAR_MORE.to_owned(),
        }
    }
}

impl Worker<'_> {
    /// Scans a database file in place, or with its log from a copy: nothing is written beside it, and no user of it
    /// is blocked.
    pub(crate) fn database_file(
        &mut self,
        at: Location<'_>,
        head: &[u8],
        mut file: File,
        bytes: u64,
        budget: &Budget,
    ) {
        let first = self.found();
        let log = at.path.map(log_of).and_then(|path| open(&path, false).ok().flatten());
        let log = log.and_then(|log| Some((log.metadata().ok()?.len(), log))).filter(|(bytes, _)| *bytes > 0);
        let until = Instant::now() + Duration::from_secs(ROWS_S_MAX);
        let (opened, log) = match (at.path, log) {
            (_, Some((more, mut log))) if bytes.saturating_add(more) <= COPY_BYTES_MAX => {
                match copies(head, &mut file, &mut log) {
                    Ok((database, log)) => {
                        // From now on only the copy is used.
                        let opened = Foreign::of_copy(database.clone(), &log, until);
                        self.rows(at, opened, bytes.saturating_add(more), 0, budget);
                        return self.bytes_of(at, first, &mut database.as_slice());
                    }
                    Err(error) => return self.skip(at, why(&error)),
                }
            }
            (Some(path), log) => {
                if log.is_some() {
                    self.skip(at, "its log is too large: rows only in the log are scanned as raw bytes");
                }
                (Foreign::of_file(path, until), log)
            }
            (None, _) => return self.text(at, &mut head.chain(file)),
        };
        self.rows(at, opened, bytes, 0, budget);
        self.bytes_of(at, first, &mut head.chain(file));
        if let Some((_, mut log)) = log {
            let inside = named(at, LOG.as_bytes());
            self.more_of(Location { inside: &inside, ..at }, first, &mut log);
        }
    }

    /// Scans a database inside another file.
    pub(crate) fn inner_database(
        &mut self,
        at: Location<'_>,
        from: &mut dyn Read,
        depth: usize,
        budget: &Budget,
    ) {
        let mut whole = Zeroizing::new(Vec::new());
        let read = from.take(COPY_BYTES_MAX).read_to_end(&mut whole);
        match read {
            Ok(length) if (length as u64) < COPY_BYTES_MAX => {
                self.database_in_memory(at, &whole, depth, budget)
            }
            Ok(_) => {
                let mib = COPY_BYTES_MAX >> 20;
                self.skip(
                    at,
                    format!(
                        "the rows of a database inside another file are read up to {mib} MiB: {AS_RAW_BYTES}"
                    ),
                );
                self.text(at, &mut whole.as_slice().chain(from));
            }
            Err(error) => {
                self.skip(at, why(&error));
                self.text(at, &mut whole.as_slice());
            }
        }
    }

    /// Scans a database in memory.
    pub(crate) fn database_in_memory(
        &mut self,
        at: Location<'_>,
        mut whole: &[u8],
        depth: usize,
        budget: &Budget,
    ) {
        let first = self.found();
        let until = Instant::now() + Duration::from_secs(ROWS_S_MAX);
        let opened = Foreign::of_copy(Zeroizing::new(whole.to_vec()), &[], until);
        self.rows(at, opened, whole.len() as u64, depth, budget);
        self.bytes_of(at, first, &mut whole);
    }

    /// Scans the raw bytes. Findings in rows are not repeated.
    fn bytes_of(&mut self, at: Location<'_>, first: usize, from: &mut dyn Read) {
        self.more_of(at, first, from);
        self.count(1, 0);
    }

    fn rows(
        &mut self,
        at: Location<'_>,
        opened: rusqlite::Result<Foreign>,
        bytes: u64,
        depth: usize,
        budget: &Budget,
    ) {
        let tables = opened.and_then(|database| {
            let tables = database.tables()?;
            Ok((database, tables))
        });
        let (database, tables) = match tables {
            Ok(all) => all,
            Err(error) => {
                let why = RowsEnded::from(error).why();
                return self.skip(at, format!("its rows cannot be read ({why}): {AS_RAW_BYTES}"));
            }
        };
        let mut left = RowBudget { rows: bytes / ROW_BYTES_MIN, bytes: budget, depth };
        for table in tables.iter().map(String::as_str).chain([SCHEMA]) {
            let inside = named(at, table.as_bytes());
            let at = Location { inside: &inside, ..at };
            if let Err(ended) = self.table(at, &database, table, &mut left) {
                self.skip(at, format!("its rows were not read completely ({}): {AS_RAW_BYTES}", ended.why()));
                // The limit applies to the other tables too.
                if !matches!(ended, RowsEnded::Refused(_)) {
                    return;
                }
            }
        }
    }

    fn table(
        &mut self,
        at: Location<'_>,
        database: &Foreign,
        table: &str,
        left: &mut RowBudget<'_>,
    ) -> Result<(), RowsEnded> {
        let (mut statement, before) = database.rows(table)?;
        let columns = statement.column_names().skip(before);
        let columns: Vec<String> = columns.map(str::to_owned).collect();
        let mut insides: Vec<Vec<String>> = columns
            .iter()
            .map(|column| {
                let row = before > 0;
                let inside = at.inside.iter().cloned().chain(row.then(String::new));
                let at = Location { inside: &inside.collect::<Vec<_>>(), ..at };
                named(at, column.as_bytes())
            })
            .collect();
        let columns = Columns::of(columns, before);
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            left.rows = left.rows.checked_sub(1).ok_or(RowsEnded::Rows)?;
            let number = if before > 0 { row.get_ref(0)?.as_i64().ok() } else { None };
            for (index, inside) in insides.iter_mut().enumerate() {
                let Some(bytes) = cell_bytes(row.get_ref(before + index)?) else { continue };
                if !left.bytes.bytes(bytes.len() as u64) {
                    return Err(RowsEnded::Bytes);
                }
                if let Some(number) = number
                    && let Some(place) = inside.len().checked_sub(2).and_then(|at| inside.get_mut(at))
                {
                    *place = format!("row {number}");
                }
                self.cell(Location { inside, ..at }, columns.name_of(row, index), bytes, left);
            }
        }
        Ok(())
    }

    /// Scans one cell, with anything packed in it.
    fn cell(&mut self, at: Location<'_>, name: Option<&str>, mut bytes: &[u8], left: &RowBudget<'_>) {
        let head = bytes.get(..bytes.len().min(HEAD_BYTES)).unwrap_or_default();
        if is_special(head) {
            self.peeked(at, &mut bytes, left.depth + 1, left.bytes);
        } else {
            let read = self.part_under(name, at, &mut bytes);
            self.count(0, read);
        }
    }
}

/// The bytes of a cell that may hold a credential.
fn cell_bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(bytes).filter(|one| one.len() >= CELL_BYTES_MIN)
        }
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

/// The path of a database's write-ahead log.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(LOG);
    PathBuf::from(name)
}

type Copies = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// Copies of a database and its log. If it is written meanwhile they may not match: then its rows cannot be read.
fn copies(head: &[u8], file: &mut File, log: &mut File) -> io::Result<Copies> {
    let copy = |first: &[u8], from: &mut File| {
        let mut all = Zeroizing::new(first.to_vec());
        from.take(COPY_BYTES_MAX).read_to_end(&mut all).map(|_| all)
    };
    let database = copy(head, file)?;
    Ok((database, copy(&[], log)?))
}
