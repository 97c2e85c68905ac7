//! A consumer of which a process runs is not gone.

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};

use crate::configured::secret_flag;
use crate::problem::Problem;

/// Refuses to let a consumer go of which a process runs on this machine now: the last look may be old, or missing. A manager
/// that does not answer says nothing, and the next look decides.
pub(super) fn refuse_running(name: &str, secret: &Secret, config: &Config) -> Result<(), Problem> {
    let mut all = secret.consumers.iter();
    let Some(consumer) = all.find(|consumer| consumer.name.as_str() == name && consumer.is_here) else {
        return Ok(());
    };
    // Its processes were adopted anew.
    if all.any(|later| later.finds_as(consumer)) {
        return Ok(());
    }
    let workloads = consumer.runs.instances().iter().map(|instance| instance.workload.as_ref());
    let running = workloads.filter_map(|workload| keyroll_manager::instances(workload).ok()).flatten().next();
    let Some(running) = running else { return Ok(()) };
    let pid = running.process.pid;
    Err(Problem::new(Code::NotPossibleNow, format!("let {name} go"))
        .because(format!("process {pid} is an instance of it, and runs"))
        .help(format!(
            "end process {pid}, or accept that it keeps the value: keyroll consumer waive {name} --reason WHY{}",
            secret_flag(config, secret.name.as_str())
        )))
}
