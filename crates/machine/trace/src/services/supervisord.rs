use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_manager::{Assigned, Supervisor, SupervisorConfig, Supervisord, Variables};
use keyroll_observe::{ProcessId, Rights, shown};
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::source::{Assignment, Kept, Origin, Read, Source, word};
use crate::Record;
use crate::place::harmless;

/// The programs of every supervisord that runs.
pub(crate) fn kept(context: &mut Context<'_>) -> Vec<Kept> {
    let mut all = Vec::new();
    for daemon in Supervisord::all(context.listing) {
        all.extend(programs(context, &daemon));
    }
    all
}

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
    let of_group = |one: &Started, program: &str| {
        one.group == program || one.name == program || one.name.starts_with(&format!("{program}_"))
    };
    // A group of several programs has the processes of each of them under its own name.
    names.retain(|name| {
        config.programs.contains_key(name)
            || !started
                .iter()
                .any(|one| one.group == *name && config.programs.keys().any(|it| of_group(one, it)))
    });
    let project = daemon.config.as_deref().and_then(Path::parent).map(Path::to_owned);
    let with = |name: String| {
        let mine: Vec<&Started> = started.iter().filter(|one| of_group(one, &name)).collect();
        let sources = sources(daemon, &config, &name, &mine, own.as_ref());
        let mains: Vec<ProcessId> = mine.iter().map(|one| one.process).collect();
        let processes = mains.iter().flat_map(|main| context.tree(*main)).collect();
        let (main, project) = (mains.first().copied(), project.clone());
        let declaration = Supervisor::declaration(&harmless(&name), daemon.config.as_deref());
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

/// The sources of a program. Its own `environment=` wins over that of `[supervisord]`, and both win over supervisord's
/// own environment. supervisord starts a program with the configuration that it read last; `update` makes it read the
/// file again, and restarts the programs that changed. Therefore the start environment of a running process shows what
/// supervisord has loaded for each name in an `environment=`.
fn sources(
    daemon: &Supervisord,
    config: &SupervisorConfig,
    program: &str,
    started: &[&Started],
    own: Option<&Variables>,
) -> Vec<Source> {
    let config_path =
        daemon.config.as_deref().map_or_else(String::new, |path| format!(" -c {}", word(shown(path))));
    let ctl = format!("supervisorctl{config_path}");
    // It reads the configuration again by itself. Source: supervisor 4, supervisorctl.py, `do_update`.
    let right = format!("{ctl} update {}", word(program));
    let wrong = format!("{ctl} restart {}", word(format!("{program}:*")));
    let of_program = config.programs.get(program).map(Vec::as_slice).unwrap_or_default();
    let mut written: BTreeMap<&str, &Assigned> = BTreeMap::new();
    for one in config.of_all.iter().chain(of_program) {
        written.insert(&one.name, one);
    }
    let kept = Origin::Kept(Record::Manager, format!("supervisord {}", daemon.process.pid));
    let what = format!("what supervisord {} has loaded of {program}", daemon.process.pid);
    let mut loaded = Source::new(what, kept).applied_by(&right).not_by(&wrong);
    let from = |name: &str| started.first().and_then(|one| one.environment.get(name));
    let same = |one: &Assigned| match (&one.value, from(&one.name)) {
        (Some(value), Some(now)) => value == now,
        // Built from other variables: only the process shows the result.
        (None, Some(_)) => true,
        (_, None) => false,
    };
    for (name, one) in &written {
        match from(name) {
            Some(now) if !same(one) => {
                loaded.entries.insert((*name).to_owned(), Assignment::at(1, now.duplicate()));
            }
            None if started.is_empty() => {
                let why = "it does not run, and the configuration that supervisord last read is not visible";
                loaded.entries.insert((*name).to_owned(), Assignment::not_told(1, why));
            }
            Some(_) | None => {}
        }
    }
    let mut all = vec![loaded];
    let own_section = format!("[program:{program}]");
    for (section, list) in [(own_section.as_str(), of_program), ("[supervisord]", config.of_all.as_slice())] {
        let mut files: BTreeMap<&PathBuf, [Source; 2]> = BTreeMap::new();
        for one in list {
            let new = |read| {
                let what = format!("environment= of {section} in {}", shown(&one.file));
                Source::of_file(what, &one.file).read(read).applied_by(&right).not_by(&wrong)
            };
            let [live, edited] = files.entry(&one.file).or_insert_with(|| [new(Read::Start), new(Read::Not)]);
            let shadowed = written.get(one.name.as_str()).is_some_and(|last| !std::ptr::eq(*last, one));
            let value =
                one.value.as_ref().map(SecretBytes::duplicate).or_else(|| Some(from(&one.name)?.duplicate()));
            let entry = match value {
                Some(value) => Assignment::at(one.line, value),
                None => Assignment::not_told(one.line, "it is made of other variables"),
            };
            let into = if shadowed || same(one) { live } else { edited };
            into.entries.insert(one.name.clone(), entry);
        }
        all.extend(files.into_values().flatten());
    }
    let handed_on =
        own.into_iter().flatten().map(|(name, value)| (name.clone(), value.duplicate())).collect();
    let what = format!("the environment of supervisord {}", daemon.process.pid);
    let own = Source::new(what, Origin::Start(daemon.process)).holding(handed_on);
    all.push(own.applied_by("a restart of supervisord itself").not_by(&wrong));
    all.retain(|source| !source.says_nothing());
    all
}
