use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use keyroll_manager::{Variables, home_of};
use keyroll_observe::shown;

use super::around::Around;
use super::env_file;
use super::source::{Origin, Read, Source};
use super::systemd::Verbs;
use crate::Record;

/// Where the variables of users' managers stand; of two files with one name that of the first folder counts, of two names
/// the later. Source: environment.d(5).
const FOLDERS: [&str; 4] =
    ["/etc/environment.d", "/run/environment.d", "/usr/local/lib/environment.d", "/usr/lib/environment.d"];
const OF_USER: &str = ".config/environment.d";

/// The most files that are read.
const FILES_MAX: usize = 256;

/// The environment of a service manager, which it hands on; and of a user's one the files that it is made of. They are
/// read when the manager begins and by `daemon-reload`; what was set by hand wins over them.
pub(super) fn sources(
    around: &Around<'_>,
    user: Option<&str>,
    of_manager: &Variables,
    verbs: &Verbs,
) -> Vec<Source> {
    let files: Vec<Source> = user.map(|user| files(around, user)).unwrap_or_default();
    let mut said: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, source) in files.iter().enumerate() {
        said.extend(source.entries.keys().map(|name| (name.as_str(), at)));
    }
    let agreed: BTreeSet<String> = said
        .into_iter()
        .filter(|(name, at)| {
            files.get(*at).is_some_and(|source| {
                // What is made of other variables is known to the manager alone.
                let told = source.entries.get(*name).map(|entry| entry.value.as_ref().ok());
                told.is_some_and(|told| told.is_none() || told == of_manager.get(*name))
            })
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    let copied = of_manager.iter().filter(|(name, _)| !agreed.contains(*name));
    let copied = copied.map(|(name, value)| (name.clone(), value.duplicate())).collect();
    let what = "the service manager's own environment";
    let own = Source::new(what, Origin::Kept(Record::Manager, "systemd".to_owned())).holding(copied);
    let mut all =
        vec![own.applied_by(format!("{} set-environment, then {}", verbs.systemctl, verbs.restart))];
    for mut source in files.into_iter().rev() {
        let again = format!("{} daemon-reload, then {}", verbs.systemctl, verbs.restart);
        source = source.applied_by(again).not_by(&verbs.restart);
        let edited = source.set_aside(|name, _| !agreed.contains(name));
        all.extend([source.read(Read::Start), edited]);
    }
    all
}

fn files(around: &Around<'_>, user: &str) -> Vec<Source> {
    let uid = around.users.iter().find(|(_, name)| *name == user).map(|(uid, _)| *uid);
    let own = uid.and_then(home_of).map(|home| home.join(OF_USER));
    let mut of_name: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in own.into_iter().chain(FOLDERS.iter().map(PathBuf::from)) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
        for path in entries.map(|entry| entry.path()) {
            if let (Some(name), Some("conf")) =
                (path.file_name(), path.extension().and_then(|it| it.to_str()))
            {
                of_name.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    of_name.into_values().map(|path| source(&path)).collect()
}

/// It is told of each variable, and does not stand in the way of others where it cannot be read: the manager has read it.
fn source(path: &Path) -> Source {
    Source { closed: None, each_start: false, ..env_file::source(shown(path), path) }
}
