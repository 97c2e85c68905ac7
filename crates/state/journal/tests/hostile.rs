//! Bad days: kills, full disks, locks, flipped bytes. No acknowledged entry is lost, and none is invented.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keyroll_journal::{Act, LockError, SqliteJournal, try_lock};
use keyroll_port::{Journal, JournalError};
use keyroll_rotation::{Fact, LastUse};

use crate::sample::{Place, event, id, opening};

/// Set in the processes that the tests start: `<state folder>\n<witness>`.
const CHILD: &str = "KEYROLL_TEST_JOURNAL";

/// More than the small disks below can hold.
const APPENDS_MAX: u64 = 20_000;

/// Not a test of its own: the process that the others kill or starve. Prints `+ seq` after each acknowledged append,
/// and at the end the error that refused it.
#[test]
fn child() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (state, witness) = place.split_once('\n').unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let journal = SqliteJournal::open(Path::new(state), Path::new(witness)).unwrap();
        let recorded = journal.load(&id(1)).await.unwrap();
        let mut seq = recorded.events.len() as u64;
        let epoch = journal.take_over(&id(1)).await.unwrap();
        for _ in 0..APPENDS_MAX {
            seq += 1;
            let told = event(epoch, used(seq));
            // Both at once: a kill may come between them, and a witness may never be ahead of the journal.
            let one = id(1);
            let (appended, _) = tokio::join!(journal.append(&one, seq, &told, 0), journal.witness());
            if let Err(error) = appended {
                println!("! {}", word(&error));
                let again = journal.append(&id(1), seq, &told, 0).await;
                println!("! {}", word(&again.expect_err("still no room")));
                println!("! {}", if journal.witness().await.is_ok() { "witnessed" } else { "no witness" });
                return;
            }
            println!("+ {seq}");
        }
    });
}

/// Not a test of its own: a process that only reads, as `keyroll status` does, and prints how many events it saw.
#[test]
fn looker() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (state, witness) = place.split_once('\n').unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let journal = SqliteJournal::open(Path::new(state), Path::new(witness)).unwrap();
    // The test harness has written on the first line.
    println!();
    println!("+ {}", runtime.block_on(journal.load(&id(1))).unwrap().events.len());
}

fn used(seq: u64) -> Fact {
    Fact::LastUsed(LastUse { used: Some(seq), took_ms: 0 })
}

fn word(error: &JournalError) -> &'static str {
    match error {
        JournalError::Fenced { .. } => "fenced",
        JournalError::Conflict { .. } => "conflict",
        JournalError::Held { .. } => "held",
        JournalError::Unavailable(_) => "unavailable",
        JournalError::UnknownCommit(_) => "unknown",
        JournalError::Damaged(_) => "damaged",
        JournalError::Newer { .. } => "newer",
    }
}

/// This test's own binary as another process, after a shell that prepares its surroundings.
fn start(place: &Place, shell: &[&str]) -> Child {
    start_as("hostile::child", place, shell)
}

fn start_as(test: &str, place: &Place, shell: &[&str]) -> Child {
    let own = std::env::current_exe().unwrap();
    let (first, rest) = shell.split_first().unwrap();
    Command::new(first)
        .args(rest)
        .arg(own)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{}\n{}", place.state().display(), place.witness().display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn with_one_rotation() -> Place {
    let place = Place::new();
    place.open().open(&id(1), &opening("a")).await.unwrap();
    place
}

