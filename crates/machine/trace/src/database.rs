use std::path::Path;
use std::time::Instant;

use keyroll_database::Foreign;
use keyroll_database::rusqlite::types::ValueRef;
use keyroll_database::rusqlite::{Error, Row};
use keyroll_leak::looks_like_hex_id;
use zeroize::Zeroizing;

/// The first bytes of a SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The most rows that are read of one database.
const ROWS_MAX: usize = 1_000_000;

/// The longest name of a row that is taken from another column, bytes.
const NAME_BYTES_MAX: usize = 128;

/// One text of a row.
pub(crate) struct Cell<'a> {
    pub(crate) table: &'a str,
    pub(crate) column: &'a str,
    /// The row's own number in its table; in a table without numbers, its position from 1 on.
    pub(crate) row: i64,
    /// The text of a column that names rows, such as `key` or `name`.
    pub(crate) beside: Option<&'a str>,
    pub(crate) bytes: &'a [u8],
}

/// Whether this is a SQLite database.
pub(crate) fn is_database(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Passes on every text of every row, as it was when the files were read.
///
/// # Errors
/// The part that could not be read: a damaged table, or more rows or time than the limit.
pub(crate) fn each_cell(
    database: Zeroizing<Vec<u8>>,
    log: &[u8],
    deadline: Instant,
    take: &mut dyn FnMut(&Cell<'_>),
) -> Result<(), String> {
    each_table(&Foreign::of_copy(database, log, deadline).map_err(said)?, deadline, take)
}

/// The same for a database that is too large for a copy in memory: it is read from its file, without its log.
///
/// # Errors As for [`each_cell`].
pub(crate) fn each_cell_of_file(
    path: &Path,
    deadline: Instant,
    take: &mut dyn FnMut(&Cell<'_>),
) -> Result<(), String> {
    each_table(&Foreign::of_file(path, deadline).map_err(said)?, deadline, take)
}

/// SQLite's message could quote a statement of the schema.
fn said(error: Error) -> String {
    match error.sqlite_error() {
        Some(code) => format!("the database cannot be read: {code}"),
        None => "the database cannot be read".to_owned(),
    }
}

fn each_table(database: &Foreign, deadline: Instant, take: &mut dyn FnMut(&Cell<'_>)) -> Result<(), String> {
    let tables = database.tables().map_err(said)?;
    let mut left = ROWS_MAX;
    let mut wrong = None;
    for table in tables {
        let read = each_row(database, &table, deadline, &mut left, take);
        wrong = wrong.or(read.err().map(|error| format!("its table {table}: {}", said(error))));
        if left == 0 || Instant::now() >= deadline {
            return Err("more rows or time than the limit for one database".to_owned());
        }
    }
    wrong.map_or(Ok(()), Err)
}

fn each_row(
    database: &Foreign,
    table: &str,
    deadline: Instant,
    left: &mut usize,
    take: &mut dyn FnMut(&Cell<'_>),
) -> Result<(), Error> {
    let (mut statement, first) = database.rows(table)?;
    let columns: Vec<String> = statement.column_names().skip(first).map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let own = if first == 1 { row.get_ref(0)?.as_i64().unwrap_or(number) } else { number };
        let beside = name_of(row, &columns, first);
        for (index, column) in columns.iter().enumerate() {
            let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = row.get_ref(index + first)? else {
                continue;
            };
            take(&Cell { table, column, row: own, beside: beside.as_deref(), bytes });
        }
        *left = left.saturating_sub(1);
        if *left == 0 || Instant::now() >= deadline {
            break;
        }
    }
    Ok(())
}

/// The text of the column that names rows.
fn name_of(row: &Row<'_>, columns: &[String], first: usize) -> Option<String> {
    let names = ["key", "name", "variable", "provider", "id"];
    let at =
        names.iter().find_map(|name| columns.iter().position(|column| column.eq_ignore_ascii_case(name)))?;
    let text = row.get_ref(at + first).ok()?.as_str().ok()?;
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX && !looks_like_hex_id(text)).then(|| text.to_owned())
}
