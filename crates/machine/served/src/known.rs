//! What the ledger says: which process was given which version, and what it said about it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_observe::{
    Listing, NotVisible, Process, ProcessId, descendants, own_tree, parents, processes, program,
};
use serde::{Deserialize, Serialize};

/// A version, by the keyed fingerprint of all of its fields: 64 hexadecimal digits.
pub type Print = String;

/// The path that a word without one is about.
pub const MAIN: &str = "main";

/// How long a listing of the processes may take.
const LISTING_MAX: Duration = Duration::from_secs(10);

/// A ledger that is longer than this is not read, bytes.
const LEDGER_BYTES_MAX: u64 = 256 << 20;

/// The file of the ledger in the folder of what is served.
pub fn ledger_file(folder: &Path) -> PathBuf {
    // No secret has a name that begins with a dot.
    folder.join(".ledger")
}

/// The consumer of a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Of {
    /// The secret.
    pub secret: String,
    /// Its consumer.
    pub consumer: String,
}

/// One program in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Life {
    /// Which boot of the machine.
    pub boot: u64,
    /// The process id.
    pub pid: u32,
    /// When it was forked, clock ticks since boot.
    pub start: u64,
    /// The run of the program; 0 where the kernel hides it.
    pub program: u64,
}

impl Life {
    /// What is in this process now.
    pub fn of(process: &ProcessId) -> Self {
        let ProcessId { boot, pid, start_ticks } = *process;
        Self { boot, pid, start: start_ticks, program: program(process).number() }
    }

    fn listed(process: &Process) -> Self {
        let ProcessId { boot, pid, start_ticks } = process.id;
        Self { boot, pid, start: start_ticks, program: process.program.number() }
    }

    /// Whether this is the process, as far as the kernel shows the program.
    fn may_be(&self, process: &Process) -> bool {
        let own = Self::listed(process);
        let same = self.program == own.program || self.program == 0 || own.program == 0;
        self.process() == process.id && same
    }

    /// The process.
    pub fn process(&self) -> ProcessId {
        ProcessId { boot: self.boot, pid: self.pid, start_ticks: self.start }
    }

    /// Whether the process still runs this program. One that cannot be looked at may.
    pub fn goes_on(&self) -> bool {
        match keyroll_observe::forked_without_exec(&self.process()) {
            Ok(_) => {
                let now = program(&self.process()).number();
                now == self.program || now == 0 || self.program == 0
            }
            Err(NotVisible::Vanished | NotVisible::Replaced) => false,
            Err(_) => true,
        }
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) of: Of,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) life: Option<Life>,
    pub(crate) what: What,
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// From here on the consumer is given this version.
    Serves(Print),
    /// The process is given this version with the next answer. `until`: it promised to use it no longer than that, in clock
    /// ticks since boot.
    Given {
        version: u32,
        print: Print,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        until: Option<u64>,
        /// The process is `keyroll run`: the program that it starts uses the version.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        runs: bool,
    },
    /// The process says that it has a version that it was not given in this life.
    Has,
    /// The process said that it uses the version from now on.
    Loaded(Print),
    /// The process said how a call ended.
    Used { print: Print, ok: bool, path: String },
    /// The process said that it uses no version any more.
    Bye,
}

/// What a life said last about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    print: Print,
    works: bool,
    /// It was said since the life was given the version that it holds.
    fresh: bool,
}

/// A version that a life was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    version: u32,
    print: Print,
    until: Option<u64>,
}

/// What one life was given, and what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// The versions that it was given, each once; the one that it was given last stands last.
    given: Vec<Given>,
    /// It has, or had, a version from elsewhere.
    foreign: bool,
    /// By path, its last word.
    last: BTreeMap<String, Word>,
    /// It uses none any more.
    gone: bool,
    /// It is `keyroll run`.
    runs: bool,
}

impl Words {
    /// The version that it was given last.
    pub fn holds(&self) -> Option<&Print> {
        self.given.last().map(|given| &given.print)
    }

