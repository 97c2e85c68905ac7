use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyroll_config::{FoundConsumer, Name, Said};
use keyroll_manager::Declared;
use keyroll_observe::shown;
use keyroll_trace::{Found, Handle, Keeper, Place, Service, Standing, Survey, User};

use super::consumer_draft::{Agent, ConsumerDraft, Context, EXEC, NotDrafted, RunDraft, text};
use super::copies::{Copies, value_at};
use super::copy::{copy, written};
use super::issuer::FILL_IN;
use super::{agent, process};

/// Drafts a user of a secret as a consumer, under a free name.
pub(crate) fn drafted(
    around: &Context<'_>,
    found: &Found,
    user: &User,
    free: &mut dyn FnMut(&str) -> Option<Name>,
) -> Result<ConsumerDraft, NotDrafted> {
    let service = user.service.and_then(|at| around.survey.services.get(at));
    if user.keeper == Keeper::Session && is_shell(around.survey, user) {
        return Err(format!("{}: a shell that passes it on to its children", user.name));
    }
    let Copies { all: copies, places, mut notes, .. } = Copies::of(around, found, user, service);
    if copies.is_empty() {
        let why = notes.first().cloned().unwrap_or_else(|| "no copy that it reads is visible".to_owned());
        return Err(format!("{} ({}): {why}", user.name, keeper(user.keeper)));
    }
    let name = free(&short(user, service)).ok_or_else(|| format!("{}: no valid name for it", user.name))?;
    let RunDraft { runs, notes: more, open, at_rest, check } =
        told(around, (found, user), service, &name, &places)?;
    notes.extend(more);
    let mut within = Vec::new();
    let listens = process::listening(around.sockets, user);
    if let Some(hint) = ready(&listens).filter(|_| !at_rest && check.is_empty()) {
        within.push(hint);
    }
    within.extend(if check.is_empty() { vec![by_command()] } else { check });
    let head = match user.processes.len() {
        0 => format!("{}, managed by {}; not running now", user.name, keeper(user.keeper)),
        1 => format!("{}, managed by {}", user.name, keeper(user.keeper)),
        several => format!("{}, managed by {}; {several} processes hold it", user.name, keeper(user.keeper)),
    };
    notes.insert(0, head);
    let consumer = FoundConsumer { name, notes, runs, reads: copies, within };
    let agent = service.and_then(|service| {
        if let Handle::OpenClaw { state, .. } = &service.handle {
            return Some(Agent::OpenClaw(state.clone()));
        }
        matches!(service.handle, Handle::LiteLlm { .. }).then_some(Agent::LiteLlm)
    });
    Ok(ConsumerDraft { consumer, open, reads: places, processes: user.processes.clone(), listens, agent })
}

fn by_command() -> String {
    format!("check = {{ {EXEC} }}   a command that succeeds only with a working key in that copy")
}

fn is_shell(survey: &Survey, user: &User) -> bool {
    let main = process::main_of(survey, user);
    main.and_then(|main| survey.instances.get(&main)).is_some_and(|one| one.shell)
        || matches!(user.name.split(' ').next(), Some("sh" | "bash" | "zsh" | "dash" | "fish" | "ksh"))
}

/// A note about readiness. Only the listening port is visible, not what the service answers there.
fn ready(listens: &[SocketAddr]) -> Option<String> {
    let first = listens.first()?;
    let host = if first.ip().is_unspecified() { "127.0.0.1".to_owned() } else { first.ip().to_string() };
    let host = if first.is_ipv6() && host.contains(':') { format!("[{host}]") } else { host };
    let port = first.port();
    Some(format!(
        "it listens at {host}:{port}; not visible whether it has an address that reports readiness. if it \
         does, add to runs: ready = \"http://{host}:{port}/…\""
    ))
}

fn keeper(keeper: Keeper) -> &'static str {
    crate::inventory::keeper(keeper)
}

/// The name of a consumer: that of its service, without the additions of the manager.
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
        Some(
            Handle::Container(_) | Handle::Pm2 { .. } | Handle::Supervisor { .. } | Handle::Registered { .. },
        ) => user.name.clone(),
    }
}

