//! What the ledger of keyroll's socket shows of a consumer's processes: what they were given, and what they said.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_observe::{Listing, ProcessId, WrittenAt, environment_holds, memory_holds};
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::{ConsumerId, Kinds, SessionSeen, Which};
use keyroll_served::{Consumers, Known, Life, Words, ledger_file, print_of};

use super::find::needle;
use super::running::Running;
use super::{ConsumerSetup, Local, ServedSetup};

/// Inode, size and time of the last change; zeros for a file that is not there.
fn stamp(path: &Path) -> [u64; 4] {
    let Ok(meta) = std::fs::metadata(path) else { return [0; 4] };
    [meta.ino(), meta.size(), meta.ctime().cast_unsigned(), meta.ctime_nsec().cast_unsigned()]
}

/// Clock ticks since boot; 0, at which no promise is over, if the clock cannot be read.
fn now() -> u64 {
    WrittenAt::now().map_or(0, |now| now.ticks)
}

/// The processes of a consumer that are below this one.
pub(super) fn below<'r>(one: &Running, mine: &'r [Running]) -> impl Iterator<Item = &'r Running> {
    let own = Some(one.process);
    mine.iter().filter(move |other| other.below == own)
}

fn words<'k>(known: &'k Known, process: &ProcessId) -> Option<&'k Words> {
    known.lives.get(&Life::of(process))
}

impl Local {
    fn served(&self, id: ConsumerId) -> Option<(&ServedSetup, &str)> {
        let consumer = self.setup.consumer(id)?;
        Some((consumer.served.as_ref()?, &consumer.name))
    }

    /// Fails if the ledger of a served consumer cannot be read: a look without it would see none of their processes.
    pub(super) fn ledger_is_read(&self) -> Result<(), Failure> {
        let served = self.setup.consumers.iter().filter_map(|consumer| consumer.served.as_ref());
        served.take(1).try_for_each(|served| self.ledger(served).map(drop))
    }

    /// The ledger, read again when its file was changed.
    fn ledger(&self, served: &ServedSetup) -> Result<Arc<Consumers>, Failure> {
        let path = ledger_file(&served.folder);
        let now = stamp(&path);
        if let Some((of, ledger)) = &self.memo().ledger
            && *of == now
            && now != [0; 4]
        {
            return Ok(Arc::clone(ledger));
        }
        let ledger = Consumers::read(&served.folder).map(Arc::new).map_err(|error| {
            Failure::new(Class::Retryable, Code::ProcessesHidden, format!("read {}", path.display()))
                .because(error)
        })?;
        let mut memo = self.memo();
        memo.ledger = Some((now, Arc::clone(&ledger)));
        memo.known.clear();
        Ok(ledger)
    }

    /// What is known of a consumer. Whoever needs the ledger has asked before whether it can be read.
    /// It is put together once for each state of the file: a look asks for it several times for each process.
    fn known(&self, served: &ServedSetup, consumer: &str) -> Arc<Known> {
        let Ok(ledger) = self.ledger(served) else { return Arc::default() };
        if let Some(known) = self.memo().known.get(consumer) {
            return Arc::clone(known);
        }
        let known = Arc::new(ledger.of_all_but(&served.secret, consumer, &served.others));
        let mut memo = self.memo();
        // Another call may have read a later ledger meanwhile: what is remembered is of the one that is.
        if memo.ledger.as_ref().is_some_and(|(_, now)| Arc::ptr_eq(now, &ledger)) {
            memo.known.insert(consumer.to_owned(), Arc::clone(&known));
        }
        known
    }

    /// The processes of a consumer that are below a `keyroll run`.
    pub(super) fn below(
        &self,
        consumer: &ConsumerSetup,
        listing: &Listing,
    ) -> BTreeMap<ProcessId, ProcessId> {
        let Some(served) = &consumer.served else { return BTreeMap::new() };
        let known = self.known(served, &consumer.name);
        known.below(listing, &known.asked(listing))
    }

    pub(super) fn is_served(&self, id: ConsumerId) -> bool {
        self.served(id).is_some()
    }

    /// Whether a process was given this version last; or, without one, whether the next would be given it. The server says
    /// what it gives out: until it has noticed that the file was changed, it gives the version of before.
    pub(super) fn is_given(
        &self,
        served: &ServedSetup,
        consumer: &str,
        process: Option<&ProcessId>,
        which: Which,
        values: Values<'_>,
    ) -> bool {
        let Some(print) = values.of(which).map(|fields| print_of(&served.key, fields)) else {
            return false;
        };
        let known = self.known(served, consumer);
        let serves = known.serves.as_ref() == Some(&print);
        match process {
            // One that uses no version any more has this one when it asks again.
            Some(process) => words(&known, process)
                .is_some_and(|words| words.holds() == Some(&print) || serves && words.uses_none()),
            None => serves,
        }
    }

