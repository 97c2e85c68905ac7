//! File replacement on real files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use keyroll_host::{Digest, Replaced, Replacement, Resolved, TempName, Write};
use keyroll_host::{TARGET_BYTES_MAX, read, remove_temp, replace, resolve, trial};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, getxattr, mknodat, setxattr};

const OLD: &[u8] = b"KEY=old\n";
const NEW: &[u8] = b"KEY=a-new-and-longer-one\n";
const DEADLINE: Duration = Duration::from_secs(60);

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(bytes.to_vec())
}

fn temp() -> TempName {
    TempName::new("r1-7").unwrap()
}

fn left_out(what: &str, why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} is needed here: {why}");
    eprintln!("left out: {what} ({why})");
}

/// A folder with a target that holds [`OLD`].
fn target() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("env");
    fs::write(&path, OLD).unwrap();
    (folder, path)
}

fn put(resolved: &Resolved, write: Write) -> Result<Replaced, Failure> {
    let (new, temp) = (secret(NEW), temp());
    replace(&Replacement { resolved, expect: &Digest::of(&secret(OLD)), new: &new, temp: &temp, write })
}

fn refusal<T>(outcome: Result<T, Failure>) -> (&'static str, Class) {
    let failure = outcome.err().expect("a failure");
    assert!(failure.help.is_some(), "{failure} has no help");
    let text = format!("{failure} {failure:?}");
    assert!(!text.contains("a-new-and-longer-one") && !text.contains("KEY="), "{text}");
    (failure.code.as_str(), failure.class)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_and_nothing_else_is_left() {
    for write in [Write::Rename, Write::InPlace] {
        let (folder, path) = target();
        let resolved = resolve(&path).unwrap();
        trial(&resolved, write, &temp()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), OLD);
        let replaced = put(&resolved, write).unwrap();
        assert_eq!(fs::read(&path).unwrap(), NEW);
        assert_eq!(names(folder.path()), ["env"]);
        assert_eq!((replaced.digest, replaced.already), (Digest::of(&secret(NEW)), false));
        assert_eq!(replaced.inode.number, fs::metadata(&path).unwrap().ino());
        assert_eq!(read(&resolved).unwrap().digest, replaced.digest);
        assert!(put(&resolved, write).unwrap().already, "a repeated call is harmless");
    }
}

#[test]
fn in_place_keeps_the_inode_and_cuts_a_longer_file() {
    let (_folder, path) = target();
    fs::write(&path, [OLD, &[b'x'; 10_000]].concat()).unwrap();
    let resolved = resolve(&path).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    let (new, temp) = (secret(NEW), temp());
    let write = Write::InPlace;
    replace(&Replacement { resolved: &resolved, expect: &resolved.digest, new: &new, temp: &temp, write })
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), NEW);
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn a_link_is_resolved_once_and_stays() {
    let (folder, path) = target();
    let link = folder.path().join("link");
    symlink("env", &link).unwrap();
    let resolved = resolve(&link).unwrap();
    assert_eq!((&resolved.given, &resolved.real), (&link, &fs::canonicalize(&path).unwrap()));
    put(&resolved, Write::Rename).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), NEW);
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_changed_link_is_refused() {
    let (folder, path) = target();
    let (link, other) = (folder.path().join("link"), folder.path().join("other"));
    symlink("env", &link).unwrap();
    let resolved = resolve(&link).unwrap();
    fs::write(&other, OLD).unwrap();
    fs::remove_file(&link).unwrap();
    symlink("other", &link).unwrap();
    assert_eq!(refusal(put(&resolved, Write::Rename)), ("K0314", Class::Permanent));
    assert_eq!(refusal(read(&resolved)), ("K0314", Class::Permanent));
    assert_eq!(refusal(trial(&resolved, Write::Rename, &temp())), ("K0314", Class::Permanent));
    assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (OLD.to_vec(), OLD.to_vec()));
}

#[test]
fn a_directory_that_became_another_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (there, moved) = (folder.path().join("there"), folder.path().join("moved"));
    fs::create_dir(&there).unwrap();
    fs::write(there.join("env"), OLD).unwrap();
    let resolved = resolve(&there.join("env")).unwrap();
    fs::rename(&there, &moved).unwrap();
    fs::create_dir(&there).unwrap();
    fs::write(there.join("env"), OLD).unwrap();
    assert_eq!(refusal(put(&resolved, Write::Rename)), ("K0314", Class::Permanent));
    assert_eq!(refusal(remove_temp(&resolved, &temp())), ("K0314", Class::Permanent));
    assert_eq!(fs::read(there.join("env")).unwrap(), OLD);
}

