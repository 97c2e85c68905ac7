use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use keyroll_codes::Code;
use keyroll_host::{
    Content, Digest, Replacement, Resolved, TempName, Write, read, remove_temp, replace, resolve, settle,
    trial,
};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::cell::Written;

/// What everybody but the owner may do with a file, by its mode.
const OTHERS: u32 = 0o077;

/// The name of a trial's file of zeros: always the same, so that the next trial removes what a crash left.
const TRIAL: &str = "truth-trial";

/// The file, and where its links lead.
pub(super) struct Target {
    path: PathBuf,
    /// Its path without links, as it was found first. A link that is changed later is refused.
    real: OnceLock<PathBuf>,
}

impl Target {
    pub(super) fn new(path: PathBuf) -> Self {
        let real = fs::canonicalize(&path).map_or_else(|_| OnceLock::new(), OnceLock::from);
        Self { path, real }
    }

    /// The path without links, where it is another one.
    pub(super) fn behind_link(&self) -> Option<&Path> {
        self.real.get().map(PathBuf::as_path).filter(|real| *real != self.path)
    }

    /// What is there now. Refused: anything but a regular file, one that others may read or change, a changed link.
    pub(super) fn look(&self) -> Result<(Resolved, Content), Failure> {
        let resolved = resolve(&self.path).map_err(of_source)?;
        let real = self.real.get_or_init(|| resolved.real.clone());
        if *real != resolved.real {
            let failure = self.fail(Class::Permanent, Code::TruthUnsuitable, "use");
            let why = format!("it leads to {} now, and led to {}", resolved.real.display(), real.display());
            return Err(failure.because(why).help("see who changed the link, then plan again"));
        }
        let content = read(&resolved).map_err(of_source)?;
        self.private(&content)?;
        Ok((resolved, content))
    }

    /// With an access list, the group's bits of the mode are its mask: no entry but the owner's gives more than these.
    /// Source: <https://man7.org/linux/man-pages/man5/acl.5.html>.
    fn private(&self, content: &Content) -> Result<(), Failure> {
        let user = geteuid().as_raw();
        let failure = || self.fail(Class::Permanent, Code::TruthAccess, "use");
        if ![0, user].contains(&content.uid) {
            let why = format!("it belongs to the user {}, neither to root nor to keyroll's", content.uid);
            let help = format!("chown {user} {}", self.path.display());
            return Err(failure().because(why).help(help));
        }
        if content.mode & OTHERS != 0 {
            let why = format!("other users may read or change it: its mode is {:04o}", content.mode & 0o777);
            return Err(failure().because(why).help(format!("chmod 600 {}", self.path.display())));
        }
        Ok(())
    }

    /// Does beside the file all that a replacement would do, and leaves nothing.
    pub(super) fn try_write(&self) -> Result<(), Failure> {
        let (resolved, _) = self.look()?;
        let Some(temp) = TempName::new(TRIAL) else { return Ok(()) };
        let _lock = self.lock(&resolved)?;
        remove_temp(&resolved, &temp).map_err(not_written)?;
        trial(&resolved, Write::Rename, &temp).map_err(not_written)
    }

    /// Removes the file beside it that a killed attempt left: it may hold a value.
    pub(super) fn clear(&self, temp: &TempName) -> Result<(), Failure> {
        // What is not there has nothing beside it that could be found.
        let Ok(resolved) = resolve(&self.path) else { return Ok(()) };
        let _lock = self.lock(&resolved)?;
        remove_temp(&resolved, temp).map(drop).map_err(not_written)?;
        // An attempt that ended between its rename and its last fsync is not durable yet.
        settle(&resolved).map_err(not_written)
    }

    /// Replaces the whole content, if it is still this version with this digest.
    pub(super) fn write(
        &self,
        over: (&str, &Digest),
        new: &SecretBytes,
        temp: &TempName,
    ) -> Result<Written, Failure> {
        let (resolved, content) = self.look()?;
        let _lock = self.lock(&resolved)?;
        // An earlier attempt that was killed left it there.
        remove_temp(&resolved, temp).map_err(not_written)?;
        if !is_version(&content, over) {
            return Ok(Written::Overtaken);
        }
        let (expect, write) = (over.1, Write::Rename);
        let replaced = replace(&Replacement { resolved: &resolved, expect, new, temp, write });
        let Err(failure) = replaced else { return Ok(Written::Accepted) };
        let overtaken = || self.look().is_ok_and(|(_, now)| !is_version(&now, over));
        if failure.class != Class::Unknown && overtaken() {
            return Ok(Written::Overtaken);
        }
        Err(not_written(failure))
    }

