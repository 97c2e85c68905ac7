//! Which generations of a program that restarts inside of its process began before its file was written. Until such a
//! program has restarted, it has the other value, whatever it reports and whatever a check says.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;

use keyroll_codes::Code;
use keyroll_manager::Generation;
use keyroll_observe::{After, ProcessId, WrittenAt, started_after};
use keyroll_port::{Class, Failure};
use keyroll_rotation::{ConsumerId, FileId, Which};

use super::identity::version_name;
use super::running::Running;
use super::{ConsumerSetup, Local, SlotSetup, scratch_dir};
use crate::{Digest, read};

/// What ran when a file of one consumer was last changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The version that was written; `None` = the consumer's own command wrote, or keyroll does not know who did.
    which: Option<Which>,
    /// When the write had returned. A process that is not listed and began later has read what was written. `None` = it
    /// has not returned yet, or keyroll was ended before it did.
    at: Option<WrittenAt>,
    /// These certainly have the other version.
    former: Vec<Generation>,
    /// These may have either.
    unsure: Vec<Generation>,
    /// These certainly have this version: they began before the other one was written, and are still the same.
    kept: Vec<Generation>,
}

impl Change {
    /// Before the write.
    fn begins(which: Option<Which>, running: Vec<Generation>, last: Option<&Self>) -> Self {
        let mut change = Self { which, at: None, former: Vec::new(), unsure: Vec::new(), kept: Vec::new() };
        let same = |one: &Generation, all: &[Generation]| all.iter().any(|other| one.is(other));
        for one in running {
            let (former, kept) = match (last, which) {
                // Nothing had the new version before it was written for the first time.
                (None, Some(Which::New)) => (!one.sockets.is_empty(), false),
                (Some(last), Some(_)) if last.which == which => {
                    (same(&one, &last.former), same(&one, &last.kept))
                }
                (Some(last), Some(_)) if last.which.is_some() => {
                    (same(&one, &last.kept), same(&one, &last.former))
                }
                _ => (false, false),
            };
            let list = match (former, kept) {
                (_, true) => &mut change.kept,
                (true, false) => &mut change.former,
                (false, false) => &mut change.unsure,
            };
            list.push(one);
        }
        change
    }

    fn listed(&self) -> impl Iterator<Item = &Generation> {
        self.former.iter().chain(&self.unsure).chain(&self.kept)
    }

    /// The write has returned. What runs now and was not seen before it may have read the file before it.
    fn is_written(&mut self, now: WrittenAt, running: Vec<Generation>) {
        self.at = Some(now);
        for one in running {
            if !self.listed().any(|other| one.is(other) || *other == one) {
                self.unsure.push(one);
            }
        }
    }

    /// Takes in the sockets of a generation of which nothing more was known than that it was there at the write. Returns
    /// whether there is something new to remember.
    fn learn(&mut self, now: &Generation) -> bool {
        if now.sockets.is_empty() {
            return false;
        }
        let unclear = |one: &&mut Generation| one.process == now.process && one.sockets.is_empty();
        if let Some(one) = self.unsure.iter_mut().find(unclear) {
            one.sockets.clone_from(&now.sockets);
            return true;
        }
        let known = self.listed().any(|one| one.process == now.process);
        let later = self.at.is_some_and(|at| started_after(&now.process, at) == After::Yes);
        if known || later {
            return false;
        }
        self.unsure.push(now.clone());
        true
    }

    /// Whether this generation may have another version than the one that was written.
    fn is_old(&self, now: &Generation) -> bool {
        let mut old = self.former.iter().chain(&self.unsure);
        now.sockets.is_empty() || old.any(|one| now.may_be(one))
    }

