//! The failures of the sealed store: codes, classes and next steps in one place.

use keyroll_codes::Code;
use keyroll_database::{DatabaseError, cause_of, is_damage, is_passing, rusqlite};
use keyroll_port::{Class, Failure};
use keyroll_secret::SealError;

/// The step that a failure is about: `promote v2 of 'orders-db'`.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a>(pub(crate) &'a str);

impl Attempt<'_> {
    /// The step certainly had no effect and never will.
    pub(crate) fn refuse(self, code: Code, why: impl Into<String>) -> Failure {
        Failure::new(Class::Permanent, code, self.0).because(why.into())
    }

    /// The stored data is not what was written.
    pub(crate) fn altered(self, what: impl Into<String>) -> Failure {
        self.refuse(Code::StateDamaged, what).help(
            "nothing was changed; copy the state folder aside, then restore secrets.db together with journal.db",
        )
    }

    /// The failure for a database that could not be opened.
    pub(crate) fn database(self, error: DatabaseError) -> Failure {
        match error {
            DatabaseError::Sqlite(error) => self.sqlite(error),
            DatabaseError::Damaged(what) => self.altered(what),
            DatabaseError::Network { .. } => self
                .refuse(Code::FolderUnsuitable, error.to_string())
                .help("name a folder on a local disk with `--state DIR`"),
            DatabaseError::Newer { .. } => self
                .refuse(Code::NewerKeyroll, error.to_string())
                .help("run the newer version of keyroll that made it"),
            // The enum may get more variants; with each of them nothing was opened.
            DatabaseError::Io { .. } | _ => Failure::new(Class::Permanent, Code::StateUnusable, self.0)
                .help("check the folder's owner, mode and free space with `keyroll doctor`")
                .because(error),
        }
    }

    /// The failure for an SQLite error before a commit: nothing was written.
    pub(crate) fn sqlite(self, error: rusqlite::Error) -> Failure {
        if is_damage(&error) {
            return self.altered(error.to_string());
        }
        Failure::new(Class::Retryable, Code::StateUnusable, self.0)
            .help("check the free space and the owner of the state folder with `keyroll doctor`")
            .because(cause_of(error))
    }

    /// The failure for an SQLite error in a COMMIT. A full disk or a lock stops a COMMIT before its frame is complete;
    /// after any other error the outcome is unknown.
    pub(crate) fn commit(self, error: rusqlite::Error) -> Failure {
        if is_passing(&error) {
            return self.sqlite(error);
        }
        Failure::new(Class::Unknown, Code::WriteFailed, self.0)
            .help("run `keyroll doctor`: every write of the store may be repeated")
            .because(cause_of(error))
    }

    /// The failure for an error of sealing.
    pub(crate) fn seal(self, error: SealError) -> Failure {
        match error {
            SealError::OtherKey { .. } => self
                .refuse(Code::SealingKeyUnusable, error.to_string())
                .help("put back the sealing key that this store was made with"),
            SealError::TooLong => self.refuse(Code::ValueRefused, error.to_string()),
            SealError::Library => self.refuse(Code::StateUnusable, error.to_string()),
            // The enum may get more variants; with each of them the record does not open.
            SealError::Truncated | SealError::UnknownVersion(_) | SealError::Altered | _ => {
                self.altered(error.to_string())
            }
        }
    }
}
