//! `runs`: which manager runs a consumer, and the workload of each of its instances.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_agents::AgentSlot;
use keyroll_manager::{
    CommandLine, Declaration, DeclarationError, DeclarationErrorKind, Declared, KeyForm, MANAGERS, Manager,
    SharedWorkload, Workload,
};

use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::period::read_period;
use crate::runs_shape::{RunsShape, RunsValue};
use crate::url::read_url;
use crate::{Argument, Argv, Copy, Kind, Name, Place};

/// The default time that an instance has to finish its work.
const DRAIN_DEFAULT_MS: u64 = 10_000;
/// The most instances of one consumer: as many as a plan has slots for.
pub const INSTANCES_MAX: usize = 32;

/// The keys that say which processes are a consumer's.
const FOUND_BY: [&str; 5] = ["pid_file", "process", "arg", "unit", USER];

/// Whose unit it is; alone it finds nothing.
const USER: &str = "user";

/// How the processes of one instance are found: a text for each of [`FOUND_BY`].
type FoundBy = [Option<String>; FOUND_BY.len()];

/// One instance of a consumer.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its name; `main` if the file names no instances.
    pub name: Name,
    /// Its port, if the file names ports.
    pub port: Option<u16>,
    /// Its workload.
    pub workload: SharedWorkload,
}

/// The instances of a consumer, and how they are run.
#[derive(Debug, Clone)]
pub struct Runs {
    /// The instances, in the order in which a rotation moves them; at least one.
    instances: Vec<Instance>,
    /// The workload of the first instance.
    first: SharedWorkload,
    /// An address that answers with a status of 200 to 299 when an instance is ready; may contain `{instance}` and `{port}`.
    pub ready: Option<Argument>,
    /// How long an instance may take to finish its work; `None` for a job, for a consumer that is served, and in a cluster.
    pub drain: Option<Duration>,
    /// The table that it was read from; empty for a consumer that is served.
    table: RunsShape,
}

/// Two are equal if they were read from equal tables.
impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

impl Eq for Runs {}

impl Runs {
    /// The instances, in the order in which a rotation moves them; one, `main`, if the file names none.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The workload of the first instance, for properties that all instances share.
    pub fn workload(&self) -> &dyn Workload {
        self.first.as_ref()
    }

    /// Whether all its instances are found as instances of the other are: by the same file, executable or unit.
    pub(crate) fn finds_as(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.found_by(), other.found_by());
        !mine.is_empty() && mine.iter().all(|one| theirs.contains(one))
    }

    /// How its instances are found. Two consumers may have the same text with different instances.
    fn found_by(&self) -> Vec<FoundBy> {
        let filled = |instance: &Instance| {
            FOUND_BY.map(|key| {
                let RunsValue::Text(text) = &self.table.0.get(key)?.value else { return None };
                Some(text.replace("{instance}", instance.name.as_str()))
            })
        };
        let is_found =
            |by: &FoundBy| by.iter().zip(FOUND_BY).any(|(text, key)| key != USER && text.is_some());
        self.instances.iter().map(filled).filter(is_found).collect()
    }

    /// The processes that get their value from keyroll's socket: one instance, `main`, which no table describes.
    pub(crate) fn served(workload: SharedWorkload) -> Self {
        Self::named(&["main"], workload, RunsShape(BTreeMap::new()))
    }

    /// The pods of a workload in a cluster: one instance, `main`, however many pods there are; and before it `canary`, if one
    /// pod is moved first.
    pub(crate) fn of_pods(workload: SharedWorkload, table: &RunsShape, canary: bool) -> Self {
        let names: &[&str] = if canary { &["canary", "main"] } else { &["main"] };
        Self::named(names, workload, table.clone())
    }

    /// Instances of these names, which are alike.
    fn named(names: &[&str], workload: SharedWorkload, table: RunsShape) -> Self {
        let named = |name| Instance { name, port: None, workload: workload.clone() };
        let instances = names.iter().filter_map(|name| Name::new(*name)).map(named).collect();
        Self { instances, first: workload, ready: None, drain: None, table }
    }

    pub(crate) fn build(shape: &At<RunsShape>, folder: &Path, reads: &[Copy]) -> Result<Self, Mistake> {
        let table = &shape.value;
        let read = Table { table, span: &shape.span, folder, holes: holes(table) };
        let manager = read.manager()?;
        read.refuse_strays(manager)?;
        let slots: Vec<(PathBuf, AgentSlot)> = reads.iter().map(|copy| agent_slot(&copy.place)).collect();
        let named = named_instances(table)?;
        let several = named.len() > 1;
        let mut instances = Vec::new();
        for (name, port) in named {
            let workload = read.workload(manager, &slots, several, &name, port)?;
            instances.push(Instance { name, port, workload });
        }
        let first = instances.first().map(|instance| instance.workload.clone());
        let first =
            first.ok_or_else(|| Mistake::new(Kind::WrongForm, "`instances` names none").at(&shape.span))?;
        let ready = read_url("ready", table.text("ready").as_ref(), &read.holes)?;
        let drain = match manager.takes("drain") {
            true => Some(read_period(
                "drain",
                table.text("drain").as_ref(),
                Duration::from_millis(DRAIN_DEFAULT_MS),
            )?),
            false => None,
        };
        Ok(Self { instances, first, ready, drain, table: table.clone() })
    }
}

