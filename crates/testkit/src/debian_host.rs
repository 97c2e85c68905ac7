//! A throw-away Debian in a container: its image, made once, and its start.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::inotify;

use crate::engine::{Engine, HostError, failed, have, said};

/// How long an image may take to be made, milliseconds.
const IMAGE_MS_MAX: u64 = 600_000;
/// How long a host may take to come up, milliseconds.
const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 50;
/// How many instances of inotify a host has. A user has 128 (`fs.inotify.max_user_instances`), and an editor or another run of
/// tests takes of them.
const INOTIFY_OF_HOST: usize = 9;
/// How long a host may wait for them, milliseconds.
const ROOM_MS_MAX: u64 = 300_000;

/// The first process of a host. `make-rshared`: else `LoadCredential=` breaks; `bind`: a plain remount does nothing.
const INIT: &str = "mount --make-rshared /\nmount -o remount,bind,rw /sys/fs/cgroup\n\
    for m in /sys/fs/cgroup/*; do [ -h \"$m\" ] || mount -o remount,bind,rw \"$m\" 2>/dev/null; done\n\
    exec /lib/systemd/systemd\n";

/// What a host is made of. A name changes with everything that the image is made of, so that an old one is not taken.
pub(crate) struct HostImage {
    pub(crate) name: &'static str,
    /// What it has besides a minimal Debian and what every host has.
    packages: &'static [&'static str],
    /// Units that do not start by themselves: a host shares this machine's network.
    masked: &'static [&'static str],
}

/// The image of every host, but for those that say otherwise.
pub(crate) const PLAIN: HostImage = HostImage { name: IMAGE, packages: &[], masked: &[] };

/// With what a server of a shop has: an engine of containers, a pooler of PostgreSQL, and psql; and strace.
pub(crate) const WITH_DOCKER: HostImage = HostImage {
    name: "keyroll-host-docker-1",
    packages: &["docker.io", "pgbouncer", "postgresql-client-15", "strace"],
    masked: &["docker.service", "docker.socket", "containerd.service", "pgbouncer.service"],
};

/// The image of most hosts.
pub(crate) const IMAGE: &str = "keyroll-host-5";

/// What every host has besides a minimal Debian.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,procps,libpam-systemd,dbus-user-session,cron,openssh-server,sudo,\
    python3,haproxy,libfaketime";

/// What the first process does before all else. Its word is the id of the machine; without one systemd makes it, and could
/// take the id of this machine for every host.
const FIRST: &str = "[ -z \"$1\" ] || echo \"$1\" >/etc/machine-id\n";

/// Commands that change the image at the end; `$1` is its root. Its own server of ssh would listen on this machine's port 22:
/// hosts that are reached by ssh have one of ours instead, with a key of its own. A test that wants a balancer starts its own.
const HOOKS: [&str; 5] = [
    ": >\"$1\"/etc/machine-id",
    "rm -f \"$1\"/etc/ssh/ssh_host_*_key* \"$1\"/etc/systemd/system/*/ssh.service \"$1\"/etc/systemd/system/sshd.service",
    "ln -sf /dev/null \"$1\"/etc/systemd/system/ssh.service",
    "ln -sf /dev/null \"$1\"/etc/systemd/system/haproxy.service",
    "chroot \"$1\" useradd --create-home --uid 1000 --password \"*\" --shell /bin/bash deploy",
];

/// An engine that has the image of most hosts.
pub(crate) fn engine() -> Result<Engine, HostError> {
    engine_with(&PLAIN)
}

/// An engine that has an image.
pub(crate) fn engine_with(image: &HostImage) -> Result<Engine, HostError> {
    if !have("mmdebstrap") {
        return Err(HostError::Missing(
            "mmdebstrap is not installed (apt-get install mmdebstrap)".to_owned(),
        ));
    }
    let file = made(image)?;
    let engine = Engine::start()?;
    said("import the image", engine.docker(&["import", &file.display().to_string(), image.name]).output())?;
    Ok(engine)
}

