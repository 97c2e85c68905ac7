use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use crate::Scan;
use crate::scan::{Location, Worker};

/// The largest list of mappings that is read, bytes.
const MAPS_BYTES_MAX: u64 = 64 << 20;

/// The smallest page of Linux, bytes; larger ones are multiples.
const PAGE_BYTES: u64 = 4 << 10;

/// The most unreadable pages of a process that are skipped, one by one: some seconds.
const HOLE_PAGES_MAX: u64 = 4 << 20;

/// A mapping of a process's memory, read from `/proc/PID/mem`.
struct Mapping<'f, F> {
    memory: &'f F,
    at: u64,
    end: u64,
    /// How many more pages may be skipped.
    holes_left: &'f mut u64,
}

impl<F: FileExt> Read for Mapping<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // One NUL replaces a hole, so that text before and after it is not joined.
        let mut hole = 0;
        while self.at < self.end {
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let length = into.len().min(left.saturating_add(hole));
            match self.memory.read_at(into.get_mut(hole..length).unwrap_or_default(), self.at) {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(hole + read);
                }
                // Guard pages of stacks, pages that were unmapped meanwhile, or pages beyond the end of their file.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    let Some(first) = into.first_mut().filter(|_| *self.holes_left > 0) else { break };
                    (*first, hole) = (0, 1);
                    *self.holes_left -= 1;
                    self.at = (self.at / PAGE_BYTES + 1) * PAGE_BYTES;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }
}

impl Scan<'_> {
    /// Scans the memory of a running process: all that it can write, and mappings without a named file (proc(5)). The
    /// process continues; changes meanwhile may be seen or missed.
    ///
    /// # Errors It does not exist, has no memory, or may not be read.
    pub fn process(&self, pid: u32) -> io::Result<()> {
        let name = format!("process {pid}");
        let mut list = Vec::new();
        File::open(format!("/proc/{pid}/maps"))?.take(MAPS_BYTES_MAX).read_to_end(&mut list)?;
        // A file name may be invalid UTF-8.
        let list = String::from_utf8_lossy(&list);
        if list.is_empty() {
            let kernel = fs::read_link(format!("/proc/{pid}/exe")).is_err();
            let why = if kernel { "it has no memory of its own" } else { "it ended" };
            return Err(io::Error::other(why));
        }
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut worker = Worker::new(self);
        let mut left = HOLE_PAGES_MAX;
        for (at, end, called) in list.lines().filter_map(mapping) {
            let inside = [called];
            let at_place = Location { source: Some(&name), path: None, inside: &inside };
            worker.text(at_place, &mut Mapping { memory: &memory, at, end, holes_left: &mut left });
        }
        if left == 0 {
            let gib = (HOLE_PAGES_MAX * PAGE_BYTES) >> 30;
            self.skip(name, format!("{gib} GiB of it cannot be read; the memory after them was not scanned"));
        }
        Ok(())
    }
}

/// The range and name of a mapping; `None` for a read-only mapping of a file that can be scanned itself. The file may
/// be deleted, or never have had a name.
fn mapping(line: &str) -> Option<(u64, u64, String)> {
    let mut words = line.splitn(6, ' ');
    let (first, last) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let name = words.nth(3).map(str::trim_start).filter(|name| !name.is_empty()).unwrap_or("anonymous");
    let in_file = name.starts_with('/') && !name.starts_with("/memfd:") && !name.ends_with(" (deleted)");
    let own = rights.starts_with("rw") || rights.starts_with('r') && !in_file;
    let kernels = matches!(name, "[vvar]" | "[vdso]" | "[vsyscall]" | "[vvar_vclock]");
    let address = |text: &str| u64::from_str_radix(text, 16).ok();
    let called = format!("{name} at {first}");
    (own && !kernels).then_some((address(first)?, address(last)?, called))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_read_from_a_file_is_left_to_the_file() {
        let name = |line: &str| mapping(line).map(|(at, end, name)| (end - at, name));
        let heap = "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(name(heap), Some((0x21000, "[heap] at 55d0c0000000".to_owned())));
        let none = "7f0000000000-7f0000001000 rw-p 00000000 00:00 0";
        assert_eq!(name(none), Some((0x1000, "anonymous at 7f0000000000".to_owned())));
        let data = "7f0000000000-7f0000001000 rw-p 00000000 08:01 5 /usr/lib/x.so";
        assert_eq!(name(data), Some((0x1000, "/usr/lib/x.so at 7f0000000000".to_owned())));
        assert_eq!(name("7f0000000000-7f0000001000 r-xp 00000000 08:01 5 /usr/lib/x.so"), None);
        assert_eq!(name("7ffd0000-7ffd1000 r--p 00000000 00:00 0 [vvar]"), None);
        assert_eq!(name("7f0000000000-7f0000001000 r--p 00000000 08:01 5       /srv/a file"), None);
    }

    #[test]
    fn what_is_in_no_file_that_has_a_name_is_read() {
        for file in ["/memfd:kept (deleted)", "/tmp/a file (deleted)"] {
            for rights in ["r--s", "r--p", "r-xp", "rw-p"] {
                let line =
                    format!("7f0000000000-7f0000001000 {rights} 00000000 00:01 1027                 {file}");
                let called = mapping(&line).map(|(.., name)| name);
                assert_eq!(called, Some(format!("{file} at 7f0000000000")), "{rights}");
            }
            assert_eq!(mapping(&format!("7f0000000000-7f0000001000 ---p 00000000 00:01 1027 {file}")), None);
        }
    }

    /// Memory from 0 on; `None` for an unreadable page.
    struct Pages(Vec<Option<[u8; PAGE_BYTES as usize]>>);

    impl FileExt for Pages {
        fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
            let (page, within) = ((at / PAGE_BYTES) as usize, (at % PAGE_BYTES) as usize);
            let Some(page) = &self.0[page] else { return Err(Errno::IO.into()) };
            let length = into.len().min(page.len() - within);
            into[..length].copy_from_slice(&page[within..within + length]);
            Ok(length)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_page_that_cannot_be_read_ends_no_mapping() {
        let page = |byte: u8| Some([byte; PAGE_BYTES as usize]);
        let memory = Pages(vec![page(9), None, page(1), page(2), None, None, page(3), None]);
        let read = |holes: &mut u64, step: usize| {
            let mut mapping =
                Mapping { memory: &memory, at: PAGE_BYTES, end: 8 * PAGE_BYTES, holes_left: holes };
            let (mut all, mut into) = (Vec::new(), vec![7; step]);
            loop {
                match mapping.read(&mut into).unwrap() {
                    0 => return all,
                    length => all.extend_from_slice(&into[..length]),
                }
            }
        };
        let of = |byte: u8| vec![byte; PAGE_BYTES as usize];
        let expected = [vec![0], of(1), of(2), vec![0], of(3)].concat();
        for step in [1, 1_000, 4_096, 4_097, 100_000] {
            let mut holes = 10;
            assert!(read(&mut holes, step) == expected, "{step}");
            assert_eq!(holes, 6);
        }
        let mut few = 2;
        assert!(read(&mut few, 1_000) == expected[..1 + 2 * 4_096]);
        assert_eq!(few, 0);
    }
}
