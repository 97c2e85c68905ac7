use keyroll_history::{Blob, ObjectKind};

use crate::history::git_names::short;
use crate::{Finding, FindingPlace, Position};

/// The longest tag name that is shown, characters.
const TAG_CHARS_MAX: usize = 100;

/// The header line with a tag's name.
const TAG: &str = "tag ";

/// The header of a commit or tag, which git wrote; its message has its own line numbers.
pub(crate) struct Message {
    /// Lines of the header, with the empty line after it.
    head_lines: u64,
    /// The name of the tag: no commit contains a tag object.
    tag: Option<String>,
}

/// Whether an object has a message.
pub(crate) fn is_message(blob: &Blob<'_>) -> bool {
    matches!(blob.kind, ObjectKind::Commit | ObjectKind::Tag)
}

/// Reports a finding in a tag as the tag's, without a commit.
pub(crate) fn of_tag(mut one: Finding) -> Finding {
    if one.place.path.is_none() && one.place.inside.first().is_some_and(|first| first.starts_with(TAG)) {
        one.place.source = Some(one.place.inside.remove(0));
        one.place.commit = None;
    }
    one
}

impl Message {
    /// `None` for an object without a message.
    pub(crate) fn of(blob: &Blob<'_>) -> Option<Self> {
        if !is_message(blob) {
            return None;
        }
        let end = memchr::memmem::find(blob.bytes, b"\n\n").map_or(blob.bytes.len(), |at| at + 2);
        let head = blob.bytes.get(..end).unwrap_or_default();
        let head_lines = memchr::memchr_iter(b'\n', head).count() as u64;
        let tag = (blob.kind == ObjectKind::Tag).then(|| {
            let name = head.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(TAG.as_bytes()));
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            let name: String = name.chars().take(TAG_CHARS_MAX).collect();
            format!("{TAG}{name} ({})", short(&blob.id.to_string()))
        });
        Some(Self { head_lines, tag })
    }

    /// The part of the object with this range, and the range in it. Lines of the header are counted as they are.
    fn part(&self, start: Position, end: Position) -> (&'static str, Position, Position) {
        let moved = |at: Position| Position { line: at.line.saturating_sub(self.head_lines), ..at };
        match start.line > self.head_lines {
            true => ("message", moved(start), moved(end)),
            false => ("head", start, end),
        }
    }

    /// Converts the location of a finding in the object.
    pub(crate) fn tell(&self, place: &mut FindingPlace) {
        let (part, start, end) = self.part(place.start, place.end);
        // Packed content has its own line numbers.
        if place.inside.is_empty() {
            (place.start, place.end) = (start, end);
        }
        place.inside.splice(0..0, self.tag.iter().cloned().chain([part.to_owned()]));
    }
}
