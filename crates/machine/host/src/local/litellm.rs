//! Evidence from each worker of a LiteLLM proxy: the worker is asked for a model by an id that only a worker with this
//! version of the key knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use keyroll_agents::{Mode, PredictedModelIds, ProxyConfig, Variables, Versions};
use keyroll_codes::Code;
use keyroll_manager::{ModelAnswer, Proxy, ProxyEndpoint, ask_model};
use keyroll_observe::{Listing, NotVisible, ProcessId, read_regular, starts};
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::{Kinds, Which};
use keyroll_secret::{Fields, SecretBytes};

use super::enumerate::listing;
use super::memo::Shows;
use super::running::Running;
use super::{LiteLlmSetup, Local};
use crate::{read, resolve};

/// How long the environment of a worker may take to be read.
const ENVIRONMENT_WAIT: Duration = Duration::from_secs(5);

/// The largest file of variables beside a worker, bytes.
const BESIDE_BYTES_MAX: usize = 1 << 20;

/// Why no worker can be asked.
const NOBODY_LISTENS: &str = "no visible process listens there";

/// How many random bytes the made-up key has.
const NOBODYS_BYTES: usize = 24;

/// One model of a worker: its ids under both versions, and under a made-up key.
struct Asked {
    told: PredictedModelIds,
    nobodys: String,
    mode: Mode,
}

/// The result of asking one process.
enum Shown {
    /// It answered for every model under the version's id, and knows no model under the made-up key's id.
    All,
    /// It answered for every model under the version's id, but it answers for any id.
    Anything,
    /// It is not a worker, and every worker gave the result `All`.
    Whole,
    /// It gave no such evidence; why.
    Not(String),
}

impl Shown {
    /// The evidence of the result, and what contradicts the version.
    fn evidence(&self) -> (Kinds, Result<(), String>) {
        match self {
            Self::All => (Kinds::LOADED.and(Kinds::CHECKED).and(Kinds::REPORTED), Ok(())),
            Self::Whole => (Kinds::CHECKED.and(Kinds::REPORTED), Ok(())),
            Self::Anything => (Kinds::REPORTED, Ok(())),
            Self::Not(why) => (Kinds::NONE, Err(why.clone())),
        }
    }
}

impl Local {
    /// The evidence of a worker for a version. If it does not use that version, the check error says what is known
    /// about all workers.
    pub(super) fn litellm_shows(
        &self,
        one: &Running,
        path: u8,
        setup: &LiteLlmSetup,
        which: Which,
        values: Values<'_>,
    ) -> Result<Kinds, Failure> {
        let (shown, workers) = match look(setup) {
            Ok((listing, Some(proxy))) => {
                let belongs = proxy.workers.contains(&one.process) || proxy.has(&one.process, &listing);
                let shown = match belongs {
                    true => ask_process(&one.process, &proxy, setup, which, values),
                    false => Err(format!("it is not a process of the proxy at {}", setup.address)),
                };
                (shown.unwrap_or_else(Shown::Not), proxy.workers)
            }
            Ok((_, None)) => (Shown::Not(NOBODY_LISTENS.to_owned()), BTreeSet::new()),
            Err(why) => (Shown::Not(why), BTreeSet::new()),
        };
        let (kinds, state) = shown.evidence();
        if !workers.contains(&one.process) {
            // A master, or another process that belongs to it: one sentence about all workers was reported already.
            self.set_check_error((one.consumer.0, path), state.err());
            return Ok(kinds);
        }
        let said = {
            let mut memo = self.memo();
            let known = memo.workers.entry((one.consumer.0, path, which)).or_default();
            known.insert(one.process, state);
            known.retain(|process, _| workers.contains(process) || *process == one.process);
            sentence(known, word(which))
        };
        self.set_check_error((one.consumer.0, path), said);
        Ok(kinds)
    }

