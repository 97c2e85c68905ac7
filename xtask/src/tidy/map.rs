//! Paths in documents: each must exist, so that a reader can follow it.

use std::fs;
use std::path::Path;

use crate::run::root;

/// The documents whose paths are checked.
const DOCUMENTS: [&str; 6] =
    ["ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md", "SECURITY.md", "README.md", "docs/design/house.md"];

/// Folders of the repository that a path may begin with.
const FOLDERS: [&str; 7] = ["crates/", "xtask/", "docs/", "issuers/", "rules/", "fuzz/", ".ci/"];

/// Names each path in these documents that does not exist.
pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    let rooms = rooms();
    for document in DOCUMENTS {
        let path = root().join(document);
        let text = fs::read_to_string(&path).map_err(|error| format!("{document}: {error}"))?;
        for named in paths(&text) {
            for one in expanded(&named) {
                if !exists(&one, &rooms) {
                    wrong.push(format!("{document}: there is no `{one}`"));
                }
            }
        }
    }
    Ok(())
}

/// The rooms' names with their folders, relative to the root.
fn rooms() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let storeys = fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    for storey in storeys.map(|entry| entry.path()) {
        for room in fs::read_dir(&storey).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let Some(name) = room.file_name().and_then(|name| name.to_str()) else { continue };
            if let Ok(folder) = room.strip_prefix(root())
                && room.join("Cargo.toml").is_file()
            {
                found.push((name.to_owned(), folder.display().to_string()));
            }
        }
    }
    found
}

/// Paths between backticks: they begin with a folder of the repository, or end with `.rs`.
fn paths(text: &str) -> Vec<String> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_path = |word: &&str| {
        let known = FOLDERS.iter().any(|folder| word.starts_with(folder));
        !word.contains([' ', '*', '…']) && (known || (word.ends_with(".rs") && word.contains('/')))
    };
    quoted.filter(is_path).map(str::to_owned).collect()
}

/// `a/{b,c}.rs` is two paths.
fn expanded(path: &str) -> Vec<String> {
    match path.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?))) {
        Some((head, (all, tail))) => {
            all.split(',').flat_map(|one| expanded(&format!("{head}{one}{tail}"))).collect()
        }
        None => vec![path.to_owned()],
    }
}

/// Whether a path exists; `<name>` stands for any file, and a path may begin with a room's name and continue in its
/// `src`.
fn exists(path: &str, rooms: &[(String, String)]) -> bool {
    let path = match path.split_once('<') {
        Some((folder, _)) => folder.rsplit_once('/').map_or(folder, |(folder, _)| folder),
        None => path,
    };
    if root().join(path).exists() {
        return true;
    }
    let Some((room, rest)) = path.split_once('/') else { return false };
    let folder = rooms.iter().find(|(name, _)| name == room).map(|(_, folder)| folder);
    folder.is_some_and(|folder| {
        let folder = root().join(folder);
        [folder.join("src"), folder].iter().any(|base: &std::path::PathBuf| Path::join(base, rest).exists())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_between_backticks() {
        let text =
            "see `crates/core/{a,b}/x.rs`, `engine/run.rs`, `keyroll plan`, `step.rs` and `docs/errors`\n";
        assert_eq!(paths(text), ["crates/core/{a,b}/x.rs", "engine/run.rs", "docs/errors"]);
        assert_eq!(expanded("crates/core/{a,b}/x.rs"), ["crates/core/a/x.rs", "crates/core/b/x.rs"]);
    }

    #[test]
    fn a_path_may_begin_with_a_room() {
        let rooms = rooms();
        assert!(exists("engine/driver.rs", &rooms) && exists("crates/core/engine/src/driver.rs", &rooms));
        assert!(exists("rotation/phases/<phase>.rs", &rooms));
        assert!(!exists("engine/nowhere.rs", &rooms) && !exists("nowhere/driver.rs", &rooms));
    }
}
