use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_scanner::{Baseline, Detector, Identity, Report, Scan};
use keyroll_secret::SecretBytes;

use super::baseline::BaselineFile;
use super::detector::Sought;
use super::gitleaks_rules::{ignored, is_ignored, unread_lines};
use super::request::LeaksRequest;
use super::shown::LeaksShown;
use super::source::Source;
use super::verifiers::Askers;
use super::verify::ask;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::wall_clock;

/// How often the progress of a scan is shown.
const SAID_EVERY: Duration = Duration::from_millis(200);

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
    /// Why the scan did not read everything that it had to.
    late: Option<Problem>,
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
            (None, 0) => Ok(Exit::Done),
            (None, count) => Err(unread(count)),
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
    let mut file = BaselineFile::open(request.baseline, request.source.paths(), request.accept.is_some())?;
    let askers = request.verify.map(Askers::of).transpose()?;
    let Sought { mut detector, identities, kept, unused } =
        Sought::of(request, &file, installation, operator)?;
    if request.captures {
        detector = detector.capturing_all();
    } else if let Some(askers) = &askers {
        detector = detector.capturing(askers.rules());
    }
    let (mut report, late) = read(request, &detector, file.baseline(), operator)?;
    let held = detector.take_captured();
    let keep = |(identity, value): (&Identity, &SecretBytes)| (identity.clone(), value.duplicate());
    let captured = if request.captures { held.iter().map(keep).collect() } else { BTreeMap::new() };
    if let Some(askers) = &askers {
        ask(askers, held, &mut report, operator)?;
    }
    let late = late.or_else(|| not_read(request, &report));
    let accepted = match &request.accept {
        Some(acceptance) if late.is_none() => {
            Some(file.accept(acceptance, &report, &detector.take_selected())?)
        }
        Some(_) | None => None,
    };
    let mut sum = LeaksShown::of(&report, identities, askers.is_some(), began.elapsed().as_secs_f64());
    sum.whole = late.is_none();
    sum.rules_not_used = unused.len();
    report.skipped.splice(0..0, unused);
    Ok(Leaks { report, sum, kept, captured, accepted, late })
}

/// Reads the source, and returns a failure beside the findings from before it.
fn read(
    request: &LeaksRequest<'_>,
    detector: &Detector,
    baseline: Option<&Baseline>,
    operator: &mut dyn Operator,
) -> Result<(Report, Option<Problem>), Problem> {
    let source = &request.source;
    if let Source::Tree(tree) = source {
        tree.paths.iter().zip(1..).try_for_each(|(path, number)| reachable(path, number))?;
    }
    let scan = Scan::new(detector, wall_clock::now().date());
    let scan = if request.archives { scan } else { scan.without_archives() };
    let late = watched(source, &scan, operator).err().map(|why| {
        Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets")
            .because(why)
            .help(source.way_out())
    });
    let mut report = scan.finish(baseline);
    if let Some(ignored) = request.rules.map(|_| ignored()).transpose()?.flatten() {
        report.accept_where(".gitleaksignore names it", |one| is_ignored(&ignored, one));
        if let Some((what, why)) = unread_lines(&ignored) {
            operator.event(Event::NotVisible { what, why });
        }
    }
    Ok((report, late))
}

/// Scans in a thread of its own, and shows the progress meanwhile.
fn watched(source: &Source, scan: &Scan<'_>, operator: &mut dyn Operator) -> Result<(), String> {
    let (end, ended) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || end.send(source.scan(scan)));
        loop {
            match ended.recv_timeout(SAID_EVERY) {
                Ok(looked) => return looked,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let (texts, bytes) = scan.so_far();
                    operator.progress(&format!("read {texts} texts, {} MiB …", bytes >> 20));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err("its thread ended".to_owned()),
            }
        }
    })
}

/// Errors do not repeat the typed path: it may be a value.
fn reachable(path: &Path, number: usize) -> Result<(), Problem> {
    path.metadata().map(drop).map_err(|error| {
        Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets")
            .because(format!("path number {number} cannot be reached: {error}"))
            .help("name existing files and folders, or none for this folder")
    })
}

/// The problem that nothing could be scanned; not for staged files, of which those that must be scanned are counted. Or
/// the problem that findings are to be accepted, and a file that must be scanned was not.
fn not_read(request: &LeaksRequest<'_>, report: &Report) -> Option<Problem> {
    let nothing = report.texts == 0 && report.findings.is_empty() && !report.skipped.is_empty();
    if nothing && !matches!(request.source, Source::Staged(_)) {
        return Some(
            Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets")
                .because("nothing of the named paths could be scanned"),
        );
    }
    (request.accept.is_some() && report.unread > 0).then(|| unread(report.unread))
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
