use keyroll_secret::SecretBytes;

use crate::format::Change;
use crate::{CopyError, Edit, Slot};

/// The value: all bytes but for one line end behind them.
pub(crate) fn read(file: &[u8]) -> SecretBytes {
    SecretBytes::new(value(file).to_vec())
}

pub(crate) fn change(file: &[u8], edit: &Edit<'_>) -> Result<Option<Change>, CopyError> {
    let present = read(file);
    if present == *edit.new {
        return Ok(None);
    }
    if present != *edit.expect_old {
        return Err(CopyError::Drifted { slot: edit.slot.to_string() });
    }
    carries_value(edit.new)?;
    Ok(Some(Change { span: 0..present.len(), with: edit.new.duplicate() }))
}

/// White space could stand at an end of the value, where readers cut it off or do not.
pub(crate) fn carries(alphabet: &[u8]) -> Result<(), CopyError> {
    match alphabet.iter().any(|byte| blank(*byte)) {
        true => Err(not_carried("white space at its ends is cut off by some readers")),
        false => Ok(()),
    }
}

fn carries_value(value: &SecretBytes) -> Result<(), CopyError> {
    let bytes = value.expose();
    if bytes.is_empty() {
        return Err(not_carried("it is empty"));
    }
    if bytes.first().is_some_and(|byte| blank(*byte)) || bytes.last().is_some_and(|byte| blank(*byte)) {
        return Err(not_carried("white space at its ends is cut off by some readers"));
    }
    Ok(())
}

/// What `strip` in Python takes off: vertical tab and the four separators too.
fn blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || (0x1c..=0x1f).contains(&byte)
}

fn value(file: &[u8]) -> &[u8] {
    match file.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => file,
    }
}

fn not_carried(why: &'static str) -> CopyError {
    CopyError::NotCarried { slot: Slot::Whole.to_string(), why }
}
