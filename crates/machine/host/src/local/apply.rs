//! The verb that applies a value, and the children that it started.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_manager::{Attempt, CommandLine, Leftover, end_leftover, fetch, instances};
use keyroll_observe::{ProcessId, WrittenAt};
use keyroll_port::{AllowedChanges, Applied, Class, Failure, Values};
use keyroll_rotation::{ConsumerId, FileId, Seq, Which};
use keyroll_secret::SecretBytes;

use super::under_way::OneEffect;
use super::{ConsumerSetup, Local, Memo, SlotSetup, process_of, scratch_dir};

/// How long a restart command may take, milliseconds, unless its instance may take longer.
const APPLY_MS_MAX: u64 = 120_000;

/// How long a command that a dead driver left may take to end, milliseconds.
const LEFTOVER_MS_MAX: u64 = 5_000;

impl Local {
    pub(super) fn consumer_setup(&self, id: ConsumerId) -> Result<&ConsumerSetup, Failure> {
        self.setup.consumer(id).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::PlanStale, format!("find consumer {} of the plan", id.0))
                .because("this machine was not told of it")
        })
    }

    pub(super) fn slot_setup(
        &self,
        id: ConsumerId,
        slot: u8,
    ) -> Result<(&ConsumerSetup, &SlotSetup), Failure> {
        let consumer = self.consumer_setup(id)?;
        let found = consumer.slots.get(usize::from(slot)).ok_or_else(|| {
            Failure::new(
                Class::Permanent,
                Code::PlanStale,
                format!("find instance {slot} of '{}'", consumer.name),
            )
            .because("it has fewer")
        })?;
        Ok((consumer, found))
    }

    fn pid_record(&self, intent: Seq) -> PathBuf {
        self.setup.work.join(format!("{}-{intent}.pid", self.setup.rotation))
    }

    /// Written as soon as a command runs: a new driver finds the command by this record and ends or awaits it.
    fn record(&self, intent: Seq, process: ProcessId) {
        let line = format!("{} {} {}\n", process.boot, process.pid, process.start_ticks);
        // Without the record a new driver cannot end the command: it then waits for its own evidence instead.
        drop(
            scratch_dir::make(&self.setup.work)
                .and_then(|()| scratch_dir::create(&self.pid_record(intent)))
                .and_then(|mut file| file.write_all(line.as_bytes())),
        );
    }

    fn recorded(&self, intent: Seq) -> Option<ProcessId> {
        let text = fs::read_to_string(self.pid_record(intent)).ok()?;
        let mut words = text.split_whitespace();
        let boot = words.next()?.parse().ok()?;
        let pid = words.next()?.parse().ok()?;
        let start_ticks = words.next()?.parse().ok()?;
        Some(ProcessId { boot, pid, start_ticks })
    }

    fn forget_record(&self, intent: Seq) {
        scratch_dir::forget(&self.pid_record(intent));
    }

    fn command_deadline(&self) -> Instant {
        Instant::now() + self.setup.instance_time_max.min(Duration::from_millis(APPLY_MS_MAX))
    }

    pub(super) fn apply_slot(
        &self,
        id: ConsumerId,
        slot: u8,
        effect: &OneEffect<'_>,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        let (consumer, setup) = self.slot_setup(id, slot)?;
        // Read once, right before the verb: the running processes are compared with what the restart would start, and
        // their end is timed.
        let running = instances(setup.run.as_ref());
        let live = match brings {
            AllowedChanges::Accepted(accepted) => {
                let live = self.unaccepted(consumer, setup, &running, accepted);
                if !live.is_empty() {
                    return Ok(Applied::Refused(live));
                }
                live
            }
            AllowedChanges::Anything => self.unaccepted(consumer, setup, &running, &[]),
        };
        self.watch_log(id, slot, setup);
        self.forget_slot(id, slot);
        self.watch_downtime(id, setup, running.as_deref().unwrap_or_default());
        if let Ok(now) = WrittenAt::now() {
            self.memo().applied.insert((id.0, slot), now);
        }
        let deadline = match setup.run.is_rolling() || self.restarting_by_any(consumer)?.is_some() {
            // The verb replaces the processes one after the other, or waits for what the program does first; only the limit
            // of the whole instance is known.
            true => Instant::now() + self.setup.instance_time_max,
            false => self.command_deadline(),
        }
        .min(effect.until);
        let known = self.rows_known(consumer);
        // The steps before the verb may have taken a while.
        effect.may_begin(Code::RestartFailed, || format!("restart '{}'", consumer.name))?;
        let mut started = |process| self.record(effect.intent, process);
        let may_replace = |row: &SecretBytes| self.is_known_row(&known, row);
        let applied = setup.run.apply(&mut Attempt {
            instance: None,
            deadline,
            started: &mut started,
            may_replace: &may_replace,
            is_old: &|one| self.may_be_old(id, None, one).map_or(true, |old| old.unwrap_or(false)),
        });
        if applied.as_ref().is_ok() {
            self.forget_record(effect.intent);
        }
        applied.map(|_| Applied::Done(live)).map_err(|failure| self.with_words(failure))
    }

    /// Ends or awaits a command that a dead driver left running.
    pub(super) fn end_left(&self, intent: Seq) -> Result<(), Failure> {
        if let Some(process) = self.recorded(intent) {
            let deadline = Instant::now() + Duration::from_millis(LEFTOVER_MS_MAX);
            match end_leftover(&process, deadline)? {
                Leftover::Gone | Leftover::EndedItself | Leftover::Killed => self.forget_record(intent),
            }
        }
        Ok(())
    }

    pub(super) fn fetch_for(
        &self,
        id: ConsumerId,
        which: Which,
        values: Values<'_>,
        effect: &OneEffect<'_>,
    ) -> Result<(), Failure> {
        let consumer = self.consumer_setup(id)?;
        let Some(line) = &consumer.fetch else { return Ok(()) };
        self.fetching(id, || self.generate(line, effect))?;
        self.keep_rows_fetched(consumer)?;
        self.refuse_not_fetched(consumer, which, values)
    }

    /// Runs a command that makes copies.
    pub(super) fn generate(&self, line: &CommandLine, effect: &OneEffect<'_>) -> Result<(), Failure> {
        effect.may_begin(Code::RestartFailed, || "run the command that makes a copy".to_owned())?;
        let deadline = self.command_deadline().min(effect.until);
        let fetched = fetch(line, None, deadline, &mut |process| self.record(effect.intent, process));
        self.forget_record(effect.intent);
        fetched.map(drop).map_err(|failure| self.with_words(failure))
    }

    /// Evidence about a consumer's processes is void once its value changes.
    pub(super) fn forget_consumer(&self, id: ConsumerId) {
        self.forget(id, |_| true);
    }

    /// Evidence about an instance is void once its verb is carried out. Instances of other slots keep theirs.
    fn forget_slot(&self, id: ConsumerId, slot: u8) {
        self.forget(id, |of| of.is_none_or(|of| of == slot));
    }

    /// Forgets the instances in the slots that are meant; one that was asked for no evidence has none.
    fn forget(&self, id: ConsumerId, means: impl Fn(Option<u8>) -> bool) {
        let mut memo = self.memo();
        let Memo { sessions, before, shown, failed_watch, lives, halves, .. } = &mut *memo;
        let concerns = |consumer, who| {
            let life = process_of(who).and_then(|process| lives.get(&process));
            consumer == id && means(life.map(|(_, slot)| *slot))
        };
        // Sessions that are open now were opened before the change.
        for (of, seen) in sessions.iter().filter(|((consumer, who, _), _)| concerns(*consumer, *who)) {
            before.entry(*of).or_default().extend(seen.clone());
        }
        shown.retain(|(consumer, who, ..), _| !concerns(*consumer, *who));
        failed_watch.retain(|(consumer, who, _)| !concerns(*consumer, *who));
        halves.retain(|(consumer, slot), _| *consumer != id || !means(*slot));
    }

    pub(super) fn forget_readers(&self, file: FileId) {
        for (id, consumer) in self.setup.consumer_ids() {
            if consumer.files.contains(&file) {
                self.forget_consumer(id);
            }
        }
    }
}
