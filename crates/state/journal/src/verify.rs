use std::path::Path;

use keyroll_database::rusqlite::{self, Connection};

use crate::chain::{self, Link};
use crate::read::{self, Head};
use crate::witness::{Witness, disagreement};
use crate::{OpenError, witness};

/// Reads everything once: SQLite's own check, then every link of the chain. Takes longer the longer the journal is.
pub(crate) fn whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let wrap = |source: rusqlite::Error| OpenError::of(path, source.into());
    let damaged = |what: String| OpenError::Damaged { path: path.to_owned(), what };
    keyroll_database::check(connection).map_err(|error| OpenError::of(path, error))?;
    let ahead: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM rotations, counter WHERE rotations.epoch > counter.epoch)",
            [],
            |row| row.get(0),
        )
        .map_err(wrap)?;
    if ahead {
        return Err(damaged("a rotation has an epoch that was never given".to_owned()));
    }
    let mut before = read::link_of(connection, 0)
        .map_err(wrap)?
        .ok_or_else(|| damaged("it has no identity".to_owned()))?;
    let mut statement = connection
        .prepare(
            "SELECT entry, id, seq, bytes, chain FROM entries
             LEFT JOIN rotations ON rotations.number = entries.rotation ORDER BY entry",
        )
        .map_err(wrap)?;
    let mut rows = statement.query([]).map_err(wrap)?;
    let mut expected = 1_i64;
    while let Some(row) = rows.next().map_err(wrap)? {
        let entry: i64 = row.get(0).map_err(wrap)?;
        if entry != expected {
            return Err(damaged(format!("entry {expected} is missing")));
        }
        let id: Option<String> = row.get(1).map_err(wrap)?;
        let id = id.ok_or_else(|| damaged(format!("entry {entry} has no rotation")))?;
        let seq = row.get::<_, i64>(2).map_err(wrap)?.cast_unsigned();
        let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob()?)).map_err(wrap)?;
        let link: Link = row.get(4).map_err(wrap)?;
        if link != chain::link(&before, &id, seq, bytes) {
            return Err(damaged(format!("the chain breaks at entry {entry}")));
        }
        before = link;
        expected = expected.saturating_add(1);
    }
    Ok(())
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
