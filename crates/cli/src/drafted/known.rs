//! What stands in a configuration already, and what of it is not seen any more.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use keyroll_agents::OpenClawHome;
use keyroll_config::{Check, Config, Consumer, Find, FoundConsumer, Manager, Name, Runs, Secret, Start};
use keyroll_observe::{ProcessId, image, working_folder};
use keyroll_trace::{Found, Handle, Service, Survey, ValueId};

use super::consumer::{Agent, Drafted};
use crate::wiring::gathered::gather;

/// How long it may take until it is known that nobody answers on this machine.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// The secret of a configuration that a found one is, and the field that its value is in where it has several.
pub(super) fn secret<'c>(
    config: &'c Config,
    survey: &Survey,
    found: &Found,
) -> Option<(&'c Secret, Option<Name>)> {
    let values: BTreeSet<ValueId> = found.values.iter().copied().collect();
    for secret in config.secrets.values() {
        let Ok(gathered) = gather(secret, None) else { continue };
        let here = gathered.values().find(|(field, value)| {
            let hidden = secret.fields.get(*field).is_none_or(|field| field.secret);
            hidden && survey.values.of(value).is_some_and(|value| values.contains(&value))
        });
        let by_name = found.managed && secret.name.as_str() == found.name;
        if here.is_some() || by_name {
            let several = secret.fields.values().filter(|field| field.secret).count() > 1;
            let field = here.filter(|_| several).and_then(|(field, _)| Name::new(field));
            return Some((secret, field));
        }
    }
    // One that was taken in, and of which nobody has said yet who uses it.
    let bare = config.secrets.get(found.name.as_str()).filter(|secret| secret.consumers.is_empty());
    bare.map(|secret| (secret, None))
}

/// A drafted consumer as the configuration would read it.
pub(super) fn read(new: &FoundConsumer, file_name: &str) -> Option<Consumer> {
    let secret = Name::new("x")?;
    let text = format!("version = 1\n[secrets.x]\nissuer = \"openrouter\"\n{}", new.text(&secret));
    let config = Config::parse(&text, file_name).ok()?;
    config.secrets.into_values().flat_map(|secret| secret.consumers).next()
}

/// Whether a configured consumer is what was found: the same thing of the same manager, or the same process.
pub(super) fn is_same(known: &Consumer, new: &Consumer, drafted: &Drafted) -> bool {
    let Runs::Managed { by, .. } = &known.runs else { return runs_same(known, new, &drafted.processes) };
    runs_same(known, new, &drafted.processes) || is_agent(by, drafted, new, reads_same(known, new))
}

/// Whether a gateway or a proxy of a configuration is what was found, though this time it was drafted by its keeper, or at
/// another address. Another program may read the same copy, so that this alone says nothing.
fn is_agent(by: &Manager, drafted: &Drafted, new: &Consumer, reads_same: bool) -> bool {
    if let Manager::OpenClaw { state, start, .. } = by {
        if let (Some(Start::Unit(unit, whose)), Runs::Unit { name, user, .. }) = (start, &new.runs)
            && (stem(unit), whose) == (stem(name), user)
        {
            return true;
        }
        let of_lock = OpenClawHome::at(state).gateway();
        let is_its = |(pid, _)| drafted.processes.iter().any(|process| process.pid == pid);
        let found = matches!(&drafted.agent, Some(Agent::OpenClaw(folder)) if is_one(state, folder));
        return reads_same && (found || of_lock.is_some_and(is_its));
    }
    let Manager::LiteLlm(at) = by else { return false };
    let there =
        |own: &SocketAddr| own.port() == at.port() && (own.ip() == at.ip() || own.ip().is_unspecified());
    // What answers at the address of before is another proxy.
    let moved = || TcpStream::connect_timeout(at, ANSWER_TIME_MAX).is_err();
    let found = reads_same && matches!(drafted.agent, Some(Agent::LiteLlm));
    drafted.listens.iter().any(there) || found && moved()
}