/// A table of the file that is read.
struct Table<'a> {
    table: &'a RunsShape,
    span: &'a std::ops::Range<usize>,
    folder: &'a Path,
    /// The placeholders that are allowed.
    holes: Vec<&'static str>,
}

impl Table<'_> {
    fn wrong(&self, why: impl Into<String>) -> Mistake {
        Mistake::new(Kind::BadCombination, why).at(self.span).help(forms())
    }

    /// The manager that the table names. A manager that also takes keys of other managers takes precedence over those.
    fn manager(&self) -> Result<&'static Manager, Mistake> {
        for (key, value) in &self.table.0 {
            if value.value == RunsValue::Flag(false) {
                let why = format!("`{key}` is true or is left out");
                return Err(Mistake::new(Kind::BadCombination, why).at(&value.span).help(forms()));
            }
        }
        let named: Vec<&'static Manager> =
            MANAGERS.iter().copied().filter(|one| self.table.0.contains_key(one.key())).collect();
        let combining: Vec<&'static Manager> = named
            .iter()
            .copied()
            .filter(|one| MANAGERS.iter().any(|other| one.with.contains(&other.key())))
            .collect();
        match (named.as_slice(), combining.as_slice()) {
            ([one], _) | (_, [one]) => Ok(one),
            _ => {
                let all: Vec<String> = MANAGERS.iter().map(|one| format!("`{}`", one.key())).collect();
                Err(self.wrong(format!("`runs` needs exactly one of {}", all.join(", "))))
            }
        }
    }

    fn refuse_strays(&self, manager: &Manager) -> Result<(), Mistake> {
        let strays = || self.table.0.iter().filter(|(key, _)| !manager.takes(key));
        for (key, value) in strays() {
            let is_own = |one: &&Manager| one.keys.iter().skip(1).any(|own| own.name == *key);
            if let Some(owner) = MANAGERS.iter().copied().find(is_own) {
                let why = format!("`{key}` goes with `{}`", owner.key());
                return Err(Mistake::new(Kind::BadCombination, why).at(&value.span));
            }
        }
        match strays().next() {
            Some(_) => Err(self.wrong(manager.only)),
            None => Ok(()),
        }
    }

    /// The workload of one instance.
    fn workload(
        &self,
        manager: &Manager,
        reads: &[(PathBuf, AgentSlot)],
        several: bool,
        name: &Name,
        port: Option<u16>,
    ) -> Result<SharedWorkload, Mistake> {
        let instance = self.holes.contains(&"instance").then_some(name.as_str());
        let mut of = Declaration { several, reads, instance, ..Declaration::default() };
        for key in keyroll_manager::keys() {
            let Some(value) = self.table.0.get(key.name) else { continue };
            let declared = self.declared(key.name, key.form, value, name, port)?;
            let Some((declared, names_instance)) = declared else { continue };
            of.values.insert(key.name, declared);
            if names_instance {
                of.names_instance.push(key.name);
            }
        }
        (manager.read)(&of).map_err(|error| self.refused(error))
    }

    /// The value of a key for one instance, and whether its text names the instance.
    fn declared(
        &self,
        key: &'static str,
        form: KeyForm,
        value: &At<RunsValue>,
        name: &Name,
        port: Option<u16>,
    ) -> Result<Option<(Declared, bool)>, Mistake> {
        let filled = |argument: &Argument| argument.fill(name.as_str(), port, None);
        let names = |uses: &dyn Fn(&str) -> bool| uses("instance") || uses("port");
        let declared = match (&value.value, form) {
            (RunsValue::Text(text), KeyForm::Text) => (Declared::Text(text.clone()), false),
            // An empty name is refused by its manager.
            (RunsValue::Text(text), KeyForm::Template) if text.is_empty() => {
                (Declared::Text(String::new()), false)
            }
            (RunsValue::Text(text), KeyForm::Template) => {
                let argument = Argument::read(key, &at(text, value), &self.holes)?;
                (Declared::Text(filled(&argument)), names(&|hole| argument.uses(hole)))
            }
            (RunsValue::Text(text), KeyForm::TemplatePath) => {
                let argument = Argument::read_path(self.folder, key, &at(text, value), &self.holes)?;
                (Declared::Path(filled(&argument).into()), names(&|hole| argument.uses(hole)))
            }
            (RunsValue::Text(text), KeyForm::Executable) if !text.contains('/') => {
                let why = format!("`{key}` must be the path of an executable, not a name");
                return Err(Mistake::new(Kind::BadPath, why).at(&value.span));
            }
            (RunsValue::Text(text), KeyForm::Path | KeyForm::Executable) => {
                (Declared::Path(resolve(self.folder, key, &at(text, value))?), false)
            }
            (RunsValue::Words(words), KeyForm::Command) => {
                let words = At { value: words.clone(), span: value.span.clone() };
                let argv = Argv::read(self.folder, key, &words, &self.holes)?;
                let line = command(argv.fill(name.as_str(), port, None), self.folder);
                (Declared::Command(line), names(&|hole| argv.uses(hole)))
            }
            (RunsValue::Flag(_), _) => (Declared::Flag, false),
            // The names and ports of instances, which were read before.
            (RunsValue::Text(_) | RunsValue::Words(_) | RunsValue::Ports(_), _) => return Ok(None),
        };
        Ok(Some(declared))
    }

    fn refused(&self, error: DeclarationError) -> Mistake {
        let span = error.key.and_then(|key| self.table.0.get(key)).map_or(self.span, |value| &value.span);
        let kind = match error.kind {
            DeclarationErrorKind::Combination => Kind::BadCombination,
            DeclarationErrorKind::Name => Kind::BadName,
            DeclarationErrorKind::Form => Kind::WrongForm,
            DeclarationErrorKind::OneOf(words) => {
                let key = error.key.unwrap_or_default();
                let text = self.table.text(key).map_or_else(String::new, |text| text.value);
                return Mistake::one_of(key, &At { value: text, span: span.clone() }, words);
            }
        };
        let fault = Mistake::new(kind, error.why).at(span);
        match (error.help, error.kind) {
            (Some(help), _) => fault.help(help),
            (None, DeclarationErrorKind::Combination) => fault.help(forms()),
            (None, _) => fault,
        }
    }
}

