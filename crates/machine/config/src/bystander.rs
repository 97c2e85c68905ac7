//! `bystanders`: processes that legitimately hold the value and are no consumers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use keyroll_manager::{UNIT_NAME_BYTES_MAX, is_unit_name};
use keyroll_observe::runs_any_program;

use crate::around::Around;
use crate::at::At;
use crate::broken::Broken;
use crate::bystander_shape::BystanderShape;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::path::resolve;
use crate::reading::Reading;
use crate::serves::user_of;
use crate::site::read_host;
use crate::{Connect, Consumer, Host, Kind, LOCAL, Name, is_unseen};

/// The most bystanders of one secret.
const BYSTANDERS_MAX: usize = 64;
/// The longest reason, in bytes: it is shown at every consent.
const REASON_BYTES_MAX: usize = 256;

/// A declared bystander.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bystander {
    /// Its name.
    pub name: Name,
    /// The machine that it is on.
    pub host: Name,
    /// Whether that is the machine that keyroll runs on.
    pub is_here: bool,
    /// The whole name of its unit: of the system's manager, or with `user` of that user's own.
    pub unit: Option<String>,
    /// The user that it runs as: a name, or a number without leading zeros.
    pub user: Option<String>,
    /// The executable that it runs, absolute.
    pub executable: Option<PathBuf>,
    /// Why it may hold the value.
    pub reason: String,
}

impl Bystander {
    /// Whether it is on this host; `local` is the machine that keyroll runs on, whatever the file calls it.
    pub fn is_on(&self, host: &str) -> bool {
        let machine = if self.is_here { LOCAL } else { self.host.as_str() };
        machine == host || self.host.as_str() == host
    }

    fn read(shape: &BystanderShape, hosts: &BTreeMap<Name, Host>, reading: Reading) -> Result<Self, Mistake> {
        let name = Name::read("a bystander", &shape.name)?;
        if shape.unit.is_none() && shape.executable.is_none() {
            let why = format!("the bystander `{name}` says neither `unit` nor `executable`");
            return Err(Mistake::new(Kind::BadCombination, why).at(&shape.name.span).help(
                "write `unit = \"gateway.service\"`, `executable = \"/usr/local/bin/gateway\"`, or both",
            ));
        }
        if let (Reading::Current, None, Some(text)) = (reading, &shape.unit, &shape.executable) {
            refuse_any_program(&name, text)?;
        }
        let (host, is_here) = match (read_host(shape.host.as_ref(), hosts)?, shape.host.as_ref()) {
            (Some(host), Some(text)) if host.connect.cluster().is_some() => {
                return Err(in_cluster(host, &text.span));
            }
            (Some(host), _) => (host.name.clone(), host.connect == Connect::Local),
            (None, _) => (Name::local(), true),
        };
        Ok(Self {
            name,
            host,
            is_here,
            unit: shape.unit.as_ref().map(read_unit).transpose()?,
            user: shape.user.as_ref().map(|text| user_of("bystanders.user", text)).transpose()?,
            executable: shape.executable.as_ref().map(read_executable).transpose()?,
            reason: read_reason(&shape.reason)?,
        })
    }
}

/// The bystanders of a secret, in the order of the file. The consumers are unknown where one has a mistake.
pub(crate) fn read_bystanders(
    shapes: &[BystanderShape],
    around: &Around<'_>,
    consumers: Option<&[Consumer]>,
    broken: &Broken,
    all: &mut Mistakes,
) -> Read<Vec<Bystander>> {
    if broken.has("bystanders") || !around.hosts_are_whole {
        return None;
    }
    let mut read: Vec<Bystander> = Vec::new();
    let mut is_whole = true;
    for shape in shapes {
        let one = Bystander::read(shape, around.hosts, around.reading);
        match all.note(one.and_then(|one| refuse(&one, &read, consumers, shape).map(|()| one))) {
            Some(one) => read.push(one),
            None => is_whole = false,
        }
    }
    is_whole.then_some(read)
}

