use std::io;
use std::path::Path;
use std::process::Command;

use crate::debian_host::{IMAGE, await_host, engine, host, or_skip};
use crate::engine::{Engine, HostError, said};

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
        let started = Self { engine: engine()? };
        let mut command = host(&started.engine, "host", mounts);
        said("start the host", command.args([IMAGE, "/sbin/host-init"]).output())?;
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
