use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_agents::{
    AgentLink, AgentLinkRole, AgentSlot, Explained, LITELLM, ProxyConfig, agent_of, explained,
};
use keyroll_copy::{Format, Pointer, Slot};
use keyroll_leak::no_secret;
use keyroll_manager::{LiteLlmProxy, Variables};
use keyroll_observe::{Arguments, Process, ProcessId, Rights, called, has_other_files, read_regular, shown};
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::dotenv;
use super::env_file;
use super::source::{Assignment, Kept, Origin, Read, Source};
use crate::entries::shown_name;
use crate::kinds::format_of;
use crate::look::with_rows;
use crate::{ManagedBy, Place, Unseen};

/// How many words of a command line are searched for the name of an agent.
const PROGRAM_WORDS_MAX: usize = 3;

/// The largest file of an agent that is read, bytes.
const FILE_BYTES_MAX: usize = 16 << 20;

/// The parts of agents' own files that could not be read, with the reason, and how often each occurred.
type Closed = BTreeMap<(String, &'static str), usize>;

/// A running agent, which keeps its keys in places of its own.
struct Running<'a> {
    agent: &'static str,
    process: &'a Process,
    /// Its working folder and its root folder, as paths of this machine.
    folder: PathBuf,
    root: PathBuf,
    /// The start environment of the agent, or of one of its own processes.
    start: Variables,
    started: ProcessId,
}

/// Adds the sources from agents' own files: to the services that run, and as services of their own for agents that do
/// not run.
pub(crate) fn add(context: &mut Context<'_>, homes: &[PathBuf], all: &mut Vec<Kept>) {
    let mut closed = Closed::new();
    let mut told: BTreeSet<PathBuf> = BTreeSet::new();
    let parts: Vec<Kept> = all.iter_mut().filter_map(|kept| part(context, kept)).collect();
    all.extend(parts);
    for kept in all.iter_mut() {
        let Some(running) = Running::of(context, kept) else { continue };
        let rights = Rights::of_process(&running.process.id);
        let read = rights.and_then(|rights| rights.reading(|| running.add(kept, &mut told, &mut closed)));
        match read {
            Ok(Ok(())) => {
                if let Some(config) = running.config().filter(|_| running.agent == LITELLM) {
                    kept.agent = Some(Arc::new(LiteLlmProxy { config }));
                }
            }
            Ok(Err((path, why))) => {
                context.not_seen(format!("{} of {}", shown(&path), running.agent), why);
            }
            Err(why) => {
                let what = format!("the files of {} {}", running.agent, running.process.id.pid);
                context.not_seen(what, why.to_string());
            }
        }
    }
    for home in homes {
        let (own, told) = (home.clone(), told.clone());
        let (found, hidden) = context.in_home(home, move |_| idle_agents(&own, &told));
        all.extend(found);
        hidden.into_iter().for_each(|(what, count)| *closed.entry(what).or_default() += count);
    }
    context.unseen.extend(closed.into_iter().map(|((what, why), count)| {
        let what = if count > 1 { format!("{what} ({count} keys)") } else { what };
        Unseen { what, reason: why.to_owned(), uid: None }
    }));
}

/// The agents of a home from which no running agent takes its keys.
fn idle_agents(home: &Path, told: &BTreeSet<PathBuf>) -> (Vec<Kept>, Closed) {
    let mut closed = Closed::new();
    let mut of_home: BTreeMap<&'static str, Vec<Explained>> = BTreeMap::new();
    for one in explained(home, None, &|_| None, &|_| false) {
        let known = one.links.iter().any(|link| link.file.as_ref().is_some_and(|path| told.contains(path)));
        if !known {
            of_home.entry(one.agent).or_default().push(one);
        }
    }
    let kept = |(agent, found): (&str, Vec<Explained>)| {
        let mut kept = Kept::untold(ManagedBy::Agent, format!("{agent} of {}", shown(home)), Vec::new());
        join(&mut kept, &found, None, &mut closed);
        kept
    };
    let all = of_home.into_iter().map(kept).collect();
    (all, closed)
}

