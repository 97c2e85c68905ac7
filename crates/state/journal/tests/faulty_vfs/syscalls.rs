//! The system calls that change files, in place of the C library's: the linker takes the functions of the program
//! before those of a shared library, so that SQLite and the standard library both call these. Each records what it
//! changed in a watched folder. The calls that SQLite does not make (those for the witness and the lock) fail here; those
//! of SQLite fail in its VFS.
//!
//! Nothing is ever synced: this program simulates what a power failure leaves, and waits for no disk.
#![allow(unsafe_code, reason = "functions of the C library are replaced")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Call, Change, Disk, Fault, Unwatched};

/// The file behind a descriptor, if it is in a watched folder and was not removed.
fn file_of(descriptor: c_int) -> Option<(Arc<Disk>, PathBuf)> {
    let path = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    let (disk, path) = Disk::of(&path)?;
    let name = path.to_string_lossy();
    // The index of the log is memory that is never read again after the last process ends.
    let counts = !name.ends_with("-shm") && !name.ends_with(" (deleted)");
    counts.then_some((disk, path))
}

fn path_of(path: *const c_char) -> Option<(Arc<Disk>, PathBuf)> {
    // SAFETY: the caller of the C library's function passes a text that ends with a zero byte.
    let path = unsafe { CStr::from_ptr(path) };
    Disk::of(Path::new(OsStr::from_bytes(path.to_bytes())))
}

/// The fault of a call, as the number of its error.
fn refused(disk: &Disk, call: Call, path: &Path) -> Option<Fault> {
    if Unwatched::is_on() { None } else { disk.call(call, path) }
}

fn fail(fault: Fault) -> c_long {
    let number = match fault {
        Fault::Full | Fault::HalfThenFull => libc::ENOSPC,
        Fault::Io | Fault::HalfThenIo | Fault::Busy | Fault::Lie => libc::EIO,
    };
    // SAFETY: the C library's own variable of this thread.
    unsafe { *libc::__errno_location() = number };
    -1
}

fn narrow(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    let open = || {
        // SAFETY: the arguments are those of the caller.
        narrow(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode) })
    };
    let Some((disk, below)) = path_of(path) else { return open() };
    if let Some(fault) = refused(&disk, Call::Open, &below) {
        return narrow(fail(fault));
    }
    // SAFETY: only asks whether the path exists.
    let new = flags & libc::O_CREAT != 0 && unsafe { libc::access(path, libc::F_OK) } != 0;
    let opened = open();
    if opened >= 0 && new && !below.to_string_lossy().ends_with("-shm") {
        disk.changed(Change::Create(below));
    }
    opened
}

#[unsafe(no_mangle)]
extern "C" fn read(descriptor: c_int, bytes: *mut c_void, count: usize) -> isize {
    if !Unwatched::is_on()
        && let Some((disk, path)) = file_of(descriptor)
        && let Some(fault) = refused(&disk, Call::Read, &path)
    {
        return fail(fault) as isize;
    }
    // SAFETY: the arguments are those of the caller.
    (unsafe { libc::syscall(libc::SYS_read, descriptor, bytes, count) }) as isize
}

#[unsafe(no_mangle)]
extern "C" fn write(descriptor: c_int, bytes: *const c_void, count: usize) -> isize {
    // SAFETY: asks for the position of the caller's descriptor, which is an error for a pipe.
    let at = unsafe { libc::lseek(descriptor, 0, libc::SEEK_CUR) };
    write_at(descriptor, bytes, count, at, |count| {
        // SAFETY: the arguments are those of the caller, or fewer of its bytes.
        unsafe { libc::syscall(libc::SYS_write, descriptor, bytes, count) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(descriptor: c_int, bytes: *const c_void, count: usize, at: i64) -> isize {
    write_at(descriptor, bytes, count, at, |count| {
        // SAFETY: the arguments are those of the caller, or fewer of its bytes.
        unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, bytes, count, at) }
    })
}

fn write_at(
    descriptor: c_int,
    bytes: *const c_void,
    count: usize,
    at: i64,
    write: impl Fn(usize) -> c_long,
) -> isize {
    let Some((disk, path)) = file_of(descriptor) else { return write(count) as isize };
    let count = match refused(&disk, Call::Write, &path) {
        // The system reports the error with the next write.
        Some(Fault::HalfThenFull | Fault::HalfThenIo) if count > 1 => count / 2,
        Some(fault) => return fail(fault) as isize,
        None => count,
    };
    let written = write(count);
    if let (Ok(length), Ok(at)) = (usize::try_from(written), u64::try_from(at)) {
        // SAFETY: the system has read as many bytes from there.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        disk.changed(Change::Write { path, at, bytes: bytes.into() });
    }
    written as isize
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(descriptor: c_int, length: i64) -> c_int {
    // SAFETY: the arguments are those of the caller.
    let truncate = || narrow(unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) });
    let Some((disk, path)) = file_of(descriptor) else { return truncate() };
    if let Some(fault) = refused(&disk, Call::Truncate, &path) {
        return narrow(fail(fault));
    }
    let truncated = truncate();
    if truncated == 0 {
        disk.changed(Change::Truncate { path, length: length.cast_unsigned() });
    }
    truncated
}

#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    let Some((disk, path)) = file_of(descriptor) else { return 0 };
    match refused(&disk, Call::Sync, &path) {
        Some(Fault::Lie) => return 0,
        Some(fault) => return narrow(fail(fault)),
        None => {}
    }
    // SAFETY: a record that holds only numbers may be all zeros, and the system fills it in.
    let is_folder = unsafe {
        let mut found: libc::stat64 = std::mem::zeroed();
        libc::fstat64(descriptor, &raw mut found) == 0 && found.st_mode & libc::S_IFMT == libc::S_IFDIR
    };
    disk.changed(if is_folder { Change::SyncFolder(path) } else { Change::Sync(path) });
    0
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    fsync(descriptor)
}

#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the argument is that of the caller.
    let remove = || narrow(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0) });
    let Some((disk, below)) = path_of(path) else { return remove() };
    if let Some(fault) = refused(&disk, Call::Delete, &below) {
        return narrow(fail(fault));
    }
    let removed = remove();
    if removed == 0 && !below.to_string_lossy().ends_with("-shm") {
        disk.changed(Change::Delete(below));
    }
    removed
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let rename = || {
        let (here, none) = (libc::AT_FDCWD, 0);
        // SAFETY: the arguments are those of the caller.
        narrow(unsafe { libc::syscall(libc::SYS_renameat2, here, from, here, to, none) })
    };
    let Some(((disk, from), (_, to))) = path_of(from).zip(path_of(to)) else { return rename() };
    if let Some(fault) = refused(&disk, Call::Rename, &to) {
        return narrow(fail(fault));
    }
    let renamed = rename();
    if renamed == 0 {
        disk.changed(Change::Rename(from, to));
    }
    renamed
}

#[unsafe(no_mangle)]
extern "C" fn mkdir(path: *const c_char, mode: libc::mode_t) -> c_int {
    if let Some((disk, below)) = path_of(path)
        && let Some(fault) = refused(&disk, Call::MakeFolder, &below)
    {
        return narrow(fail(fault));
    }
    // SAFETY: the arguments are those of the caller.
    narrow(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path, mode) })
}
