//! From the configuration to what the protocol and this machine are told: the same numbers for both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyroll_config::{
    Apply, Argument, Check, Consumer, Copy, EntryPart, EvidenceKind, FileFormat, Find, Instance, Manager,
    OnFailure, Place, Reference, Runs, Secret, Source, WriteMode,
};
use keyroll_copy::{Format, Part, Slot, Template};
use keyroll_host::{
    CheckSetup, ConsumerSetup, CopySetup, CopySource, FileSetup, GateSetup, LOCAL, LogSetup, Setup,
    SlotSetup, Write,
};
use keyroll_manager::{
    Adapter, Agent, AtRest, CommandLine, Compose, Container, ContainerVerb, Cron, LiteLlm, Master, Pm2,
    Process, RateQuery, Reread, Roll, Run, Supervisor, Unit, Verb, signal_by_name, uid_of,
};
use keyroll_observe::{JournalUnit, LogSource};
use keyroll_port::Issuer;
use keyroll_rotation::{self as rotation, Delivery, FileId, Kinds, Policy, Uptake};
use keyroll_secret::Fields;

use super::agents::{agent_ready, openclaw, turn};
use super::family::Own;
use super::here::on_this_machine;
use super::litellm::{litellm_setup, variable_names};
use super::logins::{passes_on, pooler_ports, refuse_unfit_lists};
use super::project::files_of;
use crate::places::Places;
use crate::problem::Problem;

/// Lines that show a refused credential, where the configuration names none.
const REFUSED_DEFAULT: &str =
    r"(?i-u)\b401\b|unauthori[sz]ed|authentication failed|invalid (api )?key|password authentication failed";

/// No line at all.
const NOTHING: &str = r"\z\A.";

/// Answers in a row that show a value alive or dead.
const PROBES: u8 = 3;

/// What both sides are told about one secret.
pub(crate) struct Composed {
    pub(crate) setup: Setup,
    pub(crate) consumers: Vec<rotation::Consumer>,
    pub(crate) files: Vec<rotation::HostId>,
}

/// Gives every file and consumer of a secret its number, in the order of the configuration.
pub(crate) fn compose(
    secret: &Secret,
    issuer: &dyn Issuer,
    places: &Places,
    id: &str,
    folder: &Path,
    roots: &[PathBuf],
    planned: &BTreeMap<PathBuf, PathBuf>,
) -> Result<Composed, Problem> {
    compose_own(secret, issuer, places, id, (folder, roots), planned, &Own::new())
}

/// The same, where consumers have keys of their own.
pub(crate) fn compose_own(
    secret: &Secret,
    issuer: &dyn Issuer,
    places: &Places,
    id: &str,
    (folder, roots): (&Path, &[PathBuf]),
    planned: &BTreeMap<PathBuf, PathBuf>,
    own: &Own,
) -> Result<Composed, Problem> {
    refuse_unfit_lists(secret)?;
    let attributes = issuer.capabilities().attributes;
    let mut files: Vec<FileSetup> = Vec::new();
    let mut setups = Vec::new();
    let mut consumers = Vec::new();
    for consumer in &secret.consumers {
        let own = own.get(consumer.name.as_str());
        let mine = own_files(secret, consumer, (&mut files, planned), folder, own)?;
        setups.push(ConsumerSetup {
            name: consumer.name.to_string(),
            files: mine.clone(),
            fetch: consumer.fetch.as_ref().map(|argv| line(argv.fill("main", None, None), folder)),
            slots: slots(consumer, folder, mine.first().copied())?,
        });
        consumers.push(unit(consumer, mine, attributes)?);
    }
    let format = issuer.value_format();
    let hosts = files.iter().map(|_| LOCAL).collect();
    let setup = Setup {
        rotation: id.to_owned(),
        files,
        consumers: setups,
        roots: roots.iter().cloned().chain(projects(secret)).collect(),
        own_folders: vec![places.state.clone(), places.keys.clone()],
        instance_time_max: secret.deadlines.unit,
        work: places.state.join("work"),
        value_format: (format.alphabet, format.length_max),
        servers: issuer
            .endpoints()
            .iter()
            .filter_map(|place| port(place))
            .chain(pooler_ports(secret))
            .collect(),
        gate: secret.gate.as_ref().map(gate),
        issuer_at: match issuer.capabilities().attributes {
            true => issuer.endpoints().iter().filter_map(|place| on_this_machine(place)).collect(),
            false => Vec::new(),
        },
    };
    Ok(Composed { setup, consumers, files: hosts })
}

