//! Composes the configuration of a secret into the setup of a host and the consumers of the protocol, with the same
//! numbers in both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{
    Argument, Argv, Check, Consumer, Copy, Instance, Place, Reference, Runs, Search, Secret, Source,
    WriteMode,
};
use keyroll_copy::{Format, Slot, Template};
use keyroll_host::{
    CheckSetup, ConsumerSetup, CopySetup, CopySource, FileSetup, GateSetup, LogSetup, SearchLimits, Setup,
    SlotSetup, Write,
};
use keyroll_manager::{CommandLine, RateQuery, uid_of};
use keyroll_observe::{JournalUnit, LogSource};
use keyroll_port::{Class, Failure};
use keyroll_rotation::{self as rotation, Delivery, FileId, HostId, ReloadMode};
use keyroll_secret::FingerprintKey;

use crate::bystanders::bystander_setup;
use crate::facts::IssuerFacts;
use crate::litellm::litellm_setup;
use crate::local_services::on_this_machine;
use crate::logins::{passes_on, pooler_ports, refuse_unfit_lists};
use crate::numbering::{Numbering, Own, distinct, too_many};
use crate::served::{others, served_file, served_setup};
use crate::turn::turn;

/// The lines that show a refused credential, unless the configuration names them.
const REFUSED_DEFAULT: &str =
    r"(?i-u)\b401\b|unauthori[sz]ed|authentication failed|invalid (api )?key|password authentication failed";

/// Matches no line.
const NOTHING: &str = r"\z\A.";

/// The files and consumers of one secret, for the host and for the protocol.
pub struct Composed {
    /// The setup of the host.
    pub setup: Setup,
    /// Each consumer as the protocol knows it.
    pub consumers: Vec<rotation::Consumer>,
    /// The host of each file.
    pub files: Vec<HostId>,
}

/// The folders on a host that its setup refers to.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// The folder of the configuration, in which its commands run.
    pub config: &'a Path,
    /// The folder of keyroll's own records.
    pub state: &'a Path,
    /// The folder of the sealing key, if it is on this host.
    pub keys: Option<&'a Path>,
}

/// What the setup of a host is composed from.
#[derive(Clone, Copy)]
pub struct Composition<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// What its issuer says of itself.
    pub issuer: &'a IssuerFacts,
    /// The folders on the host.
    pub folders: Folders<'a>,
    /// The host's number in plans.
    pub host: HostId,
    /// The id of the rotation or plan; empty without one.
    pub rotation: &'a str,
    /// Where and how much is searched; none = the defaults.
    pub search: Option<&'a Search>,
    /// The real path of each file when the plan was made.
    pub planned: Option<&'a BTreeMap<PathBuf, PathBuf>>,
    /// The keys of consumers that have one of their own.
    pub own: Option<&'a Own>,
    /// The key of the fingerprints of versions; consumers that are served need it.
    pub served: Option<&'a Arc<FingerprintKey>>,
}