    /// Keeps every other keyroll from replacing the file: rotations of two places in it would undo each other. The lock is
    /// that of the file, which nobody but its owner can open. A file that was replaced meanwhile is not the one that was
    /// locked: the comparison of its content, which follows, sees that.
    fn lock(&self, resolved: &Resolved) -> Result<Option<FileLock>, Failure> {
        // What cannot be opened fails at the replacement, which says why.
        let Ok(file) = fs::File::open(&resolved.real) else { return Ok(None) };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(FileLock(file))),
            Err(Errno::WOULDBLOCK) => {
                let failure = self.fail(Class::Retryable, Code::TruthUnreachable, "write");
                let why = "another process has locked it, such as another rotation";
                let help = format!(
                    "run the same command again; `fuser -v {}` names the process",
                    resolved.real.display()
                );
                Err(failure.because(why).help(help))
            }
            // A file system without locks: the comparison just before the rename is what is left.
            Err(_) => Ok(None),
        }
    }

    fn fail(&self, class: Class, code: Code, what: &str) -> Failure {
        Failure::new(class, code, format!("{what} {}", self.path.display()))
    }
}

/// A locked file; the system releases the lock of a killed process.
struct FileLock(fs::File);

/// The lock is of the open file, which a process that is being started may still share for a moment.
impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// The id of what a file holds: it changes when the file is replaced or written, and says nothing about the value.
pub(super) fn version_id(content: &Content) -> String {
    let changed = content.modified;
    format!("{}-{}.{:09}", content.inode.number, changed.seconds, changed.nanoseconds)
}

/// Whether the content is this version with this digest.
fn is_version(content: &Content, (id, digest): (&str, &Digest)) -> bool {
    content.digest == *digest && version_id(content) == id
}

/// A failure of reading with the code of the page about sources of truth.
fn of_source(failure: Failure) -> Failure {
    let denied = cause(&failure).is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let code = match (failure.class, denied) {
        (Class::Permanent, true) => Code::TruthAccess,
        (Class::Permanent, false) => Code::TruthUnsuitable,
        (Class::Retryable | Class::Unknown, _) => Code::TruthUnreachable,
    };
    Failure { code, ..failure }
}

/// The same for a failure of writing. The help of the room below is about files that consumers read.
fn not_written(failure: Failure) -> Failure {
    let own = cause(&failure).is_none() && failure.class == Class::Permanent;
    let failure = of_source(failure);
    if !own {
        return failure;
    }
    failure.help(
        "keep the secret in a regular file with one name, which is no mount point and not immutable, in a folder where \
         keyroll may make files",
    )
}

fn cause(failure: &Failure) -> Option<&io::Error> {
    failure.source.as_ref().and_then(|source| source.downcast_ref::<io::Error>())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test looks from outside")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Writes a file as another program does.
    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn a_content_that_was_replaced_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, temp) = (folder.path().join("key"), TempName::new("r1-truth").unwrap());
        let new = SecretBytes::from("new".to_owned());
        put(&path, "old");
        let target = Target::new(path.clone());
        let (_, old) = target.look().unwrap();
        let over = version_id(&old);
        put(&path, "another one");
        let wrong = target.write((over.as_str(), &old.digest), &new, &temp).unwrap();
        assert_eq!(wrong, Written::Overtaken);
        assert_eq!(fs::read(&path).unwrap(), b"another one");
        let (_, now) = target.look().unwrap();
        let over = version_id(&now);
        // The same version with another content was written within one tick of the clock.
        let wrong = target.write((over.as_str(), &old.digest), &new, &temp).unwrap();
        assert_eq!(wrong, Written::Overtaken);
        assert_eq!(target.write((over.as_str(), &now.digest), &new, &temp).unwrap(), Written::Accepted);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
