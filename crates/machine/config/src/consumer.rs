use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_manager::{LOOPBACK_FORM, Served, loopback_address};

use crate::at::At;
use crate::follows::{refuse_manager, refuse_unfit};
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::reads_shape::ReadsShape;
use crate::roll::read_wave;
use crate::runs::holes;
use crate::runs_shape::RunsShape;
use crate::serves::{on_other_host, read_trusts, refuse_strays};
use crate::shape::{CheckShape, ConsumerShape, PathShape, ReadShape, ServesShape};
use crate::site::Site;
use crate::url::read_url;
use crate::{
    Argument, Argv, Copy, FieldSpec, InCluster, Kind, LOCAL, Log, Name, Reference, Runs, Serves, Template,
};

/// A check that a value works for a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A command of its own. If it contains `{copy}`, a control with a wrong copy proves that the check can fail.
    Exec(Argv),
    /// A request to the running process; `{instance}` and `{port}` may stand in it.
    Http(Argument),
    /// A request to each worker of a LiteLLM proxy for each of its models.
    LiteLlm(LiteLlmCheck),
    /// One turn of an agent, pinned to a model.
    Turn {
        /// `provider/model`.
        model: String,
        /// The agent; `None` = every agent in the settings.
        agent: Option<String>,
        /// A command that must succeed before the turn, as in [`Check::Exec`].
        after: Option<Argv>,
    },
}

impl Check {
    /// The command of the check, if it has one.
    pub fn command(&self) -> Option<&Argv> {
        match self {
            Self::Exec(argv) | Self::Turn { after: Some(argv), .. } => Some(argv),
            Self::Http(_) | Self::LiteLlm(_) | Self::Turn { after: None, .. } => None,
        }
    }
}

/// How the workers of a LiteLLM proxy are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteLlmCheck {
    /// The address of the proxy.
    pub address: SocketAddr,
    /// The proxy's configuration file.
    pub config: PathBuf,
    /// The proxy's own key, if it has one.
    pub key: Option<Reference>,
    /// One of its models; `None` = every model that uses the credential.
    pub model: Option<String>,
}

/// One flow that must work besides the consumer's main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCheck {
    /// Its name.
    pub name: Name,
    /// Its check.
    pub check: Check,
}

/// What the consumers of a secret have in common.
pub(crate) struct Shared<'a> {
    /// The secret.
    pub(crate) secret: &'a Name,
    /// Its fields.
    pub(crate) fields: &'a BTreeMap<Name, FieldSpec>,
    /// Its derived texts.
    pub(crate) derived: &'a BTreeMap<Name, Template>,
}

/// One service that uses a secret, on one machine or in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, unique within the secret; `NAME@HOST` if the file names several machines for it.
    pub name: Name,
    /// The machine or the cluster as the file names it, `local` by default.
    pub host: Name,
    /// Whether that is the machine that keyroll runs on; otherwise it is a host by ssh or a cluster.
    pub is_here: bool,
    /// The wave in which it is moved, 0 to 99.
    pub wave: u8,
    /// Its processes, and the manager that runs them.
    pub runs: Runs,
    /// The copies that it starts from; at least one, unless it is served or reads the store itself.
    pub reads: Vec<Copy>,
    /// It reads the store itself; `reads` is empty.
    pub follows: bool,
    /// The process that keyroll's socket gives the value to; `None` if the consumer reads copies.
    pub serves: Option<Serves>,
    /// Whether the operator trusts what its processes say over the socket; only with `serves`.
    pub trusts_word: bool,
    /// A command that regenerates the copies from the store: makes it a pull consumer, whose copies are never written.
    pub fetch: Option<Argv>,
    /// Its log.
    pub log: Option<Log>,
    /// The check of its main flow.
    pub check: Option<Check>,
    /// Its further flows.
    pub paths: Vec<PathCheck>,
    /// Its pods, if it is in a cluster.
    pub in_cluster: Option<InCluster>,
}

