use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::path::resolve;
use crate::period::{read_period_within, read_unit};
use crate::shape::SearchShape;

/// How much memory of one process is searched by default: 4 GiB.
const MEMORY_DEFAULT: u64 = 4 << 30;
/// A smaller limit would leave out ordinary services.
const MEMORY_MIN: u64 = 64 << 20;
/// More than a machine has.
const MEMORY_MAX: u64 = 1 << 40;
/// How long one search of all processes may take by default.
const TIME_DEFAULT: Duration = Duration::from_secs(60);
/// A shorter time would leave out most of the memory.
const TIME_MIN: Duration = Duration::from_secs(10);
/// An inspection of a machine, of which the search is a part, may take ten minutes.
const TIME_MAX: Duration = Duration::from_secs(480);

const UNITS: [(&str, u64); 3] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)];

/// Where keyroll searches for values, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// More places to search by value, absolute.
    pub roots: Vec<PathBuf>,
    /// How much memory of one process is searched, bytes.
    pub memory_bytes_max: u64,
    /// How long one search of all processes may take.
    pub time_max: Duration,
}

impl Default for Search {
    fn default() -> Self {
        Self { roots: Vec::new(), memory_bytes_max: MEMORY_DEFAULT, time_max: TIME_DEFAULT }
    }
}

impl Search {
    pub(crate) fn build(shape: &SearchShape, folder: &Path, all: &mut Mistakes) -> Read<Self> {
        let roots = all.note_all(shape.roots.iter().map(|root| resolve(folder, "search.roots", root)));
        let memory_bytes_max = all.note(memory(shape.max_memory.as_ref()));
        let deadline = shape.deadline.as_ref();
        let time_max = read_period_within("search.deadline", deadline, TIME_DEFAULT, TIME_MIN..=TIME_MAX);
        let time_max = all.note(time_max);
        Some(Self { roots: roots?, memory_bytes_max: memory_bytes_max?, time_max: time_max? })
    }
}

fn memory(text: Option<&At<String>>) -> Result<u64, Mistake> {
    let Some(text) = text else { return Ok(MEMORY_DEFAULT) };
    let read = size(&text.value).filter(|bytes| (MEMORY_MIN..=MEMORY_MAX).contains(bytes));
    read.ok_or_else(|| {
        Mistake::new(Kind::WrongForm, "`search.max_memory` is not a size from 64MiB to 1TiB")
            .at(&text.span)
            .help("write a whole number and a unit: 512MiB, 16GiB")
    })
}

/// Reads `512MiB`, `16GiB` or `1TiB`.
fn size(text: &str) -> Option<u64> {
    read_unit(text, &UNITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!(size("64MiB"), Some(MEMORY_MIN));
        assert_eq!([size("16GiB"), size("1TiB")], [Some(16 << 30), Some(MEMORY_MAX)]);
        for bad in ["", "4", "GiB", "4GB", "4gib", "-4GiB", "1.5GiB", "4 GiB", "99999999999TiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
