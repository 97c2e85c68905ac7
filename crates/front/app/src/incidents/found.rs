//! The alerts of a scan on this machine.

use std::path::{Path, PathBuf};

use keyroll_config::Config;
use keyroll_scanner::{Finding, FindingKind, LeakState};
use keyroll_secret::SecretBytes;

use super::alert::Alert;
use crate::leaks::{LeakShown, Leaks};

/// An alert for each open finding. A copy from which a configured consumer reads its secret is no leak, and neither is a
/// value that is known to be dead.
pub fn of_leaks(leaks: &Leaks, config: &Config) -> Vec<Alert> {
    let mut copies: Vec<(&str, PathBuf)> = Vec::new();
    for secret in config.secrets.values() {
        // On this machine a file of the same path as a copy on another host is a leak.
        let paths = secret.files().filter_map(|path| path.canonicalize().ok());
        copies.extend(paths.map(|path| (secret.name.as_str(), path)));
    }
    let mut alerts = Vec::new();
    for finding in leaks.report.open() {
        let shown = LeakShown::of(finding);
        let dead = finding.what.state() == LeakState::Retired || shown.state == "dead";
        if dead || is_copy(finding, &copies) {
            continue;
        }
        let mut alert = Alert::new(shown.title.clone());
        match &finding.what {
            FindingKind::Known(version) => {
                let number = u32::try_from(version.number).ok();
                alert.known = number.map(|number| (version.secret.clone(), number));
            }
            FindingKind::Kind { .. } => {
                alert.value = leaks.captured.get(&finding.identity).map(SecretBytes::duplicate);
            }
        }
        let place = &shown.place;
        let (source, path) = (place.source.as_deref(), place.path.as_deref());
        let line = path.map(|path| format!("{path}:{}", place.line));
        // The commit is named behind its path.
        let source = source.filter(|_| place.commit.is_none());
        let inside = [source.map(str::to_owned), line].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let commit = place.commit.as_ref();
        let commit_id: Option<String> = commit.map(|commit| commit.first.chars().take(12).collect());
        alert.place = Some(match commit_id {
            Some(commit) => format!("{inside} in commit {commit}"),
            None => inside,
        });
        alert.since = commit.map(|commit| commit.first_at.clone());
        alerts.push(alert);
    }
    alerts
}

/// The secret's own value in a file that one of its consumers reads, as the file is now; what a commit holds is a leak.
fn is_copy(finding: &Finding, copies: &[(&str, PathBuf)]) -> bool {
    let FindingKind::Known(version) = &finding.what else { return false };
    let path = finding.place.path.as_deref().filter(|_| finding.place.commit.is_none());
    let path = path.and_then(|path: &Path| path.canonicalize().ok());
    path.is_some_and(|path| copies.iter().any(|(secret, copy)| *secret == version.secret && *copy == path))
}
