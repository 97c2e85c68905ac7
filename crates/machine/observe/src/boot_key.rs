use std::os::unix::fs::FileExt as _;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::NotVisible;
use crate::proc::{ProcFolder, numbers_in};

/// How many bytes the kernel draws at each exec. Source: getauxval(3), `AT_RANDOM`.
const RANDOM_BYTES: usize = 16;

/// `AT_RANDOM` of include/uapi/linux/auxvec.h: the address of these bytes.
const AT_RANDOM: usize = 25;

/// The largest /proc/PID/auxv, bytes: about 25 pairs of words.
const AUXV_BYTES_MAX: usize = 4096;

/// How many processes there may be.
const PROCESSES_MAX: usize = 65_536;

/// A secret that nothing stores, and how long it stays the same.
pub struct BootKey {
    /// The secret.
    pub secret: Zeroizing<[u8; 32]>,
    /// keyroll's own process is the only readable one: each run has another secret.
    pub of_this_run: bool,
}

/// A secret that is the same for each command of this user until the oldest of the user's readable processes ends or
/// executes another program: for root until the next boot, in a container until the container ends. Nobody who may not
/// read that process's memory can guess it. Nothing is written for it: it is derived from the bytes that the kernel drew
/// when that process executed its program. If keyroll's own process is the only readable one, it is another one in each
/// run.
///
/// # Errors
/// No process of this user is readable; of the errors that of the oldest.
pub fn boot_key() -> Result<BootKey, NotVisible> {
    let own = rustix::process::geteuid();
    if own.is_root()
        && let Ok(first) = ProcFolder::open(1)
        // Another user's process could write into its own memory.
        && first.behind(".").is_ok_and(|meta| meta.st_uid == own.as_raw())
        && let Ok(key) = key_of(&first)
    {
        return Ok(BootKey { secret: key, of_this_run: std::process::id() == 1 });
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open("/proc", flags, Mode::empty()).map_err(NotVisible::of)?;
    let of_user = |pid: u32| {
        let folder = ProcFolder::open(pid).ok()?;
        let owner = folder.behind(".").ok()?.st_uid;
        (owner == own.as_raw()).then_some((folder.stat.start_ticks, pid))
    };
    let mut oldest: Vec<(u64, u32)> =
        numbers_in(&folder, PROCESSES_MAX)?.into_iter().filter_map(of_user).collect();
    oldest.sort_unstable();
    let mut first = None;
    for (_, pid) in oldest {
        match ProcFolder::open(pid).and_then(|folder| key_of(&folder)) {
            Ok(secret) => return Ok(BootKey { secret, of_this_run: pid == std::process::id() }),
            Err(why) => {
                first.get_or_insert(why);
            }
        }
    }
    Err(first.unwrap_or(NotVisible::Vanished))
}

/// The bytes that the kernel drew for one program run, with the start of its process.
fn key_of(folder: &ProcFolder) -> Result<Zeroizing<[u8; 32]>, NotVisible> {
    let auxv = folder.read("auxv", AUXV_BYTES_MAX)?;
    let word = |bytes: &[u8]| bytes.try_into().ok().map(usize::from_ne_bytes);
    let mut pairs = auxv.chunks_exact(2 * size_of::<usize>()).map(|pair| pair.split_at(size_of::<usize>()));
    let address = pairs.find(|(kind, _)| word(kind) == Some(AT_RANDOM)).and_then(|(_, at)| word(at));
    let address = address.and_then(|at| u64::try_from(at).ok()).ok_or(NotVisible::Malformed)?;
    let mut key = Zeroizing::new([0; 32]);
    let (random, rest) = key.split_at_mut(RANDOM_BYTES);
    folder.file("mem")?.read_exact_at(random, address).map_err(|error| NotVisible::of_io(&error))?;
    // A program may have cleared them.
    if random.iter().all(|byte| *byte == 0) {
        return Err(NotVisible::Malformed);
    }
    let start = crate::boot()? ^ folder.stat.start_ticks;
    rest.iter_mut().zip(start.to_le_bytes()).for_each(|(byte, part)| *byte = part);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_has_the_same_key_each_time_and_another_run_has_another() {
        let of = |pid| key_of(&ProcFolder::open(pid).unwrap()).unwrap();
        // Until the kernel has set up a new program, it tells no address; a program that answers runs.
        let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        other.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let (own, child) = (of(std::process::id()), of(other.id()));
        let again = [of(std::process::id()), of(other.id())];
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(
            own != child && [own, child] == again,
            "keys differ between two reads, or do not between runs"
        );
    }

    #[test]
    fn the_key_of_a_boot_is_that_of_the_oldest_process() {
        assert!(boot_key().unwrap().secret == boot_key().unwrap().secret);
        let first = ProcFolder::open(1).and_then(|first| key_of(&first));
        match first {
            Ok(first) if rustix::process::geteuid().is_root() => {
                let key = boot_key().unwrap();
                assert!(key.secret == first && !key.of_this_run);
            }
            // Not every container lets its root read the first process, and not every one keeps these bytes.
            Ok(_) | Err(_) => eprintln!("left out: the key of the first process is not visible to this user"),
        }
    }
}
