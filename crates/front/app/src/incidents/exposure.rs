//! Where a leaked value is exposed beyond the copies that programs read: in git histories, and in the machine's journal.

use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_needle::{NeedleId, Needles};
use keyroll_scanner::{Detector, KnownValues, Scan, SecretVersion};
use keyroll_secret::SecretBytes;

use crate::inventory::run_key;
use crate::leaks::{LeakShown, Source};
use crate::operator::Operator;
use crate::problem::Problem;
use crate::{redact, wall_clock};

/// The most repositories that are searched.
const REPOSITORIES_MAX: usize = 20;
/// The most places of one repository, or of the journal, that are listed.
const PLACES_MAX: usize = 10;

/// What was found.
#[derive(Default)]
pub(super) struct Exposure {
    /// Each place, with its first commit.
    pub places: Vec<String>,
    /// The time of the oldest commit, RFC 3339, and its place.
    pub first: Option<(String, String)>,
    pub not_visible: Vec<String>,
}

/// Searches the histories of the repositories around these paths, and the journal since a time.
pub(super) fn exposure(
    values: &[SecretBytes],
    around: &[PathBuf],
    since: &str,
    operator: &mut dyn Operator,
) -> Result<Exposure, Problem> {
    let mut found = Exposure::default();
    let mut repositories: Vec<PathBuf> = around.iter().filter_map(|path| repository(path)).collect();
    repositories.sort();
    repositories.dedup();
    let more = repositories.len().saturating_sub(REPOSITORIES_MAX);
    repositories.truncate(REPOSITORIES_MAX);
    for path in repositories {
        let name = keyroll_observe::shown(&path);
        operator.progress(&format!("searching the history of {name} …"));
        search(values, &name, &Source::Histories(vec![path]), &mut found)?;
    }
    if more > 0 {
        found.not_visible.push(format!("{more} further git repositories: keyroll leaks --git --known PATH"));
    }
    operator.progress("searching the journal …");
    let journal = format!("the journal since {since}");
    search(values, &journal, &Source::Journal(since.to_owned()), &mut found)?;
    operator.settle();
    Ok(found)
}

/// The repository that a path is in.
fn repository(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_path_buf)
}

fn search(values: &[SecretBytes], name: &str, source: &Source, found: &mut Exposure) -> Result<(), Problem> {
    let mut needles = Needles::builder();
    for (value, number) in values.iter().zip(0..) {
        needles = needles.add(NeedleId(number), value);
    }
    let needles = needles.build().map_err(|error| {
        Problem::new(Code::SearchTargetUnknown, "search for the leaked value").because_of(&error)
    })?;
    let version =
        SecretVersion { secret: "the leaked key".to_owned(), number: 1, state: "leaked", retired: false };
    let versions = vec![version; values.len()];
    let known = KnownValues { needles: Some(needles), versions, ..KnownValues::default() };
    let detector = Detector::new(known, run_key()?);
    let scan = Scan::new(&detector, wall_clock::now().date());
    let clean = |text: &str| redact::pass(text).into_owned();
    if let Err(why) = source.scan(&scan, &clean, &mut |_| {}) {
        found.not_visible.push(format!("{name}: {why}"));
        return Ok(());
    }
    let report = scan.finish();
    found.not_visible.extend(report.skipped.iter().map(|one| format!("{name}: {}: {}", one.what, one.why)));
    let shown: Vec<LeakShown> = report.findings.iter().map(LeakShown::of).collect();
    let in_logs = shown.iter().filter(|one| one.place.commit.is_none()).count();
    if in_logs > 0 {
        let times = if in_logs == 1 { "once".to_owned() } else { format!("{in_logs} times") };
        found.places.push(format!("{name}: {times}"));
    }
    let mut listed = 0;
    for one in &shown {
        let Some(commit) = &one.place.commit else { continue };
        let path = one.place.path.as_deref().unwrap_or("a message of a commit");
        let head = if commit.in_head { "" } else { ", not in the checked-out commit" };
        let first: String = commit.first.chars().take(12).collect();
        let place = format!("{name}: {path} since commit {first} ({}{head})", commit.first_at);
        if found.first.as_ref().is_none_or(|(at, _)| commit.first_at < *at) {
            found.first = Some((commit.first_at.clone(), place.clone()));
        }
        listed += 1;
        if listed <= PLACES_MAX {
            found.places.push(place);
        }
    }
    if listed > PLACES_MAX {
        found.places.push(format!("{name}: {} more places", listed - PLACES_MAX));
    }
    Ok(())
}
