//! What the managers of services keep beside the services themselves: what they were told to start them with.

use keyroll_manager::Supervisor;
use keyroll_observe::{Holder, Place};

use super::live::Subject;
use super::stand::stand;
use super::{LiveReport, Local};

/// What begins a program's section in a configuration of supervisord.
const SECTION: &[u8] = b"[program:";

impl Local {
    /// The managers' own processes: their memory holds what they start others with. They never present it, and what
    /// they start shows by itself what it was given.
    pub(super) fn keepers(&self) -> Vec<u32> {
        let slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        slots.filter_map(|slot| slot.run.keeper()).collect()
    }

    /// Somebody's edit of the program in supervisord's configuration. Once keyroll itself has written there it cannot
    /// be told from the value.
    pub(super) fn supervisor(&self, subject: &Subject<'_>, of: &Supervisor, report: &mut LiveReport) {
        let name = &subject.consumer.name;
        let changed = match of.changed(std::time::Instant::now() + super::live::QUESTION) {
            Ok(changed) => changed,
            Err(failure) => {
                report.not_visible.push(format!("the program of '{name}': could not {}", failure.attempted));
                return;
            }
        };
        let files = subject.consumer.files.iter().filter_map(|id| self.setup.file(*id));
        let own =
            files.filter_map(|file| Some((file.path.clone(), stand(&file.path).ok()?))).find(|(_, found)| {
                let content = found.content.as_ref();
                content.is_some_and(|it| it.expose().windows(SECTION.len()).any(|window| window == SECTION))
            });
        if subject.delivered && own.is_some() {
            report.not_visible.push(format!(
                "whether somebody edited the program of '{name}' in its configuration since the plan: keyroll wrote there"
            ));
            return;
        }
        if changed.contains(&of.program) {
            let (path, found) = own
                .map_or_else(|| (of.config.clone(), stand(&of.config).ok()), |(path, it)| (path, Some(it)));
            let what =
                format!("the program {} in the configuration of supervisord is not what runs", of.program);
            self.push(subject, "supervisor", &path, what, found.as_ref(), report);
        }
    }
}

/// Whether a process holds a value only because it manages who uses it.
pub(super) fn keeps(keepers: &[u32], holder: &Holder) -> bool {
    keepers.contains(&holder.process.id.pid) && !holder.places.contains_key(&Place::Environment)
}
