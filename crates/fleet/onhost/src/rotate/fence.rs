//! Which driver may change a secret's consumers on this host: a durable record per secret, which only rises, and a lock
//! that a program holds for as long as it may change something.

#![expect(clippy::disallowed_methods, reason = "the fence is keyroll's own record")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_host::{Digest, keep_whole};
use keyroll_link::digits_of;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::state::{check, unwritable};

/// The modes of the folder and of the files in it.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The file that is locked while a record is read and replaced.
const LOCK: &str = "fence.lock";

/// How long a lock is waited for: a program that was overtaken finishes the order in hand first.
const LOCK_WAIT: Duration = Duration::from_secs(20);

/// How often a lock is tried.
const LOCK_EVERY: Duration = Duration::from_millis(100);

/// Who rotates a secret on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The secret's name.
    pub(super) secret: String,
    /// The driver's installation.
    pub(super) installation: String,
    /// It rises with each driver of the installation.
    pub(super) epoch: u64,
    /// What the driver drew: no other one has it. Empty in records of older versions.
    #[serde(default)]
    pub(super) driver: String,
    /// It rises with each connection of that driver to this host.
    pub(super) turn: u64,
    /// The rotation's id.
    pub(super) rotation: String,
}

impl Claim {
    /// Whether both are of the same connection.
    fn is_of(&self, other: &Self) -> bool {
        self.is_by_the_driver_of(other) && self.turn == other.turn
    }

    /// Whether both are of the same driver, in the same rotation.
    fn is_of_driver(&self, other: &Self) -> bool {
        self.is_by_the_driver_of(other) && self.rotation == other.rotation
    }

    fn is_by_the_driver_of(&self, other: &Self) -> bool {
        self.installation == other.installation && self.epoch == other.epoch && self.driver == other.driver
    }

    /// Whether the state folder that this claim is from knows the driver of the other one, which is of the same installation:
    /// `before` are those that it knows.
    fn knows(&self, other: &Self, before: &[(u64, String)]) -> bool {
        if other.driver.is_empty() {
            return other.epoch < self.epoch;
        }
        is_among(before, other.epoch, &other.driver)
    }
}

/// Whether a driver is one of those that a state folder knows.
pub(super) fn is_among(before: &[(u64, String)], epoch: u64, driver: &str) -> bool {
    before.iter().any(|(known, drawn)| *known == epoch && drawn == driver)
}

/// The right to change a secret's consumers on this host, until another driver takes over.
pub(super) struct Fence {
    /// The file of the record.
    record: PathBuf,
    claim: Claim,
    /// The record before was of another driver or rotation, or there was none.
    is_first: bool,
    /// Nobody else may change anything as long as it is held.
    _run: Locked,
}

impl Fence {
    /// Records the claim, and waits for the end of programs with an earlier one. `before`: the drivers that its state folder
    /// knows, by what each drew.
    ///
    /// # Errors
    /// Another installation or a newer driver has the secret, a program of an older connection has not ended, or the
    /// folder cannot be used.
    pub(super) fn raise(folder: &Path, claim: Claim, before: &[(u64, String)]) -> Result<Self, Failure> {
        let failed = |error: io::Error| unwritable(folder).because(error);
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
        check(folder)?;
        let name = record_name(&claim.secret);
        let (file, text) = (format!("{name}.json"), written(&claim)?);
        let record = folder.join(&file);
        let replacing = lock(&folder.join(LOCK)).map_err(failed)?.ok_or_else(|| {
            not_ended(&claim, "another keyroll-host replaces such a record, and does not end")
        })?;
        let known = read(&record)?;
        if let Some(known) = &known {
            refuse(known, &claim, before, &record)?;
        }
        let is_first = known.is_none_or(|known| !known.is_of_driver(&claim));
        keep_whole(folder, &file, &text).map_err(failed)?;
        drop(replacing);
        let run = lock(&folder.join(format!("{name}.run"))).map_err(failed)?.ok_or_else(|| {
            not_ended(&claim, "another keyroll-host of an older connection has not ended yet")
        })?;
        let fence = Self { record, claim, is_first, _run: run };
        // A newer driver may have come while this one waited.
        if fence.stands()? { Ok(fence) } else { Err(overtaken(&fence.claim.secret)) }
    }

