use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use zeroize::Zeroizing;

use crate::{NotVisible, ProcessId};

/// How much is read at once of a file that does not report its size, bytes.
const UNKNOWN_BYTES: usize = 4095;

/// The longest line of /proc/PID/stat, bytes: 52 numbers and a name of 64.
const STAT_BYTES_MAX: usize = 4096;

/// How many threads of a process are tried if its first thread has ended.
const THREADS_TRIED_MAX: usize = 64;

/// The fields of /proc/PID/stat that are used here. Source: proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) ppid: u32,
    pub(crate) flags: u64,
    pub(crate) threads: u64,
    pub(crate) start_ticks: u64,
    /// `start_code`, `arg_start`, `env_start`: the addresses of one exec; all zero where the kernel hides them.
    pub(crate) image: [u64; 3],
    /// The addresses of the start's command line and environment, each with its beginning and end.
    pub(crate) kept: [[u64; 2]; 2],
}

/// `PF_FORKNOEXEC` of include/linux/sched.h: forked, and no exec since.
const FLAG_FORKED_NO_EXEC: u64 = 0x40;

/// `PF_KTHREAD` of include/linux/sched.h.
const FLAG_KERNEL_THREAD: u64 = 0x0020_0000;

impl Stat {
    pub(crate) fn parse(line: &[u8]) -> Option<(Self, Vec<u8>)> {
        // The name stands in parentheses and may itself hold spaces and parentheses: the last one ends it.
        let open = line.iter().position(|&byte| byte == b'(')?;
        let close = line.iter().rposition(|&byte| byte == b')')?;
        let name = line.get(open + 1..close)?.to_vec();
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let stat = Self {
            state: *fields.first()?.as_bytes().first()?,
            ppid: u32::try_from(number(1)?).ok()?,
            flags: number(6)?,
            threads: number(17)?,
            start_ticks: number(19)?,
            image: [number(23)?, number(45)?, number(47)?],
            kept: [[number(45)?, number(46)?], [number(47)?, number(48)?]],
        };
        Some((stat, name))
    }

    pub(crate) fn forked_no_exec(&self) -> bool {
        self.flags & FLAG_FORKED_NO_EXEC != 0
    }

    /// As during an exec; also a kernel thread and a process that has ended have none. Where the kernel hides the address, it shows 1.
    pub(crate) fn has_no_code(&self) -> bool {
        self.image.first() == Some(&0)
    }

    pub(crate) fn kernel_thread(&self) -> bool {
        self.flags & FLAG_KERNEL_THREAD != 0
    }

    /// Whether the process has ended. A first thread that ended before the others is shown as a zombie too.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.state, b'X' | b'x') || (self.state == b'Z' && self.threads <= 1)
    }
}

/// An open /proc/PID folder. The kernel ties it to the process and not to its id: once the process is gone,
/// every read through it fails, even if the id is given to another process.
pub(crate) struct ProcFolder {
    folder: OwnedFd,
    /// The folder in which files about the address space are read: that of a living thread, if the first one has ended.
    space: Option<OwnedFd>,
    pub(crate) stat: Stat,
    pub(crate) name: Vec<u8>,
}

fn open_folder(at: impl std::os::fd::AsFd, path: &str) -> Result<OwnedFd, NotVisible> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty()).map_err(NotVisible::of)
}

impl ProcFolder {
    /// The process that has this id now.
    pub(crate) fn open(pid: u32) -> Result<Self, NotVisible> {
        let folder = open_folder(CWD, &format!("/proc/{pid}"))?;
        let (stat, name) = stat_in(&folder)?;
        if stat.ended() {
            return Err(NotVisible::Vanished);
        }
        let space = if stat.state == b'Z' { living_thread(&folder) } else { None };
        Ok(Self { folder, space, stat, name })
    }

    /// Exactly this process.
    pub(crate) fn open_exact(process: &ProcessId) -> Result<Self, NotVisible> {
        if process.boot != crate::boot()? {
            return Err(NotVisible::Vanished);
        }
        let folder = Self::open(process.pid)?;
        if folder.stat.start_ticks != process.start_ticks {
            return Err(NotVisible::Replaced);
        }
        Ok(folder)
    }

    /// A file of the process, up to a limit; longer = [`NotVisible::TooLarge`].
    pub(crate) fn read(&self, file: &str, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
        read_at(self.readable(), file, bytes_max)
    }

    /// What the kernel says of the process by now.
    pub(crate) fn stat_now(&self) -> Result<Stat, NotVisible> {
        stat_in(self.readable()).map(|(stat, _)| stat)
    }

    /// The folder to read: that of a living thread, if the first one has ended.
    fn readable(&self) -> &OwnedFd {
        self.space.as_ref().unwrap_or(&self.folder)
    }

    /// A small file that holds no value, as the kernel writes it: in one piece.
    pub(crate) fn read_plain(&self, file: &str, bytes_max: usize) -> Result<Vec<u8>, NotVisible> {
        read_plain(self.readable(), file, bytes_max)
    }

    pub(crate) fn file(&self, file: &str) -> Result<File, NotVisible> {
        open_file(self.readable(), file)
    }

    /// A folder of the process, such as its root.
    pub(crate) fn open_in(&self, name: &str, flags: OFlags) -> Result<OwnedFd, NotVisible> {
        rustix::fs::openat(self.readable(), name, flags, Mode::empty()).map_err(NotVisible::of)
    }

    pub(crate) fn link(&self, file: &str) -> Result<PathBuf, NotVisible> {
        let target = rustix::fs::readlinkat(self.readable(), file, Vec::new());
        let bytes = target.map_err(NotVisible::of)?.into_bytes();
        Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }

