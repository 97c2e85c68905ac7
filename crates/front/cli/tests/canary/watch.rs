//! The arguments and environments of a running process and its children, which others can see, and everything that it
//! writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often arguments and environments are read.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

type Found = BTreeSet<(String, Vec<u8>)>;

/// Repeatedly reads the arguments and the environment of a process and all its descendants.
pub struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Found>,
}

impl Watch {
    pub fn over(pid: u32) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let thread = thread::spawn(move || {
            let mut found = Found::new();
            while !told.load(Ordering::SeqCst) {
                for one in family(pid) {
                    for file in ["cmdline", "environ"] {
                        let bytes = fs::read(format!("/proc/{one}/{file}")).unwrap_or_default();
                        if !bytes.is_empty() {
                            found.insert((file.to_owned(), bytes));
                        }
                    }
                }
                thread::sleep(LOOK_PAUSE);
            }
            found
        });
        Self { ended, thread }
    }

    /// The observed texts, each once.
    pub fn end(self) -> Found {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// The process and everything below it, as of now.
fn family(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The process name may contain anything; the fields begin after its last bracket.
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(one) = family.get(at).copied() {
        let below = parents.iter().filter(|(_, parent)| *parent == one).map(|(pid, _)| *pid);
        let new: Vec<u32> = below.filter(|pid| !family.contains(pid)).collect();
        family.extend(new);
        at += 1;
    }
    family
}

/// Every buffer of a record that was written anywhere but to a socket or to the temp file of an open intent, with the
/// place that it was written to.
pub fn writes(record: &Path) -> Vec<(String, Vec<u8>)> {
    let text = fs::read_to_string(record).unwrap();
    let mut all = Vec::new();
    for line in text.lines() {
        let Some((_, call)) = line.split_once('(') else { continue };
        let Some((place, rest)) = call.split_once('<').and_then(|(_, rest)| rest.split_once('>')) else {
            continue;
        };
        let place = String::from_utf8_lossy(&unescaped(place)).into_owned();
        if place.contains("/.keyroll-") || place.contains("socket:") || place.contains("TCP:") {
            continue;
        }
        for (at, piece) in rest.split('"').enumerate() {
            if at % 2 == 1 {
                all.push((format!("a write to {place}"), unescaped(piece)));
            }
        }
    }
    assert!(
        all.iter().any(|(place, _)| place.contains("journal.db")),
        "the record shows the journal's writes"
    );
    all
}

/// `\x41\x42` as bytes; `-xx` shows paths so, too, but not the names of sockets.
fn unescaped(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let plain = pieces.next().unwrap_or_default().bytes();
    plain.chain(pieces.filter_map(|byte| u8::from_str_radix(byte.get(..2)?, 16).ok())).collect()
}
