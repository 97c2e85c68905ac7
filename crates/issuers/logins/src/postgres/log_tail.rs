//! The part of the server's log that was read since a mark. This module does not connect to the server.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::postgres::log_line::Form;
use keyroll_port::RefusedUse;
use serde::{Deserialize, Serialize};

/// The longest line that is kept; a refused login is far shorter.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// How many refused logins are kept one by one; further ones would prove nothing new.
const FOUND_MAX: usize = 1_000;

/// Where the log ended. Persisted as JSON for as long as one rotation lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// How lines are written.
    pub(crate) form: Form,
    /// The file as `pg_current_logfile` names it.
    pub(crate) file: String,
    /// The file's length then, bytes.
    pub(crate) offset: i64,
    /// The digest of the bytes before the offset.
    pub(crate) before: String,
    /// The server's time, milliseconds since 1970: a file that was last written before that time has nothing new.
    pub(crate) at_ms: i64,
}

/// The part of the log that was read since a mark.
#[derive(Default)]
pub(crate) struct Tail(Mutex<Option<Read>>);

/// One reading of the log, continued by the next.
#[derive(Clone)]
pub(crate) struct Read {
    /// Where reading began.
    pub(crate) mark: Mark,
    /// For each file: how far it was read, bytes, and a last line without its end.
    pub(crate) files: BTreeMap<String, (i64, Vec<u8>)>,
    /// The refused logins that were found.
    pub(crate) found: Vec<RefusedUse>,
}

impl Read {
    /// Takes further bytes of a file; `rest` is the line that has no end yet.
    pub(crate) fn lines(&mut self, rest: &mut Vec<u8>, bytes: &[u8], role: &str) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if rest.len() < LINE_BYTES_MAX {
                rest.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let line = rest.strip_suffix(b"\n").unwrap_or(rest);
                if let Some(used) = self.mark.form.refused(line, role)
                    && self.found.len() < FOUND_MAX
                {
                    self.found.push(used);
                }
                rest.clear();
            }
        }
    }
}

impl Tail {
    /// Locks the kept reading.
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Option<Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a reading for the next one.
    pub(crate) fn keep(&self, read: Read) {
        *self.lock() = Some(read);
    }
}
