use std::time::Instant;

use keyroll_observe::ProcessId;
use keyroll_port::Failure;

use crate::process::restart;
use crate::{Applied, CommandLine};

/// Runs a script that reads the store and regenerates a consumer's file, before the consumer is restarted.
///
/// # Errors
/// As for a restart command: `K0402` exit status, `K0403` time-out, `K0404` not started.
pub fn fetch(
    line: &CommandLine,
    instance: Option<&str>,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Applied, Failure> {
    restart(&line.filled(instance)?, deadline, started)
}
