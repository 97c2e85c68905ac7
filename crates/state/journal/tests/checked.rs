//! A long journal is read whole once a day, and whenever its file was changed by anybody but keyroll.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::time::Duration;

use keyroll_journal::{Act, OpenError, SqliteJournal, check_whole};
use keyroll_port::Journal as _;
use keyroll_rotation::Fact;
use serde_json::Value;

use crate::sample::{Place, event, id, opening};

/// More than a journal that is read each time.
const ACTS: u64 = 20_500;

/// Writers at once: the journal commits theirs together.
const WRITERS: u64 = 128;

fn act(number: u64) -> Act {
    Act { by: "token ada".to_owned(), what: format!("act {number}"), ..Act::default() }
}

fn since_boot() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::Boottime).try_into().unwrap()
}

async fn write_acts(journal: SqliteJournal, acts: u64) {
    let journal = Arc::new(journal);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for number in (writer..acts).step_by(WRITERS as usize) {
                    journal.record(&act(number), number).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    journal.witness().await.unwrap();
}

/// A long journal with one open rotation, checked once.
async fn long() -> Place {
    let place = Place::new();
    place.open().open(&id(1), &opening("a")).await.unwrap();
    write_acts(place.open(), ACTS).await;
    drop(place.open());
    place
}

/// What is remembered of the last check.
fn mark(place: &Place) -> Option<Value> {
    let text = fs::read(place.root().join("config/witness.checked")).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

fn put_mark(place: &Place, mark: &Value) {
    fs::write(place.root().join("config/witness.checked"), mark.to_string()).unwrap();
}

/// The mark says that the file as it is now was checked: as with a disk that returns other bytes than were written.
fn put_stamp(place: &Place) {
    let mut mark = mark(place).unwrap();
    let file = fs::metadata(place.database()).unwrap();
    mark["file"]["bytes"] = file.len().into();
    mark["file"]["changed"] = vec![file.ctime(), file.ctime_nsec()].into();
    put_mark(place, &mark);
}

/// Whether the next opening reads all of it: a mark with another time of the check is replaced then.
fn is_read_whole(place: &Place) -> bool {
    let Some(mut remembered) = mark(place) else { return true };
    let earlier = remembered["boot_ms"].as_u64().unwrap() - 1;
    remembered["boot_ms"] = earlier.into();
    put_mark(place, &remembered);
    drop(place.open());
    mark(place).unwrap()["boot_ms"] != earlier
}

fn refused(place: &Place) -> &'static str {
    match place.try_open() {
        Ok(_) => "opened",
        Err(OpenError::Damaged { .. }) => "damaged",
        Err(OpenError::Restored { .. }) => "restored",
        Err(error) => panic!("{error}"),
    }
}

/// The place of a byte in the middle of the file that is of an act.
fn byte_of_an_act(place: &Place) -> u64 {
    let content = fs::read(place.database()).unwrap();
    let half = content.len() / 2;
    let at = content[half..].windows(9).position(|window| window == b"token ada").unwrap();
    (half + at) as u64
}

fn flip(place: &Place, at: u64) {
    let file = File::options().read(true).write(true).open(place.database()).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keyroll_wrote_is_not_read_again() {
    let place = long().await;
    assert!(!is_read_whole(&place));
    let before = mark(&place).unwrap();
    {
        let journal = place.open();
        let epoch = journal.take_over(&id(1)).await.unwrap();
        journal.append(&id(1), 1, &event(epoch, Fact::Clock), 0).await.unwrap();
        journal.witness().await.unwrap();
    }
    let after = mark(&place).unwrap();
    assert_eq!(after["entry"].as_u64().unwrap(), before["entry"].as_u64().unwrap() + 1);
    assert_eq!(after["boot_ms"], before["boot_ms"], "the time is that of the last check of all of it");
    assert!(!is_read_whole(&place));
    // A write that is no entry.
    place.open().remember(1, "a name").await.unwrap();
    assert!(!is_read_whole(&place));
    // Another process wrote while this one had it open: the next one reads all of it, and then no other.
    {
        let (one, other) = (place.open(), place.open());
        one.record(&act(0), 0).await.unwrap();
        other.record(&act(1), 0).await.unwrap();
        drop(one);
    }
    assert!(is_read_whole(&place));
    assert!(!is_read_whole(&place));
}

/// Doctor finds what only a complete check finds, and then so does every opening.
#[tokio::test(flavor = "multi_thread")]
async fn a_complete_check_is_complete() {
    let place = long().await;
    check_whole(&place.state(), &place.witness()).unwrap();
    let at = byte_of_an_act(&place);
    flip(&place, at);
    put_stamp(&place);
    assert_eq!(refused(&place), "opened", "its file seems to be the one that was checked");
    let found = check_whole(&place.state(), &place.witness());
    assert!(matches!(found, Err(OpenError::Damaged { .. })));
    assert_eq!(refused(&place), "damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_changed_is_found_at_once() {
    let place = long().await;
    let at = byte_of_an_act(&place);
    // In the same tick of the clock as keyroll's own last write, or in any other.
    for _ in 0..20 {
        drop(place.open());
        flip(&place, at);
        assert_eq!(refused(&place), "damaged");
        flip(&place, at);
        drop(place.open());
        assert!(!is_read_whole(&place));
        place.open().record(&act(0), 0).await.unwrap();
        flip(&place, at);
        assert_eq!(refused(&place), "damaged");
        flip(&place, at);
    }
    // While keyroll has it open and writes.
    let journal = place.open();
    flip(&place, at);
    journal.record(&act(0), 0).await.unwrap();
    drop(journal);
    assert_eq!(refused(&place), "damaged");
    flip(&place, at);
    // The file's own times can be set back, which does not hide it.
    drop(place.open());
    let meta = fs::metadata(place.database()).unwrap();
    flip(&place, at);
    let times =
        FileTimes::new().set_modified(meta.modified().unwrap()).set_accessed(meta.accessed().unwrap());
    File::options().write(true).open(place.database()).unwrap().set_times(times).unwrap();
    let again = fs::metadata(place.database()).unwrap();
    assert_eq!(
        (meta.mtime(), meta.mtime_nsec(), meta.len()),
        (again.mtime(), again.mtime_nsec(), again.len())
    );
    assert_eq!(refused(&place), "damaged");
}

/// By SQLite itself, also while keyroll has it open, so that the change is in the log first.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_changed_by_sqlite_is_found_at_the_next_opening() {
    let place = long().await;
    let journal = place.open();
    let other = rusqlite::Connection::open(place.database()).unwrap();
    other
        .execute_batch(
            "DROP TRIGGER entries_keep; UPDATE entries SET unix_ms = 1, bytes = x'00' WHERE entry = 70",
        )
        .unwrap();
    drop(other);
    journal.record(&act(0), 0).await.unwrap();
    drop(journal);
    assert_eq!(refused(&place), "damaged");
    assert_eq!(refused(&place), "damaged", "and stays found");
}

/// A reader keeps the log from being moved into the file, which then looks as it did when it was checked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_alone_is_found_beside_a_reader_that_stands_still() {
    let place = long().await;
    let reader = rusqlite::Connection::open(place.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entries").unwrap();
    let other = rusqlite::Connection::open(place.database()).unwrap();
    other
        .execute_batch("DROP TRIGGER entries_keep; UPDATE entries SET bytes = x'00' WHERE entry = 70")
        .unwrap();
    assert_eq!(refused(&place), "damaged");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(refused(&place), "damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_is_still_known_by_the_witness() {
    let place = long().await;
    let (older, its_mark) = (fs::read(place.database()).unwrap(), mark(&place).unwrap());
    place.open().record(&act(0), 0).await.unwrap();
    let journal = place.open();
    journal.witness().await.unwrap();
    drop(journal);
    // Into the same file, and the mark of that time is back too.
    fs::write(place.database(), older).unwrap();
    put_mark(&place, &its_mark);
    put_stamp(&place);
    assert_eq!(refused(&place), "restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_says_nothing_is_not_believed() {
    let place = long().await;
    let good = mark(&place).unwrap();
    let now = since_boot().as_millis() as u64;
    for (key, value) in [
        ("boot_ms", Value::from(now + 60 * 60 * 1_000)),
        ("boot", Value::from("another")),
        ("entry", Value::from(5)),
        ("chain", Value::from("00".repeat(32))),
        ("file", serde_json::json!({"device": 1, "inode": 2, "bytes": 3, "changed": [4, 5]})),
        ("v", Value::from(2)),
        ("more", Value::from(1)),
    ] {
        let mut other = good.clone();
        other[key] = value;
        put_mark(&place, &other);
        drop(place.open());
        let read = mark(&place).unwrap()["boot_ms"].as_u64().unwrap();
        assert!((now..now + 60 * 60 * 1_000).contains(&read), "{key}: not read whole");
        assert!(!is_read_whole(&place), "{key}");
    }
    let path = place.root().join("config/witness.checked");
    fs::write(&path, "x".repeat(100_000)).unwrap();
    assert!(place.try_open().is_ok());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(place.try_open().is_ok());
    fs::remove_dir(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(place.try_open().is_ok(), "a FIFO does not make it wait");
}

#[tokio::test]
async fn a_short_journal_is_read_each_time() {
    let place = Place::new();
    place.open().open(&id(1), &opening("a")).await.unwrap();
    drop(place.open());
    assert_eq!(mark(&place), None);
}
