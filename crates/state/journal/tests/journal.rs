//! The journal's contract: every acknowledged entry is there, in order, and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use keyroll_journal::{
    Act, Glimpse, LockError, Machine, Noted, OpenError, RecordedAct, SqliteJournal, Work, glance, move_here,
    reset_witness, try_lock,
};
use keyroll_port::{Journal, JournalError};
use keyroll_rotation::{Fact, LastUse};

use crate::sample::{Place, event, id, opening};

#[tokio::test]
async fn a_rotation_is_read_back_as_it_was_written() {
    let place = Place::new();
    let journal = place.open();
    journal.open(&id(1), &opening("orders-db")).await.unwrap();
    assert_eq!(journal.take_over(&id(1)).await.unwrap(), 1);
    let facts =
        [Fact::DriverStarted, Fact::PauseAsked, Fact::LastUsed(LastUse { used: Some(u64::MAX), took_ms: 0 })];
    for (at, fact) in (1..).zip(&facts) {
        journal.append(&id(1), at, &event(1, fact.clone()), 1000 + at).await.unwrap();
    }
    journal.witness().await.unwrap();
    drop(journal);
    assert!(
        !place.state().join("journal.db-wal").exists(),
        "all of it is in the one file that a backup takes"
    );

    let journal = place.open();
    let recorded = journal.load(&id(1)).await.unwrap();
    assert_eq!(recorded.opening.secret, "orders-db");
    assert_eq!(recorded.opening.plan, opening("orders-db").plan);
    assert_eq!(recorded.events, facts.map(|fact| event(1, fact)));
    assert_eq!(recorded.unix_ms, [1001, 1002, 1003]);
    let list = journal.list().await.unwrap();
    assert_eq!((list.len(), list[0].open, list[0].id.clone()), (1, true, id(1)));
}

#[tokio::test]
async fn an_open_rotation_makes_its_secret_exclusive() {
    let place = Place::new();
    let journal = place.open();
    journal.open(&id(1), &opening("a")).await.unwrap();
    journal.open(&id(2), &opening("b")).await.unwrap();
    let held = journal.open(&id(3), &opening("a")).await;
    assert!(matches!(held, Err(JournalError::Held { by }) if by == id(1)));
    let twice = journal.open(&id(2), &opening("c")).await;
    assert!(matches!(twice, Err(JournalError::Held { by }) if by == id(2)));
    journal.close(&id(1)).await.unwrap();
    journal.close(&id(1)).await.unwrap();
    journal.open(&id(3), &opening("a")).await.unwrap();
    assert!(matches!(journal.load(&id(9)).await, Err(JournalError::Unavailable(_))));
}

#[tokio::test]
async fn a_number_is_used_once_and_none_is_left_out() {
    let place = Place::new();
    let journal = place.open();
    journal.open(&id(1), &opening("a")).await.unwrap();
    let started = event(1, Fact::DriverStarted);
    for wrong in [0, 2, u64::MAX] {
        let refused = journal.append(&id(1), wrong, &started, 0).await;
        assert!(matches!(refused, Err(JournalError::Conflict { last: 0 })), "{wrong}");
    }
    journal.append(&id(1), 1, &started, 0).await.unwrap();
    let again = journal.append(&id(1), 1, &started, 0).await;
    assert!(matches!(again, Err(JournalError::Conflict { last: 1 })));
}

#[tokio::test]
async fn an_older_driver_is_fenced_in_this_rotation_alone() {
    let place = Place::new();
    let (old, new) = (place.open(), place.open());
    old.open(&id(1), &opening("a")).await.unwrap();
    old.open(&id(2), &opening("b")).await.unwrap();
    assert_eq!(old.take_over(&id(1)).await.unwrap(), 1);
    assert_eq!(old.take_over(&id(2)).await.unwrap(), 2);
    old.append(&id(1), 1, &event(1, Fact::DriverStarted), 0).await.unwrap();
    assert_eq!(new.take_over(&id(1)).await.unwrap(), 3);
    let fenced = old.append(&id(1), 2, &event(1, Fact::Clock), 0).await;
    assert!(matches!(fenced, Err(JournalError::Fenced { newest: 3 })));
    new.append(&id(1), 2, &event(3, Fact::DriverStarted), 0).await.unwrap();
    old.append(&id(2), 1, &event(2, Fact::DriverStarted), 0).await.unwrap();
}

