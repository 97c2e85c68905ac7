//! The world of a test unit: what it sees of the machine, and what it inherits.
//!
//! keyroll searches the memory of every process that it sees. As root, each unit therefore gets a process and a mount
//! namespace of its own: it sees the processes that it started, and no other unit. When the unit or the runner ends, the
//! kernel ends what is left. Signals, umask, open files, locale, terminal, home and temporary folder are the same whoever
//! starts the runner; variables and limits: `inherited.rs`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, WaitOptions, geteuid, getpid, setsid, umask, wait};

use crate::inherited::{is_inherited, no_proxy};
use crate::run::have;

/// The chore that is the first process of a world.
pub(crate) const CHORE: &str = "world";

/// Where a container is stated to be a whole machine: `WHOLE_MACHINE` of `keyroll-observe`.
const STATEMENT: &str = "/run/keyroll/whole-machine";

/// The folders of a world.
const HOME: &str = "home";
const TEMPORARY: &str = "tmp";

/// Where a world with a mount namespace of its own has its folder, whatever TMPDIR is: other users must come through the
/// folders above it, and a socket's path has at most 107 bytes. The disk below is not used.
const ABOVE: &str = "/tmp";

/// Files that a unit's tests create are readable by others, as on most machines; so are the programs that are built, which
/// tests start as other users.
const UMASK: u32 = 0o022;

/// What others may do with a program that was built, and with its folder.
const MODE_OF_OTHERS: u32 = 0o055;

