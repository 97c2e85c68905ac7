//! A state folder that is older than its witness.

use keyroll_journal::OpenError;

use crate::image::Left;
use crate::script::{Step, Trouble};
use crate::{begin, calm, each, folder_at, written};

#[test]
fn every_older_journal_is_refused_by_every_newer_witness() {
    let script = begin();
    let run = calm(&script);
    let newer: Vec<_> = run.moments.iter().filter(|moment| moment.world.witnessed > 0).collect();
    let mut cases = Vec::new();
    for witness in &newer {
        let older = run.moments.iter().filter(|older| older.world.entries() < witness.world.witnessed);
        cases.extend(older.map(|older| (older, *witness)));
    }
    // Opening the journal makes the witness, so a state folder before that is a folder of another journal.
    cases.retain(|(older, witness)| older.step != Step::Start && witness.step != Step::Start);
    each(&cases, |(older, witness)| {
        let mut files = folder_at(&run, older.changes).left(Left::Everything);
        let newer = folder_at(&run, witness.changes).left(Left::Everything);
        files.extend(newer.into_iter().filter(|(path, _)| path.starts_with("config")));
        let (_guard, path) = written(&files);
        let (entries, seen) = (older.world.entries(), witness.world.witnessed);
        match script.start(&path) {
            Err(Trouble::Start(OpenError::Restored { witnessed, last, .. }))
                if (witnessed, last) == (seen, entries) =>
            {
                Ok(())
            }
            Err(trouble) => Err(format!("{entries} entries, {seen} witnessed: {trouble:?}")),
            Ok(_) => Err(format!("a journal with {entries} entries is opened, {seen} were witnessed")),
        }
    });
    println!("{} pairs of an older journal and a newer witness", cases.len());
}
