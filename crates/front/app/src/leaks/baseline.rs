use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use keyroll_codes::Code;
use keyroll_scanner::{BASELINE_BYTES_MAX, Baseline, Finding, Identity, LeakState, Report};
use rustix::process::geteuid;

use crate::leaks::LeakShown;
use crate::problem::Problem;
use crate::{config_file, redact, wall_clock};

/// The default name of the baseline file.
const NAME: &str = ".keyroll-leaks.toml";

/// How many digits of an identity must be typed at least, and how many it has.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=32;

/// Which findings are accepted, and why.
#[derive(Debug, Clone, Copy)]
pub struct Acceptance<'a> {
    /// Why the findings may stay.
    pub reason: &'a str,
    /// The identities of these findings, or their first digits; empty = all open findings.
    pub only: &'a [String],
    /// The last day on which the acceptance counts.
    pub until: Option<Date>,
}

/// The baseline file: the accepted findings.
pub(super) struct BaselineFile {
    path: PathBuf,
    /// The baseline; a new one if the file is about to be made, `None` if there is no file.
    baseline: Option<Baseline>,
    /// Its text, as it was read.
    old: Option<String>,
}

impl BaselineFile {
    /// Opens the named file; without a name the one that applies to these paths or to the current folder. With
    /// `accepts`, a missing file will be made.
    ///
    /// # Errors
    /// A named file does not exist and `accepts` is not set; or a file is not a baseline.
    pub(super) fn open(named: Option<&Path>, paths: &[PathBuf], accepts: bool) -> Result<Self, Problem> {
        let path = named.map_or_else(|| place(paths), Path::to_owned);
        if named.is_some() && !accepts || path.exists() {
            if named.is_none() {
                refuse_strangers(&path)?;
            }
            let (baseline, old) = read(&path)?;
            return Ok(Self { path, baseline: Some(baseline), old: Some(old) });
        }
        let baseline = accepts.then(new).transpose()?;
        Ok(Self { path, baseline, old: None })
    }

    /// The accepted findings; `None` if there is no file.
    pub(super) fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_ref()
    }

    /// Whether the file existed before.
    pub(super) fn is_there(&self) -> bool {
        self.old.is_some()
    }

    /// Adds the open findings to the file, or only the named ones. Adds none if one of them is a value that still
    /// works, as far as keyroll knows. Returns a sentence about what was done.
    pub(super) fn accept(
        &mut self,
        acceptance: &Acceptance<'_>,
        report: &Report,
        picked: &BTreeMap<Identity, Identity>,
    ) -> Result<String, Problem> {
        let Some(baseline) = &mut self.baseline else { return Ok(String::new()) };
        let reason = reason(acceptance, report)?;
        let chosen = chosen(acceptance, report, picked)?;
        refuse_open_doors(&chosen)?;
        for one in &chosen {
            let path = stood(&self.path, one);
            let path =
                path.map(|path| PathBuf::from(redact::pass(&keyroll_observe::shown(&path)).into_owned()));
            baseline.accept(one, path, &reason, acceptance.until);
        }
        match &self.old {
            Some(old) => config_file::replace(&self.path, old, &baseline.to_text())?,
            None => config_file::create(&self.path, &baseline.to_text(), "--baseline")?,
        }
        let values = chosen.iter().map(|one| &one.identity).collect::<BTreeSet<_>>().len();
        let shown = keyroll_observe::shown(&self.path);
        Ok(format!("accepted {values} in {shown}, which has {} now", baseline.len()))
    }
}

/// The file that applies: that of the repository of the one named path, otherwise that of the current folder's
/// repository. Outside of a repository, the file in the current folder.
#[expect(clippy::disallowed_methods, reason = "paths in reports are relative to the current folder")]
fn place(paths: &[PathBuf]) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let named = if let [path] = paths { path.canonicalize().ok() } else { None };
    let path = named.and_then(|path| of_repository(&path)).or_else(|| of_repository(&here));
    path.map_or_else(|| PathBuf::from(NAME), |path| from(&here, &path))
}

