use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use keyroll_scanner::{BASELINE_BYTES_MAX, Baseline, Finding, Identity, Report, State};
use rustix::process::geteuid;

use crate::args::LeaksArgs;
use crate::config_file;
use crate::leaks::LeakShown;
use crate::problem::Problem;
use crate::redact;

/// Where findings that were accepted are kept, where no other file is named.
const NAME: &str = ".keyroll-leaks.toml";

/// The fewest digits of an identity that are taken for it, and how many it has.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=32;

/// The file of the findings that were accepted.
pub(crate) struct BaselineFile {
    path: PathBuf,
    /// What it has; a new one where it is about to be made; `None` where there is none.
    baseline: Option<Baseline>,
    /// Its text, as it was read.
    old: Option<String>,
}

impl BaselineFile {
    /// The file that is named; else the one that counts here.
    ///
    /// # Errors
    /// One that is named and not there, but to be made; or one that is none.
    pub(crate) fn open(args: &LeaksArgs) -> Result<Self, Problem> {
        let path = args.baseline.clone().unwrap_or_else(|| place(&args.paths));
        if args.baseline.is_some() && args.accept.is_none() || path.exists() {
            if args.baseline.is_none() {
                refuse_strangers(&path)?;
            }
            let (baseline, old) = read(&path)?;
            return Ok(Self { path, baseline: Some(baseline), old: Some(old) });
        }
        let baseline = args.accept.is_some().then(new).transpose()?;
        Ok(Self { path, baseline, old: None })
    }

    pub(crate) fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_ref()
    }

    /// Whether it was there before.
    pub(crate) fn is_there(&self) -> bool {
        self.old.is_some()
    }

    /// Takes what is open into it, or those of it that are named; none where one of them opens something, as keyroll knows. Says
    /// what was done.
    pub(crate) fn accept(
        &mut self,
        args: &LeaksArgs,
        report: &Report,
        picked: &BTreeMap<Identity, Identity>,
    ) -> Result<String, Problem> {
        let Some(baseline) = &mut self.baseline else { return Ok(String::new()) };
        let reason = reason(args, report)?;
        let chosen = chosen(args, report, picked)?;
        refuse_open_doors(&chosen)?;
        for one in &chosen {
            let path = stood(&self.path, one);
            let path =
                path.map(|path| PathBuf::from(redact::pass(&keyroll_observe::shown(&path)).into_owned()));
            baseline.accept(one, path, &reason, args.until);
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

/// The file that counts in the one path that is named, where that is in a repository; else the one that counts in this folder.
/// Outside of a repository only this folder counts.
fn place(paths: &[PathBuf]) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let named = if let [path] = paths { path.canonicalize().ok() } else { None };
    let path = named.and_then(|path| of_repository(&path)).or_else(|| of_repository(&here));
    path.map_or_else(|| PathBuf::from(NAME), |path| from(&here, &path))
}

/// The file in this folder, or in the nearest one above it of the same repository; where none is there, where a new one belongs:
/// the repository's top. Nothing above a folder of another owner counts, and nothing that a stranger has put there: where its
/// `.git` is one's, it is no repository.
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

/// Whether it is of the user, of the owner of the folder that counts, or of root.
fn is_ours(meta: &Metadata, owner: u32) -> bool {
    [0, geteuid().as_raw(), owner].contains(&meta.uid())
}

/// Who may write in a folder of everybody's must not decide what counts as accepted.
fn refuse_strangers(path: &Path) -> Result<(), Problem> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path_shown = keyroll_observe::shown(path);
    let problem = || Problem::new("K0935", format!("take the baseline {path_shown}"));
    let owner = folder.metadata().map_err(|error| problem().because_of(&error))?.uid();
    // A link's own owner counts, too: who made it chose what is read.
    let metas = path.symlink_metadata().and_then(|link| Ok([link, path.metadata()?]));
    let metas = metas.map_err(|error| problem().because_of(&error))?;
    let Some(other) = metas.iter().find(|meta| !is_ours(meta, owner)) else { return Ok(()) };
    Err(problem()
        .because(format!("its owner is the user {}, and the folder is another one's", other.uid()))
        .help(format!("look who put it there; name it if it is meant: --baseline {path_shown}")))
}

/// The file as it is called from this folder: below it, or in one above it by `../`.
fn from(here: &Path, path: &Path) -> PathBuf {
    if let Ok(below) = path.strip_prefix(here) {
        return below.to_owned();
    }
    let up = here.ancestors().position(|folder| path.parent() == Some(folder));
    up.map_or_else(|| path.to_owned(), |up| PathBuf::from("../".repeat(up)).join(NAME))
}

/// Where a finding stands, as seen from the baseline's folder if it is below that; of a history it is told so already.
fn stood(baseline: &Path, one: &Finding) -> Option<PathBuf> {
    let path = one.place.path.as_ref()?;
    let folder = baseline.parent().filter(|folder| !folder.as_os_str().is_empty());
    let below = || {
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(path.canonicalize().ok()?.strip_prefix(folder).ok()?.to_owned())
    };
    let below = if one.place.source.is_none() { below() } else { None };
    Some(below.unwrap_or_else(|| path.strip_prefix(".").unwrap_or(path).to_owned()))
}

