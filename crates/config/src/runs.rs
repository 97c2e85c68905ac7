use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::at::At;
use crate::config::one_of;
use crate::fault::Fault;
use crate::path::resolve;
use crate::period::read_period;
use crate::shape::RunsShape;
use crate::{Argument, Argv, Kind, Manager, Name, Signal};

/// How long an instance may take to finish what it is doing, unless the file says otherwise.
const DRAIN_DEFAULT_MS: u64 = 10_000;
/// The most instances of one consumer.
const INSTANCES_MAX: usize = 256;

/// One instance of a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name; `main` where the file names none.
    pub name: Name,
    /// Its port, where the file names ports.
    pub port: Option<u16>,
}

/// How a new value is made to take effect in a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apply {
    /// A command that restarts one instance; `{instance}` and `{port}` may stand in its arguments.
    Restart(Argv),
    /// A signal to the instance's process.
    Signal(Signal),
    /// Nothing: it reads the copy again by itself.
    Rereads,
}

/// How the process of an instance is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Find {
    /// By a file with its process id; `{instance}` may stand in the path.
    PidFile(Argument),
    /// By the path of its executable, and one word of its command line.
    Executable {
        /// The executable, absolute.
        path: PathBuf,
        /// A word that its command line must have; `{instance}` and `{port}` may stand in it.
        arg: Option<Argument>,
    },
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    /// Plain processes.
    Process {
        /// How a new value takes effect.
        apply: Apply,
        /// How they are found.
        find: Find,
        /// The instances, in the order in which they are moved; at least one.
        instances: Vec<Instance>,
        /// An http address that answers 200 when an instance is ready; `{instance}` and `{port}` may stand in it.
        ready: Option<Argument>,
        /// How long an instance may take to finish what it is doing.
        drain: Duration,
    },
    /// A systemd unit.
    Unit {
        /// Its name with its suffix, `app.service`.
        name: String,
        /// The user whose own service manager has it.
        user: Option<String>,
        /// As for processes, without placeholders.
        ready: Option<Argument>,
        /// As for processes.
        drain: Duration,
    },
    /// A job that a systemd timer starts.
    Timer {
        /// The timer's name with its suffix, `backup.timer`.
        name: String,
        /// The user whose own service manager has it.
        user: Option<String>,
    },
    /// A service of docker compose.
    Compose {
        /// The project's folder or one of its files, absolute.
        place: PathBuf,
        /// The service; `{instance}` may stand in it.
        service: Argument,
        /// The instances, each a service of its own; at least one.
        instances: Vec<Instance>,
        /// As for processes.
        ready: Option<Argument>,
        /// As for processes.
        drain: Duration,
    },
    /// A container that was started by hand.
    Container {
        /// Its name.
        name: String,
        /// The command that makes it anew, or nothing where it reads its file again; `None` = `docker restart`.
        apply: Option<Apply>,
        /// As for processes, without placeholders.
        ready: Option<Argument>,
        /// As for processes.
        drain: Duration,
    },
    /// Nothing runs now: cron, CI, scaled to zero, stopped.
    AtRest,
    /// What another manager runs.
    Managed {
        /// Which one, and what it calls it.
        by: Manager,
        /// As for processes; one, but for an adapter.
        instances: Vec<Instance>,
        /// As for processes.
        ready: Option<Argument>,
        /// As for processes.
        drain: Duration,
    },
}

pub(crate) const FORMS: &str = "the forms are: { restart = [\"…\"], pid_file = \"…\" } · { signal = \"HUP\", pid_file = \"…\" } · \
                     { rereads = true, pid_file = \"…\" } · { unit = \"app.service\" } · { timer = \"job.timer\" } · \
                     { compose = \"/srv/app\", service = \"web\" } · { container = \"web\" } · { at_rest = true } · \
                     { supervisor = \"app\" } · { pm2 = \"ecosystem.config.js\", app = \"app\" } · \
                     { exec = [\"./adapter\"] } · { master = \"./gunicorn.pid\" } · { cron = \"/etc/cron.d/job\" } · \
                     { litellm = \"http://127.0.0.1:4000\" } · \
                     { openclaw = \"/home/claw/.openclaw\", provider = \"openai\" }";

