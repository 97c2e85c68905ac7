/// The largest shared mapping that is read, bytes: shared memory of a service is small, mapped data files are not.
const SHARED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The largest inaccessible mapping that is searched for pages, bytes. A program may reserve a terabyte of addresses
/// without a page behind them.
const RESERVED_BYTES_MAX: u64 = 256 << 30;

/// The kind of a mapping. Kinds in which a program most likely keeps a value come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RegionKind {
    /// `[heap]`.
    Heap,
    /// No file behind it: further heaps, stacks.
    Anonymous,
    /// A writable private copy of a file's content.
    OfFile,
    /// No file behind it, and not accessible to its own program: reserved, or a secret that is unlocked for each use.
    Reserved,
    /// Shared with others.
    Shared,
}

/// One mapping of a process. Source: proc_pid_maps(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) kind: RegionKind,
}

impl Region {
    /// Pages of a private mapping can be looked up in /proc/PID/pagemap; those of a shared one may exist without being
    /// mapped yet.
    pub(crate) fn private(&self) -> bool {
        self.kind != RegionKind::Shared
    }
}

/// What the search does with one mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It is read.
    Read(Region),
    /// It cannot hold a value that the program loaded: code, read-only file content, the kernel's own pages.
    Leave,
    /// It could hold a value and nobody can read it: `memfd_secret`, a device.
    Closed(u64),
    /// It could hold a value and is too large.
    TooLarge(u64),
}

/// Chooses by one line of /proc/PID/maps. `None` = not understood.
pub(crate) fn choose(line: &str) -> Option<Choice> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let size = end.checked_sub(start)?;
    let permissions = fields.next()?.as_bytes();
    let (read, write) = (permissions.first()? == &b'r', permissions.get(1)? == &b'w');
    let private = permissions.get(3)? == &b'p';
    let (_offset, _device) = (fields.next()?, fields.next()?);
    let file = fields.next()? != "0";
    let name = fields.next().unwrap_or("").trim_start();
    let kind = match (private, file) {
        (true, false) if name == "[heap]" => RegionKind::Heap,
        (true, false) => RegionKind::Anonymous,
        (true, true) => RegionKind::OfFile,
        (false, _) => RegionKind::Shared,
    };
    let region = Region { start, end, kind };
    if name.starts_with("/secretmem") {
        return Some(Choice::Closed(size));
    }
    // The rings of io_uring hold addresses and lengths of the data that a program sends, not the data.
    let kernels = ["[vvar", "[vdso]", "[vsyscall]", "anon_inode:[io_uring]", "anon_inode:[perf_event]"];
    if kernels.iter().any(|own| name.starts_with(own)) {
        return Some(Choice::Leave);
    }
    if !read && private && !file {
        let reserved = Region { kind: RegionKind::Reserved, ..region };
        return Some(if size > RESERVED_BYTES_MAX { Choice::TooLarge(size) } else { Choice::Read(reserved) });
    }
    if !read {
        return Some(Choice::Leave);
    }
    if private {
        return Some(if !file || write { Choice::Read(region) } else { Choice::Leave });
    }
    let memory = ["/memfd:", "/dev/shm/", "/SYSV", "/dev/zero", "/anon_hugepage"];
    if file && name.starts_with("/dev/") && !memory.iter().any(|start| name.starts_with(start)) {
        return Some(Choice::Closed(size));
    }
    if !write && !memory.iter().any(|start| name.starts_with(start)) {
        return Some(Choice::Leave);
    }
    Some(if size > SHARED_BYTES_MAX { Choice::TooLarge(size) } else { Choice::Read(region) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_and_code_is_left() {
        let read = |line| matches!(choose(line), Some(Choice::Read(_)));
        let leave = |line| matches!(choose(line), Some(Choice::Leave));
        assert!(read("55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]"));
        assert!(read("7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]"));
        assert!(read("7f0000000000-7f0000021000 r--p 00000000 00:00 0 "));
        assert!(read("7f0000000000-7f0000021000 rw-p 00001000 08:01 1234       /usr/lib/libx.so"));
        assert!(leave("7f0000000000-7f0000021000 r-xp 00001000 08:01 1234       /usr/lib/libx.so"));
        assert!(read("7f0000000000-7f0000021000 ---p 00000000 00:00 0 "));
        assert!(leave("7f0000000000-7f0000021000 ---p 00001000 08:01 1234       /usr/lib/libx.so"));
        assert!(leave("7ffc3d5f0000-7ffc3d5f4000 r--p 00000000 00:00 0                  [vvar]"));
        assert!(leave("7f0000000000-7f0000001000 rw-s 00000000 00:0f 12         anon_inode:[io_uring]"));
        assert!(leave("7f0000000000-7f0000021000 r--s 00000000 08:01 99         /var/cache/big"));
        assert!(read("7f0000000000-7f0000021000 rw-s 00000000 00:01 77         /memfd:x (deleted)"));
    }

    #[test]
    fn the_heap_comes_first_and_what_is_shared_last() {
        let kind = |line: &str| match choose(line) {
            Some(Choice::Read(region)) => region.kind,
            other => panic!("{other:?}"),
        };
        let kinds = [
            "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]",
            "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 ",
            "7f0000000000-7f0000021000 rw-p 00001000 08:01 1234       /usr/lib/libx.so",
            "7f0000000000-7f0000021000 rw-s 00000000 00:01 77         /memfd:x (deleted)",
        ]
        .map(kind);
        assert_eq!(kinds, [RegionKind::Heap, RegionKind::Anonymous, RegionKind::OfFile, RegionKind::Shared]);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_not_left_out() {
        let secret = "7f0000000000-7f0000001000 rw-s 00000000 00:11 2050   /secretmem (deleted)";
        assert_eq!(choose(secret), Some(Choice::Closed(4096)));
        let huge = "7f0000000000-7f0100000000 rw-s 00000000 00:01 77     /dev/shm/huge";
        assert_eq!(choose(huge), Some(Choice::TooLarge(1 << 32)));
        assert_eq!(choose("rubbish"), None);
        assert_eq!(choose("2-1 rw-p 0 0 0"), None);
    }
}