    /// Whether it was ever given this version.
    pub fn was_given(&self, print: &str) -> bool {
        self.given.iter().any(|given| given.print == print)
    }

    /// Whether this is the number of the version that it was given last.
    pub fn has_number(&self, version: u32) -> bool {
        self.given.last().is_some_and(|given| given.version == version)
    }

    fn was_given_other(&self, print: &str) -> bool {
        self.foreign || self.given.iter().any(|given| given.print != print)
    }

    /// Whether it said something about a path, or that it uses no version any more.
    fn has_said(&self, path: &str) -> bool {
        self.gone || self.last.contains_key(path)
    }

    /// A version that it was given, by its number.
    pub fn print_of(&self, version: u32) -> Option<&Print> {
        self.given.iter().find(|given| given.version == version).map(|given| &given.print)
    }

    /// Whether it is `keyroll run`: its word is about all processes below it. It says that they use a version when nothing
    /// is left of the program that it had started with another one.
    pub fn is_for_those_below(&self) -> bool {
        self.runs
    }

    /// Whether it said that it uses no version any more.
    pub fn uses_none(&self) -> bool {
        self.gone
    }

    /// Whether its word says that it uses this version on this path and no other: it loaded it or a call with it succeeded,
    /// and it said nothing else since; or it had no other version in its life, or promised to use each other one no longer
    /// than until now; or it uses none any more. `now`: clock ticks since boot.
    pub fn tells(&self, path: &str, print: &str, now: u64) -> bool {
        if self.gone {
            return true;
        }
        match self.last.get(path) {
            Some(word) if word.fresh => {
                word.works && word.print == print && self.holds().is_some_and(|it| it == print)
            }
            Some(_) => false,
            None => {
                path == MAIN && self.holds().is_some_and(|held| held == print) && self.is_over(print, now)
            }
        }
    }

    /// Whether every other version that it had is one that it uses no more.
    fn is_over(&self, print: &str, now: u64) -> bool {
        let over = |given: &Given| given.print == print || given.until.is_some_and(|until| until <= now);
        !self.foreign && self.given.iter().all(over)
    }

    /// Whether its last word on a path, since it was given another version, is that a call with this one succeeded or was
    /// refused.
    pub fn uses(&self, print: &str, works: bool) -> bool {
        let says = |word: &Word| word.fresh && word.print == print && word.works == works;
        !self.gone && self.last.values().any(says)
    }

    /// Whether this would say something new.
    pub(crate) fn differs(&self, what: &What) -> bool {
        let said = |path: &str, print: &Print, works| {
            let word = Word { print: print.clone(), works, fresh: true };
            self.gone || self.last.get(path) != Some(&word)
        };
        match what {
            What::Serves(_) => true,
            What::Given { version, print, until, .. } => {
                // Without a promise it is written once; a promise is renewed with each answer.
                let held = self.given.last().filter(|held| held.version == *version && held.print == *print);
                self.gone || held.is_none_or(|held| held.until.is_some() && held.until != *until)
            }
            What::Has => !self.foreign,
            What::Loaded(print) => said(MAIN, print, true),
            What::Used { print, ok, path } => said(path, print, *ok),
            What::Bye => !self.gone,
        }
    }

    pub(crate) fn hear(&mut self, what: &What) {
        match what {
            What::Serves(_) => {}
            What::Given { version, print, until, runs } => {
                self.runs |= runs;
                if !self.has_number(*version) || self.holds() != Some(print) {
                    self.last.values_mut().for_each(|word| word.fresh = false);
                }
                let before = self.given.iter().position(|given| given.version == *version);
                let before = before.map(|at| self.given.remove(at));
                // One who got it without a promise may still use it.
                let until = match before {
                    Some(before) => before.until.zip(*until).map(|(one, other)| one.max(other)),
                    None => *until,
                };
                self.given.push(Given { version: *version, print: print.clone(), until });
                self.gone = false;
            }
            What::Has => self.foreign = true,
            What::Loaded(print) => self.say(MAIN, print, true),
            What::Used { print, ok, path } => self.say(path, print, *ok),
            What::Bye => self.gone = true,
        }
    }

