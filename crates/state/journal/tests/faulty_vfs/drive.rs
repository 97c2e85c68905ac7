//! Drives the rotation over a disk that fails, as a driver does: a step that had no effect is tried again; after an
//! unknown effect, or when a step fails again, the process ends and the next one reads what is there.

use std::path::Path;
use std::sync::Arc;

use keyroll_journal::{LockError, try_lock};

use crate::all;
use crate::disk::{Disk, Plan};
use crate::judge::{wait, witnessed, world_of};
use crate::script::{Effect, Process, Script, Step, Trouble, World, state};

/// How often a step may fail although its fault is over.
const FAILURES_MAX: usize = 4;

/// How many steps follow the fault, unless every combination is tried.
const STEPS_AFTER_MAX: usize = 16;

/// A moment of a run.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// How many changes the disk had.
    pub(crate) changes: usize,
    /// How many calls there were.
    pub(crate) calls: usize,
    /// What was acknowledged.
    pub(crate) world: World,
    /// The step that was under way from then on; [`Step::End`] after the last.
    pub(crate) step: Step,
}

/// What a run left.
pub(crate) struct Run {
    pub(crate) disk: Arc<Disk>,
    /// One for each acknowledgement, in their order.
    pub(crate) moments: Vec<Moment>,
    /// How many changes the disk had when a step first failed.
    pub(crate) failed: Option<usize>,
    /// How many processes had to end before their time.
    pub(crate) restarts: usize,
}

impl Run {
    /// The last moment before a change.
    pub(crate) fn moment(&self, changes: usize) -> &Moment {
        let later = self.moments.partition_point(|moment| moment.changes <= changes);
        &self.moments[later.saturating_sub(1)]
    }

    /// Every world that there was.
    pub(crate) fn worlds(&self) -> Vec<World> {
        self.moments
            .iter()
            .flat_map(|moment| [moment.world.clone(), moment.world.after(moment.step)])
            .collect()
    }
}

struct Driver<'a> {
    script: &'a Script,
    folder: &'a Path,
    run: Run,
    process: Option<Process>,
    /// What was acknowledged.
    world: World,
    step: Step,
}

/// Carries out the steps. `Err`: what keyroll did wrong.
pub(crate) fn drive(script: &Script, folder: &Path, plan: Option<Plan>) -> Result<Run, String> {
    let disk = Disk::watch(folder, plan);
    let run = Run { disk, moments: Vec::new(), failed: None, restarts: 0 };
    let mut driver =
        Driver { script, folder, run, process: None, world: World::default(), step: Step::Start };
    let mut since = 0;
    for step in &script.steps {
        since += usize::from(driver.run.disk.met().is_some());
        if since > STEPS_AFTER_MAX && !all() {
            // From here everything would be as without the fault.
            break;
        }
        driver.step = *step;
        // How many commits many writes take together is not always the same.
        driver.run.disk.counts(!matches!(step, Step::RememberMany(_)));
        driver.acknowledge(driver.world.clone());
        driver.carry_out().map_err(|wrong| format!("at {step:?}: {wrong}"))?;
    }
    driver.step = Step::End;
    driver.acknowledge(driver.world.clone());
    driver.process = None;
    driver.run.disk.counts(false);
    driver.begin().map_err(|wrong| format!("after the last step: {wrong}"))?;
    driver.unchanged().map_err(|wrong| format!("after the last step: {wrong}"))?;
    driver.process = None;
    Ok(driver.run)
}

