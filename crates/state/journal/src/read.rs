//! The queries; each one sees one state of the database.

use keyroll_database::rusqlite::{self, Connection, OptionalExtension, Row};
use keyroll_database::{cause_of, is_damage};
use keyroll_port::{JournalError, Overview, Recorded, RotationId};

use crate::chain::{self, Link};
use crate::wire::{WireError, v1};

/// The row of `rotations` whose entries are the acts; it is no rotation, and no list of rotations has it.
pub(crate) const ACTS: &str = "acts";

/// The newest entry, and the highest epoch that was ever given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its number; 0 = none yet.
    pub(crate) entry: u64,
    /// Its link.
    pub(crate) chain: Link,
    /// The counter.
    pub(crate) epoch: u64,
}

/// Damage as SQLite reports it, or a failure that may be temporary.
pub(crate) fn unavailable(error: rusqlite::Error) -> JournalError {
    if is_damage(&error) {
        JournalError::Damaged(error.to_string())
    } else {
        JournalError::Unavailable(cause_of(error))
    }
}

/// The newest entry. One statement, so that the counter and the entry are of the same moment.
pub(crate) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    let mut statement = connection.prepare_cached(
        "SELECT counter.epoch, counter.journal, last.entry, last.chain FROM counter
         LEFT JOIN (SELECT entry, chain FROM entries ORDER BY entry DESC LIMIT 1) AS last",
    )?;
    statement.query_row([], |row| {
        let epoch = row.get::<_, i64>(0)?.cast_unsigned();
        let journal: Vec<u8> = row.get(1)?;
        let entry = row.get::<_, Option<i64>>(2)?.unwrap_or_default().cast_unsigned();
        let chain = row.get::<_, Option<Link>>(3)?.unwrap_or_else(|| chain::genesis(&journal));
        Ok(Head { entry, chain, epoch })
    })
}

/// The link of one entry; for number 0, the link before the first entry.
pub(crate) fn link_of(connection: &Connection, entry: u64) -> rusqlite::Result<Option<Link>> {
    if entry == 0 {
        return genesis(connection).map(Some);
    }
    connection
        .query_row("SELECT chain FROM entries WHERE entry = ?1", [entry.cast_signed()], |row| row.get(0))
        .optional()
}

/// Everything of one rotation.
pub(crate) fn load(connection: &mut Connection, id: &RotationId) -> Result<Recorded, JournalError> {
    let transaction = connection.transaction().map_err(unavailable)?;
    let row: Option<(i64, String)> = transaction
        .prepare_cached("SELECT number, secret FROM rotations WHERE id = ?1")
        .and_then(|mut found| found.query_row([&id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(unavailable)?;
    let Some((number, secret)) = row else {
        return Err(JournalError::Unavailable(format!("there is no rotation {id}").into()));
    };
    let first = genesis(&transaction).map_err(unavailable)?;
    let mut statement = transaction
        .prepare_cached(
            "SELECT its.seq, its.bytes, its.unix_ms, its.chain, before.chain FROM entries AS its
             LEFT JOIN entries AS before ON before.entry = its.entry - 1
             WHERE its.rotation = ?1 ORDER BY its.seq",
        )
        .map_err(unavailable)?;
    let mut rows = statement.query([number]).map_err(unavailable)?;
    let mut opening = None;
    let mut events = Vec::new();
    let mut unix_ms = Vec::new();
    let mut expected = 0;
    while let Some(row) = rows.next().map_err(unavailable)? {
        let (seq, bytes, at) = entry(row).map_err(unavailable)?;
        let damaged = |what: String| JournalError::Damaged(format!("rotation {id}, entry {seq}: {what}"));
        if seq != expected {
            return Err(damaged(format!("entry {expected} is missing before it")));
        }
        expected += 1;
        if seq == 0 {
            let read = v1::decode_opening(&bytes).map_err(|error| match error {
                WireError::Protocol { number, keyroll } => {
                    JournalError::Newer { id: id.clone(), protocol: number, keyroll }
                }
                error @ (WireError::Version(_) | WireError::Malformed(_) | WireError::Unsound(_)) => {
                    damaged(explain(&error))
                }
            })?;
            opening = Some(read);
        } else {
            events.push(v1::decode_event(&bytes).map_err(|error| damaged(explain(&error)))?);
            unix_ms.push(at);
        }
        if !is_linked(row, id, seq, &bytes, &first).map_err(unavailable)? {
            return Err(damaged("it is not what the chain has there".to_owned()));
        }
    }
    match opening {
        Some(opening) if opening.secret == secret => {
            Ok(Recorded { id: id.clone(), opening, events, unix_ms })
        }
        Some(_) => Err(JournalError::Damaged(format!("rotation {id} is listed under another secret"))),
        None => Err(JournalError::Damaged(format!("rotation {id} has no opening"))),
    }
}

/// The link before the first entry.
pub(crate) fn genesis(connection: &Connection) -> rusqlite::Result<Link> {
    let journal: Vec<u8> = connection.query_row("SELECT journal FROM counter", [], |row| row.get(0))?;
    Ok(chain::genesis(&journal))
}

/// Whether an entry is the one that the chain has at its place: a damaged index shows another one. The row has its link,
/// and the one before it, in its columns 3 and 4.
pub(crate) fn is_linked(
    row: &Row<'_>,
    id: &RotationId,
    seq: u64,
    bytes: &[u8],
    first: &Link,
) -> rusqlite::Result<bool> {
    let own: Link = row.get(3)?;
    let before = row.get::<_, Option<Link>>(4)?;
    Ok(own == chain::link(before.as_ref().unwrap_or(first), &id.0, seq, bytes))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(u64, Vec<u8>, u64)> {
    Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
}

/// An error with its cause, for a sentence.
fn explain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// All rotations, newest first.
pub(crate) fn list(connection: &Connection) -> Result<Vec<Overview>, JournalError> {
    let overview = |row: &Row<'_>| {
        Ok(Overview {
            id: RotationId(row.get(0)?),
            secret: row.get(1)?,
            open: row.get(2)?,
            unix_ms: row.get::<_, i64>(3)?.cast_unsigned(),
        })
    };
    connection
        .prepare_cached("SELECT id, secret, open, unix_ms FROM rotations WHERE id <> ?1 ORDER BY number DESC")
        .and_then(|mut all| all.query_map([ACTS], overview)?.collect())
        .map_err(unavailable)
}

/// The name behind a digest.
pub(crate) fn recall(connection: &Connection, digest: u64) -> Result<Option<String>, JournalError> {
    connection
        .prepare_cached("SELECT name FROM names WHERE digest = ?1")
        .and_then(|mut name| name.query_row([digest.cast_signed()], |row| row.get(0)).optional())
        .map_err(unavailable)
}