impl<'a> Running<'a> {
    /// Adds the sources from its files to the service of its manager. `Err` as for [`Running::explained`].
    fn add(
        &self,
        kept: &mut Kept,
        told: &mut BTreeSet<PathBuf>,
        closed: &mut Closed,
    ) -> Result<(), (PathBuf, String)> {
        let found = self.explained()?;
        told.extend(found.iter().flat_map(|one| &one.links).filter_map(|link| link.file.clone()));
        if self.agent != LITELLM && !kept.managed_by.is_service() {
            kept.managed_by = ManagedBy::Agent;
            kept.name = format!("{} {}", self.agent, self.process.id.pid);
        }
        join(kept, &found, Some(self), closed);
        Ok(())
    }

    fn of(context: &Context<'a>, kept: &Kept) -> Option<Self> {
        let all = kept.processes.iter().filter_map(|id| context.process(id.pid));
        let (agent, process) = all.filter_map(|one| Some((named(&one.args)?, one))).next()?;
        let folder = dotenv::here(&process.id)?;
        let root = match has_other_files(&process.id) {
            Ok(true) => Path::new("/proc").join(process.id.pid.to_string()).join("root"),
            Ok(false) | Err(_) => PathBuf::from("/"),
        };
        // A worker may have got from its master what the master read from a file.
        let mut start = context.start(&process.id).unwrap_or_default();
        let mut started = process.id;
        for id in &kept.processes {
            for (name, value) in context.start(id).unwrap_or_default() {
                start.entry(name).or_insert_with(|| {
                    started = *id;
                    value
                });
            }
        }
        Some(Self { agent, process, folder, root, start, started })
    }

    /// The configuration file that a proxy was given.
    fn config(&self) -> Option<PathBuf> {
        let path = config_of(&self.process.args)?;
        let path = match path.strip_prefix("/") {
            Ok(inside) => self.root.join(inside),
            Err(_) => self.folder.join(&path),
        };
        Some(path)
    }

    /// The sources in its files. `Err` = the file that names the others cannot be read, and why.
    fn explained(&self) -> Result<Vec<Explained>, (PathBuf, String)> {
        let started = |name: &str| self.start.contains_key(name);
        let told = |name: &str| {
            let value = self.start.get(name)?;
            Some(String::from_utf8_lossy(value.expose()).into_owned())
        };
        let below = |path: &str| self.root.join(path.trim_start_matches('/')).display().to_string();
        if self.agent == LITELLM {
            let Some(path) = self.config() else { return Ok(Vec::new()) };
            let file = env_file::read(&path).map_err(|error| (path.clone(), error.to_string()))?;
            let config =
                ProxyConfig::read(file.expose()).map_err(|error| (path.clone(), error.to_string()))?;
            let beside = env_file::read(&self.folder.join(".env")).ok();
            let beside = beside.as_ref().map(SecretBytes::expose);
            return Ok(config.explained(&path, &self.folder, beside, &started));
        }
        let tells = |name: &str| {
            let value = told(name)?;
            Some(if value.starts_with('/') { below(&value) } else { value })
        };
        let home = told("HOME").map_or_else(|| self.folder.clone(), |home| PathBuf::from(below(&home)));
        let mut all = explained(&home, Some(&self.folder), &tells, &started);
        all.retain(|one| one.agent == self.agent);
        Ok(all)
    }
}

/// An agent that another program started and that no manager runs: its environment is not its parent's.
fn part(context: &Context<'_>, kept: &mut Kept) -> Option<Kept> {
    if kept.managed_by.is_service() {
        return None;
    }
    let all: Vec<&Process> = kept.processes.iter().filter_map(|id| context.process(id.pid)).collect();
    let agent = all.iter().find(|one| named(&one.args).is_some()).filter(|one| kept.main != Some(one.id))?;
    let mut own: BTreeSet<u32> = BTreeSet::from([agent.id.pid]);
    let mut before = 0;
    while before < own.len() {
        before = own.len();
        own.extend(
            all.iter().filter(|one| own.contains(&one.ppid)).map(|one| one.id.pid).collect::<Vec<_>>(),
        );
    }
    let (processes, rest) =
        std::mem::take(&mut kept.processes).into_iter().partition(|id| own.contains(&id.pid));
    kept.processes = rest;
    let what = format!("what process {} was started with", agent.id.pid);
    let start = context.start(&agent.id).unwrap_or_default();
    let source = Source::new(what, Origin::Start(agent.id)).holding(start);
    Some(Kept {
        main: Some(agent.id),
        sources: vec![source.read(Read::Perhaps("its next start may set another one"))],
        ..Kept::untold(ManagedBy::Unmanaged, format!("{} {}", called(agent), agent.id.pid), processes)
    })
}

