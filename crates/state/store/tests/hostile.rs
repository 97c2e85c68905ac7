//! Bad days of the sealed store: exchanged, older and damaged rows, kills, full disks, and others who read its files.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use keyroll_port::{Class, Label, MadeBy, RotationId, Staging as _, Store};
use keyroll_secret::SealingKey;
use keyroll_store::SealedStore;
use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::sample::{Place, credential, stage, text, value, with_id};

/// Set in the processes that the tests start: the folder.
const CHILD: &str = "KEYROLL_TEST_STORE";

fn rotation() -> RotationId {
    RotationId("0190-1".to_owned())
}

/// Two secrets, one in the middle of a rotation.
async fn filled() -> (Place, Vec<String>) {
    let place = Place::new();
    let store = place.open();
    let values = vec![value(), value(), value()];
    store.add("a", &with_id("key-a1", &values[0])).await.unwrap();
    store.add("b", &with_id("key-b1", &values[1])).await.unwrap();
    let r = rotation();
    store.keep("a", &r, 2, &credential(&values[2])).await.unwrap();
    store.keep("a", &r, 4, &with_id("key-a2", &values[2])).await.unwrap();
    stage(&store, "a", &r, 4).await.unwrap();
    store.promote("a", 1, 2).await.unwrap();
    (place, values)
}

/// Whether the store is refused, when it is opened or by every call that shows a value.
fn refused(place: &Place) -> Option<&'static str> {
    place.try_open().err().map(|failure| failure.code.as_str())
}

#[tokio::test]
async fn no_file_shows_a_value() {
    let (place, mut values) = filled().await;
    let store = place.open();
    values.push(value());
    store.keep("a", &rotation(), 9, &credential(&values[3])).await.unwrap();
    stage(&store, "a", &rotation(), 9).await.unwrap();
    // A raw needle, three alignments of base64 and two cases of hex; the log is still there.
    assert!(files(&place).iter().any(|(name, bytes)| name.ends_with("-wal") && bytes.len() > 4096));
    assert_eq!(sightings(&place, &values), BTreeSet::new());
    store.retire("a", 3).await.unwrap();
    store.retire("a", 1).await.unwrap();
    drop(store);
    assert_eq!(sightings(&place, &values), BTreeSet::new());
    // The search itself finds a planted value.
    fs::write(
        place.folder().join("leak"),
        format!("x{}", STANDARD_NO_PAD.encode(format!("ab{}", values[0]))),
    )
    .unwrap();
    assert_eq!(sightings(&place, &values).len(), 1);
}

fn files(place: &Place) -> Vec<(String, Vec<u8>)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(place.folder()).unwrap().map(read).collect()
}

