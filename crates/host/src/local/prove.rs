//! Evidence from the instances of one consumer. No kind is inferred from another.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_manager::{Check, CheckAnswer, CommandLine, check};
use keyroll_observe::{MemoryLimits, ProcessId, Sockets, environment_holds, memory_holds, variables_holding};
use keyroll_port::{Failure, SessionSource, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Kinds, PATHS_MAX, Proof, Sight, Which};
use keyroll_secret::{Fields, SecretBytes};
use tokio::task::block_in_place;

use super::deliver::holds_version;
use super::enumerate::{Running, listing, sockets};
use super::find::{NEW, OLD, at_rest, needles};
use super::inside::{Inside, read_inside};
use super::not_loaded::Loaded;
use super::said::complaint;
use super::{CheckSetup, FileSetup, Local, SlotSetup, incarnation, work};
use crate::read;

/// How long one check may take, milliseconds.
const CHECK_MS_MAX: u64 = 30_000;

/// Where an argument stands for the consumer's file.
pub(super) const COPY: &str = "{copy}";

impl Local {
    pub(super) async fn prove_slot(
        &self,
        id: ConsumerId,
        slot: Option<u8>,
        which: Which,
        values: Values<'_>,
        source: &dyn SessionSource,
    ) -> Result<(Vec<Proof>, bool), Failure> {
        let consumer = block_in_place(|| self.consumer_setup(id))?;
        let all = block_in_place(|| self.running())?;
        let mine: Vec<Running> = all
            .into_iter()
            .filter(|one| one.consumer == id && slot.is_none_or(|slot| slot == one.slot))
            .collect();
        let job = consumer.slots.iter().all(|one| one.run.is_job());
        if mine.is_empty() || job {
            // A service that was told to restart and did not come back is no job at rest: it has shown nothing.
            let told = consumer.slots.iter().any(|one| one.run.is_told());
            let one_of_several = consumer.slots.len() > 1 && slot.is_some();
            let proofs = if told || one_of_several {
                Vec::new()
            } else {
                let mut proofs = vec![block_in_place(|| self.prove_at_rest(id, which, values))?];
                for one in &mine {
                    let proof = self.prove_process(one, which, values, source).await?;
                    // A job that runs since before is not waited for here: it is a holder until it ends.
                    if proof.paths.iter().any(|kinds| kinds.has(Kinds::LOADED)) {
                        proofs.push(proof);
                    }
                }
                proofs
            };
            return Ok((proofs, false));
        }
        let mut proofs = Vec::new();
        for one in &mine {
            proofs.push(self.prove_process(one, which, values, source).await?);
        }
        let slots: std::collections::BTreeSet<u8> = mine.iter().map(|one| one.slot).collect();
        let refused = which == Which::New && slots.into_iter().any(|slot| self.log_lines(id, slot).1 > 0);
        let trouble = refused || (which == Which::New && block_in_place(|| self.too_many_errors())?);
        Ok((proofs, trouble))
    }

    fn prove_at_rest(&self, id: ConsumerId, which: Which, values: Values<'_>) -> Result<Proof, Failure> {
        let (_, setup) = self.slot_setup(id, 0)?;
        let who = at_rest(id);
        let delivered = self.delivered_to(id, None, which, values);
        let mut paths = [Kinds::NONE; PATHS_MAX];
        for (at, kinds) in paths.iter_mut().enumerate() {
            let Some(Some(setup)) = setup.checks.get(at) else { continue };
            let path = u8::try_from(at).unwrap_or(u8::MAX);
            *kinds = match setup {
                CheckSetup::Exec { .. } if delivered => self.exec_check(id, path, setup, which, values)?,
                CheckSetup::Exec { .. } | CheckSetup::Http(_) | CheckSetup::LiteLlm(_) => Kinds::NONE,
            };
            if delivered {
                *kinds = kinds.and(Kinds::DELIVERED);
            }
        }
        Ok(Proof { who, slot: 0, version: which, paths, other_session: Sight::No })
    }

