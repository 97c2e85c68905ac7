use std::collections::{BTreeMap, BTreeSet};

use keyroll_inventory::{DraftShown, Missed, ScanReport, ScanShown, TraceReport, WhyReport};

/// What is asked about each host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCall {
    /// All secrets.
    Scan,
    /// Which copy wins, and which version each process uses.
    Why {
        /// A name, a process or a path, as it was typed.
        what: String,
    },
    /// Everything about one secret.
    Trace {
        /// Its name, as it was typed.
        secret: String,
        /// With all observations.
        evidence: bool,
    },
    /// Secrets and consumers as they would be written to keyroll.toml.
    Draft {
        /// The names of secrets, as they were typed; empty = all that a service or process uses.
        secrets: Vec<String>,
        /// The folder that relative paths of consumers begin in, by the machine.
        folders: BTreeMap<String, String>,
    },
}

/// The answer of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostReport {
    /// All secrets.
    Scan(ScanReport),
    /// What is known about the target.
    Why(Vec<WhyReport>),
    /// Everything about one secret; none if the host does not have it.
    Trace(Option<TraceReport>),
    /// Secrets and consumers as they would be written to keyroll.toml.
    Draft(DraftReport),
}

/// What a machine would add to keyroll.toml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DraftReport {
    /// The secrets, with their consumers there.
    pub drafts: Vec<DraftShown>,
    /// The secrets that were found and left out, each with the reason.
    pub left_out: Vec<String>,
    /// The secrets that have a stored value here; none if that is not known.
    pub stored: Option<BTreeSet<String>>,
}

/// What was seen on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSeen {
    /// Its name; this machine is `local`.
    pub host: String,
    /// It is a namespace of a cluster and no machine.
    pub cluster: bool,
    /// What each stage of the search covered.
    pub scans: Vec<ScanShown>,
    /// The fingerprints of its values, which are the same on each host, and the label of each.
    pub prints: BTreeMap<[u8; 32], String>,
    /// The names of the secrets there, by the fingerprints of their values; of those that the report is about.
    pub named: BTreeMap<[u8; 32], String>,
    /// The answer.
    pub report: HostReport,
    /// What could not be inspected.
    pub missed: Vec<Missed>,
    /// A user with more rights would see more.
    pub refused: bool,
}

impl HostReport {
    /// The secrets that it shows, each with the labels of its values.
    pub(super) fn labels(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Scan(report) => report.found.iter().flat_map(of_found).collect(),
            Self::Trace(report) => report.iter().flat_map(|report| of_found(&report.found)).collect(),
            Self::Why(reports) => reports.iter().flat_map(of_why).collect(),
            // They name their values by numbers.
            Self::Draft(_) => Vec::new(),
        }
    }
}

fn of_found(found: &keyroll_inventory::FoundShown) -> Vec<(&str, &str)> {
    found.values.iter().map(|value| (found.secret.as_str(), value.label.as_str())).collect()
}

fn of_why(report: &WhyReport) -> Vec<(&str, &str)> {
    let instances = report.instances.iter().flat_map(|one| {
        let texts = one.start.iter().flatten().chain(&one.memory.values).chain(&one.next);
        texts.map(move |text| (one.secret.as_str(), text.as_str()))
    });
    let chains = report.chains.iter().flat_map(|chain| {
        let texts = chain.links.iter().filter_map(|link| link.value.as_deref());
        texts.map(move |text| (chain.secret.as_str(), text))
    });
    instances.chain(chains).filter_map(|(secret, text)| Some((secret, label_in(text)?))).collect()
}

/// The label in a text that also has its version: `v7 sk-…·9f3c21 (current)`.
fn label_in(text: &str) -> Option<&str> {
    text.split(' ').find(|word| word.contains('·'))
}

/// The digits of a label.
pub(super) fn digits_in(label: &str) -> Option<&str> {
    label.rsplit_once('·').map(|(_, digits)| digits).filter(|digits| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_beside_its_version() {
        assert_eq!(label_in("v7 sk-…·9f3c21 (current)"), Some("sk-…·9f3c21"));
        assert_eq!(label_in("v7 (current)"), None);
        assert_eq!(
            (digits_in("sk-…·9f3c21"), digits_in("…·"), digits_in("v7")),
            (Some("9f3c21"), None, None)
        );
    }
}
