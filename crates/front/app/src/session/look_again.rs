//! The command that looks again at what uses the key of a secret, for who has named something that was not found.

use super::append_offline::opened_own;
use crate::places::Places;
use crate::records::next_words::looks_again;
use crate::records::recorded::Opened;

/// In the open rotation of a secret. Where none is open, or it cannot be read, a plan looks.
pub(super) fn look_again(secret: &str, places: &Places) -> String {
    match opened_own(secret, places) {
        Ok(Some(opened)) => look_again_in(&opened),
        Ok(None) | Err(_) => {
            format!("keyroll plan {secret} inspects and names the processes and copies that use the key")
        }
    }
}

/// In this rotation.
pub(super) fn look_again_in(opened: &Opened) -> String {
    looks_again(&opened.id.0, &opened.saved.secret, &opened.state)
}
