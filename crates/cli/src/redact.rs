use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use keyroll_secret::SecretBytes;

/// A shorter value would tear every message apart; values so short are refused by issuers anyway.
const REDACTED_BYTES_MIN: usize = 4;

/// The values that this process took in.
static KNOWN: Mutex<Vec<SecretBytes>> = Mutex::new(Vec::new());

/// From here on this value is cut out of everything that is printed: the last net, not the first.
pub(crate) fn remember(value: &SecretBytes) {
    if value.len() >= REDACTED_BYTES_MIN {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).push(value.duplicate());
    }
}

/// The text without any value that is known. Everything that is printed passes through here.
pub(crate) fn pass(text: &str) -> Cow<'_, str> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = Cow::Borrowed(text);
    for value in known.iter() {
        // A value that is not text cannot be inside of text.
        if let Ok(value) = std::str::from_utf8(value.expose())
            && out.contains(value)
        {
            out = Cow::Owned(out.replace(value, "[redacted]"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_value_is_cut_out() {
        let value = format!("v-{}", std::process::id());
        remember(&SecretBytes::from(value.clone()));
        assert_eq!(pass(&format!("a {value} b {value}")), "a [redacted] b [redacted]");
        assert_eq!(pass("plain"), "plain");
    }
}
