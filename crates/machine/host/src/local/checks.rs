//! The checks of an instance: what each of them proves, and whether it can fail.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_manager::{Check, CheckAnswer, CommandLine, check};
use keyroll_port::{Class, Failure, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Kinds, Which};
use keyroll_secret::SecretBytes;

use super::check_output::check_error;
use super::find::build_needles;
use super::running::Running;
use super::{CheckSetup, FileSetup, Local, SlotSetup, scratch_dir};
use crate::read;

/// How long one check may take, milliseconds.
const CHECK_MS_MAX: u64 = 30_000;

/// The argument that stands for the consumer's file.
pub(super) const COPY: &str = "{copy}";

/// One instance, and the version for which evidence is requested.
#[derive(Clone, Copy)]
pub(super) struct ProofRequest<'a> {
    pub(super) instance: &'a Running,
    pub(super) slot: &'a SlotSetup,
    pub(super) which: Which,
    pub(super) values: Values<'a>,
    /// The sessions before any request.
    pub(super) sessions: &'a Sessions,
    /// Checks that succeeded run again.
    pub(super) watched: bool,
}

/// What a check showed.
pub(super) struct Answered {
    pub(super) kinds: Kinds,
    /// It sent a request that succeeded. The question is whether the issuer sees a call with the version after it.
    pub(super) asked: bool,
}

impl Answered {
    fn without_request(kinds: Kinds) -> Self {
        Self { kinds, asked: false }
    }
}

/// What a file that stands for `{copy}` holds.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// The content of this file, which the consumer starts from.
    File(&'a FileSetup),
    /// The value and nothing else: the consumer reads the store.
    Value,
}

impl Local {
    /// Runs a path's check.
    pub(super) fn check_path(
        &self,
        of: ProofRequest<'_>,
        path: u8,
        setup: &CheckSetup,
    ) -> Result<Answered, Failure> {
        let ProofRequest { instance: one, slot, which, values, .. } = of;
        match setup {
            CheckSetup::Exec { .. } => {
                let shown = self.exec_check(one.consumer, path, setup, which, values)?;
                Ok(Answered::without_request(shown))
            }
            CheckSetup::Http(request) => {
                let answer = answer(request, slot.instance.as_deref(), &mut None)?;
                if matches!(request, Check::Turn(_)) {
                    self.set_check_error((one.consumer.0, path), check_error(&answer, None, values)?);
                }
                if answer != CheckAnswer::Passed {
                    return Ok(Answered::without_request(Kinds::NONE));
                }
                // A program that reads the store again may make the call on a connection from before.
                Ok(Answered { kinds: Kinds::REPORTED, asked: !self.is_live(one.consumer) })
            }
            CheckSetup::LiteLlm(of) => {
                let kinds = self.litellm_shows(one, path, of, which, values)?;
                Ok(Answered { kinds, asked: kinds != Kinds::NONE })
            }
        }
    }

    /// Whether a path's check can still show something.
    pub(super) fn would_run(
        &self,
        id: ConsumerId,
        path: u8,
        setup: &CheckSetup,
        known: Kinds,
        sessions: &Sessions,
    ) -> bool {
        match setup {
            CheckSetup::Exec { .. } if known.has(Kinds::CHECKED) => false,
            // It has succeeded already, and can prove no more.
            CheckSetup::Exec { .. } => !(known.has(Kinds::REPORTED) && self.cannot_fail(id, path)),
            CheckSetup::Http(_) if known.has(Kinds::EXERCISED.and(Kinds::REPORTED)) => false,
            // A turn costs a call. Where the issuer attributes no calls, another turn would prove nothing more.
            CheckSetup::Http(Check::Turn(_)) => !known.has(Kinds::REPORTED) || sessions.new.is_some(),
            CheckSetup::Http(_) => true,
            CheckSetup::LiteLlm(_) => !known.has(Kinds::CHECKED.and(Kinds::LOADED)),
        }
    }

    /// Whether a path's check was seen to succeed on a wrong copy, or has no copy.
    fn cannot_fail(&self, id: ConsumerId, path: u8) -> bool {
        self.memo().controls.get(&(id.0, path)) == Some(&false)
    }

