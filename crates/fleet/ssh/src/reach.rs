use std::time::{Duration, Instant};

use keyroll_link::{HostHello, Link};

use crate::error::ReachError;
use crate::marker::{State, Sudo};
use crate::program::Program;
use crate::session::{Reach, Running, Session, Ssh};

/// A host that is reached. ssh is ended when this is dropped, and then `keyroll-host` ends by itself.
pub struct Reached {
    /// What is asked and answered over it.
    pub link: Link,
    /// What the host said of itself.
    pub hello: HostHello,
    /// How it was started.
    pub started: Started,
    running: Running,
}

/// How `keyroll-host` was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The kind of machine, as `uname -m` says it.
    pub machine: String,
    /// As whom it runs.
    pub sudo: Sudo,
    /// What is free in the host's folder for programs, KiB, if that could be seen.
    pub free_kib: Option<u64>,
    /// Whether it was sent: else it was there.
    pub sent: bool,
    /// How long it took until the host's shell answered.
    pub connect: Duration,
}

/// Connects to a host, sends `keyroll-host` if it is not there, and starts it. `told` hears what takes long.
///
/// # Errors
/// See [`ReachError`].
pub async fn reach(
    to: &Reach,
    programs: &[Program],
    key: &[u8; 32],
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<Reached, ReachError> {
    Ssh::installed().reach(to, programs, key, told).await
}

impl Ssh {
    pub(crate) async fn reach(
        &self,
        to: &Reach,
        programs: &[Program],
        key: &[u8; 32],
        told: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reached, ReachError> {
        let began = Instant::now();
        let (mut session, mut marker) = Session::start(self, to, programs)?.begun().await?;
        let connect = began.elapsed();
        let sent = marker.state == State::Need;
        if sent {
            let program = programs.iter().find(|program| program.machine == marker.machine);
            let program = program.ok_or_else(|| ReachError::NoProgramFor(marker.machine.clone()))?;
            told(&format!("sending keyroll-host to {}, {} MB", to.name, program.bytes.div_ceil(1_000_000)));
            (session, marker) = session.send(program).await?;
        }
        let sudo = marker.ready()?;
        let (link, hello, running) = session.open(key).await?;
        let started = Started { machine: marker.machine, sudo, free_kib: marker.free_kib, sent, connect };
        Ok(Reached { link, hello, started, running })
    }
}

impl Reached {
    /// The connection, the greeting, and what ends ssh when it is dropped.
    pub fn into_parts(self) -> (Link, HostHello, impl Send + use<>) {
        let Self { link, hello, started: _, running } = self;
        (link, hello, running)
    }

    /// Closes the connection, awaits the end of ssh, and tells what ssh said last, if it said anything.
    pub async fn end(self) -> Option<String> {
        let Self { link, running, .. } = self;
        drop(link);
        running.end().await
    }
}

#[cfg(test)]
mod tests;
