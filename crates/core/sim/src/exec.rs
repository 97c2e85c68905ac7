//! What a process does to itself.

use keyroll_rotation::{Kinds, PATHS_MAX, ReloadMode};

use crate::issuer::OLD;
use crate::schedule::Run;

impl Run {
    /// An instance executes its program again in the same process: with what its files hold, or, if a verb can mend that,
    /// with the old value, which the program before had cached.
    pub(crate) fn exec_in_place(&mut self) {
        let at = self.rng.below(self.world.procs.len() as u64) as usize;
        let Some(proc) =
            self.world.procs.get(at).filter(|proc| !proc.at_rest && !self.world.is_off(proc.host))
        else {
            return;
        };
        let Some(consumer) = proc.consumer.and_then(|id| self.world.plan.consumers.get(id.index())) else {
            return;
        };
        let file = consumer.files.first().copied();
        let cached = consumer.uptake == ReloadMode::Verb && self.rng.one_in(2);
        let value = match file.filter(|_| !cached) {
            Some(file) => self.world.file(file),
            None if cached => OLD,
            None => self.world.store.current(),
        };
        let now = self.world.now;
        let Some(proc) = self.world.procs.get_mut(at) else { return };
        proc.begin(proc.program + 1, now);
        if proc.loaded != value {
            (proc.since, proc.by_us) = (now, false);
        }
        proc.loaded = value;
        (proc.shown, proc.shown_for) = ([Kinds::NONE; PATHS_MAX], value);
        self.world.begin_served(at, value);
    }
}
