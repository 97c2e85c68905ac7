use std::ffi::c_int;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, Error, OpenFlags, Result, Statement};
use zeroize::Zeroizing;

use crate::open::load;

/// The longest text of a row, bytes. Text that a schema computes has the same limit.
const TEXT_BYTES_MAX: i32 = 32 << 20;

/// SQLite's steps between two looks at the clock: a few rows.
const STEPS_MAX: c_int = 100;

/// A database of another program, to be read. Its author may be hostile, and its schema is code that runs when it is
/// read. Therefore only stored columns of tables are read, never a view or a computed column; a read that passes its
/// deadline is an error; and nothing is written, locked or created beside the database.
pub struct Foreign(Connection);

impl Foreign {
    /// A copy of a database, with the log that was beside it.
    pub fn of_copy(mut database: Zeroizing<Vec<u8>>, log: &[u8], deadline: Instant) -> Result<Self> {
        let mut connection = limited(Connection::open_in_memory()?, deadline)?;
        load(&mut connection, &mut database, log)?;
        Ok(Self(connection))
    }

    /// A database read from its file, without its log. SQLite is told that nobody writes, so it takes no lock. If
    /// another process does write, pages of different moments may be read together. A link or a pipe is refused.
    pub fn of_file(path: &Path, deadline: Instant) -> Result<Self> {
        let refused = || Error::InvalidPath(path.to_owned());
        // A link in the folder's path is the user's own choice; SQLite in its no-follow mode would refuse it too.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().map_err(|_| refused())?;
        let path = folder.join(path.file_name().ok_or_else(refused)?);
        // On a pipe, SQLite would wait for a writer.
        if !fs::symlink_metadata(&path).is_ok_and(|there| there.is_file()) {
            return Err(refused());
        }
        let encoded: String = path.as_os_str().as_bytes().iter().map(|byte| format!("%{byte:02X}")).collect();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(format!("file:{encoded}?immutable=1"), flags)?;
        limited(connection, deadline).map(Self)
    }

    /// The names of its ordinary tables, without views and virtual tables.
    pub fn tables(&self) -> Result<Vec<String>> {
        let all = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0";
        let mut statement = self.0.prepare(all)?;
        let names = statement.query_map([], |row| row.get(0))?;
        names.collect()
    }

    /// Reads the stored columns of every row of a table. Also returns how many columns come before the table's own: 1
    /// (the row number), or 0 where there is none.
    pub fn rows(&self, table: &str) -> Result<(Statement<'_>, usize)> {
        let columns = self.columns(table)?;
        let shown: Vec<&str> =
            columns.iter().filter(|column| column.stored).map(|column| column.name.as_str()).collect();
        // A column with that name hides the row number.
        let hides = |column: &Column| !column.stored && column.name.eq_ignore_ascii_case("rowid");
        if !columns.iter().any(hides)
            && let Ok(statement) = self.0.prepare(&select("rowid, ", &shown, table))
        {
            return Ok((statement, 1));
        }
        Ok((self.0.prepare(&select("", &shown, table))?, 0))
    }

    /// Reads these stored columns of a table. `which` is the SQL that selects the rows; it may use only these columns.
    pub fn select(&self, table: &str, columns: &[&str], which: &'static str) -> Result<Statement<'_>> {
        let there = self.columns(table)?;
        let stored = |name: &&str| there.iter().any(|column| column.stored && column.name == *name);
        if !self.tables()?.iter().any(|name| name == table) || !columns.iter().all(stored) {
            return Err(Error::InvalidQuery);
        }
        self.0.prepare(&format!("{} {which}", select("", columns, table)))
    }

    fn columns(&self, table: &str) -> Result<Vec<Column>> {
        let mut statement = self.0.prepare("SELECT name, hidden FROM pragma_table_xinfo(?1)")?;
        let columns = statement.query_map([table], |row| {
            // 0 is an ordinary column, 3 a computed one that is stored. Source: sqlite.org/pragma.html.
            Ok(Column { name: row.get(0)?, stored: matches!(row.get(1)?, 0_i64 | 3) })
        })?;
        columns.collect()
    }
}

struct Column {
    name: String,
    stored: bool,
}

fn select(before: &str, columns: &[&str], table: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    format!("SELECT {before}{} FROM {}", columns.join(", "), quoted(table))
}

/// Sets the limits before the first statement, because every statement reads the schema.
fn limited(mut connection: Connection, deadline: Instant) -> Result<Connection> {
    connection.progress_handler(STEPS_MAX, Some(move || Instant::now() >= deadline))?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, TEXT_BYTES_MAX)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    ] {
        connection.set_db_config(setting, on)?;
    }
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
}
