mod cool_down;
mod in_place;
pub(crate) mod listener;
mod references;
mod rows;
mod surveyed;
mod workload;

use std::mem::take;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_agents::{AgentLinkRole, AgentSlot, Bound, OpenClawHome, Reloaded, Started, Takes};
use keyroll_codes::Code;
use keyroll_leak::mask_words;
use keyroll_observe::{Listing, Process, ProcessId, descendants, environment_names, working_folder};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::process::geteuid;

use crate::command::{Output, With, run};
use crate::environment::found;
use crate::find::list;
use crate::listening::is_listening;
use crate::restart::{CommandFailure, restart};
use crate::settle::question;
use crate::user::User;
use crate::{Applied, Attempt, CommandLine, InstanceProcess, Unit};

use listener::{gateway_is_ready, is_gateway};
pub use surveyed::OpenClawGateway;
pub(crate) use workload::OPENCLAW;

/// The time between two checks whether the gateway is ready, milliseconds.
const STEP_MS: u64 = 200;

/// How long one readiness question may take, milliseconds.
const READY_MS_MAX: u64 = 2_000;

/// The longest value that can be passed, bytes: the most that a gated command accepts.
const VALUE_BYTES_MAX: u64 = 4_000;

/// The gateway of an installation of OpenClaw, and the model provider whose key is rotated.
///
/// The operator does not choose what applies a new key: it follows from the gateway's source of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenClaw {
    /// The state folder, `~/.openclaw`.
    pub state: PathBuf,
    /// The model provider, as the settings name it.
    pub provider: String,
    /// Its own program; by name it is looked up in PATH.
    pub program: PathBuf,
    /// How its process is ended and a new one started, where that may be needed.
    pub start: Option<Start>,
    /// The place of the key according to the configuration.
    pub reads: Vec<(PathBuf, AgentSlot)>,
}

/// What restarts a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A command.
    Command(CommandLine),
    /// systemd.
    Unit(Box<Unit>),
}

impl OpenClaw {
    pub(crate) fn home(&self) -> OpenClawHome {
        OpenClawHome::at(&self.state)
    }

    /// What prevents a rotation, before anything is made.
    fn reasons_against(&self) -> Vec<Failure> {
        let gateway = match list().and_then(|listing| self.gateway(&listing)) {
            Ok(gateway) => gateway,
            Err(failure) => return vec![failure],
        };
        match self.bound(gateway.as_ref()) {
            Ok(bound) => self.against(&bound, gateway.is_some()).into_iter().collect(),
            Err(failure) => vec![failure],
        }
    }

    /// The process that serves this state folder; `None` = none does.
    fn gateway(&self, listing: &Listing) -> Result<Option<Process>, Failure> {
        let Some((pid, began)) = self.home().gateway() else { return Ok(None) };
        let hidden = |why: String| {
            Failure::new(
                Class::Retryable,
                Code::ProcessesHidden,
                format!("find the gateway of {}", self.state.display()),
            )
            .because(why)
            .help("run keyroll as root or as the gateway's user, outside containers")
        };
        if let Some(one) = listing.hidden.iter().find(|one| one.pid.is_none_or(|it| it == pid)) {
            return Err(hidden(one.reason.to_string()));
        }
        let owner = self.state.metadata().ok().map(|it| it.uid());
        match listing.seen.iter().find(|process| is_gateway(process, (pid, began), owner)) {
            Some(process) => Ok(Some(process.clone())),
            // A killed gateway left the lock: then no process listens.
            None if self.listens() => Err(hidden(format!(
                "it names process {pid}, which is no gateway of the folder's owner here, and something listens at its port"
            ))),
            None => Ok(None),
        }
    }

    fn listens(&self) -> bool {
        let Ok(settings) = self.home().settings() else { return false };
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
        is_listening(place, Duration::from_millis(READY_MS_MAX))
    }

    fn gateway_instances(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        let gateway = self.gateway(listing)?;
        let one = |process: Process| InstanceProcess { process: process.id, instance: None, main: true };
        Ok(gateway.map(one).into_iter().collect())
    }

    fn own_helpers(&self, listing: &Listing) -> Vec<ProcessId> {
        let Ok(Some(gateway)) = self.gateway(listing) else { return Vec::new() };
        let Some(program) = self.real_program() else { return Vec::new() };
        let mut found = descendants(listing, gateway.id);
        found.retain(|one| {
            // The script is the first argument; the arguments after it are the script's own.
            let mut first = true;
            let is_helper = |word: &[u8]| take(&mut first) && OpenClawHome::is_helper(&program, word);
            one.exe.is_some() && one.exe == gateway.exe && one.args.any(is_helper)
        });
        found.into_iter().map(|one| one.id).collect()
    }

