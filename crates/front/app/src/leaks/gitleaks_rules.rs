use std::collections::BTreeSet;
use std::iter;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_leak::gitleaks::{Config, IgnoreFile};
use keyroll_scanner::{Finding, Skipped};

use crate::problem::Problem;

/// The largest rule file or ignore file, bytes.
const FILE_BYTES_MAX: usize = 4 << 20;

/// How many levels of files may extend each other, as in gitleaks.
const EXTENDS_MAX: usize = 2;

/// How many reasons are shown if no rule of a file can be used.
const REASONS_MAX: usize = 5;

/// The file of known findings, in gitleaks' format.
const IGNORED: &str = ".gitleaksignore";

/// The rules of a file in gitleaks' format.
pub(super) struct ImportedRules {
    pub rules: Config,
    /// Whether they extend the built-in rules.
    pub adds: bool,
    /// Disabled rules that no file contains: they may be built-in rules.
    pub unwanted: BTreeSet<String>,
    /// The parts of the files that are not used.
    pub unused: Vec<Skipped>,
}

/// Reads a rule file, with the files that it extends.
///
/// # Errors
/// The file is not a rule file, or has no usable rule and does not extend the built-in ones: nothing would be searched
/// for.
pub(super) fn theirs(path: &Path) -> Result<ImportedRules, Problem> {
    let mut files = vec![read(path)?];
    while let Some(next) = files.last().and_then(|last| last.extends().path.clone()) {
        if files.len() > EXTENDS_MAX {
            return Err(problem(path).because(format!("it extends more than {EXTENDS_MAX} levels of files")));
        }
        files.push(read(Path::new(&next))?);
    }
    let adds = files.iter().any(|file| file.extends().default);
    let has = |file: &Config, id: &str| {
        file.rules().any(|rule| rule.id == id) || file.disabled().iter().any(|one| one.rule == id)
    };
    let named = |id: &str| files.iter().any(|file| has(file, id));
    let unwanted = files.iter().flat_map(|file| &file.extends().disabled_rules);
    let unwanted = unwanted.filter(|id| !named(id)).cloned().collect();
    let rules = files.into_iter().rev().reduce(|base, own| own.over(base)).unwrap_or_default();
    let whole = rules.unread().map(|why| Skipped { what: keyroll_observe::shown(path), why });
    let each = rules.disabled().iter();
    let each = each.map(|one| Skipped { what: format!("the rule '{}'", one.rule), why: one.why.clone() });
    let unused: Vec<Skipped> = whole.into_iter().chain(each).collect();
    if !adds && rules.rules().next().is_none() {
        return Err(nothing_used(path, &unused));
    }
    Ok(ImportedRules { rules, adds, unwanted, unused })
}

fn nothing_used(path: &Path, unused: &[Skipped]) -> Problem {
    let none = if unused.is_empty() { "it has no rule" } else { "none of its rules can be used" };
    let mut problem = problem(path).because(none);
    for one in unused.iter().take(REASONS_MAX) {
        problem = problem.because(format!("{}: {}", one.what, one.why));
    }
    problem.help(
        "a rule is a [[rules]] with an id and a regex; [extend] useDefault = true adds keyroll's own rules",
    )
}

/// The known findings of `.gitleaksignore` in this folder; `None` without such a file.
pub(super) fn ignored() -> Result<Option<IgnoreFile>, Problem> {
    let path = Path::new(IGNORED);
    match path.exists() {
        true => text(path).map(|text| Some(IgnoreFile::read(&text))),
        false => Ok(None),
    }
}

/// Whether such a file names a finding. Members of an archive are named as in gitleaks: `a.zip!b.env`.
pub(super) fn is_ignored(ignored: &IgnoreFile, one: &Finding) -> bool {
    let Some(path) = &one.place.path else { return false };
    let path = path.strip_prefix(".").unwrap_or(path).display().to_string();
    let path = iter::once(path).chain(one.place.inside.iter().cloned()).collect::<Vec<_>>().join("!");
    let commit = one.place.commit.as_ref().map(|commit| commit.first.as_str());
    let line = usize::try_from(one.place.start.line).unwrap_or(usize::MAX);
    ignored.contains(commit, &path, one.what.rule(), line)
}

/// Its lines that are not understood, and why.
pub(super) fn unread_lines(ignored: &IgnoreFile) -> Option<(String, String)> {
    let (first, more) = ignored.unread().split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
    let why = "it is not a finding as path:rule:line".to_owned();
    Some((format!("{IGNORED}, line {first}{more}"), why))
}

fn read(path: &Path) -> Result<Config, Problem> {
    let shown = keyroll_observe::shown(path);
    Config::read(&shown, &text(path)?).map_err(|error| {
        problem(path).because_of(&error).help("correct that line; until then no rule of the file is used")
    })
}

fn text(path: &Path) -> Result<String, Problem> {
    let bytes = keyroll_observe::read_small(path, FILE_BYTES_MAX)
        .map_err(|error| problem(path).because_of(&error))?;
    String::from_utf8(bytes.expose().to_vec()).map_err(|_| problem(path).because("it is not UTF-8"))
}

fn problem(path: &Path) -> Problem {
    Problem::new(Code::LeaksInputInvalid, format!("read the rules of {}", keyroll_observe::shown(path)))
}
