use keyroll_leak::{Table, Text};

/// A text with a NUL among its first bytes is none that people read.
const BINARY_BYTES: usize = 8 << 10;

/// How a text that people read is read by names: what its beginning says of all of it.
#[derive(PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) within: Text,
    /// The table that it is.
    pub(crate) table: Option<Table>,
}

impl Reading {
    /// By how a text begins; none of what people do not read.
    pub(crate) fn of(text: &[u8], within: Text) -> Option<Self> {
        let first = text.get(..BINARY_BYTES).unwrap_or(text);
        memchr::memchr(0, first).is_none().then(|| Self { within, table: Table::of(text) })
    }

    /// The same of what stands under a name: where that is a secret's, all of it may be one.
    pub(crate) fn under(name: Option<&str>, text: &[u8], within: Text) -> Option<Self> {
        let reading = Self::of(text, within)?;
        Some(Self { table: name.and_then(Table::of_cell).or(reading.table), ..reading })
    }
}
