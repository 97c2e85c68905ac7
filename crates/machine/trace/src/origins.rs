//! The file that a process's environment came from, where nothing says who set it: a shell read the file and became the
//! program, or has ended. The environment and the file show it together: their other names agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_manager::Variables;
use keyroll_observe::{After, ProcessId, Start};
use keyroll_secret::SecretBytes;

use crate::file_times::FileTimes;
use crate::given::{Commands, Given, Kind, Near};
use crate::services::{assignments, is_interactive, is_variable, parent_of, variables_of, whole_file};
use crate::wrapping::is_same;
use crate::{Basis, Chain, Link, LinkRole, Place, Survey, ValueId, is_left_behind};

/// Names that most environments have with the same values: they show nothing about a file.
const EVERYWHERE: [&str; 12] =
    ["PATH", "HOME", "LANG", "TZ", "USER", "SHELL", "TERM", "PWD", "LOGNAME", "HOSTNAME", "OLDPWD", "SHLVL"];

/// The shortest value that two unrelated files do not share by chance, bytes: `production` and `8080` do not count.
const DISTINCT_BYTES_MIN: usize = 12;

/// The most files that one process is compared with.
const FILES_MAX: usize = 256;

/// Words in the names of files that nobody reads as they are.
const TEMPLATES: [&str; 6] = ["example", "sample", "template", "dist", "defaults", "tmpl"];

/// The file that is read where nobody names another.
const DEFAULT: &str = ".env";

const ALONE: &str =
    "the process was started before it was changed, with another value; nothing else shows that it was read";
const ELSEWHERE: &str =
    "its other names agree with the environment of the process, but it is in a folder of its own";
const RENAMED: &str = "its content is older than the process by its own time: it may have got only its name or its rights since";
const MADE: &str =
    "its other names agree with the environment that its manager keeps, but nothing was seen to read it";
const TORN: &str =
    "the environment of the process agrees with it in all other names, and also with another file";

/// A file of variables beside the environment of one process.
struct Fit<'f> {
    path: &'f Path,
    /// How many of its other names have the same value in the environment.
    same: usize,
    /// One of these values is no coincidence.
    distinct: bool,
    /// How many names have another value there.
    differ: usize,
    /// How many of its names the environment lacks.
    missing: usize,
    /// The file is where the process would look for one, or its command line names it.
    near: bool,
    /// It was surely changed since the start; whether its content was, by its own time; and whether it is no older.
    changed: bool,
    written: bool,
    rewritten: bool,
    /// It holds the same value under the name.
    equal: bool,
}

/// The most processes of one service that are compared with files.
const PROCESSES_MAX: usize = 32;

impl Fit<'_> {
    /// Whether the environment came from this file, by its other names. A name that differs, or that is missing, must
    /// have been changed since the start.
    fn explains(&self) -> bool {
        let whole = self.differ == 0 && self.missing == 0;
        let own = self.same > 0 && (whole || self.changed && self.missing <= self.same);
        own && (self.near || self.distinct && self.differ <= 1)
    }

    fn is_default(&self) -> bool {
        self.path.file_name() == Some(DEFAULT.as_ref())
    }
}

/// What the files show of one name.
enum Origin<'f> {
    /// The environment came from this file.
    Of(&'f Path),
    /// It may have come from this file; what keeps that from being sure.
    Likely(&'f Path, &'static str),
    /// It came from one of several files that differ now.
    Torn(Vec<&'f Path>),
    Unknown,
}

/// What a survey knows of its files.
struct Files {
    /// The files in which each name has a value.
    of_name: BTreeMap<String, BTreeSet<PathBuf>>,
    /// The value of each name, of the last line that gives it one.
    values: BTreeMap<(PathBuf, String), (ValueId, u64)>,
    read: BTreeMap<PathBuf, ReadFile>,
}

/// A file that was compared with an environment.
struct ReadFile {
    assignments: Variables,
    times: Option<FileTimes>,
    /// Of a folder, the times of the file of each name.
    of_name: BTreeMap<String, FileTimes>,
}

impl ReadFile {
    fn of(path: &Path) -> Self {
        if !path.is_dir() {
            let (assignments, times) = (assignments(path), FileTimes::of_name(path));
            return Self { assignments, times, of_name: BTreeMap::new() };
        }
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(FILES_MAX);
        let named = |path: PathBuf| {
            let name = path.file_name()?.to_str().filter(|name| is_variable(name))?.to_owned();
            Some((name, whole_file(&path)?, FileTimes::of_name(&path)))
        };
        let all: Vec<_> = entries.filter_map(|entry| named(entry.path())).collect();
        let of_name = all.iter().filter_map(|(name, _, times)| Some((name.clone(), (*times)?))).collect();
        let assignments = all.into_iter().map(|(name, value, _)| (name, value)).collect();
        Self { assignments, times: None, of_name }
    }
}

/// The folder of a file that is the value of the variable it is named after, as `envdir` and `chpst -e` read them.
fn of_folder<'p>(path: &'p Path, name: &str) -> Option<&'p Path> {
    path.parent().filter(|_| path.file_name() == Some(name.as_ref()))
}