/// What one unit's processes get; the folder goes away with it.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn new() -> io::Result<Self> {
        let above = if is_own() { PathBuf::from(ABOVE) } else { env::temp_dir() };
        Ok(Self { folder: tempfile::Builder::new().prefix("unit-").tempdir_in(above)? })
    }

    /// A command that starts this program in the world. `own` is the program of these chores.
    pub(crate) fn command(&self, own: &Path, background: bool, program: &Path, words: &[String]) -> Command {
        let mut all: Vec<OsString> = Vec::new();
        if background {
            all.extend(["nice", "-n", "19"].map(OsString::from));
        }
        if is_own() {
            // `setpriv` ends `unshare` with the runner, and `--kill-child` the world with `unshare`.
            all.extend(["setpriv", "--pdeathsig", "KILL"].map(OsString::from));
            all.extend(
                ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "--"]
                    .map(OsString::from),
            );
        }
        all.extend([own.into(), OsString::from(CHORE), self.folder.path().into(), program.into()]);
        all.extend(words.iter().map(OsString::from));
        let mut all = all.into_iter();
        let mut command = Command::new(all.next().unwrap_or_default());
        command.args(all).stdin(Stdio::null());
        if is_own() {
            // A group of its own, so that it can be ended; elsewhere the world makes one.
            command.process_group(0);
        }
        self.set_variables(&mut command);
        command
    }

    fn set_variables(&self, command: &mut Command) {
        for (name, _) in env::vars_os().filter(|(name, _)| !is_inherited(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        let all: Vec<(String, String)> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        if let Some(hosts) = no_proxy(&all) {
            command.env("NO_PROXY", &hosts).env("no_proxy", &hosts);
        }
        let folder = self.folder.path();
        command.env("HOME", folder.join(HOME)).env("TMPDIR", folder.join(TEMPORARY));
        command.env("LANG", "C.UTF-8").env("TZ", "UTC").env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
        if geteuid().is_root() {
            command.env("USER", "root").env("LOGNAME", "root");
        }
        // Where tests install servers and managers once, and what their installers need of the home of the developer.
        // Without HOME, as a service is started, it is that of the user: a relative path would be in the checkout.
        let home = env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/"));
        let place = |name: &str, otherwise: &str| {
            env::var_os(name).map_or_else(|| home.join(otherwise), PathBuf::from)
        };
        command.env("XDG_CACHE_HOME", place("XDG_CACHE_HOME", ".cache"));
        for (name, otherwise) in [
            ("CARGO_HOME", ".cargo"),
            ("RUSTUP_HOME", ".rustup"),
            ("GOENV", ".config/go/env"),
            ("GOPATH", "go"),
            ("NPM_CONFIG_USERCONFIG", ".npmrc"),
            ("PIP_CONFIG_FILE", ".config/pip/pip.conf"),
        ] {
            let path = place(name, otherwise);
            if path.exists() {
                command.env(name, path);
            }
        }
    }
}

/// Whether units get namespaces of their own here.
pub(crate) fn is_own() -> bool {
    static OWN: OnceLock<bool> = OnceLock::new();
    *OWN.get_or_init(|| {
        let words = ["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "true"];
        let tried = Command::new("unshare").args(words).stderr(Stdio::null()).status();
        geteuid().is_root() && have("setpriv") && tried.is_ok_and(|status| status.success())
    })
}

/// Starts a unit's program, and ends as the program did; until then, it awaits the processes that the program leaves to
/// it. This is the first process of the unit's namespace, where there is one.
///
/// # Errors
/// The program cannot be started or awaited.
pub(crate) fn enter(words: &[String]) -> Result<u8, String> {
    let reason = |error: io::Error| error.to_string();
    let [folder, program, words @ ..] = words else { return Err("which folder and program?".to_owned()) };
    let folder = Path::new(folder);
    close_inherited().map_err(reason)?;
    // Without the terminal of whoever started the runner.
    setsid().map_err(|error| format!("setsid: {error}"))?;
    SigSet::empty().thread_set_mask().map_err(|error| format!("unblock signals: {error}"))?;
    // A signal that is ignored stays ignored in a new program; one with a handler becomes the default.
    let heard = Arc::new(AtomicBool::new(false));
    for signal in (1..=31).filter(|signal| !signal_hook::consts::FORBIDDEN.contains(signal)) {
        signal_hook::flag::register(signal, heard.clone()).map_err(reason)?;
    }
    if getpid().is_init() {
        mount_memory(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        state_whole_machine().map_err(|error| format!("{STATEMENT}: {error}"))?;
    }
    for name in [HOME, TEMPORARY] {
        fs::create_dir(folder.join(name)).map_err(reason)?;
    }
    let child = Command::new(program).args(words).spawn().map_err(reason)?;
    await_all(Pid::from_child(&child))
}

/// Sets the mode that new files get, whoever started the runner.
pub(crate) fn set_umask() {
    umask(Mode::from_raw_mode(UMASK));
}

/// Opens a program that was built, and the folders above it up to this one, to other users: tests start it as them, and cargo
/// may have been started with another umask before.
pub(crate) fn open_to_others(program: &Path, top: &Path) {
    for path in program.ancestors().take_while(|path| path.starts_with(top)) {
        let Ok(meta) = fs::metadata(path) else { continue };
        let mode = meta.permissions().mode();
        if mode & MODE_OF_OTHERS != MODE_OF_OTHERS {
            // A test that needs it says that it could not be started.
            let _ = fs::set_permissions(path, Permissions::from_mode(mode | MODE_OF_OTHERS));
        }
    }
}

/// Closes what whoever started the runner left open. Only the three standard descriptors are left.
fn close_inherited() -> io::Result<()> {
    let open = fs::read_dir("/proc/self/fd")?;
    let open: Vec<i32> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The folder's own descriptor is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// States to every keyroll of this world that nothing outside uses its secrets: else each says so instead of working.
/// Nobody else sees the file, because it is in a mount of this namespace.
fn state_whole_machine() -> io::Result<()> {
    let path = Path::new(STATEMENT);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    mount_memory(folder)?;
    let link = fs::read_link("/proc/self/ns/pid")?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let first = fs::read_to_string("/proc/1/stat")?;
    // The fields after the name begin with the third; the start is the 22nd. Source: proc_pid_stat(5).
    let start = first.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(19)).unwrap_or_default();
    fs::write(path, format!("{} {} {start}\n", link.display(), boot.trim()))
}

/// Mounts a file system in memory: tests make whole servers' data, and throw it away. A disk takes several times as much
/// processor time for that.
fn mount_memory(folder: &Path) -> io::Result<()> {
    Ok(mount("keyroll", folder, "tmpfs", MountFlags::empty(), Some(c"mode=0755"))?)
}

/// Awaits every child until this one has ended. What still runs then ends with this process.
fn await_all(wanted: Pid) -> Result<u8, String> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == wanted => {
                return Ok(code(ExitStatus::from_raw(status.as_raw())));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The exit code of a program, as shells say it for one that a signal ended.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_under_a_strict_umask_is_opened_and_nothing_above_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("target");
        let (debug, program) = (top.join("debug"), top.join("debug/keyroll"));
        fs::create_dir_all(&debug).unwrap();
        fs::write(&program, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for path in [folder.path(), top.as_path(), debug.as_path(), program.as_path()] {
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        }
        open_to_others(&program, &top);
        assert_eq!([mode(&top), mode(&debug), mode(&program)], [0o755; 3]);
        assert_eq!(mode(folder.path()), 0o700);
    }
}
