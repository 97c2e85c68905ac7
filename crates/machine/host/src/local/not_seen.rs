//! The processes that could not be searched, grouped into few lines.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_observe::{NotSeen, Place};

/// How many processes are named by their ids; more are counted.
const NAMED_MAX: usize = 4;

/// One line per reason, as a place and a reason: `environment and memory of 61 processes: permission denied`.
pub(super) fn lines(not_seen: &[NotSeen]) -> Vec<String> {
    let mut reasons: BTreeMap<String, [BTreeSet<u32>; 2]> = BTreeMap::new();
    for missed in not_seen {
        let [environments, memories] = reasons.entry(missed.reason.to_string()).or_default();
        match missed.place {
            Place::Environment => environments.insert(missed.process.pid),
            Place::Memory => memories.insert(missed.process.pid),
        };
    }
    let mut lines = Vec::new();
    for (reason, [environments, memories]) in reasons {
        if environments == memories {
            lines.push(format!("environment and memory of {}: {reason}", named(&environments)));
            continue;
        }
        for (place, pids) in [("environment", environments), ("memory", memories)] {
            if !pids.is_empty() {
                lines.push(format!("{place} of {}: {reason}", named(&pids)));
            }
        }
    }
    lines
}

fn named(pids: &BTreeSet<u32>) -> String {
    let ids: Vec<String> = pids.iter().map(u32::to_string).collect();
    match ids.len() {
        1 => format!("process {}", ids.join(", ")),
        2..=NAMED_MAX => format!("processes {}", ids.join(", ")),
        count => format!("{count} processes"),
    }
}

#[cfg(test)]
mod tests {
    use keyroll_observe::{NotVisible, ProcessId};

    use super::*;

    #[test]
    fn processes_alike_share_a_line_and_none_is_left_out() {
        let missed = |pid, place, reason| NotSeen {
            process: ProcessId { boot: 1, pid, start_ticks: 1 },
            uid: None,
            place,
            reason,
        };
        let mut all: Vec<NotSeen> = (10..70)
            .flat_map(|pid| {
                [Place::Environment, Place::Memory].map(|place| missed(pid, place, NotVisible::Permission))
            })
            .collect();
        all.push(missed(7, Place::Memory, NotVisible::TooLarge));
        all.push(missed(5, Place::Memory, NotVisible::TooLarge));
        assert_eq!(
            lines(&all),
            [
                "memory of processes 5, 7: larger than the limit of this search",
                "environment and memory of 60 processes: permission denied",
            ]
        );
    }
}
