use std::collections::{BTreeMap, BTreeSet};

use keyroll_scanner::Asked;
use serde::Serialize;

use crate::leaks::LeakShown;

/// The most kinds that are named for one reason.
const KINDS_SHOWN_MAX: usize = 5;

/// What an issuer says of a finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct VerifiedShown {
    /// `active`, `dead`, `unknown`, `not asked`.
    pub(crate) outcome: &'static str,
    /// By which spec it was asked: a shipped one's name, or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// Who was asked, `name:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    /// Why it is not known, or what else is to be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl VerifiedShown {
    pub(crate) fn of(asked: &Asked) -> Self {
        let Asked { outcome, issuer, at, why } = asked;
        Self { outcome: outcome.name(), issuer: issuer.clone(), at: at.clone(), why: why.clone() }
    }

    /// The same for people: `unknown at api.example:443: status 503, no media type`.
    pub(crate) fn text(&self) -> String {
        let at = self.at.as_ref().filter(|_| self.outcome != "not asked");
        let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{}{at}{why}", self.outcome)
    }
}

/// What people are told below the table: of some why it is not known whether they work, one line for each reason with the kinds
/// that it is of; and what is to be done about those that do.
pub(crate) fn notes(shown: &[LeakShown]) -> Vec<String> {
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
        format!("what is active opens something: replace it and end it; how: keyroll issuers show {issuer}")
    };
    whys.into_iter().map(why).chain(issuers.into_iter().map(end)).collect()
}
