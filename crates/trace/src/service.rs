use std::path::PathBuf;

use keyroll_observe::ProcessId;

use crate::Chain;

/// What keeps a service running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keeper {
    /// systemd, of the system.
    Systemd,
    /// systemd, of a user.
    SystemdUser,
    /// docker compose.
    Compose,
    /// docker.
    Docker,
    /// pm2.
    Pm2,
    /// supervisord.
    Supervisord,
    /// cron.
    Cron,
    /// A person's session: a shell and what was started from it.
    Session,
    /// Nobody who is known.
    Nobody,
}

/// What is kept running, with the processes that it consists of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Who keeps it.
    pub keeper: Keeper,
    /// Its name there.
    pub name: String,
    /// Its processes, masters and workers alike; none where it does not run.
    pub processes: Vec<ProcessId>,
    /// The folder of its project: where its manifest stands.
    pub project: Option<PathBuf>,
    /// Where it takes its values from, one chain for each name.
    pub chains: Vec<Chain>,
}
