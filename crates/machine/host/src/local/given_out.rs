//! What was remembered of live followers right before the store gave out a version.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use keyroll_rotation::{ConsumerId, HostId, Incarnation, InstanceIdentity, Which};

use super::identity::version_name;

/// The sessions of one process, by handle, with their calls.
pub(super) type Handles = HashMap<String, Option<u64>>;

/// The last change of what the store gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenOut {
    /// The version that it gives out since.
    pub(super) which: Which,
    /// What each process had of it before.
    pub(super) before: BTreeMap<(ConsumerId, Incarnation), Before>,
}

/// What one process had of a version before that was given out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Before {
    /// The version may have been in its memory: from a former time, or because the search did not see everything.
    pub(super) held: bool,
    /// The calls on its sessions with it, by handle, escaped so that each stands in one line.
    pub(super) sessions: Handles,
}

impl GivenOut {
    /// The calls on a session from before the store gave out this version; `None` = it was not open then. A program that is
    /// executed anew, or a fork, may have taken it over.
    pub(super) fn calls_before(&self, id: ConsumerId, which: Which, handle: &str) -> Option<Option<u64>> {
        let handle = handle.escape_default().to_string();
        let mut mine = self.before.iter().filter(|((of, _), _)| *of == id && self.which == which);
        mine.find_map(|(_, before)| before.sessions.get(&handle)).copied()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", version_name(self.which));
        for ((consumer, who), before) in &self.before {
            let InstanceIdentity::Process { boot, pid, start_ticks, program } = who.life else { continue };
            let held = u8::from(before.held);
            // Writing to a string does not fail.
            let _ = writeln!(text, "process {} {boot} {pid} {start_ticks} {program} {held}", consumer.0);
            for (handle, calls) in &before.sessions {
                let calls = calls.map_or_else(|| "-".to_owned(), |calls| calls.to_string());
                let _ = writeln!(text, "session {calls} {handle}");
            }
        }
        text
    }

    /// Reads it again, on the host that wrote it.
    pub(super) fn parse(text: &str, host: HostId) -> Option<Self> {
        let mut lines = text.lines();
        let which = match lines.next()? {
            "new" => Which::New,
            "old" => Which::Old,
            _ => return None,
        };
        let mut before: BTreeMap<_, Before> = BTreeMap::new();
        let mut last = None;
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "process" => {
                    let (of, held) = process_of_line(rest, host)?;
                    before.insert(of, Before { held, ..Before::default() });
                    last = Some(of);
                }
                "session" => {
                    let (calls, handle) = rest.split_once(' ')?;
                    let calls = if calls == "-" { None } else { Some(calls.parse().ok()?) };
                    before.get_mut(&last?)?.sessions.insert(handle.to_owned(), calls);
                }
                _ => return None,
            }
        }
        Some(Self { which, before })
    }
}

fn process_of_line(rest: &str, host: HostId) -> Option<((ConsumerId, Incarnation), bool)> {
    let mut words = rest.split(' ');
    let consumer = ConsumerId(words.next()?.parse().ok()?);
    let (boot, pid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (start_ticks, program) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let held = match words.next()? {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    let life = InstanceIdentity::Process { boot, pid, start_ticks, program };
    words.next().is_none().then_some(((consumer, Incarnation { host, life }), held))
}

/// Handles as each stands in one line of a file.
pub(super) fn escaped(sessions: Handles) -> Handles {
    sessions.into_iter().map(|(handle, calls)| (handle.escape_default().to_string(), calls)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostId = HostId(3);

    fn who(pid: u32) -> Incarnation {
        let life = InstanceIdentity::Process { boot: 1, pid, start_ticks: 9, program: 3 };
        Incarnation { host: HOST, life }
    }

    #[test]
    fn a_change_is_read_as_it_was_written() {
        let sessions = escaped(HashMap::from([("7 a\nb".to_owned(), Some(4)), ("8".to_owned(), None)]));
        let before = BTreeMap::from([
            ((ConsumerId(0), who(7)), Before { held: true, sessions }),
            ((ConsumerId(2), who(8)), Before::default()),
        ]);
        for which in [Which::Old, Which::New] {
            let change = GivenOut { which, before: before.clone() };
            assert_eq!(GivenOut::parse(&change.text(), HOST), Some(change));
        }
        for wrong in
            ["", "both\n", "new\nsession - 7\n", "new\nprocess 0 1 7 9 3\n", "new\nprocess 0 1 7 9 3 2\n"]
        {
            assert_eq!(GivenOut::parse(wrong, HOST), None, "{wrong}");
        }
    }
}