impl Survey {
    /// Adds the file that each process without a manager took its environment from to its chains.
    pub(crate) fn find_origins(&mut self, starts: &BTreeMap<ProcessId, Start>) {
        let mut files = Files::of(self);
        for at in 0..self.services.len() {
            let Some(service) = self.services.get(at).filter(|one| one.agent.is_none()) else { continue };
            let Some(main) = service.processes.first().copied() else { continue };
            let Some(kind) = Kind::of(service, &main) else { continue };
            let mut found: BTreeMap<String, Vec<(PathBuf, LinkRole, Commands)>> = BTreeMap::new();
            // One command for each file, however many names it has.
            let mut known: BTreeMap<(PathBuf, ProcessId, bool), Commands> = BTreeMap::new();
            let mut decided: BTreeSet<String> = BTreeSet::new();
            for process in service.processes.iter().take(PROCESSES_MAX) {
                let Some(own) = starts.get(process).and_then(variables_of) else { continue };
                let given = Given::of(self, &kind, process);
                // What the program has passed on and was not started with it has read itself.
                let of_main = *process == main;
                for (name, roles) in self.origins_of(&given, &own, &mut files) {
                    if !decided.insert(name.clone()) || is_known(service.chain(&name), &roles, &kind) {
                        continue;
                    }
                    let mut links = Vec::new();
                    for (path, role) in roles {
                        let of_shell = role == LinkRole::NotRead;
                        let commands =
                            known.entry((path.clone(), *process, of_shell)).or_insert_with(
                                || match of_shell {
                                    true => Commands::of_shell(self, process, &path),
                                    false => kind.commands(self, starts, service, &main, (&path, of_main)),
                                },
                            );
                        links.push((path, role, commands.clone()));
                    }
                    found.insert(name, links);
                }
            }
            let Some(service) = self.services.get_mut(at) else { continue };
            for (name, roles) in found {
                if service.chain(&name).is_none() {
                    service.chains.push(Chain { name: name.clone(), links: Vec::new() });
                }
                let Some(chain) = service.chains.iter_mut().find(|chain| chain.name == name) else {
                    continue;
                };
                for (path, role, commands) in roles.into_iter().rev() {
                    let Some(at) = files.values.get(&(path.clone(), name.clone())).copied() else {
                        continue;
                    };
                    put(chain, link(&name, path, at, role, commands), &main);
                }
            }
            service.chains.sort_by(|one, other| one.name.cmp(&other.name));
        }
    }

    /// For each name of an environment the files that may have set it, and how sure that is.
    fn origins_of(
        &self,
        given: &Given,
        own: &Variables,
        files: &mut Files,
    ) -> Vec<(String, Vec<(PathBuf, LinkRole)>)> {
        let mut all = Vec::new();
        for (name, value) in own {
            let Some(paths) = files.of_name.get(name) else { continue };
            let paths: Vec<PathBuf> = paths.iter().take(FILES_MAX).cloned().collect();
            files.read(&paths);
            let fits: Vec<Fit<'_>> = paths
                .iter()
                .filter_map(|path| files.fit(path, name, value, own, (given.unix_ms, &given.near)))
                .collect();
            let roles = match origin(&fits) {
                // The file of a service that was made is at most likely: nothing was seen to read it.
                Origin::Of(path) if given.made && !is_equal(&fits, path) => {
                    vec![(path.to_owned(), LinkRole::NotVisible(MADE))]
                }
                Origin::Of(_) | Origin::Torn(_) if given.made => continue,
                Origin::Of(path) => vec![(path.to_owned(), LinkRole::Wins)],
                Origin::Likely(path, why) => vec![(path.to_owned(), LinkRole::NotVisible(why))],
                Origin::Torn(paths) => {
                    paths.into_iter().map(|path| (path.to_owned(), LinkRole::NotVisible(TORN))).collect()
                }
                Origin::Unknown => match self.exported_from(&paths, name, value, own, (given, files)) {
                    Some(path) => vec![(path, LinkRole::NotRead)],
                    None => continue,
                },
            };
            all.push((name.clone(), roles));
        }
        all
    }
}