/// The agent that a command line names: directly, or after an interpreter.
fn named(words: &Arguments) -> Option<&'static str> {
    let own = words.program().and_then(|path| agent_of(path.as_os_str().as_encoded_bytes()));
    let (mut found, mut left) = (own, PROGRAM_WORDS_MAX);
    words.any(|word| {
        if found.is_none() && left > 0 && !word.starts_with(b"-") {
            found = agent_of(word);
        }
        left = left.saturating_sub(1);
        left == 0
    });
    found
}

/// `--config FILE`, `-c FILE`, `--config=FILE`.
fn config_of(words: &Arguments) -> Option<PathBuf> {
    let (mut path, mut next) = (None, false);
    words.any(|word| {
        let given = if next { Some(word) } else { word.strip_prefix(b"--config=") };
        path = given.map(|word| PathBuf::from(String::from_utf8_lossy(word).into_owned()));
        next = matches!(word, b"--config" | b"-c");
        path.is_some()
    });
    path
}

/// Adds the links as sources, in their order and before all other sources of a service. If a link is the environment,
/// the known sources of that environment take its place.
fn join(kept: &mut Kept, found: &[Explained], running: Option<&Running<'_>>, closed: &mut Closed) {
    let mut own: Vec<Source> = Vec::new();
    let files: BTreeSet<&PathBuf> =
        found.iter().flat_map(|one| &one.links).filter_map(|link| link.file.as_ref()).collect();
    for one in found {
        let wins = one.links.iter().find(|link| link.role == AgentLinkRole::Wins).map(key);
        for link in &one.links {
            let read = match link.role {
                AgentLinkRole::Wins => Read::Start,
                // The winning link has another name: a program takes one key from either name.
                AgentLinkRole::Shadowed if wins != Some(key(link)) => Read::Loses,
                AgentLinkRole::Shadowed => Read::Start,
                AgentLinkRole::NotRead => Read::Not,
                AgentLinkRole::NotVisible(why) => Read::Perhaps(why),
            };
            let sources = match (&link.file, &link.slot) {
                (None, Some(AgentSlot::Variable(name))) => of_start(kept, name, read, running, &files),
                (Some(path), Some(slot)) => of_file(link, path, slot),
                (None, _) | (Some(_), None) => Vec::new(),
            };
            if sources.is_empty()
                && let AgentLinkRole::NotVisible(why) = link.role
            {
                let what = link.file.as_deref().map_or_else(|| link.what.clone(), shown);
                *closed.entry((format!("{what}, of {}", one.agent), why)).or_default() += 1;
            }
            own.extend(sources.into_iter().map(|source| {
                let read = if source.read == Read::Start { read } else { source.read };
                let mut source = source.read(read).applied_by(link.applies);
                source.read_later = link.file.is_some();
                match link.seems {
                    Some(seems) => source.not_by(seems),
                    None => source,
                }
            }));
        }
    }
    let names: BTreeSet<String> = own.iter().flat_map(|source| source.entries.keys().cloned()).collect();
    for source in &mut kept.sources {
        source.entries.retain(|name, _| !names.contains(name));
    }
    kept.sources.retain(|source| !source.says_nothing());
    own.append(&mut kept.sources);
    kept.sources = own;
}

/// The identity of a link's key: two places of one key have the same identity.
fn key(link: &AgentLink) -> &str {
    match &link.slot {
        Some(AgentSlot::Variable(name)) => name,
        Some(AgentSlot::Pointer(at) | AgentSlot::Row(at)) => {
            let last = at.rsplit('/').next().unwrap_or_default();
            let variable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if last.bytes().all(variable) { last } else { at }
        }
        Some(AgentSlot::Whole) | None => &link.what,
    }
}