impl RunDraft {
    pub(crate) fn by(runs: Vec<(&'static str, Said)>) -> Self {
        Self { runs, notes: Vec::new(), open: Vec::new(), at_rest: false, check: Vec::new() }
    }
}

fn told(
    around: &Context<'_>,
    (found, user): (&Found, &User),
    service: Option<&Service>,
    name: &Name,
    places: &BTreeSet<Place>,
) -> Result<RunDraft, NotDrafted> {
    let Some(service) = service else { return Ok(of_nobody(around, user, name)) };
    if let Some(own) = agent::told(around, (found, user), service, name)? {
        return Ok(own);
    }
    let kept = by_keeper(around, user, service, name, places)?;
    Ok(RunDraft { check: agent::check(around, service), ..kept })
}

fn by_keeper(
    around: &Context<'_>,
    user: &User,
    service: &Service,
    name: &Name,
    places: &BTreeSet<Place>,
) -> Result<RunDraft, NotDrafted> {
    let path = |path: &Path| {
        let why = || format!("{}: the path {} cannot be written in keyroll.toml", user.name, shown(path));
        written(path, around.folder).ok_or_else(why)
    };
    Ok(match service.handle.keeper() {
        Handle::Unit { name, user: whose } => unit(name, whose.as_deref(), service),
        Handle::Compose { folder, service } => RunDraft::by(vec![
            text("compose", path(folder)?),
            text("service", keyroll_template::escape(service)),
        ]),
        Handle::Container(container) => made_by_hand(container, name, service, places),
        Handle::Pm2 { ecosystem: Some(ecosystem), home } => RunDraft::by(vec![
            text("pm2", path(ecosystem)?),
            text("app", user.name.clone()),
            text("home", path(home)?),
        ]),
        Handle::Pm2 { ecosystem: None, home } => {
            let file = format!("./{FILL_IN}-{name}-ecosystem.config.js");
            let what = "the ecosystem file from which pm2 starts it: without one pm2 reuses its own record";
            RunDraft {
                notes: vec![format!("fill in `pm2`, {what}")],
                open: vec![format!("{name}: `pm2`, {what}")],
                ..RunDraft::by(vec![text("pm2", file), text("app", user.name.clone()), text("home", path(home)?)])
            }
        }
        Handle::Supervisor { config: Some(config) } => {
            RunDraft::by(vec![text("supervisor", user.name.clone()), text("config", path(config)?)])
        }
        Handle::Supervisor { config: None } => RunDraft {
            notes: vec!["the configuration of its supervisord was not found: fill in `config` if it is not /etc/supervisor/supervisord.conf".to_owned()],
            ..RunDraft::by(vec![text("supervisor", user.name.clone())])
        },
        Handle::Registered { runs, .. } => {
            let written = runs.iter().map(|(key, value)| said(key, value, &path));
            RunDraft::by(written.collect::<Result<_, _>>()?)
        }
        Handle::Cron(table) => RunDraft { at_rest: true, ..RunDraft::by(vec![text("cron", path(table)?)]) },
        Handle::None | Handle::OpenClaw { .. } | Handle::LiteLlm { .. } => of_nobody(around, user, name),
    })
}

/// A key of `runs` as it is written to the file.
fn said(
    key: &'static str,
    value: &Declared,
    path: &dyn Fn(&Path) -> Result<String, NotDrafted>,
) -> Result<(&'static str, Said), NotDrafted> {
    Ok(match value {
        Declared::Text(plain) => text(key, plain.as_str()),
        Declared::Path(file) => text(key, path(file)?),
        Declared::Command(line) => (key, Said::Words(crate::wiring::consumer_commands::words(line))),
        Declared::Flag => (key, Said::Yes),
    })
}

/// Drafts a systemd unit. A service that a timer starts is at rest between two runs.
fn unit(name: &str, user: Option<&str>, service: &Service) -> RunDraft {
    let timer = name.strip_suffix(".service").map(|stem| format!("{stem}.timer"));
    let folders = service.project.iter().map(PathBuf::as_path).chain([Path::new("/etc/systemd/system")]);
    let timer = timer.filter(|timer| folders.into_iter().any(|folder| folder.join(timer).is_file()));
    let at_rest = timer.is_some();
    let own = match timer {
        Some(timer) => text("timer", timer),
        None => text("unit", name),
    };
    let user = user.map(|user| text("user", user));
    RunDraft { at_rest, ..RunDraft::by([own].into_iter().chain(user).collect()) }
}

/// Drafts a container that was made by hand. A restart of it applies a changed mounted file and nothing else.
fn made_by_hand(container: &str, name: &Name, service: &Service, places: &BTreeSet<Place>) -> RunDraft {
    let mounted = service.chains.iter().flat_map(|chain| &chain.links).any(|link| {
        link.standing == Standing::Wins && link.place.as_ref().is_some_and(|place| places.contains(place))
    });
    let own = text("container", container);
    if mounted {
        return RunDraft::by(vec![own]);
    }
    let what =
        "the command that recreates the container: a restart reuses the container's original environment";
    let restart = Said::Words(vec![format!("./{FILL_IN}-make-{name}.sh")]);
    RunDraft {
        notes: vec![format!("fill in `restart`, {what}")],
        open: vec![format!("{name}: `restart`, {what}")],
        ..RunDraft::by(vec![own, ("restart", restart)])
    }
}

fn of_nobody(around: &Context<'_>, user: &User, name: &Name) -> RunDraft {
    let process::RunDraft { runs, notes, open } =
        process::told(around.survey, user, name.as_str(), around.folder);
    RunDraft { notes, open, ..RunDraft::by(runs) }
}

/// Drafts a consumer without processes for a copy that no known service reads.
pub(crate) fn at_rest(
    around: &Context<'_>,
    found: &Found,
    place: &Place,
    free: &mut dyn FnMut(&str) -> Option<Name>,
) -> Result<ConsumerDraft, NotDrafted> {
    let (Place::File { path, line }, Some(value)) = (place, value_at(found, place)) else {
        return Err(format!("{place}: not a file that keyroll can write"));
    };
    let own = found.sightings.iter().find(|one| one.place == *place).and_then(|one| one.name.as_deref());
    let copy = copy(around.survey, (path, *line), own.unwrap_or_default(), value, around.folder)
        .map_err(|why| format!("{place} cannot be written: {why}"))?;
    let stem = path.file_name().unwrap_or_default().to_string_lossy().trim_start_matches('.').to_owned();
    let name = free(&stem).ok_or_else(|| format!("{place}: no valid name for it"))?;
    let notes = vec![format!(
        "{place}: no known service reads it. if one does, say in `runs` how it is restarted or reloaded"
    )];
    let within = vec![by_command()];
    let consumer =
        FoundConsumer { name, notes, runs: vec![("at_rest", Said::Yes)], reads: vec![copy], within };
    let reads = BTreeSet::from([place.clone()]);
    let (open, processes, listens) = Default::default();
    Ok(ConsumerDraft { consumer, open, reads, processes, listens, agent: None })
}
