//! A VFS of SQLite in front of its own for Unix. It is made the default of this process, so that keyroll opens its
//! databases through it. Each call is counted, and either fails or is passed on.
#![allow(unsafe_code, reason = "SQLite calls a VFS through C")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use crate::disk::{Call, Disk, Fault, Unwatched};

/// SQLite's VFS for Unix.
static UNIX: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());

/// An open file. SQLite allocates `szOsFile` bytes for it: this record, and behind it the record of the VFS for Unix.
#[repr(C)]
struct File {
    base: sqlite3_file,
    /// A `Box`, or null for a file that is not watched.
    watched: *mut Watched,
}

struct Watched {
    disk: Arc<Disk>,
    path: PathBuf,
}

/// Makes the VFS the default of this process; called once.
pub(crate) fn install() {
    // SAFETY: SQLite's own VFS lives as long as the process; its copy differs only in the functions below, which are called
    // with the copy, and is never freed.
    let result = unsafe {
        let unix = ffi::sqlite3_vfs_find(c"unix".as_ptr());
        assert!(!unix.is_null(), "SQLite has no VFS for Unix");
        UNIX.store(unix, Ordering::Release);
        let faulty = Box::leak(Box::new(*unix));
        faulty.szOsFile += c_int::try_from(size_of::<File>()).unwrap();
        faulty.pNext = ptr::null_mut();
        faulty.zName = c"faulty".as_ptr();
        faulty.xOpen = Some(open);
        faulty.xDelete = Some(delete);
        faulty.xSleep = Some(sleep);
        ffi::sqlite3_vfs_register(faulty, 1)
    };
    assert_eq!(result, ffi::SQLITE_OK, "the VFS was not registered");
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Version 2 has the index of the log; version 3 would map the database into memory.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(map_shared),
    xShmLock: Some(lock_shared),
    xShmBarrier: Some(shared_barrier),
    xShmUnmap: Some(unmap_shared),
    xFetch: None,
    xUnfetch: None,
};

/// The error that the VFS for Unix would report.
fn code(call: Call, fault: Fault) -> c_int {
    match (call, fault) {
        (_, Fault::Busy) => ffi::SQLITE_BUSY,
        (_, Fault::Lie) => ffi::SQLITE_OK,
        (Call::Open, _) => ffi::SQLITE_CANTOPEN,
        (Call::Write, Fault::Full | Fault::HalfThenFull) => ffi::SQLITE_FULL,
        (Call::Write, _) => ffi::SQLITE_IOERR_WRITE,
        (Call::Read, _) => ffi::SQLITE_IOERR_READ,
        (Call::Truncate, _) => ffi::SQLITE_IOERR_TRUNCATE,
        (Call::Sync, _) => ffi::SQLITE_IOERR_FSYNC,
        (Call::Size, _) => ffi::SQLITE_IOERR_FSTAT,
        (Call::Lock, _) => ffi::SQLITE_IOERR_LOCK,
        (Call::MapShared, Fault::Full | Fault::HalfThenFull) => ffi::SQLITE_IOERR_SHMSIZE,
        (Call::MapShared, _) => ffi::SQLITE_IOERR_SHMMAP,
        (Call::LockShared, _) => ffi::SQLITE_IOERR_SHMLOCK,
        (Call::Delete, _) => ffi::SQLITE_IOERR_DELETE,
        (Call::Rename | Call::MakeFolder, _) => ffi::SQLITE_IOERR,
    }
}

fn watched(name: *const c_char) -> Option<(Arc<Disk>, PathBuf)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite passes the name of a file as a text that ends with a zero byte.
    let name = unsafe { CStr::from_ptr(name) };
    Disk::of(Path::new(OsStr::from_bytes(name.to_bytes())))
}

/// The record of the VFS for Unix behind ours.
fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite allocated both records as one piece.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// The fault that a call on an open file is to have.
fn fault(file: *mut sqlite3_file, call: Call) -> Option<Fault> {
    // SAFETY: `open` made the record, and it is freed in `close` alone.
    let watched = unsafe { (*file.cast::<File>()).watched.as_ref() }?;
    watched.disk.call(call, &watched.path)
}

/// Calls a method of the VFS for Unix with its own record of the file.
macro_rules! pass_on {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let _unwatched = Unwatched::begin();
        let file = real($file);
        // SAFETY: the record was made by the VFS for Unix, and the arguments are those of SQLite.
        unsafe { ((*(*file).pMethods).$method.expect("a method of the VFS for Unix"))(file $(, $argument)*) }
    }};
}

