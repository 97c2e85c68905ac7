use std::collections::{BTreeMap, BTreeSet};

use keyroll_app::leaks::{Identities, LeakShown};
use keyroll_scanner::Report;

use crate::ui::Table;

/// How many locations of one finding are shown.
const PLACES_SHOWN_MAX: usize = 3;

/// How many digits of an identity are shown. Among a million findings, two begin alike in one of 500 cases; then
/// `--only` says so.
const DIGITS_SHOWN: usize = 12;

/// One row for each finding, with its locations; working values first. `None` if there is nothing to show.
pub(crate) fn table(report: &Report, all: bool, identities: Identities) -> Option<Table> {
    let shown = report.findings.iter().filter(|one| all || one.is_open()).map(LeakShown::of);
    // The locations keep the order of the report.
    let mut rows: BTreeMap<(usize, bool, String), Vec<LeakShown>> = BTreeMap::new();
    for one in shown {
        let rank = match (one.opens(), one.is_over()) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let key = (rank, one.accepted.is_some(), one.identity.clone());
        rows.entry(key).or_default().push(one);
    }
    let mut rows: Vec<((usize, bool, String), Vec<LeakShown>)> = rows.into_iter().collect();
    rows.sort_by_cached_key(|((rank, accepted, _), places)| {
        (*accepted, *rank, places.first().map(|one| (one.place.way(), one.place.line, one.place.column)))
    });
    // An identity that is valid in this run only is not shown.
    let mut table = match identities.stay() {
        true => Table::new(["LEAK", "STATE", "ID", "WHERE"]),
        false => Table::new(["LEAK", "STATE", "WHERE"]),
    };
    let any = !rows.is_empty();
    // With `all`, each location has a row of its own, so that other programs can search for it.
    let rows = rows.into_iter().flat_map(|(_, places)| match all {
        true => places.into_iter().map(|one| vec![one]).collect(),
        false => vec![places],
    });
    for places in rows {
        let Some(first) = places.first() else { continue };
        let state = match &first.accepted {
            Some(accepted) => {
                let standing = first.verified.as_ref().map(|_| format!("{}, ", first.standing()));
                format!("{}accepted: {}", standing.unwrap_or_default(), accepted.reason)
            }
            None => first.standing().to_owned(),
        };
        let until = first.accepted.as_ref().and_then(|accepted| accepted.until.as_ref());
        let state = until.map(|day| format!("{state} (until {day})")).unwrap_or(state);
        let (name, wheres) = (called(first, &places), wheres(&places));
        match identities.stay() {
            true => table.row([name, state, first.identity.chars().take(DIGITS_SHOWN).collect(), wheres]),
            false => table.row([name, state, wheres]),
        }
    }
    any.then_some(table)
}

/// The name of the first finding; the value may have other names elsewhere.
fn called(first: &LeakShown, places: &[LeakShown]) -> String {
    let names: BTreeSet<&String> = places.iter().filter_map(|one| one.variable.as_ref()).collect();
    match names.len().saturating_sub(1) {
        0 => first.called(),
        more => format!("{} and {more} more", first.called()),
    }
}

fn wheres(places: &[LeakShown]) -> String {
    let one = |one: &LeakShown| {
        let form = one.form.as_ref().map(|form| format!(" ({form})")).unwrap_or_default();
        let remark = one.remark.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{}{form}{remark}", one.place.text())
    };
    let shown = places.iter().take(PLACES_SHOWN_MAX).map(one).collect::<Vec<_>>().join(", ");
    match places.len().saturating_sub(PLACES_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
