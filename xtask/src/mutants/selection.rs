//! Which mutants are run.

use super::mutation::Mutation;
use crate::run::output;

/// Which mutants are run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    /// So many, drawn by the present commit.
    Sample(usize),
    /// One mutant by its number, or the mutants of a file or line.
    Only(String),
    /// Those that are listed as equivalent: nothing must find them.
    Equivalents,
}

impl Selection {
    /// What the words of the command select.
    pub(super) fn of(words: &[String]) -> Option<Self> {
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            words.get(at + 1)
        };
        if let Some(only) = value("--only") {
            return Some(Self::Only(only.clone()));
        }
        if let Some(count) = value("--sample") {
            return count.parse().ok().map(Self::Sample);
        }
        if words.iter().any(|word| word == "--equivalents") {
            return Some(Self::Equivalents);
        }
        words.iter().any(|word| word == "--all").then_some(Self::All)
    }

    /// The selected ones among these.
    pub(super) fn from<'a>(&self, all: Vec<&'a Mutation>) -> Result<Vec<&'a Mutation>, String> {
        match self {
            Self::All | Self::Equivalents => Ok(all),
            Self::Sample(count) => {
                let commit = output("git", &["rev-parse", "HEAD"])?;
                Ok(drawn(all, *count, commit.trim()))
            }
            Self::Only(only) => {
                let found: Vec<&Mutation> = all.into_iter().filter(|it| is_meant(it, only)).collect();
                if found.is_empty() { Err(format!("no mutant is {only}; see --list")) } else { Ok(found) }
            }
        }
    }
}

fn is_meant(mutation: &Mutation, only: &str) -> bool {
    if let Ok(number) = only.parse::<u32>() {
        return mutation.number == number;
    }
    let place = mutation.place();
    match only.rsplit_once(':').filter(|(_, line)| line.parse::<usize>().is_ok()) {
        Some(_) => place.ends_with(only),
        None => {
            place.rsplit_once(':').is_some_and(|(file, _)| file.ends_with(only))
                || mutation.identity() == only
        }
    }
}

/// So many mutants in their order: another commit draws others.
fn drawn<'a>(mut all: Vec<&'a Mutation>, count: usize, commit: &str) -> Vec<&'a Mutation> {
    all.sort_by_cached_key(|it| super::mutation::hash(&format!("{commit} {}", it.identity())));
    all.truncate(count);
    all.sort_by_key(|it| it.number);
    all
}
