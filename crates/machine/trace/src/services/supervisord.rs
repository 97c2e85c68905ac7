use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_copy::MADE_OF_OTHERS;
use keyroll_leak::names_a_secret;
use keyroll_manager::{Assigned, Supervisor, SupervisorConfig, Supervisord, Variables};
use keyroll_observe::{ProcessId, Rights, shown};
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::source::{Assignment, Kept, Origin, Read, Source, word};
use crate::place::harmless;
use crate::{Place, Record};

/// The programs of every supervisord that runs.
pub(crate) fn kept(context: &mut Context<'_>) -> Vec<Kept> {
    let mut all = Vec::new();
    for daemon in Supervisord::all(context.listing) {
        all.extend(programs(context, &daemon));
    }
    all
}

/// The section whose variables every program gets.
const OF_ALL: &str = "[supervisord]";

/// A child of supervisord, with the names that supervisord gave it.
struct Started {
    process: ProcessId,
    group: String,
    name: String,
    environment: Variables,
}

fn programs(context: &mut Context<'_>, daemon: &Supervisord) -> Vec<Kept> {
    let whose = format!("the programs of supervisord {}", daemon.process.pid);
    let config = match &daemon.config {
        // The user who runs supervisord chose the file and its includes.
        Some(path) => {
            let read = Rights::of_process(&daemon.process)
                .and_then(|rights| rights.outside().reading(|| SupervisorConfig::read(path)));
            read.unwrap_or_else(|why| {
                context.not_seen(shown(path), why.to_string());
                SupervisorConfig::default()
            })
        }
        None => {
            context.not_seen(whose, "its configuration cannot be found");
            SupervisorConfig::default()
        }
    };
    for (path, reason) in &config.unread {
        context.not_seen(shown(path), reason.clone());
    }
    let started = started(context, daemon);
    let own = context.start(&daemon.process);
    let mut names: Vec<String> = config.programs.keys().cloned().collect();
    names.extend(started.iter().map(|one| one.group.clone()));
    names.sort();
    names.dedup();
    // A group of several programs has the processes of each of them under its own name.
    names.retain(|name| {
        config.programs.contains_key(name)
            || !started
                .iter()
                .any(|one| one.group == *name && config.programs.keys().any(|it| one.is_of(&config, it)))
    });
    let project = daemon.config.as_deref().and_then(Path::parent).map(Path::to_owned);
    let with = |name: String| {
        let mine: Vec<&Started> = started.iter().filter(|one| one.is_of(&config, &name)).collect();
        let (next, now) = groups(&config, &name, &mine);
        let sources = sources(daemon, &config, &name, &mine, own.as_ref(), (&next, &now));
        let mains: Vec<ProcessId> = mine.iter().map(|one| one.process).collect();
        let processes = mains.iter().flat_map(|main| context.tree(*main)).collect();
        let (main, project) = (mains.first().copied(), project.clone());
        let now: Vec<String> = now.into_iter().map(harmless).collect();
        let declaration = Supervisor::declaration(&harmless(&name), &now, daemon.config.as_deref());
        Kept { main, project, sources, ..Kept::of(declaration, name, processes) }
    };
    names.into_iter().map(with).collect()
}

fn started(context: &Context<'_>, daemon: &Supervisord) -> Vec<Started> {
    let text = |environment: &Variables, name: &str| {
        environment.get(name).map(|value| String::from_utf8_lossy(value.expose()).into_owned())
    };
    let named = |process: ProcessId| {
        let environment = context.start(&process)?;
        let name = text(&environment, "SUPERVISOR_PROCESS_NAME")?;
        let group = text(&environment, "SUPERVISOR_GROUP_NAME").unwrap_or_else(|| name.clone());
        Some(Started { process, group, name, environment })
    };
    context.children(daemon.process.pid).iter().filter_map(|one| named(one.id)).collect()
}

impl Started {
    /// Whether this is a process of a program. In a group the name of the process says of which one, unless `process_name=`
    /// sets another: then it is of none that is known.
    fn is_of(&self, config: &SupervisorConfig, program: &str) -> bool {
        let fits = |program: &str| {
            self.name.strip_prefix(program).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        // `web_admin` is a process of the program of this name, and not of `web`.
        let closest = || {
            let closer = |other: &String| other.len() > program.len() && fits(other);
            fits(program) && !config.programs.keys().any(closer)
        };
        match config.groups.get(&self.group) {
            Some(listed) => listed.contains(program) && (listed.len() == 1 || closest()),
            None if self.group == program || config.programs.contains_key(&self.group) => {
                self.group == program
            }
            // The file was not read, or lists its group no more.
            None => closest(),
        }
    }
}

/// A program of a supervisord, and what gives its start the variables.
struct Program<'p> {
    daemon: &'p Supervisord,
    config: &'p SupervisorConfig,
    name: &'p str,
    /// The environment of its first process.
    started: Option<&'p Variables>,
    /// supervisord's own environment, if it is visible.
    own: Option<&'p Variables>,
    /// What applies an edit of the configuration, and what only seems to.
    right: String,
    wrong: String,
}