impl Runs {
    /// The names of all that can be enumerated; one, `main`, for a unit or a consumer at rest.
    pub fn instances(&self) -> Vec<Instance> {
        match self {
            Self::Process { instances, .. }
            | Self::Compose { instances, .. }
            | Self::Managed { instances, .. } => instances.clone(),
            Self::Unit { .. } | Self::Timer { .. } | Self::Container { .. } | Self::AtRest => main_instance(),
        }
    }

    /// How long an instance may take to finish what it is doing; `None` for what runs at times.
    pub fn drain(&self) -> Option<Duration> {
        match self {
            Self::Process { drain, .. }
            | Self::Unit { drain, .. }
            | Self::Compose { drain, .. }
            | Self::Container { drain, .. }
            | Self::Managed { drain, .. } => Some(*drain),
            Self::Timer { .. } | Self::AtRest => None,
        }
    }

    /// Whether nothing of it runs but at times.
    pub fn is_at_rest(&self) -> bool {
        match self {
            Self::Timer { .. } | Self::AtRest | Self::Managed { by: Manager::Cron(_), .. } => true,
            Self::Process { .. } | Self::Unit { .. } | Self::Managed { .. } => false,
            Self::Compose { .. } | Self::Container { .. } => false,
        }
    }

    /// The user whose own service manager has it; the system's manager without one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Unit { user, .. } | Self::Timer { user, .. } => user.as_deref(),
            Self::Process { .. } | Self::Compose { .. } | Self::Container { .. } => None,
            Self::AtRest | Self::Managed { .. } => None,
        }
    }

    pub(crate) fn build(shape: &At<RunsShape>, folder: &Path) -> Result<Self, Fault> {
        let runs = &shape.value;
        let wrong = |why: &str| Fault::new(Kind::BadCombination, why).at(&shape.span).help(FORMS);
        for (key, flag) in [("rereads", &runs.rereads), ("at_rest", &runs.at_rest)] {
            if let Some(flag) = flag
                && !flag.value
            {
                return Err(wrong(&format!("`{key}` is true or is left out")).at(&flag.span));
            }
        }
        match (&runs.container, &runs.openclaw) {
            (Some(container), _) => return Self::build_container(container, shape, folder),
            (None, Some(state)) => return Self::build_openclaw(state, shape, folder),
            (None, None) => {}
        }
        if runs.forms() != 1 {
            return Err(wrong(
                "`runs` needs exactly one of `restart`, `signal`, `rereads`, `unit`, `timer`, `compose`, `container`, \
                 `at_rest`, `supervisor`, `pm2`, `exec`, `master`, `cron`, `litellm`, `openclaw`",
            ));
        }
        if let Some(place) = &runs.compose {
            return Self::build_compose(place, shape, folder);
        }
        if runs.service.is_some() {
            return Err(wrong("`service` goes with `compose`"));
        }
        let (instances, holes) = read_instances(runs)?;
        if let Some(by) = Manager::read(runs, folder, &holes)? {
            let several = runs.exec.is_some() && runs.pid_file.is_none() && runs.process.is_none();
            if has_process_keys(runs) && !(several && runs.arg.is_none()) {
                return Err(wrong("the manager knows its processes: `ready` and `drain` alone go with it"));
            }
            let ready = read_url("ready", runs.ready.as_ref(), &holes)?;
            return Ok(Self::Managed { by, instances, ready, drain: read_drain(runs)? });
        }
        if let Some(unit) = &runs.unit {
            return Self::build_unit(unit, shape);
        }
        if let Some(timer) = &runs.timer {
            return match has_process_keys(runs) || runs.ready.is_some() || runs.drain.is_some() {
                true => Err(wrong("`timer` goes with `user` only")),
                false => Ok(Self::Timer { name: read_unit("timer", timer)?, user: read_user(runs)? }),
            };
        }
        if let Some(user) = &runs.user {
            return Err(wrong("`user` goes with `unit` or `timer`").at(&user.span));
        }
        if runs.at_rest.is_some() {
            return match has_process_keys(runs) || runs.ready.is_some() || runs.drain.is_some() {
                true => Err(wrong("`at_rest` stands alone")),
                false => Ok(Self::AtRest),
            };
        }
        Self::build_process(shape, folder)
    }

    fn build_unit(unit: &At<String>, shape: &At<RunsShape>) -> Result<Self, Fault> {
        if has_process_keys(&shape.value) {
            let why = "`unit` goes with `ready` and `drain` only: systemd knows its processes";
            return Err(Fault::new(Kind::BadCombination, why).at(&shape.span).help(FORMS));
        }
        Ok(Self::Unit {
            name: read_unit("service", unit)?,
            user: read_user(&shape.value)?,
            ready: read_url("ready", shape.value.ready.as_ref(), &[])?,
            drain: read_drain(&shape.value)?,
        })
    }

    fn build_compose(place: &At<String>, shape: &At<RunsShape>, folder: &Path) -> Result<Self, Fault> {
        let runs = &shape.value;
        let wrong = |why: &str| Fault::new(Kind::BadCombination, why).at(&shape.span).help(FORMS);
        if has_find_keys(runs) || runs.user.is_some() {
            return Err(wrong("`compose` goes with `service`, `instances`, `ready` and `drain` only"));
        }
        let service = runs.service.as_ref().ok_or_else(|| wrong("`compose` needs `service`"))?;
        let (instances, holes) = read_instances(runs)?;
        read_docker_name(
            "service",
            &At {
                value: service.value.replace("{instance}", "i").replace("{port}", "1"),
                span: service.span.clone(),
            },
        )?;
        let service = Argument::read("service", service, &holes)?;
        if instances.len() > 1 && !service.uses("instance") {
            return Err(wrong(
                "several instances must be services of their own: `{instance}` is missing in `service`",
            ));
        }
        Ok(Self::Compose {
            place: resolve(folder, "compose", place)?,
            service,
            instances,
            ready: read_url("ready", runs.ready.as_ref(), &holes)?,
            drain: read_drain(runs)?,
        })
    }

    fn build_container(name: &At<String>, shape: &At<RunsShape>, folder: &Path) -> Result<Self, Fault> {
        let runs = &shape.value;
        let wrong = |why: &str| Fault::new(Kind::BadCombination, why).at(&shape.span).help(FORMS);
        let others =
            [runs.signal.is_some(), runs.unit.is_some(), runs.compose.is_some(), runs.service.is_some()];
        let others =
            others.into_iter().chain([runs.timer.is_some(), runs.user.is_some(), runs.at_rest.is_some()]);
        let others = others.chain([runs.openclaw.is_some()]);
        let more = others.into_iter().any(|there| there) || runs.instances.is_some();
        if more
            || runs.ports.is_some()
            || has_find_keys(runs)
            || (runs.restart.is_some() && runs.rereads.is_some())
        {
            return Err(wrong(
                "`container` goes with `restart` or `rereads`, and with `ready` and `drain` only",
            ));
        }
        read_docker_name("container", name)?;
        let apply = match (&runs.restart, &runs.rereads) {
            (Some(words), _) => Some(Apply::Restart(Argv::read(folder, "restart", words, &[])?)),
            (None, Some(_)) => Some(Apply::Rereads),
            (None, None) => None,
        };
        Ok(Self::Container {
            name: name.value.clone(),
            apply,
            ready: read_url("ready", runs.ready.as_ref(), &[])?,
            drain: read_drain(runs)?,
        })
    }

    fn build_process(shape: &At<RunsShape>, folder: &Path) -> Result<Self, Fault> {
        let runs = &shape.value;
        let (instances, holes) = read_instances(runs)?;
        let apply = match (&runs.restart, &runs.signal) {
            (Some(words), _) => Apply::Restart(Argv::read(folder, "restart", words, &holes)?),
            (None, Some(text)) => Apply::Signal(
                Signal::parse(&text.value).ok_or_else(|| one_of("signal", text, &Signal::NAMES))?,
            ),
            (None, None) => Apply::Rereads,
        };
        let find = read_find(shape, folder, &holes)?;
        if instances.len() > 1 {
            let told_apart = match &find {
                Find::PidFile(path) => path.uses("instance") || path.uses("port"),
                Find::Executable { arg, .. } => {
                    arg.as_ref().is_some_and(|arg| arg.uses("instance") || arg.uses("port"))
                }
            };
            let restarts_one = match &apply {
                Apply::Restart(argv) => argv.uses("instance") || argv.uses("port"),
                Apply::Signal(_) | Apply::Rereads => true,
            };
            if !told_apart || !restarts_one {
                let why = "several instances must be told apart: `{instance}` or `{port}` is missing";
                return Err(Fault::new(Kind::BadCombination, why)
                    .at(&shape.span)
                    .help("write it into `restart`, and into `pid_file` or `arg`"));
            }
        }
        let ready = read_url("ready", runs.ready.as_ref(), &holes)?;
        Ok(Self::Process { apply, find, instances, ready, drain: read_drain(runs)? })
    }
}

