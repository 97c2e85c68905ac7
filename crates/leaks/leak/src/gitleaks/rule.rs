use std::fmt;

use super::expression::Expression;
use super::filter::Filter;
use crate::RuleError;
use crate::gitleaks::allowlist::Allowlist;
use crate::gitleaks::filter_parser;
use crate::gitleaks::toml_document::TableKeys;

/// Keys of a rule without an effect on findings.
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

/// The default specificity, as in Betterleaks.
const SPECIFICITY: usize = 100;

/// A part of a rule, or why it is not understood.
pub(super) type RuleResult<T> = Result<T, String>;

/// A rule that must match too.
pub(super) struct RequiredRule {
    pub(super) id: String,
    /// The largest distance in lines; `None` for anywhere in the text.
    pub(super) lines: Option<usize>,
    /// The largest distance in bytes of the line.
    pub(super) columns: Option<usize>,
}

/// A rule of a file of gitleaks or Betterleaks.
#[derive(Default)]
pub struct Rule {
    /// Its id in its file.
    pub id: String,
    /// Its description, for people. May be empty.
    pub description: String,
    /// Labels by which reports sort it.
    pub tags: Vec<String>,
    pub(super) regex: Option<RuleResult<Expression>>,
    pub(super) path: Option<RuleResult<Expression>>,
    /// The capture group of the secret; 0 for the first one that matched.
    pub(super) secret_group: usize,
    /// The minimum entropy, bits per byte; 0 for any.
    pub(super) entropy: f64,
    /// In lower case. Every matching text contains one; without keywords the rule applies to every text.
    pub(super) keywords: Vec<String>,
    pub(super) allow: Vec<Allowlist>,
    /// The allowlists of the file that target this rule, by number.
    pub(super) also: Vec<usize>,
    pub(super) required: Vec<RequiredRule>,
    /// Of rules with the same match the one with the higher specificity is reported.
    pub(super) specificity: Option<usize>,
    /// Whether it exists only for rules that require it.
    pub(super) quiet: bool,
    pub(super) filter: Option<RuleResult<Filter>>,
    /// The parts that are not understood.
    pub(super) refused: Vec<String>,
    /// Why it is disabled.
    pub(super) off: Option<String>,
    /// Its offset in the file.
    pub(super) at: usize,
}

/// Shows only the name: expressions and words may contain values.
impl fmt::Debug for Rule {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Rule").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Rule {
    /// Parses a rule.
    ///
    /// # Errors No id, a value of the wrong type, an allowlist that gitleaks rejects too.
    pub(super) fn read(mut keys: TableKeys<'_, '_>) -> Result<Self, RuleError> {
        let id = keys.string("id")?.unwrap_or_default();
        if id.trim().is_empty() {
            return Err(keys.wrong("a rule has no id", "give it an id"));
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
        rule.filter = expression(keys.string("filter")?).map(|text| filter_parser::read(&text));
        if keys.flag("tokenEfficiency")? {
            rule.refused.push("it uses tokenEfficiency, which keyroll does not support".to_owned());
        }
        rule.read_lists(&mut keys)?;
        for key in SAYS_NOTHING {
            keys.take(key);
        }
        for (key, line) in keys.rest() {
            rule.refused.push(format!("it has the unknown key '{key}' on line {line}"));
        }
        Ok(rule)
    }

    fn read_lists(&mut self, keys: &mut TableKeys<'_, '_>) -> Result<(), RuleError> {
        let (old, new) = (keys.tables("allowlist")?, keys.tables("allowlists")?);
        if !old.is_empty() && !new.is_empty() {
            return Err(keys.wrong("a rule has both allowlist and allowlists", "keep [[rules.allowlists]]"));
        }
        for list in old.into_iter().chain(new) {
            let (allow, rules) = Allowlist::read(list)?;
            if !rules.is_empty() {
                self.refused
                    .push("its allowlist has targetRules, which are for allowlists of the file".to_owned());
            }
            self.allow.push(allow);
        }
        for mut list in keys.tables("required")? {
            let id = list.string("id")?.unwrap_or_default();
            let (lines, columns) = (list.count("withinLines")?, list.count("withinColumns")?);
            self.require(list, RequiredRule { id, lines, columns })?;
        }
        for mut list in keys.tables("components")? {
            let id = list.string("id")?.unwrap_or_default();
            let within = list.string("within")?.unwrap_or_default();
            let optional = list.flag("optional")?;
            let mut required = RequiredRule { id, lines: None, columns: None };
            for bound in within.split(',').map(str::trim).filter(|bound| !bound.is_empty()) {
                let number = |unit| bound.strip_suffix(unit).and_then(|number| number.parse().ok());
                match (number(['L', 'l']), number(['C', 'c'])) {
                    (Some(lines), _) => required.lines = Some(lines),
                    (None, Some(columns)) => required.columns = Some(columns),
                    (None, None) => {
                        self.refused.push("it has a component with an unsupported 'within'".to_owned());
                    }
                }
            }
            // An optional required rule does not change the findings.
            if !optional {
                self.require(list, required)?;
            }
        }
        Ok(())
    }

    fn require(&mut self, keys: TableKeys<'_, '_>, required: RequiredRule) -> Result<(), RuleError> {
        if required.id.is_empty() {
            return Err(keys.wrong("a rule requires a rule without an id", "give it the id of another rule"));
        }
        for (key, line) in keys.rest() {
            let why = format!("its required rule has the unknown key '{key}' on line {line}");
            self.refused.push(why);
        }
        self.required.push(required);
        Ok(())
    }

    /// Overrides the rule of the same name in the extended file; lists are joined.
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

    /// What it lacks to match anything.
    pub(super) fn lacks(&self) -> Option<String> {
        if self.regex.is_none() && self.path.is_none() {
            return Some("it has neither regex nor path, and changes no rule of an extended file: keyroll's own cannot be changed".to_owned());
        }
        let groups = self.regex.as_ref()?.as_ref().ok()?.groups();
        let why = || format!("its secretGroup is {}, and its regex has {groups} groups", self.secret_group);
        (self.secret_group > groups).then(why)
    }

    /// The part that is not understood.
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

    /// About the most states of its expressions.
    pub(super) fn states(&self) -> usize {
        let expressions = [&self.regex, &self.path].into_iter().flatten().flatten().map(Expression::states);
        let filters = self.filter.iter().flatten().map(Filter::states);
        expressions
            .chain(filters)
            .chain(self.allow.iter().map(Allowlist::states))
            .fold(0, usize::saturating_add)
    }

    /// Of rules with the same match in a line the one with the higher rank is reported. Betterleaks declares it,
    /// gitleaks uses the name.
    pub(super) fn rank(&self) -> usize {
        let named = if self.id.to_lowercase().contains("generic") { 0 } else { SPECIFICITY };
        self.specificity.unwrap_or(named)
    }
}

fn joined<T>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
    first.extend(second);
    first
}