impl Consumer {
    pub(crate) fn build(
        shape: &At<ConsumerShape>,
        site: &Site<'_>,
        shared: &Shared<'_>,
    ) -> Result<Self, Mistake> {
        let At { value: shape, span } = shape;
        let Shared { secret, fields, derived } = *shared;
        let Site { folder, is_here, .. } = *site;
        let (name, host) = (site.name.clone(), site.host.clone());
        let trusts_word = read_trusts(shape)?;
        let supply = Supply::of(shape).map_err(|fault| fault.at(span))?;
        let follows = matches!(supply, Supply::Store { .. });
        let (serves, holes, reads, runs) = match supply {
            Supply::Socket(serves) if !is_here => return Err(on_other_host(&serves.span)),
            Supply::Socket(serves) => {
                let workload = Arc::new(Served::new(secret.as_str(), name.as_str()));
                let serves = Serves::read(&serves.value, folder)?;
                (Some(serves), Vec::new(), Vec::new(), Runs::served(workload))
            }
            Supply::Copies { runs, reads } => {
                let reads = read_copies(reads, shape.fetch.is_some(), folder, fields, derived)?;
                let built = Runs::build(runs, folder, &reads)?;
                (None, holes(&runs.value), reads, built)
            }
            Supply::Store { runs } => {
                let built = Runs::build(runs, folder, &[])?;
                refuse_manager(&built, &runs.span)?;
                (None, holes(&runs.value), Vec::new(), built)
            }
        };
        let fetch =
            shape.fetch.as_ref().map(|words| Argv::read(folder, "fetch", words, &holes)).transpose()?;
        let log = shape.log.as_ref().map(|log| Log::read(log, folder, &holes)).transpose()?;
        let at_rest = runs.workload().is_job();
        let read = |shape: &At<CheckShape>| {
            let check = read_check(shape, folder, &holes, at_rest)?;
            if serves.is_some() || follows {
                refuse_check(&check, follows).map_err(|fault| fault.at(&shape.span))?;
            }
            Ok(check)
        };
        let check = shape.check.as_ref().map(read).transpose()?;
        let turn_of = |check: &Check| matches!(check, Check::Turn { .. });
        let asked = runs.workload().agent_state().is_some();
        let paths = read_paths(&shape.paths, &read)?;
        if !asked && check.iter().chain(paths.iter().map(|path| &path.check)).any(turn_of) {
            let why = "`check.turn` asks an agent: it goes with `runs.openclaw`";
            let at = shape.runs.as_ref().map_or(span, |runs| &runs.span);
            return Err(Mistake::new(Kind::BadCombination, why).at(at));
        }
        let wave = read_wave(shape.wave.as_ref())?;
        Ok(Self {
            name,
            host,
            is_here,
            wave,
            runs,
            reads,
            follows,
            serves,
            trusts_word,
            fetch,
            log,
            check,
            paths,
            in_cluster: None,
        })
    }

    /// Whether its processes are those of another consumer: on the same machine, by the same file, executable or unit.
    pub fn finds_as(&self, other: &Self) -> bool {
        self.machine() == other.machine() && self.runs.finds_as(&other.runs)
    }

    /// The name of its table: a table with `hosts` makes one consumer for each machine, `NAME@HOST`.
    pub fn table(&self) -> &str {
        let name = self.name.as_str();
        name.split_once('@').map_or(name, |(table, _)| table)
    }

    /// The machine that it runs on: `local` for the machine that keyroll runs on, whatever the file calls it; otherwise the
    /// name of a host by ssh or of a cluster. The same path on two machines is two places.
    pub fn machine(&self) -> &str {
        if self.is_here { LOCAL } else { self.host.as_str() }
    }

    /// Whether it runs on this host; `local` is the machine that keyroll runs on, whatever the file calls it.
    pub fn is_on(&self, host: &str) -> bool {
        self.machine() == host || self.host.as_str() == host
    }

    /// Whether it takes the value from the store, by its command, by External Secrets or by itself. Otherwise keyroll writes its
    /// copies.
    pub fn is_pull(&self) -> bool {
        self.fetch.is_some() || self.follows || self.in_cluster.as_ref().is_some_and(|pods| pods.synced)
    }

    /// Whether it is on a host by ssh.
    pub fn is_by_ssh(&self) -> bool {
        !self.is_here && self.in_cluster.is_none()
    }
}

