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
    let mut told: Vec<(InstanceShown, Vec<u32>)> = Vec::new();
    for one in all {
        let same = |other: &InstanceShown| {
            (&other.program, &other.secret, &other.cause) == (&one.program, &one.secret, &one.cause)
        };
        match told.iter_mut().find(|(other, _)| same(other)) {
            Some((_, pids)) => pids.push(one.pid),
            None => told.push((one.clone(), vec![one.pid])),
        }
    }
    let mut commands: BTreeSet<String> = BTreeSet::new();
    for (one, pids) in told {
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

/// `45, 46`, and how many more.
fn listed(pids: &[u32]) -> String {
    let shown: Vec<String> = pids.iter().take(PIDS_SHOWN_MAX).map(u32::to_string).collect();
    let more = pids.len().saturating_sub(PIDS_SHOWN_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

/// `12 current, 1 STALE, 3 unknown`: how many of each verdict there are.
pub(crate) fn summed(all: &[InstanceShown]) -> String {
    let count = |verdict: &str, unread_edit: bool| {
        let is = |one: &&InstanceShown| one.verdict == verdict && one.unread_edit == unread_edit;
        all.iter().filter(is).count()
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
