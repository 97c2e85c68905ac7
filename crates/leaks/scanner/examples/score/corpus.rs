//! The templates: files as people have them, with slots where values stand.

use std::fs;
use std::path::{Path, PathBuf};

/// What stands before the name of a file, in a line of its own; up to the next such line it is that file.
const FILE_MARK: &str = "▶ ";

/// How the names of bundles begin that are held as a whole.
const HELD: &str = "held";

/// A file with slots.
pub struct Template {
    /// Its path in the filled corpus.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether it is of the part that only measures.
    held: bool,
}

/// Which templates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Every one.
    All,
    /// What the scanner may be changed by.
    Tuned,
    /// What it is measured by: one of three, and every file of a bundle that is held as a whole.
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
            // What stands before the first file says what the bundle is.
            (None, None) => {}
        }
    }
    all
}