fn sightings(place: &Place, values: &[String]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for value in values {
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut needles = vec![value.clone(), hex.to_uppercase(), hex];
        for skip in 0..3 {
            // Complete groups of three bytes have the same base64 form at any offset.
            let whole = &value[skip..skip + (value.len() - skip) / 3 * 3];
            needles.extend([STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
        }
        for (name, bytes) in files(place) {
            if needles.iter().any(|it| bytes.windows(it.len()).any(|window| window == it.as_bytes())) {
                seen.insert(name);
            }
        }
    }
    seen
}

#[tokio::test]
async fn a_retired_value_leaves_the_files() {
    let place = Place::new();
    let store = place.open();
    // Long enough that the next writes do not happen to overwrite all of it in the log.
    store.add("a", &credential(&value().repeat(1_000))).await.unwrap();
    let connection = Connection::open(place.database()).unwrap();
    let sql = "SELECT sealed FROM versions WHERE secret = 'a' AND number = 1";
    let first: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(connection);
    let there = || {
        let mut parts = first.chunks_exact(1_000).map(|part| &part[..40]);
        parts.any(|part| files(&place).iter().any(|(_, bytes)| bytes.windows(40).any(|it| it == part)))
    };
    assert!(there());
    store.keep("a", &rotation(), 2, &credential(&value())).await.unwrap();
    stage(&store, "a", &rotation(), 2).await.unwrap();
    store.promote("a", 1, 2).await.unwrap();
    assert!(there());
    store.retire("a", 1).await.unwrap();
    assert!(!there(), "even sealed, it is gone");
}

#[tokio::test]
async fn exchanged_rows_are_refused() {
    let (place, _) = filled().await;
    let good = fs::read(place.database()).unwrap();
    let columns = ["label", "credential", "fingerprints", "sealed", "unix_ms", "rotation", "intent"];
    let mut tried = 0;
    for (table, keys) in [("versions", "secret || number"), ("kept", "secret || intent")] {
        for column in columns {
            for set in [format!("{column} = other.{column}"), "number = other.number".to_owned()] {
                for (one, other) in [("a1", "a2"), ("a1", "b1"), ("a2", "b1"), ("a2", "a4"), ("a4", "a2")] {
                    fs::write(place.database(), &good).unwrap();
                    let sql = format!(
                        "PRAGMA ignore_check_constraints = ON;
                         CREATE TEMP TABLE other AS SELECT * FROM {table} WHERE {keys} = '{other}';
                         UPDATE OR REPLACE {table} SET {set} FROM other WHERE {table}.{} = '{one}';",
                        keys.replace("|| ", &format!("|| {table}.")),
                    );
                    let connection = Connection::open(place.database()).unwrap();
                    // Some tables lack some columns, and some rows are equal.
                    let before = dump(&connection);
                    let changed = connection.execute_batch(&sql).is_ok() && dump(&connection) != before;
                    drop(connection);
                    if changed {
                        tried += 1;
                        assert_eq!(refused(&place), Some("K0603"), "{sql}");
                    }
                }
            }
        }
    }
    assert!(tried > 15, "only {tried} exchanges were possible");
    fs::write(place.database(), &good).unwrap();
    assert_eq!(refused(&place), None);
}

fn dump(connection: &Connection) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["versions", "kept", "secrets", "store"] {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let count = statement.column_count();
        let mut all = statement.query([]).unwrap();
        while let Some(row) = all.next().unwrap() {
            rows.extend((0..count).map(|at| format!("{:?}", row.get_ref(at).unwrap())));
        }
    }
    rows
}

#[tokio::test]
async fn older_rows_are_refused() {
    let (place, _) = filled().await;
    let older = place.root().join("older.db");
    fs::copy(place.database(), &older).unwrap();
    {
        let store = place.open();
        store.demote("a", 1, 2).await.unwrap();
        let made_by = MadeBy { rotation: rotation(), intent: 4 };
        store.forget("a", &made_by).await.unwrap();
        store.retire("a", 2).await.unwrap();
    }
    let good = fs::read(place.database()).unwrap();
    let attach = format!("ATTACH '{}' AS older; PRAGMA foreign_keys = OFF;", older.display());
    for sql in [
        "REPLACE INTO versions SELECT * FROM older.versions WHERE secret = 'a' AND number = 2",
        "REPLACE INTO versions SELECT * FROM older.versions WHERE secret = 'a'",
        "REPLACE INTO kept SELECT * FROM older.kept",
        // All rows of one secret with the key's code for them: the code for the whole store is newer.
        "REPLACE INTO versions SELECT * FROM older.versions; REPLACE INTO kept SELECT * FROM older.kept; \
         REPLACE INTO secrets SELECT * FROM older.secrets",
        "REPLACE INTO store SELECT * FROM older.store",
        "DELETE FROM kept",
        "DELETE FROM versions WHERE number = 1",
        "DELETE FROM kept; DELETE FROM versions; DELETE FROM secrets",
        "DELETE FROM store",
    ] {
        fs::write(place.database(), &good).unwrap();
        let connection = Connection::open(place.database()).unwrap();
        connection.execute_batch(&attach).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        assert_eq!(refused(&place), Some("K0603"), "{sql}");
    }
}

#[tokio::test]
async fn rows_that_change_under_a_running_store_are_refused() {
    let (place, _) = filled().await;
    let store = place.open();
    let connection = Connection::open(place.database()).unwrap();
    connection.execute("UPDATE versions SET credential = 'key-b1' WHERE number = 2", []).unwrap();
    for failure in [
        store.versions("a").await.err(),
        store.kept("a", &rotation(), 4).await.err(),
        store.promote("a", 1, 2).await.err(),
        store.retire("a", 1).await.err(),
    ] {
        assert_eq!(failure.map(|failure| failure.code.as_str()), Some("K0603"));
    }
    assert!(store.versions("b").await.is_ok(), "the other secret is whole");
}

#[tokio::test]
async fn flipped_bytes_are_refused_or_do_not_matter() {
    let (place, values) = filled().await;
    let good = fs::read(place.database()).unwrap();
    let mut seen = 0;
    for at in (0..good.len()).step_by(good.len() / 250) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(place.database(), bad).unwrap();
        if let Ok(store) = place.try_open() {
            let a = Store::read(&store, "a", 2).await.ok().flatten();
            if let Some(a) = a {
                assert!(a.fields.get("value").unwrap().value.expose() == values[2].as_bytes());
            }
        } else {
            seen += 1;
        }
        for left in ["secrets.db-wal", "secrets.db-shm"] {
            fs::remove_file(place.folder().join(left)).ok();
        }
    }
    assert!(seen > 10, "only {seen} of 250 flips were seen");
    for length in (0..good.len()).step_by(good.len() / 20) {
        fs::write(place.database(), &good[..length]).unwrap();
        if let Ok(store) = place.try_open() {
            // Truncated to nothing it is a new store without secrets; truncated after its last row it has everything.
            let all = store.secrets().await.unwrap();
            assert_eq!(all.is_empty(), length == 0);
            if !all.is_empty() {
                assert_eq!(text(&store, "a", 2).await.as_ref(), Some(&values[2]), "cut at {length}");
            }
        }
        for left in ["secrets.db-wal", "secrets.db-shm"] {
            fs::remove_file(place.folder().join(left)).ok();
        }
    }
}

