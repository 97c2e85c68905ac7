//! The report of an incident: what happened when, beside the runbook's minutes, and what is left to do.

use std::fmt::Write as _;

use super::assess::told_first;
use super::file::{Incident, Subject};
use super::shown::{Exposed, Found, IncidentShown, Report, StepShown};
use super::standing::{Standing, chosen, shown_with};
use crate::installation::Installation;
use crate::operator::{EmergencyShown, spent};
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::records::past::Past;
use crate::records::saved_plan::Saved;
use crate::reports::runbook::MINUTES;
use keyroll_host::SystemClock;
use keyroll_port::Clock as _;

const VERSION: u32 = 1;
/// The steps for the consumers of a key.
const OF_CONSUMERS: [&str; 3] = ["new key", "store it in every copy", "reload, and verify every consumer"];

/// The report of an incident as it stands.
///
/// # Errors
/// There is no such incident, or the journal cannot be read.
pub fn report(id: Option<&str>, installation: &Installation) -> Result<Report, Problem> {
    let places = installation.places()?;
    let config = installation.config().ok();
    let incident = chosen(id, installation)?;
    let standing = Standing::of_incident(&incident, config.as_ref(), &places)?;
    let now = SystemClock::new().unix_ms();
    let dead = standing.as_ref().and_then(Standing::dead_unix_ms).or(incident.dead_unix_ms);
    let alerted = incident.opened_unix_ms;
    let shown = shown_with(&incident, standing.as_ref());
    let ending = standing.as_ref().and_then(|standing| standing.ending.as_ref());
    let planned = ending.and_then(|ending| Saved::of(&ending.recorded).ok());
    let found = incident.assessed.clone();
    let configured =
        incident.secret().zip(config.as_ref()).and_then(|(name, config)| config.secret(name).ok());
    let mut residues: Vec<String> = planned.map(|saved| saved.seen.unexplained).unwrap_or_default();
    residues.extend(incident.alerts.iter().filter_map(|seen| seen.place.clone()));
    residues.extend(found.iter().flat_map(|found| found.exposed.clone()));
    // A copy that a consumer reads holds the new value by now.
    let reads = configured.into_iter().flat_map(keyroll_config::Secret::files);
    let reads: Vec<String> = reads.map(|path| format!("{}:", path.display())).collect();
    let copies = found.iter().flat_map(|found| &found.copies);
    residues.extend(copies.filter(|copy| !reads.iter().any(|read| copy.starts_with(read))).cloned());
    residues.sort();
    residues.dedup();
    Ok(Report {
        version: VERSION,
        alerted: clock(alerted),
        clock: steps(&incident, ending.map(|ending| &ending.past), dead),
        open_s: seconds(alerted, dead.unwrap_or(now)),
        exposure: Exposed {
            first: first(&incident),
            dead: dead.map(clock),
            places: found.as_ref().map(|found| found.exposed.clone()).unwrap_or_default(),
        },
        not_visible: not_visible(&incident, ending.and_then(|ending| ending.past.emergency.as_ref())),
        tasks: tasks(&incident, &shown, &residues),
        found: found.map(|found| Found {
            at: clock(found.unix_ms),
            alive: found.alive,
            users: found.users,
            copies: found.copies,
        }),
        residues,
        incident: shown,
    })
}

fn seconds(from: u64, to: u64) -> f64 {
    std::time::Duration::from_millis(to.saturating_sub(from)).as_secs_f64()
}

/// To the millisecond: what is added up has no other digits.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

/// The oldest place that a source or an assessment names with a time.
fn first(incident: &Incident) -> Option<String> {
    let found = incident.assessed.as_ref().and_then(|found| found.first_exposed.clone());
    found.into_iter().chain(told_first(incident)).min()
}