    /// The file behind a link such as `fd/3`, even if it has no name any more.
    pub(crate) fn behind(&self, link: &str) -> Result<rustix::fs::Stat, NotVisible> {
        rustix::fs::statat(self.readable(), link, AtFlags::empty()).map_err(NotVisible::of)
    }

    /// The numbered entries of a sub-folder such as `fd`.
    pub(crate) fn numbers(&self, folder: &str, count_max: usize) -> Result<Vec<u32>, NotVisible> {
        numbers_in(&open_folder(&self.folder, folder)?, count_max)
    }
}

/// What the kernel says of the process or thread of this folder, with its name.
fn stat_in(folder: &OwnedFd) -> Result<(Stat, Vec<u8>), NotVisible> {
    Stat::parse(&read_plain(folder, "stat", STAT_BYTES_MAX)?).ok_or(NotVisible::Malformed)
}

fn living_thread(folder: &OwnedFd) -> Option<OwnedFd> {
    let tasks = open_folder(folder, "task").ok()?;
    numbers_in(&tasks, THREADS_TRIED_MAX).ok()?.into_iter().find_map(|thread| {
        let task = open_folder(&tasks, &thread.to_string()).ok()?;
        let (stat, _) = stat_in(&task).ok()?;
        (!matches!(stat.state, b'Z' | b'X')).then_some(task)
    })
}

pub(crate) fn numbers_in(folder: &OwnedFd, count_max: usize) -> Result<Vec<u32>, NotVisible> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder).map_err(NotVisible::of)? {
        let entry = entry.map_err(NotVisible::of)?;
        if let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
            if found.len() == count_max {
                return Err(NotVisible::TooLarge);
            }
            found.push(number);
        }
    }
    Ok(found)
}

fn open_file(folder: &OwnedFd, file: &str) -> Result<File, NotVisible> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat(folder, file, flags, Mode::empty()).map(File::from).map_err(NotVisible::of)
}

/// Unlike [`read_bounded`], it neither clears its buffer nor reads on after the end: a listing reads several such files
/// of each process. A read that leaves space has met the end, because the kernel writes such a file as one record.
fn read_plain(folder: &OwnedFd, file: &str, bytes_max: usize) -> Result<Vec<u8>, NotVisible> {
    let file = open_file(folder, file)?;
    let mut bytes = Vec::with_capacity(UNKNOWN_BYTES + 1);
    loop {
        let read = match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)) {
            Err(rustix::io::Errno::INTR) => continue,
            read => read.map_err(NotVisible::of)?,
        };
        if bytes.len() > bytes_max {
            return Err(NotVisible::TooLarge);
        }
        if read == 0 || bytes.len() < bytes.capacity() {
            return Ok(bytes);
        }
        bytes.reserve(bytes.len());
    }
}

fn read_at(folder: &OwnedFd, file: &str, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
    read_bounded(&mut open_file(folder, file)?, 0, bytes_max)
}

/// The complete content of a file, or [`NotVisible::TooLarge`]. `expected` = the size that the file reports, 0 if it
/// reports none; a file of exactly this size is read in one piece. No copy of the content stays behind.
pub(crate) fn read_bounded(
    file: &mut File,
    expected: usize,
    bytes_max: usize,
) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
    // One more byte shows that there is no more.
    let room = if expected == 0 { UNKNOWN_BYTES } else { expected };
    let mut bytes = Zeroizing::new(vec![0; room.min(bytes_max).saturating_add(1)]);
    let mut filled = 0;
    loop {
        let read = match file.read(bytes.get_mut(filled..).unwrap_or_default()) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| NotVisible::of_io(&error))?,
        };
        filled += read;
        if filled > bytes_max {
            return Err(NotVisible::TooLarge);
        }
        if read == 0 {
            bytes.truncate(filled);
            return Ok(bytes);
        }
        if filled == bytes.len() {
            let mut more = Zeroizing::new(vec![0; filled.saturating_mul(2).min(bytes_max.saturating_add(1))]);
            more.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
            bytes = more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_read_whole_or_refused() {
        let path = tempfile::tempdir().unwrap();
        let folder = open_folder(CWD, path.path().to_str().unwrap()).unwrap();
        for length in [0, UNKNOWN_BYTES, UNKNOWN_BYTES + 1, UNKNOWN_BYTES + 2, 5 * UNKNOWN_BYTES] {
            let text: Vec<u8> = (0..length).map(|at| b'a' + (at % 23) as u8).collect();
            std::fs::write(path.path().join("file"), &text).unwrap();
            assert_eq!(read_plain(&folder, "file", length).unwrap(), text);
            let refused = read_plain(&folder, "file", length.saturating_sub(1));
            assert_eq!(refused.is_err(), length > 0, "{length}");
        }
        let own = ProcFolder::open(std::process::id()).unwrap();
        assert_eq!(own.read_plain("cgroup", 65_536).unwrap(), *own.read("cgroup", 65_536).unwrap());
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let mut line = b"7 (a) S (b c)) S 3 7 7 34816 -1 4194368 ".to_vec();
        line.extend(b"1 2 3 4 5 6 7 8 20 0 1 0 998877 1000 50 18446744073709551615 ");
        line.extend(b"10 11 12 13 14 0 0 0 0 0 0 0 17 0 0 0 0 0 0 20 21 22 40 41 50 51 0");
        let (stat, name) = Stat::parse(&line).expect("a stat line");
        assert_eq!(name, b"a) S (b c)");
        assert_eq!((stat.ppid, stat.start_ticks, stat.threads), (3, 998_877, 1));
        assert_eq!(stat.image, [10, 40, 50]);
        assert_eq!(stat.kept, [[40, 41], [50, 51]]);
        assert!(stat.forked_no_exec());
        assert!(Stat::parse(b"7 (x").is_none());
        assert!(Stat::parse(b"").is_none());
    }
}
