//! Consumers' logs: accepted and refused credentials since a value changed, and since the old key was disabled.

use std::fs;
use std::path::PathBuf;

use keyroll_observe::{LogPosition, LogTail};
use keyroll_port::{Class, Failure};
use keyroll_rotation::{ConsumerId, FileId};

use super::{Local, SlotSetup};

/// How often one look reads on where there is more.
const LOOKS_MAX: usize = 16;

/// A log, and the lines that were seen in it since it is watched.
pub(super) struct Watched {
    tail: LogTail,
    /// Lines that show an accepted credential.
    accepted: u64,
    /// Lines that show a refused credential.
    refused: u64,
}

impl Watched {
    fn new(tail: LogTail) -> Self {
        Self { tail, accepted: 0, refused: 0 }
    }

    /// Reads on to the log's end, or to the most that one look may read; whether every line was seen.
    fn look(&mut self) -> Result<bool, Failure> {
        let mut whole = true;
        for _ in 0..LOOKS_MAX {
            let counts = self.tail.look()?;
            self.accepted = self.accepted.saturating_add(counts.successes);
            self.refused = self.refused.saturating_add(counts.failures);
            whole &= !counts.gap;
            if !counts.more {
                return Ok(whole);
            }
        }
        Ok(false)
    }
}

impl Local {
    /// The logs of everything that reads a file are followed from before it changes.
    pub(super) fn watch_logs(&self, file: FileId) {
        for (id, slot, setup) in self.slots() {
            let reads = self.setup.consumer(id).is_some_and(|consumer| consumer.files.contains(&file));
            if reads {
                self.watch_log(id, slot, setup);
            }
        }
    }

    pub(super) fn watch_log(&self, id: ConsumerId, slot: u8, setup: &SlotSetup) {
        let Some(log) = &setup.log else { return };
        if let Ok(tail) = LogTail::at_end(&log.path, &log.success, &log.failure) {
            self.memo().logs.insert((id.0, slot), Watched::new(tail));
        }
    }

    fn slots(&self) -> impl Iterator<Item = (ConsumerId, u8, &SlotSetup)> {
        let all = self.setup.consumer_ids();
        all.flat_map(|(id, consumer)| {
            (0u8..).zip(&consumer.slots).map(move |(slot, setup)| (id, slot, setup))
        })
    }

    /// Lines since the value changed that show an accepted and a refused credential.
    pub(super) fn log_lines(&self, id: ConsumerId, slot: u8) -> (u64, u64) {
        let mut memo = self.memo();
        let Some(log) = memo.logs.get_mut(&(id.0, slot)) else { return (0, 0) };
        // A log that cannot be read now shows nothing new; the next look may. It is never the only evidence.
        drop(log.look());
        (log.accepted, log.refused)
    }

    fn marks(&self) -> PathBuf {
        self.setup.work.join(format!("{}-logs", self.setup.rotation))
    }

    /// Remembers where every log ends, durably: the refusals of a disabled key are counted from here, by any driver.
    pub(super) fn mark_logs(&self) -> Result<(), Failure> {
        let mut text = String::new();
        let mut watched = Vec::new();
        for (id, slot, setup) in self.slots() {
            let Some(log) = &setup.log else { continue };
            let tail = LogTail::at_end(&log.path, &log.success, &log.failure)?;
            let at = tail.position();
            let (device, inode, born, offset) =
                at.map_or((0, 0, 0, 0), |at| (at.device, at.inode, at.born_unix_ns, at.offset));
            text += &format!("{} {slot} {device} {inode} {born} {offset}\n", id.0);
            watched.push(((id.0, slot), Watched::new(tail)));
        }
        let written = fs::create_dir_all(&self.setup.work).and_then(|()| fs::write(self.marks(), text));
        written.map_err(|error| {
            Failure::new(Class::Retryable, "K0360", "remember where the consumers' logs end").because(error)
        })?;
        self.memo().refusals = watched.into_iter().collect();
        Ok(())
    }

    /// Refused uses since [`Self::mark_logs`], also where another driver made the marks.
    pub(super) fn count_refusals(&self) -> Result<u32, Failure> {
        if self.memo().refusals.is_empty() {
            self.read_marks()?;
        }
        let mut memo = self.memo();
        let (mut sum, mut unseen) = (0u64, None);
        for (&(id, slot), log) in &mut memo.refusals {
            match log.look() {
                Ok(true) => {}
                Ok(false) => unseen = Some((id, slot, None)),
                Err(failure) => unseen = Some((id, slot, Some(failure))),
            }
            sum = sum.saturating_add(log.refused);
        }
        // What was seen counts whatever is missing; but no refusal in a log that was not read proves nothing.
        match unseen {
            Some((id, slot, why)) if sum == 0 => Err(self.unread(id, slot, why)),
            Some(_) | None => Ok(u32::try_from(sum).unwrap_or(u32::MAX)),
        }
    }

    fn unread(&self, id: u16, slot: u8, why: Option<Failure>) -> Failure {
        let named =
            self.setup.consumer(ConsumerId(id)).map_or("a consumer", |consumer| consumer.name.as_str());
        let attempted =
            format!("read every line of the log of '{named}' (instance {slot}) since the key was disabled");
        let failure = Failure::new(Class::Retryable, "K0360", attempted)
            .help("put the log back, or `keyroll pause`: without it a refused use would not be seen");
        match why {
            Some(why) => failure.because(why),
            None => failure.because("it was cut off, or is not there any more"),
        }
    }

    fn read_marks(&self) -> Result<(), Failure> {
        let text = fs::read_to_string(self.marks()).map_err(|error| {
            Failure::new(
                Class::Retryable,
                "K0360",
                "find where the consumers' logs ended when the key was disabled",
            )
            .because(error)
        })?;
        for line in text.lines() {
            let Some((consumer, slot, position)) = mark(line) else { continue };
            let Ok((_, setup)) = self.slot_setup(ConsumerId(consumer), slot) else { continue };
            let Some(log) = &setup.log else { continue };
            let tail = LogTail::at(&log.path, &log.success, &log.failure, Some(position))?;
            self.memo().refusals.insert((consumer, slot), Watched::new(tail));
        }
        Ok(())
    }
}

fn mark(line: &str) -> Option<(u16, u8, LogPosition)> {
    let mut words = line.split(' ');
    let consumer = words.next()?.parse().ok()?;
    let slot = words.next()?.parse().ok()?;
    let device = words.next()?.parse().ok()?;
    let inode = words.next()?.parse().ok()?;
    let born_unix_ns = words.next()?.parse().ok()?;
    let offset = words.next()?.parse().ok()?;
    Some((consumer, slot, LogPosition { device, inode, born_unix_ns, offset }))
}
