use std::collections::BTreeMap;
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
    let mut before = read::genesis(connection).map_err(wrap)?;
    let mut last_seqs: BTreeMap<i64, i64> = BTreeMap::new();
    let mut statement = connection
        .prepare(
            "SELECT entry, id, seq, bytes, chain, rotation FROM entries
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
        let last = last_seqs.entry(row.get(5).map_err(wrap)?).or_default();
        *last = (*last).max(seq.cast_signed());
        before = link;
        expected = expected.saturating_add(1);
    }
    drop(rows);
    // Read by the index, as a rotation is: one that lacks its last entries would be taken for an earlier state of it.
    let mut statement =
        connection.prepare("SELECT rotation, max(seq) FROM entries GROUP BY rotation").map_err(wrap)?;
    let indexed = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(wrap)?;
    let indexed: BTreeMap<i64, i64> = indexed.collect::<Result<_, _>>().map_err(wrap)?;
    match indexed == last_seqs {
        true => Ok(()),
        false => Err(damaged("its index has other entries than its table".to_owned())),
    }
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
