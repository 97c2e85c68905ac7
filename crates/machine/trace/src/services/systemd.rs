mod credentials;
mod environment_d;
mod unit_text;
mod verbs;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_copy::DotenvReader;
use keyroll_manager::{EnvironmentFile, Unit, UnitSources, UnitsSources, Variables, Wrapper};
use keyroll_observe::{ProcessId, Rights, shown};
use keyroll_port::{Failure, FailureKind};
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::env_file;
use super::source::{Assignment, Kept, Origin, Read, Source};
use unit_text::UnitText;
use verbs::Verbs;

/// The services of the system's manager and of the users' own ones.
pub(crate) fn kept(
    context: &mut Context<'_>,
    asked: Vec<(Option<String>, Result<UnitsSources, Failure>)>,
) -> Vec<Kept> {
    asked.into_iter().flat_map(|(user, answer)| of_manager(context, user.as_deref(), answer)).collect()
}

fn of_manager(
    context: &mut Context<'_>,
    user: Option<&str>,
    answer: Result<UnitsSources, Failure>,
) -> Vec<Kept> {
    let asked = match answer {
        Ok(asked) => asked,
        // There is no systemd here, or this manager does not run.
        Err(failure) if failure.kind == FailureKind::ManagerAbsent && user.is_none() => return Vec::new(),
        Err(failure) => {
            let whose = user.map_or_else(|| "the system".to_owned(), |name| format!("the user {name}"));
            context.not_told(format!("the services of systemd of {whose}"), &failure);
            return Vec::new();
        }
    };
    let own: Variables = asked.of_manager.into_iter().collect();
    let read = asked.read_unix_ms;
    let files = user.map(|user| environment_d::files(context, user)).unwrap_or_default();
    let units = asked.units.into_iter().map(|unit| service(context, unit, user, (&own, &files), read));
    units.filter(|one| !one.processes.is_empty() || !one.sources.is_empty()).collect()
}

fn service(
    context: &Context<'_>,
    unit: UnitSources,
    user: Option<&str>,
    (of_manager, files_of_manager): (&Variables, &[Source]),
    read_unix_ms: Option<u64>,
) -> Kept {
    let name = user.map_or_else(|| unit.unit.clone(), |user| format!("{} of {user}", unit.unit));
    let processes = processes(context, &unit, user);
    let main = processes.iter().find(|id| id.pid == unit.main_pid).copied();
    let project = unit.of_unit.first().and_then(|path| path.parent()).map(Path::to_owned);
    let declaration = Unit::declaration(&unit.unit, user, project.as_deref());
    let verbs = Verbs::of(&unit, user);
    let read = move || sources(context, unit, user, (of_manager, files_of_manager), read_unix_ms, &verbs);
    // A user's manager reads files with that user's rights, whatever its units name.
    let uid = user.and_then(|name| context.uid_of(name));
    let sources = match uid {
        Some(uid) => Rights::of_user(uid).reading(read).unwrap_or_default(),
        None => read(),
    };
    Kept { main, project, sources, ..Kept::of(declaration, name, processes) }
}

/// The sources of a unit's environment, the winning one first.
fn sources(
    context: &Context<'_>,
    unit: UnitSources,
    user: Option<&str>,
    (of_manager, files_of_manager): (&Variables, &[Source]),
    read_unix_ms: Option<u64>,
    verbs: &Verbs,
) -> Vec<Source> {
    let mut sources: Vec<Source> =
        unit.environment_files.iter().rev().flat_map(|file| environment_file(file, verbs)).collect();
    let files = UnitText::read(&unit.of_unit);
    let loaded: Variables = unit.environment.into_iter().collect();
    let of_unit = files.environment(&unit.unit, &loaded, verbs).into_iter();
    sources.extend(of_unit.map(|source| Source { since_unix_ms: read_unix_ms, ..source }));
    sources.extend(passed(context, user, &unit.passed));
    let of_files = files_of_manager.iter().map(Source::duplicate).collect();
    sources.extend(environment_d::sources(of_files, of_manager, verbs, read_unix_ms));
    let out = taken_out(&mut sources, &unit.unset);
    sources.extend(out);
    let fragment = unit.of_unit.first().map_or(Path::new(""), PathBuf::as_path);
    sources = wrapped(unit.wrapper, &unit.unit, fragment, sources, verbs);
    if let Some(wrapper) = sources.first_mut() {
        wrapper.since_unix_ms = read_unix_ms;
    }
    sources.extend(credentials::sources(&files, &unit.credentials, verbs));
    // A file that has no entries now may have had some when the program was started.
    sources.retain(|source| !source.says_nothing() || source.each_start);
    if sources.iter().all(|source| source.missing || source.says_nothing()) {
        sources.clear();
    }
    sources
}

