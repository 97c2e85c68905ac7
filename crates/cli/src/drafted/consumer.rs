use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyroll_config::{FoundConsumer, Name, Said};
use keyroll_observe::{ProcessId, Sockets, shown};
use keyroll_trace::{Found, Handle, Keeper, Names, Place, Service, Standing, Survey, User};

use super::agent;
use super::copies::{Copies, value_at};
use super::copy::{copy, written};
use super::issuer::FILL_IN;
use super::process;

/// What is around what is drafted.
pub(super) struct Around<'s> {
    pub(super) survey: &'s Survey,
    pub(super) names: &'s Names,
    /// The folder of keyroll.toml.
    pub(super) folder: &'s Path,
    pub(super) sockets: Option<&'s Sockets>,
}

/// Somebody who uses a secret, as a consumer.
pub(super) struct Drafted {
    pub(super) consumer: FoundConsumer,
    /// What a person has to fill in.
    pub(super) open: Vec<String>,
    /// The places that it reads.
    pub(super) reads: BTreeSet<Place>,
    /// The processes that it is now.
    pub(super) processes: Vec<ProcessId>,
    /// Where they take connections.
    pub(super) listens: Vec<SocketAddr>,
    /// What it is, where that has words of its own, though it may not be told in them this time.
    pub(super) agent: Option<Agent>,
}

/// What has words of its own in a configuration.
pub(super) enum Agent {
    /// A gateway of OpenClaw, with its state folder.
    OpenClaw(PathBuf),
    LiteLlm,
}

/// A command of one's own, as `check` has it.
pub(super) const EXEC: &str = "exec = [\"./probe.sh\", \"{copy}\"]";

/// Why somebody who uses a secret is no consumer that could be written down.
pub(super) type Left = String;

/// A user of a secret as a consumer, under a name that is free.
pub(super) fn drafted(
    around: &Around<'_>,
    found: &Found,
    user: &User,
    free: &mut dyn FnMut(&str) -> Option<Name>,
) -> Result<Drafted, Left> {
    let service = user.service.and_then(|at| around.survey.services.get(at));
    if user.keeper == Keeper::Session && is_shell(around.survey, user) {
        return Err(format!("{}: a shell that passes it on to what is started from it", user.name));
    }
    let Copies { all: copies, places, mut notes, .. } = Copies::of(around, found, user, service);
    if copies.is_empty() {
        let why = notes.first().cloned().unwrap_or_else(|| "no copy that it reads can be seen".to_owned());
        return Err(format!("{} ({}): {why}", user.name, keeper(user.keeper)));
    }
    let name = free(&short(user, service)).ok_or_else(|| format!("{}: it cannot be named", user.name))?;
    let Told { runs, notes: more, open, at_rest, check } =
        told(around, (found, user), service, &name, &places)?;
    notes.extend(more);
    let mut within = Vec::new();
    let listens = process::listening(around.sockets, user);
    if let Some(hint) = ready(&listens).filter(|_| !at_rest && check.is_empty()) {
        within.push(hint);
    }
    within.extend(if check.is_empty() { vec![by_command()] } else { check });
    let head = match user.processes.len() {
        0 => format!("{}, kept by {}; it does not run now", user.name, keeper(user.keeper)),
        1 => format!("{}, kept by {}", user.name, keeper(user.keeper)),
        several => format!("{}, kept by {}; {several} processes hold it", user.name, keeper(user.keeper)),
    };
    notes.insert(0, head);
    let consumer = FoundConsumer { name, notes, runs, reads: copies, within };
    let agent = service.and_then(|service| {
        if let Handle::OpenClaw { state, .. } = &service.handle {
            return Some(Agent::OpenClaw(state.clone()));
        }
        matches!(service.handle, Handle::LiteLlm { .. }).then_some(Agent::LiteLlm)
    });
    Ok(Drafted { consumer, open, reads: places, processes: user.processes.clone(), listens, agent })
}

fn by_command() -> String {
    format!("check = {{ {EXEC} }}   a command that succeeds only with a working key in that copy")
}

