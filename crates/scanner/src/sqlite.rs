//! Databases of SQLite: what stands in their rows, however their pages cut it, and then all of their bytes, in which rows that
//! were deleted may still stand.

pub(crate) mod columns;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_database::Foreign;
use keyroll_database::rusqlite::types::ValueRef;
use keyroll_database::rusqlite::{self, Row};
use zeroize::Zeroizing;

use crate::scan::{At, Worker};
use crate::sqlite::columns::Columns;
use crate::tree::open;
use crate::unpack::packed::{HEAD_BYTES, Packed, utf16_order};
use crate::unpack::{AS_IT_STANDS, Budget, FAR_MORE, named};
use crate::why::why;

/// The largest database that is read from a copy in memory, with its log, bytes: one that does not stand alone, or has a log.
const COPY_BYTES_MAX: u64 = 64 << 20;

/// How long the rows of one database are read, seconds. Some millions of rows take ten.
const ROWS_S_MAX: u64 = 300;

/// A row takes so many bytes of its file at the least: two where it is listed, its length, its number, and one of its own.
/// One that is read more often stands in a page that several name.
const ROW_BYTES_MIN: u64 = 4;

/// In a shorter cell no credential stands, bytes.
const CELL_BYTES_MIN: usize = 8;

/// The table of the others: what a table begins with is text too.
const SCHEMA: &str = "sqlite_schema";

/// How the name of a database's log ends.
const LOG: &str = "-wal";

/// What may still be read of one database.
struct Left<'b> {
    rows: u64,
    bytes: &'b Budget,
    depth: usize,
}

/// Why the rows of a table were not read to their end.
enum Ended {
    Refused(rusqlite::Error),
    Rows,
    Bytes,
}

impl From<rusqlite::Error> for Ended {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error)
    }
}

impl Ended {
    /// What SQLite says may quote the schema, which may have a value: only the kind of error is told.
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
            Self::Refused(_) => "it is not written as a database is".to_owned(),
            Self::Rows => "it names pages more than once".to_owned(),
            Self::Bytes => FAR_MORE.to_owned(),
        }
    }
}