    /// Asks every worker for the current version, once, before anything is made. The failure says what is wrong with
    /// each.
    pub(super) fn rehearse_litellm(&self, setup: &LiteLlmSetup, values: Values<'_>) -> Result<(), Failure> {
        let failed = |why: String| {
            Err(Failure::new(Class::Permanent, Code::WorkersNotReplaced, format!("have every worker at {} show the key", setup.address))
                .because(why)
                .help("make them all run on the value of now (a roll, a restart), or correct `check`, then plan again"))
        };
        let workers = match proxy_now(setup) {
            Ok(proxy) => proxy.workers,
            Err(why) => return failed(why),
        };
        let mut known = BTreeMap::new();
        for worker in workers {
            let asked = proxy_now(setup).and_then(|now| ask_worker(&worker, &now, setup, Which::Old, values));
            let state = match asked {
                Ok(Shown::All | Shown::Whole) => Ok(()),
                Ok(Shown::Anything) => Err("it answers whatever it is asked for".to_owned()),
                Ok(Shown::Not(why)) | Err(why) => Err(why),
            };
            known.insert(worker, state);
        }
        sentence(&known, "the key of now").map_or(Ok(()), failed)
    }
}

/// The processes of this machine, and the proxy among them; `None` = no visible process listens there.
fn look(setup: &LiteLlmSetup) -> Result<(Listing, Option<Proxy>), String> {
    let listing = listing().map_err(|failure| failure.to_string())?;
    let proxy = Proxy::at(setup.address, &listing)?;
    Ok((listing, proxy))
}

fn proxy_now(setup: &LiteLlmSetup) -> Result<Proxy, String> {
    look(setup)?.1.ok_or_else(|| NOBODY_LISTENS.to_owned())
}

fn word(which: Which) -> &'static str {
    match which {
        Which::Old => "the old key",
        Which::New => "the new key",
    }
}

/// What is known about the workers, in one sentence; `None` = every worker that was asked has the version.
fn sentence(known: &Shows, word: &str) -> Option<String> {
    let with: Vec<String> =
        known.iter().filter(|(_, state)| state.is_ok()).map(|(process, _)| process.pid.to_string()).collect();
    let without: Vec<String> = known
        .iter()
        .filter_map(|(process, state)| Some(format!("worker {}: {}", process.pid, state.as_ref().err()?)))
        .collect();
    match (with.as_slice(), without.as_slice()) {
        (_, []) => None,
        ([], all) => Some(all.join("; ")),
        (some, others) => Some(format!(
            "its workers differ: {} answers with {word}; {}",
            some.join(", "),
            others.join("; ")
        )),
    }
}

/// Asks a worker itself. For any other process of the proxy, asks all workers.
fn ask_process(
    process: &ProcessId,
    proxy: &Proxy,
    setup: &LiteLlmSetup,
    which: Which,
    values: Values<'_>,
) -> Result<Shown, String> {
    if proxy.workers.contains(process) {
        return ask_worker(process, proxy, setup, which, values);
    }
    // Each answer takes a while: the workers are looked up anew before each question.
    let ask = |worker: &ProcessId| ask_worker(worker, &proxy_now(setup)?, setup, which, values);
    Ok(of_all(&proxy.workers, which, &ask))
}

/// The common result of all workers: what one worker lacks, they all lack together.
fn of_all(
    workers: &BTreeSet<ProcessId>,
    which: Which,
    ask: &dyn Fn(&ProcessId) -> Result<Shown, String>,
) -> Shown {
    let (mut known, mut blind) = (Shows::new(), false);
    for worker in workers {
        let state = match ask(worker) {
            Ok(Shown::All | Shown::Whole) => Ok(()),
            Ok(Shown::Anything) => {
                blind = true;
                Ok(())
            }
            Ok(Shown::Not(why)) | Err(why) => Err(why),
        };
        known.insert(*worker, state);
    }
    match (sentence(&known, word(which)), blind || workers.is_empty()) {
        (Some(why), _) => Shown::Not(why),
        (None, true) => Shown::Anything,
        (None, false) => Shown::Whole,
    }
}

