//! Databases with a hostile author: reading one ends, in bounded memory, and nothing of its schema runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use keyroll_database::Foreign;
use keyroll_database::rusqlite::{Connection, Error, ErrorCode};
use keyroll_testkit::limited;
use zeroize::Zeroizing;

fn made(folder: &Path, schema: &str) -> PathBuf {
    let path = folder.join("foreign.db");
    Connection::open(&path).unwrap().execute_batch(schema).unwrap();
    path
}

/// The database, opened in both ways.
fn opened(path: &Path) -> [Foreign; 2] {
    let deadline = Instant::now() + Duration::from_secs(600);
    let bytes = Zeroizing::new(std::fs::read(path).unwrap());
    [Foreign::of_copy(bytes, &[], deadline).unwrap(), Foreign::of_file(path, deadline).unwrap()]
}

#[test]
fn a_computed_column_is_not_read() {
    limited("foreign::read_beside_computed_columns");
}

#[test]
#[ignore = "run by a_computed_column_is_not_read"]
fn read_beside_computed_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(
        folder.path(),
        "CREATE TABLE grows (a TEXT, c AS (a || '!') STORED);
         INSERT INTO grows VALUES ('one');
         ALTER TABLE grows ADD COLUMN b AS (hex(zeroblob(400000000)));
         CREATE TABLE hides (a TEXT, rowid AS (upper(a)));
         INSERT INTO hides VALUES ('two');",
    );
    for database in opened(&path) {
        assert_eq!(database.tables().unwrap(), ["grows", "hides"]);
        let (mut statement, first) = database.rows("grows").unwrap();
        assert_eq!(first, 1);
        assert!(statement.column_names().eq(["rowid", "a", "c"]));
        let row = statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)));
        assert_eq!(row, Ok(("one".to_owned(), "one!".to_owned())));
        let (mut statement, first) = database.rows("hides").unwrap();
        assert_eq!(first, 0);
        assert!(statement.column_names().eq(["a"]));
        assert_eq!(statement.query_row([], |row| row.get(0)), Ok("two".to_owned()));
        assert!(database.select("grows", &["a", "b"], "").is_err());
        assert!(database.select("grows", &["a"], "").is_ok());
    }
}

#[test]
fn a_view_is_not_read() {
    limited("foreign::read_beside_endless_views");
}

#[test]
#[ignore = "run by a_view_is_not_read"]
fn read_beside_endless_views() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(
        folder.path(),
        "CREATE VIEW endless AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT a FROM n WHERE a = 2;",
    );
    for database in opened(&path) {
        assert_eq!(database.tables().unwrap(), Vec::<String>::new());
        assert!(database.select("endless", &["a"], "").is_err());
        assert!(database.rows("endless").is_err());
    }
}

#[test]
fn what_takes_too_long_is_an_error() {
    limited("foreign::read_what_takes_too_long");
}

#[test]
#[ignore = "run by what_takes_too_long_is_an_error"]
fn read_what_takes_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(
        folder.path(),
        "CREATE TABLE many (a INTEGER);
         WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 2000) INSERT INTO many SELECT a FROM n;",
    );
    // So many rows that no machine reaches their end.
    let which = "WHERE 0 < (SELECT count(*) FROM many AS b, many AS c, many AS d WHERE b.a + c.a + d.a < 0)";
    let deadline = || Instant::now() + Duration::from_secs(3);
    let bytes = Zeroizing::new(std::fs::read(&path).unwrap());
    let ends = |database: Result<Foreign, Error>| {
        let read =
            database.and_then(|database| database.select("many", &["a"], which)?.query_row([], |_| Ok(())));
        assert_eq!(read.unwrap_err().sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
    };
    ends(Foreign::of_copy(bytes, &[], deadline()));
    ends(Foreign::of_file(&path, deadline()));
}

#[test]
fn what_is_no_file_is_refused() {
    limited("foreign::read_what_is_no_file");
}

#[test]
#[ignore = "run by what_is_no_file_is_refused"]
fn read_what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(folder.path(), "CREATE TABLE a (b)");
    let deadline = Instant::now() + Duration::from_secs(600);
    let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(Foreign::of_file(&pipe, deadline).is_err());
    assert!(Foreign::of_file(&link, deadline).is_err());
    assert!(Foreign::of_file(&folder.path().join("missing"), deadline).is_err());
    assert!(Foreign::of_file(&path, deadline).is_ok());
    let beside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(beside.len(), 3, "nothing is made beside it: {beside:?}");
}
