use std::fmt;

use super::allow::Allow;
use super::clause;
use super::document::Keys;
use super::expression::Expression;
use super::filter::Filter;
use crate::RuleError;

/// Keys of a rule that say nothing of what is found: what it is called, and what is done with what it found.
const SAYS_NOTHING: [&str; 18] = [
    "analyze",
    "author",
    "comment",
    "confidence",
    "example",
    "examples",
    "name",
    "note",
    "notes",
    "reference",
    "references",
    "revoke",
    "severity",
    "source",
    "title",
    "url",
    "validate",
    "verify",
];

/// The specificity of a rule that says none, as in Betterleaks.
const SPECIFICITY: usize = 100;

/// A part of a rule, or why it is not read.
pub(super) type Read<T> = Result<T, String>;

/// Another rule that must find something too.
pub(super) struct Required {
    pub(super) id: String,
    /// At most so many lines away; `None` for anywhere in the text.
    pub(super) lines: Option<usize>,
    /// At most so many bytes of a line away.
    pub(super) columns: Option<usize>,
}

/// One kind of credential, as a file of gitleaks or Betterleaks says it.
#[derive(Default)]
pub struct Rule {
    /// Its name in its file.
    pub id: String,
    /// What it is, for people. It may be empty.
    pub description: String,
    /// Words that reports put it in order by.
    pub tags: Vec<String>,
    pub(super) regex: Option<Read<Expression>>,
    pub(super) path: Option<Read<Expression>>,
    /// Which group of the expression is the secret; 0 for the first that holds something.
    pub(super) secret_group: usize,
    /// What has no more is none, bits a byte; 0 for any.
    pub(super) entropy: f64,
    /// In small letters. One stands in every text that the rule is asked about; without any it is asked about all.
    pub(super) keywords: Vec<String>,
    pub(super) allow: Vec<Allow>,
    /// The allow-lists of the file that name this rule, by their number.
    pub(super) also: Vec<usize>,
    pub(super) required: Vec<Required>,
    /// Of rules that find the same the one with the higher is told.
    pub(super) specificity: Option<usize>,
    /// It is there for rules that require it.
    pub(super) quiet: bool,
    pub(super) filter: Option<Read<Filter>>,
    /// What of it is not understood.
    pub(super) refused: Vec<String>,
    /// Why it is not used.
    pub(super) off: Option<String>,
    /// Where it begins in its file.
    pub(super) at: usize,
}

/// Expressions and words may hold values: only the name is shown.
impl fmt::Debug for Rule {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Rule").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Rule {
    /// Reads one.
    ///
    /// # Errors
    /// One without a name, a key with a value of another kind, an allow-list that gitleaks refuses too.
    pub(super) fn read(mut keys: Keys<'_, '_>) -> Result<Self, RuleError> {
        let id = keys.string("id")?.unwrap_or_default();
        if id.trim().is_empty() {
            return Err(keys.wrong("a rule has no name", "give it an id"));
        }
        let expression = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut rule = Self { id, at: keys.at, ..Self::default() };
        rule.description = keys.string("description")?.unwrap_or_default();
        rule.tags = keys.strings("tags")?;
        rule.regex = expression(keys.string("regex")?).map(|text| Expression::read(&text));
        rule.path = expression(keys.string("path")?).map(|text| Expression::read(&text));
        rule.secret_group = keys.count("secretGroup")?.unwrap_or_default();
        rule.entropy = keys.number("entropy")?.unwrap_or_default();
        rule.keywords = keys.strings("keywords")?.into_iter().map(|word| word.to_lowercase()).collect();
        rule.specificity = keys.count("specificity")?;
        rule.quiet = keys.flag("skipReport")?;
        rule.filter = expression(keys.string("filter")?).map(|text| clause::read(&text));
        if keys.flag("tokenEfficiency")? {
            rule.refused.push("it asks for tokenEfficiency, which is not counted here".to_owned());
        }
        rule.read_lists(&mut keys)?;
        for key in SAYS_NOTHING {
            keys.take(key);
        }
        for (key, line) in keys.rest() {
            rule.refused.push(format!("it has the key '{key}' on line {line}, which is not known"));
        }
        Ok(rule)
    }

