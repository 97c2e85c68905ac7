//! The output of a container from a given time on. Source: docs.docker.com, `docker container logs` (`--since`,
//! `--timestamps`): each line has the engine's own time, and `--since` includes the lines of exactly that time.

use jiff::Timestamp;
use keyroll_port::Failure;

use crate::LogCounts;
use crate::log_patterns::{Patterns, Shows};
use crate::log_program::{Take, not_read, run};

/// How far the lines of two streams may be out of order, nanoseconds.
const DISORDER_NS: i128 = 5_000_000_000;

/// Where a container's output was read up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerPosition {
    /// The container's id: a recreated container of the same name has another id and a new log.
    pub id: String,
    /// The time from which lines are read again, nanoseconds since the Unix epoch.
    pub from_ns: i128,
    /// How many of the lines since then were counted as accepted.
    pub accepted: u64,
    /// How many of them as refused.
    pub refused: u64,
}

/// The lines of one container, by its name.
pub(crate) struct DockerTail {
    name: String,
    patterns: Patterns,
    at: DockerPosition,
}

impl DockerTail {
    pub(crate) fn at_end(name: &str, patterns: Patterns) -> Result<Self, Failure> {
        let at = DockerPosition { id: id_of(name)?, from_ns: 0, accepted: 0, refused: 0 };
        let mut tail = Self { name: name.to_owned(), patterns, at };
        let mut last = None;
        tail.lines(&["--tail", "1"], |at, _| last = Some(at).max(last))?;
        tail.at.from_ns = last.map_or(0, |last| last - DISORDER_NS);
        // Existing lines do not count; their place is remembered, so that they are not counted later.
        tail.look()?;
        Ok(tail)
    }

    pub(crate) fn at(name: &str, patterns: Patterns, at: DockerPosition) -> Self {
        Self { name: name.to_owned(), patterns, at }
    }

    pub(crate) fn position(&self) -> &DockerPosition {
        &self.at
    }

    pub(crate) fn look(&mut self) -> Result<LogCounts, Failure> {
        let id = id_of(&self.name)?;
        let mut counts = LogCounts::default();
        if id != self.at.id {
            // The lines that the removed container wrote since the last look are lost.
            counts.gap = true;
            self.at = DockerPosition { id, from_ns: 0, accepted: 0, refused: 0 };
        }
        let since = format!("{}.{:09}", self.at.from_ns / 1_000_000_000, self.at.from_ns % 1_000_000_000);
        let (mut shown, mut last, mut lines) = (Vec::new(), self.at.from_ns, 0);
        // The position is the time of a line, or a fixed time before it. If neither line exists any more, the engine
        // has dropped lines, perhaps some that were not counted.
        let (at_line, before_line) = (self.at.from_ns, self.at.from_ns + DISORDER_NS);
        let mut kept = self.at.from_ns == 0;
        let words: &[&str] = if self.at.from_ns > 0 { &["--since", &since] } else { &[] };
        counts.more = self.lines(words, |at, shows| {
            last = last.max(at);
            lines += 1;
            kept |= at == at_line || at == before_line;
            if shows != Shows::Nothing {
                shown.push((at, shows));
            }
        })?;
        counts.lines = lines;
        counts.gap |= !kept;
        let of = |wanted: Shows, from: i128| {
            shown.iter().filter(|(at, shows)| *shows == wanted && *at >= from).count() as u64
        };
        let from = self.at.from_ns;
        if kept {
            counts.successes = of(Shows::Accepted, from).saturating_sub(self.at.accepted);
            counts.failures = of(Shows::Refused, from).saturating_sub(self.at.refused);
        } else {
            // Some counted lines are gone. A refusal may be counted twice, an acceptance may not.
            counts.successes = of(Shows::Accepted, before_line + 1);
            counts.failures = of(Shows::Refused, at_line + 1);
        }
        // If one look did not reach the end, the next must not begin at the same place.
        let next = if counts.more { last } else { (last - DISORDER_NS).max(from) };
        self.at.from_ns = next;
        self.at.accepted = of(Shows::Accepted, next);
        self.at.refused = of(Shows::Refused, next);
        Ok(counts)
    }

    fn lines(&self, words: &[&str], mut each: impl FnMut(i128, Shows)) -> Result<bool, Failure> {
        let what = format!("the output of the container {}", self.name);
        let all = [&["docker", "logs", "--timestamps"], words, &["--", self.at.id.as_str()]].concat();
        let mut wrong = false;
        let ran = run(&what, &all, Take::Both, |line| match timed(line) {
            Some((at, line)) => each(at, self.patterns.shows(line)),
            None => wrong = true,
        })?;
        match (ran.good, wrong) {
            (true, false) => Ok(ran.more),
            (true, true) => Err(not_read(&what).because("the engine printed a line without its time")),
            (false, _) => Err(not_read(&what).because("the engine does not return it")),
        }
    }
}

/// A line without its time.
fn timed(line: &[u8]) -> Option<(i128, &[u8])> {
    let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (time, rest) = line.split_at_checked(at)?;
    let time: Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
    Some((time.as_nanosecond(), rest.strip_prefix(b" ").unwrap_or(rest)))
}

fn id_of(name: &str) -> Result<String, Failure> {
    let what = format!("the output of the container {name}");
    let mut id = String::new();
    let words = ["docker", "inspect", "--type", "container", "--format", "{{.Id}}", "--", name];
    let ran = run(&what, &words, Take::Output, |line| id = String::from_utf8_lossy(line).trim().to_owned())?;
    match ran.good && !id.is_empty() {
        true => Ok(id),
        false => Err(not_read(&what).because(ran.complaint)),
    }
}
