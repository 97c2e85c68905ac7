//! The failures of the sealed store: codes, classes and next steps in one place.

use keyroll_port::{Class, Failure};
use keyroll_secret::SealError;
use rusqlite::ErrorCode;

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

    /// What SQLite said, before a commit: nothing was written.
    pub(crate) fn sqlite(self, error: rusqlite::Error) -> Failure {
        let damage =
            matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        if damage {
            return self.altered(error.to_string());
        }
        Failure::new(Class::Retryable, UNUSABLE, self.0)
            .help("check the free space and the owner of the state folder with `keyroll doctor`")
            .because(error)
    }

    /// What SQLite said to a COMMIT. A full disk or a lock stops it before its frame is whole; after anything else
    /// nobody can tell.
    pub(crate) fn commit(self, error: rusqlite::Error) -> Failure {
        let passing = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
        if error.sqlite_error_code().is_some_and(|code| passing.contains(&code)) {
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

/// The system failed a read, write or fsync: what is on the disk is no longer known.
pub(crate) fn is_io(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure))
}
