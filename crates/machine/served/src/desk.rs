//! Who may ask for what, and what is given out now.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use keyroll_codes::Code;
use keyroll_secret::SecretBytes;
use tokio::sync::watch;

use crate::known::{Life, MAIN, Of, Print, What};
use crate::ledger::Ledger;
use crate::peer::Peer;
use crate::wire::Answered;

/// How many different refusals are logged.
const SAID_MAX: usize = 1_000;

/// Whose processes are which consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The consumer of a secret.
    pub of: Of,
    /// The user.
    pub uid: u32,
    /// The executable, without links.
    pub exe: PathBuf,
    /// The names of its paths besides the main one.
    pub paths: Vec<String>,
}

/// A version that is given out.
pub struct Value {
    /// Its number.
    pub version: u32,
    /// Its fingerprint.
    pub print: Print,
    /// The answer that gives it out.
    pub line: SecretBytes,
}

/// What a consumer is given now; or why nothing.
type Cell = Result<Arc<Value>, String>;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, a sentence.
    pub why: String,
    /// What to do.
    pub help: Option<&'static str>,
    /// The link is closed: the program is wrong, and would go on.
    pub closes: bool,
}

impl Refusal {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), help: None, closes: false }
    }

    pub(crate) fn closing(why: impl Into<String>) -> Self {
        Self { closes: true, ..Self::new(why) }
    }

    /// The consumer is not served any more.
    pub(crate) fn new_closed() -> Self {
        Self::closing("keyroll.toml does not name this consumer any more")
    }

    fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }

    pub(crate) fn answered(self) -> Answered {
        let code = Code::ValueNotServed.as_str().to_owned();
        Answered::Refused { error: self.why, code, help: self.help.map(str::to_owned) }
    }
}

/// Who uses a value that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum User<'a> {
    /// Who asks; or, where that is `keyroll get`, what is above it.
    Asker,
    /// The program that `keyroll run` starts.
    Runs(&'a Path),
    /// `keyroll get` itself.
    Itself,
}

impl<'a> User<'a> {
    pub(crate) fn of(runs: Option<&'a Path>, itself: bool) -> Self {
        match runs {
            Some(runs) => Self::Runs(runs),
            None if itself => Self::Itself,
            None => Self::Asker,
        }
    }
}

/// A consumer's process that asks for a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) of: Of,
    pub(crate) life: Life,
    paths: Vec<String>,
    /// It is `keyroll run`, and asks for the program that it starts.
    runs: bool,
}

impl Asker {
    fn of(rule: &Rule, life: Life) -> Self {
        Self { of: rule.of.clone(), life, paths: rule.paths.clone(), runs: false }
    }
}

/// What the socket gives out.
pub struct Desk {
    rules: RwLock<Arc<Vec<Rule>>>,
    shelf: Mutex<Shelf>,
    /// What was said once.
    said: Mutex<BTreeSet<String>>,
    /// Where its lines go; they have no value.
    log: Box<dyn Fn(&str) + Send + Sync>,
}

/// A value is given out and the ledger written under one lock: once the ledger says that another version is served, nobody
/// is given the one before.
struct Shelf {
    ledger: Ledger,
    cells: BTreeMap<Of, watch::Sender<Cell>>,
}

impl Desk {
    /// A desk that gives nothing out yet.
    pub fn new(ledger: Ledger, log: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        let shelf = Shelf { ledger, cells: BTreeMap::new() };
        Self { rules: RwLock::default(), shelf: Mutex::new(shelf), said: Mutex::default(), log }
    }

    pub(crate) fn log(&self, line: &str) {
        (self.log)(line);
    }

