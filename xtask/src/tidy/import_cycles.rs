//! Import cycles: no file imports from a file that imports it, so that each file can be read after those that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

use crate::run::root;

/// Names each cycle of files in a room.
pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    for room in rooms()? {
        for circle in circles(&imports(&read(&root().join(&room).join("src"))?)) {
            let names: Vec<&str> = circle.iter().map(String::as_str).collect();
            wrong.push(format!("{room}: these files import from each other: {}", names.join(", ")));
        }
    }
    Ok(())
}

/// The folders of the rooms, relative to the root.
fn rooms() -> Result<Vec<String>, String> {
    let mut rooms = Vec::new();
    for storey in folders(&root().join("crates"))? {
        for room in folders(&root().join("crates").join(&storey))? {
            let path = format!("crates/{storey}/{room}");
            if root().join(&path).join("Cargo.toml").is_file() {
                rooms.push(path);
            }
        }
    }
    rooms.sort();
    Ok(rooms)
}

fn folders(path: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    Ok(folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The imports of one file from its own room, as paths from the room's top.
struct File {
    module: Vec<String>,
    /// The modules that it declares, by which a path without a prefix may begin.
    children: BTreeSet<String>,
    named: Vec<Vec<String>>,
    /// Names that it re-exports, with their paths.
    passed_on: Vec<(String, Vec<String>)>,
}

/// The files of a room by their modules' paths; the top is the empty one.
fn read(folder: &Path) -> Result<BTreeMap<String, File>, String> {
    let mut files = BTreeMap::new();
    read_folder(folder, &[], &mut files)?;
    Ok(files)
}

fn read_folder(folder: &Path, below: &[String], files: &mut BTreeMap<String, File>) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let path = entry.path();
        let Some(name) = path.file_stem().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let module: Vec<String> = below.iter().cloned().chain([name.clone()]).collect();
        if path.is_dir() {
            read_folder(&path, &module, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let is_top = below.is_empty() && matches!(name.as_str(), "lib" | "main");
            let module = if is_top { Vec::new() } else { module };
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            files.insert(module.join("::"), File::new(module, &parsed));
        }
    }
    Ok(())
}

impl File {
    fn new(module: Vec<String>, parsed: &syn::File) -> File {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other item declares a module")]
        let child = |item: &Item| match item {
            Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        };
        let children = parsed.items.iter().filter_map(child).collect();
        let mut file = File { module, children, named: Vec::new(), passed_on: Vec::new() };
        file.visit_file(parsed);
        file
    }

    /// A path from the room's top; `None` where it leads out of the room.
    fn path_from_root(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut from = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module.split_last().map(|(_, parent)| parent.to_vec())?,
            child if self.children.contains(child) => {
                self.module.iter().cloned().chain([child.to_owned()]).collect()
            }
            _ => return None,
        };
        let mut rest = rest;
        while let Some((_, after)) = rest.split_first().filter(|(next, _)| *next == "super") {
            from.pop();
            rest = after;
        }
        from.extend(rest.iter().cloned());
        Some(from)
    }
}

impl<'ast> Visit<'ast> for File {
    fn visit_item(&mut self, item: &'ast Item) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other item of a file imports")]
        let attributes: &[Attribute] = match item {
            Item::Mod(module) => &module.attrs,
            Item::Fn(function) => &function.attrs,
            Item::Use(one) => &one.attrs,
            Item::Impl(one) => &one.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut leaves = Vec::new();
        leaves_of(&item.tree, &mut Vec::new(), &mut leaves);
        for (name, path) in leaves {
            let path_from_root = self.path_from_root(&path);
            match item.vis {
                Visibility::Inherited => self.named.extend(path_from_root),
                // `pub use child::Name` in a parent lists what its children have, and is no import.
                Visibility::Public(_) | Visibility::Restricted(_) => {
                    self.passed_on.extend(path_from_root.map(|path| (name, path)));
                }
            }
        }
    }

    /// `pub(crate)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.named.extend(self.path_from_root(&words));
        visit::visit_path(self, path);
    }
}

pub(crate) fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
}

/// The names that a tree of `use` imports, each with its full path.
fn leaves_of(tree: &UseTree, before: &mut Vec<String>, leaves: &mut Vec<(String, Vec<String>)>) {
    let mut leaf = |name: String, last: &syn::Ident| {
        let mut path = before.clone();
        if last != "self" {
            path.push(last.to_string());
        }
        leaves.push((name, path));
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves_of(&path.tree, before, leaves);
            before.pop();
        }
        UseTree::Name(name) => leaf(name.ident.to_string(), &name.ident),
        UseTree::Rename(name) => leaf(name.rename.to_string(), &name.ident),
        UseTree::Glob(_) => leaves.push((String::new(), before.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves_of(tree, before, leaves)),
    }
}

