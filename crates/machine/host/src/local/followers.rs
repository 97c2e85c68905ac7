//! Programs that read the store again by themselves: what they hold of a version, and which sessions they have with it, right
//! before the store gives that version out. None of it shows afterwards that they took it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use keyroll_codes::Code;
use keyroll_needle::Needles;
use keyroll_observe::{MemoryLimits, ProcessId, memory_holds};
use keyroll_port::{Class, Failure, Sessions, Values};
use keyroll_rotation::{ConsumerId, Incarnation, Which};

use super::find::needle;
use super::given_out::{Before, GivenOut, escaped};
use super::identity::version_name;
use super::running::Running;
use super::session_calls::{connections, handles};
use super::{ConsumerSetup, Local, scratch_dir};

/// What a live follower's memory has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// The version, which it did not hold before.
    ItAlone,
    /// The version, and no trace of the other one any more.
    NoOther,
    /// Whatever it shows is no evidence: the store was not seen to begin to give the version out.
    Nothing,
}

/// Its processes read the store again by themselves.
fn is_live(consumer: &ConsumerSetup) -> bool {
    consumer.follows && consumer.slots.iter().all(|slot| !slot.run.needs_reload() && !slot.run.is_job())
}

impl Local {
    /// Whether the processes of this consumer read the store again by themselves.
    pub(super) fn is_live(&self, id: ConsumerId) -> bool {
        self.setup.consumer(id).is_some_and(is_live)
    }

    fn given_out_file(&self) -> String {
        format!("{}-given-out", self.setup.rotation)
    }

    /// Remembers, durably, what live followers have of a version that the store is about to give out.
    pub(super) fn note_given_out(
        &self,
        which: Which,
        values: Values<'_>,
        sessions: &Sessions,
    ) -> Result<(), Failure> {
        let live: Vec<ConsumerId> =
            self.setup.consumer_ids().filter(|(_, it)| is_live(it)).map(|(id, _)| id).collect();
        let Some(last) = live.last() else { return Ok(()) };
        let needles = self.needles(values)?;
        let sockets = connections(sessions, &self.setup.servers)?;
        let limits = self.setup.search.of_one();
        let mut change = GivenOut { which, before: BTreeMap::new() };
        for one in self.running_until(*last)?.iter().filter(|one| live.contains(&one.consumer)) {
            let held = may_hold(&one.process, which, &needles, limits);
            let sessions = escaped(handles(sessions, which, &sockets, &one.process));
            change.before.insert((one.consumer, self.life_of(one)), Before { held, sessions });
        }
        scratch_dir::keep_whole(&self.setup.work, &self.given_out_file(), &change.text()).map_err(failed)?;
        for id in live {
            self.forget_consumer(id);
            let slots = self.consumer_setup(id)?.slots.iter();
            (0u8..).zip(slots).for_each(|(slot, setup)| self.watch_log(id, slot, setup));
        }
        self.memo().given_out = Some(change);
        Ok(())
    }

    /// What the memory of an instance has to show, if it is a live follower.
    pub(super) fn has_to_show(
        &self,
        id: ConsumerId,
        who: Incarnation,
        which: Which,
    ) -> Result<Option<Shows>, Failure> {
        if !self.is_live(id) {
            return Ok(None);
        }
        self.read_given_out()?;
        let memo = self.memo();
        let Some(change) = memo.given_out.as_ref().filter(|change| change.which == which) else {
            return Ok(Some(Shows::Nothing));
        };
        // A process that began later may be a fork of one that held both.
        let held = change.before.get(&(id, who)).is_none_or(|before| before.held);
        Ok(Some(if held { Shows::NoOther } else { Shows::ItAlone }))
    }

    /// Makes a remark once for each process and version whose memory cannot show the version because it held it before.
    pub(super) fn remark_kept(&self, one: &Running, which: Which, shows: Shows) {
        let mut memo = self.memo();
        if shows != Shows::NoOther || !memo.remarked.insert((self.incarnation(&one.process), which)) {
            return;
        }
        let name = self.setup.consumer(one.consumer).map_or("?", |consumer| consumer.name.as_str());
        let (wanted, other) = (version_name(which), version_name(which.other()));
        let attempted =
            format!("see that process {} of '{name}' has read the {wanted} value again", one.process.pid);
        memo.remarks.push(
            Failure::new(Class::Retryable, Code::OtherSourceWins, attempted)
                .because(format!("its memory may still hold the {other} value, so that nobody sees which one it uses"))
                .help("wait for a new connection of it that the issuer shows, or restart it: then it has only one of them"),
        );
    }

    /// Reads what an earlier driver remembered.
    fn read_given_out(&self) -> Result<(), Failure> {
        if self.memo().given_out.is_some() {
            return Ok(());
        }
        let text = match fs::read_to_string(self.setup.work.join(self.given_out_file())) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let change = GivenOut::parse(&text, self.setup.host)
            .ok_or_else(|| failed("what was remembered of it is damaged"))?;
        self.memo().given_out = Some(change);
        Ok(())
    }
}

/// Whether the version may be in the memory of a process by now.
fn may_hold(process: &ProcessId, which: Which, needles: &Needles, limits: MemoryLimits) -> bool {
    let memory = memory_holds(process, needles, limits);
    memory.own(needle(which)) > 0 || !memory.whole()
}

/// Whether the memory of a live follower shows that it took the version. What the process was started with shows nothing:
/// it has read the store since.
pub(super) fn took(
    process: &ProcessId,
    which: Which,
    needles: &Needles,
    shows: Shows,
    limits: MemoryLimits,
) -> bool {
    let memory = memory_holds(process, needles, limits);
    let has = memory.own(needle(which)) > 0;
    match shows {
        Shows::ItAlone => has,
        Shows::NoOther => has && memory.own(needle(which.other())) == 0 && memory.whole(),
        Shows::Nothing => false,
    }
}

fn failed(why: impl ToString) -> Failure {
    let attempted = "remember what the programs that read the store hold before it gives out another version";
    Failure::new(Class::Retryable, Code::OtherDriver, attempted).because(why.to_string())
}
