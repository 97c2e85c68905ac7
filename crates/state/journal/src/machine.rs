//! The machine that a journal belongs to.

use std::path::Path;

use keyroll_database::rusqlite::{self, Connection, OptionalExtension, TransactionBehavior, params};

use crate::OpenError;

/// The row of the id that every machine has.
const ID: &str = "id";

/// The row of the hardware's identity, which only some machines show, and not to every user.
const HARDWARE: &str = "hardware";

/// The identity of a machine, as digests under a key that is not in the state folder. The digests do not reveal the
/// identity, and stay the same after a reboot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The digest of its id, or of the name that it was given.
    pub id: [u8; 32],
    /// The digest of its hardware's identity, where that can be read.
    pub hardware: Option<[u8; 32]>,
}

/// Refuses a journal that belongs to another machine. A journal that belongs to none yet is bound to this machine.
pub(crate) fn belongs(connection: &mut Connection, path: &Path, machine: &Machine) -> Result<(), OpenError> {
    let wrap = |error: rusqlite::Error| OpenError::of(path, error.into());
    let differs = |connection: &Connection| -> rusqlite::Result<Option<bool>> {
        let Some(id) = known(connection, ID)? else { return Ok(None) };
        let hardware = known(connection, HARDWARE)?.zip(machine.hardware);
        Ok(Some(id != machine.id || hardware.is_some_and(|(known, here)| known != here)))
    };
    let found = match differs(connection).map_err(wrap)? {
        Some(found) => found,
        None => {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
            // Checked again: another process may have bound the journal while this one waited for the lock.
            let found = differs(&transaction).map_err(wrap)?;
            if found.is_none() {
                put(&transaction, machine).map_err(wrap)?;
            }
            transaction.commit().map_err(wrap)?;
            found.unwrap_or_default()
        }
    };
    if found { Err(OpenError::OtherMachine { path: path.to_owned() }) } else { Ok(()) }
}

/// Binds the journal to this machine, whatever it was bound to before.
pub(crate) fn take(connection: &mut Connection, path: &Path, machine: &Machine) -> Result<(), OpenError> {
    let wrap = |error: rusqlite::Error| OpenError::of(path, error.into());
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    transaction.execute("DELETE FROM machine", []).map_err(wrap)?;
    put(&transaction, machine).map_err(wrap)?;
    transaction.commit().map_err(wrap)
}

fn known(connection: &Connection, name: &str) -> rusqlite::Result<Option<[u8; 32]>> {
    connection.query_row("SELECT digest FROM machine WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn put(connection: &Connection, machine: &Machine) -> rusqlite::Result<()> {
    let rows = [(ID, Some(machine.id)), (HARDWARE, machine.hardware)];
    for (name, digest) in rows.into_iter().filter_map(|(name, digest)| Some((name, digest?))) {
        connection.execute("INSERT INTO machine VALUES (?1, ?2)", params![name, digest])?;
    }
    Ok(())
}