    /// Runs a command in the consumer's own environment. It counts as a check only after it was seen to fail on a copy
    /// with a wrong value.
    pub(super) fn exec_check(
        &self,
        id: ConsumerId,
        path: u8,
        setup: &CheckSetup,
        which: Which,
        values: Values<'_>,
    ) -> Result<Kinds, Failure> {
        let CheckSetup::Exec { command, copy, turn } = setup else { return Ok(Kinds::NONE) };
        let Some(content) = self.stands_for_copy(id, command, *copy) else {
            self.memo().controls.insert((id.0, path), false);
            return Ok(if ask(&exec(command.clone()), None)? { Kinds::REPORTED } else { Kinds::NONE });
        };
        let place = self.copy_for((id.0, path), content, which, values)?;
        let mut said = None;
        let mut answer = answer(&exec(with_copy(command, place.path())), None, &mut said)?;
        drop(place);
        if let (CheckAnswer::Passed, Some(turn)) = (&answer, turn) {
            answer = self::answer(&Check::Turn(turn.clone()), None, &mut said)?;
        }
        self.set_check_error((id.0, path), check_error(&answer, said.as_ref(), values)?);
        if answer != CheckAnswer::Passed {
            return Ok(Kinds::NONE);
        }
        let shown = self.memo().controls.get(&(id.0, path)).copied();
        let can_fail = match shown {
            Some(shown) => shown,
            None => {
                let fails = self.control((id.0, path), command, content, values)?;
                // Without an answer in time nothing is known: the control runs again later.
                let Some(fails) = fails else { return Ok(Kinds::REPORTED) };
                self.memo().controls.insert((id.0, path), fails);
                fails
            }
        };
        Ok(if can_fail { Kinds::CHECKED.and(Kinds::REPORTED) } else { Kinds::REPORTED })
    }

    /// What stands for `{copy}`; `None` if the command has no such argument, or there is nothing.
    pub(super) fn stands_for_copy(
        &self,
        id: ConsumerId,
        command: &CommandLine,
        copy: Option<FileId>,
    ) -> Option<Content<'_>> {
        if !command.arguments.iter().any(|argument| argument.contains(COPY)) {
            return None;
        }
        if self.follows_store(id) {
            return Some(Content::Value);
        }
        copy.and_then(|copy| self.setup.file(copy)).map(Content::File)
    }

    /// The file that stands for `{copy}` in a check of this version. Drop it before the control, whose file has the same
    /// name.
    pub(super) fn copy_for<'a>(
        &self,
        of: (u16, u8),
        content: Content<'a>,
        which: Which,
        values: Values<'_>,
    ) -> Result<CheckedCopy<'a>, Failure> {
        let bytes = match content {
            Content::File(file) => match self.alone(file, which, values)? {
                Some(bytes) => bytes,
                None => return Ok(CheckedCopy::Consumers(&file.path)),
            },
            Content::Value => value_alone(values, which)?,
        };
        Ok(CheckedCopy::Own(OwnCopy::make(&self.setup.work, of, &bytes)?))
    }

    /// Whether the command fails on a copy with a wrong value; `None` without an answer in time. The wrong copy is a
    /// file in keyroll's work folder, one for each path, because several controls may run at once.
    pub(super) fn control(
        &self,
        of: (u16, u8),
        command: &CommandLine,
        content: Content<'_>,
        values: Values<'_>,
    ) -> Result<Option<bool>, Failure> {
        let bytes = match content {
            Content::File(file) => read(&self.resolved(file)?)?.bytes,
            Content::Value => value_alone(values, Which::Old)?,
        };
        let Some(wrong) = wrong_copy(bytes.expose(), values) else { return Ok(Some(false)) };
        let place = OwnCopy::make(&self.setup.work, of, &wrong)?;
        Ok(match answer(&exec(with_copy(command, &place.0)), None, &mut None)? {
            CheckAnswer::Passed => Some(false),
            CheckAnswer::Failed(_) => Some(true),
            CheckAnswer::Unknown(_) => None,
        })
    }
}

