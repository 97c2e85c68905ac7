use crate::redact;
use crate::ui::event::{EmergencyShown, Event, Finding, Outcome, StepState, Summary};

/// The mark before a line; legible without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Good,
    Bad,
    Wait,
    Plain,
}

/// An event as a line for people; `None` where it has nothing to say to them. Lines may hold more than one row.
pub(crate) fn line(event: &Event) -> Option<(Mark, String)> {
    let shown = match event {
        Event::Start { .. } | Event::Error { .. } => return None,
        Event::Rotation { id, secret } => (Mark::Plain, format!("rotation {id} of {secret}")),
        Event::Phase { phase } => (Mark::Plain, format!("── {}", phase.word())),
        Event::HostStep { host, consumer, instance, step, state, detail } => {
            let who = instance
                .as_ref()
                .map_or_else(|| consumer.clone(), |instance| format!("{consumer}/{instance}"));
            let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let not = if *state == StepState::Skipped { "not " } else { "" };
            (mark(*state), format!("{host} {who}: {not}{}{detail}", step.word()))
        }
        Event::Evidence { consumer, instance, path, grade, observer } => {
            let path = path.as_ref().map(|path| format!(" on {path}")).unwrap_or_default();
            (Mark::Good, format!("{consumer}/{instance}: {}{path}, seen by {observer}", grade.word()))
        }
        Event::Blocked { gate, holder } => {
            let lines = holder.lines(&format!("{} is blocked by ", gate.word()));
            (Mark::Bad, lines.join("\n"))
        }
        Event::Waiting { what, seconds_max } => {
            let limit =
                seconds_max.map(|seconds| format!(", at most {}", duration(seconds))).unwrap_or_default();
            (Mark::Wait, format!("waiting for {what}{limit}"))
        }
        Event::NotVisible { what, why } => (Mark::Plain, format!("not visible: {what} ({why})")),
        Event::Live { name, what, since, refused } => {
            let since = since.as_ref().map(|at| format!(" (file written {at})")).unwrap_or_default();
            let (mark, does) =
                if *refused { (Mark::Bad, "not restarted") } else { (Mark::Plain, "goes live too") };
            (mark, format!("{does}: {what}{since}\n  its name: {name}"))
        }
        Event::Paused { reason, resume_with } => {
            (Mark::Wait, format!("paused: {reason}\n  to continue: {resume_with}"))
        }
        Event::Decided { by, instances, waivers } => (
            Mark::Good,
            format!("decided by {by}: {instances} instances, {waivers} waivers; the old key will be ended"),
        ),
        Event::Undo { what, with } => (Mark::Plain, format!("{what}\n  to undo: {with}")),
        Event::Check { name, finding, detail, help } => {
            let help = help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
            (of_finding(*finding), format!("{name}: {detail}{help}"))
        }
        Event::Consent { ends, shared, instances, waivers, off_s } => {
            (Mark::Wait, consent((ends, *shared), instances, waivers, *off_s))
        }
        // Tables and drawings, which the commands show.
        Event::Secret { .. } | Event::Status(_) | Event::Due(_) | Event::Past(_) | Event::Issuer(_) => {
            return None;
        }
        Event::Draft { .. } | Event::Leak(_) => return None,
        Event::Found(_) | Event::Instance(_) | Event::Chain(_) | Event::Graph(_) => return None,
        Event::Leaks(sum) => (Mark::Plain, sum.text()),
        Event::Prints(prints) => (Mark::Good, prints.text()),
        Event::Store(store) => (Mark::Plain, store.text()),
        Event::Scan(scan) => (Mark::Plain, scan.text()),
        Event::Note { text } => (Mark::Plain, text.clone()),
        Event::Done { outcome } => (Mark::Plain, format!("ended: {}", outcome.word())),
        Event::Plan { id, secret, steps, gaps: _, away: _, least_s, apply_with } => {
            (Mark::Plain, plan(id, secret, steps, *least_s, apply_with))
        }
        Event::Residue(residue) => {
            (Mark::Plain, format!("the dead value is left in {}: {}", residue.place, residue.reason))
        }
        Event::Summary(all) => (Mark::Plain, summary(all)),
    };
    Some(shown)
}

fn of_finding(finding: Finding) -> Mark {
    match finding {
        Finding::Good => Mark::Good,
        Finding::Note => Mark::Plain,
        Finding::Bad => Mark::Bad,
    }
}

fn plan(id: &str, secret: &str, steps: &[String], least_s: u64, apply_with: &str) -> String {
    let numbered = steps.iter().enumerate().map(|(at, step)| format!("\n {:>2}  {step}", at + 1));
    let steps: String = numbered.collect();
    let least = match least_s {
        0 => "the restarts and their checks".to_owned(),
        seconds => format!("{} of waiting, besides the restarts and their checks", duration(seconds)),
    };
    let last = match steps.contains("IRREVERSIBLE") {
        true => "the step that is IRREVERSIBLE",
        // A person ends the old key, and until then it works.
        false => "the last step",
    };
    format!(
        "plan {id} for {secret}; nothing was touched{steps}\n  takes at least {least}\n  everything before {last} can be taken back: \
         keyroll abort {id}\n  to carry it out: {apply_with}"
    )
}