/// Every acknowledged entry is there, in order, and at most one more, which was written and not acknowledged yet.
async fn nothing_is_lost(place: &Place, acknowledged: u64) -> u64 {
    let recorded = place.open().load(&id(1)).await.unwrap();
    let found = recorded.events.len() as u64;
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{acknowledged} answered, {found} found");
    for (seq, event) in (1..).zip(&recorded.events) {
        assert_eq!(event.fact, used(seq));
    }
    found
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_that_was_answered() {
    let place = with_one_rotation().await;
    let mut found = 0;
    for kill in 0..12_u64 {
        let mut child = start(&place, &["env"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = found;
        let wanted = found + 3 + kill * 7;
        while last < wanted {
            let line = lines.next().expect("it goes on until it is killed").unwrap();
            last = line.strip_prefix("+ ").map_or(last, |seq| seq.parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Entries that it acknowledged right before its death count too.
        for line in lines.map_while(Result::ok) {
            last = line.strip_prefix("+ ").map_or(last, |seq| seq.parse().unwrap());
        }
        found = nothing_is_lost(&place, last).await;
    }
}

#[tokio::test]
async fn a_driver_that_another_process_replaced_is_fenced() {
    let place = with_one_rotation().await;
    let journal = place.open();
    let old = journal.take_over(&id(1)).await.unwrap();
    let mut child = start(&place, &["env"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first line that is ours: the other process has taken over.
    let taken = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("+ "));
    let fenced = journal.append(&id(1), 1, &event(old, Fact::Clock), 0).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(taken);
    assert!(matches!(fenced, Err(JournalError::Fenced { newest }) if newest == old + 1));
}

/// How often the list of locks is read: it comes in parts, and where other processes take and release locks between two of
/// them, a lock that is held all the time may be in none.
const LISTS_MAX: usize = 50;

/// Whether the system shows a lock of this process on the file.
fn is_locked(file: &Path) -> bool {
    let (own, inode) = (std::process::id().to_string(), fs::metadata(file).unwrap().ino());
    let is_its = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(4) == Some(&own.as_str()) && words[5].ends_with(&format!(":{inode}"))
    };
    (0..LISTS_MAX).any(|_| fs::read_to_string("/proc/locks").unwrap().lines().any(is_its))
}

/// SQLite's locks belong to the process (fcntl(2)). Opening and closing the file without SQLite would release them, and
/// then the next process that ends could remove the log that the driver uses.
#[tokio::test]
async fn a_process_that_looks_takes_nothing_from_a_driver() {
    let place = with_one_rotation().await;
    let journal = place.open();
    let epoch = journal.take_over(&id(1)).await.unwrap();
    for seq in 1..=3 {
        journal.append(&id(1), seq, &event(epoch, used(seq)), 0).await.unwrap();
        assert!(is_locked(&place.database()), "a driver holds its database as long as it runs");
        assert_eq!(said(start_as("hostile::looker", &place, &["env"])).0, seq);
    }
    assert!(place.state().join("journal.db-wal").exists(), "the log is there as long as a driver runs");
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let place = Place::new();
    fs::create_dir_all(place.state()).unwrap();
    let lock = place.state().join("lock");
    let script = "flock -x 9 && echo held && exec sleep 60";
    let command = format!("exec 9>{} && {script}", lock.display());
    let mut child = Command::new("sh").args(["-c", &command]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    assert!(matches!(try_lock(&place.state()), Err(LockError::Held { pid: None, .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    let held = try_lock(&place.state()).unwrap();
    let link = fs::read_link("/proc/self/ns/pid").unwrap();
    let namespace = link.to_str().unwrap().trim_matches(|letter: char| !letter.is_ascii_digit());
    let lines = format!("{:<15}\n{namespace:<15}\n", std::process::id());
    assert_eq!(fs::read_to_string(&lock).unwrap(), lines);
    drop(held);
}

fn said(child: Child) -> (u64, Vec<String>) {
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let answered = output.lines().filter_map(|line| line.strip_prefix("+ ")).next_back();
    let refused = output.lines().filter_map(|line| line.strip_prefix("! ")).map(str::to_owned).collect();
    (answered.map_or(0, |seq| seq.parse().unwrap()), refused)
}

#[tokio::test]
async fn after_a_failed_write_only_a_new_process_goes_on() {
    let place = with_one_rotation().await;
    // Files of at most 256 blocks of 512 bytes. The signal for a larger file is ignored, so the write fails.
    let shell = ["sh", "-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh"];
    let (answered, refused) = said(start(&place, &shell));
    assert!(answered > 5, "{refused:?}");
    assert_eq!(refused, ["unknown", "unavailable", "no witness"]);
    nothing_is_lost(&place, answered).await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let place = with_one_rotation().await;
    let aside = place.root().join("aside");
    fs::create_dir(&aside).unwrap();
    // A small disk of its own, filled up; its files are copied out at the end.
    let script = format!(
        "mount -t tmpfs -o size=400k tmpfs {aside} && cp {state}/* {aside} && mount --bind {aside} {state} && \
         \"$@\"; umount {state}; rm {state}/*; cp {aside}/* {state}",
        aside = aside.display(),
        state = place.state().display(),
    );
    let probe = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs"]).arg(&aside).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("left out: mounting a small disk needs root");
        return;
    }
    let (answered, refused) = said(start(&place, &["unshare", "-m", "sh", "-c", &script, "sh"]));
    assert!(answered > 5, "{refused:?}");
    // Nothing was written, so it may be tried again; the witness is on another disk and follows.
    assert_eq!(refused, ["unavailable", "unavailable", "witnessed"]);
    let found = nothing_is_lost(&place, answered).await;
    assert_eq!(found, answered, "a refused entry was not written");
}

#[tokio::test]
async fn a_locked_database_refuses_and_recovers() {
    let place = with_one_rotation().await;
    let journal = place.open();
    let other = rusqlite::Connection::open(place.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = journal.append(&id(1), 1, &event(1, Fact::Clock), 0).await;
    assert!(matches!(refused, Err(JournalError::Unavailable(_))));
    assert!(journal.load(&id(1)).await.unwrap().events.is_empty(), "readers are not stopped");
    other.execute_batch("COMMIT").unwrap();
    journal.append(&id(1), 1, &event(1, Fact::Clock), 0).await.unwrap();
}

#[tokio::test]
async fn entries_cannot_be_changed_or_removed() {
    let place = with_one_rotation().await;
    place.open().append(&id(1), 1, &event(1, Fact::Clock), 0).await.unwrap();
    let other = rusqlite::Connection::open(place.database()).unwrap();
    for sql in [
        "DELETE FROM entries",
        "UPDATE entries SET bytes = x'00'",
        "DELETE FROM rotations",
        "UPDATE rotations SET secret = 'b'",
        "UPDATE rotations SET epoch = epoch - 1",
        "UPDATE counter SET epoch = epoch - 1",
        "DELETE FROM counter",
    ] {
        assert!(other.execute(sql, []).is_err(), "{sql}");
    }
    // If another party drops the triggers first, the chain shows the change.
    other
        .execute_batch(
            "DROP TRIGGER entries_keep; UPDATE entries SET bytes = CAST(replace(bytes, 'clock', 'retried') AS BLOB) \
             WHERE seq = 1",
        )
        .unwrap();
    drop(other);
    let Err(error) = place.try_open() else { panic!("a changed entry was believed") };
    assert_eq!(error.code().as_str(), "K0603");
}

fn act(number: u64) -> Act {
    Act { by: "token ada".to_owned(), what: format!("act {number}"), ..Act::default() }
}

/// After any damage a journal must show the truth or be refused.
async fn truth_or_refusal(place: &Place, expected: &[keyroll_rotation::Event], prefix: bool) -> bool {
    let Ok(journal) = place.try_open() else { return false };
    let Ok(recorded) = journal.load(&id(1)).await else { return false };
    let whole = recorded.events == expected;
    let (read, all) = (recorded.events.len(), expected.len());
    assert!(
        whole || (prefix && expected.starts_with(&recorded.events)),
        "something was made up: {read} of {all}"
    );
    whole
}

#[tokio::test]
async fn flipped_bytes_are_refused_or_do_not_matter() {
    let place = Place::new();
    // The acts have the first row of the rotations.
    place.open().record(&act(0), 0).await.unwrap();
    place.open().open(&id(1), &opening("a")).await.unwrap();
    {
        let journal = place.open();
        for seq in 1..=40 {
            journal.append(&id(1), seq, &event(1, used(seq)), 0).await.unwrap();
            journal.record(&act(seq), seq).await.unwrap();
        }
        journal.witness().await.unwrap();
    }
    let expected = place.open().load(&id(1)).await.unwrap().events;
    let good = fs::read(place.database()).unwrap();
    let witness = fs::read(place.witness()).unwrap();
    let acts = place.open().acts(None, 99).await.unwrap();
    let mut refused = 0;
    let step = good.len() / 300;
    for at in (0..good.len()).step_by(step) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(place.database(), bad).unwrap();
        refused += u32::from(!truth_or_refusal(&place, &expected, false).await);
        if let Ok(journal) = place.try_open()
            && let Ok(read) = journal.acts(None, 99).await
        {
            assert!(read == acts, "byte {at}: acts were made up");
        }
        fs::write(place.witness(), &witness).unwrap();
        for left in ["journal.db-wal", "journal.db-shm"] {
            fs::remove_file(place.state().join(left)).ok();
        }
    }
    assert!(refused > 30, "only {refused} of 300 flips were seen");
    for length in (0..good.len()).step_by(good.len() / 40) {
        fs::write(place.database(), &good[..length]).unwrap();
        assert!(!truth_or_refusal(&place, &expected, false).await, "cut to {length} bytes");
        fs::write(place.witness(), &witness).unwrap();
        for left in ["journal.db-wal", "journal.db-shm"] {
            fs::remove_file(place.state().join(left)).ok();
        }
    }
}

/// The id of a rotation is in its row and in an index; a damaged row is not hidden by a good index.
#[tokio::test]
async fn a_rotation_is_never_shown_under_another_id() {
    let place = with_one_rotation().await;
    let good = fs::read(place.database()).unwrap();
    let own = id(1).0.into_bytes();
    let places: Vec<usize> = (0..good.len() - own.len()).filter(|&at| good[at..].starts_with(&own)).collect();
    let mut refused = 0;
    for at in &places {
        let mut bad = good.clone();
        bad[at + own.len() - 1] ^= 1;
        fs::write(place.database(), bad).unwrap();
        match place.try_open() {
            Ok(journal) => assert_eq!(journal.list().await.unwrap()[0].id, id(1), "byte {at}"),
            Err(error) => refused += u32::from(error.code().as_str() == "K0603"),
        }
    }
    assert!(places.len() > 1 && refused > 0, "{} places, {refused} refused", places.len());
}

#[tokio::test]
async fn a_damaged_log_never_shows_more_than_was_written() {
    let place = with_one_rotation().await;
    let journal = place.open();
    for seq in 1..=20 {
        journal.append(&id(1), seq, &event(1, used(seq)), 0).await.unwrap();
    }
    let expected = journal.load(&id(1)).await.unwrap().events;
    let (database, log) = (fs::read(place.database()).unwrap(), place.state().join("journal.db-wal"));
    let log = fs::read(log).unwrap();
    let witness = fs::read(place.witness()).unwrap();
    let mut cut_short = 0;
    for at in (0..log.len()).step_by(log.len() / 100) {
        let copy = Place::new();
        fs::create_dir_all(copy.state()).unwrap();
        fs::create_dir_all(copy.witness().parent().unwrap()).unwrap();
        let mut bad = log.clone();
        bad[at] ^= 0x10;
        fs::write(copy.database(), &database).unwrap();
        fs::write(copy.state().join("journal.db-wal"), bad).unwrap();
        fs::write(copy.witness(), &witness).unwrap();
        cut_short += u32::from(!truth_or_refusal(&copy, &expected, true).await);
    }
    assert!(cut_short > 50);
}
