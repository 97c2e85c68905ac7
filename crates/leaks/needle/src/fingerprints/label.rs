use std::fmt;

/// The longest name in bytes.
pub const FINGERPRINT_NAME_BYTES_MAX: usize = 256;

/// The state of a version; the words of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FingerprintState {
    /// Not used yet.
    Pending,
    /// In use.
    Current,
    /// Replaced, but still accepted.
    Previous,
    /// No longer valid; finding it is a dead leak.
    Retired,
}

impl FingerprintState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Current, Self::Previous, Self::Retired];

    /// The word in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for FingerprintState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a finding says about the value. Written to the file in clear text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FingerprintLabel {
    /// The secret's name: 1 to [`FINGERPRINT_NAME_BYTES_MAX`] bytes, no control characters, no blank at either end.
    pub name: String,
    /// The number of the version.
    pub version: u64,
    /// The state of the version.
    pub state: FingerprintState,
}

impl FingerprintLabel {
    /// Whether the name can be written to the file.
    pub(crate) fn is_valid(&self) -> bool {
        let name = &self.name;
        (1..=FINGERPRINT_NAME_BYTES_MAX).contains(&name.len())
            && name.trim() == name
            && !name.contains(char::is_control)
    }
}
