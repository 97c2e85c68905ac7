use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use rustix::io::Errno;

use crate::Scan;
use crate::scan::{At, Worker};

/// The largest list of mappings that is read, bytes.
const MAPS_BYTES_MAX: u64 = 64 << 20;

/// A mapping of a process's memory, read from `/proc/PID/mem`.
struct Mapping<'f> {
    memory: &'f File,
    at: u64,
    end: u64,
}

impl Read for Mapping<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let length = into.len().min(left);
        let into = into.get_mut(..length).unwrap_or_default();
        match self.memory.read_at(into, self.at) {
            Ok(read) => {
                self.at += read as u64;
                Ok(read)
            }
            // Unmapped meanwhile, or a page that no file stands behind any more: nothing is there.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl Scan<'_> {
    /// The memory of a running process: what it can write, and what no file stands behind (proc(5)). It goes on meanwhile; what
    /// it changes may be seen before, after, or not at all.
    pub fn process(&self, pid: u32) {
        let name = format!("process {pid}");
        if let Err(error) = self.mappings(pid, &name) {
            self.skip(name, error.to_string());
        }
    }

    fn mappings(&self, pid: u32, name: &str) -> io::Result<()> {
        let mut list = String::new();
        File::open(format!("/proc/{pid}/maps"))?.take(MAPS_BYTES_MAX).read_to_string(&mut list)?;
        if list.is_empty() {
            let kernel = fs::read_link(format!("/proc/{pid}/exe")).is_err();
            let why = if kernel { "it has no memory of its own" } else { "it ended" };
            return Err(io::Error::other(why));
        }
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut worker = Worker::new(self);
        for (at, end, called) in list.lines().filter_map(mapping) {
            let inside = [called];
            let at_place = At { source: Some(name), path: None, inside: &inside };
            worker.text(at_place, &mut Mapping { memory: &memory, at, end });
        }
        Ok(())
    }
}

/// Where one begins and ends, and what it is called; `None` for what is only read from a file, which can be looked at there.
fn mapping(line: &str) -> Option<(u64, u64, String)> {
    let mut words = line.split_ascii_whitespace();
    let (first, last) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let name = words.nth(3).unwrap_or("anonymous");
    let own = rights.starts_with("rw") || rights.starts_with('r') && !name.starts_with('/');
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
        assert_eq!(name("7f0000000000-7f0000001000 r-xp 00000000 08:01 5 /usr/lib/x.so"), None);
        assert_eq!(name("7ffd0000-7ffd1000 r--p 00000000 00:00 0 [vvar]"), None);
    }
}