/// The files that each file imports from; a re-exported name counts as its original.
fn imports(files: &BTreeMap<String, File>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut passed_on: BTreeMap<String, &[String]> = BTreeMap::new();
    for file in files.values() {
        for (name, path) in &file.passed_on {
            let own = file.module.iter().chain([name]).cloned().collect::<Vec<_>>().join("::");
            passed_on.insert(own, path);
        }
    }
    let mut all = BTreeMap::new();
    for (module, file) in files {
        let from = file.named.iter().filter_map(|path| owner(resolved(path.clone(), &passed_on), files));
        all.insert(module.as_str(), from.filter(|from| from != module).collect());
    }
    all
}

/// A path with every re-export replaced by its original.
fn resolved(mut path: Vec<String>, passed_on: &BTreeMap<String, &[String]>) -> Vec<String> {
    // No name is re-exported more often than this.
    for _ in 0..8 {
        let known = (1..=path.len()).rev().find_map(|length| {
            let (begin, rest) = path.split_at_checked(length)?;
            let stands_for = passed_on.get(&begin.join("::"))?;
            Some(stands_for.iter().chain(rest).cloned().collect::<Vec<_>>())
        });
        match known {
            Some(next) if next != path => path = next,
            Some(_) | None => break,
        }
    }
    path
}

/// The file that a path leads into.
fn owner(path: Vec<String>, files: &BTreeMap<String, File>) -> Option<&str> {
    let begins = (0..=path.len()).rev().filter_map(|length| path.get(..length));
    begins
        .map(|begin| begin.join("::"))
        .find_map(|begin| files.get_key_value(&begin))
        .map(|(key, _)| key.as_str())
}

/// Sets of files in which each file imports, directly or through others, from every other.
fn circles(imports: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|from| (*from, reached_from(from, imports))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, reaches) in reached.iter().filter(|(file, reaches)| reaches.contains(*file)) {
        if circles.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let back = |other: &&&str| reached.get(**other).is_some_and(|reaches| reaches.contains(file));
        circles.push(reaches.iter().filter(back).map(|other| (*other).to_owned()).collect());
    }
    circles
}

fn reached_from<'a>(from: &str, imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&str> = imports.get(from).into_iter().flatten().copied().collect();
    while let Some(next) = ahead.pop() {
        if reached.insert(next) {
            ahead.extend(imports.get(next).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(module: &str, text: &str) -> (String, File) {
        let path = module.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect();
        (module.to_owned(), File::new(path, &syn::parse_file(text).unwrap()))
    }

    #[test]
    fn two_files_that_import_from_each_other_are_found_also_through_a_name_that_is_passed_on() {
        let room = BTreeMap::from([
            file("", "mod a; mod b; mod c;"),
            file("a", "pub use self::inner::Name; use crate::b::one;"),
            file("a::inner", "use super::super::b::one;"),
            file("b", "fn one() { crate::a::Name::new(); }"),
            file("c", "use crate::a::Name; #[cfg(test)] mod tests { use crate::b::one; }"),
        ]);
        let found = circles(&imports(&room));
        assert_eq!(found, [BTreeSet::from(["a::inner".to_owned(), "b".to_owned()])]);
    }
    #[test]
    fn a_parent_and_a_child_that_it_names_without_a_prefix_are_found() {
        for parent in ["mod a; fn new() { a::one(); }", "use a::one; mod a;", "mod a; use {a::one, std::fs};"]
        {
            let room = BTreeMap::from([file("", parent), file("a", "fn one() -> super::Client {}")]);
            let found = circles(&imports(&room));
            assert_eq!(found, [BTreeSet::from([String::new(), "a".to_owned()])], "{parent}");
        }
    }

    #[test]
    fn a_parent_that_re_exports_its_child_or_names_another_crate_or_tests_it_imports_nothing() {
        let parent = "mod a; pub use a::one; pub(crate) use a::two; use serde::A; fn new() { b::one(); }
            #[cfg(test)] mod tests { use super::a::one; }";
        let room =
            BTreeMap::from([file("", parent), file("a", "fn one() -> super::Client {}"), file("b", "")]);
        assert_eq!(circles(&imports(&room)), Vec::<BTreeSet<String>>::new());
    }
}
