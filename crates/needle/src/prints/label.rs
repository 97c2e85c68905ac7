use std::fmt;

/// The longest name in bytes.
pub const PRINT_NAME_BYTES_MAX: usize = 256;

/// Where a version stands in its life; the words of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrintState {
    /// Not used yet.
    Pending,
    /// In use.
    Current,
    /// Still accepted, for those who have not got the current one.
    Previous,
    /// Dead: found again it is a dead leak.
    Retired,
}

impl PrintState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Current, Self::Previous, Self::Retired];

    /// The word for it.
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

impl fmt::Display for PrintState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is told when a value is found. Stands in the file as it is: whoever has the file reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrintLabel {
    /// The secret's name: 1 to [`PRINT_NAME_BYTES_MAX`] bytes, no control characters, no blank at either end.
    pub name: String,
    /// The number of the version.
    pub version: u64,
    /// Where the version stands.
    pub state: PrintState,
}

impl PrintLabel {
    /// Whether the name can stand in a line of the file.
    pub(crate) fn is_valid(&self) -> bool {
        let name = &self.name;
        (1..=PRINT_NAME_BYTES_MAX).contains(&name.len())
            && name.trim() == name
            && !name.contains(char::is_control)
    }
}
