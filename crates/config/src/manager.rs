use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::at::At;
use crate::config::one_of;
use crate::fault::Fault;
use crate::path::resolve;
use crate::runs::read_loopback;
use crate::shape::RunsShape;
use crate::{Argv, Kind, Signal};

/// A program that runs others, and what it calls this consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    /// supervisord.
    Supervisor {
        /// The program's name, or its group's.
        program: String,
        /// Its configuration file.
        config: PathBuf,
    },
    /// pm2.
    Pm2 {
        /// The ecosystem file.
        ecosystem: PathBuf,
        /// The app's name.
        app: String,
        /// pm2's own folder, where it is named.
        home: Option<PathBuf>,
    },
    /// A program that speaks the protocol of adapters.
    Exec(Argv),
    /// A master with workers that it forked.
    Master {
        /// The file with the master's process id.
        pid_file: PathBuf,
        /// How its workers are replaced.
        roll: Roll,
    },
    /// Jobs of cron, of which nothing runs now.
    Cron(PathBuf),
    /// A LiteLLM proxy, whose workers are replaced one by one: where it answers.
    LiteLlm(SocketAddr),
    /// The gateway of OpenClaw.
    OpenClaw {
        /// Its state folder.
        state: PathBuf,
        /// The model provider whose key is rotated.
        provider: String,
        /// Its program, where it is named.
        program: Option<PathBuf>,
        /// What starts it anew, where it is named.
        start: Option<Start>,
    },
}

/// What ends a process and starts another one in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A command.
    Command(Argv),
    /// A unit of systemd, and the user whose own manager has it.
    Unit(String, Option<String>),
}

/// How the workers of a master are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roll {
    /// By a signal to the master.
    Signal(Signal),
    /// Worker by worker, each ended before the next one is forked.
    Workers,
    /// Worker by worker, the new one first.
    GrowAndShrink,
}

impl Roll {
    /// The words of the file.
    pub const WORDS: [&str; 5] = ["HUP", "USR1", "USR2", "workers", "TTIN"];

    fn read(text: &At<String>) -> Result<Self, Fault> {
        match text.value.as_str() {
            "workers" => Ok(Self::Workers),
            "TTIN" => Ok(Self::GrowAndShrink),
            word => Signal::parse(word)
                .filter(|signal| Self::WORDS.contains(&signal.name()))
                .map(Self::Signal)
                .ok_or_else(|| one_of("reload", text, &Self::WORDS)),
        }
    }
}

/// Where Debian's package keeps it.
const SUPERVISOR_CONFIG: &str = "/etc/supervisor/supervisord.conf";

impl Manager {
    /// The manager's own program, by which it is told.
    pub fn program(&self) -> Option<&'static str> {
        match self {
            Self::Supervisor { .. } => Some("supervisorctl"),
            Self::Pm2 { .. } => Some("pm2"),
            Self::OpenClaw { program: None, .. } => Some("openclaw"),
            Self::Exec(_)
            | Self::Master { .. }
            | Self::Cron(_)
            | Self::LiteLlm(_)
            | Self::OpenClaw { .. } => None,
        }
    }

    /// The manager that the table names; `None` for the other forms.
    pub(crate) fn read(runs: &RunsShape, folder: &Path, holes: &[&str]) -> Result<Option<Self>, Fault> {
        for (key, with, text, there) in [
            ("config", "supervisor", &runs.config, runs.supervisor.is_some()),
            ("app", "pm2", &runs.app, runs.pm2.is_some()),
            ("home", "pm2", &runs.home, runs.pm2.is_some()),
            ("reload", "master", &runs.reload, runs.master.is_some()),
            ("provider", "openclaw", &runs.provider, runs.openclaw.is_some()),
            ("program", "openclaw", &runs.program, runs.openclaw.is_some()),
        ] {
            if let Some(text) = text.as_ref().filter(|_| !there) {
                let why = format!("`{key}` goes with `{with}`");
                return Err(Fault::new(Kind::BadCombination, why).at(&text.span));
            }
        }
        if let Some(program) = &runs.supervisor {
            let config = match &runs.config {
                Some(path) => resolve(folder, "config", path)?,
                None => PathBuf::from(SUPERVISOR_CONFIG),
            };
            return Ok(Some(Self::Supervisor { program: word("supervisor", program)?, config }));
        }
        if let Some(ecosystem) = &runs.pm2 {
            let Some(app) = &runs.app else {
                let why = "`pm2` goes with `app`, the name of the app";
                return Err(Fault::new(Kind::BadCombination, why).at(&ecosystem.span));
            };
            let home = runs.home.as_ref().map(|path| resolve(folder, "home", path)).transpose()?;
            let (ecosystem, app) = (resolve(folder, "pm2", ecosystem)?, word("app", app)?);
            return Ok(Some(Self::Pm2 { ecosystem, app, home }));
        }
        if let Some(path) = &runs.master {
            let roll = runs.reload.as_ref().map_or(Ok(Roll::Signal(Signal::Hup)), Roll::read)?;
            return Ok(Some(Self::Master { pid_file: resolve(folder, "master", path)?, roll }));
        }
        if let Some(path) = &runs.cron {
            return Ok(Some(Self::Cron(resolve(folder, "cron", path)?)));
        }
        if let Some(url) = &runs.litellm {
            return read_loopback("litellm", url).map(|address| Some(Self::LiteLlm(address)));
        }
        if let Some(words) = &runs.exec {
            return Argv::read(folder, "exec", words, holes).map(|argv| Some(Self::Exec(argv)));
        }
        Ok(None)
    }

    /// The gateway of OpenClaw with this state folder.
    pub(crate) fn openclaw(
        state: &At<String>,
        start: Option<Start>,
        runs: &RunsShape,
        folder: &Path,
    ) -> Result<Self, Fault> {
        let Some(provider) = &runs.provider else {
            let why = "`openclaw` goes with `provider`, the model provider whose key this is";
            return Err(Fault::new(Kind::BadCombination, why).at(&state.span));
        };
        let program = runs.program.as_ref().map(|path| resolve(folder, "program", path)).transpose()?;
        let (state, provider) = (resolve(folder, "openclaw", state)?, word("provider", provider)?);
        Ok(Self::OpenClaw { state, provider, program, start })
    }
}

/// A name that becomes a word of a manager's command: it cannot be taken for anything else there.
fn word(key: &str, text: &At<String>) -> Result<String, Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    let name = &text.value;
    let good = (1..=128).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-');
    // A word of the managers' own: every program that there is.
    if good && name != "all" {
        return Ok(name.clone());
    }
    let why = format!("`{key}` must be one name: letters, digits, `.`, `_`, `-` and `@`");
    Err(Fault::new(Kind::BadName, why).at(&text.span))
}