/// When each step was done, beside the runbook's minutes.
fn steps(incident: &Incident, past: Option<&Past>, dead: Option<u64>) -> Vec<StepShown> {
    let alerted = incident.opened_unix_ms;
    let since = |at: Option<u64>| at.map(|at| seconds(alerted, at));
    // The emergency may count from another moment, such as that of a request.
    let begun = incident.contain_unix_ms.or_else(|| past.and_then(|past| past.alerted_unix_ms));
    let later = past.and_then(|past| past.alerted_unix_ms).map_or(0.0, |at| seconds(alerted, at));
    let emergency = past.and_then(|past| past.emergency.as_ref());
    let of = |read: fn(&EmergencyShown) -> Option<f64>| emergency.and_then(read).map(|after| later + after);
    // A later look was not what the decision came from.
    let assessed = incident.assessed.as_ref().map(|found| found.unix_ms);
    let assessed = assessed.filter(|at| begun.is_none_or(|begun| *at <= begun));
    let [assess, make, store, reload, verify, revoke, _] = MINUTES;
    let rows = [
        ("assess, and decide", since(assessed).or_else(|| since(begun)), assess),
        ("new key", of(|shown| shown.alert_to_minted_s), make),
        ("store it in every copy", of(|shown| shown.alert_to_stored_s), store),
        ("reload, and verify every consumer", of(moved_all), reload + verify),
        ("revoke, and see it dead", since(dead), revoke),
    ];
    let mut before = 0.0;
    let row = |(step, after_s, runbook_min): (&'static str, Option<f64>, u32)| {
        let took_s = after_s.map(|after| rounded((after - before).max(0.0)));
        before = after_s.unwrap_or(before);
        StepShown { step, after_s: after_s.map(rounded), took_s, runbook_min }
    };
    // A key without consumers is revoked, and nothing else.
    let moves = incident.secret().is_some();
    rows.into_iter().filter(|(step, _, _)| moves || !OF_CONSUMERS.contains(step)).map(row).collect()
}

/// When the last consumer was proved to use the new key; none if one was not, or if not all processes were visible: every consumer
/// is not verified then.
fn moved_all(shown: &EmergencyShown) -> Option<f64> {
    shown.alert_to_moved_s.filter(|_| shown.not_proved.is_empty() && shown.not_visible.is_empty())
}

fn not_visible(incident: &Incident, emergency: Option<&EmergencyShown>) -> Vec<String> {
    let mut all = match &incident.assessed {
        Some(found) => found.not_visible.clone(),
        None => vec![format!(
            "who used it, its copies, and its first exposure: it was not assessed (keyroll incident assess {})",
            incident.id
        )],
    };
    all.extend(emergency.into_iter().flat_map(|shown| unproved(shown).chain(shown.not_visible.clone())));
    all
}

/// The consumers of which nothing shows whether they use the new key.
fn unproved(shown: &EmergencyShown) -> impl Iterator<Item = String> {
    shown.not_proved.iter().map(|one| format!("whether a consumer uses the new key: {one}"))
}

/// What is left to do.
fn tasks(incident: &Incident, shown: &IncidentShown, residues: &[String]) -> Vec<String> {
    let mut tasks = Vec::new();
    if !shown.is_over() {
        let next = shown.next.clone().unwrap_or_else(|| format!("keyroll incident assess {}", incident.id));
        tasks.push(format!("the leaked key is not seen dead: {next}"));
    }
    if !residues.is_empty() {
        tasks.push(
            "remove the leaked value from the places under Residues; a place that others have copied stays exposed"
                .to_owned(),
        );
    }
    tasks.push("find out how it got there, and write it down here".to_owned());
    tasks.push(
        "look at the issuer's log of calls for the time of exposure: what was done with the key?".to_owned(),
    );
    tasks.push("stop the next one before it is committed: keyroll leaks --staged in a hook".to_owned());
    if shown.places.iter().chain(residues).any(|place| place.contains("journal") || place.contains("log")) {
        tasks.push("keep values out of the logs: keyroll run -- PROGRAM redacts its output".to_owned());
    }
    if let Subject::Foreign { .. } = &incident.subject {
        tasks.push("let keyroll manage the key that replaces it: keyroll init".to_owned());
    }
    tasks
}