    fn say(&mut self, path: &str, print: &Print, works: bool) {
        self.last.insert(path.to_owned(), Word { print: print.clone(), works, fresh: true });
        self.gone = false;
    }

    /// The lines from which this is read again.
    pub(crate) fn lines(&self) -> Vec<What> {
        let foreign = self.foreign.then_some(What::Has);
        let given = self.given.iter().map(|Given { version, print, until }| What::Given {
            version: *version,
            print: print.clone(),
            until: *until,
            runs: self.runs,
        });
        let mut given: Vec<What> = foreign.into_iter().chain(given).collect();
        let held = if self.given.is_empty() { None } else { given.pop() };
        let said = |fresh: bool| {
            let words = self.last.iter().filter(move |(_, word)| word.fresh == fresh);
            words.map(|(path, Word { print, works, .. })| What::Used {
                print: print.clone(),
                ok: *works,
                path: path.clone(),
            })
        };
        given
            .into_iter()
            .chain(said(false))
            .chain(held)
            .chain(said(true))
            .chain(self.gone.then_some(What::Bye))
            .collect()
    }
}

/// What is known of one consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The version that the server gives out since its last change.
    pub serves: Option<Print>,
    /// The server that gave it out last.
    pub server: Option<Life>,
    /// The lives that were given a version, or said something.
    pub lives: BTreeMap<Life, Words>,
}

impl Known {
    /// Whether a server runs that gives a version to the consumer.
    pub fn is_given_out(&self) -> bool {
        self.server.is_some_and(|server| server.goes_on())
    }

    /// The processes that asked, and their forks: a fork has what its parent had.
    pub fn asked(&self, listing: &Listing) -> BTreeSet<ProcessId> {
        let lives: BTreeMap<u32, &Life> = self.lives.keys().map(|life| (life.pid, life)).collect();
        let asked = |one: &Process| lives.get(&one.id.pid).is_some_and(|life| life.may_be(one));
        let forked = |one: &Process| {
            let own = Life::listed(one);
            // The addresses of a program are drawn at random, and a fork keeps them, also when its parent has ended.
            let from = |life: &Life| life.program == own.program && life.start <= own.start;
            match own.program {
                0 => parents(listing, one).into_iter().any(asked),
                _ => self.lives.keys().any(from),
            }
        };
        let its = listing.seen.iter().filter(|one| asked(one) || one.forked && forked(one));
        its.map(|one| one.id).collect()
    }

    /// What is below each `keyroll run` that asked, with the one that speaks for it. Those that asked themselves speak for
    /// themselves, and so do their forks. `asked`: [`Known::asked`].
    pub fn below(&self, listing: &Listing, asked: &BTreeSet<ProcessId>) -> BTreeMap<ProcessId, ProcessId> {
        let runs = self.lives.iter().filter(|(_, words)| words.is_for_those_below());
        let runs = runs.map(|(life, _)| life.process()).filter(|one| asked.contains(one));
        let mut below: Vec<(ProcessId, Vec<&Process>)> =
            runs.map(|one| (one, descendants(listing, one))).collect();
        // Where one is below another, the nearest one speaks: it has less below it, and is the last to be entered.
        below.sort_by_key(|(_, all)| std::cmp::Reverse(all.len()));
        let all = below.into_iter().flat_map(|(by, all)| all.into_iter().map(move |one| (one.id, by)));
        // It may be keyroll itself that looks from below.
        let own = own_tree(listing);
        all.filter(|(one, _)| !asked.contains(one) && !own.contains(&one.pid)).collect()
    }

