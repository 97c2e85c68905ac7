use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::books::Books;
use crate::load::Sent;
use crate::pipeline::{Holder, Residue};
use crate::words::without_numbers;

/// How the rotation of the demo ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Done,
    RolledBack,
    /// Also before anything is known.
    #[default]
    Stuck,
    Paused,
    Debt,
}

/// The last line of `demo --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) outcome: Outcome,
    /// Requests of the callers and of the worker that calls by itself.
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) mint_to_last_moved_s: f64,
    pub(crate) dead_confirmed: bool,
    pub(crate) blocked_by: Option<String>,
    pub(crate) residues: Vec<Residue>,
}

/// What the demo observed of the rotation.
#[derive(Debug, Default)]
pub(crate) struct RotationResult {
    pub(crate) outcome: Outcome,
    pub(crate) dead_confirmed: bool,
    pub(crate) blocked: Option<Holder>,
    pub(crate) residues: Vec<Residue>,
    /// What keyroll reported as not visible.
    pub(crate) not_visible: Vec<String>,
    /// Seconds from the first command to the last.
    pub(crate) took_s: f64,
}

impl Summary {
    pub(crate) fn new(seen: &RotationResult, sent: &Sent, books: &Books, old: &str) -> Self {
        let moved = books.replaced_by(old).and_then(|new| books.mint_to_last_moved_s(old, new));
        Self {
            outcome: seen.outcome,
            requests: sent.requests + books.own_calls,
            failed: sent.failed + books.own_failed,
            mint_to_last_moved_s: to_ms(moved.unwrap_or_default()),
            dead_confirmed: seen.dead_confirmed,
            blocked_by: seen.blocked.as_ref().map(|holder| holder.name.clone()),
            residues: seen.residues.clone(),
        }
    }

    /// The closing table, one fact per line.
    pub(crate) fn table(&self, seen: &RotationResult, sent: &Sent, books: &Books, old: &str) -> String {
        let mut table = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(table, "{name:<28}{value}");
        };
        row("requests", format!("{} sent, {} failed", grouped(self.requests), grouped(self.failed)));
        sent.reasons.iter().for_each(|reason| row("  failed", reason.clone()));
        row("calls to the issuer", agreement(books));
        let moved = self.mint_to_last_moved_s;
        row(
            "mint → last worker moved",
            if moved > 0.0 { format!("{moved:.1} s") } else { "not moved".to_owned() },
        );
        let death = books.deletion_to_death_s(old).map_or("not deleted".to_owned(), |s| format!("{s:.1} s"));
        let confirmed = if self.dead_confirmed { "confirmed" } else { "not confirmed" };
        row("deleted → dead", format!("{death}, {confirmed}"));
        if let Some(holder) = &seen.blocked {
            row("blocked by", format!("{}, found by {}; adopted and moved", holder.name, holder.found_by));
        }
        for (kind, count) in kinds(&seen.not_visible) {
            row("not visible", if count > 1 { format!("{count} × {kind}") } else { kind });
        }
        match self.residues.as_slice() {
            [] => row("sweep", "no copy of the old key is left".to_owned()),
            residues => {
                residues.iter().for_each(|left| row("sweep", format!("{}: {}", left.place, left.reason)));
            }
        }
        let outcome = match self.outcome {
            Outcome::Done => "done",
            Outcome::RolledBack => "rolled back",
            Outcome::Stuck => "stuck",
            Outcome::Paused => "paused",
            Outcome::Debt => "done with a debt: the old key still works",
        };
        row("outcome", format!("{outcome} in {:.0} s", seen.took_s));
        table
    }
}

/// Seconds, to the millisecond: the clocks are not more exact.
fn to_ms(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

/// What was not visible; many processes in one line.
fn kinds(not_visible: &[String]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for what in not_visible {
        *kinds.entry(without_numbers(what)).or_default() += 1;
    }
    kinds
}

fn agreement(books: &Books) -> String {
    let counted = format!(
        "{} counted by the workers, {} in the issuer's log",
        grouped(books.worker_calls),
        grouped(books.issuer_calls)
    );
    match books.disagreeing.as_slice() {
        [] => counted,
        callers => format!("{counted}; they DISAGREE about {}", callers.join(", ")),
    }
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 14_213, 1_000_000].map(grouped).join(" "), "0 999 1,000 14,213 1,000,000");
    }

    #[test]
    fn the_summary_has_exactly_its_fields() {
        let summary = Summary {
            outcome: Outcome::RolledBack,
            requests: 1,
            failed: 0,
            mint_to_last_moved_s: 1.5,
            dead_confirmed: false,
            blocked_by: None,
            residues: vec![],
        };
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            r#"{"outcome":"rolled_back","requests":1,"failed":0,"mint_to_last_moved_s":1.5,"dead_confirmed":false,"blocked_by":null,"residues":[]}"#
        );
    }
}