/// Whether a check may run again and again: a turn costs a call each time, and a virtual key at a proxy too.
pub(super) fn may_repeat(setup: &CheckSetup) -> bool {
    match setup {
        CheckSetup::Exec { turn, .. } => turn.is_none(),
        CheckSetup::Http(check) => !matches!(check, Check::Turn(_)),
        CheckSetup::LiteLlm(_) => false,
    }
}

/// The value of a version, as a consumer reads it from the store, which holds one secret field.
fn value_alone(values: Values<'_>, which: Which) -> Result<SecretBytes, Failure> {
    let value = values.of(which).and_then(|fields| fields.secrets().next());
    value.map(|(_, value)| value.duplicate()).ok_or_else(|| {
        Failure::new(Class::Permanent, Code::CheckUnusable, "write the value for a check")
            .because("this version has no value")
    })
}

pub(super) fn exec(command: CommandLine) -> Check {
    Check::Exec { command, user: None }
}

pub(super) fn with_copy(command: &CommandLine, copy: &Path) -> CommandLine {
    let copy = copy.display().to_string();
    let arguments = command.arguments.iter().map(|argument| argument.replace(COPY, &copy)).collect();
    CommandLine { arguments, ..command.clone() }
}

pub(super) fn ask(request: &Check, instance: Option<&str>) -> Result<bool, Failure> {
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

/// The file with every byte of the secret's values replaced by a random one of the same kind. The bytes are drawn anew
/// each time: a command sends them to others, and they must reveal nothing of the value. `None`: no value is in it.
pub fn wrong_copy(bytes: &[u8], values: Values<'_>) -> Option<SecretBytes> {
    let needles = build_needles(values).ok()?;
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

/// Another letter or digit of the same kind; other bytes stay.
fn another(byte: u8, drawn: u8) -> u8 {
    let (first, count) = match byte {
        b'0'..=b'9' => (b'0', 10),
        b'A'..=b'Z' => (b'A', 26),
        b'a'..=b'z' => (b'a', 26),
        other => return other,
    };
    first + (byte - first + 1 + drawn % (count - 1)) % count
}

/// The file that stands for `{copy}`.
pub(super) enum CheckedCopy<'a> {
    /// The consumer's own.
    Consumers(&'a Path),
    /// One of ours.
    Own(OwnCopy),
}

impl CheckedCopy<'_> {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Consumers(path) => path,
            Self::Own(copy) => &copy.0,
        }
    }
}

/// A file of ours for a check, removed when dropped.
pub(super) struct OwnCopy(PathBuf);

impl OwnCopy {
    fn make(folder: &Path, (consumer, path): (u16, u8), bytes: &SecretBytes) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Class::Retryable, Code::WriteFailed, "write a copy for a check").because(error)
        };
        scratch_dir::make(folder).map_err(failed)?;
        let path = folder.join(format!("{}{}-{consumer}-{path}", scratch_dir::COPY, std::process::id()));
        scratch_dir::forget(&path);
        let mut file = scratch_dir::create_new(&path).map_err(failed)?;
        let made = Self(path);
        file.write_all(bytes.expose()).map_err(failed)?;
        Ok(made)
    }
}

impl Drop for OwnCopy {
    fn drop(&mut self) {
        // A kill may leave it behind, readable by keyroll's user only: the next driver removes it.
        scratch_dir::forget(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use keyroll_secret::Fields;

    use super::*;

    #[test]
    fn a_wrong_value_has_no_letter_of_the_right_one_and_is_drawn_anew() {
        let value = format!("aZ9-{:016x}-{:016X}", std::process::id(), u64::MAX / 3);
        let mut fields = Fields::new();
        fields.insert("value", SecretBytes::from(value.clone()), true);
        let file = format!("KEY={value}\nOTHER=stays\n");
        let made = || {
            let wrong =
                wrong_copy(file.as_bytes(), Values { old: &fields, new: None, old_ended: false }).unwrap();
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
