use crate::Position;

/// Counts lines and characters of a text in pieces.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    at: Position,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { at: Position { line: 1, column: 1 } }
    }

    /// The position of the next byte.
    pub(crate) fn position(self) -> Position {
        self.at
    }

    /// A position that was counted from here.
    pub(crate) fn further(self, at: Position) -> Position {
        let column = if at.line > 1 { at.column } else { self.at.column + at.column - 1 };
        Position { line: self.at.line + at.line - 1, column }
    }

    /// Moves past a text that was counted by itself.
    pub(crate) fn add(&mut self, other: Self) {
        self.at = self.further(other.at);
    }

    /// Moves past these bytes.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        let ends = memchr::memchr_iter(b'\n', bytes).count();
        let last = memchr::memrchr(b'\n', bytes).map_or(0, |last| last + 1);
        if ends > 0 {
            self.at.line += ends as u64;
            self.at.column = 1;
        }
        let rest = bytes.get(last..).unwrap_or_default();
        // Counts characters; of invalid UTF-8 the bytes that can begin one.
        self.at.column += rest.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let mut lines = Lines::new();
        lines.pass("né".as_bytes());
        assert_eq!(lines.position(), Position { line: 1, column: 3 });
        lines.pass("\n\nxé".as_bytes());
        assert_eq!(lines.position(), Position { line: 3, column: 3 });
    }
}