/// Not a test of its own: the process that the others kill or starve. Prints `+ intent` after each acknowledged step.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let key = SealingKey::from_bytes(Zeroizing::new([7; SealingKey::BYTES]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SealedStore::open(Path::new(&folder), key).unwrap();
        let first = store.versions("a").await.unwrap().len() as u64;
        for intent in first..5_000 {
            let text = format!("{intent:08}{}", "v".repeat(800));
            let steps = async {
                store.keep("a", &rotation(), intent, &credential(&text)).await?;
                let number = stage(&store, "a", &rotation(), intent).await?;
                let current = number - 1;
                store.promote("a", current, number).await
            };
            if let Err(failure) = steps.await {
                println!("! {} {:?}", failure.code.as_str(), failure.class);
                let again = store.retire("a", 1).await;
                println!("! {}", again.err().map_or("retired".to_owned(), |it| it.code.to_string()));
                return;
            }
            println!("+ {}", intent + 1);
        }
    });
}

fn start(place: &Place, shell: &[&str]) -> std::process::Child {
    let (first, rest) = shell.split_first().unwrap();
    Command::new(first)
        .args(rest)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, place.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn one_current(place: &Place, answered: u64) {
    let store = place.open();
    let versions = store.versions("a").await.unwrap();
    let current: Vec<_> = versions.iter().filter(|it| it.label == Label::Current).collect();
    assert_eq!(current.len(), 1);
    assert!(u64::from(current[0].number) >= answered.max(1), "an answered promotion is lost");
    for version in versions.iter().filter(|it| it.label != Label::Retired) {
        assert!(text(&store, "a", version.number).await.is_some());
    }
}

#[tokio::test]
async fn a_killed_store_is_whole() {
    let place = Place::new();
    place.open().add("a", &credential(&value())).await.unwrap();
    for kill in 1..6_u64 {
        let mut child = start(&place, &["env"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut answered, mut seen) = (0, 0);
        while seen < kill * 2 {
            let line = lines.next().expect("it goes on until it is killed").unwrap();
            if let Some(number) = line.strip_prefix("+ ") {
                answered = number.parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        one_current(&place, answered).await;
        // The next process finds only complete steps.
        let store = place.open();
        let last = store.versions("a").await.unwrap();
        let (last, current) =
            (last.last().unwrap().number, last.iter().find(|it| it.label == Label::Current));
        let current = current.unwrap().number;
        if last != current {
            store.promote("a", current, last).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_failed_write_is_unknown_and_the_last() {
    let place = Place::new();
    place.open().add("a", &credential(&value())).await.unwrap();
    let shell = ["sh", "-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh"];
    let output = start(&place, &shell).wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let answered = output.lines().filter_map(|line| line.strip_prefix("+ ")).next_back();
    let said: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("! ")).collect();
    // Either the log or the database is the first that does not fit; later writes are refused in both cases.
    assert!(["K0315 Unknown", "K0315 Retryable"].contains(&said[0]) && said[1..] == ["K0315"], "{output}");
    one_current(&place, answered.expect("some steps fit").parse().unwrap()).await;
}

#[tokio::test]
async fn a_locked_store_refuses_and_recovers() {
    let (place, _) = filled().await;
    let store = place.open();
    let other = Connection::open(place.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failure = store.retire("a", 1).await.expect_err("it is locked");
    assert_eq!((failure.code.as_str(), failure.class), ("K0601", Class::Retryable));
    assert!(store.versions("a").await.is_ok(), "readers are not stopped");
    other.execute_batch("COMMIT").unwrap();
    store.retire("a", 1).await.unwrap();
}