/// Fails, or passes the call on.
macro_rules! fail_or_pass_on {
    ($file:expr, $call:expr, $method:ident $(, $argument:expr)*) => {
        match fault($file, $call) {
            Some(fault) => code($call, fault),
            None => pass_on!($file, $method $(, $argument)*),
        }
    };
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    opened: *mut c_int,
) -> c_int {
    let watched = watched(name);
    // SAFETY: SQLite allocated the record; without methods it is not closed after a failure.
    unsafe { (*file).pMethods = ptr::null() };
    if let Some((disk, path)) = &watched
        && let Some(fault) = disk.call(Call::Open, path)
    {
        return code(Call::Open, fault);
    }
    let unix = UNIX.load(Ordering::Acquire);
    let _unwatched = Unwatched::begin();
    // SAFETY: the arguments are those of SQLite, with the VFS for Unix and its own record.
    let result = unsafe { ((*unix).xOpen.expect("a VFS opens"))(unix, name, real(file), flags, opened) };
    if result == ffi::SQLITE_OK {
        let watched =
            watched.map_or(ptr::null_mut(), |(disk, path)| Box::into_raw(Box::new(Watched { disk, path })));
        // SAFETY: SQLite allocated the record.
        unsafe {
            ptr::write(
                file.cast::<File>(),
                File { base: sqlite3_file { pMethods: &raw const METHODS }, watched },
            )
        };
    }
    result
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    if let Some((disk, path)) = watched(name)
        && let Some(fault) = disk.call(Call::Delete, &path)
    {
        return code(Call::Delete, fault);
    }
    let unix = UNIX.load(Ordering::Acquire);
    let _unwatched = Unwatched::begin();
    // SAFETY: the arguments are those of SQLite.
    unsafe { ((*unix).xDelete.expect("a VFS deletes"))(unix, name, sync) }
}

/// SQLite waits for a lock; here only a fault holds one, and it does not end by waiting.
unsafe extern "C" fn sleep(_: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let result = pass_on!(file, xClose);
    // SAFETY: `open` made the box, and SQLite closes a file once.
    unsafe {
        let watched = (*file.cast::<File>()).watched;
        if !watched.is_null() {
            drop(Box::from_raw(watched));
        }
    }
    result
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    to: *mut c_void,
    count: c_int,
    at: sqlite3_int64,
) -> c_int {
    fail_or_pass_on!(file, Call::Read, xRead, to, count, at)
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: sqlite3_int64,
) -> c_int {
    let fault = fault(file, Call::Write);
    let count = match fault {
        None => count,
        Some(Fault::HalfThenIo | Fault::HalfThenFull) => count / 2,
        Some(fault) => return code(Call::Write, fault),
    };
    let written = pass_on!(file, xWrite, from, count, at);
    fault.map_or(written, |fault| code(Call::Write, fault))
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    fail_or_pass_on!(file, Call::Truncate, xTruncate, length)
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    fail_or_pass_on!(file, Call::Sync, xSync, flags)
}

unsafe extern "C" fn size(file: *mut sqlite3_file, length: *mut sqlite3_int64) -> c_int {
    fail_or_pass_on!(file, Call::Size, xFileSize, length)
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    fail_or_pass_on!(file, Call::Lock, xLock, level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    pass_on!(file, xUnlock, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, held: *mut c_int) -> c_int {
    fail_or_pass_on!(file, Call::Lock, xCheckReservedLock, held)
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, what: c_int, with: *mut c_void) -> c_int {
    pass_on!(file, xFileControl, what, with)
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    pass_on!(file, xSectorSize)
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    pass_on!(file, xDeviceCharacteristics)
}

unsafe extern "C" fn map_shared(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    fail_or_pass_on!(file, Call::MapShared, xShmMap, region, bytes, extend, to)
}

unsafe extern "C" fn lock_shared(file: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    if flags & ffi::SQLITE_SHM_LOCK == 0 {
        // A lock is always released.
        return pass_on!(file, xShmLock, first, count, flags);
    }
    fail_or_pass_on!(file, Call::LockShared, xShmLock, first, count, flags)
}

unsafe extern "C" fn shared_barrier(file: *mut sqlite3_file) {
    pass_on!(file, xShmBarrier);
}

unsafe extern "C" fn unmap_shared(file: *mut sqlite3_file, delete: c_int) -> c_int {
    pass_on!(file, xShmUnmap, delete)
}