impl Survey {
    /// The interactive shell that started a process.
    pub(crate) fn shell_of(&self, process: &ProcessId) -> Option<ProcessId> {
        let of = self.listing.seen.iter().find(|one| one.id == *process)?;
        let parent = parent_of(&self.listing, of)?;
        is_interactive(parent).then_some(parent.id)
    }

    /// The file that a shell has read before it was changed: the process was started since, with what the shell exports.
    fn exported_from(
        &self,
        paths: &[PathBuf],
        name: &str,
        value: &SecretBytes,
        own: &Variables,
        (given, files): (&Given, &Files),
    ) -> Option<PathBuf> {
        let shell = given.shell_unix_ms?;
        let near = &given.near;
        let fits: Vec<Fit<'_>> =
            paths.iter().filter_map(|path| files.fit(path, name, value, own, (Some(shell), near))).collect();
        match origin(&fits) {
            Origin::Of(path) if !is_equal(&fits, path) => Some(path.to_owned()),
            Origin::Of(_) | Origin::Likely(..) | Origin::Torn(_) | Origin::Unknown => None,
        }
    }
}

/// Whether a chain needs no inference: a file was seen to be read, or only a sure file would be a reason to doubt another
/// source that was seen.
fn is_known(chain: Option<&Chain>, roles: &[(PathBuf, LinkRole)], kind: &Kind) -> bool {
    let Some(chain) = chain else { return false };
    let seen = chain.winner().is_some_and(|link| matches!(link.place, Some(Place::File { .. })));
    let sure = roles.iter().any(|(_, role)| *role == LinkRole::Wins);
    // What a manager keeps is the source of restarts alone: whoever changed the file that the service was made with
    // waits for the file.
    seen || !kind.is_made() && !sure && chain.next().is_some()
}

/// The decision about one name. A wrong file would make a wrong *current* or *stale*, so two files that explain the
/// environment and differ are both named, unless one is the default.
fn origin<'f>(fits: &[Fit<'f>]) -> Origin<'f> {
    // Where the process would look, there is a file with the name: files elsewhere are of others.
    let is_near = fits.iter().any(|fit| fit.near);
    let own = fits.iter().filter(|fit| fit.near || !is_near);
    let (equal, other): (Vec<&Fit<'_>>, Vec<&Fit<'_>>) =
        own.filter(|fit| fit.explains()).partition(|fit| fit.equal);
    let best = |all: &[&Fit<'f>]| {
        let best = all.iter().max_by_key(|fit| (fit.near, fit.is_default(), fit.same));
        best.map_or(Origin::Unknown, |fit| sure(fit))
    };
    let default = |all: &[&Fit<'f>]| all.iter().find(|fit| fit.near && fit.is_default()).map(|fit| sure(fit));
    if equal.is_empty() && other.is_empty() {
        return alone(fits);
    }
    if other.is_empty() {
        return best(&equal);
    }
    if equal.is_empty() && other.len() == 1 {
        return best(&other);
    }
    // A copy that was made after the start is no reason to doubt the default, which was changed.
    let before = equal.iter().any(|fit| !fit.rewritten);
    let changed = default(&other).filter(|_| !before);
    match default(&equal).or(changed) {
        Some(origin) => origin,
        None => Origin::Torn(equal.iter().chain(&other).map(|fit| fit.path).collect()),
    }
}

/// How sure a file is that explains the environment.
fn sure<'f>(fit: &Fit<'f>) -> Origin<'f> {
    match (fit.equal, fit.near, fit.written) {
        (true, _, _) | (false, true, true) => Origin::Of(fit.path),
        (false, true, false) => Origin::Likely(fit.path, RENAMED),
        (false, false, _) => Origin::Likely(fit.path, ELSEWHERE),
    }
}

/// A file with the name and nothing else to compare: likely, if no other copy that the process may have been given holds
/// its value. A file that is called the same in a folder where the process would not look is that of another program there,
/// which was given the same value.
fn alone<'f>(fits: &[Fit<'f>]) -> Origin<'f> {
    let may = |fit: &&Fit<'_>| fit.near && fit.changed && (fit.missing == 0 || fit.same > 0);
    let all: Vec<&Fit<'_>> = fits.iter().filter(may).collect();
    let found = match all.as_slice() {
        [only] => Some(*only),
        several => several.iter().find(|fit| fit.is_default()).copied(),
    };
    let Some(found) = found else { return Origin::Unknown };
    let of_other = |fit: &Fit<'_>| !fit.near && fit.path.file_name() == found.path.file_name();
    let given = fits.iter().any(|fit| fit.equal && !of_other(fit));
    if given { Origin::Unknown } else { Origin::Likely(found.path, ALONE) }
}

