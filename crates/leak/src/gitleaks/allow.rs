use super::document::Keys;
use super::expression::Expression;
use super::seen::Seen;
use super::words::Words;
use crate::RuleError;

/// What the expressions of an allow-list are asked of.
#[derive(Clone, Copy)]
enum Target {
    Secret,
    Match,
    Line,
}

/// What is passed over although a rule finds it.
pub(super) struct Allow {
    /// All that it says must hold; otherwise any of it.
    all: bool,
    /// In small letters.
    commits: Vec<String>,
    paths: Vec<Expression>,
    target: Target,
    regexes: Vec<Expression>,
    stopwords: Words,
    /// What of it is not understood: nothing of it may be applied.
    pub(super) refused: Option<String>,
}

impl Allow {
    /// Reads one, and the rules that it is for, if it names any.
    ///
    /// # Errors
    /// What gitleaks refuses too: one without content, conditions and targets that are none.
    pub(super) fn read(mut keys: Keys<'_, '_>) -> Result<(Self, Vec<String>), RuleError> {
        keys.take("description");
        let condition = keys.string("condition")?.unwrap_or_default().to_ascii_uppercase();
        let all = match condition.as_str() {
            "AND" | "&&" => true,
            "" | "OR" | "||" => false,
            _ => return Err(keys.wrong("an allow-list has an unknown condition", "write AND or OR")),
        };
        let target = match keys.string("regexTarget")?.as_deref() {
            None | Some("" | "secret") => Target::Secret,
            Some("match") => Target::Match,
            Some("line") => Target::Line,
            Some(_) => {
                let why = "an allow-list has an unknown regexTarget";
                return Err(keys.wrong(why, "write secret, match or line"));
            }
        };
        let rules = keys.strings("targetRules")?;
        let commits = keys.strings("commits")?;
        let commits = commits.into_iter().map(|commit| commit.trim().to_ascii_lowercase()).collect();
        let (at, line) = (keys.at, keys.document.line(keys.at));
        let mut refused = None;
        let mut read = |key: &str, all: Vec<String>| {
            let mut good = Vec::new();
            for text in all {
                match Expression::read(&text) {
                    Ok(expression) => good.push(expression),
                    Err(why) => {
                        refused = Some(format!("its allow-list on line {line} has in {key} one that {why}"));
                    }
                }
            }
            good
        };
        let paths = read("paths", keys.strings("paths")?);
        let regexes = read("regexes", keys.strings("regexes")?);
        let stopwords = Words::new(keys.strings("stopwords")?);
        let allow = Self { all, commits, paths, target, regexes, stopwords, refused };
        let document = keys.document;
        if let Some((key, line)) = keys.rest().into_iter().next() {
            let refused = format!("its allow-list has the key '{key}' on line {line}, which is not known");
            return Ok((Self { refused: Some(refused), ..allow }, rules));
        }
        let empty = allow.commits.is_empty() && allow.paths.is_empty() && allow.regexes.is_empty();
        if empty && allow.stopwords.is_empty() && allow.refused.is_none() {
            let help = "give it commits, paths, regexes or stopwords";
            return Err(document.wrong(at, "an allow-list allows nothing", help));
        }
        Ok((allow, rules))
    }

    /// How many states its expressions take at most, about.
    pub(super) fn states(&self) -> usize {
        self.paths.iter().chain(&self.regexes).map(Expression::states).fold(0, usize::saturating_add)
    }

    /// Whether everything at a place is passed over, whatever it is. Empty for a place that has no path or commit.
    pub(super) fn passes_over(&self, path: &str, commit: &str) -> bool {
        if path.is_empty() && commit.is_empty() {
            return false;
        }
        let (by_commit, by_path) = (self.has_commit(commit), self.has_path(path));
        if !self.all {
            return by_commit || by_path;
        }
        self.regexes.is_empty()
            && self.stopwords.is_empty()
            && (self.commits.is_empty() || by_commit)
            && (self.paths.is_empty() || by_path)
    }

    /// Whether what was found is passed over, by what it is.
    pub(super) fn passes(&self, seen: &Seen<'_>) -> bool {
        let target = match self.target {
            Target::Secret => seen.secret,
            Target::Match => seen.matched,
            Target::Line => seen.line,
        };
        let by_text =
            || !target.is_empty() && self.regexes.iter().any(|regex| regex.is_in(target, seen.wide));
        let by_word = || self.stopwords.are_in(seen.secret);
        if !self.all {
            return by_text() || by_word();
        }
        (self.commits.is_empty() || self.has_commit(seen.commit))
            && (self.paths.is_empty() || self.has_path(seen.path))
            && (self.regexes.is_empty() || by_text())
            && (self.stopwords.is_empty() || by_word())
    }

    fn has_commit(&self, commit: &str) -> bool {
        !commit.is_empty() && self.commits.iter().any(|known| known.eq_ignore_ascii_case(commit))
    }

    fn has_path(&self, path: &str) -> bool {
        !path.is_empty() && self.paths.iter().any(|known| known.is_in(path.as_bytes(), !path.is_ascii()))
    }
}