impl Report {
    /// The report in Markdown.
    pub fn markdown(&self) -> String {
        let one = &self.incident;
        let mut page = format!("# Incident {}: {}\n\n", one.id, one.what);
        let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "not visible".to_owned());
        let _ = writeln!(page, "- state: {}", one.state);
        let _ = writeln!(page, "- alert: {}, from {}", self.alerted, one.sources.join(", "));
        let _ = writeln!(page, "- first exposure: {}", told(&self.exposure.first));
        let _ = match &self.exposure.dead {
            Some(dead) => writeln!(page, "- dead: {dead}, {} after the alert", spent(self.open_s)),
            None => writeln!(page, "- dead: not seen, {} after the alert", spent(self.open_s)),
        };
        if let Some(rotation) = &one.rotation {
            let _ = writeln!(page, "- rotation: {rotation}");
        }
        if let Some(why) = &one.why {
            let title = if one.state == "closed" { "closed because" } else { "why" };
            let _ = writeln!(page, "- {title}: {why}");
        }
        page.push_str("\n## Clock\n\n| step | took | after the alert | runbook |\n|---|---|---|---|\n");
        for StepShown { step, after_s, took_s, runbook_min } in &self.clock {
            let shown = |time: &Option<f64>| time.map_or_else(|| "not seen".to_owned(), spent);
            let _ = writeln!(page, "| {step} | {} | {} | {runbook_min} min |", shown(took_s), shown(after_s));
        }
        if let Some(found) = &self.found {
            let _ = writeln!(page, "\n## What was found at {}\n\n- the key: {}", found.at, found.alive);
            list(&mut page, "processes that used it", &found.users);
            list(&mut page, "copies on this machine", &found.copies);
        }
        section(&mut page, "Residues", &self.residues, "none is known");
        section(&mut page, "Not visible", &self.not_visible, "nothing was left out");
        page.push_str("\n## Tasks\n\n");
        for task in &self.tasks {
            let _ = writeln!(page, "- [ ] {task}");
        }
        page
    }
}

fn list(page: &mut String, title: &str, all: &[String]) {
    let _ = match all {
        [] => writeln!(page, "- {title}: none was seen"),
        all => writeln!(
            page,
            "- {title}:\n{}",
            all.iter().map(|one| format!("  - {one}\n")).collect::<String>().trim_end()
        ),
    };
}

fn section(page: &mut String, title: &str, all: &[String], none: &str) {
    let _ = writeln!(page, "\n## {title}\n");
    if all.is_empty() {
        let _ = writeln!(page, "{none}");
    }
    for one in all {
        let _ = writeln!(page, "- {one}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red where the report says that every consumer was verified although one was not proved.
    #[test]
    fn a_consumer_that_was_not_proved_is_not_verified_and_not_visible() {
        let mut shown = EmergencyShown {
            alerted: "2026-11-20 16:02:11Z".to_owned(),
            alert_to_minted_s: Some(1.0),
            alert_to_stored_s: Some(2.0),
            alert_to_moved_s: Some(4.0),
            alert_to_dead_s: None,
            consumers: 2,
            not_proved: Vec::new(),
            not_visible: Vec::new(),
        };
        assert_eq!((moved_all(&shown), unproved(&shown).count()), (Some(4.0), 0));
        shown.not_proved.push("`job`: it was let go".to_owned());
        assert_eq!(moved_all(&shown), None);
        assert!(unproved(&shown).all(|line| line.ends_with(": `job`: it was let go")));
        assert_eq!(unproved(&shown).count(), 1);
        shown = EmergencyShown { not_proved: Vec::new(), not_visible: vec!["processes".to_owned()], ..shown };
        assert_eq!(moved_all(&shown), None, "not of each process");
    }
}
