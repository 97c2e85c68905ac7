//! A plan in words: what was found, and the steps.

use std::collections::BTreeSet;

use keyroll_config::{Apply, Consumer, Runs, Secret};
use keyroll_rotation::Uptake;

use super::look::Found;
use crate::ui::{Event, Ui};

/// What was seen beside the plan itself: remarks, unexplained holders, what could not be looked at.
pub(crate) fn show_findings(found: &Found, ui: &mut Ui) {
    for note in &found.notes {
        ui.note(note.clone());
    }
    for holder in &found.holders {
        ui.note(format!(
            "process {} ({}) holds the value and nobody explains it: {}. The old key will not be ended before it is moved or waived",
            holder.pid, holder.name, holder.found_by
        ));
    }
    let mut shown = BTreeSet::new();
    for missed in &found.not_visible {
        let (what, why) = missed.split_once(": ").unwrap_or((missed.as_str(), ""));
        if shown.insert(what.to_owned()) {
            ui.event(Event::NotVisible { what: what.to_owned(), why: why.to_owned() });
        }
    }
}

/// The consumers that will not be there while they restart: nothing stands in for a single instance.
pub(crate) fn gaps(secret: &Secret) -> Vec<String> {
    let gap = |consumer: &&Consumer| {
        let restarts = match &consumer.runs {
            Runs::Process { apply, .. } => matches!(apply, Apply::Restart(_)),
            Runs::Unit { .. } => true,
            Runs::AtRest => false,
        };
        restarts && consumer.runs.instances().len() == 1
    };
    secret.consumers.iter().filter(gap).map(|consumer| consumer.name.to_string()).collect()
}

/// The steps in words, and whether each can be taken back.
pub(crate) fn steps(found: &Found, secret: &Secret) -> Vec<String> {
    let plan = &found.plan;
    let back = || "reversible".to_owned();
    let gaps = gaps(secret);
    let mut steps = vec![
        ("make a second key at the issuer".to_owned(), back()),
        (format!("see it accepted at {} endpoint(s)", plan.endpoints.len()), back()),
    ];
    for (consumer, unit) in secret.consumers.iter().zip(&plan.consumers) {
        let files: Vec<String> = consumer.reads.iter().map(|copy| copy.place.to_string()).collect();
        let verb = match unit.uptake {
            Uptake::Verb if gaps.contains(&consumer.name.to_string()) => {
                "restart its only instance: IT IS NOT THERE MEANWHILE, the gap is measured".to_owned()
            }
            Uptake::Verb => {
                format!("restart or signal {} instance(s), one by one", unit.slots)
            }
            Uptake::Rereads => "no restart: it reads the file again".to_owned(),
            Uptake::AtRest => "nothing runs: checked in its own environment".to_owned(),
        };
        steps.push((format!("{}: write {}; {verb}", consumer.name, files.join(", ")), back()));
    }
    steps.push(("wait until every instance has shown the new value on every path".to_owned(), back()));
    if plan.capabilities.disable {
        let soak = plan.policy.soak_ms / 1000;
        steps.push((format!("switch the old key off, and watch for refused uses for {soak} s"), back()));
    }
    steps.push(("END the old key, and see it refused".to_owned(), "IRREVERSIBLE, asks again".to_owned()));
    steps.into_iter().map(|(what, undo)| format!("{what} ({undo})")).collect()
}