impl Driver<'_> {
    /// One step until it succeeds, and everything that each failure of it promises.
    fn carry_out(&mut self) -> Result<(), String> {
        let mut again = false;
        for _ in 0..FAILURES_MAX {
            let Err(trouble) = self.attempt() else {
                self.world = self.world.after(self.step);
                return self.keeps_its_promise();
            };
            self.run.failed.get_or_insert(self.run.disk.now());
            self.run.disk.mend();
            match trouble.effect() {
                Effect::None => self.unchanged().map_err(|wrong| format!("{trouble:?}, but {wrong}"))?,
                // A process that did not begin has nothing open.
                Effect::Unknown if self.process.is_none() => {}
                Effect::Unknown => self.writes_no_more()?,
                Effect::Refused | Effect::Other => return Err(format!("the wrong error: {trouble:?}")),
            }
            if self.process.is_some() && (trouble.effect() == Effect::Unknown || again) {
                self.restart()?;
                let found = self.found(&self.world.after(self.step))?;
                if trouble.effect() == Effect::None {
                    self.unchanged().map_err(|wrong| format!("{trouble:?}, but {wrong}"))?;
                } else if found != self.world {
                    // It was done. Nobody was told so, and the next step begins.
                    self.world = self.world.after(self.step);
                    return Ok(());
                }
            }
            again = true;
        }
        Err("it fails although the fault is over".to_owned())
    }

    fn attempt(&mut self) -> Result<(), Trouble> {
        if self.step == Step::Start {
            self.process = Some(self.script.start(self.folder)?);
        } else if self.step == Step::End {
            self.process = None;
        } else {
            let process = self.process.as_ref().ok_or(Trouble::Other("no process".to_owned()))?;
            if let Some(epoch) = wait(self.script.carry_out(process, self.step, self.world.epoch))? {
                self.takes(epoch)?;
            }
        }
        Ok(())
    }

    fn takes(&mut self, epoch: u64) -> Result<(), Trouble> {
        if epoch <= self.world.epoch {
            return Err(Trouble::Other(format!("epoch {epoch} is given again")));
        }
        self.acknowledge(World { epoch, ..self.world.clone() });
        Ok(())
    }

    fn acknowledge(&mut self, world: World) {
        let moment = Moment {
            changes: self.run.disk.now(),
            calls: self.run.disk.count(),
            world: world.clone(),
            step: self.step,
        };
        self.run.moments.push(moment);
        self.world = world;
    }

    /// What an acknowledgement promises at once.
    fn keeps_its_promise(&self) -> Result<(), String> {
        let expected = Some((self.world.entries(), self.world.epoch));
        if self.step == Step::Witness && witnessed(self.folder) != expected {
            return Err(format!("the witness says {:?}, not {expected:?}", witnessed(self.folder)));
        }
        if self.step == Step::Start && self.run.disk.met().is_some_and(|(_, file)| file == "state/lock") {
            let second = try_lock(&state(self.folder));
            if !matches!(second, Err(LockError::Held { .. })) {
                return Err(format!("a second driver takes the lock: {second:?}"));
            }
        }
        Ok(())
    }

    /// After a commit without a known outcome the process must end: every write is refused, however often it is tried.
    fn writes_no_more(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            match self.attempt() {
                Err(trouble) if trouble.effect() == Effect::None => {}
                other => return Err(format!("after a commit without a known outcome: {other:?}")),
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        self.process = None;
        self.run.restarts += 1;
        self.begin()?;
        if self.world.epoch > 0 {
            let process = self.process.as_ref().ok_or("no process")?;
            let taken = wait(self.script.carry_out(process, Step::TakeOver, 0));
            let epoch = taken.map_err(|trouble| format!("the next process: {trouble:?}"))?;
            self.takes(epoch.unwrap_or_default())
                .map_err(|trouble| format!("the next process: {trouble:?}"))?;
        }
        Ok(())
    }

    /// The next process opens journal and store, and the witness knows every entry.
    fn begin(&mut self) -> Result<(), String> {
        let started = self.script.start(self.folder);
        self.process = Some(started.map_err(|trouble| format!("does not open again: {trouble:?}"))?);
        let found = self.found(&self.world.after(self.step))?;
        let seen = witnessed(self.folder).map(|(entry, _)| entry);
        if seen == Some(found.entries()) {
            Ok(())
        } else {
            Err(format!("the witness says {seen:?} of {} entries", found.entries()))
        }
    }

    /// Nothing is there but what was acknowledged.
    fn unchanged(&self) -> Result<(), String> {
        if self.process.is_some() { self.found(&self.world).map(drop) } else { Ok(()) }
    }

    fn found(&self, after: &World) -> Result<World, String> {
        let process = self.process.as_ref().ok_or("no process")?;
        wait(world_of(self.script, process, &self.world, after))
    }
}