    async fn prove_process(
        &self,
        one: &Running,
        which: Which,
        values: Values<'_>,
        source: &dyn SessionSource,
    ) -> Result<Proof, Failure> {
        let who = incarnation(&one.process);
        let (_, setup) = block_in_place(|| self.slot_setup(one.consumer, one.slot))?;
        let before = source.now().await?;
        let sockets = block_in_place(|| connections(&before, &self.setup.servers))?;
        self.note_sessions(&one.process, &before, &sockets);
        let mut base = Kinds::NONE;
        if block_in_place(|| self.delivered_to(one.consumer, Some(&one.process), which, values)) {
            base = base.and(Kinds::DELIVERED);
        }
        if self.read_all(one.consumer, &one.process, which) {
            base = base.and(Kinds::READ);
        }
        // Once seen in this incarnation it was loaded: its memory is not searched again.
        let before_now = self.memo().shown.get(&(who, 0, which)).copied().unwrap_or_default();
        let loaded = || block_in_place(|| loaded(&one.process, which, values, setup.run.starts_anew()));
        match if before_now.has(Kinds::LOADED) { Loaded::Yes } else { loaded()? } {
            Loaded::Yes => base = base.and(Kinds::LOADED),
            Loaded::No => {}
            Loaded::Other(variables) => self.remark_other(one, which, &variables),
        }
        let mut paths = [Kinds::NONE; PATHS_MAX];
        // One that does not say that it is ready has shown nothing, whatever it holds.
        let ready = block_in_place(|| is_ready(setup))?;
        for (at, kinds) in paths.iter_mut().enumerate().take(setup.checks.len()).filter(|_| ready) {
            let path = u8::try_from(at).unwrap_or(u8::MAX);
            let known = self.memo().shown.get(&(who, path, which)).copied().unwrap_or_default();
            let mut now = known.and(base);
            // Its own word: a line of its log that shows an accepted credential since the change.
            if at == 0 && self.log_lines(one.consumer, one.slot).0 > 0 {
                now = now.and(Kinds::REPORTED);
            }
            if at == 0 && self.called(who, which) {
                now = now.and(Kinds::EXERCISED);
                self.gap_shown(one.consumer, setup);
            }
            let check = setup.checks.get(at).and_then(Option::as_ref);
            if let Some(check) = check
                && base.has(Kinds::DELIVERED)
            {
                now = now.and(self.check_path(one, path, check, setup, now, which, values, source).await?);
            }
            self.memo().shown.insert((who, path, which), now);
            *kinds = now;
        }
        let other_session = match which {
            Which::New => &before.old,
            Which::Old => &before.new,
        };
        let other_session = match other_session {
            None => Sight::NotVisible,
            Some(_) if open_sessions(&before, which.other(), &sockets, &one.process) => Sight::Yes,
            Some(_) => Sight::No,
        };
        Ok(Proof { who, slot: one.slot, version: which, paths, other_session })
    }

    /// Runs a path's check unless it has already shown all that it can.
    #[expect(clippy::too_many_arguments, reason = "one attempt has this many sides")]
    async fn check_path(
        &self,
        one: &Running,
        path: u8,
        setup: &CheckSetup,
        slot: &SlotSetup,
        known: Kinds,
        which: Which,
        values: Values<'_>,
        source: &dyn SessionSource,
    ) -> Result<Kinds, Failure> {
        match setup {
            CheckSetup::Exec { .. } if known.has(Kinds::CHECKED) => Ok(Kinds::NONE),
            // It succeeded already, and no more can be shown by it.
            CheckSetup::Exec { .. } if known.has(Kinds::REPORTED) && self.cannot_fail(one.consumer, path) => {
                Ok(Kinds::NONE)
            }
            CheckSetup::Exec { .. } => {
                block_in_place(|| self.exec_check(one.consumer, path, setup, which, values))
            }
            CheckSetup::Http(_) if known.has(Kinds::EXERCISED.and(Kinds::REPORTED)) => Ok(Kinds::NONE),
            CheckSetup::Http(request) => {
                // A turn is a call that costs: where the issuer shows nobody's calls, one more would show nothing more.
                if known.has(Kinds::REPORTED)
                    && matches!(request, Check::Turn(_))
                    && source.now().await?.new.is_none()
                {
                    return Ok(Kinds::NONE);
                }
                let before = self.calls_now(which, &one.process, source).await?;
                let answer = block_in_place(|| answer(request, slot.instance.as_deref(), &mut None))?;
                if matches!(request, Check::Turn(_)) {
                    self.complains((one.consumer.0, path), complaint(&answer, None, values)?);
                }
                if answer != CheckAnswer::Passed {
                    return Ok(Kinds::NONE);
                }
                // The request was addressed to this process; the issuer saw a call from it on this version since.
                let after = self.calls_now(which, &one.process, source).await?;
                let seen = if after > before { Kinds::EXERCISED } else { Kinds::NONE };
                Ok(Kinds::REPORTED.and(seen))
            }
            CheckSetup::LiteLlm(_) if known.has(Kinds::CHECKED.and(Kinds::LOADED)) => Ok(Kinds::NONE),
            CheckSetup::LiteLlm(of) => {
                let before = self.calls_now(which, &one.process, source).await?;
                let shown = block_in_place(|| self.litellm_shows(one, path, of, which, values))?;
                let after = self.calls_now(which, &one.process, source).await?;
                let seen = if after > before { Kinds::EXERCISED } else { Kinds::NONE };
                Ok(if shown == Kinds::NONE { shown } else { shown.and(seen) })
            }
        }
    }