/// The full name of a unit of a kind.
pub(crate) fn read_unit(kind: &str, text: &At<String>) -> Result<String, Fault> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b':' | b'\\');
    let name = text.value.strip_suffix(kind).and_then(|rest| rest.strip_suffix('.')).unwrap_or_default();
    let good = !name.is_empty()
        && text.value.len() <= 255
        && !name.starts_with('-')
        && text.value.bytes().all(allowed);
    match good {
        true => Ok(text.value.clone()),
        false => {
            Err(Fault::new(Kind::BadName, format!("it must be the full name of a {kind}: `app.{kind}`"))
                .at(&text.span))
        }
    }
}

/// A local user's name, as useradd(8) allows it.
pub(crate) fn read_user(runs: &RunsShape) -> Result<Option<String>, Fault> {
    let Some(text) = &runs.user else { return Ok(None) };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$');
    let good = (1..=32).contains(&text.value.len())
        && !text.value.starts_with('-')
        && text.value.bytes().all(allowed);
    match good {
        true => Ok(Some(text.value.clone())),
        false => Err(Fault::new(Kind::BadName, "`user` must be the name of a local user").at(&text.span)),
    }
}

/// Whether a key stands there that a unit or a job at rest does not have.
pub(crate) fn has_process_keys(runs: &RunsShape) -> bool {
    runs.instances.is_some() || runs.ports.is_some() || has_find_keys(runs)
}