/// Where a value may stand and nobody looks for it: `environment:` of a project, the state folder of an agent.
fn projects(secret: &Secret) -> impl Iterator<Item = PathBuf> {
    secret.consumers.iter().flat_map(|consumer| match &consumer.runs {
        Runs::Compose { place, .. } => files_of(place),
        Runs::Managed { by: Manager::OpenClaw { state, .. }, .. } => vec![state.clone()],
        Runs::Process { .. }
        | Runs::Unit { .. }
        | Runs::Timer { .. }
        | Runs::Container { .. }
        | Runs::Managed { .. }
        | Runs::AtRest => Vec::new(),
    })
}

fn gate(gate: &keyroll_config::Gate) -> GateSetup {
    let bearer = gate.bearer.as_ref().map(|Reference::File(path)| path.clone());
    let rate = RateQuery { url: gate.url.clone(), query: gate.query.clone(), bearer };
    GateSetup { rate, max: gate.max() }
}

/// The port of `host:port`.
fn port(place: &str) -> Option<u16> {
    place.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

fn number(count: usize) -> Result<u16, Problem> {
    u16::try_from(count).map_err(|_| too_many("files or consumers"))
}

fn too_many(what: &str) -> Problem {
    Problem::new("K0820", "number what the configuration names").because(format!("there are too many {what}"))
}

fn own_files(
    secret: &Secret,
    consumer: &Consumer,
    (files, planned): (&mut Vec<FileSetup>, &BTreeMap<PathBuf, PathBuf>),
    folder: &Path,
    own: Option<&Arc<Fields>>,
) -> Result<Vec<FileId>, Problem> {
    // A file in which two consumers have two keys is looked at twice, each time for one of them.
    let same = |file: &FileSetup| file.own.as_ref().map(Arc::as_ptr) == own.map(Arc::as_ptr);
    let mut mine = Vec::new();
    for copy in &consumer.reads {
        let path = copy.place.path().to_owned();
        let at = match files.iter().position(|file| file.path == path && same(file)) {
            Some(at) => at,
            None => {
                let write = match copy.write {
                    WriteMode::Rename => Write::Rename,
                    WriteMode::InPlace => Write::InPlace,
                };
                let planned = planned.get(&path).cloned();
                let generator =
                    copy.generated.as_ref().map(|argv| line(argv.fill("main", None, None), folder));
                let generated = consumer.is_pull() || generator.is_some();
                let own = own.cloned();
                files.push(FileSetup { path, planned, write, copies: Vec::new(), generated, generator, own });
                files.len() - 1
            }
        };
        let id = FileId(number(at)?);
        let setup = copy_setup(secret, copy)?;
        if let Some(file) = files.get_mut(at)
            && !file.copies.iter().any(|known| same_place(known, &setup))
        {
            file.copies.push(setup);
        }
        if !mine.contains(&id) {
            mine.push(id);
        }
    }
    Ok(mine)
}

fn same_place(one: &CopySetup, other: &CopySetup) -> bool {
    match (one, other) {
        (
            CopySetup::Value { format: one, slot: at, .. },
            CopySetup::Value { format: other, slot: beside, .. },
        ) => one == other && at == beside,
        (CopySetup::Within(one), CopySetup::Within(other)) => one == other,
        (CopySetup::Login { .. }, CopySetup::Login { .. }) => true,
        (CopySetup::Value { .. } | CopySetup::Within(_) | CopySetup::Login { .. }, _) => false,
    }
}

fn template(text: &str) -> Result<Template, Problem> {
    Template::parse(text)
        .map_err(|error| Problem::new(error.code(), "read a template").because(error.to_string()))
}

/// How one copy is read and written.
pub(crate) fn copy_setup(secret: &Secret, copy: &Copy) -> Result<CopySetup, Problem> {
    let source = match &copy.source {
        Source::Field(name) => CopySource::Field(name.to_string()),
        Source::Derived(name) => {
            let text =
                secret.derived.get(name).map(|template| template.text().to_owned()).unwrap_or_default();
            CopySource::Text(template(&text)?)
        }
        Source::Template(whole) => CopySource::Text(template(whole.text())?),
    };
    Ok(match &copy.place {
        Place::EnvFile { variable, .. } => {
            CopySetup::Value { format: Format::Dotenv, slot: Slot::Variable(variable.clone()), source }
        }
        Place::File { .. } => CopySetup::Value { format: Format::Whole, slot: Slot::Whole, source },
        Place::Inside { format, at, part, .. } => {
            let format = file_format(*format);
            let part = part.map(|part| match part {
                EntryPart::User => Part::User,
                EntryPart::Password => Part::Password,
            });
            let slot = format.slot(at, part).map_err(|error| {
                Problem::new(error.code(), "read `at` of a copy")
                    .because(error.to_string())
                    .help(error.help())
            })?;
            CopySetup::Value { format, slot, source }
        }
        Place::Userlist { user, .. } => CopySetup::Login { user: user.to_string(), source },
        Place::Within { template: text, .. } => CopySetup::Within(template(text)?),
    })
}

fn file_format(format: FileFormat) -> Format {
    match format {
        FileFormat::Json => Format::Json,
        FileFormat::Yaml => Format::Yaml,
        FileFormat::Compose => Format::Compose,
        FileFormat::Toml => Format::Toml,
        FileFormat::Ini => Format::Ini,
        FileFormat::Npmrc => Format::Npmrc,
        FileFormat::Pgpass => Format::Pgpass,
        FileFormat::Netrc => Format::Netrc,
        FileFormat::GitCredentials => Format::GitCredentials,
    }
}

fn unit(consumer: &Consumer, files: Vec<FileId>, attributes: bool) -> Result<rotation::Consumer, Problem> {
    let uptake = match &consumer.runs {
        Runs::Timer { .. } | Runs::AtRest | Runs::Managed { by: Manager::Cron(_), .. } => Uptake::AtRest,
        Runs::Process { apply: Apply::Rereads, .. } | Runs::Container { apply: Some(Apply::Rereads), .. } => {
            Uptake::Rereads
        }
        Runs::Process { apply: Apply::Restart(_) | Apply::Signal(_), .. }
        | Runs::Unit { .. }
        | Runs::Compose { .. }
        | Runs::Container { .. }
        | Runs::Managed { .. } => Uptake::Verb,
    };
    Ok(rotation::Consumer {
        host: LOCAL,
        delivery: if consumer.is_pull() { Delivery::Fetch } else { Delivery::Push },
        uptake,
        files,
        slots: u8::try_from(consumer.runs.instances().len()).map_err(|_| too_many("instances"))?,
        paths: u8::try_from(1 + consumer.paths.len()).map_err(|_| too_many("paths"))?,
        attributable: attributes && uptake != Uptake::AtRest && !passes_on(consumer),
    })
}

pub(super) fn line(words: Vec<String>, folder: &Path) -> CommandLine {
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    CommandLine { folder: Some(folder.to_owned()), ..CommandLine::program(program, words) }
}

fn slots(consumer: &Consumer, folder: &Path, first: Option<FileId>) -> Result<Vec<SlotSetup>, Problem> {
    let instances = consumer.runs.instances();
    let single = instances.len() == 1;
    instances
        .iter()
        .map(|instance| {
            let mut checks = vec![
                consumer.check.as_ref().map(|check| check_setup(check, consumer, instance, folder, first)),
            ];
            checks.extend(
                consumer
                    .paths
                    .iter()
                    .map(|path| Some(check_setup(&path.check, consumer, instance, folder, first))),
            );
            Ok(SlotSetup {
                instance: (!single).then(|| instance.name.to_string()),
                run: run(consumer, instance, folder)?,
                checks,
                log: consumer.log.as_ref().map(|log| log_setup(log, &consumer.runs, instance)).transpose()?,
                ready: ready(&consumer.runs, instance),
            })
        })
        .collect()
}

fn log_setup(log: &keyroll_config::Log, runs: &Runs, instance: &Instance) -> Result<LogSetup, Problem> {
    let source = match &log.source {
        keyroll_config::LogSource::File(path) => LogSource::File(PathBuf::from(fill(path, instance))),
        keyroll_config::LogSource::Journal(unit) => {
            // The unit of a user's own manager is another one than the system's of the same name.
            let user = runs.user().map(uid_of).transpose()?;
            LogSource::Journal(JournalUnit { unit: fill(unit, instance), user })
        }
        keyroll_config::LogSource::Docker(name) => LogSource::Docker(fill(name, instance)),
    };
    Ok(LogSetup {
        source,
        success: log.success.clone().unwrap_or_else(|| NOTHING.to_owned()),
        failure: log.failure.clone().unwrap_or_else(|| REFUSED_DEFAULT.to_owned()),
    })
}

fn fill(argument: &Argument, instance: &Instance) -> String {
    argument.fill(instance.name.as_str(), instance.port, None)
}

fn ready(runs: &Runs, instance: &Instance) -> Option<keyroll_manager::Check> {
    let url = match runs {
        Runs::Managed { by: Manager::OpenClaw { state, .. }, .. } => return Some(agent_ready(state)),
        Runs::Process { ready, .. }
        | Runs::Unit { ready, .. }
        | Runs::Compose { ready, .. }
        | Runs::Container { ready, .. }
        | Runs::Managed { ready, .. } => ready.as_ref()?,
        Runs::Timer { .. } | Runs::AtRest => return None,
    };
    Some(keyroll_manager::Check::Http { url: fill(url, instance), contains: None })
}

fn check_setup(
    check: &Check,
    consumer: &Consumer,
    instance: &Instance,
    folder: &Path,
    first: Option<FileId>,
) -> CheckSetup {
    let runs = &consumer.runs;
    match check {
        // The place of the copy stays open: the control runs the same command on a wrong one.
        Check::Exec(argv) => {
            let words = argv.fill(instance.name.as_str(), instance.port, Some(Path::new("{copy}")));
            CheckSetup::Exec { command: line(words, folder), copy: first, turn: None }
        }
        Check::Turn { model, agent, after } => {
            let turn = turn(runs, model, agent.as_deref());
            match after {
                None => CheckSetup::Http(keyroll_manager::Check::Turn(turn)),
                Some(argv) => {
                    let words = argv.fill(instance.name.as_str(), instance.port, Some(Path::new("{copy}")));
                    CheckSetup::Exec { command: line(words, folder), copy: first, turn: Some(turn) }
                }
            }
        }
        Check::Http(url) => {
            CheckSetup::Http(keyroll_manager::Check::Http { url: fill(url, instance), contains: None })
        }
        Check::LiteLlm(of) => CheckSetup::LiteLlm(litellm_setup(of, consumer)),
    }
}

pub(super) fn systemd_unit(name: &str, user: &Option<String>) -> Unit {
    Unit { user: user.clone(), ..Unit::new(name) }
}

pub(super) fn run(consumer: &Consumer, instance: &Instance, folder: &Path) -> Result<Run, Problem> {
    let (apply, by) = match &consumer.runs {
        Runs::AtRest => return Ok(Run::AtRest(AtRest::default())),
        Runs::Timer { name, user } => {
            return Ok(Run::AtRest(AtRest { timer: Some(systemd_unit(name, user)) }));
        }
        Runs::Unit { name, user, .. } => return Ok(Run::Unit(systemd_unit(name, user))),
        Runs::Compose { place, service, .. } => {
            return Ok(Run::Compose(Compose::new(place, fill(service, instance))));
        }
        Runs::Container { name, apply, .. } => {
            let verb = match apply {
                Some(Apply::Restart(argv)) => {
                    ContainerVerb::Recreate(line(argv.fill("main", None, None), folder))
                }
                Some(Apply::Rereads) => ContainerVerb::Rereads,
                Some(Apply::Signal(_)) | None => ContainerVerb::Restart,
            };
            return Ok(Run::Container(Container::new(name.clone(), verb)));
        }
        Runs::Managed { by, .. } => return Ok(managed(consumer, by, instance, folder)),
        Runs::Process { apply, find, .. } => (apply, find),
    };
    let find = match by {
        Find::PidFile(path) => {
            keyroll_manager::Find::PidFile { path: PathBuf::from(fill(path, instance)), exe: None }
        }
        Find::Executable { path, arg } => keyroll_manager::Find::Executable {
            exe: path.clone(),
            argument: arg.as_ref().map(|arg| fill(arg, instance)),
        },
    };
    let verb = match apply {
        Apply::Rereads => return Ok(Run::Reread(Reread { instances: Vec::new(), find })),
        Apply::Restart(argv) => {
            Verb::Restart(line(argv.fill(instance.name.as_str(), instance.port, None), folder))
        }
        Apply::Signal(signal) => {
            let number = signal_by_name(signal.name());
            Verb::Signal(number.ok_or_else(|| {
                Problem::new("K0820", "find the number of a signal").because("this system has no such signal")
            })?)
        }
    };
    Ok(Run::Process(Process { instances: Vec::new(), find, verb }))
}

/// What one of the other managers runs.
fn managed(consumer: &Consumer, by: &Manager, instance: &Instance, folder: &Path) -> Run {
    match by {
        Manager::OpenClaw { state, provider, program, start } => {
            openclaw(consumer, (state, provider), (program.as_ref(), start.as_ref()), folder)
        }
        Manager::Supervisor { program, config } => Run::Supervisor(Supervisor::new(program.clone(), config)),
        Manager::Pm2 { ecosystem, app, home } => Run::Pm2(Pm2::new(ecosystem, app.clone(), home.clone())),
        Manager::Exec(argv) => Run::Adapter(Adapter {
            command: line(argv.fill(instance.name.as_str(), instance.port, None), folder),
            instance: (instance.name.as_str() != "main").then(|| instance.name.to_string()),
        }),
        Manager::Master { pid_file, roll } => Run::Master(Master {
            pid_file: pid_file.clone(),
            roll: match roll {
                keyroll_config::Roll::Workers => Roll::Workers,
                keyroll_config::Roll::GrowAndShrink => Roll::GrowAndShrink,
                // A number that no signal has is refused when it is sent.
                keyroll_config::Roll::Signal(one) => Roll::Signal(signal_by_name(one.name()).unwrap_or(0)),
            },
        }),
        Manager::LiteLlm(address) => {
            Run::Agent(Agent::LiteLlm(LiteLlm { address: *address, variables: variable_names(consumer) }))
        }
        Manager::Cron(table) => {
            Run::Cron(Cron { table: table.clone(), with_user: !table.starts_with("/var/spool/cron") })
        }
    }
}

/// Counts, windows and deadlines, as the configuration and the issuer have them.
pub(crate) fn policy(secret: &Secret) -> Policy {
    Policy {
        on_failure: match secret.on_failure {
            OnFailure::Rollback => rotation::OnFailure::Rollback,
            OnFailure::Pause => rotation::OnFailure::Pause,
        },
        parallel_max: u16::try_from(secret.max_parallel).unwrap_or(u16::MAX),
        probes_alive: PROBES,
        probes_dead: PROBES,
        idle_ms: millis(secret.revoke.old_idle_for),
        soak_ms: millis(secret.revoke.soak),
        phase_ms_max: millis(secret.deadlines.phase),
        unit_ms_max: millis(secret.deadlines.unit),
        require: secret.revoke.require.iter().fold(Kinds::NONE, |all, kind| all.and(evidence(*kind))),
        standing_consent: secret.unattended && secret.revoke.decide == keyroll_config::Decide::Standing,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn evidence(kind: EvidenceKind) -> Kinds {
    match kind {
        EvidenceKind::Delivered => Kinds::DELIVERED,
        EvidenceKind::Read => Kinds::READ,
        EvidenceKind::Loaded => Kinds::LOADED,
        EvidenceKind::Reported => Kinds::REPORTED,
        EvidenceKind::Checked => Kinds::CHECKED,
        EvidenceKind::Exercised => Kinds::EXERCISED,
    }
}
