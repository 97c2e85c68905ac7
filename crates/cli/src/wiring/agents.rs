//! Agents: what they are told by, what they are asked, and what speaks against it before anything is made.

use std::path::{Path, PathBuf};

use keyroll_agents::AgentSlot;
use keyroll_config::{Consumer, Manager, Place, Runs, Secret};
use keyroll_manager::{Agent, Check, OpenClaw, Run, Start, Turn};

use super::compose::{line, run, systemd_unit};
use crate::problem::Problem;

/// What a gateway of OpenClaw is told by.
pub(super) fn openclaw(
    consumer: &Consumer,
    (state, provider): (&Path, &str),
    (program, start): (Option<&PathBuf>, Option<&keyroll_config::Start>),
    folder: &Path,
) -> Run {
    let start = start.map(|start| match start {
        keyroll_config::Start::Command(argv) => Start::Command(line(argv.fill("main", None, None), folder)),
        keyroll_config::Start::Unit(name, user) => Start::Unit(Box::new(systemd_unit(name, user))),
    });
    Run::Agent(Agent::OpenClaw(OpenClaw {
        state: state.to_owned(),
        provider: provider.to_owned(),
        program: program.cloned().unwrap_or_else(|| PathBuf::from("openclaw")),
        start,
        reads: consumer.reads.iter().map(|copy| slot(&copy.place)).collect(),
    }))
}

/// Where a copy stands, in the words of agents.
fn slot(place: &Place) -> (PathBuf, AgentSlot) {
    let slot = match place {
        Place::EnvFile { variable, .. } => AgentSlot::Variable(variable.clone()),
        Place::File { .. } => AgentSlot::Whole,
        Place::Inside { at, .. } => AgentSlot::Pointer(at.clone()),
        Place::Userlist { user, .. } => AgentSlot::Row(user.to_string()),
        Place::Within { template, .. } => AgentSlot::Row(template.clone()),
    };
    (place.path().to_owned(), slot)
}

/// One turn of a consumer's agent.
pub(super) fn turn(runs: &Runs, model: &str, agent: Option<&str>) -> Turn {
    let state = match runs {
        Runs::Managed { by: Manager::OpenClaw { state, .. }, .. } => state.clone(),
        // The configuration refuses a turn of anything else.
        Runs::Managed { .. } | Runs::Process { .. } | Runs::Unit { .. } | Runs::Timer { .. } => {
            PathBuf::new()
        }
        Runs::Compose { .. } | Runs::Container { .. } | Runs::AtRest => PathBuf::new(),
    };
    Turn { state, model: model.to_owned(), agent: agent.map(str::to_owned) }
}

/// Where an agent says itself that it is ready.
pub(super) fn agent_ready(state: &Path) -> Check {
    Check::Gateway(state.to_owned())
}

/// Refuses what an agent's own files speak against: another place that it takes its key from, above all.
pub(crate) fn refuse_objections(secret: &Secret, folder: &Path) -> Result<(), Problem> {
    for consumer in &secret.consumers {
        for instance in consumer.runs.instances() {
            let run = run(consumer, &instance, folder)?;
            if let Some(failure) = run.agent().and_then(|agent| agent.objections().into_iter().next()) {
                return Err(failure.into());
            }
        }
    }
    Ok(())
}