/// The baseline in this folder or the nearest one above it in the same repository; if there is none, the path of a new
/// one at the repository's top. The search ends at a folder of another owner. Files of a stranger do not count, and a
/// folder whose `.git` belongs to a stranger is no repository.
fn of_repository(folder: &Path) -> Option<PathBuf> {
    let owner = folder.metadata().ok()?.uid();
    let ours = |path: &Path| Some(is_ours(&path.symlink_metadata().ok()?, owner));
    let folders =
        folder.ancestors().take_while(|folder| folder.metadata().is_ok_and(|meta| meta.uid() == owner));
    let mut found = None;
    for folder in folders {
        let path = folder.join(NAME);
        if ours(&path) == Some(true) {
            found.get_or_insert(path.clone());
        }
        if let Some(ours) = ours(&folder.join(".git")) {
            return ours.then(|| found.unwrap_or(path));
        }
    }
    None
}

/// Whether the file belongs to this user, to the folder's owner, or to root.
fn is_ours(meta: &Metadata, owner: u32) -> bool {
    [0, geteuid().as_raw(), owner].contains(&meta.uid())
}

/// Refuses a file of another user: in a folder that everybody can write to, a stranger must not decide which findings
/// are accepted.
fn refuse_strangers(path: &Path) -> Result<(), Problem> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path_shown = keyroll_observe::shown(path);
    let problem = || Problem::new(Code::LeaksInputInvalid, format!("use the baseline {path_shown}"));
    let owner = folder.metadata().map_err(|error| problem().because_of(&error))?.uid();
    // The owner of a link counts too, because that user chose which file is read.
    let metas = path.symlink_metadata().and_then(|link| Ok([link, path.metadata()?]));
    let metas = metas.map_err(|error| problem().because_of(&error))?;
    let Some(other) = metas.iter().find(|meta| !is_ours(meta, owner)) else { return Ok(()) };
    Err(problem()
        .because(format!("it belongs to user {}, and its folder to another user", other.uid()))
        .help(format!("find out who created it; to use it anyway: --baseline {path_shown}")))
}

/// The path of the file relative to this folder, with `../` if it is in a folder above.
fn from(here: &Path, path: &Path) -> PathBuf {
    if let Ok(below) = path.strip_prefix(here) {
        return below.to_owned();
    }
    let up = here.ancestors().position(|folder| path.parent() == Some(folder));
    up.map_or_else(|| path.to_owned(), |up| PathBuf::from("../".repeat(up)).join(NAME))
}

/// The path of a finding, relative to the baseline's folder if it is below it. Paths of a history are already relative.
fn stood(baseline: &Path, one: &Finding) -> Option<PathBuf> {
    let path = one.place.path.as_ref()?;
    let folder = baseline.parent().filter(|folder| !folder.as_os_str().is_empty());
    let below = || {
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(path.canonicalize().ok()?.strip_prefix(folder).ok()?.to_owned())
    };
    let below = if one.place.source.is_none() && one.place.host.is_none() { below() } else { None };
    Some(below.unwrap_or_else(|| path.strip_prefix(".").unwrap_or(path).to_owned()))
}

fn read(path: &Path) -> Result<(Baseline, String), Problem> {
    let problem = || {
        Problem::new(Code::LeaksInputInvalid, format!("read the baseline {}", keyroll_observe::shown(path)))
    };
    let text = keyroll_observe::read_small(path, BASELINE_BYTES_MAX)
        .map_err(|error| problem().because_of(&error).help("name an existing file, or omit --baseline"))?;
    let text = String::from_utf8_lossy(text.expose()).into_owned();
    let baseline = Baseline::read(&text).map_err(|error| {
        problem()
            .because_of(&error)
            .help("correct it, or remove it and accept again: keyroll leaks --accept REASON")
    })?;
    Ok((baseline, text))
}

fn new() -> Result<Baseline, Problem> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| {
        Problem::new(Code::LeaksInputInvalid, "make a key for the baseline")
            .because("the machine gives no random bytes")
    })?;
    Ok(Baseline::new(key))
}

fn problem() -> Problem {
    Problem::new(Code::LeaksInputInvalid, "accept the findings")
}

