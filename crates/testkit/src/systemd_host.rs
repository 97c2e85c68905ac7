use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tempfile::TempDir;

/// What a host has besides a minimal Debian.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,procps,libpam-systemd,dbus-user-session";
/// Changes with everything that the image is made of, so that an old one is not taken.
const IMAGE: &str = "keyroll-host-2";
/// How long an image may take to be made, milliseconds.
const IMAGE_MS_MAX: u64 = 300_000;
/// How long the engine or a host may take to come up, milliseconds.
const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 50;

/// The first process of a host. `make-rshared`: else `LoadCredential=` breaks; `bind`: a plain remount does nothing.
const INIT: &str = "#!/bin/sh\nmount --make-rshared /\nmount -o remount,bind,rw /sys/fs/cgroup\n\
    for m in /sys/fs/cgroup/*; do [ -h \"$m\" ] || mount -o remount,bind,rw \"$m\" 2>/dev/null; done\n\
    exec /lib/systemd/systemd\n";

/// The engine's keeper: it stops the engine, and with it the host, when our end of its standard input closes,
/// however we ended; what the engine leaves mounted is taken down.
const KEEPER: &str = r#"exec 3<&0; left=$1; shift; "$@" </dev/null 3<&- & engine=$!; read -r _ <&3; kill -TERM $engine 2>/dev/null; wait $engine; umount "$left""#;

/// A throw-away Debian host with systemd as its first process, in a container of an engine of its own; it shares this
/// machine's network, so that a database on loopback is reached, and is gone on drop or when this process dies.
pub struct SystemdHost {
    keeper: Child,
    home: TempDir,
}

/// Why a host could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A program is not installed, this is not root, or the engine does not come up: what needs a host is left out.
    #[error("{0}")]
    Missing(String),
    /// A step of its start failed.
    #[error("could not {step}: {why}")]
    Start {
        /// The step, as a clause.
        step: &'static str,
        /// What was said.
        why: String,
    },
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> HostError {
    move |error| HostError::Start { step, why: error.to_string() }
}

impl SystemdHost {
    /// Starts the engine and one host that sees these folders and files under the same paths.
    ///
    /// # Errors
    /// [`HostError::Missing`] where it cannot run at all.
    pub fn start(mounts: &[&Path]) -> Result<Self, HostError> {
        if !geteuid().is_root() {
            return Err(HostError::Missing("containers need root".to_owned()));
        }
        for (program, missing) in [
            ("dockerd", "the engine is not installed (apt-get install docker.io)"),
            ("mmdebstrap", "mmdebstrap is not installed (apt-get install mmdebstrap)"),
        ] {
            let found = Command::new("which").arg(program).stdout(Stdio::null()).status();
            if !found.is_ok_and(|status| status.success()) {
                return Err(HostError::Missing(missing.to_owned()));
            }
        }
        let image = image()?;
        let home = tempfile::Builder::new().prefix("keyroll-host-").tempdir();
        let home = home.map_err(failed("make a folder"))?;
        let keeper = start_engine(home.path())?;
        let mut host = Self { keeper, home };
        host.await_engine()?;
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
        let text = fs::read_to_string(self.home.path().join("docker.pid"))?;
        text.trim().parse().map_err(|_| io::Error::other("docker.pid holds no number"))
    }

    /// Where the engine is reached, for `DOCKER_HOST`.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.home.path().join("docker.sock").display())
    }

    fn docker(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.socket()).args(words).stdin(Stdio::null());
        command
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

    /// Waits for the engine. One that ends instead is not to be had on this machine: no rights, no kernel for it.
    fn await_engine(&mut self) -> Result<(), HostError> {
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        while !self.docker(&["version"]).output().is_ok_and(|output| output.status.success()) {
            let ended = self.keeper.try_wait().is_ok_and(|ended| ended.is_some());
            if ended || Instant::now() > end {
                return Err(HostError::Missing(format!(
                    "the container engine does not start here: {}",
                    self.said()
                )));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(())
    }

    /// The end of the engine's log.
    fn said(&self) -> String {
        let log = fs::read_to_string(self.home.path().join("engine.log")).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
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
                return Err(HostError::Start { step, why: format!("{}; {}", text.trim(), self.said()) });
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
    }
}

impl Drop for SystemdHost {
    fn drop(&mut self) {
        let _ = self.docker(&["rm", "-f", "host"]).output();
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn said(step: &'static str, output: io::Result<Output>) -> Result<(), HostError> {
    let output = output.map_err(failed(step))?;
    if output.status.success() {
        return Ok(());
    }
    Err(HostError::Start { step, why: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// An engine with no bridge and no rules: it changes nothing of this machine's network.
fn start_engine(home: &Path) -> Result<Child, HostError> {
    let log = fs::File::create(home.join("engine.log")).map_err(failed("make the log"))?;
    let again = log.try_clone().map_err(failed("share the log"))?;
    let place = |name: &str| home.join(name).display().to_string();
    Command::new("sh")
        .args([
            "-c",
            KEEPER,
            "keeper",
            &place("exec/netns/default"),
            "dockerd",
            "--bridge",
            "none",
            "--iptables=false",
            "--ip-forward=false",
        ])
        .args(["--host", &format!("unix://{}", place("docker.sock"))])
        .args([
            "--data-root",
            &place("data"),
            "--exec-root",
            &place("exec"),
            "--pidfile",
            &place("docker.pid"),
        ])
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(again)
        .spawn()
        .map_err(failed("start the engine"))
}

/// The host's image: made once, kept in the user's cache.
fn image() -> Result<PathBuf, HostError> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.unwrap_or_else(std::env::temp_dir).join("keyroll-testkit");
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