/// The sources of the value that a program was started with under a name: from its manager, if known.
fn of_start(
    kept: &mut Kept,
    name: &str,
    read: Read,
    running: Option<&Running<'_>>,
    files: &BTreeSet<&PathBuf>,
) -> Vec<Source> {
    let mut all = Vec::new();
    for source in &mut kept.sources {
        let Some(mut entry) = source.entries.remove(name) else { continue };
        if matches!(&source.origin, Origin::File(path) if files.contains(path)) {
            continue;
        }
        entry.secret = true;
        let same = Source::new(source.what.clone(), source.origin.clone()).with(name, entry);
        let own = running.is_some_and(|running| source.origin == Origin::Start(running.process.id));
        let known = match (source.read, read) {
            (Read::Start, _) => read,
            // The program reads it, but nobody knows what sets it at the next start.
            (Read::Not, Read::Start) if own => Read::Perhaps("the process that started it no longer runs"),
            (Read::Not, _) if own => read,
            (other, _) => other,
        };
        if all.iter().any(|one: &Source| one.origin == source.origin) {
            continue;
        }
        all.push(Source { each_start: source.each_start, ..same.read(known) });
    }
    let given = running.and_then(|running| Some((running, running.start.get(name)?)));
    if let (true, Some((running, value))) = (all.is_empty(), given) {
        let value = Assignment { value: Ok(value.duplicate()), line: 1, secret: true };
        let what = format!("what process {} was started with", running.started.pid);
        all.push(Source::new(what, Origin::Start(running.started)).with(name, value).read(read));
    }
    all
}

/// The sources in a file of an agent.
fn of_file(link: &AgentLink, path: &Path, slot: &AgentSlot) -> Vec<Source> {
    match slot {
        AgentSlot::Variable(name) => {
            let mut source = env_file::source(&link.what, path);
            source.entries.retain(|known, _| known == name);
            source.entries.values_mut().for_each(|entry| entry.secret = true);
            if source.says_nothing() { Vec::new() } else { vec![source] }
        }
        AgentSlot::Pointer(at) => at_pointer(&link.what, path, at).into_iter().collect(),
        AgentSlot::Row(at) => in_row(&link.what, path, at),
        AgentSlot::Whole => Vec::new(),
    }
}

fn at_pointer(what: &str, path: &Path, at: &str) -> Option<Source> {
    let slot = Slot::At(Pointer::parse(at).ok()?);
    let name = shown_name(&slot)?;
    let file = env_file::read(path).ok()?;
    let entries = format_of(path, file.expose())?.entries(file.expose()).ok()?;
    let entry = entries.into_iter().rfind(|entry| entry.slot == slot)?;
    let before = file.expose().get(..entry.span.start).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let value = match entry.value {
        Ok(value) if no_secret(value.expose()).is_some() => Err("it names another place"),
        other => other,
    };
    Some(Source::of_file(what, path).with(name, Assignment { value, line, secret: true }))
}

/// `table.column/path/to/it`: the sources in a document in a row. An encrypted document shows nothing.
fn in_row(what: &str, path: &Path, at: &str) -> Vec<Source> {
    let (cell, way) = at.split_once('/').unwrap_or((at, ""));
    let Ok(way) = Pointer::parse(&format!("/{way}")) else { return Vec::new() };
    let Ok(file) = read_regular(path, FILE_BYTES_MAX) else { return Vec::new() };
    let mut all = Vec::new();
    let read = with_rows(path, file.bytes, &mut |row| {
        if format!("{}.{}", row.table, row.column) != cell {
            return;
        }
        for entry in Format::Json.entries(row.bytes).unwrap_or_default() {
            let Slot::At(pointer) = &entry.slot else { continue };
            let Some(name) = shown_name(&entry.slot).filter(|_| pointer.steps().starts_with(way.steps()))
            else {
                continue;
            };
            let entry = Assignment { value: entry.value, line: 1, secret: true };
            let (table, column) = (row.table.to_owned(), row.column.to_owned());
            let place = Place::Row { path: path.to_owned(), table, column, row: row.row };
            all.push(Source::new(what, Origin::At(place)).with(name, entry));
        }
    });
    if read.is_err() {
        all.clear();
    }
    // A later row has replaced an earlier one.
    all.reverse();
    all
}
