//! Containers: stopped ones that hold the old value, and mounted files.

use keyroll_manager::Docker;
use keyroll_observe::{ProcessId, Search};
use keyroll_port::PendingChanges;

use super::Local;
use super::live::{Subject, own_variables};

impl Local {
    /// Containers that do not run and were created with the value that goes: if one is started, the value is back, and
    /// no file shows that. Only searched if a consumer is a container.
    pub(super) fn stopped_containers(&self, needles: &dyn Search, goes: u32) -> Vec<String> {
        let slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        let mut engines: Vec<&Docker> = Vec::new();
        for slot in slots {
            let Some(engine) = slot.run.engine() else { continue };
            if !engines.contains(&engine) {
                engines.push(engine);
            }
        }
        let mut lines = Vec::new();
        for engine in engines {
            match engine.stopped() {
                Ok(stopped) => {
                    for (name, starts_with) in stopped {
                        let mut holds = false;
                        needles.find(starts_with.expose(), &mut |id, _| holds |= id == goes);
                        if holds {
                            let name = name.escape_debug();
                            lines.push(format!("the stopped container {name}: it was made with the value, and a start of it brings that back (docker rm {name})"));
                        }
                    }
                }
                Err(failure) => lines.push(format!("stopped containers: could not {}", failure.attempted)),
            }
        }
        lines
    }

    /// The other content of a mounted file cannot be compared from outside.
    pub(super) fn mounted(&self, subject: &Subject<'_>, process: &ProcessId, report: &mut PendingChanges) {
        for id in &subject.consumer.files {
            if self.setup.file(*id).is_some_and(|file| own_variables(file).is_empty()) {
                self.variables(subject, process, *id, &mut Vec::new(), report);
            }
        }
    }
}
