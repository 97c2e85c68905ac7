use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::FileType;

use crate::listing::undeleted;
use crate::memory_read::MAPS_BYTES_MAX;
use crate::proc::ProcFolder;
use crate::worker::read_each;
use crate::{NotVisible, ProcessId};

/// How many open files of one process are looked at.
const OPEN_FILES_MAX: usize = 65_536;

/// Mappings that have the name of a file and are none.
const NO_FILES: [&str; 5] = ["/dev/", "/memfd:", "/SYSV", "/secretmem", "/[aio]"];

/// How long one process may take to answer, milliseconds.
const STEP_MS_MAX: u64 = 2_000;

/// One regular file that a process has open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenFile {
    /// Its path as the kernel shows it here; for a process with its own mounts, inside these.
    pub path: PathBuf,
    /// The name is gone, or leads to another file by now.
    pub removed: bool,
    /// The file system's number and the file's own: the same for every name and every mount.
    pub file: (u64, u64),
}

/// The open files of a process, or why they are not visible.
pub type OpenAnswer = Result<Vec<OpenFile>, NotVisible>;

/// The regular files that each process has open, or mapped besides its code. A file that a program has read and closed
/// is not among them.
pub fn open_files(processes: &[ProcessId], wait: Duration, take: &mut dyn FnMut(&ProcessId, OpenAnswer)) {
    let step = Duration::from_millis(STEP_MS_MAX);
    read_each(processes, step, Instant::now() + wait, open_of, take);
}

fn open_of(process: &ProcessId) -> OpenAnswer {
    let folder = ProcFolder::open_exact(process)?;
    let descriptors = folder.numbers("fd", OPEN_FILES_MAX)?;
    // One that was closed meanwhile is not open.
    let open = descriptors.iter().filter_map(|descriptor| {
        let link = format!("fd/{descriptor}");
        let (path, removed) = undeleted(folder.link(&link).ok()?);
        // Sockets, pipes and the kernel's own files have no path; a device may be slow to report its kind.
        let path = path.filter(|path| path.is_absolute() && !path.starts_with("/dev"))?;
        let behind = folder.behind(&link).ok()?;
        let regular = FileType::from_raw_mode(behind.st_mode) == FileType::RegularFile;
        regular.then_some(OpenFile { path, removed, file: (behind.st_dev, behind.st_ino) })
    });
    let mut open: Vec<OpenFile> = open.collect();
    open.extend(mapped_files(&folder));
    Ok(open)
}

/// The files that are mapped into its memory, except its code: a program reads such a file without an open descriptor.
fn mapped_files(folder: &ProcFolder) -> Vec<OpenFile> {
    let maps = folder.read("maps", MAPS_BYTES_MAX).unwrap_or_default();
    let maps = String::from_utf8_lossy(&maps);
    let (mut code, mut data) = (BTreeSet::new(), BTreeMap::new());
    for mapped in maps.lines().filter_map(mapped) {
        if mapped.code {
            code.insert(mapped.file);
        }
        data.entry(mapped.file).or_insert(mapped);
    }
    let of = |(file, mapped): (&str, Mapped<'_>)| {
        let (path, removed) = undeleted(PathBuf::from(file));
        // Only root may read the file behind a mapping. For others the path shows it, if it leads to the same file.
        let link = format!("map_files/{:x}-{:x}", mapped.start, mapped.end);
        let (behind, removed) = match folder.behind(&link) {
            Ok(behind) => (behind, removed),
            Err(_) => {
                let named = rustix::fs::stat(file).ok()?;
                (named, removed || named.st_ino != mapped.number)
            }
        };
        Some(OpenFile { path: path?, removed, file: (behind.st_dev, behind.st_ino) })
    };
    data.into_iter().filter(|(file, _)| !code.contains(file)).filter_map(of).collect()
}

/// One mapping of a file.
struct Mapped<'m> {
    start: u64,
    end: u64,
    code: bool,
    number: u64,
    file: &'m str,
}

/// By a line of /proc/PID/maps. Source: proc_pid_maps(5).
fn mapped(line: &str) -> Option<Mapped<'_>> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let number = fields.nth(2)?.parse().ok().filter(|number| *number != 0)?;
    let file = fields.next()?.trim_start();
    let there = file.starts_with('/') && !NO_FILES.iter().any(|start| file.starts_with(start));
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    there.then_some(Mapped { start, end, code: permissions.contains('x'), number, file })
}
