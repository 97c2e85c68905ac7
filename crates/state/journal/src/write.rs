//! The writes. Each runs inside the writer's transaction, and so do its comparisons.

use keyroll_database::rusqlite::{self, Connection, OptionalExtension, params};
use keyroll_port::{JournalError, RotationId};

use crate::chain;
use crate::read::{ACTS, Head, unavailable};

/// The largest entry, bytes: an enumeration of some ten thousand instances. A larger one is refused before it is
/// written.
pub(crate) const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The longest name behind a digest, bytes: a path and some words.
const NAME_BYTES_MAX: usize = 8 * 1024;

/// One write, ready to be carried out; its entry is already encoded.
pub(crate) enum Write {
    /// Opens a rotation.
    Open { id: RotationId, secret: String, bytes: Vec<u8>, epoch: u64, unix_ms: u64 },
    /// Gives a new epoch to one rotation.
    TakeOver { id: RotationId },
    /// Adds an entry.
    Append(Append),
    /// Adds an act. No driver is fenced by it, and it is fenced by none.
    Act { bytes: Vec<u8>, unix_ms: u64 },
    /// Frees the secret.
    Close { id: RotationId },
    /// Keeps a name.
    Remember { digest: u64, name: String },
}

/// The next entry of one rotation.
pub(crate) struct Append {
    pub(crate) id: RotationId,
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) unix_ms: u64,
}

impl Write {
    /// Carries the write out. `head` is the newest entry of this transaction; only a write that succeeds moves it.
    /// Returns the new epoch for [`Write::TakeOver`], the entry for [`Write::Act`], otherwise 0.
    pub(crate) fn carry_out(&self, connection: &Connection, head: &mut Head) -> Result<u64, JournalError> {
        match self {
            Self::Open { id, secret, bytes, epoch, unix_ms } => {
                open(connection, head, id, secret, *epoch, *unix_ms)?;
                let entry = Entry { id, number: number(connection, id)?.0, seq: 0, bytes, unix_ms: *unix_ms };
                entry.insert(connection, head)
            }
            Self::TakeOver { id } => take_over(connection, head, id),
            Self::Append(Append { id, seq, epoch, bytes, unix_ms }) => {
                let (number, newest) = number(connection, id)?;
                fence(connection, head, number, newest, *epoch)?;
                let last = last_seq(connection, number)?;
                if last.checked_add(1) != Some(*seq) {
                    return Err(JournalError::Conflict { last });
                }
                Entry { id, number, seq: *seq, bytes, unix_ms: *unix_ms }.insert(connection, head)
            }
            Self::Act { bytes, unix_ms } => {
                let id = RotationId(ACTS.to_owned());
                let row = "INSERT INTO rotations (id, secret, open, epoch, unix_ms) VALUES (?1, '', 0, 0, ?2)
                           ON CONFLICT (id) DO NOTHING";
                run(connection, row, params![id.0, unix_ms.cast_signed()])?;
                let (number, _) = number(connection, &id)?;
                let seq = newest_seq(connection, number)?.unwrap_or_default().saturating_add(1);
                Entry { id: &id, number, seq, bytes, unix_ms: *unix_ms }.insert(connection, head)?;
                Ok(head.entry)
            }
            Self::Close { id } => {
                let (number, _) = number(connection, id)?;
                run(connection, "UPDATE rotations SET open = 0 WHERE number = ?1 AND open = 1", [number])?;
                Ok(0)
            }
            Self::Remember { digest, name } => {
                if name.len() > NAME_BYTES_MAX {
                    return Err(refused(format!("a name is longer than {NAME_BYTES_MAX} bytes")));
                }
                let keep = "INSERT INTO names VALUES (?1, ?2)
                            ON CONFLICT (digest) DO UPDATE SET name = excluded.name WHERE name <> excluded.name";
                run(connection, keep, params![digest.cast_signed(), name])?;
                Ok(0)
            }
        }
    }
}

fn refused(why: String) -> JournalError {
    JournalError::Unavailable(why.into())
}

fn run(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<usize, JournalError> {
    connection.prepare_cached(sql).and_then(|mut run| run.execute(values)).map_err(unavailable)
}

/// A rotation's number and the newest epoch that it knows.
fn number(connection: &Connection, id: &RotationId) -> Result<(i64, u64), JournalError> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()));
    connection
        .prepare_cached("SELECT number, epoch FROM rotations WHERE id = ?1")
        .and_then(|mut found| found.query_row([&id.0], read).optional())
        .map_err(unavailable)?
        .ok_or_else(|| refused(format!("there is no rotation {id}")))
}

