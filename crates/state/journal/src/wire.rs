//! The persisted forms of events and openings; each version stays readable for ever.

pub(crate) mod v1;

/// Why this version cannot read stored bytes; never contains a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A newer version wrote them.
    #[error("the entry has form {0}, which this version of keyroll does not read")]
    Version(u32),
    /// A newer protocol opened the rotation: this version does not know the meaning of its entries.
    #[error("it was opened by keyroll {keyroll}, whose protocol {number} this version does not know")]
    Protocol {
        /// Its protocol.
        number: u32,
        /// The version of keyroll that opened it.
        keyroll: String,
    },
    /// Not JSON of this form: a missing or unknown field, or an unknown word.
    #[error("the entry is not of its form")]
    Malformed(#[source] serde_json::Error),
    /// A number outside its range.
    #[error("the entry holds {0}")]
    Unsound(&'static str),
}
