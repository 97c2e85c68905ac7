use std::path::{Path, PathBuf};

use keyroll_inventory::{DraftShown, Inventory, NotMeant, secret};
use keyroll_trace::SurveyedSecret;

use crate::draft::{Wanted, drafts};
use crate::shown::shown;

/// The drafts of the secrets that words name, of all without words; and what was left out, with the reason. `folder`: where
/// relative paths of consumers begin; `roots`: folders that must contain a copy, none = anywhere.
///
/// # Errors
/// A word means several secrets, or none of the words means one.
pub fn report(
    seen: &Inventory,
    folder: &Path,
    roots: &[PathBuf],
    words: &[String],
) -> Result<(Vec<DraftShown>, Vec<String>), NotMeant> {
    let (all, absent) = meant(seen, words)?;
    // As the places of copies are named, which are compared with them.
    let roots = roots.iter().map(|root| root.canonicalize().unwrap_or_else(|_| root.clone())).collect();
    let wanted = Wanted { survey: &seen.survey, roots, folder, named: !words.is_empty(), logins: false };
    let (drafts, mut left_out) = drafts(&wanted, &all);
    left_out.extend(absent);
    Ok((drafts.iter().map(shown).collect(), left_out))
}

/// The secrets that words name, and the words that mean nothing here, each with that reason.
fn meant<'s>(
    seen: &'s Inventory,
    words: &[String],
) -> Result<(Vec<&'s SurveyedSecret>, Vec<String>), NotMeant> {
    if words.is_empty() {
        return Ok((seen.found.iter().collect(), Vec::new()));
    }
    let (mut all, mut absent): (Vec<&SurveyedSecret>, Vec<String>) = (Vec::new(), Vec::new());
    let mut unknown = None;
    for word in words {
        match secret(seen, word) {
            Ok(found) if all.iter().any(|one| one.name == found.name) => {}
            Ok(found) => all.push(found),
            Err(not @ NotMeant::Several { .. }) => return Err(not),
            Err(not) => {
                absent.push(format!("{word}: no secret has this name"));
                unknown = Some(not);
            }
        }
    }
    match unknown.filter(|_| all.is_empty()) {
        Some(not) => Err(not),
        None => Ok((all, absent)),
    }
}
