//! The turn that checks an agent.

use std::path::Path;

use keyroll_manager::{Turn, Workload};

/// One turn of a consumer's agent.
pub(crate) fn turn(workload: &dyn Workload, model: &str, agent: Option<&str>) -> Turn {
    // The configuration refuses a turn of any other program.
    let state = workload.agent_state().map(Path::to_owned).unwrap_or_default();
    Turn { state, model: model.to_owned(), agent: agent.map(str::to_owned) }
}
