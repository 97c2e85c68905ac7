use std::path::Path;

use keyroll_leak::{FileFormat, Table, TextKind, has_line_reader, one_value, reading_of};

/// A text with a NUL in its first bytes is binary.
const BINARY_BYTES: usize = 8 << 10;

/// How a text is searched by names, according to its beginning.
#[derive(PartialEq, Eq)]
pub(crate) struct TextReading {
    pub(crate) within: TextKind,
    /// The table in the text.
    pub(crate) table: Option<Table>,
    /// The format of its lines, if its name tells one.
    pub(crate) format: Option<FileFormat>,
}

/// How a text is read, by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedReading {
    pub(crate) kind: TextKind,
    pub(crate) format: Option<FileFormat>,
}

impl NamedReading {
    /// Text without a name, such as what is piped in, is read as settings.
    pub(crate) const NAMELESS: Self = Self { kind: TextKind::Settings, format: None };

    pub(crate) fn of(path: &Path) -> Self {
        let (kind, format) = reading_of(path);
        Self { kind, format: format.filter(|format| has_line_reader(*format)) }
    }
}

impl TextReading {
    /// Decides by the beginning of a text; `None` for binary data.
    pub(crate) fn of(text: &[u8], within: TextKind) -> Option<Self> {
        let first = text.get(..BINARY_BYTES).unwrap_or(text);
        memchr::memchr(0, first).is_none().then(|| Self { within, table: Table::of(text), format: None })
    }

    /// Does the same for text under a name: if it is the name of a secret, all of the text may be one.
    pub(crate) fn under(name: Option<&str>, text: &[u8], known: NamedReading) -> Option<Self> {
        let reading = Self::of(text, known.kind)?;
        let table = name.and_then(Table::of_cell).or(reading.table);
        // A cell of a table is no file.
        let (within, format) = match known.format.filter(|_| name.is_none()) {
            // A file with the name of a secret is one only if there is nothing else in it.
            Some(FileFormat::Whole) if one_value(text).is_none() => (reading.within, None),
            Some(FileFormat::Whole) => (TextKind::Settings, Some(FileFormat::Whole)),
            format => (reading.within, format),
        };
        Some(Self { within, table, format })
    }
}