fn last_seq(connection: &Connection, number: i64) -> Result<u64, JournalError> {
    newest_seq(connection, number)?
        .ok_or_else(|| JournalError::Damaged("a rotation has no opening".to_owned()))
}

fn newest_seq(connection: &Connection, number: i64) -> Result<Option<u64>, JournalError> {
    connection
        .prepare_cached("SELECT max(seq) FROM entries WHERE rotation = ?1")
        .and_then(|mut last| last.query_row([number], |row| row.get::<_, Option<i64>>(0)))
        .map(|last| last.map(i64::cast_unsigned))
        .map_err(unavailable)
}

fn open(
    connection: &Connection,
    head: &mut Head,
    id: &RotationId,
    secret: &str,
    epoch: u64,
    unix_ms: u64,
) -> Result<(), JournalError> {
    let holder = "SELECT id FROM rotations WHERE id = ?1 OR (secret = ?2 AND open = 1) ORDER BY open DESC";
    let held: Option<String> = connection
        .prepare_cached(holder)
        .and_then(|mut held| held.query_row([&id.0, secret], |row| row.get(0)).optional())
        .map_err(unavailable)?;
    if let Some(by) = held {
        return Err(JournalError::Held { by: RotationId(by) });
    }
    let insert = "INSERT INTO rotations (id, secret, open, epoch, unix_ms) VALUES (?1, ?2, 1, ?3, ?4)";
    run(connection, insert, params![id.0, secret, signed(epoch)?, unix_ms.cast_signed()])?;
    raise(connection, head, epoch)
}

fn take_over(connection: &Connection, head: &mut Head, id: &RotationId) -> Result<u64, JournalError> {
    let (number, _) = number(connection, id)?;
    let epoch = head.epoch.saturating_add(1);
    run(connection, "UPDATE rotations SET epoch = ?1 WHERE number = ?2", [signed(epoch)?, number])?;
    raise(connection, head, epoch)?;
    Ok(epoch)
}

/// Compares and sets the epoch: an older driver is refused, and a newer one fences off the drivers before it.
fn fence(
    connection: &Connection,
    head: &mut Head,
    number: i64,
    newest: u64,
    epoch: u64,
) -> Result<(), JournalError> {
    if epoch < newest {
        return Err(JournalError::Fenced { newest });
    }
    if epoch > newest {
        run(connection, "UPDATE rotations SET epoch = ?1 WHERE number = ?2", [signed(epoch)?, number])?;
        raise(connection, head, epoch)?;
    }
    Ok(())
}

/// Raises the counter: no epoch that was ever seen is given again.
fn raise(connection: &Connection, head: &mut Head, epoch: u64) -> Result<(), JournalError> {
    if epoch > head.epoch {
        run(connection, "UPDATE counter SET epoch = ?1", [signed(epoch)?])?;
        head.epoch = epoch;
    }
    Ok(())
}

fn signed(number: u64) -> Result<i64, JournalError> {
    i64::try_from(number).map_err(|_| refused(format!("{number} is out of range")))
}

struct Entry<'a> {
    id: &'a RotationId,
    number: i64,
    seq: u64,
    bytes: &'a [u8],
    unix_ms: u64,
}

impl Entry<'_> {
    fn insert(&self, connection: &Connection, head: &mut Head) -> Result<u64, JournalError> {
        if self.bytes.len() > ENTRY_BYTES_MAX {
            return Err(refused(format!("an entry is longer than {ENTRY_BYTES_MAX} bytes")));
        }
        let entry = head.entry.saturating_add(1);
        let chain = chain::link(&head.chain, &self.id.0, self.seq, self.bytes);
        let (seq, unix_ms) = (signed(self.seq)?, self.unix_ms.cast_signed());
        let insert = "INSERT INTO entries (entry, rotation, seq, bytes, unix_ms, chain)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        run(connection, insert, params![signed(entry)?, self.number, seq, self.bytes, unix_ms, chain])?;
        head.entry = entry;
        head.chain = chain;
        Ok(0)
    }
}
