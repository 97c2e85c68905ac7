use super::expression::Expression;
use crate::RuleError;
use crate::gitleaks::match_context::MatchContext;
use crate::gitleaks::stopwords::Stopwords;
use crate::gitleaks::toml_document::TableKeys;

/// The text that an allowlist's expressions apply to.
#[derive(Clone, Copy)]
enum AllowlistTarget {
    Secret,
    Match,
    Line,
}

/// One allowlist of a file.
pub(super) struct Allowlist {
    /// Whether all conditions must hold; otherwise any.
    all: bool,
    /// In lower case.
    commits: Vec<String>,
    paths: Vec<Expression>,
    target: AllowlistTarget,
    regexes: Vec<Expression>,
    stopwords: Stopwords,
    /// The part that is not understood. If there is one, nothing of the allowlist may be applied.
    pub(super) refused: Option<String>,
}

impl Allowlist {
    /// Parses one, with the rules that it targets.
    ///
    /// # Errors Those of gitleaks: no content, unknown conditions or targets.
    pub(super) fn read(mut keys: TableKeys<'_, '_>) -> Result<(Self, Vec<String>), RuleError> {
        keys.take("description");
        let condition = keys.string("condition")?.unwrap_or_default().to_ascii_uppercase();
        let all = match condition.as_str() {
            "AND" | "&&" => true,
            "" | "OR" | "||" => false,
            _ => return Err(keys.wrong("an allowlist has an unknown condition", "write AND or OR")),
        };
        let target = match keys.string("regexTarget")?.as_deref() {
            None | Some("" | "secret") => AllowlistTarget::Secret,
            Some("match") => AllowlistTarget::Match,
            Some("line") => AllowlistTarget::Line,
            Some(_) => {
                let why = "an allowlist has an unknown regexTarget";
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
                        refused = Some(format!(
                            "its allowlist on line {line} has in {key} an expression that {why}"
                        ));
                    }
                }
            }
            good
        };
        let paths = read("paths", keys.strings("paths")?);
        let regexes = read("regexes", keys.strings("regexes")?);
        let stopwords = Stopwords::new(keys.strings("stopwords")?);
        let allow = Self { all, commits, paths, target, regexes, stopwords, refused };
        let document = keys.document;
        if let Some((key, line)) = keys.rest().into_iter().next() {
            let refused = format!("its allowlist has the unknown key '{key}' on line {line}");
            return Ok((Self { refused: Some(refused), ..allow }, rules));
        }
        let empty = allow.commits.is_empty() && allow.paths.is_empty() && allow.regexes.is_empty();
        if empty && allow.stopwords.is_empty() && allow.refused.is_none() {
            let help = "give it commits, paths, regexes or stopwords";
            return Err(document.wrong(at, "an allowlist is empty", help));
        }
        Ok((allow, rules))
    }

    /// About the most states of its expressions.
    pub(super) fn states(&self) -> usize {
        self.paths.iter().chain(&self.regexes).map(Expression::states).fold(0, usize::saturating_add)
    }

    /// Whether it allows everything at a location. Path and commit are empty if there are none.
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

    /// Whether it allows a match.
    pub(super) fn passes(&self, seen: &MatchContext<'_>) -> bool {
        let target = match self.target {
            AllowlistTarget::Secret => seen.secret,
            AllowlistTarget::Match => seen.matched,
            AllowlistTarget::Line => seen.line,
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
