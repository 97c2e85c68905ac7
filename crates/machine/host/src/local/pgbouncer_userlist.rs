//! Lists of logins of a pooler: both versions have a line as long as consumers log in with both.

use keyroll_codes::Code;
use keyroll_copy::{CopyError, Login, Userlist};
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::{Seq, Which};
use keyroll_secret::{Fields, SecretBytes};

use super::copy_value::{refused, rendered};
use super::under_way::OneEffect;
use super::{CopySetup, FileSetup, Local};
use crate::replace::replace_shown;
use crate::{Replacement, Write, read, remove_temp};

/// A login of a list: its name and its password.
pub(super) struct Pair(SecretBytes, SecretBytes);

impl Pair {
    pub(super) fn of(copy: &CopySetup, user: &str, fields: &Fields) -> Result<Self, CopyError> {
        let user = fields.get(user).ok_or_else(|| CopyError::NoField { name: user.to_owned() })?;
        Ok(Self(user.value.duplicate(), rendered(copy, fields)?))
    }

    pub(super) fn login(&self) -> Login<'_> {
        Login { user: &self.0, password: &self.1 }
    }
}

/// The names of the user fields of a file's lists, each with its copy.
fn users(file: &FileSetup) -> impl Iterator<Item = (&CopySetup, &str)> {
    file.copies.iter().filter_map(|copy| match copy {
        CopySetup::Login { user, .. } => Some((copy, user.as_str())),
        CopySetup::Value { .. } | CopySetup::Within(_) => None,
    })
}

/// Refuses a line that already has the name of the next login: another party made it, and it is neither overwritten nor
/// removed.
pub(super) fn refuse_taken(file: &FileSetup, bytes: &[u8], next: &Fields) -> Result<(), CopyError> {
    for (_, user) in users(file) {
        let Some(name) = next.get(user).map(|field| &field.value) else { continue };
        if Userlist::knows(bytes, name)? {
            let slot = format!("the line of {}", String::from_utf8_lossy(name.expose()));
            return Err(CopyError::Taken { slot });
        }
    }
    Ok(())
}

/// The bytes without the logins of a version; `None` if the file has none of them. A login that `stays` has too is
/// kept.
fn without(
    file: &FileSetup,
    bytes: &[u8],
    gone: &Fields,
    stays: &Fields,
) -> Result<Option<SecretBytes>, CopyError> {
    let mut left: Option<SecretBytes> = None;
    for (copy, user) in users(file) {
        let (gone, stays) = (Pair::of(copy, user, gone)?, Pair::of(copy, user, stays)?);
        if gone.0 == stays.0 {
            continue;
        }
        let now = left.as_ref().map_or(bytes, SecretBytes::expose);
        left = Userlist::without(now, gone.login())?.or(left);
    }
    Ok(left)
}

impl Local {
    /// The version whose login a delivery of `which` removes. On the way forward the old login stays until it was
    /// ended, because consumers may still log in with it. In a rollback the new login stays, and is removed only when
    /// its version is deleted ([`Self::remove_superseded_all`]).
    pub(super) fn leaves<'a>(which: Which, values: Values<'a>) -> Option<&'a Fields> {
        match which {
            Which::Old => None,
            Which::New => values.old_ended.then_some(values.old),
        }
    }

    /// The file for a check of the old version, without the new login: in a rollback the new login may be the one that
    /// is wrong. `None` if the file itself will do.
    pub(super) fn alone(
        &self,
        file: &FileSetup,
        which: Which,
        values: Values<'_>,
    ) -> Result<Option<SecretBytes>, Failure> {
        let Some(new) = values.new.filter(|_| which == Which::Old && users(file).next().is_some()) else {
            return Ok(None);
        };
        let content = read(&self.resolved(file)?)?;
        without(file, content.bytes.expose(), new, values.old).map_err(|error| refused(file, &error))
    }

    /// The reading part of a trial: refuses a list that already has a line with the name of the next login.
    ///
    /// # Errors
    /// K0144, permanent.
    pub(super) fn refuse_taken(&self, next: &Fields) -> Result<(), Failure> {
        for file in self.setup.files.iter().filter(|file| !file.generated && users(file).next().is_some()) {
            let content = read(&self.resolved(file)?)?;
            refuse_taken(file, content.bytes.expose(), next).map_err(|error| refused(file, &error))?;
        }
        Ok(())
    }

    /// Takes the logins of a version that was ended out of every list. What somebody else wrote under its name stays.
    pub(super) fn remove_superseded_all(
        &self,
        values: Values<'_>,
        effect: &OneEffect<'_>,
    ) -> Result<(), Failure> {
        let Some(gone) = values.new else { return Ok(()) };
        for (id, file) in self.setup.file_ids().filter(|(_, file)| !file.generated) {
            if users(file).next().is_some() {
                self.strike_in(id.0, file, gone, values.old, effect)?;
            }
        }
        Ok(())
    }

    fn strike_in(
        &self,
        number: u16,
        file: &FileSetup,
        gone: &Fields,
        stays: &Fields,
        effect: &OneEffect<'_>,
    ) -> Result<(), Failure> {
        // No intent has such a number.
        let mark = Seq::MAX - u64::from(number);
        let (resolved, temp) = (self.resolved(file)?, self.temp_name(mark)?);
        let lock = self.lock(&resolved)?;
        // A driver that was killed half-way left it there.
        remove_temp(&resolved, &temp)?;
        let content = read(&resolved)?;
        if file.write == Write::InPlace && self.is_mixture(mark, &content.bytes) {
            return Err(refused(file, &CopyError::Drifted { slot: "the list".to_owned() }).because(
                "writing it in place was interrupted, or another program wrote after it: look at its lines"
                    .to_owned(),
            ));
        }
        let left =
            without(file, content.bytes.expose(), gone, stays).map_err(|error| refused(file, &error))?;
        let Some(left) = left else { return Ok(()) };
        effect.may_begin(Code::WriteFailed, || format!("write {}", file.path.display()))?;
        if file.write == Write::InPlace {
            self.keep_contents(mark, [&content.bytes, &left])?;
        }
        let replacement = Replacement {
            resolved: &resolved,
            expect: &content.digest,
            new: &left,
            temp: &temp,
            write: file.write,
        };
        let replaced = replace_shown(&replacement, &mut |_| {});
        if replaced.is_ok() {
            self.forget_contents(mark);
        }
        drop(lock);
        // A repetition reads the file first and does nothing twice: an unknown outcome can be retried.
        replaced.map(drop).map_err(|failure| Failure {
            class: if failure.class == Class::Permanent { Class::Permanent } else { Class::Retryable },
            ..failure
        })
    }
}
