use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tempfile::TempDir;

/// How long the engine may take to come up, milliseconds.
const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 50;

/// What the kernel calls a container's first process until it executes the container's program.
const ENGINES_OWN: &str = "runc";

/// The engine's keeper: it stops the engine, and with it the host, when our end of its standard input closes,
/// however we ended; what the engine leaves mounted is taken down.
const KEEPER: &str = r#"exec 3<&0; left=$1; shift; "$@" </dev/null 3<&- & engine=$!; read -r _ <&3; kill -TERM $engine 2>/dev/null; wait $engine; umount "$left""#;

/// A container engine of its own, with no bridge and no rules: it changes nothing of this machine's network. It is gone
/// on drop or when this process dies, and its containers with it.
pub struct Engine {
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

/// Whether a program is installed.
pub(crate) fn have(program: &str) -> bool {
    let found = Command::new("which").arg(program).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

impl Engine {
    /// Starts an engine.
    ///
    /// # Errors
    /// [`HostError::Missing`] where it cannot run at all.
    pub fn start() -> Result<Self, HostError> {
        if !geteuid().is_root() {
            return Err(HostError::Missing("containers need root".to_owned()));
        }
        if !have("dockerd") {
            return Err(HostError::Missing(
                "the engine is not installed (apt-get install docker.io)".to_owned(),
            ));
        }
        let home = tempfile::Builder::new().prefix("keyroll-engine-").tempdir();
        let home = home.map_err(failed("make a folder"))?;
        let keeper = start_engine(home.path())?;
        let mut engine = Self { keeper, home };
        engine.wait()?;
        Ok(engine)
    }

    /// An engine with docker compose, or `None` with a line that says what is left out, where it cannot run.
    ///
    /// # Panics
    /// If that is so although `CI=true`, or if an engine cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip(left_out: &str) -> Option<Self> {
        let compose = Command::new("docker").args(["compose", "version"]).output();
        let missing = match compose {
            Ok(output) if output.status.success() => match Self::start() {
                Ok(engine) => return Some(engine),
                Err(HostError::Missing(why)) => why,
                Err(error) => panic!("{error}"),
            },
            Ok(_) | Err(_) => "docker compose is not installed (cargo xtask parts brings it)".to_owned(),
        };
        if std::env::var("CI").is_ok_and(|ci| ci == "true") {
            panic!("a container engine is missing in CI: {missing}");
        }
        eprintln!("left out, because {missing}: {left_out}");
        None
    }

    /// The engine's socket, as `DOCKER_HOST` names it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.home.path().join("docker.sock").display())
    }

    /// Makes an image of links into this machine's own `/usr`, which its containers mount: it holds nothing itself.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn image(&self, name: &str, more: &str) -> Result<(), HostError> {
        let made = tempfile::tempdir().map_err(failed("make a folder"))?;
        let step = "make an image";
        for link in ["bin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{link}"), made.path().join(link))
                .map_err(failed(step))?;
        }
        for folder in ["usr", "etc", "tmp", "run", "proc", "dev", "sys", more] {
            fs::create_dir_all(made.path().join(folder)).map_err(failed(step))?;
        }
        let tar = made.path().with_extension("tar");
        let packed = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(made.path()).arg(".").output();
        said(step, packed)?;
        let imported = self.docker(&["import", &tar.display().to_string(), name]).output();
        fs::remove_file(&tar).map_err(failed(step))?;
        said(step, imported)
    }

    /// A command to this engine, not started yet.
    pub fn docker(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(words).stdin(Stdio::null());
        command
    }

    /// The first process of a container, once it executes the container's own program: the engine says that a
    /// container runs while its own code, with an environment of its own, still stands in that process.
    ///
    /// # Errors
    /// The container does not run, or stays with the engine's code.
    pub fn first_process(&self, container: &str) -> Result<u32, HostError> {
        let step = "look at a container's first process";
        let asked = self.docker(&["inspect", "--format", "{{.State.Pid}}", container]).output();
        let asked = asked.map_err(failed(step))?;
        let text = String::from_utf8_lossy(&asked.stdout);
        let pid: u32 = text.trim().parse().unwrap_or_default();
        if pid == 0 {
            let why = String::from_utf8_lossy(&asked.stderr);
            return Err(HostError::Start { step, why: format!("{container} does not run: {}", why.trim()) });
        }
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        loop {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).map_err(failed(step))?;
            if !name.starts_with(ENGINES_OWN) {
                return Ok(pid);
            }
            if Instant::now() > end {
                return Err(HostError::Start { step, why: format!("{container} is still {}", name.trim()) });
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
    }

    /// The engine's process id.
    ///
    /// # Errors
    /// If it is not running.
    pub fn pid(&self) -> io::Result<u32> {
        let text = fs::read_to_string(self.home.path().join("docker.pid"))?;
        text.trim().parse().map_err(|_| io::Error::other("docker.pid holds no number"))
    }

    /// Waits for the engine. One that ends instead is not to be had on this machine: no rights, no kernel for it.
    fn wait(&mut self) -> Result<(), HostError> {
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
    pub(crate) fn said(&self) -> String {
        let log = fs::read_to_string(self.home.path().join("engine.log")).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What still runs would outlive its engine.
        if let Ok(output) = self.docker(&["ps", "--all", "--quiet"]).output() {
            let ids = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut words = vec!["rm", "--force", "--volumes"];
            words.extend(ids.split_ascii_whitespace());
            let _ = self.docker(&words).output();
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

pub(crate) fn failed(step: &'static str) -> impl Fn(io::Error) -> HostError {
    move |error| HostError::Start { step, why: error.to_string() }
}

pub(crate) fn said(step: &'static str, output: io::Result<Output>) -> Result<(), HostError> {
    let output = output.map_err(failed(step))?;
    if output.status.success() {
        return Ok(());
    }
    Err(HostError::Start { step, why: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

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
