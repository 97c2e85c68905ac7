use std::collections::{BTreeMap, BTreeSet};

use keyroll_observe::called;
use keyroll_trace::Unseen;
use serde::{Deserialize, Serialize};

use crate::look::Inventory;

/// How many places or processes of one reason are named.
const NAMED_MAX: usize = 3;

/// The kernel's message for a user without the right.
const DENIED: &str = "permission denied";

/// Something that could not be inspected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// What it is.
    pub what: String,
    /// Why it could not be inspected.
    pub why: String,
}

impl Inventory {
    /// What could not be inspected, grouped by reason and user. Refused items come first, then those that a limit left
    /// out.
    pub fn missed(&self) -> Vec<Missed> {
        let seen = &self.survey.listing.seen;
        let names: BTreeMap<u32, String> = seen.iter().map(|one| (one.id.pid, called(one))).collect();
        let all = sums(&self.survey.unseen, &names, &users());
        all.into_iter().map(|(what, why)| Missed { what, why }).collect()
    }

    /// Whether root would see more.
    pub fn refused(&self) -> bool {
        let refused = self.survey.unseen.iter().any(|one| is_refused(&one.reason));
        refused && !rustix::process::geteuid().is_root()
    }
}

/// Whether a user with more rights would see it.
fn is_refused(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["permission", "not permitted", "hidepid", "blocked on this machine"]
        .iter()
        .any(|why| reason.contains(why))
}

/// What is not visible and why, one line for each reason and user.
fn sums(
    unseen: &[Unseen],
    names: &BTreeMap<u32, String>,
    users: &BTreeMap<u32, String>,
) -> Vec<(String, String)> {
    // Collect the invisible parts of each process by reason; then group the processes of which the same parts are
    // invisible.
    let mut parts: BTreeMap<(bool, &str, Option<u32>, u32), BTreeSet<&str>> = BTreeMap::new();
    let mut others: BTreeMap<(bool, &str), BTreeSet<&str>> = BTreeMap::new();
    for one in unseen {
        let (rank, reason) = match is_refused(&one.reason) {
            // Different wordings of the kernel's refusal count as one reason.
            true if one.reason.to_ascii_lowercase().starts_with(DENIED) => (false, DENIED),
            true => (false, one.reason.as_str()),
            false => (true, one.reason.as_str()),
        };
        match of_process(&one.what) {
            Some((part, pid)) => {
                parts.entry((rank, reason, one.uid, pid)).or_default().insert(part);
            }
            None => drop(others.entry((rank, reason)).or_default().insert(&one.what)),
        }
    }
    let mut alike: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for ((rank, reason, uid, pid), parts) in parts {
        alike.entry((rank, reason, uid, parts.into_iter().collect())).or_default().push(pid);
    }
    let mut all: Vec<(bool, String, String)> = Vec::new();
    for ((rank, reason, uid, parts), pids) in alike {
        let parts: Vec<&str> = parts;
        let parts = listed(&parts);
        let parts = if parts.is_empty() { String::new() } else { format!("{parts} of ") };
        let whose =
            uid.map(|uid| users.get(&uid).map_or_else(|| format!("user {uid}"), |name| format!("'{name}'")));
        let whose = whose.map(|whose| format!(" of {whose}")).unwrap_or_default();
        all.push((rank, format!("{parts}{}{whose}", processes(&pids, names)), reason.to_owned()));
    }
    all.extend(
        others.into_iter().map(|((rank, reason), what)| (rank, summed(&what, "files"), reason.to_owned())),
    );
    all.sort_by_key(|(rank, _, _)| *rank);
    all.into_iter().map(|(_, what, why)| (what, why)).collect()
}

/// `memory` and 7 of `4096 bytes of memory of process 7`; nothing and 7 of `process 7`.
fn of_process(what: &str) -> Option<(&str, u32)> {
    let (before, pid) = what.rsplit_once("process ")?;
    let part = before.strip_suffix(" of ").unwrap_or(before);
    let part = match part.split_once(" bytes of ") {
        Some((_, "memory")) => "parts of the memory",
        Some((_, part)) => part,
        None => part,
    };
    (!part.starts_with('/')).then_some(())?;
    Some((part, pid.parse().ok()?))
}

/// `process 7 (nginx)`, `57 processes (systemd, nginx, cron and others)`.
fn processes(pids: &[u32], names: &BTreeMap<u32, String>) -> String {
    if let [pid] = pids {
        let name = names.get(pid).map(|name| format!(" ({name})")).unwrap_or_default();
        return format!("process {pid}{name}");
    }
    let different: BTreeSet<&str> =
        pids.iter().filter_map(|pid| names.get(pid)).map(String::as_str).collect();
    let shown: Vec<&str> = different.iter().take(NAMED_MAX).copied().collect();
    let more = if different.len() > NAMED_MAX { " and others" } else { "" };
    let shown = if shown.is_empty() { String::new() } else { format!(" ({}{more})", shown.join(", ")) };
    format!("{} processes{shown}", pids.len())
}

/// `a`, `a and b`, `a, b and c`.
fn listed(all: &[&str]) -> String {
    let all: Vec<&str> = all.iter().copied().filter(|part| !part.is_empty()).collect();
    match all.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

/// A few items by name; of many, one as an example.
fn summed(all: &BTreeSet<&str>, kind: &str) -> String {
    let first = all.first().copied().unwrap_or_default();
    match all.len() {
        0..=NAMED_MAX => all.iter().copied().collect::<Vec<_>>().join(", "),
        many if all.iter().all(|one| one.starts_with('/')) => format!("{many} {kind}, such as {first}"),
        many => format!("{first} and {} more", many - 1),
    }
}

/// The users of this machine by number, as /etc/passwd has them.
fn users() -> BTreeMap<u32, String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut parts = line.split(':');
        let name = parts.next()?.to_owned();
        Some((parts.nth(1)?.parse().ok()?, name))
    };
    text.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_summed_up_by_reason_and_user_and_what_was_refused_comes_first() {
        let mut unseen = Vec::new();
        let mut miss = |what: String, reason: &str, uid: Option<u32>| {
            unseen.push(Unseen { what, reason: reason.to_owned(), uid });
        };
        for file in ["/a/1", "/a/2", "/a/3", "/a/4"] {
            miss(file.to_owned(), "an archive is not opened", None);
        }
        for pid in [7, 8] {
            for part in ["environment of ", "open files of ", "memory of "] {
                miss(format!("{part}process {pid}"), "permission denied", Some(0));
            }
        }
        miss("4096 bytes of memory of process 9".to_owned(), "the limit of time", Some(5));
        miss("process 10".to_owned(), "it ended meanwhile", None);
        miss("/b".to_owned(), "Permission denied (os error 13)", None);
        let names = BTreeMap::from([(7, "nginx".to_owned()), (8, "cron".to_owned())]);
        let users = BTreeMap::from([(0, "root".to_owned())]);
        let said: Vec<String> =
            sums(&unseen, &names, &users).into_iter().map(|(what, why)| format!("{what}: {why}")).collect();
        assert_eq!(
            said,
            [
                "environment, memory and open files of 2 processes (cron, nginx) of 'root': permission denied",
                "/b: permission denied",
                "process 10: it ended meanwhile",
                "parts of the memory of process 9 of user 5: the limit of time",
                "4 files, such as /a/1: an archive is not opened",
            ]
        );
    }
}
