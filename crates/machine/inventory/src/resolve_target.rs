use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_trace::{SurveyedSecret, User, ValueId};

use crate::look::Inventory;

/// What the operator asks about.
pub enum Meant<'s> {
    /// Secrets: one, or all that are taken under one name.
    Secrets(Vec<&'s SurveyedSecret>),
    /// A process.
    Process(u32),
    /// A file or a folder.
    Path(PathBuf),
    /// Users of secrets: a service, a program, or everything that one manager keeps.
    Users(&'s str),
}

/// Why a word means nothing, or several things. It does not repeat the word, which may be a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotMeant {
    /// It is a path, and cannot be reached for this reason.
    NoFile(String),
    /// Nothing has this name.
    Unknown {
        /// The names of all secrets.
        names: Vec<String>,
    },
    /// Several secrets have this name.
    Several {
        /// Their whole names.
        names: Vec<String>,
    },
}

/// Refuses a path that does not exist, before anything is inspected.
///
/// # Errors
/// There is no such path.
pub fn refuse_missing(word: &str) -> Result<(), NotMeant> {
    let whole = ["/", "./", "../"].iter().any(|begin| word.starts_with(begin));
    if whole { path(word).map(drop) } else { Ok(()) }
}

/// A path, as it is typed or as a copy is shown: with a line behind it.
fn path(word: &str) -> Result<PathBuf, NotMeant> {
    let with_line = word.rsplit_once(':').filter(|(_, line)| line.parse::<u64>().is_ok());
    std::fs::canonicalize(word)
        .or_else(|error| with_line.map_or(Err(error), |(path, _)| std::fs::canonicalize(path)))
        .map_err(|error| NotMeant::NoFile(error.to_string()))
}

/// The values of the secrets that a word means, before memory is searched; none if it means something else.
pub fn values_meant(seen: &Inventory, typed: &str) -> BTreeSet<ValueId> {
    match resolve_target(seen, typed) {
        Ok(Meant::Secrets(all)) => all.iter().flat_map(|one| one.values.clone()).collect(),
        Ok(Meant::Process(_) | Meant::Path(_) | Meant::Users(_)) | Err(_) => BTreeSet::new(),
    }
}

/// What a word means after memory was searched, which may have given a secret another name. Both are right: that of before,
/// which a scan without memory printed, and that of after, which the operator does not know yet.
///
/// # Errors
/// It means nothing, or several secrets.
pub fn resolve_again<'s>(
    seen: &'s Inventory,
    typed: &'s str,
    before: &BTreeSet<ValueId>,
) -> Result<Meant<'s>, NotMeant> {
    let had = |one: &&SurveyedSecret| one.values.iter().any(|value| before.contains(value));
    resolve_target(seen, typed).or_else(|not| {
        let renamed: Vec<&SurveyedSecret> = seen.found.iter().filter(had).collect();
        if renamed.is_empty() { Err(not) } else { Ok(Meant::Secrets(renamed)) }
    })
}

/// What a word on the command line means. It may be any name that keyroll's output shows: a secret, a process by its
/// number, a user of secrets, a path (it has a slash, or exists), the beginning of a secret's name, the digits of a
/// label, a variable.
///
/// # Errors
/// It means nothing, or several secrets.
fn resolve_target<'s>(seen: &'s Inventory, typed: &'s str) -> Result<Meant<'s>, NotMeant> {
    if let Some(found) = seen.found.iter().find(|found| found.name == typed) {
        return Ok(Meant::Secrets(vec![found]));
    }
    let pid = typed.rsplit_once("(pid ").and_then(|(_, pid)| pid.strip_suffix(')')).unwrap_or(typed);
    if let Ok(pid) = pid.parse::<u32>()
        && seen.survey.listing.seen.iter().any(|one| one.id.pid == pid)
    {
        return Ok(Meant::Process(pid));
    }
    let word = bare(typed);
    if seen.found.iter().flat_map(|found| &found.users).any(|user| is_called(seen, user, word)) {
        return Ok(Meant::Users(word));
    }
    if typed.contains('/') || Path::new(typed).exists() {
        return path(typed).map(Meant::Path);
    }
    let named = under(seen, typed);
    if named.is_empty() {
        secret(seen, typed).map(|found| Meant::Secrets(vec![found]))
    } else {
        Ok(Meant::Secrets(named))
    }
}

/// A name without the decoration of the tables: `(not managed)`, `mailer ×4`, `api (at rest)`.
fn bare(word: &str) -> &str {
    let word = word.strip_prefix('(').and_then(|word| word.strip_suffix(')')).unwrap_or(word);
    let word = word.strip_suffix(" (at rest)").unwrap_or(word);
    word.rsplit_once(" ×").map_or(word, |(name, _)| name)
}

/// Whether this word names a user of secrets: by its own name, its program's (with the folder that it runs in, or without),
/// its manager's, or `services` for everything that a manager keeps.
pub(crate) fn is_called(seen: &Inventory, user: &User, word: &str) -> bool {
    let by = user.managed_by;
    let is = |name: &str| name == word || name.split_once(" in ").is_some_and(|(name, _)| name == word);
    let runs = || {
        is(&seen.named(user)) || user.processes.iter().any(|process| is(&seen.program(user, Some(process))))
    };
    user.name == word || by.name() == word || (by.is_service() && word == "services") || runs()
}

/// The secrets that are read under this name: a variable, or a key of a file.
fn under<'s>(seen: &'s Inventory, name: &str) -> Vec<&'s SurveyedSecret> {
    let is = |found: &&SurveyedSecret| found.sightings.iter().any(|one| one.name.as_deref() == Some(name));
    seen.found.iter().filter(is).collect()
}

/// The secret that is meant.
///
/// # Errors
/// The word means no secret, or several.
pub fn secret<'s>(seen: &'s Inventory, word: &str) -> Result<&'s SurveyedSecret, NotMeant> {
    let by_name = |found: &&SurveyedSecret| found.name == word;
    if let Some(found) = seen.found.iter().find(by_name) {
        return Ok(found);
    }
    let begins: Vec<&SurveyedSecret> = seen.found.iter().filter(|found| begins(&found.name, word)).collect();
    let labelled: Vec<&SurveyedSecret> =
        seen.found.iter().filter(|found| has_label(seen, found, word)).collect();
    let used = |found: &&SurveyedSecret| found.users.iter().any(|user| is_called(seen, user, bare(word)));
    let all = [begins, labelled, under(seen, word), seen.found.iter().filter(used).collect()];
    let all = all.into_iter().find(|all| !all.is_empty()).unwrap_or_default();
    match all.as_slice() {
        [only] => Ok(only),
        [] => Err(NotMeant::Unknown { names: seen.found.iter().map(|found| found.name.clone()).collect() }),
        several => Err(NotMeant::Several { names: several.iter().map(|found| found.name.clone()).collect() }),
    }
}

/// `openai` of `openai.shop`, but not `open`.
fn begins(name: &str, word: &str) -> bool {
    !word.is_empty() && name.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'))
}

/// The digits of a label, at least as many as are shown.
fn has_label(seen: &Inventory, found: &SurveyedSecret, word: &str) -> bool {
    // In the tables, a state may follow the label.
    let word = word.rsplit('·').next().and_then(|word| word.split(' ').next()).unwrap_or(word);
    let labels = found.values.iter().filter_map(|id| seen.survey.values.get(*id));
    labels.map(|value| value.label(seen.digits)).any(|label| label.digits == word)
}