/// Refuses what those before it, or the consumers, do not allow.
fn refuse(
    one: &Bystander,
    before: &[Bystander],
    consumers: Option<&[Consumer]>,
    shape: &BystanderShape,
) -> Result<(), Mistake> {
    let at = &shape.name.span;
    if before.iter().any(|other| other.name == one.name) {
        let why = format!("bystander `{}` is named twice", one.name);
        return Err(Mistake::new(Kind::Duplicate, why).at(at));
    }
    if before.len() == BYSTANDERS_MAX {
        let why = format!("a secret may have at most {BYSTANDERS_MAX} bystanders");
        return Err(Mistake::new(Kind::WrongForm, why).at(at));
    }
    let at = shape.unit.as_ref().map_or(at, |unit| &unit.span);
    refuse_consumer(one, consumers.unwrap_or_default(), at)
}

/// Refuses the unit of a consumer: its processes use the value.
fn refuse_consumer(one: &Bystander, consumers: &[Consumer], at: &Range<usize>) -> Result<(), Mistake> {
    // A consumer's unit is written with its kind.
    let is_its = |consumer: &&Consumer| {
        let instances = consumer.runs.instances();
        let mut units = instances.iter().filter_map(|instance| instance.workload.unit());
        one.is_on(consumer.machine())
            && units.any(|unit| one.unit.as_deref() == Some(unit.unit.as_str()) && one.user == unit.user)
    };
    let Some(consumer) = consumers.iter().find(is_its) else { return Ok(()) };
    let why = format!("the bystander `{}` is the unit of the consumer `{}`", one.name, consumer.name);
    Err(Mistake::new(Kind::BadCombination, why)
        .at(at)
        .help("a consumer uses the value, and is moved: leave out the bystander, or the consumer"))
}

/// The mistake of a bystander in a cluster.
fn in_cluster(host: &Host, at: &Range<usize>) -> Mistake {
    let why =
        format!("`host` names `{}`, which is a cluster: a bystander is a process of a machine", host.name);
    Mistake::new(Kind::BadCombination, why)
        .at(at)
        .help("waive a pod in the open rotation: keyroll consumer waive HOST:pod/POD/CONTAINER --reason WHY")
}

/// The whole name of a unit.
fn whole(unit: &str) -> String {
    let has_kind = [".service", ".scope"].iter().any(|kind| unit.ends_with(kind));
    if has_kind { unit.to_owned() } else { format!("{unit}.service") }
}

fn read_unit(text: &At<String>) -> Result<String, Mistake> {
    let unit = text.value.as_str();
    let whole = whole(unit);
    if !is_unit_name(unit) || whole.len() > UNIT_NAME_BYTES_MAX {
        let why = "`bystanders.unit` must be the name of a systemd unit: letters, digits and `:-_.\\@`";
        return Err(Mistake::new(Kind::BadName, why).at(&text.span));
    }
    // Of these kinds no process runs in the unit itself.
    let others = [".socket", ".timer", ".target", ".path", ".slice", ".mount", ".device"];
    if others.iter().any(|kind| unit.ends_with(kind)) {
        let why = "`bystanders.unit` must be a service or a scope: no process runs in a unit of another kind";
        return Err(Mistake::new(Kind::BadName, why).at(&text.span));
    }
    Ok(whole)
}

/// Refuses an executable that may run any program: each of them would be the bystander.
fn refuse_any_program(name: &Name, text: &At<String>) -> Result<(), Mistake> {
    if !runs_any_program(Path::new(&text.value)) {
        return Ok(());
    }
    let why = format!(
        "the bystander `{name}` would be every program that its `executable` runs: an interpreter or a runtime"
    );
    Err(Mistake::new(Kind::BadCombination, why)
        .at(&text.span)
        .help("name its unit too: `unit = \"gateway.service\"`"))
}

fn read_executable(text: &At<String>) -> Result<PathBuf, Mistake> {
    if !Path::new(&text.value).is_absolute() {
        let why = "`bystanders.executable` must be an absolute path";
        return Err(Mistake::new(Kind::BadPath, why).at(&text.span));
    }
    resolve(Path::new("/"), "bystanders.executable", text)
}

fn read_reason(text: &At<String>) -> Result<String, Mistake> {
    let reason = text.value.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(is_unseen) {
        let why = format!(
            "`bystanders.reason` must say in one line why it may hold the value, in at most {REASON_BYTES_MAX} bytes"
        );
        return Err(Mistake::new(Kind::WrongForm, why).at(&text.span));
    }
    Ok(reason.to_owned())
}