#[test]
fn a_target_that_became_a_link_is_refused() {
    let (folder, path) = target();
    let resolved = resolve(&path).unwrap();
    let sentinel = folder.path().join("sentinel");
    fs::write(&sentinel, OLD).unwrap();
    fs::remove_file(&path).unwrap();
    symlink("sentinel", &path).unwrap();
    for write in [Write::Rename, Write::InPlace] {
        assert_eq!(refusal(put(&resolved, write)), ("K0314", Class::Permanent));
    }
    assert_eq!(fs::read(&sentinel).unwrap(), OLD);
}

#[test]
fn a_hard_link_is_shown_and_never_broken() {
    let (folder, path) = target();
    let other = folder.path().join("other");
    fs::hard_link(&path, &other).unwrap();
    let resolved = resolve(&path).unwrap();
    assert_eq!(resolved.nlink, 2);
    assert_eq!(read(&resolved).unwrap().nlink, 2);
    assert_eq!(refusal(put(&resolved, Write::Rename)), ("K0316", Class::Permanent));
    assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (OLD.to_vec(), OLD.to_vec()));
    put(&resolved, Write::InPlace).unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (NEW.to_vec(), NEW.to_vec()));
}

/// The outcome of work that must not block, such as on a FIFO without a writer.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(work()));
    receive.recv_timeout(DEADLINE).expect("it blocked")
}

#[test]
fn only_a_regular_file_is_a_target() {
    let (folder, path) = target();
    let resolved = resolve(&path).unwrap();
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let fifo = path.clone();
    assert_eq!(in_time(move || refusal(resolve(&fifo))), ("K0310", Class::Permanent));
    assert_eq!(in_time(move || refusal(put(&resolved, Write::InPlace))), ("K0310", Class::Permanent));
    for other in [folder.path(), Path::new("/dev/null"), Path::new("/dev/tty")] {
        if other.exists() {
            assert_eq!(refusal(resolve(other)), ("K0310", Class::Permanent), "{}", other.display());
        }
    }
    assert_eq!(refusal(resolve(Path::new("env"))), ("K0310", Class::Permanent));
    assert_eq!(refusal(resolve(Path::new("/"))), ("K0310", Class::Permanent));
    assert_eq!(refusal(resolve(&folder.path().join("absent"))), ("K0310", Class::Permanent));
    let large = folder.path().join("large");
    fs::File::create(&large).unwrap().set_len(TARGET_BYTES_MAX + 1).unwrap();
    assert_eq!(refusal(resolve(&large)), ("K0310", Class::Permanent));
}

#[test]
fn another_content_is_refused() {
    for write in [Write::Rename, Write::InPlace] {
        let (folder, path) = target();
        let resolved = resolve(&path).unwrap();
        fs::write(&path, b"KEY=else\n").unwrap();
        assert_eq!(refusal(put(&resolved, write)), ("K0314", Class::Permanent));
        assert_eq!(refusal(trial(&resolved, write, &temp())), ("K0314", Class::Permanent));
        assert_eq!(fs::read(&path).unwrap(), b"KEY=else\n");
        assert_eq!(names(folder.path()), ["env"]);
    }
    let (_folder, path) = target();
    let resolved = resolve(&path).unwrap();
    let (new, temp) = (SecretBytes::new(vec![b'x'; 1 + usize::try_from(TARGET_BYTES_MAX).unwrap()]), temp());
    let write = Write::Rename;
    let large = replace(&Replacement {
        resolved: &resolved,
        expect: &resolved.digest,
        new: &new,
        temp: &temp,
        write,
    });
    assert_eq!(refusal(large), ("K0310", Class::Permanent));
}

#[test]
fn a_temp_file_is_removed_only_if_it_can_be_ours() {
    let (folder, path) = target();
    let resolved = resolve(&path).unwrap();
    let leftover = folder.path().join(temp().as_str());
    assert!(!remove_temp(&resolved, &temp()).unwrap());
    fs::write(&leftover, NEW).unwrap();
    assert_eq!(refusal(put(&resolved, Write::Rename)), ("K0315", Class::Permanent));
    assert!(leftover.exists(), "a file that this call did not make is not removed by it");
    assert!(remove_temp(&resolved, &temp()).unwrap());
    assert_eq!(names(folder.path()), ["env"]);
    symlink("env", &leftover).unwrap();
    assert_eq!(refusal(remove_temp(&resolved, &temp())), ("K0315", Class::Permanent));
    for name in ["", "../x", "a/b", "x\0", "ä", &"x".repeat(101)] {
        assert!(TempName::new(name).is_none(), "{name:?}");
    }
    assert!(TempName::parse("env").is_none());
    assert_eq!(TempName::parse(temp().as_str()), Some(temp()));
}

