use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_agents::{
    AgentLink, AgentLinkRole, AgentSlot, Bound, KeySource, OpenClawHome, Profiles, SecretText, Started,
};
use keyroll_copy::{Format, Pointer, Slot};
use keyroll_leak::mask_words;
use keyroll_manager::OpenClawGateway;
use keyroll_observe::{Process, Rights, has_other_files, read_regular, shown, working_folder};
use keyroll_secret::SecretBytes;
use serde::Deserialize;

use super::context::Context;
use super::env_file;
use super::source::{Assignment, Kept, Origin, Read, Source};
use crate::look::with_rows;
use crate::place::harmless;
use crate::{ManagedBy, Place};

/// The largest database that is read for its profiles and its store, bytes.
const DATABASE_BYTES_MAX: usize = 64 << 20;

/// The beginning of a gateway's short name.
const NAME: &str = "openclaw";

const NO_VALUE: &str = "what stands there is not known";

/// The content of its database, with the places.
#[derive(Default)]
struct Database {
    /// By the profile's id: the provider, and the key if there is one.
    profiles: BTreeMap<String, (String, Option<(SecretBytes, Place)>)>,
    /// By name.
    store: BTreeMap<String, (SecretBytes, Place)>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Profile {
    provider: String,
    key: Option<SecretText>,
}

/// Adds where the gateways of OpenClaw take their keys from: to the service that keeps one, or, of one that does not
/// run, as a service of its own. `homes`: the homes whose installations are looked at beside those that run.
pub(crate) fn add(context: &mut Context<'_>, homes: &[PathBuf], all: &mut Vec<Kept>) {
    let mut folders: BTreeMap<PathBuf, Rights> = BTreeMap::new();
    for home in homes {
        let folder = home.clone();
        let found = context.in_home(home, move |rights| {
            let itself = Some(OpenClawHome::at(folder.as_path())).filter(OpenClawHome::is_there);
            let all = OpenClawHome::of_user(&folder).into_iter().chain(itself);
            all.map(|one| (real(one.state), rights.clone())).collect::<Vec<_>>()
        });
        found.into_iter().for_each(|found| put_folder(&mut folders, found));
    }
    running(context).into_iter().for_each(|found| put_folder(&mut folders, found));
    for (state, rights) in folders {
        add_one(context, &OpenClawHome::at(state), &rights, all);
    }
}

fn real(folder: PathBuf) -> PathBuf {
    folder.canonicalize().unwrap_or(folder)
}

/// A folder is read with the rights of the user through whom it was found; if there are several, with its owner's
/// rights.
fn put_folder(folders: &mut BTreeMap<PathBuf, Rights>, (state, rights): (PathBuf, Rights)) {
    let is_owner = || state.metadata().is_ok_and(|meta| rights.is_of(meta.uid()));
    if !folders.contains_key(&state) || is_owner() {
        folders.insert(state, rights);
    }
}

/// The state folders of the running gateways.
fn running(context: &mut Context<'_>) -> Vec<(PathBuf, Rights)> {
    let listing = context.listing;
    let gateways: Vec<&Process> = listing.seen.iter().filter(|one| one.name.starts_with(NAME)).collect();
    let mut found = Vec::new();
    for one in gateways {
        let what = || format!("the keys of OpenClaw's gateway {}", one.id.pid);
        if has_other_files(&one.id).unwrap_or(true) {
            context.not_seen(what(), "its files are in a container, or closed to this user");
            continue;
        }
        let Some(start) = context.start(&one.id) else {
            context.not_seen(what(), "what it was started with is closed to this user");
            continue;
        };
        let says = |name: &str| {
            let text = std::str::from_utf8(start.get(name)?.expose()).ok()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let home = || says("OPENCLAW_HOME").or_else(|| says("HOME")).map(PathBuf::from);
        let folder = || match says("OPENCLAW_PROFILE").filter(|name| name != "default") {
            Some(name) => format!(".openclaw-{name}"),
            None => ".openclaw".to_owned(),
        };
        let state = says("OPENCLAW_STATE_DIR").map(PathBuf::from).or_else(|| Some(home()?.join(folder())));
        let Some(state) = state else { continue };
        let there = || OpenClawHome::at(state.as_path()).is_there().then(|| real(state));
        match Rights::of_process(&one.id).and_then(|rights| Ok((rights.reading(there)?, rights))) {
            Ok((state, rights)) => found.extend(state.map(|state| (state, rights))),
            Err(why) => context.not_seen(what(), why.to_string()),
        }
    }
    found
}

fn add_one(context: &mut Context<'_>, home: &OpenClawHome, rights: &Rights, all: &mut Vec<Kept>) {
    let read = rights.reading(|| (home.settings(), home.gateway(), Database::read(home)));
    let (settings, gateway, database) = match read {
        Ok((Ok(settings), gateway, database)) => (settings, gateway, database),
        Ok((Err(error), ..)) => return context.not_seen(shown(&home.settings_file()), error.to_string()),
        Err(why) => return context.not_seen(shown(&home.settings_file()), why.to_string()),
    };
    if settings.includes {
        context.not_seen(shown(&home.settings_file()), "parts of it are in other files, which are not read");
    }
    let gateway = gateway.and_then(|named| gateway_of(context, home, rights, named));
    let started = gateway.map(|one| Started {
        names: context.start(&one.id).map(|start| start.into_keys().collect()),
        folder: working_folder(&one.id).ok(),
    });
    if let Some(one) = gateway {
        // A stream continues with the key that it began with, and nothing shows which agent's key that is.
        let agents = match settings.agents.join(", ") {
            none if none.is_empty() => "its agent".to_owned(),
            names => mask_words(&format!("its agents {names}")),
        };
        context.not_seen(
            format!("live sessions and sub-agents of OpenClaw's gateway {} ({agents})", one.id.pid),
            "they have no process of their own: the gateway's holds their values",
        );
    }
    let profiles = |provider: &str| match &database {
        Ok(read) => Ok(read.of(provider)),
        Err(why) => Err(*why),
    };
    let mut bounds = Vec::new();
    for provider in settings.providers() {
        let bound = rights.reading(|| home.bound_by(provider, started.as_ref(), &profiles));
        match bound.map_err(|why| why.to_string()).and_then(|bound| bound.map_err(|error| error.to_string()))
        {
            Ok(bound) => bounds.push((provider, bound)),
            Err(why) => {
                let what = format!("where OpenClaw takes the key of {provider} from");
                context.not_seen(mask_words(&what), mask_words(&why));
            }
        }
    }
    for (provider, _) in bounds.iter().filter(|(_, bound)| bound.source == KeySource::Program) {
        let what = mask_words(&format!("the key of {provider} in {}", shown(&home.settings_file())));
        context.not_seen(what, "a program prints it, and only OpenClaw runs that program");
    }
    let Some(kept) = kept_of(context, home, gateway, all) else { return };
    let mut keys = BTreeSet::new();
    for (provider, bound) in bounds {
        let name = match &bound.source {
            KeySource::Variable(name) => name.clone(),
            KeySource::Literal | KeySource::File | KeySource::Program => format!("{provider}.apiKey"),
            KeySource::Store(_) | KeySource::Profile(_) => format!("{provider}.apiKey"),
        };
        keys.insert((harmless(&name), provider.to_owned()));
        let key = Key { name: &name, bound: &bound, database: database.as_ref().ok() };
        for link in &bound.chain {
            let source = rights.reading(|| source(context, kept, gateway, &key, link));
            if let Ok(Some(source)) = source {
                put(kept, &name, source);
            }
        }
    }
    kept.agent = Some(Arc::new(OpenClawGateway { state: home.state.clone(), keys }));
}

/// The process that the lock of a folder names. Anyone who may write to the folder chooses the content of the lock, and
/// start times of processes are public. Therefore a process of another user does not count as its gateway, and its
/// sources do not count as this folder's.
fn gateway_of<'a>(
    context: &mut Context<'a>,
    home: &OpenClawHome,
    rights: &Rights,
    (pid, began): (u32, Option<u64>),
) -> Option<&'a Process> {
    let of =
        |one: &&Process| one.name.starts_with(NAME) && began.is_none_or(|began| began == one.id.start_ticks);
    let one = context.process(pid).filter(of)?;
    let why = match Rights::of_process(&one.id) {
        Ok(its) if its.same_user(rights) => return Some(one),
        Ok(_) => "it is a process of another user".to_owned(),
        Err(why) => why.to_string(),
    };
    context.not_seen(format!("the gateway {pid} that {} names", shown(&home.state)), why);
    None
}