fn runs_same(known: &Consumer, new: &Consumer, processes: &[ProcessId]) -> bool {
    match (&known.runs, &new.runs) {
        (
            Runs::Unit { name, user, .. } | Runs::Timer { name, user },
            Runs::Unit { name: other, user: whose, .. } | Runs::Timer { name: other, user: whose },
        ) => stem(name) == stem(other) && user == whose,
        (
            Runs::Compose { place, service, instances, .. },
            Runs::Compose { place: folder, service: other, .. },
        ) => {
            let here = is_one(place, folder) || place.parent().is_some_and(|place| is_one(place, folder));
            let wanted = other.fill("", None, None);
            let of =
                |one: &keyroll_config::Instance| service.fill(one.name.as_str(), one.port, None) == wanted;
            here && instances.iter().any(of)
        }
        (Runs::Container { name, .. }, Runs::Container { name: other, .. }) => name == other,
        (Runs::Managed { by, .. }, Runs::Managed { by: other, .. }) => match (by, other) {
            (
                Manager::Supervisor { program, config },
                Manager::Supervisor { program: other, config: file },
            ) => program == other && is_one(config, file),
            (Manager::Pm2 { app, ecosystem, .. }, Manager::Pm2 { app: other, ecosystem: file, .. }) => {
                app == other && (is_one(ecosystem, file) || ecosystem.parent() == file.parent())
            }
            (Manager::Cron(table), Manager::Cron(other)) => is_one(table, other),
            (Manager::Master { pid_file, .. }, _) => has_pid(pid_file, processes),
            (Manager::LiteLlm(_), _) => by == other,
            // Whatever a person has added to its words.
            (
                Manager::OpenClaw { state, provider, .. },
                Manager::OpenClaw { state: folder, provider: whose, .. },
            ) => is_one(state, folder) && (provider == whose || reads_same(known, new)),
            (Manager::Supervisor { .. } | Manager::Pm2 { .. } | Manager::Exec(_) | Manager::Cron(_), _)
            | (Manager::OpenClaw { .. }, _) => false,
        },
        // Somebody has named what keeps it.
        (
            Runs::Unit { name, user, .. },
            Runs::Managed { by: Manager::OpenClaw { start: Some(Start::Unit(unit, whose)), .. }, .. },
        ) => stem(name) == stem(unit) && user == whose,
        (
            Runs::Unit { .. } | Runs::Compose { .. } | Runs::Container { .. },
            Runs::Managed { by: Manager::LiteLlm(at), .. },
        ) => matches!(&known.check, Some(Check::LiteLlm(check)) if check.address == *at),
        // A process is what its file says, whatever a person has put in place of what was drafted.
        (Runs::Managed { by: Manager::Master { pid_file, .. }, .. }, Runs::Process { .. }) => {
            has_pid(pid_file, processes)
        }
        (Runs::Process { find, instances, .. }, Runs::Process { .. } | Runs::Managed { .. }) => {
            instances.iter().any(|one| is_found(find, one, processes))
                || (reads_same(known, new) && unnamed(find))
        }
        // Somebody said in his own words how it is told.
        (Runs::Managed { by: Manager::Exec(_), .. } | Runs::AtRest, _) => reads_same(known, new),
        (
            Runs::Unit { .. }
            | Runs::Timer { .. }
            | Runs::Compose { .. }
            | Runs::Container { .. }
            | Runs::Process { .. }
            | Runs::Managed { .. },
            _,
        ) => false,
    }
}

/// A unit's name without its kind.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn is_one(path: &Path, other: &Path) -> bool {
    path == other || matches!((path.canonicalize(), other.canonicalize()), (Ok(one), Ok(two)) if one == two)
}

fn reads_same(known: &Consumer, new: &Consumer) -> bool {
    new.reads.iter().any(|copy| known.reads.iter().any(|other| other.place == copy.place))
}