    /// The source of the key of a running gateway, with the names in its start environment.
    fn bound(&self, gateway: Option<&Process>) -> Result<Bound, Failure> {
        let started = gateway.map(|one| Started {
            names: environment_names(&one.id).ok(),
            folder: working_folder(&one.id).ok(),
        });
        self.home().bound(&self.provider, started.as_ref()).map_err(|error| {
            self.elsewhere().because(mask_words(&error.to_string())).help(format!(
                "correct `runs.provider` in keyroll.toml, or the settings: {}",
                self.home().settings_file().display()
            ))
        })
    }

    /// The same by what is visible at this moment; a gateway that is not visible counts as none.
    fn bound_now(&self) -> Result<Bound, Failure> {
        let gateway = list().and_then(|listing| self.gateway(&listing)).unwrap_or_default();
        self.bound(gateway.as_ref())
    }

    fn elsewhere(&self) -> Failure {
        let what = format!("see where OpenClaw takes the key of {} from", self.provider);
        Failure::new(Class::Permanent, Code::OtherSourceWins, what)
    }

    /// Why a new key cannot be applied.
    fn against(&self, bound: &Bound, runs: bool) -> Option<Failure> {
        if let Some(path) = self.home().old_profiles().first() {
            return Some(
                self.failed(Class::Permanent, "take a key while")
                    .because(format!(
                        "{} is there: every request to its providers would fail",
                        path.display()
                    ))
                    .help("stop the gateway, move the file away, start it"),
            );
        }
        let reads = |path: &Path, slot: Option<&AgentSlot>| {
            self.reads.iter().any(|(file, at)| is_same_file(file, path) && slot.is_none_or(|slot| slot == at))
        };
        let known = match (&bound.file, &bound.takes) {
            (Some(file), _) => reads(file, bound.slot.as_ref()),
            // Its command is given the content of the file that consists of this value.
            (None, Takes::Store(_) | Takes::Profile(_)) => self.value_file().is_some(),
            // Only the operator knows which file the program reads, and only the manager knows what a process was
            // started with.
            (None, Takes::Reload | Takes::Restart) => true,
            (None, Takes::Itself | Takes::InPlace) => false,
        };
        let wins = bound.chain.iter().position(|link| link.role == AgentLinkRole::Wins);
        let links = bound.chain.iter().skip(wins.unwrap_or_default());
        let places: Vec<String> = links.map(|link| mask_words(&link.what)).collect();
        let first = places.first().map_or("a place that is not visible", String::as_str);
        // The place that `reads` names is a link of the chain that loses: a change of it would have no effect.
        let loses = bound.file.is_none() && bound.takes == Takes::Restart && {
            let mut lower = bound.chain.iter().skip(1).filter_map(|link| link.file.as_deref());
            lower.any(|file| reads(file, None))
        };
        if let Some(doubt) = self.doubt(bound, runs, &reads) {
            return Some(doubt);
        }
        if !known || loses {
            let rest = places.get(1..).unwrap_or_default();
            let over = if rest.is_empty() {
                String::new()
            } else {
                format!(", which wins over {}", rest.join(", "))
            };
            return Some(
                self.elsewhere()
                    .because(format!("it takes it from {first}{over}; `reads` names another place"))
                    .help("name that place in `reads`, or take the copy there away, in keyroll.toml or on the machine"),
            );
        }
        if bound.takes == Takes::Restart && self.start.is_none() {
            return Some(
                self.elsewhere()
                    .because(format!("it takes it from {first}, which only a new process reads"))
                    .help("say what restarts its gateway: `restart = [\"…\"]` or `unit = \"openclaw-gateway.service\"`"),
            );
        }
        if matches!(bound.takes, Takes::Reload | Takes::Store(_)) {
            return self.unread_reference();
        }
        None
    }

    /// A source that is not visible and may win, so that keyroll cannot say which key the gateway takes. The
    /// start environment, which its manager sets, is no reason for doubt where a new process is started.
    fn doubt(
        &self,
        bound: &Bound,
        runs: bool,
        reads: &dyn Fn(&Path, Option<&AgentSlot>) -> bool,
    ) -> Option<Failure> {
        let before = bound.chain.iter().take_while(|link| link.role != AgentLinkRole::Wins);
        let mut unread = before.filter_map(|link| match link.role {
            AgentLinkRole::NotVisible(why) => Some((link, why)),
            AgentLinkRole::Wins | AgentLinkRole::Shadowed | AgentLinkRole::NotRead => None,
        });
        let (link, why) = unread.find(|(link, _)| match &link.file {
            Some(file) => !reads(file, link.slot.as_ref()),
            None => runs && bound.takes != Takes::Restart,
        })?;
        let because = format!("it may take it from {}, which is not visible: {why}", mask_words(&link.what));
        let help = "let that place be read, name it in `reads`, or take the copy there away";
        Some(self.elsewhere().because(because).help(help))
    }