/// The sources of a program. Its own `environment=` wins over that of `[supervisord]`, and both win over supervisord's
/// own environment. supervisord starts a program with the configuration that it read last; `update` makes it read the
/// file again, and restarts the programs that changed. Therefore the start environment of a running process shows what
/// supervisord has loaded for each name in an `environment=`.
fn sources(
    daemon: &Supervisord,
    config: &SupervisorConfig,
    name: &str,
    started: &[&Started],
    own: Option<&Variables>,
    (next, now): (&BTreeSet<&str>, &BTreeSet<&str>),
) -> Vec<Source> {
    let config_path =
        daemon.config.as_deref().map_or_else(String::new, |path| format!(" -c {}", word(shown(path))));
    let ctl = format!("supervisorctl{config_path}");
    // It reads the configuration again by itself. Source: supervisor 4, supervisorctl.py, `do_update`.
    let right = format!("{ctl} update {}", words(next.iter()));
    let wrong = format!("{ctl} restart {}", words(now.iter().map(|group| format!("{group}:*"))));
    let started = started.first().map(|one| &one.environment);
    let program = Program { daemon, config, name, started, own, right, wrong };
    let mut written: BTreeMap<&str, &Assigned> = BTreeMap::new();
    for one in config.of_all.iter().chain(program.list()) {
        written.insert(&one.name, one);
    }
    let mut all = vec![program.loaded(&written)];
    all.extend(program.written(&written, &format!("[program:{name}]"), program.list()));
    all.extend(program.written(&written, OF_ALL, &config.of_all));
    let handed_on =
        own.into_iter().flatten().map(|(name, value)| (name.clone(), value.duplicate())).collect();
    let what = format!("the environment of supervisord {}", daemon.process.pid);
    let own = Source::new(what, Origin::Start(daemon.process)).holding(handed_on);
    all.push(own.applied_by("a restart of supervisord itself").not_by(&program.wrong));
    all.retain(|source| !source.says_nothing());
    all
}

/// The groups that have a program: those that `update` has to move, and those that it runs in now. A program that no
/// `[group:NAME]` lists is a group of its own; supervisorctl knows no other. Source: supervisor 4.3.0, options.py,
/// `process_groups_from_parser`.
fn groups<'p>(
    config: &'p SupervisorConfig,
    name: &'p str,
    started: &[&'p Started],
) -> (BTreeSet<&'p str>, BTreeSet<&'p str>) {
    let running: BTreeSet<&str> = started.iter().map(|one| one.group.as_str()).collect();
    let lists = |group: &(&'p String, &'p BTreeSet<String>)| group.1.contains(name);
    let listed: BTreeSet<&str> =
        config.groups.iter().filter(lists).map(|(group, _)| group.as_str()).collect();
    // A file that was not read may list it.
    let known = config.programs.contains_key(name) && config.unread.is_empty();
    let mut next: BTreeSet<&str> = running.union(&listed).copied().collect();
    if next.is_empty() || (known && listed.is_empty()) {
        next.insert(name);
    }
    let now = if running.is_empty() { next.clone() } else { running };
    (next, now)
}

/// Words for a shell.
fn words(all: impl Iterator<Item = impl AsRef<str>>) -> String {
    all.map(|one| word(one.as_ref())).collect::<Vec<_>>().join(" ")
}

