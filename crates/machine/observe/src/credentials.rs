//! The credentials that systemd gave a service: files that do not change after its start, like its environment.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat};
use zeroize::Zeroizing;

use crate::inside::open_from;
use crate::proc::{ProcFolder, read_bounded};
use crate::{NotVisible, ProcessId, started_unix_ms};

/// The variable with the folder of the credentials. systemd makes that folder as `/run/credentials/UNIT`, for a user's
/// service as `/run/user/UID/credentials/UNIT`. Source: systemd.exec(5). A process could name any other folder there:
/// such a name is ignored.
const VARIABLE: &[u8] = b"CREDENTIALS_DIRECTORY=";

/// The most credentials of one service, and the most bytes of one; systemd takes 1 MB of all together.
const COUNT_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// How long after the start of a process its credentials may be written, milliseconds: systemd writes them after the
/// process exists and before it executes the program.
const WRITTEN_MS_MAX: u64 = 5_000;

/// Its name, and what it holds.
pub(crate) type Credential = (String, Zeroizing<Vec<u8>>);

/// The credentials of a process with this environment; none if it names no folder of systemd's.
pub(crate) fn credentials(
    process: &ProcessId,
    folder: &ProcFolder,
    environment: &[u8],
) -> Result<Vec<Credential>, NotVisible> {
    let named = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(VARIABLE));
    let Some(below) = named.and_then(|path| std::str::from_utf8(path).ok()).and_then(of_systemd) else {
        return Ok(Vec::new());
    };
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = folder.open_in("root", directory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let place = match open_from(root, below, flags, resolve) {
        Ok(place) => place,
        // systemd removed it with the service.
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(NotVisible::of(error)),
    };
    let started = started_unix_ms(process)?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&place).map_err(NotVisible::of)? {
        let entry = entry.map_err(NotVisible::of)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        if found.len() == COUNT_MAX {
            return Err(NotVisible::TooLarge);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = openat(&place, name, flags, Mode::empty()).map(File::from).map_err(NotVisible::of)?;
        let meta = file.metadata().map_err(|error| NotVisible::of_io(&error))?;
        if meta.is_file() {
            // A process that survived a restart sees the credentials of the next start.
            if later(&meta, started) {
                return Err(NotVisible::Newer);
            }
            found.push((
                name.to_owned(),
                read_bounded(&mut file, usize::try_from(meta.len()).unwrap_or(0), BYTES_MAX)?,
            ));
        }
    }
    Ok(found)
}

fn later(meta: &Metadata, started: u64) -> bool {
    let changed = u64::try_from(meta.ctime()).unwrap_or(0).saturating_mul(1_000);
    changed > started.saturating_add(WRITTEN_MS_MAX)
}

/// The path below the root, where it is one of systemd's.
fn of_systemd(path: &str) -> Option<&Path> {
    let below = Path::new(path).strip_prefix("/").ok()?;
    let words: Option<Vec<&str>> = below
        .components()
        .map(|part| if let Component::Normal(word) = part { word.to_str() } else { None })
        .collect();
    let good = match words?.as_slice() {
        ["run", "credentials", _] => true,
        ["run", "user", uid, "credentials", _] => uid.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    good.then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_long_after_the_start_was_given_to_another() {
        let meta = tempfile::tempfile().unwrap().metadata().unwrap();
        let now = u64::try_from(meta.ctime()).unwrap() * 1_000;
        assert!(!later(&meta, now) && !later(&meta, now - WRITTEN_MS_MAX));
        assert!(later(&meta, now - WRITTEN_MS_MAX - 1_000));
    }

    #[test]
    fn only_folders_of_systemd_are_followed() {
        for good in ["/run/credentials/app.service", "/run/user/1000/credentials/bot.service"] {
            assert!(of_systemd(good).is_some(), "{good}");
        }
        for bad in [
            "/etc",
            "run/credentials/a",
            "/run/credentials",
            "/run/credentials/../../etc",
            "/run/user/x/credentials/a",
            "/run/credentials/a/b",
        ] {
            assert!(of_systemd(bad).is_none(), "{bad}");
        }
    }
}
