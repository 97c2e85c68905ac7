//! Restores a terminal without echo, and one whose keys are handed on, however the process ends.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError, TryLockError};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// The settings of the silent terminal before keyroll changed them.
pub(super) static SILENT: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// The settings of a terminal before its keys were handed on to a program.
static RAW: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// From now on every key of the terminal is read as it is, until [`put_terminal_back`].
///
/// # Errors
/// The terminal is gone.
pub(crate) fn make_raw(terminal: &File) -> io::Result<()> {
    let kept = terminal.try_clone()?;
    let mut raw = RAW.lock().unwrap_or_else(PoisonError::into_inner);
    // keyroll may have been stopped in between: what is to be restored stays the same.
    let before = raw.take().map_or_else(|| tcgetattr(terminal), |(_, before)| Ok(before))?;
    let mut handed_on = before.clone();
    handed_on.make_raw();
    *raw = Some((kept, before));
    Ok(tcsetattr(terminal, OptionalActions::Now, &handed_on)?)
}

/// Restores a silent terminal, and one whose keys are handed on, however the process ends.
pub(crate) fn put_terminal_back() {
    if let Some((mut terminal, before)) = taken(&SILENT) {
        // Pending input is dropped, so that the shell does not read it.
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
        let _ = terminal.write_all(b"\n");
    }
    // In the background the settings are another program's, and keyroll would be stopped (tcsetattr(3)).
    if let Some((terminal, before)) = taken(&RAW).filter(|_| !is_in_background()) {
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
    }
}

/// The settings to restore; none if another thread restores them now.
fn taken(kept: &Mutex<Option<(File, Termios)>>) -> Option<(File, Termios)> {
    match kept.try_lock() {
        Ok(mut kept) => kept.take(),
        Err(TryLockError::Poisoned(kept)) => kept.into_inner().take(),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Whether another process group is in the foreground of keyroll's terminal. The group and the terminal's foreground are the
/// third and the sixth field after the name (proc(5)), -1 without a terminal.
pub(crate) fn is_in_background() -> bool {
    let stat = std::fs::read("/proc/self/stat").unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    let mut fields =
        stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ').skip(2)).into_iter().flatten();
    let (group, foreground) = (fields.next(), fields.nth(2));
    foreground.is_some_and(|foreground| foreground != "-1" && Some(foreground) != group)
}

/// A text with the line ends that stderr needs now.
pub(super) fn lines(text: String) -> String {
    let raw = RAW.try_lock().is_ok_and(|raw| raw.is_some());
    if raw && isatty(io::stderr()) { text.replace('\n', "\r\n") } else { text }
}