fn read(path: &Path) -> Result<(Baseline, String), Problem> {
    let problem = || Problem::new("K0935", format!("read the baseline {}", keyroll_observe::shown(path)));
    let text = keyroll_observe::read_small(path, BASELINE_BYTES_MAX).map_err(|error| {
        problem().because_of(&error).help("name one that is there, or leave --baseline out")
    })?;
    let text = String::from_utf8_lossy(text.expose()).into_owned();
    let baseline = Baseline::read(&text).map_err(|error| {
        problem()
            .because_of(&error)
            .help("mend it, or take it out of the way and accept again: keyroll leaks --accept REASON")
    })?;
    Ok((baseline, text))
}

fn new() -> Result<Baseline, Problem> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| {
        Problem::new("K0935", "make a key for the baseline").because("the machine gives no random bytes")
    })?;
    Ok(Baseline::new(key))
}

fn problem() -> Problem {
    Problem::new("K0935", "accept what was found")
}

/// The identities that are named, or how they begin, in small digits. What was typed is not repeated: it may be a value.
pub(crate) fn only(args: &LeaksArgs) -> Result<Vec<String>, Problem> {
    let all: Vec<String> = args.only.iter().map(|one| one.to_ascii_lowercase()).collect();
    let is_one = |one: &String| DIGITS.contains(&one.len()) && one.bytes().all(|b| b.is_ascii_hexdigit());
    match all.iter().all(is_one) {
        true => Ok(all),
        false => Err(problem()
            .because(format!(
                "an identity has {} hex digits; what is named is none, nor the first {} of one",
                DIGITS.end(),
                DIGITS.start()
            ))
            .help("they stand under ID in the table, and as identity in the other formats")),
    }
}

/// Why a finding cannot be named where nothing makes identities that stay.
pub(crate) fn no_identities() -> Problem {
    problem()
        .because("no baseline is here and no store: identities are of one run alone")
        .help("name the file that it stands in: keyroll leaks FILE --accept REASON; from then on they stay")
}

fn reason(args: &LeaksArgs, report: &Report) -> Result<String, Problem> {
    let reason = args.accept.as_deref().unwrap_or_default().trim();
    if reason.is_empty() {
        return Err(problem()
            .because("the reason is empty")
            .help("say why it may stay: --accept 'made up by the tests'"));
    }
    if report.findings_left_out > 0 {
        return Err(problem()
            .because("there are too many findings to accept them all")
            .help("name fewer paths, or leave files out with .keyrollignore"));
    }
    if args.until.is_some_and(|day| day < Zoned::now().date()) {
        return Err(problem()
            .because("the last day on which it would count is over")
            .help("name a later one: --until YYYY-MM-DD"));
    }
    Ok(redact::pass(reason).into_owned())
}

/// The open findings, or those of them that are named.
fn chosen<'r>(
    args: &LeaksArgs,
    report: &'r Report,
    picked: &BTreeMap<Identity, Identity>,
) -> Result<Vec<&'r Finding>, Problem> {
    let all: Vec<&Finding> = report.open().collect();
    if args.only.is_empty() {
        return Ok(all);
    }
    let open: BTreeSet<&Identity> = all.iter().map(|one| &one.identity).collect();
    for (begin, number) in only(args)?.iter().zip(1..) {
        let there =
            picked.iter().filter(|(named, here)| named.as_str().starts_with(begin) && open.contains(here));
        match there.count() {
            1 => {}
            0 => {
                return Err(problem()
                    .because(format!("no open finding has the identity that is named, number {number}"))
                    .help("look in the same place with the same options as when it was shown"));
            }
            _ => {
                return Err(problem()
                    .because(format!("more than one finding begins with what is named, number {number}"))
                    .help("write all 32 digits: keyroll leaks --format json has them"));
            }
        }
    }
    let picked: BTreeSet<&Identity> = picked.values().collect();
    Ok(all.into_iter().filter(|one| picked.contains(&one.identity)).collect())
}

/// How what stands beside it is accepted.
const OTHERS: &str = "accept the others without it, each by its ID: --only ID";

/// What opens something is replaced, not accepted.
fn refuse_open_doors(chosen: &[&Finding]) -> Result<(), Problem> {
    if let Some(live) = chosen.iter().find(|one| one.what.state() == State::Live) {
        let secret = live.what.rule();
        return Err(problem()
            .because(format!("a value of {secret} is among it, which opens something"))
            .help(format!("{OTHERS}; replace this one first, where it is kept: keyroll plan {secret}")));
    }
    let active = chosen.iter().map(|one| LeakShown::of(one)).find(|one| one.state == "active");
    if let Some(active) = active {
        let issuer = active.verified.and_then(|verified| verified.issuer).unwrap_or_default();
        return Err(problem()
            .because(format!("a value of the kind {} is among it, which its issuer accepts", active.rule))
            .help(format!("{OTHERS}; replace this one and end it first: keyroll issuers show {issuer}")));
    }
    Ok(())
}
