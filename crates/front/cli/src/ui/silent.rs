//! Restores a terminal without echo, however the process ends.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, TryLockError};

use rustix::termios::{OptionalActions, Termios, tcsetattr};

/// The settings of the silent terminal before keyroll changed them.
pub(super) static SILENT: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Restores a silent terminal, however the process ends.
pub(crate) fn put_terminal_back() {
    let mut silent = match SILENT.try_lock() {
        Ok(silent) => silent,
        Err(TryLockError::Poisoned(silent)) => silent.into_inner(),
        // The holder of the lock restores the terminal.
        Err(TryLockError::WouldBlock) => return,
    };
    if let Some((mut terminal, before)) = silent.take() {
        // Pending input is dropped, so that the shell does not read it.
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
        let _ = terminal.write_all(b"\n");
    }
}
