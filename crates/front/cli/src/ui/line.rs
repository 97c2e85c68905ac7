use keyroll_app::operator::{
    CheckShown, Event, Finding, Outcome, RollsBack, StepState, Summary, clock, duration,
};
use keyroll_app::quantity::quantity;

/// The mark before a line; legible without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Good,
    Bad,
    Wait,
    Plain,
}

/// An event as a line for the operator; `None` if it is not shown as a line. A line may have several rows.
pub(crate) fn line(event: &Event) -> Option<(Mark, String)> {
    let shown = match event {
        Event::Start { .. } | Event::Error { .. } => return None,
        Event::Rotation { id, secret } => (Mark::Plain, format!("rotation {id} of {secret}")),
        Event::Phase { phase } => (Mark::Plain, format!("── {}", phase.word())),
        Event::HostStep { host, consumer, instance, step, state, detail } => {
            let who = instance.as_ref().map_or(consumer.clone(), |instance| format!("{consumer}/{instance}"));
            let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            (mark(*state), format!("{host} {who}: {}{}{detail}", not(*state), step.word()))
        }
        Event::Evidence { consumer, instance, path, grade, observer } => {
            let path = path.as_ref().map(|path| format!(" on {path}")).unwrap_or_default();
            (Mark::Good, format!("{consumer}/{instance}: {}{path}, observed by {observer}", grade.word()))
        }
        Event::Blocked { gate, holder } => {
            let lines = holder.lines(&format!("{} is blocked by ", gate.word()));
            (Mark::Bad, lines.join("\n"))
        }
        Event::Waiting { what, seconds_max, since, until, forward, back } => {
            let since = since.as_ref().map(|at| format!(" since {at}")).unwrap_or_default();
            let until = until.as_ref().map(|at| format!(" (until {at})")).unwrap_or_default();
            let limit = seconds_max.map(|seconds| format!(", at most {}{until}", duration(seconds)));
            let (limit, ways) = (limit.unwrap_or_default(), meanwhile(forward.as_ref(), back.as_ref()));
            (Mark::Wait, format!("waiting for {what}{since}{limit}{ways}"))
        }
        Event::NotVisible { what, why } => (Mark::Plain, format!("not visible: {what} ({why})")),
        Event::Live { name, what, since, refused } => {
            let since = since.as_ref().map(|at| format!(" (file written {at})")).unwrap_or_default();
            let (mark, does) =
                if *refused { (Mark::Bad, "not restarted") } else { (Mark::Plain, "pending change") };
            (mark, format!("{does}: {what}{since}\n  name: {name}"))
        }
        Event::Paused { reason, resume_with: next } => {
            (Mark::Wait, format!("paused: {reason}\n  to continue: {next}"))
        }
        Event::Decided { by, instances, waivers } => (Mark::Good, decided(by, *instances, *waivers)),
        Event::Sealed { .. } => (Mark::Plain, "the new key is sealed".to_owned()),
        Event::Undo { what, with } => (Mark::Plain, format!("{what}\n  to undo: {with}")),
        Event::Check(check) => {
            let CheckShown { name, finding, detail, help } = check;
            let help = help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
            (of_finding(*finding), format!("{name}: {detail}{help}"))
        }
        Event::Consent { ends, shared, instances, waivers, unsearched, off_s } => {
            (Mark::Wait, consent((ends, *shared), instances, &allowed(waivers, unsearched), *off_s))
        }
        // Tables and drawings, which the commands show.
        Event::Secret(_) | Event::Status(_) | Event::Due(_) | Event::Past(_) | Event::Act(_) => return None,
        Event::Drift(_) | Event::SpecWarning(_) | Event::Host(_) | Event::SameValue(_) => return None,
        Event::Issuer(_) | Event::Incident(_) | Event::Assessment(_) | Event::Report(_) => return None,
        Event::Draft { .. } | Event::Leak(_) | Event::Code(_) | Event::Waiver(_) => return None,
        Event::Found(_) | Event::Instance(_) | Event::Chain(_) | Event::Graph(_) => return None,
        Event::Leaks(sum) => (Mark::Plain, sum.text()),
        Event::Prints(prints) => (Mark::Good, prints.text()),
        Event::Store(store) => (Mark::Plain, store.text()),
        Event::Scan(scan) => (Mark::Plain, scan.text()),
        Event::Note { text } => (Mark::Plain, text.clone()),
        Event::HostLeft(host) => (Mark::Plain, host.text()),
        Event::Done { outcome } => (Mark::Plain, format!("ended: {}", outcome.word())),
        Event::Plan { .. } => (Mark::Plain, plan(event)),
        Event::Residue(residue) => {
            (Mark::Plain, format!("the dead value is still in {}: {}", residue.place, residue.reason))
        }
        Event::Summary(all) => (Mark::Plain, summary(all)),
    };
    Some(shown)
}

/// What can be done meanwhile, a row for each direction.
fn meanwhile(forward: Option<&String>, back: Option<&String>) -> String {
    let ways = [("meanwhile", forward), ("back", back)];
    ways.iter().filter_map(|(name, way)| Some(format!("\n  {name}: {}", way.as_ref()?))).collect()
}