    /// One line of the version and the time, and one for each generation.
    fn text(&self) -> String {
        let which = self.which.map_or("either", version_name);
        let at = self.at.map_or_else(String::new, |at| format!(" {} {}", at.boot, at.ticks));
        let mut text = format!("{which}{at}\n");
        for (word, all) in [("former", &self.former), ("unsure", &self.unsure), ("kept", &self.kept)] {
            for Generation { process: ProcessId { boot, pid, start_ticks }, sockets } in all {
                let numbers: String = sockets.iter().map(|number| format!(" {number}")).collect();
                // Writing to a string does not fail.
                let _ = writeln!(text, "{word} {boot} {pid} {start_ticks}{numbers}");
            }
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut head = lines.next()?.split(' ');
        let which = match head.next()? {
            "new" => Some(Which::New),
            "old" => Some(Which::Old),
            "either" => None,
            _ => return None,
        };
        let at = match head.next() {
            None => None,
            Some(boot) => Some(WrittenAt { boot: boot.parse().ok()?, ticks: head.next()?.parse().ok()? }),
        };
        let mut change = Self { which, at, former: Vec::new(), unsure: Vec::new(), kept: Vec::new() };
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            let numbers = rest.split(' ').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
            let [boot, pid, start_ticks, sockets @ ..] = numbers.as_slice() else { return None };
            let process =
                ProcessId { boot: *boot, pid: u32::try_from(*pid).ok()?, start_ticks: *start_ticks };
            let one = Generation { process, sockets: sockets.to_vec() };
            match word {
                "former" => change.former.push(one),
                "unsure" => change.unsure.push(one),
                "kept" => change.kept.push(one),
                _ => return None,
            }
        }
        Some(change)
    }
}

fn failed(why: impl ToString) -> Failure {
    let attempted = "remember what runs when a file is written";
    Failure::new(Class::Retryable, Code::OtherDriver, attempted).because(why.to_string())
}

impl Local {
    fn change_name(&self, id: ConsumerId) -> String {
        format!("{}-generations-{}", self.setup.rotation, id.0)
    }