    async fn calls_now(
        &self,
        which: Which,
        process: &ProcessId,
        source: &dyn SessionSource,
    ) -> Result<u64, Failure> {
        let sessions = source.now().await?;
        let sockets = block_in_place(|| connections(&sessions, &self.setup.servers))?;
        Ok(calls(&sessions, which, &sockets, process))
    }

    /// Remembers the sessions of a process, so that those of before a change are told from those after it.
    pub(super) fn note_sessions(&self, process: &ProcessId, sessions: &Sessions, sockets: &Sockets) {
        let who = incarnation(process);
        let mut memo = self.memo();
        for which in [Which::Old, Which::New] {
            let mine = sessions_of(sessions, which).iter().filter(|it| belongs(it, sockets, process));
            let mine = mine.map(|session| (session.handle.clone(), session.calls)).collect();
            memo.sessions.insert((who, which), mine);
        }
    }

    /// Whether the issuer accepted a call of this process on a version since its value was last changed: a session
    /// that was open before shows it only by a count that rose.
    fn called(&self, who: Incarnation, which: Which) -> bool {
        let memo = self.memo();
        let before = memo.before.get(&(who, which));
        let fresh = |(handle, calls): (&String, &Option<u64>)| match before.and_then(|all| all.get(handle)) {
            None => calls.is_none_or(|calls| calls > 0),
            Some(then) => calls.unwrap_or_default() > then.unwrap_or_default(),
        };
        memo.sessions.get(&(who, which)).is_some_and(|now| now.iter().any(fresh))
    }

    /// Whether a path's check was seen to succeed on a wrong copy, or has none to fail on.
    fn cannot_fail(&self, id: ConsumerId, path: u8) -> bool {
        self.memo().controls.get(&(id.0, path)) == Some(&false)
    }

    /// A command in the consumer's own environment. It counts as a check only once it was seen to fail on a copy
    /// with a wrong value.
    fn exec_check(
        &self,
        id: ConsumerId,
        path: u8,
        setup: &CheckSetup,
        which: Which,
        values: Values<'_>,
    ) -> Result<Kinds, Failure> {
        let CheckSetup::Exec { command, copy, turn } = setup else { return Ok(Kinds::NONE) };
        let uses_copy = command.arguments.iter().any(|argument| argument.contains(COPY));
        let file = copy.and_then(|copy| self.setup.file(copy)).filter(|_| uses_copy);
        let Some(file) = file else {
            self.memo().controls.insert((id.0, path), false);
            return Ok(if ask(&exec(command.clone()), None)? { Kinds::REPORTED } else { Kinds::NONE });
        };
        let alone = self.alone(file, which, values)?;
        let alone = alone.map(|bytes| OwnCopy::make(&self.setup.work, (id.0, path), &bytes)).transpose()?;
        let place = alone.as_ref().map_or(file.path.as_path(), |copy| &copy.0);
        let mut said = None;
        let mut answer = answer(&exec(with_copy(command, place)), None, &mut said)?;
        drop(alone);
        if let (CheckAnswer::Passed, Some(turn)) = (&answer, turn) {
            answer = self::answer(&Check::Turn(turn.clone()), None, &mut said)?;
        }
        self.complains((id.0, path), complaint(&answer, said.as_ref(), values)?);
        if answer != CheckAnswer::Passed {
            return Ok(Kinds::NONE);
        }
        let shown = self.memo().controls.get(&(id.0, path)).copied();
        let can_fail = match shown {
            Some(shown) => shown,
            None => {
                let fails = self.control((id.0, path), command, file, values)?;
                // No answer in time is no answer: the control is run again.
                let Some(fails) = fails else { return Ok(Kinds::REPORTED) };
                self.memo().controls.insert((id.0, path), fails);
                fails
            }
        };
        Ok(if can_fail { Kinds::CHECKED.and(Kinds::REPORTED) } else { Kinds::REPORTED })
    }

