//! The end of the log after an append, so that the next append of the same rotation is a single statement.

use keyroll_database::rusqlite::{self, Connection, OptionalExtension, params};
use keyroll_port::RotationId;

use crate::chain::{self, Link};
use crate::read::Head;
use crate::write::{Append, ENTRY_BYTES_MAX};

/// The end of the log at one moment. It is never trusted: the statement compares all of it again, inside its own
/// transaction, and writes nothing if another process wrote or took over meanwhile.
pub(crate) struct Tail {
    id: RotationId,
    number: i64,
    epoch: i64,
    seq: i64,
    head: Head,
}

impl Tail {
    /// Reads everything in one statement, so that it is of one moment; `None` if the rotation does not exist.
    pub(crate) fn read(connection: &Connection, id: &RotationId) -> rusqlite::Result<Option<Self>> {
        let mut statement = connection.prepare_cached(
            "SELECT rotations.number, rotations.epoch, counter.epoch, last.entry, last.chain,
                    (SELECT max(seq) FROM entries WHERE rotation = rotations.number)
             FROM rotations, counter, (SELECT entry, chain FROM entries ORDER BY entry DESC LIMIT 1) AS last
             WHERE id = ?1",
        )?;
        let tail = statement.query_row([&id.0], |row| {
            let head = Head {
                epoch: row.get::<_, i64>(2)?.cast_unsigned(),
                entry: row.get::<_, i64>(3)?.cast_unsigned(),
                chain: row.get::<_, Link>(4)?,
            };
            Ok(Self { id: id.clone(), number: row.get(0)?, epoch: row.get(1)?, seq: row.get(5)?, head })
        });
        tail.optional()
    }

    /// Appends one entry and commits it. `false`: nothing was written, because the entry is not the next one of this
    /// rotation and driver, or because the end of the log has changed.
    pub(crate) fn append(&mut self, connection: &Connection, append: &Append) -> rusqlite::Result<bool> {
        let Append { id, seq, epoch, bytes, unix_ms } = append;
        let next = self.seq.checked_add(1).zip(i64::try_from(self.head.entry.saturating_add(1)).ok());
        let Some((next, entry)) = next else { return Ok(false) };
        let its =
            *id == self.id && i64::try_from(*seq) == Ok(next) && i64::try_from(*epoch) == Ok(self.epoch);
        if !its || bytes.len() > ENTRY_BYTES_MAX {
            return Ok(false);
        }
        let chain = chain::link(&self.head.chain, &id.0, *seq, bytes);
        // The newest link covers every entry before it: if it is unchanged, nothing was appended since.
        let mut statement = connection.prepare_cached(
            "INSERT INTO entries (entry, rotation, seq, bytes, unix_ms, chain)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 FROM rotations WHERE number = ?2 AND epoch = ?7
                AND (SELECT chain FROM entries ORDER BY entry DESC LIMIT 1) = ?8",
        )?;
        let unix_ms = unix_ms.cast_signed();
        let values = params![entry, self.number, next, bytes, unix_ms, chain, self.epoch, self.head.chain];
        if statement.execute(values)? == 0 {
            return Ok(false);
        }
        self.seq = next;
        self.head.entry = entry.cast_unsigned();
        self.head.chain = chain;
        Ok(true)
    }
}
