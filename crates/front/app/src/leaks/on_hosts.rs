use std::collections::BTreeMap;

use keyroll_codes::Code;
use keyroll_config::LOCAL;
use keyroll_link::{HostLeaks, LeaksCall, Picks, digits_of};
use keyroll_scanner::{FindingKind, Identity, Report};
use keyroll_secret::SecretBytes;

use super::detector::Sought;
use super::here::{nothing_read, read_here};
use super::request::LeaksRequest;
use super::stored::There;
use crate::hosts::{Chosen, LeaksThere, leaks_there};
use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::wall_clock;

/// What was found on all machines.
#[derive(Default)]
pub(super) struct OnHosts {
    pub(super) report: Report,
    /// The wanted findings of other machines, as [`keyroll_scanner::Detector::take_selected`] has those of this one.
    pub(super) picked: BTreeMap<Identity, Identity>,
    /// The machines that were not scanned, or not to the end.
    pub(super) failed: Vec<(String, Problem)>,
    /// The machines that were scanned to the end.
    pub(super) whole: Vec<String>,
}

impl OnHosts {
    fn add(&mut self, host: String, report: Report, late: Option<Problem>) {
        self.report.join(report);
        match late {
            Some(problem) => self.failed.push((host, problem)),
            None => self.whole.push(host),
        }
    }
}

/// Scans this machine, if it is meant, and the hosts.
///
/// # Errors
/// Nothing can be scanned from here.
pub(super) fn read_on_hosts(
    request: &LeaksRequest<'_>,
    chosen: &Chosen,
    sought: &Sought,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<OnHosts, Problem> {
    let mut all = OnHosts::default();
    let asked = LeaksThere {
        call: call(request, sought),
        versions: &sought.there.versions,
        detector: &sought.detector,
    };
    for (host, result) in leaks_there(chosen, asked, installation, operator)? {
        match result {
            Ok(HostLeaks { mut report, picked, late }) => {
                recognise(&mut report, sought);
                let late = late
                    .map(|why| {
                        Problem::new(Code::SearchPathUnreadable, format!("scan {host} for leaked secrets"))
                            .because(why)
                            .help(request.source.way_out())
                    })
                    .or_else(|| nothing_read(&request.source, &report));
                all.picked.extend(picked);
                all.add(host, report, late);
            }
            Err(problem) => all.failed.push((host, problem)),
        }
    }
    // A machine that cannot be reached is told before this one is searched.
    if chosen.here {
        match read_here(request, &sought.detector, operator) {
            Ok((mut report, late)) => {
                report.findings.iter_mut().for_each(|one| one.place.host = Some(LOCAL.to_owned()));
                let named = |what: &mut String| *what = format!("{LOCAL} › {what}");
                report.skipped.iter_mut().for_each(|one| named(&mut one.what));
                all.add(LOCAL.to_owned(), report, late);
            }
            Err(problem) => all.failed.push((LOCAL.to_owned(), problem)),
        }
    }
    all.whole.sort();
    Ok(all)
}

/// Findings of stored values that have no fingerprint, so a host cannot know them: here they are recognised by the identity
/// that their rule gives them.
fn recognise(report: &mut Report, sought: &Sought) {
    let There { versions, unprinted, .. } = &sought.there;
    let mut by_rule: BTreeMap<String, BTreeMap<Identity, usize>> = BTreeMap::new();
    for one in &mut report.findings {
        let FindingKind::Kind { rule, .. } = &one.what else { continue };
        let numbers = by_rule.entry(rule.clone()).or_insert_with(|| {
            let of =
                |(number, value): &(usize, SecretBytes)| (sought.detector.identity_by(rule, value), *number);
            unprinted.iter().map(of).collect()
        });
        let Some(version) = numbers.get(&one.identity).and_then(|number| versions.get(*number)) else {
            continue;
        };
        one.identity = sought.detector.identity_of(version);
        one.what = FindingKind::Known(version.clone());
        one.name = None;
        if let Some(accepted) = one.accepted.take() {
            one.accept(accepted);
        }
    }
}

fn call(request: &LeaksRequest<'_>, sought: &Sought) -> LeaksCall {
    LeaksCall {
        source: request.source.clone(),
        archives: request.archives,
        known: request.known,
        forms: request.forms,
        today: wall_clock::now().date().to_string(),
        identity: digits_of(sought.detector.identity_key().bytes()),
        picks: Picks::of(&sought.detector),
        prints: sought.there.prints.clone(),
    }
}