/// The identities that were typed, or their first digits, in lower case. Errors do not repeat them: one may be a value.
pub(super) fn only(named: &[String]) -> Result<Vec<String>, Problem> {
    let all: Vec<String> = named.iter().map(|one| one.to_ascii_lowercase()).collect();
    let is_one = |one: &String| DIGITS.contains(&one.len()) && one.bytes().all(|b| b.is_ascii_hexdigit());
    match all.iter().all(is_one) {
        true => Ok(all),
        false => Err(problem()
            .because(format!(
                "an identity has {} hex digits; write all of them or at least the first {}",
                DIGITS.end(),
                DIGITS.start()
            ))
            .help("see the column ID of the table, or `identity` in the other formats")),
    }
}

/// Why a finding cannot be named if its identity is different in every run.
pub(super) fn no_identities() -> Problem {
    problem()
        .because("there is no baseline and no store here: identities are valid for one run only")
        .help("accept the findings of one file: keyroll leaks FILE --accept REASON; afterwards identities are stable")
}

fn reason(acceptance: &Acceptance<'_>, report: &Report) -> Result<String, Problem> {
    let reason = acceptance.reason.trim();
    if reason.is_empty() {
        return Err(problem()
            .because("the reason is empty")
            .help("say why it may stay: --accept 'made up by the tests'"));
    }
    if report.findings_left_out > 0 {
        return Err(problem()
            .because("there are too many findings to accept them all")
            .help("name fewer paths, or exclude files with .keyrollignore"));
    }
    if acceptance.until.is_some_and(|day| day < wall_clock::now().date()) {
        return Err(problem()
            .because("the last day is in the past")
            .help("name a later one: --until YYYY-MM-DD"));
    }
    Ok(redact::pass(reason).into_owned())
}

/// The open findings, or only the named ones.
fn chosen<'r>(
    acceptance: &Acceptance<'_>,
    report: &'r Report,
    picked: &BTreeMap<Identity, Identity>,
) -> Result<Vec<&'r Finding>, Problem> {
    let all: Vec<&Finding> = report.open().collect();
    if acceptance.only.is_empty() {
        return Ok(all);
    }
    let open: BTreeSet<&Identity> = all.iter().map(|one| &one.identity).collect();
    for (begin, number) in only(acceptance.only)?.iter().zip(1..) {
        let there =
            picked.iter().filter(|(named, here)| named.as_str().starts_with(begin) && open.contains(here));
        match there.count() {
            1 => {}
            0 => {
                return Err(problem()
                    .because(format!("no open finding has identity number {number}"))
                    .help("scan the same paths with the same options as when it was printed"));
            }
            _ => {
                return Err(problem()
                    .because(format!("identity number {number} matches several findings"))
                    .help("write all 32 digits: keyroll leaks --format json has them"));
            }
        }
    }
    let picked: BTreeSet<&Identity> = picked.values().collect();
    Ok(all.into_iter().filter(|one| picked.contains(&one.identity)).collect())
}

/// The way to accept the other findings.
const OTHERS: &str = "accept the other findings by their IDs: --only ID";

/// Refuses findings whose values work: those must be replaced.
fn refuse_open_doors(chosen: &[&Finding]) -> Result<(), Problem> {
    if let Some(live) = chosen.iter().find(|one| one.what.state() == LeakState::Live) {
        let secret = live.what.rule();
        return Err(problem().because(format!("the findings include a working value of {secret}")).help(
            format!(
                "{OTHERS}; replace this one first, on the machine that manages it: keyroll plan {secret}"
            ),
        ));
    }
    let active = chosen.iter().map(|one| LeakShown::of(one)).find(|one| one.state == "active");
    if let Some(active) = active {
        let issuer = active.verified.and_then(|verified| verified.issuer).unwrap_or_default();
        return Err(problem()
            .because(format!(
                "the findings include a value of the kind {}, which its issuer accepts",
                active.rule
            ))
            .help(format!("{OTHERS}; replace and revoke this one first: keyroll issuers show {issuer}")));
    }
    Ok(())
}