fn of_finding(finding: Finding) -> Mark {
    match finding {
        Finding::Good => Mark::Good,
        Finding::Note => Mark::Plain,
        Finding::Bad => Mark::Bad,
    }
}

/// The steps, numbered, and how they are paced. A server of a former version indents the further lines of a step itself.
fn plan_steps(steps: &[String], pace: &[String]) -> String {
    let text = |step: &String| step.lines().map(str::trim_start).collect::<Vec<_>>().join("\n     ");
    let numbered = steps.iter().enumerate().map(|(at, step)| format!("\n {:>2}  {}", at + 1, text(step)));
    numbered.chain(pace.iter().map(|line| format!("\n  {line}"))).collect()
}

/// A plan: its steps, how long it takes at least, how far it can be rolled back, and the command that applies it.
fn plan(event: &Event) -> String {
    let Event::Plan { id, secret, steps, pace, least_s, rolls_back, apply_with, .. } = event else {
        return String::new();
    };
    let (steps, least, back) = (plan_steps(steps, pace), plan_least(*least_s), plan_back(*rolls_back, id));
    format!("plan {id} for {secret}; nothing was changed{steps}{least}{back}\n  to apply it: {apply_with}")
}

/// How long it takes at least.
fn plan_least(least_s: u64) -> String {
    let least = match least_s {
        0 => "the restarts and their checks".to_owned(),
        seconds => format!("{} of waiting, plus the restarts and their checks", duration(seconds)),
    };
    format!("\n  takes at least {least}")
}

/// How far it can be rolled back, and by which command; nothing in a recovery, whose first step says so.
fn plan_back(rolls_back: Option<RollsBack>, id: &str) -> String {
    let before = match rolls_back {
        Some(RollsBack::Never) => return String::new(),
        Some(RollsBack::UntilIrreversible) => "everything before the step that is IRREVERSIBLE can",
        // The operator revokes the old key, and until then it works.
        Some(RollsBack::UntilLast) => "everything before the last step can",
        None => "until the old key is revoked, it can",
    };
    format!("\n  {before} be rolled back: keyroll abort {id}")
}

/// The point of no return was passed: who consented, and what was observed.
fn decided(by: &str, instances: u64, waivers: u64) -> String {
    let count = |count: u64, noun: &str| quantity(usize::try_from(count).unwrap_or(usize::MAX), noun);
    let (instances, waivers) = (count(instances, "instance"), count(waivers, "waiver"));
    format!("decided by {by}: {instances}, {waivers}; the old key will be revoked")
}

/// What may break with the operator's consent, in one line each.
fn allowed(waivers: &[String], unsearched: &[String]) -> Vec<String> {
    let nothing = waivers.is_empty().then(|| "waived: nothing".to_owned());
    let waived = waivers.iter().map(|waived| format!("waived, and may break: {waived}"));
    let missed = unsearched.iter().map(|process| format!("not searched, and may break: {process}"));
    waived.chain(nothing).chain(missed).collect()
}

/// What the operator consents to, line by line.
fn consent(
    (ends, shared): (&str, bool),
    instances: &[String],
    allowed: &[String],
    off_s: Option<u64>,
) -> String {
    let (key, new) = if shared { ("shared", "a key of its own") } else { ("old", "the new key") };
    let mut text = format!("before revoking the {key} key\n  {ends}");
    for instance in instances {
        text.push_str(&format!("\n  uses {new}: {instance}"));
    }
    for line in allowed {
        text.push_str(&format!("\n  {line}"));
    }
    if let Some(seconds) = off_s {
        text.push_str(&format!("\n  the {key} key has been disabled for {}", duration(seconds)));
    }
    text
}

fn summary(summary: &Summary) -> String {
    let moved = summary.mint_to_last_moved_s.map(|s| format!("; mint to last consumer moved {s:.1} s"));
    let dead = match summary.outcome {
        Outcome::Debt if summary.dead_confirmed => {
            "; old key dead, but the issuer gave no complete list of its keys"
        }
        Outcome::Done if summary.dead_confirmed => "; old key dead",
        Outcome::Done if summary.old_kept => "; the shared key stays alive",
        Outcome::Done | Outcome::Debt => "; old key not seen dead",
        Outcome::RolledBack | Outcome::Stuck | Outcome::Paused => "",
    };
    let clock = summary.emergency.as_ref().map(clock);
    let downtime = summary.downtime_s.map(|s| format!("; longest downtime {s:.1} s"));
    let line = format!(
        "{}{}{}{dead}",
        summary.outcome.word(),
        moved.unwrap_or_default(),
        downtime.unwrap_or_default()
    );
    std::iter::once(line).chain(clock).collect::<Vec<_>>().join("\n")
}

/// What stands before the word of a step that is not seen done. A mark alone would read as if it were.
fn not(state: StepState) -> &'static str {
    match state {
        StepState::Done | StepState::Failed => "",
        StepState::Skipped => "not ",
        StepState::Waiting => "not known to be ",
    }
}

