use std::io;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::debian_host::{HostImage, PLAIN, WITH_DOCKER, await_host, engine_with, host, or_skip};
use crate::engine::{Engine, HostError, failed, said};

/// Where `cargo xtask parts` puts compose; docker looks there on every Debian.
const COMPOSE: &str = "/usr/local/lib/docker/cli-plugins/docker-compose";

/// How long the engine in a host may take to answer, milliseconds.
const ENGINE_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 50;

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
        Self::start_from(&PLAIN, mounts, &[])
    }

    fn start_from(image: &HostImage, mounts: &[&Path], more: &[&str]) -> Result<Self, HostError> {
        let started = Self { engine: engine_with(image)? };
        let mut command = host(&started.engine, "host", mounts);
        said("start the host", command.args(more).args([image.name, "/sbin/host-init"]).output())?;
        await_host(&started.engine, "host")?;
        Ok(started)
    }

    /// A host, or `None` with a line that says what is left out, where containers cannot run.
    ///
    /// # Panics
    /// If that is so although `CI=true`, or if a host cannot be started.
    pub fn start_or_skip(left_out: &str, mounts: &[&Path]) -> Option<Self> {
        or_skip(Self::start(mounts), "a host with systemd", left_out)
    }

    /// A host that has PgBouncer, psql, strace, and an engine of containers of its own with compose; the engine keeps its
    /// containers in `data`, a folder that is or lies in one of those that the host sees. Like the engine of the host
    /// itself it changes nothing of this machine's network: its containers are in that (`network_mode: host`) or in none.
    ///
    /// # Panics
    /// As [`SystemdHost::start_or_skip`].
    pub fn start_with_docker_or_skip(left_out: &str, mounts: &[&Path], data: &Path) -> Option<Self> {
        or_skip(Self::start_with_docker(mounts, data), "a host with systemd and docker", left_out)
    }

    fn start_with_docker(mounts: &[&Path], data: &Path) -> Result<Self, HostError> {
        if !Path::new(COMPOSE).exists() {
            return Err(HostError::Missing(format!("{COMPOSE} is not there (cargo xtask parts brings it)")));
        }
        let plugin = format!("{COMPOSE}:{COMPOSE}:ro");
        let started = Self::start_from(&WITH_DOCKER, mounts, &["-v", &plugin, "--cap-add", "NET_ADMIN"])?;
        let data = data.display().to_string();
        let unit = ["systemd-run", "--quiet", "--unit=engine", "--property=Delegate=yes"];
        let dockerd =
            ["dockerd", "--bridge", "none", "--iptables=false", "--ip-forward=false", "--data-root", &data];
        let step = "start the engine in the host";
        said(step, started.command(&[&unit[..], &dockerd].concat()).output())?;
        let end = Instant::now() + Duration::from_millis(ENGINE_MS_MAX);
        loop {
            let answer = started.command(&["docker", "compose", "ls"]).output().map_err(failed(step))?;
            if answer.status.success() {
                return Ok(started);
            }
            if Instant::now() > end {
                let log =
                    started.command(&["journalctl", "--no-pager", "--lines=30", "--unit=engine"]).output();
                let log = log.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                let why = String::from_utf8_lossy(&answer.stderr);
                let why = format!("{}; its journal: {}", why.trim(), log.unwrap_or_default());
                return Err(HostError::Start { step, why });
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
    }

    /// A command inside the host, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.engine.docker(&["exec", "host"]);
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
}

impl Drop for SystemdHost {
    fn drop(&mut self) {
        let _ = self.engine.docker(&["rm", "-f", "host"]).output();
    }
}
