//! Copies in a configured file that `reads` does not name: another variable, a comment, a second line. A delivery does
//! not change them, so their readers would keep the old value.

use keyroll_copy::Before;
use keyroll_observe::Search;
use keyroll_port::Values;
use keyroll_secret::{Fields, SecretBytes};

use super::copies::edited;
use super::{FileSetup, Local};
use crate::read;

/// How many lines are named; of more, only the first ones.
const LINES_MAX: usize = 8;

impl Local {
    /// The lines of a configured file with the value that goes, outside the copies that `reads` names. Empty also if
    /// the file cannot be read or holds another party's value: that is reported elsewhere as the file's content.
    pub(super) fn unnamed_lines(
        &self,
        file: &FileSetup,
        values: Values<'_>,
        needles: &dyn Search,
        goes: u32,
    ) -> Vec<u64> {
        let Ok(content) = self.resolved(file).and_then(|resolved| read(&resolved)) else { return Vec::new() };
        let bytes = content.bytes.expose();
        let values = file.versions(values);
        let versions = std::iter::once(values.old).chain(values.new);
        let mut named = None;
        for from in versions {
            let now = named.as_ref().map_or(bytes, SecretBytes::expose);
            // A list of logins may hold both versions.
            if let Ok(masked) = edited(&file.copies, now, from, &masked(from), Before::Stays) {
                named = Some(masked);
            }
        }
        let Some(masked) = named else { return Vec::new() };
        let mut offsets = Vec::new();
        needles.find(masked.expose(), &mut |id, start| {
            if id == goes {
                offsets.push(start);
            }
        });
        offsets.sort_unstable();
        let before = |offset: usize| masked.expose().get(..offset).unwrap_or_default();
        let breaks = |offset: usize| before(offset).iter().filter(|byte| **byte == b'\n').count();
        let mut lines: Vec<u64> = offsets.into_iter().map(|offset| breaks(offset) as u64 + 1).collect();
        lines.dedup();
        lines.truncate(LINES_MAX);
        lines
    }
}

/// The text for the operator: the file, and the lines in it.
pub(super) fn describe(path: &str, lines: &[u64]) -> String {
    let numbers: Vec<String> = lines.iter().map(u64::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    format!("{path} ({word} {}, beside what `reads` names)", numbers.join(", "))
}

/// The fields with every byte of a secret replaced by one that does not occur in it; line ends stay. Put into the
/// file's named copies, they leave only occurrences outside these copies to be found.
fn masked(fields: &Fields) -> Fields {
    let mut masked = Fields::new();
    for (name, field) in fields.iter() {
        let value = field.value.expose();
        let value = if field.secret {
            let letter = (b'a'..=b'z').find(|letter| !value.contains(letter)).unwrap_or(b'x');
            value.iter().map(|byte| if *byte == b'\n' { b'\n' } else { letter }).collect()
        } else {
            value.to_vec()
        };
        masked.insert(name, SecretBytes::new(value), field.secret);
    }
    masked
}