#[tokio::test]
async fn names_are_kept_for_display() {
    let place = Place::new();
    let journal = place.open();
    assert_eq!(journal.recall(u64::MAX).await.unwrap(), None);
    journal.remember(u64::MAX, "/srv/app/.env").await.unwrap();
    journal.remember(u64::MAX, "/srv/app/.env.local").await.unwrap();
    assert_eq!(journal.recall(u64::MAX).await.unwrap().as_deref(), Some("/srv/app/.env.local"));
    assert!(journal.remember(1, &"x".repeat(9000)).await.is_err());
}

#[tokio::test]
async fn a_refused_write_takes_nothing_with_it() {
    let place = Place::new();
    let journal = place.open();
    journal.open(&id(1), &opening("a")).await.unwrap();
    journal.open(&id(2), &opening("b")).await.unwrap();
    let (one, two) = (id(1), id(2));
    let (held, clock) = (opening("a"), event(1, Fact::Clock));
    let third = id(3);
    let ahead = event(9, Fact::Clock);
    // All of them wait together, so some share a transaction.
    let results = tokio::join!(
        journal.append(&one, 1, &clock, 0),
        journal.append(&one, 7, &ahead, 0),
        journal.open(&third, &held),
        journal.append(&two, 1, &clock, 0),
        journal.append(&one, 2, &clock, 0),
    );
    assert!(results.0.is_ok() && results.3.is_ok() && results.4.is_ok());
    assert!(matches!(results.1, Err(JournalError::Conflict { last: 1 })));
    assert!(matches!(results.2, Err(JournalError::Held { .. })));
    drop(journal);
    let journal = place.open();
    assert_eq!(journal.load(&id(1)).await.unwrap().events.len(), 2);
    assert_eq!(journal.load(&id(2)).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn an_older_copy_is_known_by_the_witness() {
    let place = Place::new();
    let copy = place.root().join("copy.db");
    {
        let journal = place.open();
        journal.open(&id(1), &opening("a")).await.unwrap();
        journal.append(&id(1), 1, &event(1, Fact::DriverStarted), 0).await.unwrap();
    }
    fs::copy(place.database(), &copy).unwrap();
    {
        let journal = place.open();
        journal.append(&id(1), 2, &event(1, Fact::Clock), 0).await.unwrap();
        journal.witness().await.unwrap();
    }
    fs::copy(&copy, place.database()).unwrap();
    let restored = place.try_open();
    assert!(matches!(restored, Err(OpenError::Restored { witnessed: 3, last: 2, .. })));

    // An equal number of entries does not help: the entry itself differs.
    fs::remove_file(place.witness()).unwrap();
    assert!(matches!(place.try_open(), Err(OpenError::NoWitness { last: 2, .. })));
    let lock = try_lock(&place.state()).unwrap();
    assert_eq!(reset_witness(&place.state(), &place.witness(), &lock).unwrap().entry, 2);
    {
        let journal = place.open();
        journal.append(&id(1), 2, &event(1, Fact::PauseAsked), 0).await.unwrap();
        journal.append(&id(1), 3, &event(1, Fact::PauseAsked), 0).await.unwrap();
        journal.witness().await.unwrap();
    }
    fs::copy(&copy, place.database()).unwrap();
    fs::remove_file(place.witness()).unwrap();
    reset_witness(&place.state(), &place.witness(), &lock).unwrap();
    let first = fs::read(place.witness()).unwrap();
    {
        let journal = place.open();
        for seq in 2..=4 {
            journal.append(&id(1), seq, &event(1, Fact::Clock), 0).await.unwrap();
        }
        journal.witness().await.unwrap();
    }
    let last = fs::read(place.witness()).unwrap();
    assert_ne!(first, last);
    fs::copy(&copy, place.database()).unwrap();
    reset_witness(&place.state(), &place.witness(), &lock).unwrap();
    {
        let journal = place.open();
        for seq in 2..=4 {
            journal.append(&id(1), seq, &event(1, Fact::Resumed), 0).await.unwrap();
        }
    }
    fs::write(place.witness(), last).unwrap();
    assert!(matches!(place.try_open(), Err(OpenError::Restored { witnessed: 5, last: 5, .. })));
}

#[tokio::test]
async fn an_empty_or_exchanged_folder_is_known_too() {
    let place = Place::new();
    drop(place.open());
    fs::remove_dir_all(place.state()).unwrap();
    assert!(matches!(place.try_open(), Err(OpenError::Restored { witnessed: 0, last: 0, .. })));
}

#[tokio::test]
async fn the_witness_has_what_was_asked_for_before_it() {
    let place = Place::new();
    let journal = place.open();
    let one = id(1);
    journal.open(&one, &opening("a")).await.unwrap();
    for seq in 1..=50 {
        let clock = event(1, Fact::Clock);
        let (appended, witnessed) = tokio::join!(journal.append(&one, seq, &clock, 0), journal.witness());
        appended.unwrap();
        witnessed.unwrap();
        let witness = fs::read_to_string(place.witness()).unwrap();
        assert!(witness.contains(&format!("\"entry\":{},", seq + 1)), "{witness}");
    }
}

#[tokio::test]
async fn a_crash_before_the_witness_is_no_restore() {
    let place = Place::new();
    {
        let journal = place.open();
        journal.open(&id(1), &opening("a")).await.unwrap();
        journal.take_over(&id(1)).await.unwrap();
    }
    let before = fs::read(place.witness()).unwrap();
    drop(place.open());
    assert_ne!(before, fs::read(place.witness()).unwrap(), "it was brought forward");
    drop(place.open());
}

#[tokio::test]
async fn an_epoch_is_never_given_twice() {
    let place = Place::new();
    let copy = place.root().join("copy.db");
    {
        let journal = place.open();
        journal.open(&id(1), &opening("a")).await.unwrap();
    }
    fs::copy(place.database(), &copy).unwrap();
    {
        let journal = place.open();
        assert_eq!(journal.take_over(&id(1)).await.unwrap(), 1);
        journal.witness().await.unwrap();
    }
    fs::copy(&copy, place.database()).unwrap();
    assert!(matches!(place.try_open(), Err(OpenError::Restored { witnessed: 1, last: 1, .. })));
    let lock = try_lock(&place.state()).unwrap();
    reset_witness(&place.state(), &place.witness(), &lock).unwrap();
    assert_eq!(place.open().take_over(&id(1)).await.unwrap(), 2);
}

#[tokio::test]
async fn a_journal_that_is_restored_under_a_running_driver_gets_no_witness() {
    let place = Place::new();
    let journal = place.open();
    journal.open(&id(1), &opening("a")).await.unwrap();
    journal.witness().await.unwrap();
    let kept = fs::read(place.witness()).unwrap();
    let further = String::from_utf8(kept.clone()).unwrap().replace("\"entry\":1", "\"entry\":2");
    fs::write(place.witness(), further).unwrap();
    assert!(matches!(journal.witness().await, Err(JournalError::Damaged(_))));
    fs::remove_file(place.witness()).unwrap();
    assert!(matches!(journal.witness().await, Err(JournalError::Damaged(_))));
    fs::write(place.witness(), kept).unwrap();
    journal.witness().await.unwrap();
}

#[test]
fn a_witness_that_is_none_is_refused() {
    let place = Place::new();
    drop(place.open());
    let good = fs::read(place.witness()).unwrap();
    for bad in [b"".as_slice(), b"{}", b"null", &[0xff; 40], &vec![b'1'; 10_000], &good[..good.len() / 2]] {
        fs::write(place.witness(), bad).unwrap();
        assert!(matches!(place.try_open(), Err(OpenError::WitnessDamaged { .. })));
    }
    fs::remove_file(place.witness()).unwrap();
    fs::create_dir(place.witness()).unwrap();
    assert!(matches!(place.try_open(), Err(OpenError::WitnessDamaged { .. })));
    let inside = SqliteJournal::open(&place.state(), &place.state().join("sub/witness"));
    assert!(matches!(inside, Err(OpenError::WitnessInside { .. })));
}

#[test]
fn one_process_drives() {
    let place = Place::new();
    let lock = try_lock(&place.state()).unwrap();
    let shared = lock.clone();
    let own = std::process::id();
    assert!(matches!(try_lock(&place.state()), Err(LockError::Held { pid: Some(pid), .. }) if pid == own));
    // The lock names its work for as long as it is held, in its holder's own words; an incomplete line counts as none.
    let work = Work { rotation: id(1), secret: "ring".to_owned(), since_unix_ms: 7 };
    let said = || match try_lock(&place.state()) {
        Err(LockError::Held { pid, work, .. }) => (pid, work),
        other => panic!("{other:?}"),
    };
    lock.works_on(&work);
    assert_eq!(said(), (Some(own), Some(work)));
    let (file, all) = (place.state().join("lock"), fs::read_to_string(place.state().join("lock")).unwrap());
    assert_eq!(all.get(..16).unwrap().trim(), own.to_string(), "an earlier keyroll reads as much");
    for cut in 17..all.len() {
        fs::write(&file, &all[..cut]).unwrap();
        assert_eq!(said(), (Some(own), None));
    }
    drop(lock);
    assert!(try_lock(&place.state()).is_err(), "a clone still holds it");
    drop(shared);
    let next = try_lock(&place.state()).unwrap();
    assert_eq!(said(), (Some(own), None), "what another did says nothing of this one");
    drop(next);
    let other = try_lock(&place.root().join("other")).unwrap();
    assert!(matches!(reset_witness(&place.state(), &place.witness(), &other), Err(OpenError::Lock(_))));
}

#[test]
fn a_journal_belongs_to_one_machine() {
    let place = Place::new();
    let machine =
        |id: u8, hardware: Option<u8>| Machine { id: [id; 32], hardware: hardware.map(|it| [it; 32]) };
    let open = |machine: &Machine| {
        SqliteJournal::open_on(&place.state(), &place.witness(), machine)
            .map(drop)
            .map_err(|error| error.code().as_str())
    };
    let here = machine(1, Some(1));
    assert_eq!((open(&here), open(&here)), (Ok(()), Ok(())));
    // Not every user can see the identity of the hardware; if it is visible, it counts.
    assert_eq!(open(&machine(1, None)), Ok(()));
    for other in [machine(2, Some(1)), machine(2, None), machine(1, Some(2))] {
        assert_eq!(open(&other), Err("K0861"), "{other:?}");
    }
    let there = machine(2, None);
    let lock = try_lock(&place.state()).unwrap();
    move_here(&place.state(), &place.witness(), &there, &lock).unwrap();
    assert_eq!((open(&there), open(&here)), (Ok(()), Err("K0861")));
}

#[tokio::test]
async fn a_journal_of_an_older_schema_is_brought_forward_and_goes_on() {
    let place = Place::new();
    fs::create_dir_all(place.state()).unwrap();
    fs::create_dir_all(place.witness().parent().unwrap()).unwrap();
    let older = rusqlite::Connection::open(place.database()).unwrap();
    older.execute_batch(include_str!("fixtures/schemas/1.sql")).unwrap();
    drop(older);
    fs::write(place.witness(), include_str!("fixtures/schemas/1.witness")).unwrap();

    let machine = Machine { id: [1; 32], hardware: None };
    let journal = SqliteJournal::open_on(&place.state(), &place.witness(), &machine).unwrap();
    assert_eq!(journal.load(&id(1)).await.unwrap().events.len(), 3);
    assert_eq!(journal.take_over(&id(1)).await.unwrap(), 2);
    journal.append(&id(1), 4, &event(2, Fact::DriverStarted), 1004).await.unwrap();
    journal.witness().await.unwrap();
    drop(journal);
    assert_eq!(place.open().load(&id(1)).await.unwrap().events.len(), 4);
    assert_eq!(place.open().record(&asked("apply"), 1).await.unwrap(), 6);
}

fn asked(what: &str) -> Act {
    let about = Some(id(1).0);
    Act { by: "token ada".to_owned(), what: what.to_owned(), about, ..Act::default() }
}

#[tokio::test]
async fn an_act_is_an_entry_among_those_of_the_rotations() {
    let place = Place::new();
    let (driver, server) = (place.open(), place.open());
    driver.open(&id(1), &opening("a")).await.unwrap();
    assert_eq!(driver.take_over(&id(1)).await.unwrap(), 1);
    for seq in 1..=4_u64 {
        driver.append(&id(1), seq, &event(1, Fact::DriverStarted), 1_000 + seq).await.unwrap();
        // Each is between two entries of a driver that appends without looking.
        assert_eq!(server.record(&asked(&format!("act {seq}")), seq).await.unwrap(), seq * 2 + 1);
    }
    assert_eq!(driver.list().await.unwrap().len(), 1, "acts are no rotation");
    assert_eq!(driver.load(&id(1)).await.unwrap().events.len(), 4);
    assert_eq!(server.newest_entry().await.unwrap(), 9);
    let acts = driver.acts(None, 2).await.unwrap();
    let told: Vec<(u64, u64, &str)> =
        acts.iter().map(|one| (one.entry, one.unix_ms, one.act.what.as_str())).collect();
    assert_eq!(told, [(9, 4, "act 4"), (7, 3, "act 3")]);
    assert_eq!(driver.acts(Some(7), 9).await.unwrap().len(), 2);
    let noted = driver.noted_after(6, 2).await.unwrap();
    assert_eq!(
        noted,
        [
            Noted::Act(RecordedAct { entry: 7, unix_ms: 3, act: asked("act 3") }),
            Noted::Rotation { entry: 8, id: id(1) },
        ]
    );
    driver.witness().await.unwrap();
    drop((driver, server));
    assert_eq!(place.open().acts(None, 99).await.unwrap().len(), 4);
}

#[tokio::test]
async fn an_act_that_was_changed_or_taken_out_is_damage() {
    for change in [
        "UPDATE entries SET bytes = CAST(replace(bytes, 'ada', 'eve') AS BLOB)",
        "DELETE FROM entries WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 3",
    ] {
        let place = Place::new();
        let journal = place.open();
        for at in 1..=3 {
            journal.record(&asked("apply"), at).await.unwrap();
        }
        journal.witness().await.unwrap();
        drop(journal);
        let changed = rusqlite::Connection::open(place.database()).unwrap();
        changed.execute_batch("DROP TRIGGER entries_stay; DROP TRIGGER entries_keep;").unwrap();
        assert!(changed.execute(change, []).unwrap() > 0);
        drop(changed);
        let opened = SqliteJournal::open(&place.state(), &place.witness());
        assert!(matches!(opened, Err(OpenError::Damaged { .. } | OpenError::Restored { .. })), "{change}");
    }
}

#[tokio::test]
async fn an_act_that_is_not_written_is_an_error() {
    let place = Place::new();
    place.open().record(&asked("apply"), 1).await.unwrap();
    let looking = SqliteJournal::open_for_a_look(&place.state()).unwrap();
    assert!(matches!(looking.record(&asked("apply"), 2).await, Err(JournalError::Unavailable(_))));
    assert_eq!(looking.acts(None, 9).await.unwrap().len(), 1);
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_glance_shows_what_a_writer_has_not_moved_yet_and_leaves_nothing_behind() {
    let place = Place::new();
    let seen = |folder: &Path| glance(folder, 9, Instant::now() + Duration::from_secs(30));
    assert!(seen(&place.state()).is_empty(), "there is no journal");
    let journal = place.open();
    journal.open(&id(1), &opening("a")).await.unwrap();
    journal.close(&id(1)).await.unwrap();
    journal.record(&asked("apply"), 1).await.unwrap();
    journal.open(&id(2), &opening("a")).await.unwrap();
    journal.open(&id(3), &opening("b")).await.unwrap();
    // This process has the journal open: another one reads its files.
    let copy = place.root().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["journal.db", "journal.db-wal"] {
        assert!(Command::new("cp").arg(place.state().join(file)).arg(&copy).status().unwrap().success());
    }
    let glimpse = |number, secret: &str, open| Glimpse { id: id(number).0, secret: secret.to_owned(), open };
    let all = [glimpse(3, "b", true), glimpse(2, "a", true), glimpse(1, "a", false)];
    assert!(fs::metadata(copy.join("journal.db-wal")).unwrap().len() > 0, "nothing is in the log");
    assert_eq!(seen(&copy), all);
    assert_eq!(glance(&copy, 1, Instant::now() + Duration::from_secs(30)), all[..1]);
    assert_eq!(names(&copy), ["journal.db", "journal.db-wal"]);
    drop(journal);
    assert_eq!(seen(&place.state()), all);

    fs::write(copy.join("journal.db"), "no database").unwrap();
    assert!(seen(&copy).is_empty());
    fs::File::create(copy.join("journal.db")).unwrap().set_len(33 << 20).unwrap();
    assert!(seen(&copy).is_empty(), "it is too large");
}