/// The files of one `EnvironmentFile=`; of a pattern the last file wins.
fn environment_file(file: &EnvironmentFile, verbs: &Verbs) -> Vec<Source> {
    let of = |path: &Path| {
        let mut what = format!("EnvironmentFile={}", shown(&file.written));
        if path != file.written {
            what = format!("{} of {what}", shown(path));
        }
        let reader = DotenvReader::Systemd;
        let read = match file.optional {
            true => env_file::optional(what, path, reader),
            false => env_file::source_for(what, path, reader),
        };
        read.applied_by(&verbs.restart).not_by(&verbs.reload)
    };
    let there = file.files.iter().any(|path| path.exists());
    if !there && !file.optional {
        return vec![of(&file.written).closed("it is not there, and without it systemd starts nothing")];
    }
    file.files.iter().rev().map(|path| of(path)).collect()
}

/// The variables that the system's manager passes on from its own start environment. A user's manager passes on all of
/// its environment.
fn passed(context: &Context<'_>, user: Option<&str>, names: &[String]) -> Option<Source> {
    let manager = context.process(1).filter(|_| user.is_none() && !names.is_empty())?.id;
    let mut all = context.start(&manager)?;
    all.retain(|name, _| names.contains(name));
    let what = "PassEnvironment= of what the service manager was started with";
    Some(Source::new(what, Origin::Start(manager)).holding(all).applied_by("a new boot"))
}

/// `UnsetEnvironment=` removes a variable from every source; with a value, only if that is the final value.
fn taken_out(sources: &mut [Source], unset: &[(String, Option<SecretBytes>)]) -> Vec<Source> {
    let wins = |name: &str| {
        let read = sources.iter().filter(|source| source.read == Read::Start);
        read.filter_map(|source| source.entries.get(name)).next()?.value.as_ref().ok()
    };
    let mut out: BTreeSet<&str> = BTreeSet::new();
    for (name, value) in unset {
        if value.as_ref().is_none_or(|value| wins(name) == Some(value)) {
            out.insert(name);
        }
    }
    sources.iter_mut().map(|source| source.set_aside(|name, _| out.contains(name))).collect()
}

/// The effect of `env` before the program on all other sources.
fn wrapped(
    wrapper: Wrapper,
    unit: &str,
    fragment: &Path,
    mut others: Vec<Source>,
    verbs: &Verbs,
) -> Vec<Source> {
    let what = format!("ExecStart= of {unit}");
    let mut own = Source::of_file(what, fragment).applied_by(&verbs.read_again).not_by(&verbs.restart);
    for (name, value) in wrapper.sets {
        let entry = match value {
            Some(value) => Assignment::at(1, value),
            None => Assignment::not_told(1, "systemd expands another variable"),
        };
        own.entries.insert(name, entry);
    }
    let gone = |name: &str| wrapper.empties || wrapper.removes.iter().any(|removed| removed == name);
    let aside: Vec<Source> = others.iter_mut().map(|source| source.set_aside(|name, _| gone(name))).collect();
    if wrapper.empties {
        others.iter_mut().for_each(|source| source.closed = None);
    }
    std::iter::once(own).chain(others).chain(aside).collect()
}

/// The processes of its control group; a user's manager can name only that user's processes. Inside a container the
/// kernel may show a longer path, and systemd knows only its end. A process that has just started may not be in its
/// group yet.
fn processes(context: &Context<'_>, unit: &UnitSources, user: Option<&str>) -> Vec<ProcessId> {
    let group = unit.control_group.as_str();
    let (known, below) = (!group.is_empty() && group != "/", format!("{group}/"));
    let inside = |path: &str| known && (path.ends_with(group) || path.contains(&below));
    let whose = |uid: Option<u32>| uid.and_then(|uid| context.users.get(&uid)).map(String::as_str);
    let all = context.listing.seen.iter().filter(|one| user.is_none() || user == whose(one.uid));
    let belongs = all.filter(|one| one.id.pid == unit.main_pid || one.cgroup.as_deref().is_some_and(inside));
    belongs.map(|one| one.id).collect()
}
