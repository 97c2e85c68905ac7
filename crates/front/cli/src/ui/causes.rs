use std::collections::BTreeSet;

use keyroll_app::operator::{Event, InstanceShown};

use crate::context::Context;

/// The verdicts, the most urgent first.
const WORST_FIRST: [&str; 5] = ["stale", "likely stale", "mixed", "unknown", "current"];

/// How many process ids are shown of processes with equal lines.
const PIDS_SHOWN_MAX: usize = 8;

/// Shows why each instance uses its version: the worst first, and of equally bad ones the one that runs longest. Equal
/// lines are shown once. A command has a line of its own, which is never wrapped, so that it can be pasted.
pub(crate) fn causes(mut all: Vec<InstanceShown>, of_several: bool, context: &mut Context) {
    let worst = |one: &InstanceShown| WORST_FIRST.iter().position(|word| *word == one.verdict);
    all.sort_by_key(|one| (worst(one), one.started_ticks, one.pid));
    if context.ui.look.json {
        all.into_iter().for_each(|one| context.ui.event(Event::Instance(one)));
        return;
    }
    let mut commands: BTreeSet<String> = BTreeSet::new();
    for (one, pids) in grouped(all) {
        let who = match pids.as_slice() {
            [_] => one.who(),
            several => format!("{} ({} processes: {})", one.program, several.len(), listed(several)),
        };
        let secret = if of_several { format!(", {}:", one.secret) } else { String::new() };
        let InstanceShown { sentence, applies, seems, .. } = one;
        let Some(command) = applies else {
            context.ui.lines(&format!("{who}{secret} {sentence}"));
            continue;
        };
        if !commands.insert(command.clone()) {
            context.ui.lines(&format!("{who}{secret} {sentence}; the command above moves it too"));
            continue;
        }
        context.ui.lines(&format!("{who}{secret} {sentence}; to move it:"));
        context.ui.data(&format!("  {command}"));
        if let Some(seems) = seems {
            context.ui.data(&format!("  not: {seems}"));
        }
    }
}

/// Those with equal lines together, each process once: it may take one secret under two names.
fn grouped(all: Vec<InstanceShown>) -> Vec<(InstanceShown, Vec<u32>)> {
    let mut told: Vec<(InstanceShown, Vec<u32>)> = Vec::new();
    for one in all {
        let same = |other: &InstanceShown| {
            (&other.program, &other.secret, &other.cause, &other.applies)
                == (&one.program, &one.secret, &one.cause, &one.applies)
        };
        match told.iter_mut().find(|(other, _)| same(other)) {
            Some((_, pids)) if pids.contains(&one.pid) => {}
            Some((_, pids)) => pids.push(one.pid),
            None => {
                let pids = vec![one.pid];
                told.push((one, pids));
            }
        }
    }
    told
}

/// `45, 46`, and how many more.
fn listed(pids: &[u32]) -> String {
    let shown: Vec<String> = pids.iter().take(PIDS_SHOWN_MAX).map(u32::to_string).collect();
    let more = pids.len().saturating_sub(PIDS_SHOWN_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

/// `12 current, 1 STALE, 3 unknown`: how many processes have each verdict.
pub(crate) fn summed(all: &[InstanceShown]) -> String {
    let count = |verdict: &str, unread_edit: bool| {
        let is = |one: &&InstanceShown| one.verdict == verdict && one.unread_edit == unread_edit;
        all.iter().filter(is).map(|one| (&one.secret, one.pid)).collect::<BTreeSet<_>>().len()
    };
    let both = |verdict: &str| count(verdict, false) + count(verdict, true);
    let words = [
        (both("stale"), "STALE"),
        (both("likely stale"), "LIKELY STALE"),
        (both("mixed"), "MIXED"),
        // Whoever edited that copy believes that these use it.
        (count("current", true), "current beside an edited copy that is not read"),
        (count("current", false), "current"),
        (both("unknown"), "unknown"),
    ];
    let said = words.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use keyroll_app::operator::MemoryShown;

    use super::*;

    fn shown(pid: u32, name: &str, cause: &str) -> InstanceShown {
        InstanceShown {
            secret: "base".to_owned(),
            used_by: "inc".to_owned(),
            keeper: "supervisord".into(),
            program: "inc".to_owned(),
            pid,
            started: None,
            name: Some(name.to_owned()),
            start: None,
            memory: MemoryShown { searched: "not searched".into(), values: Vec::new() },
            next: None,
            verdict: "current".into(),
            cause: cause.to_owned(),
            sentence: cause.to_owned(),
            applies: None,
            seems: None,
            started_ticks: 1,
            unread_edit: false,
            doubt: None,
            grounds: Vec::new(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn a_process_that_takes_a_secret_under_two_names_is_one_process() {
        let pids = |all: Vec<InstanceShown>| -> Vec<Vec<u32>> {
            grouped(all).into_iter().map(|(_, pids)| pids).collect()
        };
        assert_eq!(pids(vec![shown(17, "A", "uses it"), shown(17, "B", "uses it")]), [[17]]);
        assert_eq!(pids(vec![shown(17, "A", "uses it"), shown(18, "A", "uses it")]), [[17, 18]]);
        assert_eq!(pids(vec![shown(17, "A", "uses it"), shown(17, "B", "is behind")]), [[17], [17]]);
    }
}