fn mark(state: StepState) -> Mark {
    match state {
        StepState::Waiting => Mark::Wait,
        StepState::Done => Mark::Good,
        StepState::Failed => Mark::Bad,
        StepState::Skipped => Mark::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyroll_app::operator::{Holder, HostStep, Phase};

    #[test]
    fn a_blocked_gate_names_the_holder_and_the_way_out() {
        let holder = Holder {
            host: None,
            pid: Some(41),
            name: "batch".to_owned(),
            found_by: "its socket at the issuer; memory: not visible".to_owned(),
            how_to_move: "keyroll consumer adopt 41 --name batch --restart CMD".to_owned(),
            or_else: Some("keyroll consumer waive 41 --reason WHY".to_owned()),
            steps: Vec::new(),
            kind: "undeclared process",
            executable: Some("/usr/bin/batch".to_owned()),
            folder: Some("/srv".to_owned()),
            started: None,
        };
        let (mark, text) = line(&Event::Blocked { gate: Phase::Disable, holder }).unwrap();
        assert_eq!(mark, Mark::Bad);
        assert_eq!(
            text,
            "disable is blocked by undeclared process: batch (pid 41)\n  found by: its socket at the issuer; memory: \
             not visible\n  runs /usr/bin/batch in /srv\n  to move it: keyroll consumer adopt 41 --name batch \
             --restart CMD\n  or: keyroll consumer waive 41 --reason WHY"
        );
    }

    #[test]
    fn a_wait_says_for_what_since_when_until_when_and_what_can_be_done() {
        let text = |part: &str| Some(part.to_owned());
        let waiting = Event::Waiting {
            what: "evidence that `api` uses the old key".to_owned(),
            seconds_max: Some(120),
            since: text("2026-11-20 16:02:11Z"),
            until: text("2026-11-20 16:04:14Z"),
            forward: text("keyroll pause 0192"),
            back: None,
        };
        let said = "waiting for evidence that `api` uses the old key since 2026-11-20 16:02:11Z, at most 2 min (until \
                    2026-11-20 16:04:14Z)\n  meanwhile: keyroll pause 0192";
        assert_eq!(line(&waiting).unwrap(), (Mark::Wait, said.to_owned()));
    }

    /// `--json` and the server give the lines of a step as they are.
    #[test]
    fn the_lines_of_a_step_are_indented_on_the_screen_alone() {
        let shown = |step: &str| plan_steps(&["make a key".to_owned(), step.to_owned()], &[]);
        let wanted = "\n  1  make a key\n  2  app: restart it\n     writes ./key\n     runs ./r";
        assert_eq!(shown("app: restart it\nwrites ./key\nruns ./r"), wanted);
        assert_eq!(shown("app: restart it\n     writes ./key\n     runs ./r"), wanted);
    }

    /// The words of the steps do not decide it.
    #[test]
    fn how_far_a_plan_can_be_rolled_back_is_said_by_its_own_field() {
        let back = |rolls_back| {
            let plan = Event::Plan {
                id: "01a2".to_owned(),
                secret: "ring".to_owned(),
                steps: vec!["an IRREVERSIBLE step: there is no rollback".to_owned()],
                pace: Vec::new(),
                downtimes: Vec::new(),
                away: Vec::new(),
                least_s: 0,
                rolls_back,
                accept: Vec::new(),
                apply_with: "keyroll apply 01a2".to_owned(),
            };
            let (_, text) = line(&plan).unwrap();
            let said = text.lines().find(|line| line.contains("keyroll abort 01a2"));
            said.map(|line| line.trim_start().to_owned())
        };
        let said = |before: &str| Some(format!("{before} can be rolled back: keyroll abort 01a2"));
        assert_eq!(back(Some(RollsBack::Never)), None);
        let step = said("everything before the step that is IRREVERSIBLE");
        assert_eq!(back(Some(RollsBack::UntilIrreversible)), step);
        assert_eq!(back(Some(RollsBack::UntilLast)), said("everything before the last step"));
        assert_eq!(back(None), said("until the old key is revoked, it"));
    }

    #[test]
    fn a_step_on_a_host_is_one_line() {
        let event = Event::HostStep {
            host: "local".to_owned(),
            consumer: "api".to_owned(),
            instance: Some("2".to_owned()),
            step: HostStep::Applied,
            state: StepState::Done,
            detail: Some("4/4 workers".to_owned()),
        };
        assert_eq!(line(&event).unwrap(), (Mark::Good, "local api/2: applied (4/4 workers)".to_owned()));
        // A restart that was ended at its deadline: nothing may read as if it had been applied.
        let Event::HostStep { host, consumer, instance, step, .. } = event else { panic!("a step") };
        let unknown =
            Event::HostStep { host, consumer, instance, step, state: StepState::Waiting, detail: None };
        assert_eq!(line(&unknown).unwrap(), (Mark::Wait, "local api/2: not known to be applied".to_owned()));
    }
}