/// The service to which the gateway belongs.
fn kept_of<'k>(
    context: &Context<'_>,
    home: &OpenClawHome,
    gateway: Option<&Process>,
    all: &'k mut Vec<Kept>,
) -> Option<&'k mut Kept> {
    let id = gateway.map(|one| one.id);
    let at = all.iter().position(|kept| id.is_some_and(|id| kept.processes.contains(&id)));
    let at = at.unwrap_or_else(|| {
        let of_whom = gateway.and_then(|one| one.uid).and_then(|uid| context.users.get(&uid).cloned());
        let of_whom = of_whom.map(|user| format!(" of {user}")).unwrap_or_default();
        let name = format!("openclaw{of_whom} in {}", shown(&home.state));
        let untold = Kept::untold(ManagedBy::Unmanaged, name, id.into_iter().collect());
        all.push(Kept { main: id, project: Some(home.state.clone()), ..untold });
        all.len() - 1
    });
    all.get_mut(at)
}

/// Adds a source after the existing ones; once for each place.
fn put(kept: &mut Kept, name: &str, source: Source) {
    let same = |other: &Source| {
        let place = match (&other.origin, &source.origin) {
            (Origin::File(one), Origin::File(other)) => one == other,
            (Origin::Start(one), Origin::Start(other)) => one == other,
            _ => false,
        };
        place && other.entries.contains_key(name)
    };
    if kept.sources.iter().any(|other| same(other) && other.read == Read::Start) {
        return;
    }
    // Now it is known that this source is read.
    for other in kept.sources.iter_mut().filter(|other| same(other)) {
        other.entries.remove(name);
    }
    kept.sources.push(source);
}

