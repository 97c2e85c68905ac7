//! A process that executes another program is the same process and another instance: what the program before it showed
//! is void.

use keyroll_rotation::{Incarnation, Which};

use super::Local;
use super::memo::locked;
use super::running::Running;

impl Local {
    /// The present life of an instance. If its process ran another program before, the lines in its log and the sessions
    /// that were seen of that one count as before the change: a connection may outlive the program that opened it.
    pub(super) fn life_of(&self, one: &Running) -> Incarnation {
        let who = self.incarnation(&one.process);
        let mut memo = self.memo();
        let last = memo.lives.insert(one.process, (who, one.slot)).map(|(last, _)| last);
        let Some(last) = last.filter(|last| *last != who) else { return who };
        for which in [Which::Old, Which::New] {
            let of = (one.consumer, last, which);
            let mut known = memo.before.get(&of).cloned().unwrap_or_default();
            known.extend(memo.sessions.get(&of).cloned().unwrap_or_default());
            memo.before.insert((one.consumer, who, which), known);
        }
        let log = memo.logs.get(&(one.consumer.0, one.slot)).cloned();
        drop(memo);
        if let Some(log) = log {
            let mut log = locked(&log);
            let lines = log.seen.get(&last).copied().unwrap_or_default();
            log.earlier.insert(who, lines);
        }
        who
    }

    /// Whether a line in the log of this instance shows an accepted credential since the change.
    pub(super) fn reported(&self, one: &Running, who: Incarnation) -> bool {
        let (lines, _) = self.log_lines(one.consumer, one.slot);
        // After the lines were read: they may be of another program that began meanwhile.
        if self.life_of(one) != who {
            return false;
        }
        let Some(log) = self.memo().logs.get(&(one.consumer.0, one.slot)).cloned() else { return false };
        let mut log = locked(&log);
        log.seen.insert(who, lines);
        lines > log.earlier.get(&who).copied().unwrap_or_default()
    }
}
