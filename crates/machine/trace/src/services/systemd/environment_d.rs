use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use keyroll_manager::{Variables, home_of};
use keyroll_observe::shown;

use super::verbs::Verbs;
use crate::Record;
use crate::services::context::Context;
use crate::services::env_file;
use crate::services::source::{Origin, Read, Source};

/// The folders with the variables of users' managers. Of two files with one name the one in the first folder counts; of
/// two files with different names the later one wins. Source: environment.d(5).
const FOLDERS: [&str; 4] =
    ["/etc/environment.d", "/run/environment.d", "/usr/local/lib/environment.d", "/usr/lib/environment.d"];
const OF_USER: &str = ".config/environment.d";

/// The most files that are read.
const FILES_MAX: usize = 256;

/// The environment of a service manager, which its services inherit; for a user's manager also the files behind it. The
/// manager reads them when it starts and at `daemon-reload`; variables that were set by hand win over them.
pub(super) fn sources(
    files: Vec<Source>,
    of_manager: &Variables,
    verbs: &Verbs,
    read_unix_ms: Option<u64>,
) -> Vec<Source> {
    let mut said: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, source) in files.iter().enumerate() {
        said.extend(source.entries.keys().map(|name| (name.as_str(), at)));
    }
    let agreed: BTreeSet<String> = said
        .into_iter()
        .filter(|(name, at)| {
            files.get(*at).is_some_and(|source| {
                // Only the manager knows a value that is built from other variables.
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
        let again = format!("{} daemon-reload && {}", verbs.systemctl, verbs.restart);
        source = source.applied_by(again).not_by(&verbs.restart);
        let edited = source.set_aside(|name, _| !agreed.contains(name));
        source.since_unix_ms = read_unix_ms;
        all.extend([source.read(Read::Start), edited]);
    }
    all
}

/// The files from which a user's manager takes its environment. Files in the home are read with its owner's rights.
pub(super) fn files(context: &mut Context<'_>, user: &str) -> Vec<Source> {
    let own = context.uid_of(user).and_then(home_of).map(|home| of_home(context, &home));
    let mut of_name: BTreeMap<OsString, Source> = BTreeMap::new();
    for (name, source) in
        own.into_iter().chain(FOLDERS.iter().map(|folder| of_folder(Path::new(folder)))).flatten()
    {
        of_name.entry(name).or_insert(source);
    }
    of_name.into_values().collect()
}

fn of_home(context: &mut Context<'_>, home: &Path) -> Vec<(OsString, Source)> {
    let folder = home.join(OF_USER);
    context.in_home(home, move |_| of_folder(&folder))
}

fn of_folder(folder: &Path) -> Vec<(OsString, Source)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension() == Some("conf".as_ref()));
    files.filter_map(|path| Some((path.file_name()?.to_owned(), source(&path)))).collect()
}

/// One file. An unreadable one hides no other source: the manager has already read it.
fn source(path: &Path) -> Source {
    Source { closed: None, each_start: false, ..env_file::source(shown(path), path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::context::tests::{alone, home_with_links};

    #[test]
    fn a_link_of_a_user_leads_to_nothing_that_the_user_could_not_read() {
        let links = [".config/environment.d/own.conf", ".config/environment.d/roots.conf"];
        let Some(home) = home_with_links("A_API_KEY=there\n", links) else { return };
        let read = alone(|context| of_home(context, home.path()));
        let holds: Vec<bool> = read.iter().map(|(_, source)| source.value("A_API_KEY").is_some()).collect();
        let mut names: Vec<_> = read.iter().map(|(name, _)| name.to_str().unwrap()).zip(holds).collect();
        names.sort_unstable();
        assert_eq!(names, [("own.conf", true), ("roots.conf", false)]);
    }
}
