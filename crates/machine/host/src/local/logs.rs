//! Consumers' logs: accepted and refused credentials since a value changed, or since the old key was disabled.

use std::collections::HashMap;
use std::fs;

use keyroll_codes::Code;
use keyroll_observe::{DockerPosition, LogFollower, LogPlace, LogPosition};
use keyroll_port::{Class, Failure};
use keyroll_rotation::{ConsumerId, FileId};

use super::memo::{LogWatch, locked};
use super::{Local, SlotSetup, scratch_dir};

/// The beginning of the line with the issuer's mark; the marks of logs begin with numbers.
const ISSUER: &str = "issuer ";

impl Local {
    /// Follows the logs of every reader of a file, from before the file changes.
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
        let now = LogFollower::at_end(&log.source, &log.success, &log.failure).map(LogWatch::shared);
        let mut memo = self.memo();
        match now {
            Ok(watched) => drop(memo.logs.insert((id.0, slot), watched)),
            // Earlier lines are from before the change, and prove nothing about the time after it.
            Err(_) => drop(memo.logs.remove(&(id.0, slot))),
        }
    }

    fn slots(&self) -> impl Iterator<Item = (ConsumerId, u8, &SlotSetup)> {
        let all = self.setup.consumer_ids();
        all.flat_map(|(id, consumer)| {
            (0u8..).zip(&consumer.slots).map(move |(slot, setup)| (id, slot, setup))
        })
    }

    /// How many lines since the value changed show an accepted credential, and how many a refused one.
    pub(super) fn log_lines(&self, id: ConsumerId, slot: u8) -> (u64, u64) {
        // The memo is not held meanwhile: a log on a disk that does not answer holds up nobody else.
        let Some(log) = self.memo().logs.get(&(id.0, slot)).cloned() else { return (0, 0) };
        let mut log = locked(&log);
        // A log that cannot be read now shows nothing new; the next look may. A log is never the only evidence.
        drop(log.look());
        (log.accepted, log.refused)
    }

    fn marks(&self) -> String {
        format!("{}-logs", self.setup.rotation)
    }

    /// Remembers, durably, where every log ends: any driver counts the refusals of a disabled key from here. The
    /// issuer's own mark is in the same file: both marks exist, or neither.
    pub(super) fn mark_logs(&self, issuer: Option<&str>) -> Result<(), Failure> {
        let mut text =
            issuer.map(|mark| format!("{ISSUER}{}\n", mark.replace('\n', " "))).unwrap_or_default();
        let mut watched = Vec::new();
        for (id, slot, setup) in self.slots() {
            let Some(log) = &setup.log else { continue };
            let tail = LogFollower::at_end(&log.source, &log.success, &log.failure)?;
            text += &line_of(id, slot, &tail.place());
            watched.push(((id.0, slot), LogWatch::shared(tail)));
        }
        // Marks that were cut short would look like logs without refusals.
        scratch_dir::keep_whole(&self.setup.work, &self.marks(), &text).map_err(|error| {
            Failure::new(
                Class::Retryable,
                Code::RefusedUsesUnknown,
                "remember from where on refused uses count",
            )
            .because(error)
        })?;
        self.memo().refusals = watched.into_iter().collect();
        Ok(())
    }

    /// Refused uses since [`Self::mark_logs`], even if another driver made the marks.
    pub(super) fn count_refusals(&self) -> Result<u32, Failure> {
        if self.memo().refusals.is_empty() {
            self.read_marks()?;
        }
        // A refused use that no log line shows still raises the error rate.
        let errors = self.too_many_errors();
        let watched = self.memo().refusals.clone();
        let (mut sum, mut unseen) = (u64::from(matches!(errors, Ok(true))), None);
        for ((id, slot), log) in watched {
            let mut log = locked(&log);
            match log.look() {
                Ok(true) => {}
                Ok(false) => unseen = Some((id, slot, None)),
                Err(failure) => unseen = Some((id, slot, Some(failure))),
            }
            sum = sum.saturating_add(log.refused);
        }
        // Refusals that were seen count, even if a log is missing. But a log that was not read never proves that there
        // was none.
        match unseen {
            Some((id, slot, why)) if sum == 0 => Err(self.unread(id, slot, why)),
            Some(_) | None if sum > 0 => Ok(u32::try_from(sum).unwrap_or(u32::MAX)),
            Some(_) | None => errors.map(|_| 0),
        }
    }

    fn unread(&self, id: u16, slot: u8, why: Option<Failure>) -> Failure {
        let named =
            self.setup.consumer(ConsumerId(id)).map_or("a consumer", |consumer| consumer.name.as_str());
        let attempted =
            format!("read every line of the log of '{named}' (instance {slot}) since the key was disabled");
        let failure = Failure::new(Class::Retryable, Code::RefusedUsesUnknown, attempted)
            .help("put the log back: without it a refused use would not be seen");
        match why {
            Some(why) => failure.because(why),
            None => failure.because("it was cut off, or is not there any more"),
        }
    }

    /// The issuer's mark, even if another driver made it.
    pub(super) fn issuer_mark(&self) -> Result<Option<String>, Failure> {
        Ok(self.marks_text()?.lines().find_map(|line| line.strip_prefix(ISSUER)).map(str::to_owned))
    }

    fn marks_text(&self) -> Result<String, Failure> {
        let path = self.setup.work.join(self.marks());
        fs::read_to_string(path).map_err(|error| unmarked().because(error))
    }

    fn read_marks(&self) -> Result<(), Failure> {
        let text = self.marks_text()?;
        let marks: HashMap<(u16, u8), LogPlace> = text.lines().filter_map(mark).collect();
        let mut watched = HashMap::new();
        for (id, slot, setup) in self.slots() {
            let Some(log) = &setup.log else { continue };
            let missing = || unmarked().because(format!("{} is not among them", log.source));
            let place = marks.get(&(id.0, slot)).ok_or_else(missing)?;
            let tail = LogFollower::at(&log.source, &log.success, &log.failure, place)?;
            let tail = tail.ok_or_else(missing)?;
            watched.insert((id.0, slot), LogWatch::shared(tail));
        }
        self.memo().refusals = watched;
        Ok(())
    }
}

