//! Generated mutants that are known to be equivalent: no input distinguishes them from the code.

use std::collections::BTreeMap;
use std::fs;

use super::mutation::Mutation;
use super::page::PAGE;
use crate::run::root;

/// The heading of the list.
const HEADING: &str = "## Generated mutants that are equivalent";

/// The identity of each equivalent mutant, with its proof.
pub(super) fn equivalents() -> Result<BTreeMap<String, String>, String> {
    let text = fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    listed(&text)
}

/// The entries of the page: ``- `identity`: proof``.
fn listed(page: &str) -> Result<BTreeMap<String, String>, String> {
    let Some((_, list)) = page.split_once(HEADING) else {
        return Err(format!("{PAGE}: the heading '{HEADING}' is missing"));
    };
    let mut found = BTreeMap::new();
    for line in list.lines().filter(|line| line.starts_with("- ")) {
        let entry = line.strip_prefix("- `").and_then(|rest| rest.rsplit_once("`: "));
        let Some((identity, proof)) = entry.filter(|(_, proof)| !proof.trim().is_empty()) else {
            return Err(format!("{PAGE}: an entry is '- `identity`: proof', and not: {line}"));
        };
        if found.insert(identity.to_owned(), proof.to_owned()).is_some() {
            return Err(format!("{PAGE}: this mutant is listed twice: {identity}"));
        }
    }
    Ok(found)
}

/// Refuses an entry that names no mutant of this build: its code was changed, so its proof may be wrong.
pub(super) fn refuse_stale(list: &BTreeMap<String, String>, all: &[&Mutation]) -> Result<(), String> {
    let known: std::collections::BTreeSet<String> = all.iter().map(|it| it.identity()).collect();
    let stale: Vec<&str> = list.keys().filter(|it| !known.contains(*it)).map(String::as_str).collect();
    if stale.is_empty() {
        return Ok(());
    }
    let stale = stale.join("\n  ");
    Err(format!(
        "{PAGE} lists mutants that there are not (cargo xtask mutants --list names those that there are):\n  {stale}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_needs_a_proof_and_a_mutant() {
        let page = |entry: &str| format!("# Mutants\n\n- `other`: x\n\n{HEADING}\n\nText.\n\n{entry}\n");
        let found = listed(&page("- `a.rs | f | condition | a`b → true | 1`: no caller passes it.")).unwrap();
        let (identity, proof) = found.first_key_value().unwrap();
        assert_eq!(
            (identity.as_str(), proof.as_str()),
            ("a.rs | f | condition | a`b → true | 1", "no caller passes it.")
        );
        assert!(listed(&page("- `a.rs | f`: ")).is_err() && listed(&page("- a.rs: because")).is_err());
        assert!(listed(&page("- `a`: x\n- `a`: y")).unwrap_err().contains("twice"));
        assert!(listed("# Mutants\n").is_err());
        assert!(refuse_stale(&found, &[]).unwrap_err().contains("a.rs | f | condition"));
        assert!(refuse_stale(&BTreeMap::new(), &[]).is_ok());
    }
}
