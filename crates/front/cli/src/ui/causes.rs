use keyroll_app::operator::{Event, InstanceShown};

use crate::context::Context;

/// The verdicts, the most urgent first.
const WORST_FIRST: [&str; 5] = ["stale", "likely stale", "mixed", "unknown", "current"];

/// Shows in one line why each instance uses its version, the worst first; equal lines once.
pub(crate) fn causes(mut all: Vec<InstanceShown>, of_several: bool, context: &mut Context) {
    all.sort_by_key(|one| WORST_FIRST.iter().position(|word| *word == one.verdict));
    if context.ui.look.json {
        all.into_iter().for_each(|one| context.ui.event(Event::Instance(one)));
        return;
    }
    let mut told: Vec<(InstanceShown, usize)> = Vec::new();
    for one in all {
        let same = |other: &InstanceShown| {
            (&other.program, &other.secret, &other.cause) == (&one.program, &one.secret, &one.cause)
        };
        match told.iter_mut().find(|(other, _)| same(other)) {
            Some((_, count)) => *count += 1,
            None => told.push((one, 1)),
        }
    }
    for (one, count) in told {
        let who = match count {
            1 => one.who(),
            several => format!("{} ({several} processes, one is {})", one.program, one.pid),
        };
        let secret = if of_several { format!(", {}:", one.secret) } else { String::new() };
        context.ui.lines(&format!("{who}{secret} {}", one.cause));
    }
}

/// `12 current, 1 STALE, 3 unknown`: how many of each verdict there are.
pub(crate) fn summed(all: &[InstanceShown]) -> String {
    let count = |verdict: &str| all.iter().filter(|one| one.verdict == verdict).count();
    let words = [
        ("stale", "STALE"),
        ("likely stale", "LIKELY STALE"),
        ("mixed", "MIXED"),
        ("current", "current"),
        ("unknown", "unknown"),
    ];
    let words = words.map(|(verdict, word)| (count(verdict), word));
    let said = words.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    said.collect::<Vec<_>>().join(", ")
}
