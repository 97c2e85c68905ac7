//! Compares a configuration with what was found: what it already has, and what no longer exists.

use std::collections::BTreeSet;
use std::path::Path;

use keyroll_config::{Check, Config, Consumer, FoundConsumer, Instance, IssuerRef, Name, Runs, Secret};
use keyroll_draft::ConsumerDraft;
use keyroll_manager::{Find, ServiceIdentity, SurveyedConsumer, Workload};
use keyroll_observe::{ProcessId, image, working_folder};
use keyroll_trace::{Service, Survey, SurveyedSecret, ValueId};

use crate::wiring::gather_values::gather;

/// The configured secret that a found one is; and the field with the found value, if the secret has several secret
/// fields.
pub(crate) fn secret<'c>(
    config: &'c Config,
    survey: &Survey,
    found: &SurveyedSecret,
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
            let field = here.filter(|_| has_several_fields(secret)).and_then(|(field, _)| Name::new(field));
            return Some((secret, field));
        }
    }
    // A secret that was added and has no consumers yet.
    let bare = config.secrets.get(found.name.as_str()).filter(|secret| secret.consumers.is_empty());
    bare.map(|secret| (secret, None))
}

/// Whether several of its fields have values that are secret.
pub(crate) fn has_several_fields(secret: &Secret) -> bool {
    secret.fields.values().filter(|field| field.secret).count() > 1
}

/// A drafted consumer as the configuration parser would read it below a secret of this issuer.
pub(crate) fn read(new: &FoundConsumer, issuer: &IssuerRef, file_name: &str) -> Option<Consumer> {
    let secret = Name::new("x")?;
    // Of an issuer only the names of its fields matter here.
    let mut text = "version = 1\n[secrets.x]\nissuer = \"openrouter\"\n".to_owned();
    if issuer.server().is_some() {
        let fields = issuer.usual_fields().iter();
        let lines = fields.map(|(name, secret)| format!("{name} = {{ secret = {secret} }}\n"));
        text += &format!("[secrets.x.fields]\n{}", lines.collect::<String>());
    }
    text += &new.text(&secret);
    let config = Config::parse(&text, file_name).ok()?;
    config.secrets.into_values().flat_map(|secret| secret.consumers).next()
}

/// Whether a configured consumer and a found one are the same: the same service of the same manager, or the same
/// process.
pub(crate) fn is_same(known: &Consumer, new: &Consumer, drafted: &ConsumerDraft) -> bool {
    // What is found is on this machine.
    if !known.is_here {
        return false;
    }
    let (runs, other) = (known.runs.workload(), new.runs.workload());
    let wanted = other.identities();
    let mut own = known.runs.instances().iter().flat_map(|instance| instance.workload.identities());
    let found = SurveyedConsumer {
        processes: &drafted.processes,
        listens: &drafted.listens,
        agent: drafted.agent.as_deref(),
        reads_same: reads_same(known, new),
    };
    let proxy = other.proxy_address();
    if own.any(|name| wanted.iter().any(|one| one.is(&name)))
        || runs.is_same_agent(&found)
        || matches!(&known.check, Some(Check::LiteLlm(check)) if Some(check.address) == proxy)
    {
        return true;
    }
    if runs.is_known_by_copies() {
        return reads_same(known, new);
    }
    // A process is identified by its pid file, whatever the operator has changed in the draft.
    let process = other.unit().is_none() && other.engine().is_none();
    let found = |instance: &Instance| is_found(instance.workload.as_ref(), &drafted.processes);
    process && known.runs.instances().iter().any(found) || process && reads_same(known, new) && unnamed(known)
}

/// Whether a configured consumer and one that was found on another machine are the same: the same service of the same
/// manager; where one of them has none, one that reads the same copy. Nothing here says which processes that machine has.
pub(crate) fn is_same_on(machine: &Name, known: &Consumer, new: &Consumer) -> bool {
    if !known.is_on(machine.as_str()) {
        return false;
    }
    let (runs, wanted) = (known.runs.workload(), new.runs.workload().identities());
    let own: Vec<ServiceIdentity> =
        known.runs.instances().iter().flat_map(|instance| instance.workload.identities()).collect();
    let by_service = own.iter().any(|name| wanted.iter().any(|one| one.is(name)));
    let by_copies = runs.is_known_by_copies() || own.is_empty() || wanted.is_empty();
    by_service || by_copies && reads_same(known, new)
}

fn is_one(path: &Path, other: &Path) -> bool {
    path == other || matches!((path.canonicalize(), other.canonicalize()), (Ok(one), Ok(two)) if one == two)
}

/// Whether they have a copy in common.
pub(crate) fn reads_same(known: &Consumer, new: &Consumer) -> bool {
    new.reads.iter().any(|copy| known.reads.iter().any(|other| other.place == copy.place))
}

fn has_pid(path: &Path, processes: &[ProcessId]) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().parse::<u32>().is_ok_and(|pid| processes.iter().any(|process| process.pid == pid))
}

/// Whether its pid file does not exist: the process does not run, or the operator has not filled in the file's path
/// yet.
fn unnamed(known: &Consumer) -> bool {
    let file = |instance: &Instance| match instance.workload.find() {
        Some(Find::PidFile { path, .. }) => !path.is_file(),
        Some(Find::Executable { .. }) | None => false,
    };
    matches!(known.runs.instances(), [only] if file(only))
}

fn is_found(workload: &dyn Workload, processes: &[ProcessId]) -> bool {
    if let Some(path) = workload.pid_file() {
        return has_pid(path, processes);
    }
    match workload.find() {
        Some(Find::Executable { exe, argument }) => processes.iter().any(|process| {
            let runs = image(process).is_ok_and(|image| is_one(&image.program.path, exe));
            runs && argument.as_ref().is_none_or(|word| has_word(process, word))
        }),
        Some(Find::PidFile { .. }) | None => false,
    }
}

fn has_word(process: &ProcessId, word: &str) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    working_folder(process).is_ok() && line.split(|byte| *byte == 0).any(|own| own == word.as_bytes())
}

/// What the configuration names and this machine no longer has.
pub(crate) fn gone(config: &Config, survey: &Survey) -> Vec<String> {
    let mut all = Vec::new();
    for secret in config.secrets.values() {
        for consumer in secret.consumers.iter().filter(|consumer| consumer.is_here) {
            let which = format!("{}/{}", secret.name, consumer.name);
            let files = consumer.reads.iter().map(|copy| copy.place.path()).filter(|path| !path.exists());
            all.extend(files.map(|path| format!("{which}: its copy {} does not exist", path.display())));
            if let Some(what) = gone_from(&consumer.runs, &survey.services) {
                all.push(format!("{which}: {what} was not found"));
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The name for a consumer without an instance in the survey, if the survey would show one.
fn gone_from(runs: &Runs, services: &[Service]) -> Option<String> {
    let name = runs.workload().survey_name()?;
    let known: Vec<ServiceIdentity> = services.iter().filter_map(Service::identity).collect();
    let own = runs.instances().iter().flat_map(|instance| instance.workload.identities());
    let mut shown = own.filter(|one| known.iter().any(|known| known.is(one)));
    shown.next().is_none().then_some(name)
}
