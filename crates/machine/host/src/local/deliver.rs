//! Writing one version into one file, and the outcome of that.

use std::fs::File;

use keyroll_codes::Code;
use keyroll_copy::{Before, CopyError, Userlist};
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::{FileId, Holds, Reconciled, Seq, Which};
use keyroll_secret::{Fields, SecretBytes};
use rustix::fs::{FlockOperation, flock};

use super::copies::{copy_carries, copy_carries_all, edited, holds_version};
use super::copy_value::refused;
use super::pgbouncer_userlist::refuse_taken;
use super::under_way::OneEffect;
use super::{CopySetup, FileSetup, Local, scratch_dir};
use crate::replace::replace_shown;
use crate::{Content, Replacement, Resolved, TempName, Write, read, remove_temp, resolve, settle, trial};

/// The right to write one file. It is released explicitly: a child that another thread has forked, before its exec, has
/// this file open too and would keep the lock.
pub(super) struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // The system refuses this only for a file that is not open.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn version<'a>(values: &Values<'a>, which: Which) -> Result<&'a Fields, Failure> {
    values.of(which).ok_or_else(|| {
        Failure::new(Class::Permanent, Code::Stopped, "use the new version").because("it was not made yet")
    })
}

/// The first copy whose slot does not exist, or about whose value readers disagree.
pub(super) fn unclear(file: &FileSetup, bytes: &[u8]) -> Option<CopyError> {
    file.copies.iter().find_map(|copy| match copy {
        CopySetup::Value { format, slot, .. } => match format.read(bytes, slot) {
            Ok(Some(_)) => None,
            Ok(None) => Some(CopyError::Absent { slot: slot.to_string() }),
            Err(error) => Some(error),
        },
        CopySetup::Within(_) => None,
        CopySetup::Login { .. } => Userlist::knows(bytes, &SecretBytes::new(Vec::new())).err(),
    })
}