/// A provider's key, as the gateway looks it up.
struct Key<'a> {
    /// Its variable or setting.
    name: &'a str,
    bound: &'a Bound,
    database: Option<&'a Database>,
}

/// One link as a source of one name; `None` if the sources of the gateway's manager contain it already.
fn source(
    context: &Context<'_>,
    kept: &Kept,
    gateway: Option<&Process>,
    key: &Key<'_>,
    link: &AgentLink,
) -> Option<Source> {
    let what = format!("OpenClaw: {}", link.what);
    let mut read = match link.role {
        AgentLinkRole::Wins | AgentLinkRole::Shadowed => Read::Start,
        AgentLinkRole::NotRead => Read::Not,
        AgentLinkRole::NotVisible(why) => Read::Perhaps(why),
    };
    let hidden = match link.role {
        AgentLinkRole::NotVisible(why) => why,
        AgentLinkRole::Wins | AgentLinkRole::Shadowed | AgentLinkRole::NotRead => NO_VALUE,
    };
    let mut of_start = None;
    let (origin, entry) = match (&link.file, &link.slot) {
        (Some(path), Some(AgentSlot::Row(row))) => {
            let found = key.database.and_then(|database| database.at(row, &key.bound.source));
            match found {
                Some((value, place)) => (Origin::At(place.clone()), Assignment::at(1, value.duplicate())),
                None => (Origin::File(path.clone()), Assignment::not_told(1, hidden)),
            }
        }
        (Some(path), slot) => (Origin::File(path.clone()), in_file(path, slot.as_ref(), hidden)),
        (None, Some(AgentSlot::Variable(variable))) => {
            // The manager's own sources say what it starts the gateway with.
            let told = |source: &Source| source.read != Read::Not && source.entries.contains_key(variable);
            if kept.managed_by != ManagedBy::Unmanaged && kept.sources.iter().any(told) {
                return None;
            }
            match gateway.and_then(|one| Some((one.id, context.start(&one.id)?))) {
                Some((id, mut start)) => {
                    if read == Read::Start {
                        read = Read::Perhaps(
                            "the process that started it does not show with what it would be started again",
                        );
                    }
                    let value = start.remove(variable)?;
                    of_start = Some(id);
                    (Origin::Start(id), Assignment::at(1, value))
                }
                None => (Origin::Nowhere, Assignment::not_told(1, hidden)),
            }
        }
        (None, _) => (Origin::Nowhere, Assignment::not_told(1, "only the program of the reference knows it")),
    };
    let what = of_start.map_or(what, |id| format!("what OpenClaw's gateway {} was started with", id.pid));
    let entry = Assignment { secret: true, ..entry };
    let mut source = Source::new(what, origin).with(key.name, entry).read(read).applied_by(link.applies);
    source.read_later = link.file.is_some();
    if let Some(seems) = link.seems {
        source = source.not_by(seems);
    }
    Some(source)
}

