use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use keyroll_observe::{Process, ProcessId};
use keyroll_secret::FingerprintKey;
use keyroll_trace::{Found, Options, Place, Survey, secrets, survey};
use zeroize::Zeroizing;

use crate::args::ScanArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::ui::Table;

/// Everybody may read it.
const MODE_OTHERS_READ: u32 = 0o004;

/// How many names stand in one cell.
const NAMES_SHOWN_MAX: usize = 3;

/// Shows what secrets live on this machine, who runs on them, and what could not be seen. Read-only.
pub(super) fn run(args: &ScanArgs, context: &mut Context) -> Result<Exit, Problem> {
    let began = Instant::now();
    let options = Options { roots: args.roots.clone(), wait: Duration::from_secs(args.wait) };
    let looking = |error: String| Problem::new("K0910", "look at this machine").because(error);
    let survey = survey(&options, run_key()?).map_err(|error| looking(error.to_string()))?;
    let found = secrets(&survey);
    let processes: BTreeMap<ProcessId, &Process> =
        survey.listing.seen.iter().map(|one| (one.id, one)).collect();
    context.ui.note(format!(
        "scanned {} processes and {} files in {:.1} s",
        processes.len(),
        survey.files,
        began.elapsed().as_secs_f64()
    ));
    let mut table = Table::new(["SECRET", "VALUES", "COPIES", "USED BY", "RISK"]);
    for one in &found {
        table.row([
            one.name.clone(),
            labels(one, &survey),
            copies(one).to_string(),
            users(one, &processes),
            risks(one),
        ]);
    }
    context.ui.data(&table.lines().join("\n"));
    for store in &survey.stores {
        let path = keyroll_observe::shown(&store.path);
        context.ui.note(format!("encrypted: {path}: {}, values unreadable", store.kind));
    }
    for unseen in &survey.unseen {
        context.ui.note(format!("not visible: {}: {}", unseen.what, unseen.reason));
    }
    Ok(Exit::Done)
}

/// Fingerprints are told apart within one run; the key is nobody's.
fn run_key() -> Result<FingerprintKey, Problem> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut())
        .map_err(|_| Problem::new("K0910", "make a key for the fingerprints of this run"))?;
    Ok(FingerprintKey::new(&bytes))
}

fn labels(found: &Found, survey: &Survey) -> String {
    let digits = survey.values.digits();
    let values = found.values.iter().filter_map(|id| survey.values.get(*id));
    some(values.map(|value| value.label(digits).to_string()).collect())
}

fn copies(found: &Found) -> usize {
    let files = found.sightings.iter().filter_map(|one| match &one.place {
        Place::File { .. } | Place::Row { .. } | Place::Remains { .. } => Some(&one.place),
        Place::Environment { .. }
        | Place::Credential { .. }
        | Place::Arguments { .. }
        | Place::Memory { .. }
        | Place::Record { .. } => None,
    });
    files.collect::<BTreeSet<_>>().len()
}

fn users(found: &Found, processes: &BTreeMap<ProcessId, &Process>) -> String {
    let ids: BTreeSet<&ProcessId> = found.sightings.iter().filter_map(|one| one.place.process()).collect();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for process in ids.into_iter().filter_map(|id| processes.get(id)) {
        let name = process.unit().unwrap_or(&process.name);
        *names.entry(name.to_owned()).or_default() += 1;
    }
    some(
        names
            .into_iter()
            .map(|(name, count)| if count == 1 { name } else { format!("{name} ×{count}") })
            .collect(),
    )
}

fn risks(found: &Found) -> String {
    let mut risks = BTreeSet::new();
    for sighting in &found.sightings {
        match &sighting.place {
            Place::File { path, .. } | Place::Row { path, .. } | Place::Remains { path }
                if readable_by_all(path) =>
            {
                risks.insert("a copy that everybody may read");
            }
            Place::Arguments { .. } => {
                risks.insert("in a command line");
            }
            Place::File { .. }
            | Place::Row { .. }
            | Place::Remains { .. }
            | Place::Record { .. }
            | Place::Environment { .. }
            | Place::Credential { .. }
            | Place::Memory { .. } => {}
        }
    }
    some(risks.into_iter().map(str::to_owned).collect())
}

fn readable_by_all(path: &std::path::Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| data.mode() & MODE_OTHERS_READ != 0)
}

fn some(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMES_SHOWN_MAX);
    let shown = all.into_iter().take(NAMES_SHOWN_MAX).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}
