use keyroll_secret::SecretBytes;

use crate::spot::{Spot, Style};

/// The value: all bytes but for one line end behind them.
pub(crate) fn spot(file: &[u8]) -> Spot {
    let value = match file.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => file,
    };
    Spot { span: 0..value.len(), value: Ok(SecretBytes::new(value.to_vec())), style: Style::Whole }
}

/// White space could stand at an end of the value, where readers cut it off or do not.
pub(crate) fn carries(alphabet: &[u8]) -> Result<(), &'static str> {
    match alphabet.iter().any(|byte| blank(*byte)) {
        true => Err("white space at its ends is cut off by some readers"),
        false => Ok(()),
    }
}

pub(crate) fn spell(value: &SecretBytes) -> Result<SecretBytes, &'static str> {
    let bytes = value.expose();
    if bytes.is_empty() {
        return Err("it is empty");
    }
    if bytes.first().is_some_and(|byte| blank(*byte)) || bytes.last().is_some_and(|byte| blank(*byte)) {
        return Err("white space at its ends is cut off by some readers");
    }
    Ok(value.duplicate())
}

/// What `strip` in Python takes off: vertical tab and the four separators too.
fn blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || (0x1c..=0x1f).contains(&byte)
}