    /// Whether the command fails on a copy that holds a wrong value; `None` without an answer in time. The wrong copy
    /// is made beside keyroll's own work, one for each path, since several may be asked at once.
    pub(super) fn control(
        &self,
        of: (u16, u8),
        command: &CommandLine,
        file: &FileSetup,
        values: Values<'_>,
    ) -> Result<Option<bool>, Failure> {
        let content = read(&self.resolved(file)?)?;
        let Some(wrong) = wrong_copy(content.bytes.expose(), values) else { return Ok(Some(false)) };
        let place = OwnCopy::make(&self.setup.work, of, &wrong)?;
        Ok(match answer(&exec(with_copy(command, &place.0)), None, &mut None)? {
            CheckAnswer::Passed => Some(false),
            CheckAnswer::Failed(_) => Some(true),
            CheckAnswer::Unknown(_) => None,
        })
    }

    /// Read back in the consumer's own mount namespace.
    fn delivered_to(
        &self,
        id: ConsumerId,
        process: Option<&ProcessId>,
        which: Which,
        values: Values<'_>,
    ) -> bool {
        let Some(consumer) = self.setup.consumer(id) else { return false };
        let fields = match which {
            Which::Old => Some(values.old),
            Which::New => values.new,
        };
        let Some(fields) = fields else { return false };
        let without = self.leaves(which, values);
        consumer.files.iter().all(|file| self.reads_back(*file, process, fields, without))
    }

    fn reads_back(
        &self,
        file: FileId,
        process: Option<&ProcessId>,
        fields: &Fields,
        without: Option<&Fields>,
    ) -> bool {
        let Some(setup) = self.setup.file(file) else { return false };
        let bytes = match process.map_or(Inside::Outside, |process| read_inside(process, &setup.path)) {
            Inside::Holds(bytes) => Some(bytes),
            Inside::Other => None,
            // Its root cannot be looked at, or nothing runs: this machine's own view is what there is.
            Inside::Outside => {
                self.resolved(setup).and_then(|resolved| read(&resolved)).ok().map(|content| content.bytes)
            }
        };
        bytes.is_some_and(|bytes| holds_version(setup, bytes.expose(), fields, without))
    }
}

/// Its environment or its memory holds the version. Memory never proves that the other one is gone; and one that was
/// `restarted` with the other version in its environment may go by that, whatever it has read besides.
fn loaded(process: &ProcessId, which: Which, values: Values<'_>, restarted: bool) -> Result<Loaded, Failure> {
    let needles = needles(values)?;
    let (id, other) = match which {
        Which::Old => (OLD, NEW),
        Which::New => (NEW, OLD),
    };
    let started_with = environment_holds(process, &needles).unwrap_or_default();
    if restarted && started_with.contains(&other) {
        return Ok(Loaded::Other(variables_holding(process, &needles, other).unwrap_or_default()));
    }
    if started_with.contains(&id) {
        return Ok(Loaded::Yes);
    }
    let memory = memory_holds(process, &needles, MemoryLimits::default());
    Ok(match (memory.count(id), memory.count(other)) {
        (1.., _) => Loaded::Yes,
        (0, 1..) if restarted => Loaded::Other(Vec::new()),
        (0, _) => Loaded::No,
    })
}

/// The connections of this machine, where sessions are to be joined to processes by them: without them "no session"
/// would only mean that nobody looked. Where no session has a socket there is nothing to join.
fn connections(sessions: &Sessions, servers: &[u16]) -> Result<Sockets, Failure> {
    let mut all = sessions.old.iter().chain(&sessions.new).flatten();
    if !all.any(|session| session.client.is_some()) {
        return Ok(Sockets::default());
    }
    sockets(&listing()?, servers).ok_or_else(|| {
        Failure::new(keyroll_port::Class::Retryable, "K0358", "join the issuer's sessions to processes")
            .because("the connections of this machine could not be read")
    })
}

fn sessions_of(sessions: &Sessions, which: Which) -> &[keyroll_port::Session] {
    let of = match which {
        Which::Old => &sessions.old,
        Which::New => &sessions.new,
    };
    of.as_deref().unwrap_or_default()
}

fn belongs(session: &keyroll_port::Session, sockets: &Sockets, process: &ProcessId) -> bool {
    match session.client {
        // A socket that several processes inherited proves nothing about one of them.
        Some(client) => sockets.process_of(client) == Some(*process),
        None => session.pid == Some(process.pid),
    }
}

/// Requests that the issuer accepted from this process on this version. A session without a count is one.
fn calls(sessions: &Sessions, which: Which, sockets: &Sockets, process: &ProcessId) -> u64 {
    let mine = sessions_of(sessions, which).iter().filter(|session| belongs(session, sockets, process));
    mine.fold(0, |sum, session| sum.saturating_add(session.calls.unwrap_or(1)))
}

fn open_sessions(sessions: &Sessions, which: Which, sockets: &Sockets, process: &ProcessId) -> bool {
    sessions_of(sessions, which).iter().any(|session| belongs(session, sockets, process))
}