/// An access list as the kernel keeps it (linux/posix_acl_xattr.h): version 2, then tag, permissions, id.
fn access_list(user: u32) -> Vec<u8> {
    let any = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, any), (2, 4, user), (4, 4, any), (0x10, 4, any), (0x20, 0, any)];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    list
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = getxattr(path, name, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn owner_mode_access_list_and_attributes_are_kept() {
    let (_folder, path) = target();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12_345), Some(23_456)).unwrap();
    } else {
        left_out("another owner", "not root");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let list = access_list(4_321);
    let set = |name, value: &[u8]| setxattr(&path, name, value, XattrFlags::empty());
    if set("user.note", b"kept").and_then(|()| set("system.posix_acl_access", &list)).is_err() {
        left_out("extended attributes", "the file system has none");
    }
    let shown = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        let note = attribute(path, "user.note");
        (meta.uid(), meta.gid(), meta.mode(), note, attribute(path, "system.posix_acl_access"))
    };
    let before = shown(&path);
    put(&resolve(&path).unwrap(), Write::Rename).unwrap();
    assert_eq!(shown(&path), before);
    assert_eq!(fs::read(&path).unwrap(), NEW);
}

#[test]
fn an_access_list_that_only_the_directory_gives_is_taken_off() {
    let (folder, path) = target();
    let default = access_list(4_321);
    if setxattr(folder.path(), "system.posix_acl_default", &default, XattrFlags::empty()).is_err() {
        return left_out("access lists", "the file system has none");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    put(&resolve(&path).unwrap(), Write::Rename).unwrap();
    assert_eq!(attribute(&path, "system.posix_acl_access"), None);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
}

/// Removes the attribute again, even when the test fails: otherwise nobody could remove the folder.
struct Immutable<'a>(&'a Path);

impl Drop for Immutable<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-i", "-a"]).arg(self.0).status();
    }
}

#[test]
fn an_immutable_file_or_directory_is_refused_before_anything_is_written() {
    let (folder, path) = target();
    let resolved = resolve(&path).unwrap();
    for (flag, what) in [("+i", path.as_path()), ("+a", &path), ("+i", folder.path()), ("+a", folder.path())]
    {
        let guard = Immutable(what);
        let set = Command::new("chattr").arg(flag).arg(what).stderr(std::process::Stdio::null()).status();
        if !set.is_ok_and(|status| status.success()) {
            return left_out("chattr", "not root, or the file system has no such attributes");
        }
        assert_eq!(refusal(trial(&resolved, Write::Rename, &temp())), ("K0316", Class::Permanent), "{flag}");
        assert_eq!(refusal(put(&resolved, Write::Rename)), ("K0316", Class::Permanent), "{flag}");
        if what == path {
            assert_eq!(refusal(put(&resolved, Write::InPlace)).1, Class::Permanent, "{flag}");
            assert_eq!(refusal(trial(&resolved, Write::InPlace, &temp())).1, Class::Permanent, "{flag}");
        }
        drop(guard);
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["env".to_owned()], OLD.to_vec()));
    }
    put(&resolved, Write::Rename).unwrap();
}

/// While names are swapped under it, a replacement writes the resolved file or refuses; never another one.
#[test]
fn a_racing_swapper_never_gets_the_sentinel_written() {
    const OUTCOMES_MIN: u32 = 2_000;
    // In memory, which is fast: the race is about names, not durability.
    let memory = Path::new("/dev/shm");
    for write in [Write::Rename, Write::InPlace] {
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::create_dir(at("trap")).unwrap();
        fs::write(at("real/env"), OLD).unwrap();
        // The same content: only its name distinguishes it from the target.
        fs::write(at("trap/env"), OLD).unwrap();
        let sentinel = fs::metadata(at("trap/env")).unwrap().ino();
        let resolved = resolve(&at("real/env")).unwrap();
        let stop = AtomicBool::new(false);
        let (mut replaced, mut refused) = (0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    fs::rename(at("real"), at("aside")).unwrap();
                    symlink("trap", at("real")).unwrap();
                    fs::remove_file(at("real")).unwrap();
                    fs::rename(at("aside"), at("real")).unwrap();
                    symlink("../trap/env", at("real/swap")).unwrap();
                    fs::rename(at("real/swap"), at("real/env")).unwrap();
                    fs::write(at("real/swap"), OLD).unwrap();
                    fs::rename(at("real/swap"), at("real/env")).unwrap();
                    thread::yield_now();
                }
            });
            let end = Instant::now() + DEADLINE;
            while Instant::now() < end && (replaced < OUTCOMES_MIN || refused < OUTCOMES_MIN) {
                match put(&resolved, write) {
                    Ok(_) => replaced += 1,
                    Err(_) => refused += 1,
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(replaced > 0 && refused > 0, "{write:?}: {replaced} replaced, {refused} refused");
        assert_eq!(fs::read(at("trap/env")).unwrap(), OLD, "{write:?}");
        assert_eq!(fs::metadata(at("trap/env")).unwrap().ino(), sentinel, "{write:?}");
        assert_eq!(names(&at("trap")), ["env"]);
        assert_eq!(names(&at("real")), ["env"]);
    }
}