impl Program<'_> {
    fn list(&self) -> &[Assigned] {
        self.config.programs.get(self.name).map(Vec::as_slice).unwrap_or_default()
    }

    fn from(&self, name: &str) -> Option<&SecretBytes> {
        self.started?.get(name)
    }

    /// Whether the process was started with what the file says now.
    fn is_loaded(&self, one: &Assigned) -> bool {
        match (self.value(one), self.from(&one.name)) {
            (Some(value), Some(now)) => value == *now,
            // Built from what only supervisord knows.
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// The value that supervisord gives a variable: what it refers to is in `environment=` of `[supervisord]`, or in
    /// supervisord's own environment. It refuses the whole list for one name that is in neither. Source: supervisor 4.3.0,
    /// options.py, `environ_expansions`.
    fn value(&self, one: &Assigned) -> Option<SecretBytes> {
        let given = |name: &str| self.own?.get(name).map(SecretBytes::duplicate);
        let is_of_all = self.config.of_all.iter().any(|other| std::ptr::eq(other, one));
        let own = |name: &str| self.own.is_none_or(|own| own.contains_key(name));
        if !one.list_refers().all(|name| own(name) || (!is_of_all && self.of_all(name).is_some())) {
            return None;
        }
        one.built_from(&|name| match self.of_all(name).filter(|_| !is_of_all) {
            Some(other) => other.built_from(&given),
            None => given(name),
        })
    }

    fn of_all(&self, name: &str) -> Option<&Assigned> {
        self.config.of_all.iter().rev().find(|other| other.name == name)
    }

    /// What supervisord has loaded and the files do not say any more.
    fn loaded(&self, written: &BTreeMap<&str, &Assigned>) -> Source {
        let pid = self.daemon.process.pid;
        let kept = Origin::Kept(Record::Manager, format!("supervisord {pid}"));
        let what = format!("what supervisord {pid} has loaded of {}", self.name);
        let mut loaded = Source::new(what, kept).applied_by(&self.right).not_by(&self.wrong);
        for (name, one) in written {
            match self.from(name) {
                Some(now) if !self.is_loaded(one) => {
                    loaded.entries.insert((*name).to_owned(), Assignment::at(1, now.duplicate()));
                }
                None if self.started.is_none() => {
                    let why =
                        "it does not run, and the configuration that supervisord last read is not visible";
                    loaded.entries.insert((*name).to_owned(), Assignment::not_told(1, why));
                }
                Some(_) | None => {}
            }
        }
        loaded
    }

    /// What the lists of one section say, by file; and what they refer to.
    fn written(&self, last: &BTreeMap<&str, &Assigned>, section: &str, list: &[Assigned]) -> Vec<Source> {
        let mut all = Vec::new();
        let mut files: BTreeMap<&PathBuf, [Source; 2]> = BTreeMap::new();
        for one in list {
            let shadowed = last.get(one.name.as_str()).is_some_and(|last| !std::ptr::eq(*last, one));
            let read = if shadowed || self.is_loaded(one) { Read::Start } else { Read::Not };
            let entry = match self.value(one) {
                Some(value) => Assignment::at(one.line, value),
                None => Assignment::not_told(one.line, MADE_OF_OTHERS),
            };
            if let Some(source) = self.referred(section, one) {
                all.push(source.read(read).with(&one.name, entry));
                continue;
            }
            let new = |read| {
                let what = format!("environment= of {section} in {}", shown(&one.file));
                let source = Source::of_file(what, &one.file).read(read);
                source.applied_by(&self.right).not_by(&self.wrong)
            };
            let [live, edited] = files.entry(&one.file).or_insert_with(|| [new(Read::Start), new(Read::Not)]);
            let into = if read == Read::Start { live } else { edited };
            into.entries.insert(one.name.clone(), entry);
        }
        all.extend(files.into_values().flatten());
        all
    }

    /// The source that a value refers to. The text that refers to it is no copy: neither an edit there nor `update`
    /// moves the value.
    fn referred(&self, section: &str, one: &Assigned) -> Option<Source> {
        let known = |name: &&String| self.own.is_some_and(|own| own.contains_key(*name));
        let secret = one.refers.iter().find(|name| names_a_secret(name));
        let name = secret.or_else(|| one.refers.iter().find(known)).or(one.refers.first())?;
        let at = format!("environment= of {section} in {}:{} refers", shown(&one.file), one.line);
        if let Some(other) = self.of_all(name).filter(|_| section != OF_ALL) {
            let what = format!("{name} of {OF_ALL} in {}, to which {at}", shown(&other.file));
            let source =
                Source::new(what, Origin::At(Place::File { path: other.file.clone(), line: other.line }));
            return Some(source.applied_by(&self.right).not_by(&self.wrong));
        }
        let pid = self.daemon.process.pid;
        let what = format!("{name} in the environment of supervisord {pid}, to which {at}");
        let place = Place::Environment { process: self.daemon.process, variable: name.clone() };
        let again = format!("start supervisord again with the new {name} in its environment");
        Some(Source::new(what, Origin::At(place)).applied_by(again).not_by(&self.right))
    }
}
