//! Which parts of a night a change touched, from git's list of changed files and Cargo's graph of crates.

use std::collections::BTreeSet;

use crate::night::{PARTS, Part};
use crate::run::output;
use crate::tidy::storeys::Graph;

/// The branches that a change is compared with, unless the command names a commit; the first that exists.
const MAIN: [&str; 2] = ["origin/main", "main"];

/// Prints the parts whose rooms, or a room that those import, changed since `base`.
pub(crate) fn print(base: Option<&str>) -> Result<(), String> {
    let changed = changed_files(base)?;
    let graph = Graph::read()?;
    let mut names = Vec::new();
    for part in &PARTS {
        if let Some(file) = changed.iter().find(|file| touches(file, part, &graph)) {
            println!("{:<18} {} ({file})", part.name, part.what);
            names.push(part.name);
        }
    }
    if names.is_empty() {
        println!("no part: {} changed files are in none of their rooms", changed.len());
    } else {
        println!("to run them: cargo xtask test --full {}", names.join(" "));
    }
    Ok(())
}

/// The files that differ from where this branch left `base`, committed or not; of a renamed file both names.
fn changed_files(base: Option<&str>) -> Result<BTreeSet<String>, String> {
    let since = match base {
        Some(base) => output("git", &["merge-base", "HEAD", base])?,
        None => MAIN
            .iter()
            .find_map(|base| output("git", &["merge-base", "HEAD", base]).ok())
            .ok_or("there is no branch main; name a commit: cargo xtask test --touched COMMIT")?,
    };
    let changed = output("git", &["diff", "--name-only", "--no-renames", "-z", since.trim()])?;
    let new = output("git", &["ls-files", "--others", "--exclude-standard", "-z"])?;
    Ok(changed
        .split('\0')
        .chain(new.split('\0'))
        .filter(|file| !file.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Whether a file is one of the part's, or in one of its rooms, or in a room that one of them imports.
fn touches(file: &str, part: &Part, graph: &Graph) -> bool {
    if part.files().any(|beginning| file.starts_with(&beginning)) {
        return true;
    }
    graph.room_of(file).is_some_and(|room| part.rooms().any(|wanted| graph.reaches(wanted, &room)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_touched_by_its_files_its_rooms_and_what_they_import() {
        let graph = Graph::read().unwrap();
        let touched = |file: &str| -> Vec<&str> {
            PARTS.iter().filter(|part| touches(file, part, &graph)).map(|part| part.name).collect()
        };
        assert!(touched("Cargo.lock").contains(&"licences") && touched("Cargo.lock").contains(&"servers"));
        assert_eq!(touched("deny.toml"), ["licences"]);
        assert!(touched("crates/issuers/logins/src/redis.rs").contains(&"servers"));
        assert!(!touched("crates/issuers/logins/src/redis.rs").contains(&"disk"));
        assert!(touched("crates/front/cli/tests/matrix/rows.rs").contains(&"managers"));
        // `logins` imports `port`.
        assert!(touched("crates/core/port/src/issuer.rs").contains(&"servers"));
        // Whatever drives a rotation touches the parts that kill it.
        for file in ["crates/core/engine/src/run.rs", "crates/front/app/src/session/drive.rs"] {
            assert!(touched(file).contains(&"kill") && touched(file).contains(&"aimed"), "{file}");
        }
        assert!(touched("README.md").is_empty());
        let scanner = touched("crates/leaks/scanner/src/lib.rs");
        let clusters = ["kubernetes", "kubernetes-rotate", "kubernetes-served"];
        assert_eq!(scanner, [&clusters[..], &["served", "debian", "discovery", "fleet", "leaks"]].concat());
        assert_eq!(touched("crates/front/cli/tests/kubernetes/served_pod.rs"), ["kubernetes-served"]);
    }

    #[test]
    fn every_room_that_a_part_names_is_one() {
        let graph = Graph::read().unwrap();
        for part in &PARTS {
            for room in part.rooms() {
                assert!(graph.reaches(room, room), "{}: {room}", part.name);
            }
        }
    }
}