    /// The last change of a file that makes this consumer restart inside of its process; `None` = there was none. One that
    /// cannot be read says nothing: what runs may have either version.
    fn last_change(&self, id: ConsumerId) -> Result<Option<Change>, Failure> {
        match fs::read_to_string(self.setup.work.join(self.change_name(id))) {
            Ok(text) => {
                Ok(Some(Change::parse(&text).unwrap_or_else(|| Change::begins(None, Vec::new(), None))))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn keep_change(&self, id: ConsumerId, change: &Change) -> Result<(), Failure> {
        scratch_dir::keep_whole(&self.setup.work, &self.change_name(id), &change.text()).map_err(failed)
    }

    /// What runs of a consumer that a change of this file restarts inside of its process; `None` = it does not.
    fn restarting(&self, consumer: &ConsumerSetup, file: FileId) -> Result<Option<Vec<Generation>>, Failure> {
        let Some(setup) = self.setup.file(file).filter(|_| consumer.files.contains(&file)) else {
            return Ok(None);
        };
        let mut running = None;
        for slot in &consumer.slots {
            if let Some(all) = slot.run.generations(&setup.path)? {
                running.get_or_insert_with(Vec::new).extend(all);
            }
        }
        Ok(running)
    }

    /// The same for all its files.
    pub(super) fn restarting_by_any(
        &self,
        consumer: &ConsumerSetup,
    ) -> Result<Option<Vec<Generation>>, Failure> {
        let mut running = None;
        for file in &consumer.files {
            if let Some(all) = self.restarting(consumer, *file)? {
                running.get_or_insert_with(Vec::new).extend(all);
            }
        }
        Ok(running)
    }

    /// Remembers, durably and before a file is written, what runs of each reader that restarts inside of its process.
    /// `changes`: the file does not hold the version yet. A file that holds it was written by an earlier attempt, whose
    /// record counts.
    pub(super) fn note_generations(&self, file: FileId, which: Which, changes: bool) -> Result<(), Failure> {
        for (id, consumer) in self.setup.consumer_ids() {
            let Some(running) = self.restarting(consumer, file)? else { continue };
            let last = self.last_change(id)?;
            if !changes && last.as_ref().is_some_and(|last| last.which == Some(which)) {
                continue;
            }
            self.keep_change(id, &Change::begins(Some(which), running, last.as_ref()))?;
        }
        Ok(())
    }

    /// The write has returned. Until this is remembered, the first look at what runs takes its place: a failure leaves the
    /// effect unknown.
    pub(super) fn stamp_generations(&self, file: FileId) -> Result<(), Failure> {
        self.stamp(file).map_err(|failure| Failure { class: Class::Unknown, ..failure })
    }

    fn stamp(&self, file: FileId) -> Result<(), Failure> {
        for (id, consumer) in self.setup.consumer_ids() {
            let Some(mut change) = self.last_change(id)?.filter(|change| change.at.is_none()) else {
                continue;
            };
            let Some(running) = self.restarting(consumer, file)? else { continue };
            change.is_written(WrittenAt::now().map_err(failed)?, running);
            self.keep_change(id, &change)?;
        }
        Ok(())
    }

    /// The consumer's own command is run, which may write its files.
    pub(super) fn fetching(
        &self,
        id: ConsumerId,
        run: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let consumer = self.consumer_setup(id)?;
        let Some(running) = self.restarting_by_any(consumer)? else { return run() };
        let held = || -> Vec<_> { consumer.files.iter().map(|file| self.digest_of(*file)).collect() };
        let (before, last) = (held(), self.last_change(id)?);
        self.keep_change(id, &Change::begins(None, running, None))?;
        run()?;
        match last {
            // The command wrote nothing: what is known stays known.
            Some(last) if held() == before => self.keep_change(id, &last),
            _ => consumer.files.iter().try_for_each(|file| self.stamp(*file)),
        }
    }

    fn digest_of(&self, file: FileId) -> Option<Digest> {
        let resolved = self.resolved(self.setup.file(file)?).ok()?;
        read(&resolved).ok().map(|content| content.digest)
    }

    /// Whether this generation of the consumer may have another version than the one that was written last. `None` =
    /// nothing was written.
    pub(super) fn may_be_old(
        &self,
        id: ConsumerId,
        which: Option<Which>,
        now: &Generation,
    ) -> Result<Option<bool>, Failure> {
        let Some(mut change) = self.last_change(id)? else { return Ok(None) };
        if which.is_some() && change.which.is_some() && change.which != which {
            return Ok(Some(false));
        }
        let before = change.clone();
        if change.at.is_none() {
            change.is_written(WrittenAt::now().map_err(failed)?, vec![now.clone()]);
        }
        change.learn(now);
        if change != before {
            self.keep_change(id, &change)?;
        }
        Ok(Some(change.is_old(now)))
    }

    /// Whether what runs in this process may have begun before its file was changed to this version. Such a program gives
    /// no evidence, and its log until then says nothing of the version.
    pub(super) fn is_old_generation(
        &self,
        one: &Running,
        slot: &SlotSetup,
        which: Which,
    ) -> Result<bool, Failure> {
        let consumer = self.consumer_setup(one.consumer)?;
        for file in &consumer.files {
            let Some(all) = self.restarting(consumer, *file)? else { continue };
            let mine = all.into_iter().find(|it| it.process == one.process);
            let old = match &mine {
                None => true,
                Some(now) => match self.may_be_old(one.consumer, Some(which), now)? {
                    Some(old) => old,
                    // It had the old version before keyroll wrote anything.
                    None if which == Which::Old => false,
                    // Somebody else wrote the new one, nobody knows when.
                    None => {
                        self.keep_change(one.consumer, &Change::begins(None, vec![now.clone()], None))?;
                        true
                    }
                },
            };
            if old {
                self.watch_log(one.consumer, one.slot, slot);
                self.remark_old_generation(one, which);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a remark once for each process and version.
    fn remark_old_generation(&self, one: &Running, which: Which) {
        let mut memo = self.memo();
        if !memo.awaited.insert((self.incarnation(&one.process), which)) {
            return;
        }
        let name = self.setup.consumer(one.consumer).map_or("?", |consumer| consumer.name.as_str());
        let wanted = version_name(which);
        let attempted = format!(
            "see that process {} of '{name}' has begun anew with the {wanted} value",
            one.process.pid
        );
        memo.remarks.push(
            Failure::new(Class::Retryable, Code::OpenClawNotUpdated, attempted)
                .because("it restarts itself in its process, and what runs there may have begun before the file was written: what it reports until then is no evidence")
                .help("its log says what it waits for; if it does not restart itself, restart it"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: WrittenAt = WrittenAt { boot: 1, ticks: 100 };

    fn of(pid: u32, start_ticks: u64, sockets: &[u64]) -> Generation {
        Generation { process: ProcessId { boot: 1, pid, start_ticks }, sockets: sockets.to_vec() }
    }

    fn claw(sockets: &[u64]) -> Generation {
        of(7, 50, sockets)
    }

    /// Before the write these run, and after it the same ones.
    fn written(which: Which, running: &[Generation], last: Option<&Change>) -> Change {
        let mut change = Change::begins(Some(which), running.to_vec(), last);
        change.is_written(AT, running.to_vec());
        change
    }

    /// What a look says of it, and what is remembered of that.
    fn old(change: &mut Change, now: &Generation) -> bool {
        change.learn(now);
        change.is_old(now)
    }

    #[test]
    fn what_ran_before_the_write_is_old_until_it_opens_another_socket() {
        let mut change = written(Which::New, &[claw(&[10, 11])], None);
        assert!(old(&mut change, &claw(&[10, 11])) && old(&mut change, &claw(&[11])));
        assert!(old(&mut change, &claw(&[])), "it accepts no connections yet");
        assert!(!old(&mut change, &claw(&[12])));
        assert!(!old(&mut change, &of(8, 101, &[20])), "another process that began later");
    }

    /// Of what accepts no connections, nobody can tell whether it has read the file: only the next one certainly has.
    #[test]
    fn what_was_seen_without_its_sockets_is_old_with_the_first_ones_that_it_opens() {
        let mut between = written(Which::New, &[claw(&[])], None);
        assert!(old(&mut between, &claw(&[])) && old(&mut between, &claw(&[30])));
        assert!(!old(&mut between, &claw(&[31])));
        // It closed its port between the record and the end of the write.
        let mut closing = Change::begins(Some(Which::New), vec![claw(&[10])], None);
        closing.is_written(AT, vec![claw(&[])]);
        assert!(old(&mut closing, &claw(&[11])) && !old(&mut closing, &claw(&[12])));
        // A process that was not seen, and had begun already.
        let mut unseen = written(Which::New, &[], None);
        assert!(old(&mut unseen, &of(8, 99, &[20])) && !old(&mut unseen, &of(8, 99, &[21])));
        assert!(old(&mut unseen, &of(9, 100, &[40])), "it began in the same tick");
    }

    /// keyroll was killed after the write and before it had remembered that: what it finds then may have begun before.
    #[test]
    fn a_write_of_which_the_end_was_not_remembered_counts_from_the_next_look() {
        let mut change = Change::begins(Some(Which::New), vec![claw(&[10])], None);
        change.is_written(AT, vec![claw(&[11])]);
        assert!(old(&mut change, &claw(&[11])) && !old(&mut change, &claw(&[12])));
    }

    #[test]
    fn what_never_took_the_other_version_counts_at_once_when_the_file_is_put_back() {
        let there = written(Which::New, &[claw(&[10])], None);
        let mut stayed = written(Which::Old, &[claw(&[10])], Some(&there));
        assert!(!old(&mut stayed, &claw(&[10])) && !old(&mut stayed, &claw(&[12])));
        let mut moved = written(Which::Old, &[claw(&[11])], Some(&there));
        assert!(old(&mut moved, &claw(&[11])) && !old(&mut moved, &claw(&[12])));
        let mut forward = written(Which::New, &[claw(&[10])], Some(&stayed));
        assert!(old(&mut forward, &claw(&[10])), "it has had the old version all the time");
    }

    /// Another party put the old version back, and keyroll wrote the new one a second time: what had begun with that by
    /// then is not what never had it.
    #[test]
    fn what_began_between_two_writes_of_a_version_may_have_either() {
        let first = written(Which::New, &[claw(&[10])], None);
        let mut second = written(Which::New, &[claw(&[11])], Some(&first));
        assert!(old(&mut second, &claw(&[11])));
        let mut back = written(Which::Old, &[claw(&[11])], Some(&second));
        assert!(old(&mut back, &claw(&[11])) && !old(&mut back, &claw(&[12])));
        // What has stayed the same since before the first write has the old version.
        let again = written(Which::New, &[claw(&[10])], Some(&first));
        let mut back = written(Which::Old, &[claw(&[10])], Some(&again));
        assert!(!old(&mut back, &claw(&[10])));
        // After a write of nobody knows which version, nothing that ran is certain.
        let unknown = Change::begins(None, vec![claw(&[10])], None);
        let mut back = written(Which::Old, &[claw(&[10])], Some(&unknown));
        assert!(old(&mut back, &claw(&[10])));
    }

    #[test]
    fn a_change_is_read_as_it_was_written() {
        let there = written(Which::New, &[claw(&[10, 11]), of(9, 60, &[])], None);
        let back = Change::begins(Some(Which::Old), vec![claw(&[10]), of(9, 60, &[3])], Some(&there));
        let unknown = Change::begins(None, vec![claw(&[1])], None);
        for change in [there, back, unknown] {
            assert_eq!(Change::parse(&change.text()), Some(change));
        }
        for wrong in
            ["", "new 1", "new 1 x\n", "other 1 2\n", "new 1 2\nformer 1 7\n", "new 1 2\nelse 1 7 5 9\n"]
        {
            assert_eq!(Change::parse(wrong), None, "{wrong}");
        }
    }
}
