use keyroll_secret::SecretBytes;

use crate::spot::{Spelling, Spot};

/// The value: all bytes except one line end at the end.
pub(crate) fn spot(file: &[u8]) -> Spot {
    let value = match file.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => file,
    };
    Spot::new(0..value.len(), Ok(SecretBytes::new(value.to_vec())), WholeFile)
}

/// The bytes as they are.
struct WholeFile;

impl Spelling for WholeFile {
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let bytes = new.expose();
        if bytes.is_empty() {
            return Err("it is empty");
        }
        if bytes.first().is_some_and(|byte| blank(*byte)) || bytes.last().is_some_and(|byte| blank(*byte)) {
            return Err("white space at its ends is cut off by some readers");
        }
        Ok(new.duplicate())
    }

    /// White space at an end of the value is refused: some readers strip it, others do not.
    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        match alphabet.iter().any(|byte| blank(*byte)) {
            true => Err("white space at its ends is cut off by some readers"),
            false => Ok(()),
        }
    }
}

/// The bytes that Python's `strip` removes, including the vertical tab and the four separators.
fn blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || (0x1c..=0x1f).contains(&byte)
}