/// What a person is asked about, line by line.
fn consent(
    (ends, shared): (&str, bool),
    instances: &[String],
    waivers: &[String],
    off_s: Option<u64>,
) -> String {
    let (key, new) = if shared { ("shared", "a key of its own") } else { ("old", "the new key") };
    let mut text = format!("before the end of the {key} key\n  {ends}");
    for instance in instances {
        text.push_str(&format!("\n  on {new}: {instance}"));
    }
    for waived in waivers {
        text.push_str(&format!("\n  waived, and may break: {waived}"));
    }
    if waivers.is_empty() {
        text.push_str("\n  waived: nothing");
    }
    if let Some(seconds) = off_s {
        text.push_str(&format!("\n  the {key} key has been switched off for {}", duration(seconds)));
    }
    text
}

fn summary(summary: &Summary) -> String {
    let moved = summary.mint_to_last_moved_s.map(|s| format!("; mint to last moved {s:.1} s"));
    let dead = match summary.outcome {
        Outcome::Done | Outcome::Debt if summary.dead_confirmed => "; old key dead",
        Outcome::Done if summary.old_kept => "; the shared key stays alive",
        Outcome::Done | Outcome::Debt => "; old key not seen dead",
        Outcome::RolledBack | Outcome::Stuck | Outcome::Paused => "",
    };
    let clock = summary.emergency.as_ref().map(clock);
    let gap = summary.gap_s.map(|s| format!("; longest gap {s:.1} s"));
    let line =
        format!("{}{}{}{dead}", summary.outcome.word(), moved.unwrap_or_default(), gap.unwrap_or_default());
    std::iter::once(line).chain(clock).collect::<Vec<_>>().join("\n")
}

/// The steps of an emergency, beside the minutes after the alert within which they should be done.
pub(crate) fn clock(shown: &EmergencyShown) -> String {
    let steps = [
        ("new key made", shown.alert_to_minted_s, 3),
        ("written to every copy", shown.alert_to_stored_s, 5),
        ("every consumer on it", shown.alert_to_moved_s, 6),
        ("old key dead", shown.alert_to_dead_s, 8),
    ];
    let row = |(what, at, goal): (&str, Option<f64>, u32)| {
        let at = at.map_or_else(|| "not yet".to_owned(), |at| format!("after {}", spent(at)));
        format!("\n  {what:<22} {at:<12} (keyroll's goal: {goal} min)")
    };
    format!("since the alert at {}{}", shown.alerted, steps.map(row).concat())
}

/// Seconds with one digit while they are few.
pub(crate) fn spent(seconds: f64) -> String {
    match seconds {
        few if few < 10.0 => format!("{few:.1} s"),
        many => duration(std::time::Duration::from_secs_f64(many).as_secs()),
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

/// A number of seconds in two units at most: `90 s`, `12 min`, `3 h 20 min`.
pub(crate) fn duration(seconds: u64) -> String {
    match (seconds, seconds / 60, seconds / 3_600) {
        (0..=119, _, _) => format!("{seconds} s"),
        (_, minutes @ 0..=119, _) => format!("{minutes} min"),
        (_, minutes, hours) => match minutes % 60 {
            0 => format!("{hours} h"),
            rest => format!("{hours} h {rest} min"),
        },
    }
}

/// The text without control characters, so that a name from elsewhere cannot write to the terminal. Line ends stay. Known
/// values go first: of one that is cut, broken or written by numbers afterwards the last net would find nothing.
pub(crate) fn clean(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    redact::pass(text).chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::event::{Holder, HostStep, Phase};

    #[test]
    fn a_blocked_gate_names_the_holder_and_the_way_out() {
        let holder = Holder {
            pid: Some(41),
            name: "batch".to_owned(),
            found_by: "its socket at the issuer; memory: not visible".to_owned(),
            how_to_move: "keyroll consumer adopt 41 --name batch --restart CMD".to_owned(),
            or_else: Some("keyroll consumer waive 41 --reason WHY".to_owned()),
            kind: "unexplained process",
            executable: Some("/usr/bin/batch".to_owned()),
            folder: Some("/srv".to_owned()),
            started: None,
        };
        let (mark, text) = line(&Event::Blocked { gate: Phase::Disable, holder }).unwrap();
        assert_eq!(mark, Mark::Bad);
        assert_eq!(
            text,
            "disable is blocked by unexplained process: batch (pid 41)\n  found by: its socket at the issuer; memory: \
             not visible\n  runs /usr/bin/batch in /srv\n  to move it: keyroll consumer adopt 41 --name batch \
             --restart CMD\n  or: keyroll consumer waive 41 --reason WHY"
        );
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
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let shown: Vec<String> = [0, 119, 120, 7_199, 7_200, 12_000].map(duration).to_vec();
        assert_eq!(shown, ["0 s", "119 s", "2 min", "119 min", "2 h", "3 h 20 min"]);
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\n");
    }
}