/// Gives every file and consumer of a secret its number, in the order of the configuration.
///
/// # Errors
/// The configuration declares something that cannot be composed, such as an unknown position in a file.
pub fn compose(composition: &Composition<'_>) -> Result<Composed, Failure> {
    let Composition { secret, issuer, folders, host, rotation, served, .. } = *composition;
    let search = composition.search.cloned().unwrap_or_default();
    refuse_unfit_lists(secret)?;
    let mut numbering = Numbering::new(secret, folders.state, composition.own);
    let mut files: Vec<FileSetup> = Vec::new();
    let mut setups = Vec::new();
    let mut consumers = Vec::new();
    for (at, consumer) in secret.consumers.iter().enumerate() {
        if consumer.serves.is_some() && served.is_none() {
            let attempted = format!("give {} the value of {}", consumer.name, secret.name);
            return Err(Failure::new(Class::Permanent, Code::PlanStale, attempted)
                .because("the key of the fingerprints of its versions was not given"));
        }
        let numbers = numbering.of(host, consumer)?;
        match served.filter(|_| consumer.serves.is_some()) {
            Some(key) => {
                let planned = |path: &Path| composition.planned?.get(path).cloned();
                files.push(served_file(secret, consumer, folders.state, key, planned));
            }
            None => add_copies(composition, consumer, &numbers, &mut files)?,
        }
        let mine = distinct(&numbers);
        setups.push(ConsumerSetup {
            name: consumer.name.to_string(),
            files: mine.clone(),
            fetch: consumer.fetch.as_ref().map(|argv| line(argv.fill("main", None, None), folders.config)),
            slots: slots(secret, consumer, folders, mine.first().copied())?,
            served: served.and_then(|key| served_setup(secret, consumer, folders.state, key)),
            follows: consumer.follows,
            succeeded: secret.consumers.iter().skip(at + 1).any(|later| later.finds_as(consumer)),
        });
        consumers.push(unit(host, consumer, mine, issuer.attributes)?);
    }
    let hosts = files.iter().map(|_| host).collect();
    let setup = Setup {
        host,
        rotation: rotation.to_owned(),
        files,
        consumers: setups,
        bystanders: secret.bystanders.iter().map(bystander_setup).collect(),
        roots: search.roots.into_iter().chain(search_roots(secret)).collect(),
        search: SearchLimits { memory_bytes_max: search.memory_bytes_max, time_max: search.time_max },
        own_folders: std::iter::once(folders.state)
            .chain(folders.keys)
            .chain(secret.store.file())
            .map(Path::to_path_buf)
            .collect(),
        instance_time_max: secret.deadlines.unit,
        work: folders.state.join("work"),
        value_format: (issuer.alphabet.clone(), issuer.length_max),
        servers: issuer
            .endpoints
            .iter()
            .filter_map(|place| port(place))
            .chain(pooler_ports(secret))
            .collect(),
        gate: secret.gate.as_ref().map(gate),
        issuer_at: match issuer.attributes {
            true => issuer.endpoints.iter().filter_map(|place| on_this_machine(place)).collect(),
            false => Vec::new(),
        },
    };
    Ok(Composed { setup, consumers, files: hosts })
}

/// Files and folders of the managers that may hold undeclared copies.
fn search_roots(secret: &Secret) -> impl Iterator<Item = PathBuf> {
    secret.consumers.iter().flat_map(|consumer| consumer.runs.workload().search_roots())
}

/// The error rate that is asked for.
pub fn gate(gate: &keyroll_config::Gate) -> GateSetup {
    let bearer = gate.bearer.as_ref().map(|Reference::File(path)| path.clone());
    let rate = RateQuery { url: gate.url.clone(), api: gate.api, query: gate.query.clone(), bearer };
    GateSetup { rate, max: gate.max() }
}

/// The port of `host:port`.
fn port(place: &str) -> Option<u16> {
    place.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

/// Adds the copies that a consumer reads to their files, whose numbers are these. A file without a setup yet is the next
/// one.
fn add_copies(
    composition: &Composition<'_>,
    consumer: &Consumer,
    numbers: &[FileId],
    files: &mut Vec<FileSetup>,
) -> Result<(), Failure> {
    for (copy, id) in consumer.reads.iter().zip(numbers) {
        if files.len() == id.index() {
            files.push(file_setup(composition, consumer, copy));
        }
        let setup = copy_setup(composition.secret, copy)?;
        if let Some(file) = files.get_mut(id.index())
            && !file.copies.iter().any(|known| same_place(known, &setup))
        {
            file.copies.push(setup);
        }
    }
    Ok(())
}

/// The file of a copy, without copies yet.
fn file_setup(composition: &Composition<'_>, consumer: &Consumer, copy: &Copy) -> FileSetup {
    let path = copy.place.path().to_owned();
    let write = match copy.write {
        WriteMode::Rename => Write::Rename,
        WriteMode::InPlace => Write::InPlace,
    };
    let planned = composition.planned.and_then(|planned| planned.get(&path)).cloned();
    let command = |argv: &Argv| line(argv.fill("main", None, None), composition.folders.config);
    let generator = copy.generated.as_ref().map(command);
    let generated = consumer.is_pull() || generator.is_some();
    let own = composition.own.and_then(|own| own.get(consumer.name.as_str())).cloned();
    FileSetup { path, planned, write, copies: Vec::new(), generated, generator, own }
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

fn template(text: &str) -> Result<Template, Failure> {
    Template::parse(text).map_err(|error| {
        Failure::new(Class::Permanent, error.code(), "read a template").because(error.to_string())
    })
}

/// How one copy is read and written.
///
/// # Errors
/// A template or a position in a file cannot be read.
pub fn copy_setup(secret: &Secret, copy: &Copy) -> Result<CopySetup, Failure> {
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
        Place::File { .. } | Place::Key { .. } => {
            CopySetup::Value { format: Format::Whole, slot: Slot::Whole, source }
        }
        Place::Inside { format, at, part, .. } => {
            let (format, part) = (*format, *part);
            let slot = format.slot(at, part).map_err(|error| {
                Failure::new(Class::Permanent, error.code(), "read `at` of a copy")
                    .because(error.to_string())
                    .help(error.help())
            })?;
            CopySetup::Value { format, slot, source }
        }
        Place::Userlist { user, .. } => CopySetup::Login { user: user.to_string(), source },
        Place::Within { template: text, .. } => CopySetup::Within(template(text)?),
    })
}

