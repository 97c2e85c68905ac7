//! The failures of the sealed store: codes, classes and next steps in one place.

use keyroll_database::{DatabaseError, is_damage, is_passing, rusqlite};
use keyroll_port::{Class, Failure};
use keyroll_secret::SealError;

/// The system or SQLite refused; nothing was written.
pub(crate) const UNUSABLE: &str = "K0611";
/// What is stored is not what was written.
pub(crate) const ALTERED: &str = "K0612";
/// The secret exists already.
pub(crate) const EXISTS: &str = "K0613";
/// Another secret has the same value.
pub(crate) const SAME_VALUE: &str = "K0614";
/// There is no such secret, version or kept credential.
pub(crate) const MISSING: &str = "K0615";
/// The version's label does not allow it.
pub(crate) const LABEL: &str = "K0616";
/// Another value under the same intent.
pub(crate) const OTHER_VALUE: &str = "K0617";
/// A name or value that is not taken.
pub(crate) const REFUSED: &str = "K0618";
/// Sealed under another key.
pub(crate) const OTHER_KEY: &str = "K0619";
/// A commit whose end nobody saw.
pub(crate) const UNKNOWN: &str = "K0620";
/// A network file system; the journal's page.
pub(crate) const NETWORK: &str = "K0602";
/// A newer schema; the journal's page.
pub(crate) const NEWER: &str = "K0606";

/// What a step is about, for its failures: `promote v2 of 'orders-db'`.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a>(pub(crate) &'a str);

impl Attempt<'_> {
    /// It surely had no effect and never will.
    pub(crate) fn refuse(self, code: &'static str, why: impl Into<String>) -> Failure {
        Failure::new(Class::Permanent, code, self.0).because(why.into())
    }

    /// What is stored is not what was written.
    pub(crate) fn altered(self, what: impl Into<String>) -> Failure {
        self.refuse(ALTERED, what).help(
            "nothing was changed; copy the state folder aside, then restore secrets.db together with journal.db",
        )
    }

    /// What the opening of the database said.
    pub(crate) fn database(self, error: DatabaseError) -> Failure {
        match error {
            DatabaseError::Sqlite(error) => self.sqlite(error),
            DatabaseError::Damaged(what) => self.altered(what),
            DatabaseError::Network { .. } => self
                .refuse(NETWORK, error.to_string())
                .help("name a folder on a local disk with `--state DIR`"),
            DatabaseError::Newer { .. } => {
                self.refuse(NEWER, error.to_string()).help("run the newer version of keyroll that made it")
            }
            // The enum may grow; whatever it says then, nothing was opened.
            DatabaseError::Io { .. } | _ => Failure::new(Class::Permanent, UNUSABLE, self.0)
                .help("check the folder's owner, mode and free space with `keyroll doctor`")
                .because(error),
        }
    }

    /// What SQLite said, before a commit: nothing was written.
    pub(crate) fn sqlite(self, error: rusqlite::Error) -> Failure {
        if is_damage(&error) {
            return self.altered(error.to_string());
        }
        Failure::new(Class::Retryable, UNUSABLE, self.0)
            .help("check the free space and the owner of the state folder with `keyroll doctor`")
            .because(error)
    }

    /// What SQLite said to a COMMIT. A full disk or a lock stops it before its frame is whole; after anything else
    /// nobody can tell.
    pub(crate) fn commit(self, error: rusqlite::Error) -> Failure {
        if is_passing(&error) {
            return self.sqlite(error);
        }
        Failure::new(Class::Unknown, UNKNOWN, self.0)
            .help("run `keyroll doctor`, then `keyroll resume`: every write of the store may be repeated")
            .because(error)
    }

    /// What the sealing said.
    pub(crate) fn seal(self, error: SealError) -> Failure {
        match error {
            SealError::OtherKey { .. } => self
                .refuse(OTHER_KEY, error.to_string())
                .help("put back the sealing key that this store was made with"),
            SealError::TooLong => self.refuse(REFUSED, error.to_string()),
            SealError::Library => self.refuse(UNUSABLE, error.to_string()),
            // The enum may grow; whatever it says then, the record does not open.
            SealError::Truncated | SealError::UnknownVersion(_) | SealError::Altered | _ => {
                self.altered(error.to_string())
            }
        }
    }
}
