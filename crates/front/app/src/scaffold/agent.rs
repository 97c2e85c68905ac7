use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use keyroll_agents::{NEW_PROCESS, NEW_WORKERS};
use keyroll_config::{Name, Said};
use keyroll_observe::Process;
use keyroll_trace::{Chain, Found, Handle, Service, Standing, User, chains_of};

use super::consumer_draft::{Context, EXEC, NotDrafted, RunDraft, text};
use super::copy::written;
use super::issuer::FILL_IN;

/// The fewest workers with which one can restart while another one answers.
const WORKERS_MIN: usize = 2;

/// A gateway or a proxy, configured by its own keys; `None` = it is configured by its manager.
pub(crate) fn told(
    around: &Context<'_>,
    (found, user): (&Found, &User),
    service: &Service,
    name: &Name,
) -> Result<Option<RunDraft>, NotDrafted> {
    let chains = chains_of(around.survey, found, user);
    let Handle::OpenClaw { state, keys, by } = &service.handle else {
        return Ok(proxy(around, service, &chains));
    };
    let unit = match by.keeper() {
        Handle::Unit { name, user } => Some((name, user)),
        Handle::None => None,
        Handle::Compose { .. }
        | Handle::Container(_)
        | Handle::Pm2 { .. }
        | Handle::Supervisor { .. }
        | Handle::Registered { .. }
        | Handle::Cron(_)
        | Handle::OpenClaw { .. }
        | Handle::LiteLlm { .. } => return Ok(None),
    };
    let of = |chain: &String| chains.iter().any(|one| one.name == *chain);
    let mut providers: BTreeSet<&String> =
        keys.iter().filter(|(chain, _)| of(chain)).map(|(_, provider)| provider).collect();
    let Some(provider) = providers.pop_first() else { return Ok(None) };
    if around.names.shown(provider) != *provider {
        return Err(format!("{}: the name of its model provider may contain a secret", user.name));
    }
    let state = written(state, around.folder).ok_or_else(|| {
        format!("{}: the path of its state folder cannot be written in keyroll.toml", user.name)
    })?;
    let mut told = RunDraft::by(vec![text("openclaw", state), text("provider", provider)]);
    match unit {
        Some((name, user)) => {
            told.runs.push(text("unit", name));
            told.runs.extend(user.iter().map(|user| text("user", user)));
        }
        None if chains.iter().any(|chain| is_applied_by(chain, NEW_PROCESS)) => {
            let what = "the command that restarts its gateway: only a new process reads this key";
            told.runs.push(("restart", Said::Words(vec![format!("./{FILL_IN}-restart-{name}.sh")])));
            told.notes.push(format!("fill in `restart`, {what}"));
            told.open.push(format!("{name}: `restart`, {what}"));
        }
        None => {}
    }
    if !providers.is_empty() {
        told.notes.push("other model providers use this key too: add a turn of each to `paths`".to_owned());
    }
    told.check = vec![
        format!("check = {{ {EXEC}, turn = \"{provider}/MODEL\" }}"),
        "exec: a command that succeeds only with a working key in that copy; turn: the model for one turn \
         of the agent, which its settings must allow (gateway.http.endpoints.chatCompletions.enabled)"
            .to_owned(),
    ];
    Ok(Some(told))
}

/// A proxy with several workers, each of which reads the key when it starts.
fn proxy(around: &Context<'_>, service: &Service, chains: &[&Chain]) -> Option<RunDraft> {
    let check = check(around, service);
    let (at, workers) = address(around, service).filter(|_| !check.is_empty())?;
    let reads = |chain: &&Chain| chain.next().is_some() && is_applied_by(chain, NEW_WORKERS);
    if workers < WORKERS_MIN || chains.is_empty() || !chains.iter().all(reads) {
        return None;
    }
    let notes = vec![
        "keyroll replaces its workers one at a time, about 30 s each: with many workers set unit_deadline = \
         \"10m\" for the secret"
            .to_owned(),
    ];
    Some(RunDraft { notes, check, ..RunDraft::by(vec![text("litellm", format!("http://{at}"))]) })
}

/// The check of a proxy, whatever manages it; empty for anything else.
pub(crate) fn check(around: &Context<'_>, service: &Service) -> Vec<String> {
    let Handle::LiteLlm { config, .. } = &service.handle else { return Vec::new() };
    let normal: PathBuf = config.components().collect();
    let Some((at, _)) = address(around, service) else { return Vec::new() };
    let Some(config) = written(&normal, around.folder) else { return Vec::new() };
    vec![
        format!("check = {{ litellm = \"http://{at}\", config = \"{config}\", key = \"file:./proxy.key\" }}"),
        "write the file proxy.key, mode 0600: the proxy's own key, or a virtual key that may use its \
         models; omit `key` if the proxy has no key"
            .to_owned(),
    ]
}

/// The local address at which a proxy accepts requests, and how many workers of one master share it.
fn address(around: &Context<'_>, service: &Service) -> Option<(SocketAddr, usize)> {
    let sockets = around.sockets?;
    let own = around.survey.listing.seen.iter().filter(|one| service.processes.contains(&one.id));
    let own: Vec<(&Process, BTreeSet<SocketAddr>)> =
        own.map(|one| (one, sockets.listening_of(&one.id).into_iter().filter_map(near).collect())).collect();
    let mut all: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for (one, listens) in &own {
        for at in listens {
            // A master keeps open the socket that it gave to its workers.
            let shared = |(other, places): &(&Process, BTreeSet<SocketAddr>)| {
                other.id.pid == one.ppid && places.contains(at)
            };
            *all.entry(*at).or_default() += usize::from(own.iter().any(shared));
        }
    }
    all.into_iter().max_by_key(|(_, workers)| *workers)
}

/// The loopback address at which this machine reaches a listener; `None` if it does not listen on loopback.
fn near(at: SocketAddr) -> Option<SocketAddr> {
    if at.ip().is_unspecified() {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, at.port())));
    }
    at.ip().is_loopback().then_some(at)
}

fn is_applied_by(chain: &Chain, what: &str) -> bool {
    let wins = chain.links.iter().find(|link| link.standing == Standing::Wins);
    wins.and_then(|link| link.applies.as_deref()) == Some(what)
}