impl Local {
    pub(super) fn file_setup(&self, id: FileId) -> Result<&FileSetup, Failure> {
        self.setup.file(id).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::PlanStale, format!("find file {} of the plan", id.0))
                .because("this machine was not told of it")
        })
    }

    /// Resolves the path again each time; it must lead to the same file as when the plan was made.
    pub(super) fn resolved(&self, file: &FileSetup) -> Result<Resolved, Failure> {
        let resolved = resolve(&file.path)?;
        match &file.planned {
            Some(planned) if *planned != resolved.real => Err(Failure::new(
                Class::Permanent,
                Code::FileChanged,
                format!("write {}", file.path.display()),
            )
            .because(format!(
                "it leads to {} now, and led elsewhere when this was planned",
                resolved.real.display()
            ))
            .help("see who changed the link, then plan again")),
            Some(_) | None => Ok(resolved),
        }
    }

    pub(super) fn temp_name(&self, intent: Seq) -> Result<TempName, Failure> {
        TempName::new(&format!("{}-{intent}", self.setup.rotation)).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::PlanStale, "name a temporary file")
                .because("the rotation's id has odd characters")
        })
    }

    /// Locks a file: two rotations may write the same file, but only one at a time, and each reads it anew.
    pub(super) fn lock(&self, resolved: &Resolved) -> Result<FileLock, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Class::Retryable, Code::OtherDriver, format!("lock {}", resolved.real.display()))
                .because(error)
        };
        let name = format!("{:016x}.lock", super::find::place_digest(&resolved.real));
        scratch_dir::make(&self.setup.work).map_err(failed)?;
        let file = scratch_dir::create(&self.setup.work.join(name)).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed(error.into()))?;
        Ok(FileLock(file))
    }

    pub(super) fn deliver_file(
        &self,
        id: FileId,
        which: Which,
        values: Values<'_>,
        effect: &OneEffect<'_>,
    ) -> Result<(), Failure> {
        let (file, intent) = (self.file_setup(id)?, effect.intent);
        let (to, from) = (version(&values, which)?, version(&values, which.other())?);
        if let Some(line) = &file.generator {
            self.refuse_other_rows(id, file, values)?;
            self.keep_rows(id, &Self::row_versions(file, values))?;
            self.note_generations(id, which, !self.reads_back(id, None, to, None))?;
            self.generate(line, effect)?;
            self.stamp_generations(id)?;
            return self.came_of_it(id, file, which, values);
        }
        let resolved = self.resolved(file)?;
        let lock = self.lock(&resolved)?;
        let content = read(&resolved)?;
        let before = if Self::leaves(which, values).is_some() { Before::Goes } else { Before::Stays };
        let new = edited(&file.copies, content.bytes.expose(), from, to, before)
            .map_err(|error| refused(file, &error))?;
        if new != content.bytes {
            self.refuse_other_rows(id, file, values)?;
        }
        self.keep_rows(id, &Self::row_versions(file, values))?;
        let temp = self.temp_name(intent)?;
        if file.write == Write::InPlace {
            self.keep_contents(intent, [&content.bytes, &new])?;
        }
        self.note_generations(id, which, new != content.bytes)?;
        self.watch_logs(id);
        let replacement = Replacement {
            resolved: &resolved,
            expect: &content.digest,
            new: &new,
            temp: &temp,
            write: file.write,
        };
        effect.may_begin(Code::WriteFailed, || format!("write {}", file.path.display()))?;
        replace_shown(&replacement, &mut |held| self.watch_reads(id, which, held))?;
        self.stamp_generations(id)?;
        self.forget_readers(id);
        drop(lock);
        Ok(())
    }

    /// Reads back the file that a generator made; never repairs it.
    fn came_of_it(
        &self,
        id: FileId,
        file: &FileSetup,
        which: Which,
        values: Values<'_>,
    ) -> Result<(), Failure> {
        let content = read(&self.resolved(file)?)?;
        self.watch_logs(id);
        self.forget_readers(id);
        let there = holds_version(file, content.bytes.expose(), version(&values, which)?, None);
        if there {
            return Ok(());
        }
        let attempted = format!("let {} be made from its source", file.path.display());
        Err(Failure::new(Class::Retryable, Code::CopyDiffers, attempted)
            .because("the command ended well, and the file does not hold the value that it should")
            .help("name the copy that the command reads before this one in `reads`; run the command by hand and look"))
    }

    fn contents(&self, intent: Seq) -> String {
        format!("{}-{intent}-contents", self.setup.rotation)
    }

    /// Remembers the digests of the old and the new content before a write in place. During the write the file has
    /// neither content; from the digests any driver can tell.
    pub(super) fn keep_contents(&self, intent: Seq, both: [&SecretBytes; 2]) -> Result<(), Failure> {
        let text: String = both.map(|one| format!("{:?}\n", self.key.fingerprint(one).as_bytes())).concat();
        scratch_dir::keep_whole(&self.setup.work, &self.contents(intent), &text).map_err(|error| {
            Failure::new(Class::Retryable, Code::OtherDriver, "remember what is overwritten in place")
                .because(error)
        })
    }

    pub(super) fn forget_contents(&self, intent: Seq) {
        scratch_dir::forget(&self.setup.work.join(self.contents(intent)));
    }

    /// Whether a write in place stopped half-way, or another party wrote after it.
    pub(super) fn is_mixture(&self, intent: Seq, now: &SecretBytes) -> bool {
        let both = std::fs::read_to_string(self.setup.work.join(self.contents(intent))).unwrap_or_default();
        let print = format!("{:?}", self.key.fingerprint(now).as_bytes());
        !both.is_empty() && !both.lines().any(|line| line == print)
    }

    pub(super) fn delivered_file(
        &self,
        id: FileId,
        which: Which,
        values: Values<'_>,
        intent: Seq,
    ) -> Result<Reconciled, Failure> {
        let file = self.file_setup(id)?;
        let resolved = self.resolved(file)?;
        // A process that is about to end may still write it.
        let _lock = self.lock(&resolved)?;
        remove_temp(&resolved, &self.temp_name(intent)?)?;
        if file.generator.is_some() {
            self.end_left(intent)?;
        }
        let content = read(&resolved)?;
        if file.write == Write::InPlace && self.is_mixture(intent, &content.bytes) {
            return Ok(Reconciled::Foreign);
        }
        let bytes = content.bytes.expose();
        Ok(if holds_version(file, bytes, version(&values, which)?, Self::leaves(which, values)) {
            // The run that wrote it may have ended before its last fsync.
            settle(&resolved)?;
            Reconciled::Executed(None)
        } else if file.generator.is_some()
            || holds_version(file, bytes, version(&values, which.other())?, None)
        {
            Reconciled::Absent
        } else {
            Reconciled::Foreign
        })
    }

    /// What a file holds now, by value. Where both versions are the same in this file, it holds the one that stays.
    pub(super) fn holds(&self, file: &FileSetup, values: Values<'_>, stays: Which) -> Holds {
        let Ok(Content { bytes, .. }) = self.resolved(file).and_then(|resolved| read(&resolved)) else {
            return Holds::Unreadable;
        };
        let values = file.versions(values);
        let holds = |fields, without| holds_version(file, bytes.expose(), fields, without);
        let old = holds(values.old, Self::leaves(Which::Old, values));
        let new = values.new.is_some_and(|new| holds(new, Self::leaves(Which::New, values)));
        // The file has both logins although the old one was ended: the line of the old login is a leftover.
        let old = old || !new && values.new.is_some_and(|new| holds(new, None));
        match (old, new) {
            (true, false) => Holds::Old,
            (false, true) => Holds::New,
            // A version may change only fields that this file does not have: then both are true and nothing must be
            // done.
            (true, true) => Holds::of(stays),
            (false, false) => Holds::Other,
        }
    }

    /// Whether a file holds both versions.
    pub(super) fn has_both(&self, file: &FileSetup, values: Values<'_>) -> bool {
        let Ok(Content { bytes, .. }) = self.resolved(file).and_then(|resolved| read(&resolved)) else {
            return false;
        };
        let values = file.versions(values);
        let holds = |fields| holds_version(file, bytes.expose(), fields, None);
        holds(values.old) && values.new.is_some_and(holds)
    }

    pub(super) fn trial_all(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure> {
        let mut against = Vec::new();
        for (id, file) in self.setup.file_ids().filter(|(_, file)| file.own.is_none()) {
            if let Err(failure) = self.try_file(id, file, values) {
                against.push(failure);
            }
        }
        Ok(against)
    }

    fn try_file(&self, id: FileId, file: &FileSetup, values: Values<'_>) -> Result<(), Failure> {
        let resolved = self.resolved(file)?;
        let content = read(&resolved)?;
        if !holds_version(file, content.bytes.expose(), values.old, None) {
            return Err(Failure::new(
                Class::Permanent,
                Code::CopyDiffers,
                format!("find the current value in {}", file.path.display()),
            )
            .because(match unclear(file, content.bytes.expose()) {
                Some(error) => error.to_string(),
                None => "it holds something else".to_owned(),
            })
            .help("put the current value there, or correct `reads` in keyroll.toml before the next plan"));
        }
        self.refuse_other_rows(id, file, values)?;
        // The consumer may fetch by itself before it is told to; after that nothing shows which key the row had.
        self.keep_rows(id, &Self::row_versions(file, values))?;
        if file.generated {
            return Ok(());
        }
        if let Some(next) = values.new {
            refuse_taken(file, content.bytes.expose(), next).map_err(|error| refused(file, &error))?;
        }
        let temp = TempName::new(&format!("{}-trial-{}", self.setup.rotation, id.0));
        let temp = temp.map_or_else(|| self.temp_name(0), Ok)?;
        // A driver that was killed during its trial left it there.
        remove_temp(&resolved, &temp)?;
        trial(&resolved, file.write, &temp)?;
        let (alphabet, length) = &self.setup.value_format;
        for copy in &file.copies {
            copy_carries_all(copy, content.bytes.expose(), (alphabet, *length), values.old)
                .map_err(|error| refused(file, &error))?;
        }
        Ok(())
    }

    pub(super) fn carries_all(&self, fields: &Fields) -> Result<(), Failure> {
        for (_, file) in self.setup.file_ids().filter(|(_, file)| file.generator.is_none()) {
            let content = read(&self.resolved(file)?)?;
            for copy in &file.copies {
                copy_carries(copy, content.bytes.expose(), fields).map_err(|error| refused(file, &error))?;
            }
        }
        Ok(())
    }
}
