use std::collections::{BTreeMap, BTreeSet};

use super::shown::LeakShown;

/// The most kinds of findings that are named for one reason.
const KINDS_SHOWN_MAX: usize = 5;

/// The notes below the table. For findings that may or may not work: one line for each reason, with the kinds that it
/// applies to. For findings that work: what to do.
pub fn notes(shown: &[LeakShown]) -> Vec<String> {
    let mut whys: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut issuers = BTreeSet::new();
    for (one, verified) in shown.iter().filter_map(|one| Some((one, one.verified.as_ref()?))) {
        if verified.why.is_some() {
            whys.entry(verified.text()).or_default().insert(one.name());
        }
        issuers.extend(verified.issuer.as_ref().filter(|_| one.state == "active"));
    }
    let why = |(why, kinds): (String, BTreeSet<&str>)| {
        let named: Vec<&str> = kinds.iter().copied().take(KINDS_SHOWN_MAX).collect();
        let more = match kinds.len().saturating_sub(named.len()) {
            0 => String::new(),
            more => format!(" and {more} more kinds"),
        };
        format!("{}{more}: {why}", named.join(", "))
    };
    let end = |issuer: &String| {
        format!("active secrets work: replace and revoke them; how: keyroll issuers show {issuer}")
    };
    whys.into_iter().map(why).chain(issuers.into_iter().map(end)).collect()
}