fn at(text: &str, value: &At<RunsValue>) -> At<String> {
    At { value: text.to_owned(), span: value.span.clone() }
}

fn command(words: Vec<String>, folder: &Path) -> CommandLine {
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    CommandLine { folder: Some(folder.to_owned()), ..CommandLine::program(program, words) }
}

/// Every form of `runs`, for people.
fn forms() -> String {
    let all: Vec<&str> = MANAGERS.iter().map(|manager| manager.example).collect();
    format!("the forms are: {}", all.join(" · "))
}

/// The place of a copy, in the terms of agents.
fn agent_slot(place: &Place) -> (PathBuf, AgentSlot) {
    let slot = match place {
        Place::EnvFile { variable, .. } => AgentSlot::Variable(variable.clone()),
        Place::File { .. } | Place::Key { .. } => AgentSlot::Whole,
        Place::Inside { at, .. } => AgentSlot::Pointer(at.clone()),
        Place::Userlist { user, .. } => AgentSlot::Row(user.to_string()),
        Place::Within { template, .. } => AgentSlot::Row(template.clone()),
    };
    (place.path().to_owned(), slot)
}

/// The placeholders that are allowed in this table.
pub(crate) fn holes(table: &RunsShape) -> Vec<&'static str> {
    let of = [("instances", "instance"), ("ports", "port")];
    of.into_iter().filter(|(key, _)| table.0.contains_key(key)).map(|(_, hole)| hole).collect()
}

/// The instances by name, with their ports.
fn named_instances(table: &RunsShape) -> Result<Vec<(Name, Option<u16>)>, Mistake> {
    let mut instances: Vec<(Name, Option<u16>)> = Vec::new();
    match table.0.get("instances") {
        Some(At { value: RunsValue::Words(names), span }) => {
            if names.is_empty() || names.len() > INSTANCES_MAX {
                let why = format!("`instances` must name 1 to {INSTANCES_MAX}");
                return Err(Mistake::new(Kind::WrongForm, why).at(span));
            }
            for text in names {
                let name = Name::read("an instance", text)?;
                if instances.iter().any(|(other, _)| *other == name) {
                    return Err(Mistake::new(Kind::Duplicate, format!("instance `{name}` is named twice"))
                        .at(&text.span));
                }
                instances.push((name, None));
            }
        }
        Some(_) | None => instances.extend(Name::new("main").map(|name| (name, None))),
    }
    if let Some(At { value: RunsValue::Ports(ports), span }) = table.0.get("ports") {
        if ports.len() != instances.len() {
            let why = format!("`ports` must have one port for each instance ({})", instances.len());
            return Err(Mistake::new(Kind::BadCombination, why).at(span));
        }
        for ((_, port), given) in instances.iter_mut().zip(ports) {
            *port = Some(*given);
        }
    }
    Ok(instances)
}
