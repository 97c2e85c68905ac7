use std::path::{Path, PathBuf};

use crate::Kind;
use crate::at::At;
use crate::fault::Fault;
use crate::path::resolve;
use crate::shape::RunsShape;

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
}

/// Where Debian's package keeps it.
const SUPERVISOR_CONFIG: &str = "/etc/supervisor/supervisord.conf";

impl Manager {
    /// The program by which it is told.
    pub fn program(&self) -> &str {
        match self {
            Self::Supervisor { .. } => "supervisorctl",
            Self::Pm2 { .. } => "pm2",
        }
    }

    /// The manager that the table names; `None` for the other forms.
    pub(crate) fn read(runs: &RunsShape, folder: &Path) -> Result<Option<Self>, Fault> {
        for (key, with, text, there) in [
            ("config", "supervisor", &runs.config, runs.supervisor.is_some()),
            ("app", "pm2", &runs.app, runs.pm2.is_some()),
            ("home", "pm2", &runs.home, runs.pm2.is_some()),
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
        Ok(None)
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
