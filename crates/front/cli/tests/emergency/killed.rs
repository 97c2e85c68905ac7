//! The server and the process that drives are killed, as by a machine that loses power, after each number of entries of
//! the journal: the next server goes on, and nothing happens twice.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use keyroll_journal::SqliteJournal;
use keyroll_port::Journal as _;
use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::Ask;
use rustix::process::Signal;
use serde_json::json;

use super::served::Served;

/// Scenes at the same time: nearly all of a rotation is waiting.
const LANES: usize = 4;

/// After so many entries; 0 = once the rotation is open, none = before.
const AFTER: [Option<usize>; 12] = [
    None,
    Some(0),
    Some(1),
    Some(2),
    Some(4),
    Some(6),
    Some(9),
    Some(12),
    Some(16),
    Some(20),
    Some(25),
    Some(30),
];

/// The entries of the only rotation; none if it is not open.
fn entries(state: &Path) -> Option<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = SqliteJournal::open_for_a_look(state).ok()?;
        let all = journal.list().await.ok()?;
        Some(journal.load(&all.first()?.id).await.ok()?.events.len())
    })
}

#[test]
fn a_server_and_its_driver_killed_after_any_entry_go_on() {
    let left: Mutex<VecDeque<Option<usize>>> = Mutex::new(AFTER.into());
    let killed: Mutex<Vec<Option<usize>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop_front();
                    let Some(after) = next else { return };
                    let at = killed_after(after);
                    killed.lock().unwrap().push(at);
                }
            });
        }
    });
    let mut killed = killed.into_inner().unwrap();
    killed.sort_unstable();
    println!("killed after so many entries: {killed:?}");
    assert_eq!(killed.len(), AFTER.len());
    killed.dedup();
    assert!(killed.len() > AFTER.len() / 2, "too often at the same entry: {killed:?}");
}

/// Returns after how many entries it was killed.
fn killed_after(after: Option<usize>) -> Option<usize> {
    let mut served = Served::start(2, "emergency_revoke = true");
    let (id, value) = served.scene.issuer.mint("made at the console");
    let body = json!({"secret_name": "ring", "new_value": value.as_str()}).to_string();
    let words = ["-X", "POST", "-H", "@ada.header", "--data-binary", "@-"];
    let mut caller = served.begin("/rotate-secret", &words);
    caller.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let state = served.scene.state();
    let begun = Instant::now();
    match after {
        None => wait("the issuer is asked", || served.scene.issuer.asked(Ask::Me) > 0),
        Some(count) => wait("the journal has so many entries", || {
            entries(&state).is_some_and(|now| now >= count) || begun.elapsed().as_secs() > 20
        }),
    }
    let drivers = served.drivers();
    served.end(Signal::KILL);
    for driver in drivers {
        served.kill(driver);
    }
    let at = entries(&state);
    let _ = caller.kill();
    let _ = caller.wait();
    served.serve();
    // Without a request, if the key was sealed; with the same one, if nothing was begun.
    if at.is_some_and(|entries| entries > 1) {
        wait("it goes on by itself", || served.status()["open"] == json!([]));
    }
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=90"]);
    super::rotated(&served, &answer, &id, 2);
    assert_eq!(answer.text("old_key"), "dead", "{at:?} {answer:?}");
    // A revocation whose answer was lost may be sent again, for the same key.
    let deleted = served.scene.issuer.deletions();
    assert!(!deleted.is_empty() && deleted.iter().all(|id| *id == served.scene.old), "{at:?}: {deleted:?}");
    assert_eq!(served.scene.issuer.keys().len(), 1, "{at:?}");
    assert_eq!(served.status()["rotation_log"].as_array().unwrap().len(), 1, "{at:?}: one rotation");
    served.nothing_leaked(&[&value]);
    at
}