fn is_shell(survey: &Survey, user: &User) -> bool {
    let main = process::main_of(survey, user);
    main.and_then(|main| survey.instances.get(&main)).is_some_and(|one| one.shell)
        || matches!(user.name.split(' ').next(), Some("sh" | "bash" | "zsh" | "dash" | "fish" | "ksh"))
}

/// Only what is seen: that something listens, not what it answers.
fn ready(listens: &[SocketAddr]) -> Option<String> {
    let first = listens.first()?;
    let host = if first.ip().is_unspecified() { "127.0.0.1".to_owned() } else { first.ip().to_string() };
    let host = if first.is_ipv6() && host.contains(':') { format!("[{host}]") } else { host };
    let port = first.port();
    Some(format!(
        "it takes connections at {host}:{port}; whether an address there says that it is ready is not visible. if one does, add to runs: ready = \"http://{host}:{port}/…\""
    ))
}

fn keeper(keeper: Keeper) -> &'static str {
    crate::seen::keeper(keeper)
}

/// The name of a consumer: that of the service there, without what its keeper adds.
fn short(user: &User, service: Option<&Service>) -> String {
    match service.map(|service| service.handle.keeper()) {
        Some(Handle::Unit { name, .. }) => name.trim_end_matches(".service").to_owned(),
        Some(Handle::Compose { service, .. }) => service.clone(),
        Some(Handle::Cron(table)) => table.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Some(Handle::None | Handle::OpenClaw { .. } | Handle::LiteLlm { .. }) | None => {
            // `worker.py 4711`
            let word = user.name.split(' ').next().unwrap_or_default();
            word.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(word).to_owned()
        }
        Some(Handle::Container(_) | Handle::Pm2 { .. } | Handle::Supervisor { .. }) => user.name.clone(),
    }
}