impl Files {
    fn of(survey: &Survey) -> Self {
        let mut files = Self { of_name: BTreeMap::new(), values: BTreeMap::new(), read: BTreeMap::new() };
        for one in &survey.sightings {
            let (Place::File { path, line }, Some(name)) = (&one.place, &one.name) else { continue };
            if is_left_behind(path) || is_template(path) || !is_variable(name) {
                continue;
            }
            let path = of_folder(path, name).unwrap_or(path).to_owned();
            files.of_name.entry(name.clone()).or_default().insert(path.clone());
            let known = files.values.entry((path, name.clone())).or_insert((one.value, *line));
            if *line >= known.1 {
                *known = (one.value, *line);
            }
        }
        files
    }

    fn read(&mut self, paths: &[PathBuf]) {
        for path in paths {
            if !self.read.contains_key(path) {
                self.read.insert(path.clone(), ReadFile::of(path));
            }
        }
    }

    fn fit<'f>(
        &self,
        path: &'f Path,
        name: &str,
        value: &SecretBytes,
        own: &Variables,
        (given_unix_ms, near): (Option<u64>, &Near),
    ) -> Option<Fit<'f>> {
        let ReadFile { assignments: assigned, times, of_name } = self.read.get(path)?;
        let times = given_unix_ms.zip(of_name.get(name).copied().or(*times));
        let equal = is_same(assigned.get(name)?, value);
        let mut fit = Fit {
            path,
            same: 0,
            distinct: false,
            differ: usize::from(!equal),
            missing: 0,
            near: near.has(path),
            changed: times.is_some_and(|(started, times)| times.changed_since(started)),
            written: times.is_some_and(|(given, times)| times.written_since(given)),
            rewritten: times.is_some_and(|(started, times)| times.started_after(started) == After::No),
            equal,
        };
        let others = assigned.iter().filter(|(other, _)| *other != name && !is_everywhere(other));
        for (other, value) in others {
            match own.get(other) {
                Some(given) if is_same(given, value) => {
                    fit.same += 1;
                    fit.distinct |= value.len() >= DISTINCT_BYTES_MIN;
                }
                Some(_) => fit.differ += 1,
                None => fit.missing += 1,
            }
        }
        Some(fit)
    }
}

fn is_equal(fits: &[Fit<'_>], path: &Path) -> bool {
    fits.iter().any(|fit| fit.path == path && fit.equal)
}

fn is_everywhere(name: &str) -> bool {
    EVERYWHERE.contains(&name)
}

/// Whether a file shows others what to fill in: `.env.example`.
fn is_template(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.split(['.', '-', '_']).any(|part| TEMPLATES.contains(&part))
}

fn link(
    name: &str,
    path: PathBuf,
    (value, line): (ValueId, u64),
    role: LinkRole,
    commands: Commands,
) -> Link {
    let basis = match role {
        LinkRole::Wins | LinkRole::NotRead => Basis::Names,
        LinkRole::NotVisible(ALONE | ELSEWHERE | RENAMED | MADE) => Basis::Likely,
        LinkRole::NotVisible(_) | LinkRole::Shadowed | LinkRole::NotThere => Basis::Seen,
    };
    let path = if path.is_dir() { path.join(name) } else { path };
    Link {
        applies: commands.applies,
        basis,
        what: keyroll_observe::shown(&path),
        place: Some(Place::File { path, line }),
        value: Some(value),
        role,
        read_later: false,
        seems: commands.seems,
    }
}

/// Puts a link before all others of a chain; another link to the same file goes away, and nothing else wins.
fn put(chain: &mut Chain, link: Link, main: &ProcessId) {
    let file = |one: &Link| one.place.as_ref().and_then(Place::file).map(Path::to_owned);
    let path = file(&link);
    chain.links.retain(|one| file(one) != path || file(one).is_none());
    if link.role == LinkRole::Wins {
        // What the process was started with came from the file.
        let own = |one: &Link| {
            one.place.as_ref().and_then(Place::process) == Some(main) && one.basis == Basis::Seen
        };
        chain.links.retain(|one| !own(one));
        for other in chain.links.iter_mut().filter(|other| other.role == LinkRole::Wins) {
            other.role = LinkRole::Shadowed;
        }
    }
    if link.role == LinkRole::NotRead {
        chain.links.push(link);
    } else {
        chain.links.insert(0, link);
    }
}