    /// Whether the word of the `keyroll run` that a process is below covers it, or the evidence of the program below the init
    /// process of a container: all but one that is seen to have the other version, which it has from elsewhere.
    pub(super) fn is_covered(
        &self,
        one: &Running,
        which: Which,
        values: Values<'_>,
    ) -> Result<bool, Failure> {
        if !one.is_represented() {
            return Ok(false);
        }
        let (needles, other) = (self.needles(values)?, needle(which.other()));
        let started_with = environment_holds(&one.process, &*needles).is_ok_and(|ids| ids.contains(&other));
        let memory = memory_holds(&one.process, &*needles, self.setup.search.of_one());
        // An init process says nothing of itself: what is not visible of it may hold the value.
        let is_visible = one.below.is_some() || memory.whole();
        Ok(is_visible && !started_with && memory.count(other) == 0)
    }

    /// Whether the issuer saw a call with this version below a `keyroll run` whose word counts.
    pub(super) fn called_below(&self, one: &Running, mine: &[Running], which: Which) -> bool {
        let trusted = self.served(one.consumer).is_some_and(|(served, _)| served.trusted);
        trusted && below(one, mine).any(|other| self.called(other, which, true))
    }

    /// [`Kinds::TOLD`], if a process's own word says that it uses this version on a path.
    pub(super) fn told(&self, one: &Running, path: u8, which: Which, values: Values<'_>) -> Kinds {
        let Some((served, consumer)) = self.served(one.consumer) else { return Kinds::NONE };
        let (Some(fields), Some(path)) = (values.of(which), served.paths.get(usize::from(path))) else {
            return Kinds::NONE;
        };
        let print = print_of(&served.key, fields);
        let told = self.known(served, consumer).tells(Life::of(&one.process), path, &print, now());
        if told { Kinds::TOLD } else { Kinds::NONE }
    }

    /// Whether a process said last, on some path, that a call with this version succeeded or was refused.
    fn says(&self, one: &Running, which: Which, works: bool, values: Values<'_>) -> bool {
        let (Some((served, consumer)), Some(fields)) = (self.served(one.consumer), values.of(which)) else {
            return false;
        };
        let known = self.known(served, consumer);
        words(&known, &one.process).is_some_and(|words| words.uses(&print_of(&served.key, fields), works))
    }

    /// Whether a process's last word on a path is about the other version: it still presents that, refused or not.
    pub(super) fn says_other(&self, one: &Running, which: Which, values: Values<'_>) -> bool {
        [true, false].into_iter().any(|works| self.says(one, which.other(), works, values))
    }

    /// Remarks, once, that no server gives the value out: no program can get what was delivered.
    pub(super) fn remark_unserved(&self, id: ConsumerId, which: Which) {
        let Some((served, consumer)) = self.served(id) else { return };
        if self.known(served, consumer).is_given_out() {
            return;
        }
        let mut memo = self.memo();
        if memo.remarked.insert((self.at_rest(id), which)) {
            let saw = format!("see '{consumer}' given the value");
            memo.remarks.push(
                Failure::new(Class::Retryable, Code::ValueNotServed, saw)
                    .because("no keyroll serve runs that gives it out")
                    .help("start keyroll serve on this state folder; what was delivered is given out then"),
            );
        }
    }

    /// Whether a trusted process says that the new version is refused; the operator reads which.
    pub(super) fn is_refused(&self, one: &Running, which: Which, values: Values<'_>) -> bool {
        let Some((served, consumer)) = self.served(one.consumer) else { return false };
        if which != Which::New || !self.says(one, which, false, values) {
            return false;
        }
        let mut memo = self.memo();
        if memo.remarked.insert((self.incarnation(&one.process), which)) {
            let saw = format!("see '{consumer}' use the new key");
            memo.remarks.push(
                Failure::new(Class::Permanent, Code::NewKeyRefused, saw)
                    .because(format!("process {} says that it does not work", one.process))
                    .help("see in the log of the program, and at the issuer, why"),
            );
        }
        served.trusted
    }

    /// A process whose last word is about the version that goes counts like one with a session on it. That word needs no
    /// trust: it only keeps the key.
    pub(super) fn join_words(
        &self,
        sessions: Option<Vec<SessionSeen>>,
        running: &[Running],
        stays: Which,
        values: Values<'_>,
    ) -> Option<Vec<SessionSeen>> {
        let uses = |one: &&Running| self.says_other(one, stays, values);
        let said: Vec<SessionSeen> = running
            .iter()
            .filter(uses)
            .map(|one| SessionSeen { who: Some(self.incarnation(&one.process)), busy: false })
            .collect();
        if said.is_empty() {
            return sessions;
        }
        Some(sessions.into_iter().flatten().chain(said).collect())
    }
}