fn ask_worker(
    worker: &ProcessId,
    proxy: &Proxy,
    setup: &LiteLlmSetup,
    which: Which,
    values: Values<'_>,
) -> Result<Shown, String> {
    let asked = models(worker, setup, values)?;
    let key = setup.key.as_deref().map(key_in).transpose()?;
    let door = ProxyEndpoint { address: setup.address, key };
    if !proxy.workers.contains(worker) {
        return Err("it does not listen there".to_owned());
    }
    let ask = |id: &str, mode: Mode| ask_model(proxy, &door, worker, id, mode == Mode::Embedding);
    Ok(judged(&asked, which, &ask))
}

/// Judges the answers: each model must answer under the version's id, and must be unknown under the made-up key's id.
fn judged(asked: &[Asked], which: Which, ask: &dyn Fn(&str, Mode) -> ModelAnswer) -> Shown {
    let mut blind = false;
    for one in asked {
        let (id, other) = match which {
            Which::Old => (&one.told.old, &one.told.new),
            Which::New => (&one.told.new, &one.told.old),
        };
        let group = &one.told.group;
        let why = match ask(id, one.mode) {
            ModelAnswer::Answered => {
                blind |= ask(&one.nobodys, one.mode) != ModelAnswer::Unknown;
                continue;
            }
            ModelAnswer::Unknown => match ask(other, one.mode) {
                ModelAnswer::Answered | ModelAnswer::Refused(_) => {
                    format!("it holds the other version for {group}")
                }
                ModelAnswer::Unknown | ModelAnswer::Elsewhere | ModelAnswer::None(_) => {
                    format!("it has no model {group} with either version")
                }
            },
            ModelAnswer::Refused(status) => format!("its key for {group} was not accepted (status {status})"),
            ModelAnswer::Elsewhere => format!("another model answered in the place of {group}"),
            ModelAnswer::None(why) => format!("{group}: {why}"),
        };
        return Shown::Not(why);
    }
    if blind { Shown::Anything } else { Shown::All }
}

/// The models of the configuration that use the value, as this worker sees them.
fn models(worker: &ProcessId, setup: &LiteLlmSetup, values: Values<'_>) -> Result<Vec<Asked>, String> {
    let file = content(&setup.config)?;
    let config = ProxyConfig::read(file.expose())
        .map_err(|error| format!("{} cannot be read: {error}", setup.config.display()))?;
    let mut started = Err(NotVisible::Vanished);
    starts(&[*worker], ENVIRONMENT_WAIT, &mut |_, answer| {
        started = answer.map(|start| Variables::started_with(start.entries().map(|(_, entry)| entry)));
    });
    // A variable that is not visible there may be the value.
    let mut variables = started.map_err(|why| format!("its environment is not visible: {why}"))?;
    for path in &setup.env_files {
        variables.add_file(content(path)?.expose());
    }
    let beside = Path::new("/proc").join(worker.pid.to_string()).join("cwd/.env");
    if let Ok(file) = read_regular(&beside, BESIDE_BYTES_MAX) {
        variables.add_file(&file.bytes);
    }
    let of = |fields: &Fields| fields.get(&setup.field).map(|field| field.value.duplicate());
    let old = of(values.old).ok_or("the value has no such field")?;
    let nobodys = nobodys()?;
    let new = values.new.and_then(of).unwrap_or_else(|| nobodys.duplicate());
    let asked = of_config(&config, &variables, setup, Versions { old: &old, new: &new }, &nobodys)?;
    match asked.is_empty() {
        true => Err(format!("no model of {} uses the value", setup.config.display())),
        false => Ok(asked),
    }
}

