//! The file that a copy belongs to: its project, and the original of a leftover.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Files that mark the root folder of a project.
const PROJECT_MARKS: [&str; 6] =
    [".git", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml", "openclaw.json"];

/// Folders that contain many projects, even if they are repositories themselves.
const NO_PROJECTS: [&str; 9] =
    ["/", "/etc", "/home", "/root", "/srv", "/opt", "/var", "/var/lib", "/usr/local/etc"];

/// What people and programs append to the name of a file when they keep an old version. A number or a date may follow
/// and, if the name had an extension before, words: `.bak.1`, `.dpkg-old`.
const LEFTOVER_MARKS: [&str; 12] = [
    ".bak",
    ".backup",
    ".old",
    ".orig",
    ".save",
    ".saved",
    ".last-good",
    ".migrated",
    ".copy",
    ".dpkg",
    ".rpmsave",
    "~",
];

/// The fewest digits of a date after a file name: `api.env.20251104`.
const DATE_DIGITS_MIN: usize = 8;

/// How many parents are searched for a project's folder.
const PARENTS_MAX: usize = 16;

/// Projects of files; each folder is inspected once.
#[derive(Default)]
pub(crate) struct Projects {
    known: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Projects {
    /// The folder of the project that a file belongs to, if it belongs to one.
    pub(crate) fn of(&mut self, file: &Path) -> Option<PathBuf> {
        self.around(file.parent()?, PARENTS_MAX)
    }

    /// The project that contains a folder, or begins in it.
    fn around(&mut self, folder: &Path, parents_max: usize) -> Option<PathBuf> {
        if parents_max == 0 || !holds_one(folder) {
            return None;
        }
        if let Some(known) = self.known.get(folder) {
            return known.clone();
        }
        let begins = PROJECT_MARKS.iter().any(|mark| folder.join(mark).exists());
        let found = match begins {
            true => Some(folder.to_owned()),
            false => self.around(folder.parent()?, parents_max - 1),
        };
        self.known.insert(folder.to_owned(), found.clone());
        found
    }
}

fn holds_one(folder: &Path) -> bool {
    let home = folder.parent() == Some(Path::new("/home"));
    !home && !NO_PROJECTS.iter().any(|many| folder == Path::new(many))
}

/// The original of a leftover, by its name: `api.env` for `api.env.bak.1` and for `api.env~`.
pub(crate) fn leftover_of(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.as_bytes();
    let mut left = name;
    while let Some(shorter) = shortened(left) {
        left = shorter;
    }
    (left.len() < name.len()).then(|| file.with_file_name(OsStr::from_bytes(left)))
}

/// Whether a file is, by its name, a backup or another leftover.
pub fn is_left_behind(file: &Path) -> bool {
    leftover_of(file).is_some()
}

/// Whether a name has a mark of old versions; a date alone does not count, because logs have dates too.
pub(crate) fn is_marked(name: &str) -> bool {
    without_mark(name).is_some()
}

fn shortened(name: &[u8]) -> Option<&[u8]> {
    let text = std::str::from_utf8(name).ok()?;
    let date = || {
        let before = text.trim_end_matches(of_date);
        let digits = text.get(before.len()..)?.bytes().filter(u8::is_ascii_digit).count();
        (digits >= DATE_DIGITS_MIN).then(|| before.strip_suffix('.').unwrap_or(before))
    };
    without_mark(text).or_else(date).filter(|before| !before.is_empty()).map(str::as_bytes)
}

/// The part of a name before the mark, if there is one.
fn without_mark(name: &str) -> Option<&str> {
    let small = name.to_ascii_lowercase();
    let before = |mark: &&str| {
        let at = small.rfind(mark).filter(|at| *at > 0)?;
        let (before, behind) = (name.get(..at)?, name.get(at + mark.len()..)?);
        let words = behind.starts_with(['-', '_']) && !behind.contains('.') && before.contains('.');
        let number = behind.strip_prefix('.').unwrap_or(behind).chars().all(of_date);
        (number || words).then_some(before)
    };
    LEFTOVER_MARKS.iter().filter_map(before).min_by_key(|before| before.len())
}

fn of_date(letter: char) -> bool {
    letter.is_ascii_digit() || matches!(letter, '-' | '_' | 'T' | ':')
}

/// Whether the last of several lines with one name wins in this file.
pub(crate) fn later_wins(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.split('.').any(|part| matches!(part, "env" | "envrc" | "environment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_known_by_their_names() {
        for (name, of) in [
            ("api.env.bak", Some("api.env")),
            ("api.env.bak.1", Some("api.env")),
            (".env~", Some(".env")),
            ("openclaw.json.last-good", Some("openclaw.json")),
            ("api.env.2025-11-04", Some("api.env")),
            ("api.env.20251104T1200", Some("api.env")),
            ("api.env.bak-20251104", Some("api.env")),
            ("app.conf.dpkg-old", Some("app.conf")),
            ("config.json.Backup-before_move", Some("config.json")),
            ("auth.json.migrated-1762214400000", Some("auth.json")),
            ("x.yml.rpmsave", Some("x.yml")),
            ("my.backup-service", None),
            ("app.old.env", None),
            ("a~b", None),
            (".env.2", None),
            (".env.production", None),
            ("~", None),
            (".bak", None),
        ] {
            let wanted = of.map(|of| Path::new("/srv").join(of));
            assert_eq!(leftover_of(&Path::new("/srv").join(name)), wanted, "{name}");
        }
    }

    #[test]
    fn a_project_is_the_nearest_folder_with_a_manifest_and_no_folder_of_many() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("shop/api");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(dir.path().join("shop/compose.yaml"), "").unwrap();
        let of = |path: &Path| Projects::default().of(path);
        assert_eq!(of(&inner.join(".env")), Some(dir.path().join("shop")));
        assert_eq!(of(&dir.path().join(".env")), None);
        assert!(!holds_one(Path::new("/etc")) && !holds_one(Path::new("/home/anna")));
    }
}