/// The source in a file at a slot.
fn in_file(path: &Path, slot: Option<&AgentSlot>, hidden: &'static str) -> Assignment {
    let none = || Assignment::not_told(1, hidden);
    match slot {
        Some(AgentSlot::Variable(name)) => {
            env_file::source("", path).entries.remove(name).unwrap_or_else(none)
        }
        Some(AgentSlot::Whole) => {
            env_file::read(path).map_or_else(|_| none(), |file| Assignment::at(1, env_file::whole(&file)))
        }
        Some(AgentSlot::Pointer(at)) => at_pointer(path, at).unwrap_or_else(none),
        Some(AgentSlot::Row(_)) | None => none(),
    }
}

fn at_pointer(path: &Path, at: &str) -> Option<Assignment> {
    let file = env_file::read(path).ok()?;
    let slot = Slot::At(Pointer::parse(at).ok()?);
    let found = Format::Json.entries(file.expose()).ok()?.into_iter().rfind(|one| one.slot == slot)?;
    let before = file.expose().get(..found.span.start)?;
    let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    Some(Assignment { value: found.value, line, secret: true })
}

impl Database {
    /// The rows of its state, including the commits in the log; nothing is written beside the database.
    fn read(home: &OpenClawHome) -> Result<Self, &'static str> {
        let path = home.database();
        if !path.exists() {
            return Ok(Self::default());
        }
        let bytes = read_regular(&path, DATABASE_BYTES_MAX).map_err(|_| "its database cannot be read")?.bytes;
        let mut read = Self::default();
        let (mut of_profiles, mut other_form) = (None, false);
        let whole = with_rows(&path, bytes, &mut |cell| {
            let place = || Place::Row {
                path: path.clone(),
                table: cell.table.to_owned(),
                column: cell.column.to_owned(),
                row: cell.row,
            };
            match (cell.table, cell.column) {
                ("config_machine_state", "state_key") if cell.bytes == b"authProfiles.store" => {
                    of_profiles = Some(cell.row);
                }
                ("config_machine_state", "value_json") if of_profiles == Some(cell.row) => {
                    // A list would be read as a table of which every key is missing.
                    let table = cell.bytes.trim_ascii_start().starts_with(b"{");
                    match serde_json::from_slice::<Profiles<Profile>>(cell.bytes).ok().filter(|_| table) {
                        Some(found) => read.take(found, &place),
                        None => other_form = true,
                    }
                }
                ("secret_store_entries", "value") => {
                    if let (Some(name), false) = (cell.beside, cell.bytes.is_empty()) {
                        let value = SecretBytes::new(cell.bytes.to_vec());
                        read.store.insert(name.to_owned(), (value, place()));
                    }
                }
                _ => {}
            }
        });
        match whole {
            Ok(()) if !other_form => Ok(read),
            Ok(()) => Err("the data in its database has another form than in this release"),
            Err(_) => Err("its database cannot be read whole"),
        }
    }

    fn take(&mut self, found: Profiles<Profile>, place: &dyn Fn() -> Place) {
        for (id, profile) in found.profiles {
            let key = profile.key.map(|key| (key.0, place()));
            self.profiles.insert(id, (profile.provider, key));
        }
    }

    /// The ids of a provider's profiles.
    fn of(&self, provider: &str) -> Vec<String> {
        self.profiles.iter().filter(|(_, (of, _))| of == provider).map(|(id, _)| id.clone()).collect()
    }

    fn at(&self, row: &str, source: &KeySource) -> Option<&(SecretBytes, Place)> {
        if let Some(name) = row.strip_prefix("secret_store_entries/") {
            return self.store.get(name);
        }
        match source {
            KeySource::Profile(id) => self.profiles.get(id)?.1.as_ref(),
            KeySource::Literal | KeySource::Variable(_) | KeySource::File => None,
            KeySource::Program | KeySource::Store(_) => None,
        }
    }
}