/// Whether a key stands there by which a plain process is found.
fn has_find_keys(runs: &RunsShape) -> bool {
    runs.pid_file.is_some() || runs.process.is_some() || runs.arg.is_some()
}

/// A name as docker allows it, which becomes an argument of its command. Source: docker's `RestrictedNameChars`.
fn read_docker_name(key: &str, name: &At<String>) -> Result<(), Fault> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let begins = name.value.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if begins && name.value.len() <= 255 && name.value.bytes().all(allowed) {
        return Ok(());
    }
    let why =
        format!("`{key}` is made of letters, digits, `.`, `_` and `-`, and begins with a letter or digit");
    Err(Fault::new(Kind::BadName, why).at(&name.span))
}

pub(crate) fn main_instance() -> Vec<Instance> {
    Name::new("main").map(|name| Instance { name, port: None }).into_iter().collect()
}

pub(crate) fn read_drain(runs: &RunsShape) -> Result<Duration, Fault> {
    read_period("drain", runs.drain.as_ref(), Duration::from_millis(DRAIN_DEFAULT_MS))
}

/// The instances, and which placeholders have a meaning with them.
fn read_instances(runs: &RunsShape) -> Result<(Vec<Instance>, Vec<&'static str>), Fault> {
    let mut instances = Vec::new();
    let mut holes = Vec::new();
    match &runs.instances {
        None => instances = main_instance(),
        Some(all) => {
            holes.push("instance");
            if all.value.is_empty() || all.value.len() > INSTANCES_MAX {
                let why = format!("`instances` must name 1 to {INSTANCES_MAX}");
                return Err(Fault::new(Kind::WrongForm, why).at(&all.span));
            }
            for text in &all.value {
                let name = Name::read("an instance", text)?;
                if instances.iter().any(|other: &Instance| other.name == name) {
                    return Err(Fault::new(Kind::Duplicate, format!("instance `{name}` is named twice"))
                        .at(&text.span));
                }
                instances.push(Instance { name, port: None });
            }
        }
    }
    if let Some(ports) = &runs.ports {
        holes.push("port");
        if ports.value.len() != instances.len() {
            let why = format!("`ports` must have one port for each instance ({})", instances.len());
            return Err(Fault::new(Kind::BadCombination, why).at(&ports.span));
        }
        for (instance, port) in instances.iter_mut().zip(&ports.value) {
            instance.port = Some(*port);
        }
    }
    Ok((instances, holes))
}