/// Every model that uses the value, including those that serve only as fallbacks, unless the configuration names one
/// model.
fn of_config(
    config: &ProxyConfig,
    variables: &Variables,
    setup: &LiteLlmSetup,
    versions: Versions<'_>,
    nobodys: &SecretBytes,
) -> Result<Vec<Asked>, String> {
    if let (None, Some(unread)) = (&setup.model, config.unread.first()) {
        return Err(format!("{}: not read here: {unread}", setup.config.display()));
    }
    let lookup = |name: &str| variables.get(name);
    let mut asked = Vec::new();
    for (at, told) in config.foretell(versions, &lookup) {
        let Some(deployment) = config.deployments.get(at) else { continue };
        if setup.model.as_ref().is_some_and(|model| *model != deployment.group) {
            continue;
        }
        let told = told.map_err(|why| why.to_string())?;
        if deployment.mode == Mode::Other {
            return Err(format!("{} takes no question that is known here", deployment.group));
        }
        if deployment.answers_by_itself() {
            return Err(format!("{} answers by itself (a `mock_` parameter)", deployment.group));
        }
        let nobodys = config.foretell_one(at, versions, nobodys, &lookup).map_err(|why| why.to_string())?;
        asked.push(Asked { told, nobodys, mode: deployment.mode });
    }
    Ok(asked)
}

fn content(path: &Path) -> Result<SecretBytes, String> {
    let resolved = resolve(path).map_err(|failure| failure.to_string())?;
    Ok(read(&resolved).map_err(|failure| failure.to_string())?.bytes)
}