/// Where a consumer gets its value from.
enum Supply<'a> {
    /// From copies, which its processes load as `runs` says.
    Copies { runs: &'a At<RunsShape>, reads: (&'a [ReadShape], &'a Range<usize>) },
    /// From the store of the secret, which its processes read themselves.
    Store { runs: &'a At<RunsShape> },
    /// From keyroll's socket.
    Socket(&'a At<ServesShape>),
}

impl<'a> Supply<'a> {
    fn of(shape: &'a ConsumerShape) -> Result<Self, Mistake> {
        if let Some(serves) = &shape.serves {
            refuse_strays(shape)?;
            return Ok(Self::Socket(serves));
        }
        let missing = |key: &str| {
            Mistake::new(Kind::WrongForm, format!("the key `{key}` is missing"))
                .help("a consumer has `runs` and `reads`, or it has `serves`")
        };
        let runs = shape.runs.as_ref().ok_or_else(|| missing("runs"))?;
        let reads = shape.reads.as_ref().ok_or_else(|| missing("reads"))?;
        match &reads.value {
            ReadsShape::Copies(copies) => Ok(Self::Copies { runs, reads: (copies.as_slice(), &reads.span) }),
            ReadsShape::Word(word) => {
                let fetch = shape.fetch.as_ref().map(|fetch| &fetch.span);
                refuse_unfit(word, &reads.span, fetch)?;
                Ok(Self::Store { runs })
            }
        }
    }
}

/// The copies of `reads`; `fetched` = the consumer has the command `fetch`.
fn read_copies(
    (shapes, at): (&[ReadShape], &Range<usize>),
    fetched: bool,
    folder: &Path,
    fields: &BTreeMap<Name, FieldSpec>,
    derived: &BTreeMap<Name, Template>,
) -> Result<Vec<Copy>, Mistake> {
    let mut reads: Vec<Copy> = Vec::new();
    for read in shapes {
        let copy = Copy::build(read, at, folder, fields, derived)?;
        if reads.iter().any(|other| other.place == copy.place) {
            let why = format!("the copy {} is named twice", copy.place);
            return Err(Mistake::new(Kind::Duplicate, why).at(at));
        }
        reads.push(copy);
    }
    if reads.is_empty() {
        let why = "`reads` names no copy: what does the consumer start from?";
        return Err(Mistake::new(Kind::WrongForm, why).at(at));
    }
    refuse_half_generated(&reads, fetched).map_err(|fault| fault.at(at))?;
    Ok(reads)
}

/// The further flows; `read` reads the check of one.
pub(crate) fn read_paths(
    shapes: &[PathShape],
    read: &dyn Fn(&At<CheckShape>) -> Result<Check, Mistake>,
) -> Result<Vec<PathCheck>, Mistake> {
    let mut paths: Vec<PathCheck> = Vec::new();
    for path in shapes {
        let name = Name::read("a path", &path.name)?;
        if paths.iter().any(|other| other.name == name) {
            return Err(
                Mistake::new(Kind::Duplicate, format!("path `{name}` is named twice")).at(&path.name.span)
            );
        }
        paths.push(PathCheck { name, check: read(&path.check)? });
    }
    Ok(paths)
}

/// Refuses a check of a consumer without copies that needs one, or a program of its own kind. For a consumer that follows the
/// store keyroll makes a file for each check, which `{copy}` stands for.
fn refuse_check(check: &Check, follows: bool) -> Result<(), Mistake> {
    let why = match check {
        Check::Exec(argv) if !follows && argv.uses("copy") => {
            "`check.exec`: a consumer with `serves` has no copy that `{copy}` could stand for"
        }
        Check::Turn { .. } => "`check.turn` asks an agent: it goes with `runs.openclaw`",
        Check::LiteLlm(_) => "`check.litellm` asks a proxy: a proxy has `runs`, and copies under `reads`",
        Check::Exec(_) | Check::Http(_) => return Ok(()),
    };
    let copy = if follows { ", \"{copy}\"" } else { "" };
    Err(Mistake::new(Kind::BadCombination, why)
        .help(format!("write `check = {{ exec = [\"./check.sh\"{copy}] }}`")))
}

/// A file is either generated by one command or written, never both.
fn refuse_half_generated(reads: &[Copy], fetched: bool) -> Result<(), Mistake> {
    let wrong = |why: String| Err(Mistake::new(Kind::BadCombination, why));
    for (at, copy) in reads.iter().enumerate() {
        if fetched && copy.generated.is_some() {
            return wrong("`generated` does not go with `fetch`, which regenerates every copy".to_owned());
        }
        let path = copy.place.path();
        let same = |other: &&Copy| other.place.path() == path;
        if reads.iter().skip(at).filter(same).any(|other| other.generated != copy.generated) {
            return wrong(format!("the copies in {} differ in `generated`", path.display()));
        }
    }
    Ok(())
}

/// Checks `provider/model`, which becomes a line of a request.
fn read_model(text: &At<String>) -> Result<String, Mistake> {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'/' | b'@' | b'+');
    let parts =
        text.value.split_once('/').is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
    match parts && text.value.len() <= 256 && text.value.bytes().all(plain) {
        true => Ok(text.value.clone()),
        false => Err(Mistake::new(Kind::BadName, "`turn` is a model with its provider: `openai/gpt-5.4`")
            .at(&text.span)),
    }
}

fn read_agent(text: &At<String>) -> Result<String, Mistake> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    match (1..=64).contains(&text.value.len()) && text.value.bytes().all(plain) {
        true => Ok(text.value.clone()),
        false => {
            Err(Mistake::new(Kind::BadName, "`agent` is the id of an agent: letters, digits, `_` and `-`")
                .at(&text.span))
        }
    }
}

