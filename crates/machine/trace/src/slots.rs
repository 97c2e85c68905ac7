//! The file that a copy belongs to: its project, and the original of a leftover.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_leak::original_name;

/// Files that mark the root folder of a project.
const PROJECT_MARKS: [&str; 6] =
    [".git", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml", "openclaw.json"];

/// Folders that contain many projects, even if they are repositories themselves.
const NO_PROJECTS: [&str; 9] =
    ["/", "/etc", "/home", "/root", "/srv", "/opt", "/var", "/var/lib", "/usr/local/etc"];

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
    let name = file.file_name()?.to_str()?;
    let original = original_name(name);
    (original.len() < name.len()).then(|| file.with_file_name(original))
}

/// Whether a file is, by its name, a backup or another leftover.
pub fn is_left_behind(file: &Path) -> bool {
    leftover_of(file).is_some()
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
