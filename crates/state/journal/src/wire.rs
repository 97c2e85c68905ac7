//! The persisted forms of events and openings; each version stays readable for ever.

pub(crate) mod v1;

/// Why stored bytes are not what this version can read; nothing of a value is ever in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A newer version wrote them.
    #[error("the entry has form {0}, which this version of keyroll does not read")]
    Version(u32),
    /// A rotation that was opened by a newer protocol: what its entries mean is not known here.
    #[error("it was opened by keyroll {keyroll}, whose protocol {number} this version does not know")]
    Protocol {
        /// Its protocol.
        number: u32,
        /// The version of keyroll that opened it.
        keyroll: String,
    },
    /// Not JSON of this form: a missing or unknown field, a word that does not exist.
    #[error("the entry is not of its form")]
    Malformed(#[source] serde_json::Error),
    /// A number outside its range.
    #[error("the entry holds {0}")]
    Unsound(&'static str),
}
