use std::collections::BTreeSet;

use keyroll_codes::Code;
use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Skipped};

use super::baseline::{BaselineFile, no_identities, only};
use super::gitleaks_rules::theirs;
use super::request::LeaksRequest;
use super::shown::Identities;
use super::stored::{OfStore, There, of_store};
use crate::fingerprint_file;
use crate::hosts::refuse_unsendable;
use crate::installation::Installation;
use crate::inventory::run_key;
use crate::operator::Operator;
use crate::problem::Problem;

/// What a scan searches for, and which key makes the identities of its findings.
pub(super) struct Sought {
    pub(super) detector: Detector,
    pub(super) identities: Identities,
    /// The secrets that the store of this machine keeps.
    pub(super) kept: BTreeSet<String>,
    /// What is searched for on other machines.
    pub(super) there: There,
    /// The rules that are not used, and why.
    pub(super) unused: Vec<Skipped>,
}

impl Sought {
    pub(super) fn of(
        request: &LeaksRequest<'_>,
        file: &BaselineFile,
        installation: &Installation,
        operator: &mut dyn Operator,
    ) -> Result<Self, Problem> {
        let prints = request.fingerprints.map(fingerprint_file::read).transpose()?;
        let OfStore { known, secrets: kept, identity: of_store, there } =
            of_store(request.reaches_hosts(), installation, operator)?;
        let known = KnownValues { prints, ..known };
        if known.needles.is_none() && known.prints.is_none() && request.known {
            return Err(Problem::new(Code::SearchTargetUnknown, "search for keyroll's own secrets")
                .because("there is no store here, so no secret is known")
                .help(
                    "name the folder with --state, or a file with --fingerprints, or omit --known to search \
                     for everything that looks like a credential",
                ));
        }
        if request.known && request.reaches_hosts() && there.prints.is_none() {
            return Err(Problem::new(Code::SearchTargetUnknown, "search hosts for keyroll's own secrets")
                .because("no stored value can be searched for by its fingerprint")
                .help("omit --known to search for everything that looks like a credential"));
        }
        let only = request.accept.map_or(Ok(Vec::new()), |acceptance| only(acceptance.only))?;
        // Before there was a baseline, the identities were made with the store's key.
        let shown_by = file.baseline().filter(|_| file.is_there()).map(Baseline::key);
        let (identity, identities, shown_by) = match (file.baseline(), of_store) {
            (Some(baseline), of_store) => (baseline.key(), Identities::Baseline, shown_by.or(of_store)),
            (None, Some(of_store)) => (of_store, Identities::Store, None),
            (None, None) => (run_key()?, Identities::Run, None),
        };
        let detector = Detector::new(known, identity);
        let detector = match (only.is_empty(), shown_by) {
            (true, _) => detector,
            (false, Some(key)) => detector.selecting(key, only),
            (false, None) => return Err(no_identities()),
        };
        let (detector, unused) =
            if request.known { (detector, Vec::new()) } else { with_rules(request, detector)? };
        if request.hosts.is_some() {
            refuse_unsendable(&request.source, &detector)?;
        }
        Ok(Self { detector, identities, kept, there, unused })
    }
}

/// The detector with its rules, and the rules that are not used.
fn with_rules(request: &LeaksRequest<'_>, detector: Detector) -> Result<(Detector, Vec<Skipped>), Problem> {
    let theirs = request.rules.map(theirs).transpose()?;
    let adds = theirs.as_ref().is_none_or(|theirs| theirs.adds);
    let (detector, unwanted, mut unused) = match theirs {
        Some(theirs) => (detector.with_imported_rules(theirs.rules), theirs.unwanted, theirs.unused),
        None => (detector, BTreeSet::new(), Vec::new()),
    };
    let not_there = |rule: &String| Skipped {
        what: format!("the rule '{rule}'"),
        why: "it is in disabledRules, but there is no such rule".to_owned(),
    };
    if !adds {
        unused.extend(unwanted.iter().map(not_there));
        return Ok((detector, unused));
    }
    let rules = Rules::shipped().map_err(|error| {
        Problem::new(Code::SearchTargetUnknown, "read keyroll's own rules").because_of(&error)
    })?;
    let detector = detector.with_rules(rules);
    unused.extend(unwanted.iter().filter(|rule| !detector.has(rule)).map(not_there));
    let detector = detector.without(unwanted);
    Ok((if request.forms { detector } else { detector.with_names() }, unused))
}
