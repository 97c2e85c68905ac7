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
}

/// Where Debian's package keeps it.
const SUPERVISOR_CONFIG: &str = "/etc/supervisor/supervisord.conf";

impl Manager {
    /// The manager that the table names; `None` for the other forms.
    pub(crate) fn read(runs: &RunsShape, folder: &Path) -> Result<Option<Self>, Fault> {
        let Some(program) = &runs.supervisor else {
            return match &runs.config {
                Some(path) => Err(alone("config", "supervisor", &path.span)),
                None => Ok(None),
            };
        };
        let config = match &runs.config {
            Some(path) => resolve(folder, "config", path)?,
            None => PathBuf::from(SUPERVISOR_CONFIG),
        };
        Ok(Some(Self::Supervisor { program: word("supervisor", program)?, config }))
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

fn alone(key: &str, with: &str, span: &std::ops::Range<usize>) -> Fault {
    Fault::new(Kind::BadCombination, format!("`{key}` goes with `{with}`")).at(span)
}