    /// Writes a line, once for each thing that it is about: a program that is refused asks again and again.
    pub(crate) fn log_once(&self, line: &str, about: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < SAID_MAX && said.insert(about.to_owned()) {
            self.log(line);
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> Arc<Vec<Rule>> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the rules. A consumer without one is given nothing any more.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        let mut shelf = self.shelf();
        shelf.cells.retain(|of, _| rules.iter().any(|rule| rule.of == *of));
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Changes what a consumer is given. The ledger says so before anybody is given it.
    ///
    /// # Errors
    /// The ledger was not written: the consumer is given what it was given before.
    pub fn set(&self, of: &Of, now: Result<Value, String>) -> io::Result<()> {
        let mut shelf = self.shelf();
        let Shelf { ledger, cells } = &mut *shelf;
        let cell = cells.entry(of.clone()).or_insert_with(|| watch::Sender::new(Err("it begins".to_owned())));
        let same = match (&*cell.borrow(), &now) {
            (Ok(before), Ok(now)) => before.print == now.print && before.version == now.version,
            (Err(before), Err(now)) => before == now,
            (_, _) => false,
        };
        if same {
            return Ok(());
        }
        if let Ok(value) = &now {
            ledger.serves(of, &value.print)?;
        }
        drop(cell.send_replace(now.map(Arc::new)));
        Ok(())
    }

    /// What a consumer is given now, by its fingerprint.
    pub fn serves(&self, of: &Of) -> Option<Print> {
        let shelf = self.shelf();
        let cell = shelf.cells.get(of)?.borrow().clone();
        cell.ok().map(|value| value.print.clone())
    }

    /// From now on the ledger cannot be written.
    #[cfg(test)]
    pub(crate) fn break_ledger(&self) {
        self.shelf().ledger.break_file();
    }

    /// Whose requests are answered over a connection: those of the process itself, or, for `keyroll get`, those of each
    /// process above it that a rule names. Which of them has the value then, nobody sees: a shell forks one for
    /// `$(keyroll get … | …)`, which ends at once, and an agent may run a helper. `keyroll run` asks for the program that
    /// it starts and ends itself, so the requests are its own.
    pub(crate) fn askers(&self, peer: &Peer, secret: &str, user: User<'_>) -> Result<Vec<Asker>, Refusal> {
        if let Some(asker) = self.itself(peer, secret) {
            let runs = matches!(user, User::Runs(_)) && peer.is_keyroll();
            return Ok(vec![Asker { runs, ..asker }]);
        }
        let rules = self.rules();
        if let User::Runs(runs) = user {
            let starts = |rule: &&Rule| {
                rule.of.secret == secret && rule.uid == peer.uid && peer.starts(runs, &rule.exe)
            };
            let rule = rules.iter().find(starts).filter(|_| peer.is_keyroll());
            return rule
                .map(|rule| vec![Asker { runs: true, ..Asker::of(rule, peer.life) }])
                .ok_or_else(|| not_started(peer, secret, runs));
        }
        let parents = if peer.is_keyroll() { peer.parents() } else { Vec::new() };
        let askers: Vec<Asker> = parents.iter().filter_map(|one| self.itself(one, secret)).collect();
        let Some(first) = askers.first() else { return Err(unknown(peer, &parents, secret)) };
        Ok(match user {
            // They get nothing of it.
            User::Itself => vec![Asker { life: peer.life, ..first.clone() }],
            User::Asker | User::Runs(_) => askers,
        })
    }

    /// Whose word it is when a process says something: its own alone.
    pub(crate) fn speaker(&self, peer: &Peer, secret: &str) -> Result<Asker, Refusal> {
        self.itself(peer, secret).ok_or_else(|| unknown(peer, &[], secret))
    }

    /// A process that a rule names.
    fn itself(&self, peer: &Peer, secret: &str) -> Option<Asker> {
        let rules = self.rules();
        // One that was given a value before goes on, also when its executable was replaced by an update. That is looked at
        // first: it is most requests, and needs no look at files.
        let known = |rule: &Rule| self.shelf().ledger.words(&rule.of, peer.life).is_some();
        let its = |rule: &&Rule| {
            rule.of.secret == secret && rule.uid == peer.uid && (known(rule) || peer.runs(&rule.exe))
        };
        rules.iter().find(its).map(|rule| Asker::of(rule, peer.life))
    }

    /// A look at what a consumer is given, and at each change of it.
    pub(crate) fn watch(&self, asker: &Asker) -> Result<watch::Receiver<Cell>, Refusal> {
        let shelf = self.shelf();
        shelf.cells.get(&asker.of).map(watch::Sender::subscribe).ok_or_else(not_yet)
    }

    /// Whether any rule names this user.
    pub(crate) fn has_user(&self, uid: u32) -> bool {
        self.rules().iter().any(|rule| rule.uid == uid)
    }

    /// Whether this is the version that a process was given last, in this life. A version that it has from elsewhere is
    /// written down: it must say itself that it does not use it any more.
    pub(crate) fn has(&self, asker: &Asker, version: u32) -> Result<bool, Refusal> {
        let mut shelf = self.shelf();
        let words = shelf.ledger.words(&asker.of, asker.life);
        if words.is_some_and(|words| words.has_number(version)) {
            return Ok(true);
        }
        if words.is_none_or(|words| words.print_of(version).is_none()) {
            shelf.ledger.note(&asker.of, asker.life, What::Has).map_err(|error| not_written(&error))?;
        }
        Ok(false)
    }

    /// The value, after it is written down that this process is given it. `until`: it uses it no longer, clock ticks.
    pub(crate) fn give(&self, asker: &Asker, until: Option<u64>) -> Result<Arc<Value>, Refusal> {
        let mut shelf = self.shelf();
        let Shelf { ledger, cells } = &mut *shelf;
        let cell = cells.get(&asker.of).ok_or_else(not_yet)?.borrow().clone();
        let value = cell.map_err(|why| {
            Refusal::new(format!("no value is given out now: {why}")).help("keyroll doctor says more")
        })?;
        let print = value.print.clone();
        let given = What::Given { version: value.version, print, until, runs: asker.runs };
        ledger.note(&asker.of, asker.life, given).map_err(|error| not_written(&error))?;
        Ok(value)
    }

    /// Writes down what a process said.
    pub(crate) fn hear(&self, asker: &Asker, said: &Said) -> Result<(), Refusal> {
        let mut shelf = self.shelf();
        let words = shelf.ledger.words(&asker.of, asker.life);
        let print_of = |version| {
            words.and_then(|words| words.print_of(version)).cloned().ok_or_else(|| {
                Refusal::closing(format!("this process was never given v{version} of '{}'", asker.of.secret))
            })
        };
        let what = match said {
            Said::Loaded(version) => What::Loaded(print_of(*version)?),
            Said::Used { version, ok, path } => {
                let path = path.as_deref().unwrap_or(MAIN);
                if path != MAIN && !asker.paths.iter().any(|known| known == path) {
                    let known = asker.paths.iter().map(String::as_str).chain([MAIN]);
                    let known: Vec<&str> = known.collect();
                    let why = format!(
                        "'{}' is no path of this consumer: {}",
                        path.escape_debug(),
                        known.join(", ")
                    );
                    return Err(Refusal::new(why).help("name it under `paths` of the consumer"));
                }
                What::Used { print: print_of(*version)?, ok: *ok, path: path.to_owned() }
            }
            Said::Bye if words.is_none() => return Ok(()),
            Said::Bye => What::Bye,
        };
        shelf.ledger.note(&asker.of, asker.life, what).map_err(|error| not_written(&error))?;
        Ok(())
    }
}

/// What a process says, with the number of the version.
pub(crate) enum Said {
    Loaded(u32),
    Used { version: u32, ok: bool, path: Option<String> },
    Bye,
}

/// The same whether there is such a secret or not.
fn none(peer: &Peer, secret: &str) -> String {
    format!("no secret '{}' is served to user {}", secret.escape_debug(), peer.uid)
}

/// No rule names the process, or, for `keyroll get`, one above it.
fn unknown(peer: &Peer, parents: &[Peer], secret: &str) -> Refusal {
    let shown = |peer: &Peer| peer.exe.as_ref().map(|exe| exe.display().to_string());
    let mut exes: Vec<String> = match parents {
        [] => shown(peer).into_iter().collect(),
        parents => parents.iter().filter_map(shown).collect(),
    };
    exes.dedup();
    let none = none(peer, secret);
    if exes.is_empty() {
        return Refusal::new(format!("{none} and a program that keyroll serve may not look at"))
            .help("run keyroll serve as root, or as the user of the program");
    }
    let exes = exes.join(", or ");
    let why = match parents {
        [] => format!("{none} and {exes}"),
        _ => format!("{none} and a program that runs keyroll get here: {exes}"),
    };
    Refusal::new(why).help("name the user and the executable in `serves` of a consumer in keyroll.toml")
}

/// No rule names a program that is to be started.
fn not_started(peer: &Peer, secret: &str, runs: &Path) -> Refusal {
    if peer.exe.is_none() {
        return unknown(peer, &[], secret);
    }
    let why = format!("{} and {}", none(peer, secret), runs.to_string_lossy().escape_debug());
    let help = match peer.is_keyroll() && peer.is_here() {
        true => "name the user and this executable in `serves` of a consumer in keyroll.toml",
        false => "keyroll run must be the same file as the server's keyroll, outside of a container",
    };
    Refusal::new(why).help(help)
}

fn not_yet() -> Refusal {
    Refusal::new("no value is given out yet: the server begins").help("ask again in a moment")
}

fn not_written(error: &io::Error) -> Refusal {
    Refusal::new(format!("it could not be written down who is given it: {error}"))
        .help("make room in the state folder of keyroll; the value that the program has stays good")
}
