use std::collections::BTreeSet;

use keyroll_app::operator::{Event, InstanceShown};

use crate::context::Context;

/// The verdicts, the most urgent first.
const WORST_FIRST: [&str; 5] = ["stale", "likely stale", "mixed", "unknown", "current"];

/// How many numbers are shown of processes with equal lines, or names of pods.
const NUMBERS_SHOWN_MAX: usize = 8;

/// Shows why each instance uses its version: the worst first, and of equally bad ones the one that runs longest. Equal
/// lines are shown once; those of a cluster are in the order of their names. A command has a line of its own, which is never
/// wrapped, so that it can be pasted. With `every`, each process of equal lines is named.
pub(crate) fn causes(mut all: Vec<InstanceShown>, of_several: bool, every: bool, context: &mut Context) {
    let worst = |one: &InstanceShown| WORST_FIRST.iter().position(|word| *word == one.verdict);
    all.sort_by(|one, other| {
        let before = |one: &InstanceShown| (worst(one), one.started_ticks, one.pid);
        let pod = (&one.program, &one.pod);
        before(one).cmp(&before(other)).then_with(|| pod.cmp(&(&other.program, &other.pod)))
    });
    if context.ui.look.json {
        all.into_iter().for_each(|one| context.ui.event(Event::Instance(one)));
        return;
    }
    let mut commands: BTreeSet<String> = BTreeSet::new();
    for (one, numbers) in grouped(all) {
        let who = whose(&one, &numbers, if every { usize::MAX } else { NUMBERS_SHOWN_MAX });
        let secret = if of_several { format!(", {}:", one.secret) } else { String::new() };
        let unknown = one.verdict == "unknown";
        let InstanceShown { sentence, applies, seems, .. } = one;
        let Some(command) = applies else {
            context.ui.lines(&format!("{who}{secret} {sentence}"));
            continue;
        };
        if !commands.insert(command.clone()) {
            let too =
                if unknown { "the command above makes it certain" } else { "the command above moves it too" };
            context.ui.lines(&format!("{who}{secret} {sentence}; {too}"));
            continue;
        }
        // A new start only makes sure of what nothing shows.
        let lead = if unknown { "to be certain" } else { "to move it" };
        context.ui.lines(&format!("{who}{secret} {sentence}; {lead}:"));
        context.ui.data(&format!("  {command}"));
        if let Some(seems) = seems {
            context.ui.data(&format!("  not: {seems}"));
        }
    }
}

/// Those with equal lines together, each process and each container of a pod once: it may take one secret under two names.
fn grouped(all: Vec<InstanceShown>) -> Vec<(InstanceShown, Vec<String>)> {
    let mut told: Vec<(InstanceShown, Vec<String>)> = Vec::new();
    for one in all {
        let same = |other: &InstanceShown| {
            (&other.program, &other.secret, &other.cause, &other.applies)
                == (&one.program, &one.secret, &one.cause, &one.applies)
        };
        match told.iter_mut().find(|(other, _)| same(other)) {
            Some((_, numbers)) if numbers.contains(&one.number()) => {}
            Some((_, numbers)) => numbers.push(one.number()),
            None => {
                let numbers = vec![one.number()];
                told.push((one, numbers));
            }
        }
    }
    told
}

/// `api (pid 45)`, `api (2 processes: 45, 46)`, `agent (2 pods: agent-6d5f-x2x1z/app, agent-6d5f-k8w4p/app)`.
fn whose(one: &InstanceShown, numbers: &[String], most: usize) -> String {
    if numbers.len() < 2 {
        return one.who();
    }
    // Several containers of one pod are not several pods.
    let pods: BTreeSet<&str> = numbers.iter().filter_map(|number| number.split('/').next()).collect();
    let noun = match &one.pod {
        None => "processes",
        Some(_) if pods.len() == numbers.len() => "pods",
        Some(_) => "containers",
    };
    format!("{} ({} {noun}: {})", one.program, numbers.len(), listed(numbers, most))
}

/// `45, 46`, and how many more.
fn listed(numbers: &[String], most: usize) -> String {
    let more = numbers.len().saturating_sub(most);
    let shown = numbers.get(..most).unwrap_or(numbers).join(", ");
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{shown}{more}")
}

/// `12 current, 1 STALE, 3 unknown`: how many processes, or containers in a cluster, have each verdict.
pub(crate) fn summed(all: &[InstanceShown]) -> String {
    let count = |verdict: &str, unread_edit: bool| {
        let is = |one: &&InstanceShown| one.verdict == verdict && one.unread_edit == unread_edit;
        all.iter().filter(is).map(|one| (&one.secret, one.number())).collect::<BTreeSet<_>>().len()
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
            pid: Some(pid),
            pod: None,
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

    /// Who is named at each line.
    fn told(all: Vec<InstanceShown>) -> Vec<String> {
        grouped(all).iter().map(|(one, numbers)| whose(one, numbers, NUMBERS_SHOWN_MAX)).collect()
    }

    #[test]
    fn a_process_that_takes_a_secret_under_two_names_is_one_process() {
        assert_eq!(told(vec![shown(17, "A", "uses it"), shown(17, "B", "uses it")]), ["inc (pid 17)"]);
        assert_eq!(
            told(vec![shown(17, "A", "uses it"), shown(18, "A", "uses it")]),
            ["inc (2 processes: 17, 18)"]
        );
        assert_eq!(
            told(vec![shown(17, "A", "uses it"), shown(17, "B", "is behind")]),
            ["inc (pid 17)", "inc (pid 17)"]
        );
        let all: Vec<InstanceShown> = (1..=10).map(|pid| shown(pid, "A", "uses it")).collect();
        let (one, numbers) = &grouped(all.clone())[0];
        assert!(whose(one, numbers, usize::MAX).ends_with("8, 9, 10)"));
        assert_eq!(told(all), ["inc (10 processes: 1, 2, 3, 4, 5, 6, 7, 8 and 2 more)"]);
    }

    #[test]
    fn pods_with_one_cause_are_told_together_by_their_names() {
        let pod = |pod: &str, name: &str| InstanceShown {
            pid: None,
            pod: Some(pod.to_owned()),
            ..shown(0, name, "uses it")
        };
        assert_eq!(
            told(vec![pod("inc-k8w4p/app", "A"), pod("inc-k8w4p/app", "B")]),
            ["inc (pod inc-k8w4p/app)"]
        );
        let pods = [pod("inc-k8w4p/app", "A"), pod("inc-x2x1z/app", "A"), pod("inc-k8w4p/app", "B")];
        assert_eq!(told(pods.to_vec()), ["inc (2 pods: inc-k8w4p/app, inc-x2x1z/app)"]);
        assert_eq!(summed(&pods), "2 current");
        let beside = vec![pod("inc-k8w4p/app", "A"), pod("inc-k8w4p/proxy", "A")];
        assert_eq!(told(beside), ["inc (2 containers: inc-k8w4p/app, inc-k8w4p/proxy)"]);
    }
}
