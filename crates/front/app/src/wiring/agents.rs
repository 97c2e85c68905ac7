//! The turn that checks an agent, and what in an agent's own files prevents a rotation.

use std::path::Path;

use keyroll_config::Secret;
use keyroll_manager::{Turn, Workload};

use crate::problem::Problem;

/// One turn of a consumer's agent.
pub(crate) fn turn(workload: &dyn Workload, model: &str, agent: Option<&str>) -> Turn {
    // The configuration refuses a turn of any other program.
    let state = workload.agent_state().map(Path::to_owned).unwrap_or_default();
    Turn { state, model: model.to_owned(), agent: agent.map(str::to_owned) }
}

/// Refuses a rotation that the agent's own files contradict, above all another source of its key.
pub(crate) fn refuse_objections(secret: &Secret) -> Result<(), Problem> {
    let instances = secret.consumers.iter().flat_map(|consumer| consumer.runs.instances());
    match instances.flat_map(|instance| instance.workload.objections()).next() {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}
