//! Agents, which say themselves what runs of them: `runs` of their form.

use std::path::Path;

use crate::at::At;
use crate::fault::Fault;
use crate::runs::{FORMS, has_process_keys, main_instance, read_drain, read_unit, read_user};
use crate::shape::RunsShape;
use crate::{Argv, Kind, Manager, Runs, Start};

impl Runs {
    /// The gateway of OpenClaw, which its own files name.
    pub(crate) fn build_openclaw(
        state: &At<String>,
        shape: &At<RunsShape>,
        folder: &Path,
    ) -> Result<Self, Fault> {
        let runs = &shape.value;
        let wrong = |why: &str| Fault::new(Kind::BadCombination, why).at(&shape.span).help(FORMS);
        let others = [
            runs.signal.is_some(),
            runs.rereads.is_some(),
            runs.timer.is_some(),
            runs.compose.is_some(),
            runs.service.is_some(),
            runs.at_rest.is_some(),
            runs.supervisor.is_some(),
            runs.config.is_some(),
            runs.pm2.is_some(),
            runs.app.is_some(),
            runs.home.is_some(),
            runs.exec.is_some(),
            runs.master.is_some(),
            runs.reload.is_some(),
            runs.cron.is_some(),
            runs.ready.is_some(),
            runs.restart.is_some() && runs.unit.is_some(),
            runs.user.is_some() && runs.unit.is_none(),
            has_process_keys(runs),
        ];
        if others.into_iter().any(|there| there) {
            return Err(wrong(
                "`openclaw` goes with `provider` and `program`, with `restart` or `unit`, and with `drain` only: its own \
                 files say which process it is, and it says itself when it is ready",
            ));
        }
        let start = match (&runs.restart, &runs.unit) {
            (Some(words), _) => Some(Start::Command(Argv::read(folder, "restart", words, &[])?)),
            (None, Some(unit)) => Some(Start::Unit(read_unit("service", unit)?, read_user(runs)?)),
            (None, None) => None,
        };
        let by = Manager::openclaw(state, start, runs, folder)?;
        Ok(Self::Managed { by, instances: main_instance(), ready: None, drain: read_drain(runs)? })
    }
}