/// A consumer as the protocol knows it. `files` are the numbers of its files.
pub(crate) fn unit(
    host: HostId,
    consumer: &Consumer,
    files: Vec<FileId>,
    attributes: bool,
) -> Result<rotation::Consumer, Failure> {
    let workload = consumer.runs.workload();
    let uptake = match (workload.is_job(), workload.needs_reload()) {
        (true, _) => ReloadMode::AtRest,
        (false, false) => ReloadMode::Rereads,
        (false, true) => ReloadMode::Verb,
    };
    let delivery = match (consumer.follows, consumer.is_pull()) {
        (true, _) => Delivery::Follow,
        (false, true) => Delivery::Fetch,
        (false, false) => Delivery::Push,
    };
    Ok(rotation::Consumer {
        host,
        delivery,
        uptake,
        files,
        slots: u8::try_from(consumer.runs.instances().len()).map_err(|_| too_many("instances"))?,
        paths: u8::try_from(1 + consumer.paths.len()).map_err(|_| too_many("paths"))?,
        own_word: consumer.trusts_word,
        wave: consumer.wave,
        attributable: attributes
            && uptake != ReloadMode::AtRest
            && !passes_on(consumer)
            // Which pod made a call is not visible.
            && consumer.in_cluster.is_none(),
    })
}

/// A command of the configuration, run in its folder.
fn line(words: Vec<String>, folder: &Path) -> CommandLine {
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    CommandLine { folder: Some(folder.to_owned()), ..CommandLine::program(program, words) }
}

fn slots(
    secret: &Secret,
    consumer: &Consumer,
    folders: Folders<'_>,
    first: Option<FileId>,
) -> Result<Vec<SlotSetup>, Failure> {
    let folder = folders.config;
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
                run: instance
                    .workload
                    .in_state_folder(folders.state, &others(secret, consumer))
                    .unwrap_or_else(|| instance.workload.clone()),
                checks,
                log: consumer.log.as_ref().map(|log| log_setup(log, &consumer.runs, instance)).transpose()?,
                ready: ready(&consumer.runs, instance),
            })
        })
        .collect()
}

fn log_setup(log: &keyroll_config::Log, runs: &Runs, instance: &Instance) -> Result<LogSetup, Failure> {
    let source = match &log.source {
        keyroll_config::LogSource::File(path) => LogSource::File(PathBuf::from(fill(path, instance))),
        keyroll_config::LogSource::Journal(unit) => {
            // A unit of a user's manager differs from the system's unit of the same name.
            let user = runs.workload().systemd_user().map(uid_of).transpose()?;
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
    if let Some(check) = instance.workload.readiness() {
        return Some(check);
    }
    let url = runs.ready.as_ref()?;
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
        // The path of the copy is filled in later: the control runs the same command with a wrong copy. Without a first copy
        // the machine makes a file for each check.
        Check::Exec(argv) => {
            let words = argv.fill(instance.name.as_str(), instance.port, Some(Path::new("{copy}")));
            CheckSetup::Exec { command: line(words, folder), copy: first, turn: None }
        }
        Check::Turn { model, agent, after } => {
            let turn = turn(runs.workload(), model, agent.as_deref());
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