/// How a consumer is told.
pub(super) struct Told {
    pub(super) runs: Vec<(&'static str, Said)>,
    pub(super) notes: Vec<String>,
    pub(super) open: Vec<String>,
    pub(super) at_rest: bool,
    /// The lines of its own check; empty = that of everybody.
    pub(super) check: Vec<String>,
}

impl Told {
    pub(super) fn by(runs: Vec<(&'static str, Said)>) -> Self {
        Self { runs, notes: Vec::new(), open: Vec::new(), at_rest: false, check: Vec::new() }
    }
}

pub(super) fn text(key: &'static str, text: impl Into<String>) -> (&'static str, Said) {
    (key, Said::Text(text.into()))
}

fn told(
    around: &Around<'_>,
    (found, user): (&Found, &User),
    service: Option<&Service>,
    name: &Name,
    places: &BTreeSet<Place>,
) -> Result<Told, Left> {
    let Some(service) = service else { return Ok(of_nobody(around, user, name)) };
    if let Some(own) = agent::told(around, (found, user), service, name)? {
        return Ok(own);
    }
    let kept = by_keeper(around, user, service, name, places)?;
    Ok(Told { check: agent::check(around, service), ..kept })
}

fn by_keeper(
    around: &Around<'_>,
    user: &User,
    service: &Service,
    name: &Name,
    places: &BTreeSet<Place>,
) -> Result<Told, Left> {
    let path = |path: &Path| {
        let why = || format!("{}: the path {} cannot be written in keyroll.toml", user.name, shown(path));
        written(path, around.folder).ok_or_else(why)
    };
    Ok(match service.handle.keeper() {
        Handle::Unit { name, user: whose } => unit(name, whose.as_deref(), service),
        Handle::Compose { folder, service } => Told::by(vec![
            text("compose", path(folder)?),
            text("service", service.replace('{', "{{").replace('}', "}}")),
        ]),
        Handle::Container(container) => made_by_hand(container, name, service, places),
        Handle::Pm2 { ecosystem: Some(ecosystem), home } => Told::by(vec![
            text("pm2", path(ecosystem)?),
            text("app", user.name.clone()),
            text("home", path(home)?),
        ]),
        Handle::Pm2 { ecosystem: None, home } => {
            let file = format!("./{FILL_IN}-{name}-ecosystem.config.js");
            let what = "the ecosystem file that pm2 starts it from: without one pm2 goes on with what it keeps";
            Told {
                notes: vec![format!("fill in `pm2`, {what}")],
                open: vec![format!("{name}: `pm2`, {what}")],
                ..Told::by(vec![text("pm2", file), text("app", user.name.clone()), text("home", path(home)?)])
            }
        }
        Handle::Supervisor { config: Some(config) } => {
            Told::by(vec![text("supervisor", user.name.clone()), text("config", path(config)?)])
        }
        Handle::Supervisor { config: None } => Told {
            notes: vec!["the configuration of its supervisord was not found: fill in `config` if it is not /etc/supervisor/supervisord.conf".to_owned()],
            ..Told::by(vec![text("supervisor", user.name.clone())])
        },
        Handle::Cron(table) => Told { at_rest: true, ..Told::by(vec![text("cron", path(table)?)]) },
        Handle::None | Handle::OpenClaw { .. } | Handle::LiteLlm { .. } => of_nobody(around, user, name),
    })
}

/// A service that a timer starts is at rest between two runs.
fn unit(name: &str, user: Option<&str>, service: &Service) -> Told {
    let timer = name.strip_suffix(".service").map(|stem| format!("{stem}.timer"));
    let folders = service.project.iter().map(PathBuf::as_path).chain([Path::new("/etc/systemd/system")]);
    let timer = timer.filter(|timer| folders.into_iter().any(|folder| folder.join(timer).is_file()));
    let at_rest = timer.is_some();
    let own = match timer {
        Some(timer) => text("timer", timer),
        None => text("unit", name),
    };
    let user = user.map(|user| text("user", user));
    Told { at_rest, ..Told::by([own].into_iter().chain(user).collect()) }
}

/// A restart applies a mounted file alone.
fn made_by_hand(container: &str, name: &Name, service: &Service, places: &BTreeSet<Place>) -> Told {
    let mounted = service.chains.iter().flat_map(|chain| &chain.links).any(|link| {
        link.standing == Standing::Wins && link.place.as_ref().is_some_and(|place| places.contains(place))
    });
    let own = text("container", container);
    if mounted {
        return Told::by(vec![own]);
    }
    let what = "the command that makes the container anew: a restart goes on with what it was made with";
    let restart = Said::Words(vec![format!("./{FILL_IN}-make-{name}.sh")]);
    Told {
        notes: vec![format!("fill in `restart`, {what}")],
        open: vec![format!("{name}: `restart`, {what}")],
        ..Told::by(vec![own, ("restart", restart)])
    }
}

fn of_nobody(around: &Around<'_>, user: &User, name: &Name) -> Told {
    let process::Told { runs, notes, open } =
        process::told(around.survey, user, name.as_str(), around.folder);
    Told { notes, open, ..Told::by(runs) }
}

/// A copy that nobody who is known reads, as a consumer of which nothing runs.
pub(super) fn at_rest(
    around: &Around<'_>,
    found: &Found,
    place: &Place,
    free: &mut dyn FnMut(&str) -> Option<Name>,
) -> Result<Drafted, Left> {
    let (Place::File { path, line }, Some(value)) = (place, value_at(found, place)) else {
        return Err(format!("{place}: no file that could be written"));
    };
    let own = found.sightings.iter().find(|one| one.place == *place).and_then(|one| one.name.as_deref());
    let copy = copy(around.survey, (path, *line), own.unwrap_or_default(), value, around.folder)
        .map_err(|why| format!("{place} cannot be written: {why}"))?;
    let stem = path.file_name().unwrap_or_default().to_string_lossy().trim_start_matches('.').to_owned();
    let name = free(&stem).ok_or_else(|| format!("{place}: it cannot be named"))?;
    let notes = vec![format!(
        "{place}: no service that is known reads it. if one does, say in `runs` how it is told"
    )];
    let within = vec![by_command()];
    let consumer =
        FoundConsumer { name, notes, runs: vec![("at_rest", Said::Yes)], reads: vec![copy], within };
    let reads = BTreeSet::from([place.clone()]);
    let (open, processes, listens) = Default::default();
    Ok(Drafted { consumer, open, reads, processes, listens, agent: None })
}
