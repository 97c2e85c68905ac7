//! Which room imports which, from Cargo's own data: the direction between storeys, and the table in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::{output, root};

/// The storeys under `crates/`, from the bottom. A room imports only from its own storey and from those below it.
const STOREYS: [&str; 7] = ["core", "state", "leaks", "issuers", "machine", "fleet", "front"];

/// The room of real parts for tests: it belongs to no storey, and only tests may import it.
const TESTKIT: &str = "testkit";

/// The map of the tree.
const MAP: &str = "ARCHITECTURE.md";

/// The markers before and after the generated table.
const BEGIN: &str = "<!-- imports: written by `cargo xtask codegen` -->";
const END: &str = "<!-- end of imports -->";

/// One crate under `crates/`.
struct Room {
    name: String,
    /// Its index in `STOREYS`; `None` for the testkit.
    storey: Option<usize>,
    imports: BTreeSet<String>,
}

/// Which rooms import which, for other chores.
pub(crate) struct Graph(Vec<Room>);

impl Graph {
    /// Reads it from Cargo.
    pub(crate) fn read() -> Result<Self, String> {
        rooms().map(Self)
    }

    /// The room that a file of the tree is in.
    pub(crate) fn room_of(&self, file: &str) -> Option<String> {
        let mut folders = file.strip_prefix("crates/")?.split('/');
        let room = folders.find(|folder| self.0.iter().any(|room| room.name == *folder));
        room.map(str::to_owned)
    }

    /// Whether one room is another, or imports it, also through other rooms.
    pub(crate) fn reaches(&self, from: &str, to: &str) -> bool {
        let Some(room) = self.0.iter().find(|room| room.name == from) else { return false };
        from == to || room.imports.iter().any(|import| self.reaches(import, to))
    }
}

/// Names each import that leads upwards, and reports a table that is out of date.
pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    let rooms = rooms()?;
    wrong.extend(upward(&rooms));
    let map = read_map()?;
    if replaced(&map, &table(&rooms))? != map {
        wrong.push(format!("{MAP}: the table of imports is out of date; to write it: cargo xtask codegen"));
    }
    for room in &rooms {
        let rows = map.lines().filter(|line| line.starts_with(&format!("| `{}` |", room.name))).count();
        if rows != 1 {
            wrong.push(format!(
                "{MAP}: room `{}` has {rows} rows in the table of rooms, 1 is wanted",
                room.name
            ));
        }
    }
    Ok(())
}

/// Writes the table of imports into the map.
pub(crate) fn write() -> Result<(), String> {
    let text = replaced(&read_map()?, &table(&rooms()?))?;
    fs::write(root().join(MAP), text).map_err(|error| format!("{MAP}: {error}"))
}

fn read_map() -> Result<String, String> {
    fs::read_to_string(root().join(MAP)).map_err(|error| format!("{MAP}: {error}"))
}

fn rooms() -> Result<Vec<Room>, String> {
    let text = output("cargo", &["metadata", "--no-deps", "--format-version", "1", "--offline"])?;
    let data: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages =
        data.get("packages").and_then(Value::as_array).ok_or("cargo metadata names no packages")?;
    // Except for the command, a package is named after its folder, so imports are looked up by package.
    let by_package: BTreeMap<&str, String> = packages.iter().filter_map(named).collect();
    let mut rooms = Vec::new();
    for package in packages {
        let Some((_, name)) = named(package) else { continue };
        let Some(storey) = storey(package) else {
            return Err(format!(
                "crates/…/{name} stands in no storey; the storeys are {}",
                STOREYS.join(", ")
            ));
        };
        let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let normal = dependencies.filter(|dependency| dependency.get("kind") == Some(&Value::Null));
        let imports = normal
            .filter_map(|dependency| by_package.get(dependency.get("name")?.as_str()?).cloned())
            .collect();
        rooms.push(Room { name, storey, imports });
    }
    rooms.sort_by_key(|room| (room.storey.unwrap_or(STOREYS.len()), room.imports.len(), room.name.clone()));
    Ok(rooms)
}

/// The package's name and its room's: the folder under `crates/`.
fn named(package: &Value) -> Option<(&str, String)> {
    let folder = folder(package)?;
    Some((package.get("name")?.as_str()?, folder.rsplit('/').next()?.to_owned()))
}

/// `core/engine` for the package in `crates/core/engine`.
fn folder(package: &Value) -> Option<String> {
    let manifest = Path::new(package.get("manifest_path")?.as_str()?);
    let below = manifest.parent()?.strip_prefix(root().join("crates")).ok()?;
    Some(below.to_str()?.to_owned())
}

/// Its storey; `Some(None)` for the testkit, `None` if it is in none.
fn storey(package: &Value) -> Option<Option<usize>> {
    let folder = folder(package)?;
    if folder == TESTKIT {
        return Some(None);
    }
    let (storey, _) = folder.split_once('/')?;
    STOREYS.iter().position(|known| *known == storey).map(Some)
}

fn upward(rooms: &[Room]) -> Vec<String> {
    let storey_of = |name: &str| rooms.iter().find(|room| room.name == name).map(|room| room.storey);
    let mut wrong = Vec::new();
    for room in rooms {
        for import in &room.imports {
            let (Some(own), Some(Some(other))) = (room.storey, storey_of(import)) else {
                if room.storey.is_some() && storey_of(import) == Some(None) {
                    wrong.push(format!("`{}` imports `{import}`, which is for tests alone", room.name));
                }
                continue;
            };
            if other > own {
                wrong.push(format!(
                    "`{}` imports `{import}` from a storey above it ({})",
                    room.name,
                    STOREYS.get(other).copied().unwrap_or_default()
                ));
            }
        }
    }
    wrong
}

fn table(rooms: &[Room]) -> String {
    let mut text = String::from("| storey | room | imports |\n|---|---|---|\n");
    for room in rooms {
        let storey = room.storey.and_then(|at| STOREYS.get(at)).copied().unwrap_or("for tests");
        let imports: Vec<&str> = room.imports.iter().map(String::as_str).collect();
        let imports = if imports.is_empty() { "none of ours".to_owned() } else { imports.join(", ") };
        text += &format!("| {storey} | {} | {imports} |\n", room.name);
    }
    text
}

fn replaced(map: &str, table: &str) -> Result<String, String> {
    let missing = || format!("{MAP}: the lines that the table of imports stands between are missing");
    let (before, rest) = map.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str, storey: Option<usize>, imports: &[&str]) -> Room {
        Room { name: name.into(), storey, imports: imports.iter().map(|&name| name.into()).collect() }
    }

    #[test]
    fn an_import_from_above_or_of_the_testkit_is_named() {
        let rooms = [
            room("low", Some(0), &["high"]),
            room("high", Some(2), &["low", "level"]),
            room("level", Some(2), &["testkit"]),
            room("testkit", None, &["low"]),
        ];
        let wrong = upward(&rooms);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(
            wrong[0].contains("`low` imports `high`") && wrong[1].contains("for tests alone"),
            "{wrong:?}"
        );
    }

    #[test]
    fn the_table_takes_the_place_of_the_old_one() {
        let map = format!("above\n{BEGIN}\n\nold\n{END}\nbelow\n");
        let new = replaced(&map, "new\n").unwrap();
        assert!(
            new.starts_with("above\n")
                && new.contains("\nnew\n")
                && new.ends_with("below\n")
                && !new.contains("old")
        );
        assert_eq!(replaced(&new, "new\n").unwrap(), new);
        assert!(replaced("no marks", "new").is_err());
    }
}
