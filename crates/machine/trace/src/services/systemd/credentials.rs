use std::path::{Path, PathBuf};

use keyroll_manager::{CredentialFrom, UnitCredential, UnitLine, UnitSays};
use keyroll_observe::shown;
use keyroll_secret::SecretBytes;

use super::unit_text::UnitText;
use super::verbs::Verbs;
use crate::Record;
use crate::services::env_file;
use crate::services::source::{Assignment, Origin, Read, Source};

/// The credentials of the next start: systemd reads them then, and they stay the same until the service ends. A value
/// in the unit itself counts if no file of that name exists.
pub(super) fn sources(text: &UnitText, loaded: &[UnitCredential], verbs: &Verbs) -> Vec<Source> {
    let mut said = Vec::new();
    for (path, lines) in &text.all {
        said.extend(lines.iter().flatten().map(|line| (path.as_path(), line)));
    }
    let mut all: Vec<Source> = loaded.iter().map(|one| of_loaded(one, &said, verbs)).collect();
    all.extend(said.into_iter().filter_map(|(path, line)| not_loaded(path, line, loaded, verbs)));
    all
}

fn of_loaded(one: &UnitCredential, said: &[(&Path, &UnitLine)], verbs: &Verbs) -> Source {
    let (source, entry) = match &one.from {
        CredentialFrom::Set(value) => return set(&one.name, value, said, verbs),
        CredentialFrom::File(path) => {
            let what = format!("LoadCredential={}:{}", one.name, shown(path));
            (Source::of_file(what, path), credential(path))
        }
        CredentialFrom::Imported(path) => {
            (Source::of_file(format!("ImportCredential= takes {}", shown(path)), path), credential(path))
        }
        CredentialFrom::Encrypted(path) => {
            let what = path.as_deref().map_or_else(
                || format!("SetCredentialEncrypted={}", one.name),
                |path| format!("LoadCredentialEncrypted={}:{}", one.name, shown(path)),
            );
            let origin = path.clone().map_or(Origin::Nowhere, Origin::File);
            (Source::new(what, origin), Assignment::not_told(1, "it is encrypted"))
        }
    };
    source.with(slot(&one.name), secret(entry)).applied_by(&verbs.restart).not_by(&verbs.reload)
}

/// A value in the unit itself: in the file with the same setting, or only in what systemd has loaded.
fn set(name: &str, value: &SecretBytes, said: &[(&Path, &UnitLine)], verbs: &Verbs) -> Source {
    let same = |line: &UnitLine| match &line.says {
        UnitSays::Set(known, text) => known == name && text.as_ref().is_none_or(|text| text == value),
        UnitSays::Variable(..) | UnitSays::Reset | UnitSays::Credential(..) | UnitSays::Encrypted(..) => {
            false
        }
    };
    let written = said.iter().rev().find(|(_, line)| same(line));
    let source = match written {
        Some((path, _)) => Source::of_file(format!("SetCredential= in {}", shown(path)), path),
        None => {
            let kept = Origin::Kept(Record::Manager, "systemd".to_owned());
            Source::new("SetCredential= as systemd has loaded it", kept)
        }
    };
    let line = written.map_or(1, |(_, line)| line.line);
    let source = source.with(slot(name), secret(Assignment::at(line, value.duplicate())));
    source.applied_by(&verbs.read_again).not_by(&verbs.restart)
}

fn slot(name: &str) -> String {
    format!("credential:{name}")
}

fn secret(entry: Assignment) -> Assignment {
    Assignment { secret: true, ..entry }
}

/// The value of a credential's file.
fn credential(path: &Path) -> Assignment {
    match env_file::read(path) {
        Ok(file) => Assignment::at(1, env_file::whole(&file)),
        Err(_) => Assignment::not_told(1, "it is no file that can be read"),
    }
}

/// A line with a credential that systemd has not loaded, or loaded differently.
fn not_loaded(path: &Path, line: &UnitLine, loaded: &[UnitCredential], verbs: &Verbs) -> Option<Source> {
    let (name, entry, from) = match &line.says {
        UnitSays::Credential(name, file) if file.is_absolute() => (name, credential(file), Some(file)),
        UnitSays::Set(name, Some(value)) => (name, Assignment::at(line.line, value.duplicate()), None),
        UnitSays::Credential(..)
        | UnitSays::Set(_, None)
        | UnitSays::Encrypted(..)
        | UnitSays::Variable(..)
        | UnitSays::Reset => return None,
    };
    let of_name = |one: &&UnitCredential| one.name == *name;
    let live = |one: &UnitCredential| match (&one.from, from) {
        (CredentialFrom::File(known), Some(file)) => known == file,
        (CredentialFrom::Set(known), None) => entry.value.as_ref().ok() == Some(known),
        // A specifier stands for part of its path.
        _ => file_with_specifier(from),
    };
    // If the file is missing, the unit's own value counts.
    let gives_way = from.is_some_and(|file| !file.exists());
    if gives_way || loaded.iter().filter(of_name).any(live) {
        return None;
    }
    let what = match from {
        Some(file) => format!("LoadCredential={name}:{} in {}", shown(file), shown(path)),
        None => format!("SetCredential= in {}", shown(path)),
    };
    let source = Source::of_file(what, from.map_or(path, PathBuf::as_path)).read(Read::Not);
    Some(source.with(slot(name), secret(entry)).applied_by(&verbs.read_again).not_by(&verbs.restart))
}

fn file_with_specifier(file: Option<&PathBuf>) -> bool {
    file.is_some_and(|file| file.as_os_str().as_encoded_bytes().contains(&b'%'))
}