    /// Whether a life's own word says that it uses this version on a path and no other. A fork has what its parent had: that
    /// it was given no other version itself says nothing, as long as one of the same program was.
    pub fn tells(&self, life: Life, path: &str, print: &str, now: u64) -> bool {
        let Some(words) = self.lives.get(&life) else { return false };
        // One that uses none any more may ask again, and is given what is given out then.
        if words.uses_none() && self.serves.as_deref() != Some(print) {
            return false;
        }
        let inherits = |other: &Life, its: &Words| {
            *other != life
                && (other.program == life.program || other.program == 0)
                && its.was_given_other(print)
        };
        let may_inherit = || life.program == 0 || self.lives.iter().any(|(other, its)| inherits(other, its));
        words.tells(path, print, now) && (words.has_said(path) || !may_inherit())
    }
}

/// What the ledger says of each consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consumers(BTreeMap<Of, Known>);

impl Consumers {
    /// Reads the ledger in this folder. One that is not there is empty.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let path = ledger_file(folder);
        let size = match std::fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        if size > LEDGER_BYTES_MAX {
            return Err(io::Error::other(format!("it is longer than {LEDGER_BYTES_MAX} bytes")));
        }
        let mut known = Self::default();
        let bytes = std::fs::read(&path)?;
        // A last line without its end is one whose write has not ended, or failed.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
            known.read_line(line);
        }
        Ok(known)
    }

    /// A line that is not whole was of a write that failed: nothing was answered after it.
    fn read_line(&mut self, line: &[u8]) {
        if let Ok(line) = serde_json::from_slice::<Line>(line) {
            self.hear(&line);
        }
    }

    pub(crate) fn hear(&mut self, line: &Line) {
        let known = self.0.entry(line.of.clone()).or_default();
        match (&line.what, line.life) {
            (What::Serves(print), server) => (known.serves, known.server) = (Some(print.clone()), server),
            (what, Some(life)) => known.lives.entry(life).or_default().hear(what),
            (_, None) => {}
        }
    }

    /// What is known of a consumer.
    pub fn of(&self, secret: &str, consumer: &str) -> Option<&Known> {
        self.0.get(&Of { secret: secret.to_owned(), consumer: consumer.to_owned() })
    }

    /// What is known of a consumer and of those of its secret that nobody names any more: their processes were given the
    /// same values. `others`: the secret's other consumers.
    pub fn of_all_but(&self, secret: &str, consumer: &str, others: &[String]) -> Known {
        let mut all = self.of(secret, consumer).cloned().unwrap_or_default();
        let unnamed =
            |of: &Of| of.secret == secret && of.consumer != consumer && !others.contains(&of.consumer);
        for (life, words) in self.0.iter().filter(|(of, _)| unnamed(of)).flat_map(|(_, known)| &known.lives) {
            let its = all.lives.entry(*life).or_insert_with(|| words.clone());
            its.foreign |= its != words;
        }
        all
    }

    pub(crate) fn words(&self, of: &Of, life: Life) -> Option<&Words> {
        self.0.get(of)?.lives.get(&life)
    }

    #[cfg(test)]
    pub(crate) fn lives(&self) -> usize {
        self.0.values().map(|known| known.lives.len()).sum()
    }

    /// Drops the lives that have ended. A fork keeps the program of the life that it comes from, which may have ended before:
    /// that one stays as long as any process has its program, and all stay if the processes cannot be listed.
    pub(crate) fn forget_ended(&mut self) {
        let Ok(listing) = processes(LISTING_MAX) else { return };
        if !listing.hidden.is_empty() {
            return;
        }
        let programs: BTreeSet<u64> = listing.seen.iter().map(|process| process.program.number()).collect();
        for known in self.0.values_mut() {
            let forked = |life: &Life| life.program != 0 && programs.contains(&life.program);
            known.lives.retain(|life, _| life.goes_on() || forked(life));
        }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> {
        self.0.iter().flat_map(|(of, known)| {
            let line = |life: Option<Life>, what| Line { of: of.clone(), life, what };
            let serves = known.serves.clone().map(|print| line(known.server, What::Serves(print)));
            let said = known.lives.iter().flat_map(move |(life, words)| {
                let lines = words.lines().into_iter();
                lines.map(move |what| Line { of: of.clone(), life: Some(*life), what })
            });
            serves.into_iter().chain(said)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000;

    fn given(version: u32, print: &str) -> What {
        What::Given { version, print: print.to_owned(), until: None, runs: false }
    }

    fn used(print: &str, ok: bool, path: &str) -> What {
        What::Used { print: print.to_owned(), ok, path: path.to_owned() }
    }

    fn loaded(print: &str) -> What {
        What::Loaded(print.to_owned())
    }

    fn after(all: &[What]) -> Words {
        let mut words = Words::default();
        all.iter().for_each(|what| words.hear(what));
        words
    }

    #[test]
    fn a_word_counts_for_the_version_that_was_given_last_and_until_the_next_word() {
        let tells = |all: &[What]| after(all).tells(MAIN, "b", NOW);
        assert!(!tells(&[]), "it asked for nothing");
        assert!(tells(&[given(2, "b")]), "it had no other version in its life");
        assert!(!tells(&[given(1, "a"), given(2, "b")]), "given is not loaded");
        assert!(tells(&[given(1, "a"), given(2, "b"), loaded("b")]));
        assert!(tells(&[given(1, "a"), given(2, "b"), used("b", true, MAIN)]));
        assert!(!tells(&[given(1, "a"), given(2, "b"), used("b", false, MAIN)]), "a refused call");
        assert!(
            !tells(&[given(1, "a"), given(2, "b"), loaded("b"), used("a", true, MAIN)]),
            "it uses the old one"
        );
        assert!(!tells(&[given(1, "a"), given(2, "b"), used("b", true, "fallback")]), "another path");
        assert!(!tells(&[given(2, "b"), used("b", false, MAIN)]), "its only version is refused");
        assert!(!tells(&[given(2, "b"), loaded("b"), given(1, "a")]), "it was given the old one after that");
        assert!(tells(&[given(1, "a"), What::Bye]) && !tells(&[given(1, "a"), What::Bye, given(1, "a")]));
    }

    #[test]
    fn a_promise_counts_when_its_time_is_over_and_only_without_another_way_to_the_version() {
        let kept = |version, print: &str, until| What::Given {
            version,
            print: print.to_owned(),
            until: Some(until),
            runs: false,
        };
        let tells = |all: &[What], now| after(all).tells(MAIN, "b", now);
        let all = [kept(1, "a", NOW), kept(2, "b", NOW * 2)];
        assert!(!tells(&all, NOW - 1) && tells(&all, NOW));
        assert!(!tells(&[given(1, "a"), kept(1, "a", NOW), kept(2, "b", NOW)], NOW * 9), "it has a itself");
        assert!(!tells(&[kept(1, "a", NOW), given(1, "a"), kept(2, "b", NOW)], NOW * 9));
        assert!(!tells(&[kept(1, "a", NOW)], NOW * 9), "it never asked again");
    }

    #[test]
    fn who_said_bye_holds_nothing_up_once_the_new_version_is_given_out() {
        let life = Life { boot: 1, pid: 2, start: 3, program: 4 };
        let of = |serves: &str, all: &[What]| {
            let lives = BTreeMap::from([(life, after(all))]);
            let known = Known { serves: Some(serves.to_owned()), server: None, lives };
            known.tells(life, MAIN, "b", NOW)
        };
        assert!(of("b", &[given(1, "a"), What::Bye]));
        assert!(!of("a", &[given(1, "a"), What::Bye]), "it may ask again, and is given a");
        assert!(!of("b", &[given(1, "a"), What::Bye, given(1, "a")]), "it asked again");
        // What its parent had before it said bye, a fork has too.
        let fork = Life { pid: 5, start: 6, ..life };
        let parent = after(&[given(1, "a"), What::Bye]);
        let lives = BTreeMap::from([(life, parent), (fork, after(&[given(2, "b")]))]);
        let known = Known { serves: Some("b".to_owned()), server: None, lives };
        assert!(!known.tells(fork, MAIN, "b", NOW), "it says nothing of a");
    }

    #[test]
    fn who_has_a_version_from_elsewhere_must_speak() {
        assert!(!after(&[What::Has, given(2, "b")]).tells(MAIN, "b", NOW));
        assert!(after(&[What::Has, given(2, "b"), loaded("b")]).tells(MAIN, "b", NOW));
        let mut all = Consumers::default();
        let life = Life { boot: 1, pid: 2, start: 3, program: 4 };
        let of = |consumer: &str| Of { secret: "one".to_owned(), consumer: consumer.to_owned() };
        all.hear(&Line { of: of("before"), life: Some(life), what: given(1, "a") });
        let renamed = all.of_all_but("one", "now", &[]);
        assert!(renamed.lives.contains_key(&life), "its consumer was renamed");
        assert!(all.of_all_but("one", "now", &["before".to_owned()]).lives.is_empty());
    }

    #[test]
    fn another_path_is_told_on_its_own() {
        let one = after(&[given(2, "b")]);
        assert!(
            one.tells(MAIN, "b", NOW) && !one.tells("fallback", "b", NOW),
            "nothing was said about the fallback"
        );
        let one = after(&[given(2, "b"), used("b", true, "fallback")]);
        assert!(one.tells("fallback", "b", NOW) && !one.tells("fallback", "a", NOW));
        let refused = after(&[given(2, "b"), used("b", false, "fallback")]);
        assert!(refused.uses("b", false) && !refused.uses("b", true));
    }

    #[test]
    fn a_word_from_before_the_last_change_is_none() {
        let back = after(&[given(1, "a"), loaded("a"), given(2, "b"), given(1, "a")]);
        assert!(!back.tells(MAIN, "a", NOW), "it may have begun to use b, and said nothing since");
        let before = [given(1, "a"), used("a", true, "fallback"), given(2, "b"), loaded("b")];
        assert!(!after(&before).uses("a", true), "the fallback was used before the change");
        let since = [&before[..], &[used("a", true, "fallback")]].concat();
        assert!(after(&since).uses("a", true) && after(&since).tells(MAIN, "b", NOW));
    }

    #[test]
    fn a_fork_that_was_given_one_version_itself_may_use_its_parents() {
        let life = |pid, program| Life { boot: 1, pid, start: u64::from(pid), program };
        let mut known = Known::default();
        known.lives.insert(life(1, 7), after(&[given(1, "a"), given(2, "b"), loaded("b")]));
        known.lives.insert(life(2, 7), after(&[given(2, "b")]));
        known.lives.insert(life(3, 8), after(&[given(2, "b")]));
        let tells = |known: &Known, pid, program| known.tells(life(pid, program), MAIN, "b", NOW);
        assert!(tells(&known, 1, 7) && !tells(&known, 2, 7), "it was forked from one that had a");
        assert!(tells(&known, 3, 8), "another program, which had no other version");
        known.lives.insert(life(2, 7), after(&[given(2, "b"), loaded("b")]));
        assert!(tells(&known, 2, 7), "it says so itself");
        known.lives.insert(life(4, 0), after(&[given(2, "b")]));
        assert!(!tells(&known, 4, 0), "the kernel does not show which program it is");
    }

    #[test]
    fn what_is_written_again_says_the_same() {
        let all = [
            given(1, "a"),
            used("a", true, "fallback"),
            given(2, "b"),
            loaded("b"),
            used("a", false, "other"),
            What::Has,
            What::Given { version: 3, print: "a".to_owned(), until: Some(7), runs: true },
            given(1, "a"),
            used("a", true, "fallback"),
        ];
        for end in 0..=all.len() {
            let words = after(&all[..end]);
            assert_eq!(after(&words.lines()), words);
        }
        let gone = after(&[given(1, "a"), What::Bye]);
        assert_eq!(after(&gone.lines()), gone);
        assert!(!gone.differs(&What::Bye) && gone.differs(&given(1, "a")));
    }
}
