use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engine::{Engine, HostError, failed, have, said};

/// What a host has besides a minimal Debian.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,procps,libpam-systemd,dbus-user-session,cron";
/// Changes with everything that the image is made of, so that an old one is not taken.
const IMAGE: &str = "keyroll-host-3";
/// How long an image may take to be made, milliseconds.
const IMAGE_MS_MAX: u64 = 300_000;
/// How long the engine or a host may take to come up, milliseconds.
const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 50;

/// The first process of a host. `make-rshared`: else `LoadCredential=` breaks; `bind`: a plain remount does nothing.
const INIT: &str = "#!/bin/sh\nmount --make-rshared /\nmount -o remount,bind,rw /sys/fs/cgroup\n\
    for m in /sys/fs/cgroup/*; do [ -h \"$m\" ] || mount -o remount,bind,rw \"$m\" 2>/dev/null; done\n\
    exec /lib/systemd/systemd\n";

/// A throw-away Debian host with systemd as its first process, in a container of an engine of its own; it shares this
/// machine's network, so that a database on loopback is reached, and is gone on drop or when this process dies.
pub struct SystemdHost {
    engine: Engine,
}

impl SystemdHost {
    /// Starts the engine and one host that sees these folders and files under the same paths.
    ///
    /// # Errors
    /// [`HostError::Missing`] where it cannot run at all.
    pub fn start(mounts: &[&Path]) -> Result<Self, HostError> {
        if !have("mmdebstrap") {
            return Err(HostError::Missing(
                "mmdebstrap is not installed (apt-get install mmdebstrap)".to_owned(),
            ));
        }
        let image = image()?;
        let host = Self { engine: Engine::start()? };
        let import = host.docker(&["import", &image.display().to_string(), IMAGE]).output();
        said("import the image", import)?;
        host.run(mounts)?;
        host.wait(
            "start the host's service manager",
            &["exec", "host", "systemctl", "is-system-running", "--wait"],
        )?;
        Ok(host)
    }

    /// A host, or `None` with a line that says what is left out, where containers cannot run.
    ///
    /// # Panics
    /// If that is so although `CI=true`, or if a host cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip(left_out: &str, mounts: &[&Path]) -> Option<Self> {
        match Self::start(mounts) {
            Ok(host) => Some(host),
            Err(HostError::Missing(why)) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                panic!("a host with systemd is missing in CI: {why}")
            }
            Err(HostError::Missing(why)) => {
                eprintln!("left out, because {why}: {left_out}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A command inside the host, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.docker(&["exec", "host"]);
        command.args(words);
        command
    }

    /// The engine's process id.
    ///
    /// # Errors
    /// If it is not running.
    pub fn engine(&self) -> io::Result<u32> {
        self.engine.pid()
    }

    /// Where the engine is reached, for `DOCKER_HOST`.
    pub fn socket(&self) -> String {
        self.engine.host()
    }

    fn docker(&self, words: &[&str]) -> Command {
        self.engine.docker(words)
    }

    fn run(&self, mounts: &[&Path]) -> Result<(), HostError> {
        let mut command =
            self.docker(&["run", "-d", "--name", "host", "--hostname", "host", "--network", "host"]);
        command.args(["--stop-signal", "SIGRTMIN+3", "--cgroupns", "private"]);
        command.args(["--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE"]);
        command.args(["--security-opt", "apparmor=unconfined", "--security-opt", "seccomp=unconfined"]);
        command.args(["--tmpfs", "/run", "--tmpfs", "/run/lock"]);
        for mount in mounts {
            command.arg("-v").arg(format!("{0}:{0}", mount.display()));
        }
        said("start the host", command.args([IMAGE, "/sbin/host-init"]).output())
    }

    fn wait(&self, step: &'static str, words: &[&str]) -> Result<(), HostError> {
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        loop {
            let output = self.docker(words).output().map_err(failed(step))?;
            // A host with a failed unit of its own (no hardware clock, no console) is up all the same.
            let text = String::from_utf8_lossy(&output.stdout);
            if output.status.success() || text.trim() == "degraded" {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(HostError::Start {
                    step,
                    why: format!("{}; {}", text.trim(), self.engine.said()),
                });
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
    }
}

impl Drop for SystemdHost {
    fn drop(&mut self) {
        let _ = self.docker(&["rm", "-f", "host"]).output();
    }
}

/// The folder of this crate in the user's cache.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("keyroll-testkit")
}

/// The host's image: made once, kept in the user's cache.
fn image() -> Result<PathBuf, HostError> {
    let folder = cache();
    let image = folder.join(format!("{IMAGE}.tar"));
    if image.exists() {
        return Ok(image);
    }
    fs::create_dir_all(&folder).map_err(failed("make the cache"))?;
    let work = tempfile::tempdir_in(&folder).map_err(failed("make a folder"))?;
    let init = work.path().join("host-init");
    fs::write(&init, INIT).map_err(failed("write the host's first program"))?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&init, mode).map_err(failed("write the host's first program"))?;
    let made = work.path().join("image.tar");
    let mut command = Command::new("timeout");
    command.arg((IMAGE_MS_MAX / 1_000).to_string());
    command.args(["mmdebstrap", "--quiet", "--variant=minbase", &format!("--include={PACKAGES}")]);
    for left_out in ["man", "doc", "locale"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{left_out}/*"));
    }
    command.arg("--customize-hook=: > \"$1\"/etc/machine-id");
    command.arg(format!("--customize-hook=copy-in {} /sbin", init.display()));
    command.arg("bookworm").arg(&made);
    said("make the host's image", command.stdin(Stdio::null()).output())?;
    // Two tests may make it at once: each has a whole one of its own until here.
    fs::rename(&made, &image).map_err(failed("keep the host's image"))?;
    Ok(image)
}