    /// Whether this is the first connection of its driver for its rotation.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether the record is still that of this connection.
    ///
    /// # Errors
    /// The record cannot be read.
    pub(super) fn stands(&self) -> Result<bool, Failure> {
        Ok(read(&self.record)?.is_some_and(|known| known.is_of(&self.claim)))
    }
}

/// The name of a secret's records, without what is behind the dot.
pub(super) fn record_name(secret: &str) -> String {
    digits_of(Digest::of(&SecretBytes::from(secret.to_owned())).as_bytes())
}

/// A newer driver has taken over: nothing was changed.
pub(super) fn overtaken(secret: &str) -> Failure {
    other_driver(Class::Permanent, secret)
        .because("a newer driver has taken over")
        .help("keyroll status shows which process drives the rotation")
}

/// Somebody else may change this secret's consumers.
fn other_driver(class: Class, secret: &str) -> Failure {
    Failure::new(class, Code::HostFenced, format!("change what uses {secret} on this host"))
}

fn not_ended(claim: &Claim, why: &'static str) -> Failure {
    other_driver(Class::Retryable, &claim.secret)
        .because(why)
        .help("try again; on the host, `pgrep -a keyroll-host` shows whether it hangs")
}

/// Refuses a claim if the one that is recorded goes before it.
fn refuse(known: &Claim, claim: &Claim, before: &[(u64, String)], record: &Path) -> Result<(), Failure> {
    let refused = other_driver(Class::Permanent, &claim.secret);
    if known.installation != claim.installation {
        let Claim { installation, rotation, .. } = known;
        return Err(refused
            .because(format!(
                "another installation of keyroll rotates it here: {installation}, last by rotation {rotation}"
            ))
            .help(format!(
                "let only one installation rotate it; if that one has no open rotation of it and will begin none, root or the owner of {} may remove that file on the host, then try again",
                record.display()
            )));
    }
    let is_same = known.is_by_the_driver_of(claim);
    if claim.epoch < known.epoch || is_same && claim.turn < known.turn {
        return Err(overtaken(&claim.secret));
    }
    // The state folder of this driver does not know the driver that was here last: it is a copy, or an old one.
    if !is_same && !claim.knows(known, before) {
        return Err(refused
            .because(format!(
                "the state folder of this keyroll is older than what was done here, last by rotation {}: it is a copy, or was restored",
                known.rotation
            ))
            .help(format!(
                "go on with the newest state folder; if that one is lost and no keyroll uses a copy of it, root or the owner of {} may remove that file on the host, then try again",
                record.display()
            )));
    }
    Ok(())
}

fn written(claim: &Claim) -> Result<String, Failure> {
    serde_json::to_string(claim).map_err(|error| {
        Failure::new(Class::Permanent, Code::InternalError, "record who changes this host").because(error)
    })
}

/// The record, if there is one.
fn read(record: &Path) -> Result<Option<Claim>, Failure> {
    let failed = |class| Failure::new(class, Code::StateUnusable, format!("read {}", record.display()));
    let text = match fs::read_to_string(record) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(Class::Retryable).because(error)),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        failed(Class::Permanent)
            .because(error)
            .help("it is no record of this version of keyroll: if no rotation of the secret is open, remove it on the host")
    })
}