/// The file of an image: made once, kept in the user's cache.
fn made(image: &HostImage) -> Result<PathBuf, HostError> {
    let folder = cache();
    let kept = folder.join(format!("{}.tar", image.name));
    if kept.exists() {
        return Ok(kept);
    }
    fs::create_dir_all(&folder).map_err(failed("make the cache"))?;
    let work = tempfile::tempdir_in(&folder).map_err(failed("make a folder"))?;
    let init = work.path().join("host-init");
    let text = format!("#!/bin/sh\n{FIRST}{INIT}");
    fs::write(&init, text).map_err(failed("write the host's first program"))?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&init, mode).map_err(failed("write the host's first program"))?;
    let made = work.path().join("image.tar");
    let mut command = Command::new("timeout");
    command.arg((IMAGE_MS_MAX / 1_000).to_string());
    let packages = [&[PACKAGES][..], image.packages].concat().join(",");
    command.args(["mmdebstrap", "--quiet", "--variant=minbase", &format!("--include={packages}")]);
    for left_out in ["man", "doc", "locale"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{left_out}/*"));
    }
    command.arg(format!("--customize-hook=copy-in {} /sbin", init.display()));
    command.args(HOOKS.iter().map(|hook| format!("--customize-hook={hook}")));
    let masks = image.masked.iter();
    command.args(
        masks.map(|unit| format!("--customize-hook=ln -sf /dev/null \"$1\"/etc/systemd/system/{unit}")),
    );
    command.arg("bookworm").arg(&made);
    said("make the host's image", command.stdin(Stdio::null()).output())?;
    // Two tests may make it at once: each has a whole one of its own until here.
    fs::rename(&made, &kept).map_err(failed("keep the host's image"))?;
    Ok(kept)
}

/// A host that is to be started: it has this name, shares this machine's network, and sees these folders and files under
/// the same paths. The image and the words for its first process follow.
pub(crate) fn host(engine: &Engine, name: &str, mounts: &[&Path]) -> Command {
    let mut command = engine.docker(&["run", "-d", "--name", name, "--hostname", name, "--network", "host"]);
    command.args(["--stop-signal", "SIGRTMIN+3", "--cgroupns", "private"]);
    command.args(["--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE"]);
    command.args(["--security-opt", "apparmor=unconfined", "--security-opt", "seccomp=unconfined"]);
    command.args(["--tmpfs", "/run", "--tmpfs", "/run/lock"]);
    for mount in mounts {
        command.arg("-v").arg(format!("{0}:{0}", mount.display()));
    }
    command
}

/// Waits until a host's service manager has started everything.
pub(crate) fn await_host(engine: &Engine, name: &str) -> Result<(), HostError> {
    let step = "start the host's service manager";
    let last = Instant::now() + Duration::from_millis(ROOM_MS_MAX);
    let mut end = Instant::now() + Duration::from_millis(START_MS_MAX);
    loop {
        let output = engine.docker(&["exec", name, "systemctl", "is-system-running", "--wait"]).output();
        let output = output.map_err(failed(step))?;
        // A host with a failed unit of its own (no hardware clock, no console) is up all the same.
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.success() || text.trim() == "degraded" {
            return Ok(());
        }
        // A service manager that gets no instance of inotify ends as soon as it starts.
        let ended = String::from_utf8_lossy(&output.stderr).contains("is not running");
        let used_up = ended && !has_room();
        if used_up && Instant::now() < last {
            end = Instant::now() + Duration::from_millis(START_MS_MAX);
        }
        if Instant::now() > end {
            let told = engine.docker(&["logs", "--tail", "5", name]).output();
            let told = told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned());
            let used = if used_up { "; fs.inotify.max_user_instances are used by others" } else { "" };
            let why = format!("{}; {}; {}{used}", text.trim(), engine.said(), told.unwrap_or_default());
            return Err(HostError::Start { step, why });
        }
        if ended && !used_up {
            said("start the host again", engine.docker(&["start", name]).output())?;
        }
        sleep(Duration::from_millis(LOOK_PAUSE_MS));
    }
}

/// Whether a host could have its instances of inotify now.
fn has_room() -> bool {
    let one = |_| inotify::init(inotify::CreateFlags::CLOEXEC).ok();
    (0..INOTIFY_OF_HOST).map_while(one).collect::<Vec<OwnedFd>>().len() == INOTIFY_OF_HOST
}

/// What started, or `None` with a line that says what is left out, where containers cannot run.
///
/// # Panics
/// If that is so although `CI=true`, or if it cannot be started.
#[allow(clippy::panic, reason = "a broken part is a broken test")]
pub(crate) fn or_skip<T>(started: Result<T, HostError>, what: &str, left_out: &str) -> Option<T> {
    match started {
        Ok(host) => Some(host),
        Err(HostError::Missing(why)) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{what} is missing in CI: {why}")
        }
        Err(HostError::Missing(why)) => {
            eprintln!("left out, because {why}: {left_out}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The folder of this crate in the user's cache.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("keyroll-testkit")
}