fn unmarked() -> Failure {
    let attempted = "find where the logs ended when the key was disabled";
    Failure::new(Class::Retryable, Code::RefusedUsesUnknown, attempted)
        .help("they are marked anew when the key is disabled again")
}

/// One mark: consumer and slot, then for a file device, inode, birth, offset and checksum (zeros if it did not exist),
/// or `journal` and its cursor, or `docker` with the container's id, the time, and how many lines were counted since.
fn line_of(id: ConsumerId, slot: u8, place: &LogPlace) -> String {
    let place = match place {
        LogPlace::File(None) => "0 0 0 0".to_owned(),
        LogPlace::File(Some(at)) => {
            let before = at.before.map_or_else(String::new, |before| format!(" {before}"));
            format!("{} {} {} {}{before}", at.device, at.inode, at.born_unix_ns, at.offset)
        }
        LogPlace::Journal(cursor) => format!("journal {}", cursor.as_deref().unwrap_or("-")),
        LogPlace::Docker(at) => format!("docker {} {} {} {}", at.id, at.from_ns, at.accepted, at.refused),
    };
    format!("{} {slot} {place}\n", id.0)
}

fn mark(line: &str) -> Option<((u16, u8), LogPlace)> {
    let mut words = line.split(' ');
    let consumer = words.next()?.parse().ok()?;
    let slot = words.next()?.parse().ok()?;
    let place = match words.next()? {
        "journal" => {
            let cursor = words.next().filter(|cursor| !cursor.is_empty())?;
            LogPlace::Journal((cursor != "-").then(|| cursor.to_owned()))
        }
        "docker" => LogPlace::Docker(DockerPosition {
            id: words.next()?.to_owned(),
            from_ns: words.next()?.parse().ok()?,
            accepted: words.next()?.parse().ok()?,
            refused: words.next()?.parse().ok()?,
        }),
        device => {
            let device = device.parse().ok()?;
            let inode = words.next()?.parse().ok()?;
            let born_unix_ns = words.next()?.parse().ok()?;
            let offset = words.next()?.parse().ok()?;
            // Marks of an earlier version have no checksum.
            let before = words.next().map(str::parse).transpose().ok()?;
            let at = LogPosition { device, inode, born_unix_ns, offset, before };
            LogPlace::File((inode != 0).then_some(at))
        }
    };
    Some(((consumer, slot), place))
}
