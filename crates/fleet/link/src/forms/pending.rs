use std::sync::Arc;

use keyroll_port::{PendingChange, PendingChanges};
use keyroll_rotation::Difference;
use serde::{Deserialize, Serialize};

use super::limits::{FormError, all_sent, forms, list, sent, text, texts};

/// A pending change, by which it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceForm {
    /// The name. A host does not cut it: it compares it with its own again.
    pub name: String,
    /// A keyed digest of the change.
    pub digest: u64,
}

/// A pending change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChangeForm {
    /// Its name and digest.
    pub difference: DifferenceForm,
    /// What it is, for people.
    pub what: String,
    /// When the file was last changed, milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
}

/// The pending changes that restarts would activate, and what cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingForm {
    /// Each pending change once.
    pub live: Vec<PendingChangeForm>,
    /// What cannot be compared, and why.
    pub not_visible: Vec<String>,
}

impl From<&Difference> for DifferenceForm {
    fn from(difference: &Difference) -> Self {
        Self { name: difference.name.to_string(), digest: difference.digest }
    }
}

impl DifferenceForm {
    /// The change's name and digest.
    ///
    /// # Errors
    /// The name is too long.
    pub fn into_port(self) -> Result<Difference, FormError> {
        Ok(Difference { name: Arc::from(text(self.name)?), digest: self.digest })
    }
}

impl From<&PendingChange> for PendingChangeForm {
    fn from(change: &PendingChange) -> Self {
        let PendingChange { difference, what, since_unix_ms } = change;
        Self { difference: difference.into(), what: sent(what), since_unix_ms: *since_unix_ms }
    }
}

impl PendingChangeForm {
    /// The change.
    ///
    /// # Errors
    /// A text is too long.
    pub fn into_port(self) -> Result<PendingChange, FormError> {
        let Self { difference, what, since_unix_ms } = self;
        Ok(PendingChange { difference: difference.into_port()?, what: text(what)?, since_unix_ms })
    }
}

impl From<&PendingChanges> for PendingForm {
    fn from(changes: &PendingChanges) -> Self {
        Self { live: forms(&changes.live), not_visible: all_sent(&changes.not_visible) }
    }
}

impl PendingForm {
    /// The changes.
    ///
    /// # Errors
    /// A list or a text is too long.
    pub fn into_port(self) -> Result<PendingChanges, FormError> {
        let live = list(self.live, PendingChangeForm::into_port)?;
        Ok(PendingChanges { live, not_visible: texts(self.not_visible)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forms::TEXT_BYTES_MAX;

    #[test]
    fn pending_changes_are_read_as_they_were_written() {
        let name = |bytes: usize| "x".repeat(bytes);
        let change = |name: String| PendingChange {
            difference: Difference { name: name.into(), digest: u64::MAX },
            what: "LOG_LEVEL in /srv/api.env differs from what is running".to_owned(),
            since_unix_ms: Some(1_764_000_000_000),
        };
        // A name that is accepted must be the host's own name for the change.
        let live = vec![change("api:LOG_LEVEL".to_owned()), change(name(TEXT_BYTES_MAX))];
        let form =
            PendingForm::from(&PendingChanges { live: live.clone(), not_visible: vec!["a: b".to_owned()] });
        let written = serde_json::to_string(&form).unwrap();
        let read = serde_json::from_str::<PendingForm>(&written).unwrap().into_port().unwrap();
        assert_eq!(read.live, live);
        assert_eq!(read.not_visible, ["a: b"]);
        let long = PendingChangeForm::from(&change(name(TEXT_BYTES_MAX + 1)));
        assert_eq!(long.into_port(), Err(FormError::TooLong));
    }
}