fn read_find(shape: &At<RunsShape>, folder: &Path, holes: &[&str]) -> Result<Find, Fault> {
    let runs = &shape.value;
    match (&runs.pid_file, &runs.process, &runs.arg) {
        (Some(path), None, None) => Argument::read_path(folder, "pid_file", path, holes).map(Find::PidFile),
        (None, Some(path), arg) => {
            if !path.value.contains('/') {
                let why = "`process` must be the path of an executable, not a name";
                return Err(Fault::new(Kind::BadPath, why).at(&path.span));
            }
            let path = resolve(folder, "process", path)?;
            let arg = arg.as_ref().map(|arg| Argument::read("arg", arg, holes)).transpose()?;
            Ok(Find::Executable { path, arg })
        }
        (None, None, _) | (Some(_), Some(_), _) | (Some(_), None, Some(_)) => {
            let why = "the process is found by `pid_file`, or by `process` with or without `arg`";
            Err(Fault::new(Kind::BadCombination, why).at(&shape.span).help(FORMS))
        }
    }
}

/// The address of a program of this machine, `http://127.0.0.1:4000`: it is asked with a key of its own, which would be
/// read on the way to another.
pub(crate) fn read_loopback(key: &str, text: &At<String>) -> Result<SocketAddr, Fault> {
    let why =
        format!("`{key}` must be http:// with a numeric loopback address and a port: http://127.0.0.1:4000");
    let wrong = || Fault::new(Kind::WrongForm, why).at(&text.span);
    let rest = text.value.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let rest = rest.map(|rest| rest.replacen("localhost:", "127.0.0.1:", 1));
    let address = rest.and_then(|rest| rest.parse::<SocketAddr>().ok());
    address.filter(|address| address.ip().is_loopback()).ok_or_else(wrong)
}

/// Reads an http address of this machine or another; it never carries a user or a password.
pub(crate) fn read_url(
    key: &str,
    text: Option<&At<String>>,
    holes: &[&str],
) -> Result<Option<Argument>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |why: &str| Err(Fault::new(Kind::WrongForm, format!("`{key}` {why}")).at(&text.span));
    let rest = text.value.strip_prefix("http://").or_else(|| text.value.strip_prefix("https://"));
    let Some(rest) = rest else { return wrong("must begin with http:// or https://") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return wrong("must name a host, without a user");
    }
    if text.value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return wrong("holds a space or a control character");
    }
    let loopback = ["127.0.0.1", "localhost", "[::1]"];
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    if text.value.starts_with("http://") && !loopback.contains(&host) {
        return wrong("must be https:// unless it is on loopback (127.0.0.1, [::1], localhost)");
    }
    Argument::read(key, text, holes).map(Some)
}