/// A key that is the whole content of a file.
fn key_in(path: &Path) -> Result<SecretBytes, String> {
    let bytes = content(path)?;
    let line = bytes.expose();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    Ok(SecretBytes::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
}

/// A random value that is no key of any account.
fn nobodys() -> Result<SecretBytes, String> {
    let mut drawn = [0; NOBODYS_BYTES];
    aws_lc_rs::rand::fill(&mut drawn).map_err(|_| "no random number could be drawn")?;
    Ok(SecretBytes::from(drawn.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(group: &str) -> Asked {
        let told = PredictedModelIds {
            group: group.to_owned(),
            old: format!("{group} old"),
            new: format!("{group} new"),
        };
        Asked { told, nobodys: format!("{group} nobody's"), mode: Mode::Chat }
    }

    #[test]
    fn a_worker_shows_a_version_by_the_ids_that_only_its_holder_knows() {
        use ModelAnswer::{Answered, Elsewhere, Refused, Unknown};
        let models = [model("l1"), model("backup")];
        let knows = |ids: &'static [&'static str]| {
            move |id: &str, _: Mode| if ids.contains(&id) { Answered } else { Unknown }
        };
        let why = |shown: Shown| match shown {
            Shown::Not(why) => why,
            Shown::All | Shown::Whole => "all".to_owned(),
            Shown::Anything => "anything".to_owned(),
        };
        let moved = knows(&["l1 new", "backup new"]);
        assert_eq!(why(judged(&models, Which::New, &moved)), "all");
        assert_eq!(why(judged(&models, Which::Old, &moved)), "it holds the other version for l1");
        let stale = knows(&["l1 new", "backup old"]);
        assert_eq!(why(judged(&models, Which::New, &stale)), "it holds the other version for backup");
        assert_eq!(why(judged(&models, Which::New, &knows(&[]))), "it has no model l1 with either version");
        assert_eq!(why(judged(&models, Which::New, &|_, _| Answered)), "anything", "it tells nothing apart");
        let refused = |_: &str, _: Mode| Refused(401);
        assert_eq!(
            why(judged(&models, Which::New, &refused)),
            "its key for l1 was not accepted (status 401)"
        );
        let silent = |id: &str, _: Mode| match id {
            "l1 new" => Answered,
            "backup new" => ModelAnswer::None("no answer in time".to_owned()),
            _ => Unknown,
        };
        assert_eq!(why(judged(&models, Which::New, &silent)), "backup: no answer in time");
        let elsewhere = |_: &str, _: Mode| Elsewhere;
        assert_eq!(why(judged(&models, Which::New, &elsewhere)), "another model answered in the place of l1");
    }

    #[test]
    fn a_split_brain_is_named_with_who_has_which() {
        let process = |pid| ProcessId { boot: 1, pid, start_ticks: 1 };
        let other = || Err("it holds the other version for l1".to_owned());
        let mut known = BTreeMap::from([(process(7), Ok(())), (process(8), other())]);
        let said = sentence(&known, "the new key").unwrap();
        assert_eq!(
            said,
            "its workers differ: 7 answers with the new key; worker 8: it holds the other version for l1"
        );
        known.insert(process(7), other());
        assert!(sentence(&known, "the new key").unwrap().starts_with("worker 7: it holds"));
        known = BTreeMap::from([(process(7), Ok(()))]);
        assert_eq!(sentence(&known, "the new key"), None);
    }

    #[test]
    fn what_stands_for_all_workers_has_what_each_of_them_has() {
        let process = |pid| ProcessId { boot: 1, pid, start_ticks: 1 };
        let workers = BTreeSet::from([process(7), process(8)]);
        let shown = |second: fn() -> Result<Shown, String>| {
            of_all(&workers, Which::New, &|worker| if worker.pid == 7 { Ok(Shown::All) } else { second() })
        };
        let kinds = |second: fn() -> Result<Shown, String>| shown(second).evidence().0;
        assert_eq!(kinds(|| Ok(Shown::All)), Kinds::CHECKED.and(Kinds::REPORTED));
        assert_eq!(kinds(|| Ok(Shown::Anything)), Kinds::REPORTED);
        let others: [fn() -> Result<Shown, String>; 2] =
            [|| Ok(Shown::Not("it holds the other version for l1".to_owned())), || Err("no".to_owned())];
        for other in others {
            let (kinds, said) = shown(other).evidence();
            assert_eq!(kinds, Kinds::NONE);
            assert!(
                said.unwrap_err().starts_with("its workers differ: 7 answers with the new key; worker 8: ")
            );
        }
        let blind_first = of_all(&workers, Which::New, &|worker| match worker.pid {
            7 => Ok(Shown::Anything),
            _ => Err("it holds the other version for l1".to_owned()),
        });
        assert_eq!(
            blind_first.evidence().0,
            Kinds::NONE,
            "one that answers anything speaks for itself alone"
        );
        let nobody = of_all(&BTreeSet::new(), Which::New, &|_| Ok(Shown::All));
        assert!(!nobody.evidence().0.has(Kinds::CHECKED));
    }

    #[test]
    fn every_model_that_uses_the_value_is_asked_the_fallback_too() {
        let file = "\
model_list:
- {model_name: l1, litellm_params: {model: m, api_key: os.environ/KEY}}
- {model_name: other, litellm_params: {model: m, api_key: os.environ/OTHER, tags: [a]}}
- {model_name: backup, litellm_params: {model: n, api_key: os.environ/KEY}}
litellm_settings: {fallbacks: [{l1: [backup]}]}
";
        let drawn = || nobodys().unwrap();
        let (old, new, nobodys) = (drawn(), drawn(), drawn());
        let mut variables = Variables::default();
        let environment = [b"KEY=".as_slice(), old.expose(), b"\nOTHER=x\n"].concat();
        variables.add_file(&environment);
        let groups = |file: &str, model: Option<&str>| {
            let setup = LiteLlmSetup {
                address: ([127, 0, 0, 1], 1).into(),
                config: std::path::PathBuf::from("config.yaml"),
                key: None,
                model: model.map(str::to_owned),
                env_files: Vec::new(),
                field: "value".to_owned(),
            };
            let config = ProxyConfig::read(file.as_bytes()).unwrap();
            let asked = of_config(&config, &variables, &setup, Versions { old: &old, new: &new }, &nobodys)?;
            for one in &asked {
                let ids = BTreeSet::from([&one.told.old, &one.told.new, &one.nobodys]);
                assert_eq!(ids.len(), 3, "three keys, three ids");
            }
            Ok::<Vec<String>, String>(asked.into_iter().map(|one| one.told.group).collect())
        };
        assert_eq!(groups(file, None).unwrap(), ["l1", "backup"]);
        assert_eq!(groups(file, Some("backup")).unwrap(), ["backup"]);
        // The file includes models that are not read here: a named model can be asked, but not all models.
        let more = format!("{file}include: [more.yaml]\n");
        assert!(groups(&more, None).unwrap_err().contains("`include`"));
        assert_eq!(groups(&more, Some("l1")).unwrap(), ["l1"]);
    }
}
