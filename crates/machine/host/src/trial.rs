use keyroll_codes::Code;
use keyroll_port::Failure;
use rustix::fs::{AtFlags, OFlags, fsync, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use crate::fault::no_effect;
use crate::read::{open_target, read_target};
use crate::replace::{blocked, refuse_drift};
use crate::resolved::hold;
use crate::temp::{fill, open_for_sync, without_leftover};
use crate::{Digest, Resolved, TempName, Write};

/// How much longer than the present file the trial file is: a new value may be longer than the old one.
const TRIAL_MARGIN_BYTES: usize = 4096;

/// Does everything beside a target that a replacement would do, except the rename, and leaves nothing behind.
///
/// It detects, before anything is minted: a read-only or full file system, an immutable file, missing rights,
/// attributes that cannot be kept, a directory that cannot be made durable, a changed link, a drifted file. The file
/// that it writes holds zeros. A crash leaves the temp file, so its name must be in an intent.
pub fn trial(resolved: &Resolved, write: Write, name: &TempName) -> Result<(), Failure> {
    let held = hold(resolved)?;
    if write == Write::InPlace {
        let present = open_target(&held.fd, held.name, held.real, OFlags::RDWR)?;
        refuse_drift(&Digest::of(&present.bytes), &resolved.digest, held.real)?;
        return blocked(&held, &present.meta, write);
    }
    let present = read_target(&held.fd, held.name, held.real)?;
    refuse_drift(&Digest::of(&present.bytes), &resolved.digest, held.real)?;
    blocked(&held, &present.meta, write)?;
    let directory = open_for_sync(&held)?;
    let zeros = vec![0; present.bytes.len() + TRIAL_MARGIN_BYTES];
    drop(fill(&held, &present.fd, name, &zeros)?);
    let attempted = || format!("try a replacement of {}", held.real.display());
    let removed = match unlinkat(&held.fd, name.path(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => retry_on_intr(|| fsync(&directory)),
        Err(errno) => Err(errno),
    };
    without_leftover(&held, name, removed.map_err(|errno| no_effect(Code::WriteFailed, attempted(), errno)))
}
