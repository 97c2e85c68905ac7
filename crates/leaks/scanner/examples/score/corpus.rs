//! The templates: realistic files, with slots in place of values.

use std::fs;
use std::path::{Path, PathBuf};

/// The mark before a file's name, on its own line; the file's text goes up to the next such line.
const FILE_MARK: &str = "▶ ";

/// The prefix of bundles that belong to the part *held* as a whole.
const HELD: &str = "held";

/// A file with slots.
pub struct Template {
    /// Its path in the filled corpus.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether it belongs to the part *held*.
    held: bool,
}

/// Which templates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Every one.
    All,
    /// The part that the scanner is tuned with.
    Tuned,
    /// The part for measuring: one file in three, and every file of a bundle that is held as a whole.
    Held,
}

impl Template {
    /// Whether it belongs to a part. Its name, or that of its bundle, decides.
    pub fn is_in(&self, part: Part) -> bool {
        match part {
            Part::All => true,
            Part::Tuned => !self.held,
            Part::Held => self.held,
        }
    }
}

/// Every template of a folder of bundles, in order.
pub fn templates(folder: &Path) -> Vec<Template> {
    let mut bundles: Vec<_> =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    bundles.sort();
    let of = |bundle: &PathBuf| {
        let whole = bundle.file_name().is_some_and(|name| name.to_string_lossy().starts_with(HELD));
        let mut all = parts(&fs::read_to_string(bundle).expect("a bundle"));
        all.iter_mut().for_each(|one| one.held |= whole);
        all
    };
    bundles.iter().flat_map(of).collect()
}

/// One file of three, by its path.
fn is_held(path: &str) -> bool {
    path.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 3 == 0
}

/// The files of a bundle.
pub fn parts(bundle: &str) -> Vec<Template> {
    let mut all: Vec<Template> = Vec::new();
    for line in bundle.split_inclusive('\n') {
        match (line.strip_prefix(FILE_MARK), all.last_mut()) {
            (Some(path), _) => {
                let path = path.trim().to_owned();
                all.push(Template { held: is_held(&path), path, text: String::new() });
            }
            (None, Some(last)) => last.text.push_str(line),
            // The text before the first file describes the bundle.
            (None, None) => {}
        }
    }
    all
}