    /// The first copy that is a whole file.
    fn value_file(&self) -> Option<&Path> {
        let whole = self.reads.iter().find(|(_, slot)| *slot == AgentSlot::Whole);
        whole.map(|(path, _)| path.as_path())
    }

    pub(crate) fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        let Attempt { deadline, started, may_replace, is_old, .. } = attempt;
        let deadline = *deadline;
        let gateway = self.gateway(&list()?)?;
        let bound = self.bound(gateway.as_ref())?;
        if let Some(against) = self.against(&bound, gateway.is_some()) {
            return Err(against);
        }
        let done = match (&bound.takes, &gateway) {
            (Takes::Restart, _) => self.start_anew(gateway.as_ref(), deadline, started)?,
            (_, None) => {
                return Err(self
                    .failed(Class::Retryable, "take a new key")
                    .because("its gateway does not run")
                    .help("start it"));
            }
            (Takes::Itself, Some(_)) => "nothing: it reads its settings again by itself".to_owned(),
            (Takes::InPlace, Some(_)) => "nothing: it restarts itself in its process".to_owned(),
            (Takes::Reload, Some(gateway)) => self.reload(gateway, deadline, started)?,
            (Takes::Store(name), Some(gateway)) => {
                self.refuse_replaced(&bound, may_replace)?;
                self.store(name, gateway, deadline, started)?;
                self.reload(gateway, deadline, started).map_err(unknown)?
            }
            (Takes::Profile(id), Some(gateway)) => {
                self.refuse_replaced(&bound, may_replace)?;
                self.paste(id, gateway, deadline, started)?
            }
        };
        if gateway.is_some() && self.restarts_itself(&bound) {
            self.await_new_generation(deadline, is_old)?;
        }
        self.await_ready(deadline)?;
        let left = self.clear_cool_downs(&bound.source, deadline, started)?;
        Ok(Applied::without_output(done + &left))
    }

    fn start_anew(
        &self,
        before: Option<&Process>,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<String, Failure> {
        let applied = match &self.start {
            Some(Start::Command(line)) => restart(line, deadline, started)?,
            Some(Start::Unit(unit)) => unit.apply(None, deadline, started)?,
            None => {
                return Err(self
                    .failed(Class::Permanent, "be started anew")
                    .because("nothing is named for it"));
            }
        };
        loop {
            let now = self.gateway(&list().map_err(unknown)?).map_err(unknown)?;
            if now.is_some_and(|now| before.is_none_or(|before| before.id != now.id)) {
                return Ok(applied.done);
            }
            if Instant::now() >= deadline {
                return Err(self
                    .failed(Class::Unknown, "be seen in a new process")
                    .because(match before {
                        Some(before) => {
                            format!("the old process {} is still its gateway, or none is", before.id.pid)
                        }
                        None => "no process is its gateway".to_owned(),
                    })
                    .help("see why it does not come up"));
            }
            std::thread::sleep(Duration::from_millis(STEP_MS));
        }
    }

    /// Its answer says `ok` even where an old key was kept.
    fn reload(
        &self,
        gateway: &Process,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<String, Failure> {
        let words = ["secrets", "reload", "--json"];
        let said = self.told(gateway, &words, None, deadline, started)?;
        let text = String::from_utf8_lossy(said.expose()).into_owned();
        match Reloaded::read(&text) {
            Some(reloaded) if reloaded.is_whole() => Ok("openclaw secrets reload: warningCount 0".to_owned()),
            Some(reloaded) => Err(self
                .failed(Class::Unknown, "take every key by `openclaw secrets reload`")
                .because(format!(
                    "it answered ok = {}, warningCount = {}: an old key was kept",
                    reloaded.ok, reloaded.warning_count
                ))
                .help("`openclaw doctor` names the reference (a file must be 0600, its owner's, no link)")),
            None => Err(self
                .failed(Class::Unknown, "understand the answer of `openclaw secrets reload --json`")
                .because("it has another form than 2026.9.6's")),
        }
    }

    fn store(
        &self,
        name: &str,
        gateway: &Process,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<(), Failure> {
        let value = self.value()?;
        let words = ["secrets", "store", "set", name, "--kind", "secret"];
        self.told(gateway, &words, Some(&value), deadline, started).map(drop)
    }

    fn paste(
        &self,
        id: &str,
        gateway: &Process,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<String, Failure> {
        let value = self.value()?;
        let settings = self.home().settings().map_err(|error| {
            self.failed(Class::Permanent, "be handed the new key").because(error.to_string())
        })?;
        let mut words =
            vec!["models", "auth", "paste-api-key", "--provider", &self.provider, "--profile-id", id];
        // With several agents the command requires one by name. The profile belongs to all of them, whichever is named
        // (seen with 2026.9.6).
        if let Some(agent) = settings.agents.first() {
            words.extend(["--agent", agent]);
        }
        self.told(gateway, &words, Some(&value), deadline, started)?;
        Ok(format!("openclaw models auth paste-api-key for {}", mask_words(id)))
    }

    /// The delivered value, for a command that reads it from its standard input.
    fn value(&self) -> Result<SecretBytes, Failure> {
        let failed = || self.failed(Class::Permanent, "be handed the new key");
        let path = self.value_file().ok_or_else(|| failed().because("`reads` names no whole file"))?;
        let length = path.metadata().map_err(|error| failed().because(error))?.len();
        if length > VALUE_BYTES_MAX {
            return Err(failed().because(format!("{} is longer than a key", path.display())));
        }
        let value = std::fs::read(path).map(SecretBytes::new).map_err(|error| failed().because(error))?;
        let plain = value.expose().trim_ascii_end();
        Ok(SecretBytes::new(plain.to_vec()))
    }

    fn await_ready(&self, deadline: Instant) -> Result<(), Failure> {
        let failed = |class| self.failed(class, "be seen ready");
        loop {
            let soon = Instant::now() + Duration::from_millis(READY_MS_MAX);
            let Err(why) = gateway_is_ready(&self.home(), soon) else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(failed(Class::Unknown).because(why).help("see its log"));
            }
            std::thread::sleep(Duration::from_millis(STEP_MS));
        }
    }

    /// A command of its own program, run with the gateway's interpreter and as the gateway's user.
    fn told(
        &self,
        gateway: &Process,
        words: &[&str],
        input: Option<&SecretBytes>,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<SecretBytes, Failure> {
        let program = self.real_program().ok_or_else(|| {
            self.failed(Class::Permanent, "be told")
                .because(format!("{}: there is no such program", self.program.display()))
                .help("write its path into `runs.program`")
        })?;
        let script = program.extension().is_some_and(|it| it == "mjs" || it == "js");
        let interpreter = gateway.exe.as_ref().filter(|_| script);
        let all = interpreter.into_iter().chain([&program]).map(|path| path.to_string_lossy().into_owned());
        let mut all = all.chain(words.iter().map(|word| (*word).to_owned()));
        let line = CommandLine::program(all.next().unwrap_or_default(), all);
        let variables = [
            ("OPENCLAW_STATE_DIR", self.state.clone().into_os_string()),
            ("OPENCLAW_CONFIG_PATH", self.home().settings_file().into_os_string()),
            ("OPENCLAW_NO_AUTO_UPDATE", "1".into()),
            ("OPENCLAW_OFFLINE", "1".into()),
        ];
        let user = self.user()?;
        let with = With { user: user.as_ref(), variables: &variables, input, ..With::output(Output::Whole) };
        let what = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        let ended = run(&line, &with, deadline, started)
            .map_err(|failure| Failure { attempted: format!("carry out `openclaw {what}`"), ..failure })?;
        let status = ended.status;
        match ended.output {
            Some(output) if status.success() => Ok(output),
            output => Err(self
                .failed(Class::Unknown, "be told")
                .because(CommandFailure { status: format!("openclaw {what}: {status}"), output })
                .help("run it by hand as the gateway's user and fix it")),
        }
    }

    fn real_program(&self) -> Option<PathBuf> {
        found(&self.program.to_string_lossy())?.canonicalize().ok()
    }

    /// The owner of the installation, where that is not keyroll's own user: nothing of it is run with more rights.
    fn user(&self) -> Result<Option<User>, Failure> {
        let failed = || self.failed(Class::Permanent, "be told");
        let owner = self.state.metadata().map_err(|error| question(failed()).because(error))?.uid();
        match geteuid() {
            own if own.as_raw() == owner => Ok(None),
            own if own.is_root() => User::of_uid(owner).map(Some),
            _ => Err(failed()
                .because(format!("{} belongs to user {owner}", self.state.display()))
                .help("run keyroll as that user, or as root")),
        }
    }

    fn failed(&self, class: Class, verb: &str) -> Failure {
        Failure::new(
            class,
            Code::OpenClawNotUpdated,
            format!("see OpenClaw in {} {verb}", self.state.display()),
        )
    }
}

/// Whether both paths lead to one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    one == other || real(one).is_some_and(|one| Some(one) == real(other))
}

fn unknown(failure: Failure) -> Failure {
    Failure { class: Class::Unknown, ..failure }
}