/// Whether an instance says that it is ready, where it is asked.
fn is_ready(slot: &SlotSetup) -> Result<bool, Failure> {
    slot.ready.as_ref().map_or(Ok(true), |ready| ask(ready, slot.instance.as_deref()))
}

pub(super) fn exec(command: CommandLine) -> Check {
    Check::Exec { command, user: None }
}

pub(super) fn with_copy(command: &CommandLine, copy: &Path) -> CommandLine {
    let copy = copy.display().to_string();
    let arguments = command.arguments.iter().map(|argument| argument.replace(COPY, &copy)).collect();
    CommandLine { arguments, ..command.clone() }
}

fn ask(request: &Check, instance: Option<&str>) -> Result<bool, Failure> {
    Ok(answer(request, instance, &mut None)? == CheckAnswer::Passed)
}

pub(super) fn answer(
    request: &Check,
    instance: Option<&str>,
    said: &mut Option<SecretBytes>,
) -> Result<CheckAnswer, Failure> {
    let deadline = Instant::now() + Duration::from_millis(CHECK_MS_MAX);
    check(request, instance, deadline, said)
}

/// The file with every secret byte run replaced by others of the same kind and length, drawn anew each time: a command
/// shows them to whoever it asks, and nothing of the value may be read from them.
fn wrong_copy(bytes: &[u8], values: Values<'_>) -> Option<SecretBytes> {
    let needles = needles(values).ok()?;
    let mut drawn = vec![0; bytes.len()];
    aws_lc_rs::rand::fill(&mut drawn).ok()?;
    let mut wrong = bytes.to_vec();
    let mut found = false;
    needles.find(bytes, &mut |hit| {
        found = true;
        let drawn = drawn.get(hit.start..hit.end).unwrap_or_default();
        let there = bytes.get(hit.start..hit.end).unwrap_or_default();
        let into = wrong.get_mut(hit.start..hit.end).unwrap_or_default();
        for ((into, there), drawn) in into.iter_mut().zip(there).zip(drawn) {
            *into = another(*there, *drawn);
        }
    });
    found.then(|| SecretBytes::new(wrong))
}

/// Another letter or digit of the same kind; what is neither stays.
fn another(byte: u8, drawn: u8) -> u8 {
    let (first, count) = match byte {
        b'0'..=b'9' => (b'0', 10),
        b'A'..=b'Z' => (b'A', 26),
        b'a'..=b'z' => (b'a', 26),
        other => return other,
    };
    first + (byte - first + 1 + drawn % (count - 1)) % count
}

/// A file of ours for a check, gone when it is dropped.
struct OwnCopy(PathBuf);

impl OwnCopy {
    fn make(folder: &Path, (consumer, path): (u16, u8), bytes: &SecretBytes) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(keyroll_port::Class::Retryable, "K0359", "write a copy for a check").because(error)
        };
        work::make(folder).map_err(failed)?;
        let path = folder.join(format!("control-{}-{consumer}-{path}", std::process::id()));
        drop(fs::remove_file(&path));
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let made = Self(path);
        file.write_all(bytes.expose()).map_err(failed)?;
        Ok(made)
    }
}

impl Drop for OwnCopy {
    fn drop(&mut self) {
        // Left behind by a kill it would hold no value of this secret, but the file's other lines: the next driver
        // removes it.
        drop(fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_has_no_letter_of_the_right_one_and_is_drawn_anew() {
        let value = format!("aZ9-{:016x}-{:016X}", std::process::id(), u64::MAX / 3);
        let mut fields = Fields::new();
        fields.insert("value", SecretBytes::from(value.clone()), true);
        let file = format!("KEY={value}\nOTHER=stays\n");
        let made = || {
            let wrong = wrong_copy(file.as_bytes(), Values { old: &fields, new: None }).unwrap();
            String::from_utf8(wrong.expose().to_vec()).unwrap()
        };
        let (one, two) = (made(), made());
        assert_ne!(one, two, "whoever saw one could tell the value from it");
        for wrong in [one, two] {
            let there = wrong.strip_prefix("KEY=").unwrap().strip_suffix("\nOTHER=stays\n").unwrap();
            let same = there.bytes().zip(value.bytes()).filter(|(now, then)| now == then);
            assert!(same.map(|(now, _)| now).all(|byte| byte == b'-'), "{there}");
            let kind =
                |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase(), byte.is_ascii_lowercase());
            assert!(there.bytes().map(kind).eq(value.bytes().map(kind)), "{there}");
        }
    }
}