/// A file that this process has locked. It is released explicitly: a child that another thread has forked, before its
/// exec, has this file open too and would keep the lock.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // The system refuses this only for a file that is not open.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Locks a file that is made for this; `None` if somebody else has it for too long.
fn lock(path: &Path) -> io::Result<Option<Locked>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(FILE_MODE).custom_flags(flags);
    let file = options.open(path)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(Locked(file))),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < until => thread::sleep(LOCK_EVERY),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(installation: u8, epoch: u64, turn: u64) -> Claim {
        let installation = format!("{installation:032x}");
        let (secret, driver) = ("acme".to_owned(), drawn(epoch));
        Claim { secret, installation, epoch, driver, turn, rotation: "0f".to_owned() }
    }

    fn drawn(epoch: u64) -> String {
        format!("{epoch:032x}")
    }

    /// The drivers that a state folder knows up to this one.
    fn up_to(epoch: u64) -> Vec<(u64, String)> {
        (1..=epoch).map(|epoch| (epoch, drawn(epoch))).collect()
    }

    #[test]
    fn a_record_only_rises_and_stays_with_its_installation() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let raise = |claim: Claim| {
            let before = up_to(claim.epoch);
            Fence::raise(&folder, claim, &before).map(drop)
        };
        raise(claim(1, 3, 5)).unwrap();
        for lower in [claim(1, 3, 4), claim(1, 2, 9)] {
            let failure = raise(lower).unwrap_err();
            assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0964"));
        }
        raise(claim(1, 3, 5)).unwrap();
        raise(claim(1, 4, 1)).unwrap();
        let help = raise(claim(2, 9, 9)).unwrap_err().help.unwrap();
        assert!(help.contains(&folder.display().to_string()), "{help}");
        let other = Claim { secret: "other".to_owned(), ..claim(2, 1, 1) };
        raise(other).unwrap();
    }

    #[test]
    fn the_first_connection_of_a_driver_is_known_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let first = |claim: Claim| {
            let before = up_to(claim.epoch);
            Fence::raise(&folder, claim, &before).unwrap().is_first()
        };
        let next_rotation = || Claim { rotation: "1e".to_owned(), ..claim(1, 4, 3) };
        let all = [claim(1, 3, 5), claim(1, 3, 6), claim(1, 4, 1), claim(1, 4, 2), next_rotation()];
        assert_eq!(all.map(first), [true, false, true, false, true]);
        assert!(!first(next_rotation()));
    }

    #[test]
    fn a_state_folder_that_does_not_know_the_last_driver_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let raise = |claim, since| Fence::raise(&folder, claim, &up_to(since)).map(drop);
        let known = |epoch, turn, since| raise(claim(1, epoch, turn), since);
        known(7, 1, 6).unwrap();
        // The same driver is connected again.
        known(7, 2, 6).unwrap();
        // Drivers of a copy from before: one with the same number, and one after many that were refused.
        let of_copy = |epoch| Claim { driver: "c0".repeat(16), ..claim(1, epoch, 3) };
        for epoch in [7, 9] {
            let failure = raise(of_copy(epoch), 6).unwrap_err();
            assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0964"));
            assert!(failure.help.unwrap().contains("newest state folder"));
        }
        let refused = (7..90).map(|epoch| (epoch, "c0".repeat(16)));
        let climbed: Vec<_> = up_to(6).into_iter().chain(refused).collect();
        assert!(Fence::raise(&folder, of_copy(90), &climbed).is_err());
        known(9, 1, 7).unwrap();
        // A record of an older version has no such number.
        let record = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let record = record.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
        fs::write(record, written(&Claim { driver: String::new(), ..claim(1, 9, 1) }).unwrap()).unwrap();
        assert!(known(9, 2, 8).is_err());
        known(10, 1, 8).unwrap();
    }

    #[test]
    fn a_fence_stands_until_the_record_is_another_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let fence = Fence::raise(&folder, claim(1, 3, 5), &up_to(2)).unwrap();
        assert!(fence.stands().unwrap());
        for other in [claim(1, 3, 6), claim(1, 4, 0), claim(2, 3, 5)] {
            fs::write(&fence.record, written(&other).unwrap()).unwrap();
            assert!(!fence.stands().unwrap(), "{other:?}");
        }
        fs::write(&fence.record, written(&Claim { rotation: String::new(), ..claim(1, 3, 5) }).unwrap())
            .unwrap();
        assert!(fence.stands().unwrap());
        fs::write(&fence.record, "{").unwrap();
        assert_eq!(fence.stands().unwrap_err().class, Class::Permanent);
        fs::remove_file(&fence.record).unwrap();
        assert!(!fence.stands().unwrap());
    }

    #[test]
    fn a_folder_that_others_can_access_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let failure = Fence::raise(folder.path(), claim(1, 1, 1), &[]).map(drop).unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0803"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was written there");
    }
}
