use std::collections::HashMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use keyroll_database::rusqlite::{self, Connection};

use crate::chain::{self, Link};
use crate::read::{self, Head};
use crate::witness::{Witness, disagreement};
use crate::{OpenError, witness};

/// From so many entries on a journal is long: the parts of its check run beside each other, and the check is remembered.
/// A shorter one is checked in less than 30 ms.
pub(crate) const LONG_ENTRIES_MIN: u64 = 20_000;

/// The last number of the entries of each rotation, by the number of its row.
type LastSeqs = HashMap<i64, i64>;

/// Reads everything once: SQLite's own check, then every link of the chain. Takes longer the longer the journal is.
///
/// What is written meanwhile is not judged: all parts read the same entries.
pub(crate) fn whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let wrap = |source: rusqlite::Error| OpenError::of(path, source.into());
    let head = match read::head(connection) {
        Ok(head) => head,
        Err(error) => {
            // SQLite's own check says what is damaged, which a single query does not.
            keyroll_database::check(connection).map_err(|error| OpenError::of(path, error))?;
            return Err(wrap(error));
        }
    };
    // A copy of a journal whose disk cannot be written has no second connection.
    let beside = (head.entry >= LONG_ENTRIES_MIN).then(|| keyroll_database::open(path).ok()).flatten();
    let (indexed, linked) = match beside {
        None => (structure(connection, path, &head), links(connection, path, &head)),
        Some(beside) => thread::scope(|scope| {
            let named = thread::Builder::new().name("journal-check".to_owned());
            let other = named.spawn_scoped(scope, move || links(&beside, path, &head));
            let indexed = structure(connection, path, &head);
            let linked = match other {
                Ok(other) => other.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No more threads for this user: one after the other.
                Err(_) => links(connection, path, &head),
            };
            (indexed, linked)
        }),
    };
    match indexed? == linked? {
        true => Ok(()),
        false => Err(damaged(path, "its index has other entries than its table".to_owned())),
    }
}

fn damaged(path: &Path, what: String) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what }
}

/// SQLite's own check, and the last entries by the index, as a rotation is read: one that lacks its last entries would
/// be taken for an earlier state of it.
fn structure(connection: &Connection, path: &Path, head: &Head) -> Result<LastSeqs, OpenError> {
    let wrap = |source: rusqlite::Error| OpenError::of(path, source.into());
    keyroll_database::check(connection).map_err(|error| OpenError::of(path, error))?;
    let ahead: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM rotations, counter WHERE rotations.epoch > counter.epoch)",
            [],
            |row| row.get(0),
        )
        .map_err(wrap)?;
    if ahead {
        return Err(damaged(path, "a rotation has an epoch that was never given".to_owned()));
    }
    let mut statement = connection
        .prepare(
            "SELECT rotation, max(seq) FROM entries INDEXED BY sqlite_autoindex_entries_1
             WHERE entry <= ?1 GROUP BY rotation",
        )
        .map_err(wrap)?;
    let indexed = statement
        .query_map([head.entry.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(wrap)?;
    indexed.collect::<Result<_, _>>().map_err(wrap)
}

/// Every link of the chain, and the last entries by the table.
fn links(connection: &Connection, path: &Path, head: &Head) -> Result<LastSeqs, OpenError> {
    let wrap = |source: rusqlite::Error| OpenError::of(path, source.into());
    let ids = ids(connection).map_err(wrap)?;
    let mut before = read::genesis(connection).map_err(wrap)?;
    let mut last_seqs = LastSeqs::new();
    let mut statement = connection
        .prepare("SELECT entry, rotation, seq, bytes, chain FROM entries WHERE entry <= ?1 ORDER BY entry")
        .map_err(wrap)?;
    let mut rows = statement.query([head.entry.cast_signed()]).map_err(wrap)?;
    let mut expected = 1;
    while let Some(row) = rows.next().map_err(wrap)? {
        let entry: i64 = row.get(0).map_err(wrap)?;
        if entry != expected {
            return Err(damaged(path, format!("entry {expected} is missing")));
        }
        let rotation: i64 = row.get(1).map_err(wrap)?;
        let no_rotation = || damaged(path, format!("entry {entry} has no rotation"));
        let id = ids.get(&rotation).ok_or_else(no_rotation)?;
        let seq: i64 = row.get(2).map_err(wrap)?;
        let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob()?)).map_err(wrap)?;
        let link: Link = row.get(4).map_err(wrap)?;
        if link != chain::link(&before, id, seq.cast_unsigned(), bytes) {
            return Err(damaged(path, format!("the chain breaks at entry {entry}")));
        }
        let last = last_seqs.entry(rotation).or_default();
        *last = (*last).max(seq);
        before = link;
        expected = entry.saturating_add(1);
    }
    Ok(last_seqs)
}

/// The id of each rotation in the table, by the number of its row. An index has the ids too, and may have other ones.
fn ids(connection: &Connection) -> rusqlite::Result<HashMap<i64, String>> {
    let mut statement = connection.prepare("SELECT number, id FROM rotations NOT INDEXED")?;
    let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    all.collect()
}

/// Compares the journal with the witness, which must have been read *before* the journal: a driver that writes both
/// meanwhile only makes the journal longer. A journal that is ahead of its witness means a crash: the witness is
/// advanced.
pub(crate) fn against(
    connection: &Connection,
    path: &Path,
    witness: &Witness,
    seen: Option<Head>,
) -> Result<(), OpenError> {
    let wrap = |source: rusqlite::Error| OpenError::of(path, source.into());
    let head = read::head(connection).map_err(wrap)?;
    let Some(seen) = seen else {
        if head.entry == 0 {
            // The witness exists from the first day. Otherwise a missing one could also mean a crash before the first
            // witness.
            return witness.forward(&head);
        }
        let witness = witness.path().to_owned();
        return Err(OpenError::NoWitness { path: path.to_owned(), witness, last: head.entry });
    };
    let link = read::link_of(connection, seen.entry).map_err(wrap)?;
    match witness::disagreement(&seen, &head, link) {
        None => witness.forward(&head),
        Some(what) => {
            let (witnessed, last) = (seen.entry, head.entry);
            Err(OpenError::Restored { path: path.to_owned(), witnessed, last, what })
        }
    }
}

/// The same comparison by a running driver, before an effect at an issuer: the disagreement, if there is one.
pub(crate) fn disagrees(
    connection: &Connection,
    seen: &Head,
    head: &Head,
) -> rusqlite::Result<Option<String>> {
    Ok(disagreement(seen, head, read::link_of(connection, seen.entry)?))
}
