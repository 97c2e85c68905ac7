use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use keyroll_codes::Code;
use keyroll_scanner::{Baseline, Identity, Report};
use keyroll_secret::SecretBytes;

use super::baseline::BaselineFile;
use super::detector::Sought;
use super::gitleaks_rules::{ignored, is_ignored, unread_lines};
use super::here::read_here;
use super::on_hosts::{OnHosts, read_on_hosts};
use super::request::LeaksRequest;
use super::shown::LeaksShown;
use super::verifiers::Askers;
use super::verify::ask;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::wall_clock;

/// The result of a scan.
pub struct Leaks {
    /// The findings; unused rules are listed with the items that were not scanned.
    pub report: Report,
    /// The counts.
    pub sum: LeaksShown,
    /// The secrets that the store of this machine keeps.
    pub kept: BTreeSet<String>,
    /// The found values, if they were to be kept.
    pub captured: BTreeMap<Identity, SecretBytes>,
    /// What was accepted, in words; none if nothing was.
    pub accepted: Option<String>,
    /// The hosts that were not scanned, or not to the end.
    pub failed: Vec<(String, Problem)>,
    /// Why the scan did not read everything that it had to.
    late: Option<Problem>,
    /// Whether everything had to be scanned.
    strict: bool,
}

impl Leaks {
    /// How the command ends, after the findings were shown.
    ///
    /// # Errors
    /// Something that had to be scanned was not.
    pub fn end(self) -> Result<Exit, Problem> {
        match (self.late, self.report.unread) {
            (Some(failed), _) => Err(failed),
            (None, _) if self.accepted.is_some() => Ok(Exit::Done),
            (None, _) if self.sum.open > 0 || self.sum.left_out > 0 => Ok(Exit::Findings),
            (None, 1..) => Err(unread(self.report.unread)),
            (None, 0) => match self.sum.not_visible.saturating_sub(self.report.allowed) {
                count @ 1.. if self.strict => Err(unscanned(count)),
                _ => Ok(Exit::Done),
            },
        }
    }
}

/// Scans for leaked secrets: stored values, and texts that look like a credential. Changes nothing but the baseline, if
/// findings are to be accepted. None is accepted if something that had to be scanned was not.
///
/// # Errors
/// A file of the request cannot be used, the store cannot be read, or the findings cannot be accepted.
pub fn scan(
    request: &LeaksRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Leaks, Problem> {
    let began = Instant::now();
    // The paths of hosts say nothing of where the baseline is on this machine.
    let near = if request.hosts.is_some() { &[] } else { request.source.paths() };
    let mut file = BaselineFile::open(request.baseline, near, request.accept.is_some())?;
    let askers = request.verify.map(Askers::of).transpose()?;
    let mut sought = Sought::of(request, &file, installation, operator)?;
    if request.captures {
        sought.detector = sought.detector.capturing_all();
    } else if let Some(askers) = &askers {
        sought.detector = sought.detector.capturing(askers.rules());
    }
    let (found, late) = match &request.hosts {
        Some(chosen) => {
            let found = read_on_hosts(request, chosen, &sought, installation, operator)?;
            let late = found.failed.first().map(|(_, problem)| problem.clone());
            (found, late)
        }
        None => {
            let (report, late) = read_here(request, &sought.detector, operator)?;
            (OnHosts { report, ..OnHosts::default() }, late)
        }
    };
    let OnHosts { mut report, picked, failed, whole } = found;
    mark(request, file.baseline(), &mut report, operator)?;
    let Sought { detector, identities, kept, unused, .. } = sought;
    let held = detector.take_captured();
    let keep = |(identity, value): (&Identity, &SecretBytes)| (identity.clone(), value.duplicate());
    let captured = if request.captures { held.iter().map(keep).collect() } else { BTreeMap::new() };
    if let Some(askers) = &askers {
        ask(askers, held, &mut report, operator)?;
    }
    let late = late.or_else(|| half_read(request, &report));
    let accepted = match &request.accept {
        Some(acceptance) if late.is_none() => {
            let mut named = detector.take_selected();
            named.extend(picked);
            Some(file.accept(acceptance, &report, &named)?)
        }
        Some(_) | None => None,
    };
    let mut sum = LeaksShown::of(&report, identities, askers.is_some(), began.elapsed().as_secs_f64());
    sum.whole = late.is_none();
    sum.hosts = request.hosts.as_ref().map(|_| whole);
    sum.rules_not_used = unused.len();
    report.skipped.splice(0..0, unused);
    Ok(Leaks { report, sum, kept, captured, accepted, failed, late, strict: request.strict })
}

/// Marks the findings that are accepted in the baseline, or in the list of another tool.
fn mark(
    request: &LeaksRequest<'_>,
    baseline: Option<&Baseline>,
    report: &mut Report,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    if let Some(baseline) = baseline {
        report.mark(baseline, wall_clock::now().date());
    }
    if let Some(ignored) = request.rules.map(|_| ignored()).transpose()?.flatten() {
        report.accept_where(".gitleaksignore names it", |one| is_ignored(&ignored, one));
        if let Some((what, why)) = unread_lines(&ignored) {
            operator.event(Event::NotVisible { what, why });
        }
    }
    Ok(())
}

/// The problem that findings are to be accepted, and something that must be scanned was not.
fn half_read(request: &LeaksRequest<'_>, report: &Report) -> Option<Problem> {
    request.accept.as_ref()?;
    match (report.unread, report.not_scanned().saturating_sub(report.allowed)) {
        (0, missing @ 1..) if request.strict => Some(unscanned(missing)),
        (0, _) => None,
        (count, _) => Some(unread(count)),
    }
}

/// Nothing is reported as free of leaks that was not looked at.
fn unscanned(count: u64) -> Problem {
    let items = if count == 1 { "1 location was".to_owned() } else { format!("{count} locations were") };
    Problem::new(Code::SearchPathUnreadable, "scan everything, as --strict demands")
        .because(format!(
            "{items} not scanned, or only in part; named above, with --all each, with the reason"
        ))
        .help("make it readable, or name in .keyrollignore what need not be scanned")
        .exits(Exit::Unscanned)
}

/// A commit hook depends on the exit code, so a file that was not scanned must not pass.
fn unread(count: u64) -> Problem {
    let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    Problem::new(Code::SearchPathUnreadable, "scan the staged files")
        .because(format!(
            "{files} could not be scanned, or only in part; each is named above with the reason"
        ))
        .help(
            "unstage it: git restore --staged PATH; or, if it need not be scanned, name it in .keyrollignore",
        )
}
