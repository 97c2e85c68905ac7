//! A gateway that restarts within its process when its settings change: which generation of it runs.

use std::path::Path;
use std::time::{Duration, Instant};

use keyroll_agents::{AgentSlot, Bound, Takes};
use keyroll_observe::Process;
use keyroll_port::{Class, Failure};

use super::listener::generation;
use super::{OpenClaw, STEP_MS, is_same_file, unknown};
use crate::Generation;
use crate::find::list;

impl OpenClaw {
    /// What runs in the gateway's process, where a change of this file makes the gateway restart itself there.
    pub(super) fn in_place(&self, file: &Path) -> Result<Option<Vec<Generation>>, Failure> {
        if !is_same_file(file, &self.home().settings_file()) {
            return Ok(None);
        }
        let gateway = self.gateway(&list()?)?;
        let bound = self.bound(gateway.as_ref())?;
        let restarts = self.restarts_itself(&bound);
        restarts.then(|| self.generation(gateway).map(Vec::from_iter)).transpose()
    }

    /// Whether a new key makes the gateway restart itself: one of its copies is a variable of the settings, whatever copy its
    /// provider takes the key from.
    pub(super) fn restarts_itself(&self, bound: &Bound) -> bool {
        let settings = self.home().settings_file();
        let variable = |slot: &AgentSlot| matches!(slot, AgentSlot::Pointer(at) if at.starts_with("/env/"));
        bound.takes == Takes::InPlace
            || self.reads.iter().any(|(file, slot)| variable(slot) && is_same_file(file, &settings))
    }

    fn generation(&self, gateway: Option<Process>) -> Result<Option<Generation>, Failure> {
        let Some(gateway) = gateway else { return Ok(None) };
        let port = self.home().settings().map_err(|error| error.to_string()).map(|settings| settings.port);
        let seen = port.and_then(|port| generation(gateway, port));
        seen.map(Some).map_err(|why| self.failed(Class::Retryable, "restart itself").because(why))
    }

    /// Waits until what accepts connections in its process did not begin before the file was written: until then it has the
    /// other value, and reports that it is ready.
    pub(super) fn await_new_generation(
        &self,
        deadline: Instant,
        is_old: &dyn Fn(&Generation) -> bool,
    ) -> Result<(), Failure> {
        loop {
            let gateway = list().and_then(|listing| self.gateway(&listing));
            let why = match gateway.and_then(|gateway| self.generation(gateway)) {
                Ok(Some(now)) if !now.sockets.is_empty() && !is_old(&now) => return Ok(()),
                Ok(Some(now)) => {
                    let pid = now.process.pid;
                    format!("its gateway {pid} has not opened its port anew since the file was written")
                }
                Ok(None) => "its gateway does not run".to_owned(),
                // While it restarts, its lock and its port may not be there.
                Err(failure) if Instant::now() >= deadline => return Err(unknown(failure)),
                Err(failure) => failure.attempted,
            };
            if Instant::now() >= deadline {
                return Err(self.failed(Class::Unknown, "restart itself in its process").because(why).help(
                    "its log says what it waits for, such as turns; `openclaw gateway restart` makes it \
                         restart",
                ));
            }
            std::thread::sleep(Duration::from_millis(STEP_MS));
        }
    }
}