fn has_pid(path: &Path, processes: &[ProcessId]) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().parse::<u32>().is_ok_and(|pid| processes.iter().any(|process| process.pid == pid))
}

/// Nothing that is there tells its process: it is not running, or its file was not filled in yet.
fn unnamed(find: &Find) -> bool {
    match find {
        Find::PidFile(path) => !Path::new(&path.fill("", None, None)).is_file() && !path.uses("instance"),
        Find::Executable { .. } => false,
    }
}

fn is_found(find: &Find, instance: &keyroll_config::Instance, processes: &[ProcessId]) -> bool {
    let (name, port) = (instance.name.as_str(), instance.port);
    match find {
        Find::PidFile(path) => has_pid(Path::new(&path.fill(name, port, None)), processes),
        Find::Executable { path, arg } => processes.iter().any(|process| {
            let runs = image(process).is_ok_and(|image| is_one(&image.program.path, path));
            runs && arg.as_ref().is_none_or(|arg| has_word(process, &arg.fill(name, port, None)))
        }),
    }
}

fn has_word(process: &ProcessId, word: &str) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    working_folder(process).is_ok() && line.split(|byte| *byte == 0).any(|own| own == word.as_bytes())
}

/// What a configuration names and this machine does not show any more.
pub(super) fn gone(config: &Config, survey: &Survey) -> Vec<String> {
    let mut all = Vec::new();
    for secret in config.secrets.values() {
        for consumer in &secret.consumers {
            let which = format!("{}/{}", secret.name, consumer.name);
            let files = consumer.reads.iter().map(|copy| copy.place.path()).filter(|path| !path.exists());
            all.extend(files.map(|path| format!("{which}: its copy {} is not there", path.display())));
            if let Some(what) = handle_gone(&consumer.runs, &survey.services) {
                all.push(format!("{which}: {what} is not seen"));
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

fn handle_gone(runs: &Runs, services: &[Service]) -> Option<String> {
    let any = |is: &dyn Fn(&Service) -> bool| services.iter().any(is);
    let (there, what) = match runs {
        Runs::Unit { name, user, .. } => {
            let is = |one: &Service| matches!(one.handle.keeper(), Handle::Unit { name: own, user: whose } if own == name && whose == user);
            (any(&is), format!("the unit {name}"))
        }
        Runs::Compose { place, service, instances, .. } => {
            let is = |one: &Service| {
                let Handle::Compose { folder, service: own } = one.handle.keeper() else { return false };
                let named =
                    |one: &keyroll_config::Instance| service.fill(one.name.as_str(), one.port, None) == *own;
                (is_one(place, folder) || place.parent().is_some_and(|place| is_one(place, folder)))
                    && instances.iter().any(named)
            };
            (any(&is), format!("a container of the service {} in {}", service.text(), place.display()))
        }
        Runs::Container { name, .. } => {
            let is = |one: &Service| matches!(one.handle.keeper(), Handle::Container(own) if own == name);
            (any(&is), format!("the container {name}"))
        }
        Runs::Managed { by: Manager::Supervisor { program, .. }, .. } => {
            let is = |one: &Service| {
                matches!(one.handle.keeper(), Handle::Supervisor { .. }) && one.name == *program
            };
            (any(&is), format!("the program {program} of supervisord"))
        }
        Runs::Managed { by: Manager::Pm2 { app, .. }, .. } => {
            let is = |one: &Service| matches!(one.handle.keeper(), Handle::Pm2 { .. }) && one.name == *app;
            (any(&is), format!("the app {app} of pm2"))
        }
        Runs::Managed {
            by:
                Manager::Exec(_)
                | Manager::Master { .. }
                | Manager::Cron(_)
                | Manager::LiteLlm(_)
                | Manager::OpenClaw { .. },
            ..
        }
        | Runs::Process { .. }
        | Runs::Timer { .. }
        | Runs::AtRest => return None,
    };
    (!there).then_some(what)
}