impl Worker<'_> {
    /// A database that is a file of its own. It is read where it stands, or with its log from a copy: nothing is written
    /// beside it, and nobody who uses it has to wait.
    pub(crate) fn database_file(
        &mut self,
        at: At<'_>,
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
                        // From now on the copy is all that is known of it.
                        let opened = Foreign::of_copy(database.clone(), &log, until);
                        self.rows(at, opened, bytes.saturating_add(more), 0, budget);
                        return self.bytes_of(at, first, &mut database.as_slice());
                    }
                    Err(error) => return self.skip(at, why(&error)),
                }
            }
            (Some(path), log) => {
                if log.is_some() {
                    self.skip(at, "what is in its log alone is looked at as it stands, and not in rows: it is too large");
                }
                (Foreign::of_file(path, until), log)
            }
            (None, _) => return self.text(at, &mut head.chain(file)),
        };
        self.rows(at, opened, bytes, 0, budget);
        self.bytes_of(at, first, &mut head.chain(file));
        if let Some((_, mut log)) = log {
            let inside = named(at, LOG.as_bytes());
            self.more_of(At { inside: &inside, ..at }, first, &mut log);
        }
    }

    /// A database that stands in something else.
    pub(crate) fn inner_database(&mut self, at: At<'_>, from: &mut dyn Read, depth: usize, budget: &Budget) {
        let mut whole = Zeroizing::new(Vec::new());
        let read = from.take(COPY_BYTES_MAX).read_to_end(&mut whole);
        match read {
            Ok(length) if (length as u64) < COPY_BYTES_MAX => {
                self.database_in_memory(at, &whole, depth, budget)
            }
            Ok(_) => {
                let mib = COPY_BYTES_MAX >> 20;
                self.skip(at, format!("the rows of a database that does not stand alone are read up to {mib} MiB: {AS_IT_STANDS}"));
                self.text(at, &mut whole.as_slice().chain(from));
            }
            Err(error) => {
                self.skip(at, why(&error));
                self.text(at, &mut whole.as_slice());
            }
        }
    }

    /// A database that is in memory already.
    pub(crate) fn database_in_memory(&mut self, at: At<'_>, mut whole: &[u8], depth: usize, budget: &Budget) {
        let first = self.found();
        let until = Instant::now() + Duration::from_secs(ROWS_S_MAX);
        let opened = Foreign::of_copy(Zeroizing::new(whole.to_vec()), &[], until);
        self.rows(at, opened, whole.len() as u64, depth, budget);
        self.bytes_of(at, first, &mut whole);
    }

    /// All of its bytes. What the rows have told is not told again.
    fn bytes_of(&mut self, at: At<'_>, first: usize, from: &mut dyn Read) {
        self.more_of(at, first, from);
        self.count(1, 0);
    }

    fn rows(
        &mut self,
        at: At<'_>,
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
                let why = Ended::from(error).why();
                return self.skip(at, format!("its rows cannot be read ({why}): {AS_IT_STANDS}"));
            }
        };
        let mut left = Left { rows: bytes / ROW_BYTES_MIN, bytes: budget, depth };
        for table in tables.iter().map(String::as_str).chain([SCHEMA]) {
            let inside = named(at, table.as_bytes());
            let at = At { inside: &inside, ..at };
            if let Err(ended) = self.table(at, &database, table, &mut left) {
                self.skip(
                    at,
                    format!("its rows were not read to their end ({}): {AS_IT_STANDS}", ended.why()),
                );
                // Of the others no more may be read either.
                if !matches!(ended, Ended::Refused(_)) {
                    return;
                }
            }
        }
    }

    fn table(
        &mut self,
        at: At<'_>,
        database: &Foreign,
        table: &str,
        left: &mut Left<'_>,
    ) -> Result<(), Ended> {
        let (mut statement, before) = database.rows(table)?;
        let columns = statement.column_names().skip(before);
        let columns: Vec<String> = columns.map(str::to_owned).collect();
        let mut insides: Vec<Vec<String>> = columns
            .iter()
            .map(|column| {
                let row = before > 0;
                let inside = at.inside.iter().cloned().chain(row.then(String::new));
                let at = At { inside: &inside.collect::<Vec<_>>(), ..at };
                named(at, column.as_bytes())
            })
            .collect();
        let columns = Columns::of(columns, before);
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            left.rows = left.rows.checked_sub(1).ok_or(Ended::Rows)?;
            for (index, inside) in insides.iter_mut().enumerate() {
                let name = columns.name_of(row, index);
                self.cell(at, row, (before, index, name), inside, left)?;
            }
        }
        Ok(())
    }

    fn cell(
        &mut self,
        at: At<'_>,
        row: &Row<'_>,
        (before, index, name): (usize, usize, Option<&str>),
        inside: &mut [String],
        left: &Left<'_>,
    ) -> Result<(), Ended> {
        let mut bytes = match row.get_ref(before + index)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => return Ok(()),
        };
        if bytes.len() < CELL_BYTES_MIN {
            return Ok(());
        }
        if !left.bytes.bytes(bytes.len() as u64) {
            return Err(Ended::Bytes);
        }
        if before > 0
            && let ValueRef::Integer(number) = row.get_ref(0)?
            && let Some(place) = inside.len().checked_sub(2).and_then(|at| inside.get_mut(at))
        {
            *place = format!("row {number}");
        }
        let at = At { inside, ..at };
        let head = bytes.get(..bytes.len().min(HEAD_BYTES)).unwrap_or_default();
        if Packed::of(head).is_some() || utf16_order(head).is_some() {
            self.peeked(at, &mut bytes, left.depth + 1, left.bytes);
        } else {
            let read = self.part_under(name, at, &mut bytes);
            self.count(0, read);
        }
        Ok(())
    }
}

/// Where SQLite keeps what it has not written into the database yet.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(LOG);
    PathBuf::from(name)
}

type Copies = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// A database and its log. One that is written meanwhile may be of two times: then its rows cannot be read.
fn copies(head: &[u8], file: &mut File, log: &mut File) -> io::Result<Copies> {
    let copy = |first: &[u8], from: &mut File| {
        let mut all = Zeroizing::new(first.to_vec());
        from.take(COPY_BYTES_MAX).read_to_end(&mut all).map(|_| all)
    };
    let database = copy(head, file)?;
    Ok((database, copy(&[], log)?))
}
