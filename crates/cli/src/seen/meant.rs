use std::path::{Path, PathBuf};

use keyroll_trace::Found;

use super::Seen;
use crate::problem::Problem;

/// What a person asks about.
pub(crate) enum Meant<'s> {
    /// One secret.
    Secret(&'s Found),
    /// A process.
    Process(u32),
    /// A file or a folder.
    Path(PathBuf),
}

/// What a word on the command line means: a process by its number, a path by its slash or because it is there, else a secret by its
/// name, the beginning of its name, or the digits behind one of its labels. What was typed is not repeated: it may be a value.
pub(crate) fn meant<'s>(seen: &'s Seen, word: &str) -> Result<Meant<'s>, Problem> {
    if let Some(found) = seen.found.iter().find(|found| found.name == word) {
        return Ok(Meant::Secret(found));
    }
    if let Ok(pid) = word.parse::<u32>()
        && seen.survey.listing.seen.iter().any(|one| one.id.pid == pid)
    {
        return Ok(Meant::Process(pid));
    }
    if word.contains('/') || Path::new(word).exists() {
        return match std::fs::canonicalize(word) {
            Ok(path) => Ok(Meant::Path(path)),
            Err(error) => Err(Problem::new("K0911", "find the file that is meant")
                .because_of(&error)
                .help("keyroll trace SECRET shows every file that holds it")),
        };
    }
    secret(seen, word).map(Meant::Secret)
}

/// The secret that is meant.
pub(crate) fn secret<'s>(seen: &'s Seen, word: &str) -> Result<&'s Found, Problem> {
    let by_name = |found: &&Found| found.name == word;
    if let Some(found) = seen.found.iter().find(by_name) {
        return Ok(found);
    }
    let begins: Vec<&Found> = seen.found.iter().filter(|found| begins(&found.name, word)).collect();
    let labelled: Vec<&Found> = seen.found.iter().filter(|found| has_label(seen, found, word)).collect();
    let problem = || Problem::new("K0911", "find the secret that is meant");
    let all = if begins.is_empty() { labelled } else { begins };
    match all.as_slice() {
        [only] => Ok(only),
        [] => {
            let names = seen.found.iter().map(|found| found.name.as_str());
            let near = keyroll_config::nearest(word, names).map(|name| format!("did you mean {name}? "));
            Err(problem().because("no secret that was found, no process and no file goes by this").help(
                format!("{}keyroll scan shows the names of all that it finds", near.unwrap_or_default()),
            ))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|found| found.name.as_str()).collect();
            Err(problem()
                .because("several secrets begin with this")
                .help(format!("name one of {}", names.join(", "))))
        }
    }
}

/// `openai` of `openai.shop`, but not `open`.
fn begins(name: &str, word: &str) -> bool {
    !word.is_empty() && name.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'))
}

/// The digits of a label, at least as many as are shown.
fn has_label(seen: &Seen, found: &Found, word: &str) -> bool {
    let word = word.rsplit('·').next().unwrap_or(word);
    let labels = found.values.iter().filter_map(|id| seen.survey.values.get(*id));
    labels.map(|value| value.label(seen.digits)).any(|label| label.digits == word)
}