fn read_loopback(url: &At<String>) -> Result<SocketAddr, Mistake> {
    let wrong = || Mistake::new(Kind::WrongForm, format!("`check.litellm` {LOOPBACK_FORM}")).at(&url.span);
    loopback_address(&url.value).ok_or_else(wrong)
}

fn read_litellm(
    url: &At<String>,
    shape: &At<CheckShape>,
    folder: &Path,
    at_rest: bool,
) -> Result<Check, Mistake> {
    let check = &shape.value;
    let wrong = |why: &str| Mistake::new(Kind::BadCombination, why).at(&shape.span);
    if check.exec.is_some() || check.http.is_some() {
        return Err(wrong("`check` needs one of `exec`, `http`, `litellm` and `turn`"));
    }
    if at_rest {
        return Err(wrong("`check.litellm` asks a running proxy, and nothing runs"));
    }
    let config =
        check.config.as_ref().ok_or_else(|| wrong("`litellm` goes with `config`, its configuration file"))?;
    Ok(Check::LiteLlm(LiteLlmCheck {
        address: read_loopback(url)?,
        config: resolve(folder, "check.config", config)?,
        key: check.key.as_ref().map(|key| Reference::read(folder, "check.key", key)).transpose()?,
        model: check.model.as_ref().map(|model| model.value.clone()),
    }))
}

fn read_check(
    shape: &At<CheckShape>,
    folder: &Path,
    holes: &[&str],
    at_rest: bool,
) -> Result<Check, Mistake> {
    let wrong = |why: &str| Err(Mistake::new(Kind::BadCombination, why).at(&shape.span));
    if let Some(url) = &shape.value.litellm {
        return read_litellm(url, shape, folder, at_rest);
    }
    if shape.value.config.is_some() || shape.value.key.is_some() || shape.value.model.is_some() {
        return wrong("`config`, `key` and `model` of a check go with `litellm`");
    }
    let exec = shape.value.exec.as_ref().map(|words| read_exec(words, shape, folder, holes)).transpose()?;
    if let Some(model) = &shape.value.turn {
        if shape.value.http.is_some() {
            return wrong("`check.turn` goes with `exec`, and not with `http`");
        }
        let agent = shape.value.agent.as_ref().map(read_agent).transpose()?;
        return Ok(Check::Turn { model: read_model(model)?, agent, after: exec });
    }
    if let Some(agent) = &shape.value.agent {
        return Err(Mistake::new(Kind::BadCombination, "`agent` goes with `turn`").at(&agent.span));
    }
    match (exec, &shape.value.http) {
        (Some(argv), None) => Ok(Check::Exec(argv)),
        (None, Some(_)) if at_rest => {
            wrong("`check.http` asks a running process, and nothing runs: use `check.exec`")
        }
        (None, Some(_)) => match read_url("check.http", shape.value.http.as_ref(), holes)? {
            Some(url) => Ok(Check::Http(url)),
            None => wrong("`check` needs `exec` or `http`"),
        },
        (None, None) | (Some(_), Some(_)) => wrong("`check` needs `exec` or `http`, not both"),
    }
}

fn read_exec(
    words: &At<Vec<At<String>>>,
    shape: &At<CheckShape>,
    folder: &Path,
    holes: &[&str],
) -> Result<Argv, Mistake> {
    let with_copy: Vec<&str> = holes.iter().copied().chain(["copy"]).collect();
    let argv = Argv::read(folder, "check.exec", words, &with_copy)?;
    match argv.words().iter().any(|word| word.uses("copy") && word.text() != "{copy}") {
        true => Err(Mistake::new(Kind::BadPlaceholder, "`check.exec`: `{copy}` stands alone as a word")
            .at(&shape.span)),
        false => Ok(argv),
    }
}
