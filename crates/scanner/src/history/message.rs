use keyroll_history::{Blob, Kind};

use crate::history::told::short;
use crate::{Finding, Place, Position};

/// The longest name of a tag that is told, letters.
const TAG_CHARS_MAX: usize = 100;

/// What begins the name of a tag.
const TAG: &str = "tag ";

/// What a commit or a tag is to people: a head that git wrote, and a message with lines of its own.
pub(crate) struct Message {
    /// Lines of the head, with the empty one behind it.
    head_lines: u64,
    /// Which tag it is of: it may be made anew, or taken away, without any commit.
    tag: Option<String>,
}

/// Whether an object has a message.
pub(crate) fn is_message(blob: &Blob<'_>) -> bool {
    matches!(blob.kind, Kind::Commit | Kind::Tag)
}

/// What was found in a tag is told as the tag's: no commit has it.
pub(crate) fn of_tag(mut one: Finding) -> Finding {
    if one.place.path.is_none() && one.place.inside.first().is_some_and(|first| first.starts_with(TAG)) {
        one.place.source = Some(one.place.inside.remove(0));
        one.place.commit = None;
    }
    one
}

impl Message {
    /// `None` of what has none.
    pub(crate) fn of(blob: &Blob<'_>) -> Option<Self> {
        if !is_message(blob) {
            return None;
        }
        let end = memchr::memmem::find(blob.bytes, b"\n\n").map_or(blob.bytes.len(), |at| at + 2);
        let head = blob.bytes.get(..end).unwrap_or_default();
        let head_lines = memchr::memchr_iter(b'\n', head).count() as u64;
        let tag = (blob.kind == Kind::Tag).then(|| {
            let name = head.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(TAG.as_bytes()));
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            let name: String = name.chars().take(TAG_CHARS_MAX).collect();
            format!("{TAG}{name} ({})", short(&blob.id.to_string()))
        });
        Some(Self { head_lines, tag })
    }

    /// In which of its parts a place stands, and where there; lines of the head are counted as they stand.
    fn part(&self, start: Position, end: Position) -> (&'static str, Position, Position) {
        let moved = |at: Position| Position { line: at.line.saturating_sub(self.head_lines), ..at };
        match start.line > self.head_lines {
            true => ("message", moved(start), moved(end)),
            false => ("head", start, end),
        }
    }

    /// Tells so what was found in it as in a file.
    pub(crate) fn tell(&self, place: &mut Place) {
        let (part, start, end) = self.part(place.start, place.end);
        // What is packed has lines of its own.
        if place.inside.is_empty() {
            (place.start, place.end) = (start, end);
        }
        place.inside.splice(0..0, self.tag.iter().cloned().chain([part.to_owned()]));
    }
}
