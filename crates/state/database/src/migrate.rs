use rusqlite::{Connection, TransactionBehavior};

use crate::DatabaseError;

/// Brings the schema up to the last migration, in one transaction; a crash leaves the old schema or the new one. Each
/// migration leads from its place in the list to the next.
pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), DatabaseError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if version(connection)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may have migrated while this one waited for the lock.
    let found = version(&transaction)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| migrations.get(found..)) else {
        return Err(DatabaseError::Newer { found, known });
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_grows_and_a_newer_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        let (first, second) = ("CREATE TABLE one (row INTEGER)", "CREATE TABLE two (row INTEGER)");
        migrate(&mut connection, &[first]).unwrap();
        migrate(&mut connection, &[first]).unwrap();
        migrate(&mut connection, &[first, second]).unwrap();
        connection.execute_batch("SELECT row FROM one; SELECT row FROM two").unwrap();
        let newer = migrate(&mut connection, &[first]);
        assert!(matches!(newer, Err(DatabaseError::Newer { found: 2, known: 1 })), "{newer:?}");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_schema_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = migrate(&mut connection, &["CREATE TABLE one (row INTEGER)", "CREATE TABLE"]);
        assert!(broken.is_err());
        assert_eq!(version(&connection).unwrap(), 0);
        assert!(connection.prepare("SELECT row FROM one").is_err());
    }
}
