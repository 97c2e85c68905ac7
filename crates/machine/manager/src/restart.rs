//! Running the commands that the configuration names: `restart` and `fetch`.

use std::fmt;
use std::time::Instant;

use keyroll_codes::Code;
use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::attempt::Applied;
use crate::command::{CommandLine, Output, With, run};

/// How a command failed. It is displayed as its exit status alone: its output may hold a value and must be redacted
/// first.
pub struct CommandFailure {
    /// Its exit status, in words.
    pub status: String,
    /// The beginning of its output.
    pub output: Option<SecretBytes>,
}

impl fmt::Debug for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandFailure({})", self.status)
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)
    }
}

impl std::error::Error for CommandFailure {}

/// Runs a restart command. A status other than 0 leaves the effect unknown: it may have stopped half-way.
pub(crate) fn restart(
    line: &CommandLine,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Applied, Failure> {
    let ended = run(line, &With::output(Output::Drain), deadline, started)?;
    if !ended.status.success() {
        return Err(Failure::new(
            Class::Unknown,
            Code::RestartFailed,
            format!("run `{}` with success", line.name()),
        )
        .because(CommandFailure { status: ended.status.to_string(), output: ended.output })
        .help("run the command by hand and fix it"));
    }
    Ok(Applied { done: format!("ran `{}`", line.name()), output: ended.output })
}

/// Runs a script that reads the store and regenerates a consumer's file, before the consumer is restarted.
///
/// # Errors
/// As for a restart command: `K0402` exit status or time-out, `K0404` not started.
pub fn fetch(
    line: &CommandLine,
    instance: Option<&str>,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Applied, Failure> {
    restart(&line.filled(instance)?, deadline, started)
}
