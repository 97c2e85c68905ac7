//! The templates: files as people have them, with slots where values stand.

use std::fs;
use std::path::Path;

/// What stands before the name of a file, in a line of its own; up to the next such line it is that file.
const FILE_MARK: &str = "▶ ";

/// A file with slots.
pub struct Template {
    /// Its path in the filled corpus.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Which templates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Every one.
    All,
    /// Two of three: what the scanner may be changed by.
    Tuned,
    /// One of three: what it is measured by.
    Held,
}

impl Template {
    /// Whether it belongs to a part. Its name alone decides.
    pub fn is_in(&self, part: Part) -> bool {
        let held =
            self.path.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 3
                == 0;
        match part {
            Part::All => true,
            Part::Tuned => !held,
            Part::Held => held,
        }
    }
}

/// Every template of a folder of bundles, in order.
pub fn templates(folder: &Path) -> Vec<Template> {
    let mut bundles: Vec<_> =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    bundles.sort();
    bundles.iter().flat_map(|bundle| parts(&fs::read_to_string(bundle).expect("a bundle"))).collect()
}

/// The files of a bundle.
pub fn parts(bundle: &str) -> Vec<Template> {
    let mut all: Vec<Template> = Vec::new();
    for line in bundle.split_inclusive('\n') {
        match (line.strip_prefix(FILE_MARK), all.last_mut()) {
            (Some(path), _) => all.push(Template { path: path.trim().to_owned(), text: String::new() }),
            (None, Some(last)) => last.text.push_str(line),
            // What stands before the first file says what the bundle is.
            (None, None) => {}
        }
    }
    all
}