    fn read_lists(&mut self, keys: &mut Keys<'_, '_>) -> Result<(), RuleError> {
        let (old, new) = (keys.tables("allowlist")?, keys.tables("allowlists")?);
        if !old.is_empty() && !new.is_empty() {
            return Err(keys.wrong("a rule has both allowlist and allowlists", "keep [[rules.allowlists]]"));
        }
        for list in old.into_iter().chain(new) {
            let (allow, rules) = Allow::read(list)?;
            if !rules.is_empty() {
                self.refused
                    .push("its allow-list has targetRules, which only one of the file has".to_owned());
            }
            self.allow.push(allow);
        }
        for mut list in keys.tables("required")? {
            let id = list.string("id")?.unwrap_or_default();
            let (lines, columns) = (list.count("withinLines")?, list.count("withinColumns")?);
            self.require(list, Required { id, lines, columns })?;
        }
        for mut list in keys.tables("components")? {
            let id = list.string("id")?.unwrap_or_default();
            let within = list.string("within")?.unwrap_or_default();
            let optional = list.flag("optional")?;
            let mut required = Required { id, lines: None, columns: None };
            for bound in within.split(',').map(str::trim).filter(|bound| !bound.is_empty()) {
                let number = |unit| bound.strip_suffix(unit).and_then(|number| number.parse().ok());
                match (number(['L', 'l']), number(['C', 'c'])) {
                    (Some(lines), _) => required.lines = Some(lines),
                    (None, Some(columns)) => required.columns = Some(columns),
                    (None, None) => {
                        self.refused.push("it has a component with a 'within' that is not read".to_owned());
                    }
                }
            }
            // One that may be missing changes nothing of what is found.
            if !optional {
                self.require(list, required)?;
            }
        }
        Ok(())
    }

    fn require(&mut self, keys: Keys<'_, '_>, required: Required) -> Result<(), RuleError> {
        if required.id.is_empty() {
            return Err(keys.wrong("a rule requires one without a name", "give it the id of another rule"));
        }
        for (key, line) in keys.rest() {
            let why = format!("it requires another with the key '{key}' on line {line}, which is not known");
            self.refused.push(why);
        }
        self.required.push(required);
        Ok(())
    }

    /// The rule of the same name that it changes, changed: what it says counts, its lists are added.
    pub(super) fn over(self, base: Self) -> Self {
        let or = |own: String, base| if own.is_empty() { base } else { own };
        let mut refused = base.refused;
        refused.extend(self.refused);
        Self {
            id: self.id,
            description: or(self.description, base.description),
            tags: joined(base.tags, self.tags),
            regex: self.regex.or(base.regex),
            path: self.path.or(base.path),
            secret_group: if self.secret_group == 0 { base.secret_group } else { self.secret_group },
            entropy: if self.entropy == 0.0 { base.entropy } else { self.entropy },
            keywords: joined(base.keywords, self.keywords),
            allow: joined(base.allow, self.allow),
            also: Vec::new(),
            required: joined(base.required, self.required),
            specificity: self.specificity.or(base.specificity),
            quiet: base.quiet || self.quiet,
            filter: self.filter.or(base.filter),
            refused,
            off: None,
            at: self.at,
        }
    }

    /// What it lacks to find anything, whoever reads it.
    pub(super) fn lacks(&self) -> Option<String> {
        if self.regex.is_none() && self.path.is_none() {
            return Some("it has neither regex nor path, and no rule of a file has its name: keyroll's own cannot be changed".to_owned());
        }
        let groups = self.regex.as_ref()?.as_ref().ok()?.groups();
        let why = || format!("its secretGroup is {}, and its regex has {groups} groups", self.secret_group);
        (self.secret_group > groups).then(why)
    }

    /// What of it is not understood.
    pub(super) fn unread(&self) -> Option<String> {
        let expressions = [("regex", &self.regex), ("path", &self.path)];
        let expression = expressions.into_iter().find_map(|(name, read)| {
            let why = read.as_ref()?.as_ref().err()?;
            Some(format!("its {name} {why}"))
        });
        let filter = || self.filter.as_ref()?.as_ref().err().map(|why| format!("its filter {why}"));
        let list = || self.allow.iter().find_map(|allow| allow.refused.clone());
        expression.or_else(filter).or_else(|| self.refused.first().cloned()).or_else(list)
    }

    /// How many states its expressions take at most, about.
    pub(super) fn states(&self) -> usize {
        let expressions = [&self.regex, &self.path].into_iter().flatten().flatten().map(Expression::states);
        let filters = self.filter.iter().flatten().map(Filter::states);
        expressions.chain(filters).chain(self.allow.iter().map(Allow::states)).fold(0, usize::saturating_add)
    }

    /// Of two that find the same in one line the one with the higher is told. Betterleaks writes it, gitleaks goes by the name.
    pub(super) fn rank(&self) -> usize {
        let named = if self.id.to_lowercase().contains("generic") { 0 } else { SPECIFICITY };
        self.specificity.unwrap_or(named)
    }
}

fn joined<T>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
    first.extend(second);
    first
}
