use keyroll_leak::{Table, TextKind};

/// A text with a NUL in its first bytes is binary.
const BINARY_BYTES: usize = 8 << 10;

/// How a text is searched by names, according to its beginning.
#[derive(PartialEq, Eq)]
pub(crate) struct TextReading {
    pub(crate) within: TextKind,
    /// The table in the text.
    pub(crate) table: Option<Table>,
}

impl TextReading {
    /// Decides by the beginning of a text; `None` for binary data.
    pub(crate) fn of(text: &[u8], within: TextKind) -> Option<Self> {
        let first = text.get(..BINARY_BYTES).unwrap_or(text);
        memchr::memchr(0, first).is_none().then(|| Self { within, table: Table::of(text) })
    }

    /// Does the same for text under a name: if it is the name of a secret, all of the text may be one.
    pub(crate) fn under(name: Option<&str>, text: &[u8], within: TextKind) -> Option<Self> {
        let reading = Self::of(text, within)?;
        Some(Self { table: name.and_then(Table::of_cell).or(reading.table), ..reading })
    }
}
