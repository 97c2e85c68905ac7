use std::fmt;
use std::sync::OnceLock;

use toml::de::DeTable;

use super::filter::Filter;
use super::keywords::Keywords;
use super::rule::Rule;
use crate::RuleError;
use crate::gitleaks::allowlist::Allowlist;
use crate::gitleaks::filter_parser;
use crate::gitleaks::toml_document::{TableKeys, TomlDocument};

/// The largest rule file, bytes: that of gitleaks has about 200 KiB.
pub const FILE_BYTES_MAX: usize = 2 << 20;

/// The most rules of a file: gitleaks has about 220.
const RULES_MAX: usize = 5_000;

/// The most states of all expressions together, as an upper estimate: about 200 MiB if one text uses all.
const STATES_MAX: usize = 2_000_000;

/// Keys of a file without an effect on findings.
const SAYS_NOTHING: [&str; 6] =
    ["author", "betterleaksMinVersion", "description", "minVersion", "title", "version"];

/// A disabled rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisabledRule {
    /// The rule's id.
    pub rule: String,
    /// The part that is not understood, or missing.
    pub why: String,
}

/// The rules that a file extends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extends {
    /// Whether it extends the default rules.
    pub default: bool,
    /// Another rule file, relative to the folder where the scan began.
    pub path: Option<String>,
    /// Rules of these to leave out.
    pub disabled_rules: Vec<String>,
}

/// A rule file of gitleaks or Betterleaks.
#[derive(Default)]
pub struct Config {
    pub(super) rules: Vec<Rule>,
    extends: Extends,
    /// For all rules.
    pub(super) allow: Vec<Allowlist>,
    /// For the named rules.
    pub(super) targeted: Vec<(Vec<String>, Allowlist)>,
    /// Filters of a location, applied before the search.
    pub(super) prefilters: Vec<Filter>,
    /// Filters of matches.
    pub(super) filters: Vec<Filter>,
    /// Parts that are not understood, and would change the findings of all rules.
    refused: Vec<String>,
    /// Rules that another rule of the same name replaced.
    lost: Vec<DisabledRule>,
    disabled: Vec<DisabledRule>,
    keywords: OnceLock<Keywords>,
}

/// Shows only names: expressions and words may contain values.
impl fmt::Debug for Config {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Config").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Config {
    /// Parses a file in the format of gitleaks 8 or Betterleaks 1 and 2
    /// (<https://github.com/gitleaks/gitleaks#configuration>). `file` is its name in messages. Keys are
    /// case-insensitive.
    ///
    /// A rule that is not fully understood is disabled with the reason, see [`Config::disabled`]; all rules are, if a
    /// part outside of them is not understood. Expressions are compiled later.
    ///
    /// # Errors Those of gitleaks, with line and column and a remedy: invalid TOML, a value of the wrong type, a rule
    /// without id, or without regex and path, or with a missing group, or that requires a missing rule; an empty
    /// allowlist. Parts that the extended file may contain are not required. Also a file of more than
    /// [`FILE_BYTES_MAX`].
    pub fn read(file: &str, text: &str) -> Result<Self, RuleError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = TomlDocument::new(file, text);
        if text.len() > FILE_BYTES_MAX {
            let why = format!("the file has more than {FILE_BYTES_MAX} bytes");
            return Err(document.wrong(0, &why, "take rules out of it"));
        }
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            document.wrong(at, &format!("this is not valid TOML: {}", error.message()), "see https://toml.io")
        })?;
        let mut keys = TableKeys::of(&document, 0, table.get_ref())?;
        let mut config = Self { extends: extends(&mut keys)?, ..Self::default() };
        let mut places = Vec::new();
        for rule in keys.tables("rules")? {
            let (at, rule) = (rule.at, Rule::read(rule)?);
            if config.rules.len() == RULES_MAX {
                let why = format!("the file has more than {RULES_MAX} rules");
                return Err(document.wrong(at, &why, "take rules out of it"));
            }
            if let Some(index) = config.rules.iter().position(|known| known.id == rule.id) {
                let line = document.line(at);
                let why = format!("another rule of this name is on line {line}: the last one counts");
                config.lost.push(DisabledRule { rule: rule.id.clone(), why });
                config.rules.remove(index);
            }
            config.rules.push(rule);
        }
        let (old, new) = (keys.tables("allowlist")?, keys.tables("allowlists")?);
        if !old.is_empty() && !new.is_empty() {
            return Err(keys.wrong("the file has both allowlist and allowlists", "keep [[allowlists]]"));
        }
        for list in old.into_iter().chain(new) {
            let at = list.at;
            let (allow, rules) = Allowlist::read(list)?;
            if rules.is_empty() {
                config.allow.push(allow);
            } else {
                places.extend(rules.iter().map(|rule| (at, rule.clone())));
                config.targeted.push((rules, allow));
            }
        }
        config.read_filters(&mut keys)?;
        for key in SAYS_NOTHING {
            keys.take(key);
        }
        for (key, line) in keys.rest() {
            config.refused.push(format!("the file has the unknown key '{key}' on line {line}"));
        }
        if !config.extends.default && config.extends.path.is_none() {
            config.check(&document, &places)?;
        }
        Ok(config.ready())
    }

    fn read_filters(&mut self, keys: &mut TableKeys<'_, '_>) -> Result<(), RuleError> {
        for key in ["prefilter", "filter"] {
            let Some(text) = keys.string(key)?.filter(|text| !text.trim().is_empty()) else { continue };
            match filter_parser::read(&text) {
                Ok(filter) if key == "filter" => self.filters.push(filter),
                Ok(filter) if filter.asks_the_place() => self.prefilters.push(filter),
                Ok(_) => {
                    self.refused.push("the file's prefilter depends on more than the location".to_owned())
                }
                Err(why) => self.refused.push(format!("the file's {key} {why}")),
            }
        }
        Ok(())
    }

    /// The search for the keywords, built for the first text.
    pub(super) fn keywords(&self) -> &Keywords {
        self.keywords.get_or_init(|| Keywords::new(&self.rules))
    }

    /// The requirements of a file that extends none.
    fn check(&self, document: &TomlDocument<'_>, targets: &[(usize, String)]) -> Result<(), RuleError> {
        for rule in &self.rules {
            let missing = rule.required.iter().find(|required| self.rule(&required.id).is_none());
            let missing =
                missing.map(|missing| format!("it requires '{}', which does not exist", missing.id));
            if let Some(why) = rule.lacks().or(missing) {
                let why = format!("the rule '{}' is invalid: {why}", rule.id);
                return Err(document.wrong(rule.at, &why, "change it, or take it out"));
            }
        }
        match targets.iter().find(|(_, id)| self.rule(id).is_none()) {
            Some((at, id)) => {
                let why = format!("an allowlist targets the rule '{id}', which does not exist");
                Err(document.wrong(*at, &why, "name another in targetRules"))
            }
            None => Ok(()),
        }
    }

    fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// The enabled rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.off.is_none())
    }

    /// The disabled rules, each with its reason; also those that change a rule of the extended file until
    /// [`Config::over`] has received it.
    pub fn disabled(&self) -> &[DisabledRule] {
        &self.disabled
    }

    /// The part outside of the rules that is not understood, and disables all of them.
    pub fn unread(&self) -> Option<String> {
        let list = || self.allow.iter().find_map(|allow| allow.refused.as_ref());
        self.refused.first().cloned().or_else(|| list().map(|why| format!("for all rules, {why}")))
    }

    /// What the file extends. The caller reads it and passes it to [`Config::over`]; it may extend another one.
    pub fn extends(&self) -> &Extends {
        &self.extends
    }

    /// Combines these rules with the extended ones. In a rule of both files this file takes precedence, and lists are
    /// joined. Allowlists of both apply. The base must have been combined with its own base before.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        let unwanted = self.extends.disabled_rules;
        let mut rules: Vec<Rule> =
            base.rules.into_iter().filter(|rule| !unwanted.contains(&rule.id)).collect();
        for own in self.rules {
            match rules.iter().position(|rule| rule.id == own.id) {
                Some(index) => {
                    let base = rules.remove(index);
                    rules.insert(index, own.over(base));
                }
                None => rules.push(own),
            }
        }
        let mut merged = Self { rules, ..Self::default() };
        merged.allow.extend(self.allow.into_iter().chain(base.allow));
        merged.targeted.extend(self.targeted.into_iter().chain(base.targeted));
        merged.prefilters.extend(self.prefilters.into_iter().chain(base.prefilters));
        merged.filters.extend(self.filters.into_iter().chain(base.filters));
        merged.refused.extend(self.refused.into_iter().chain(base.refused));
        merged.lost.extend(self.lost.into_iter().chain(base.lost));
        merged.ready()
    }

    /// Decides which rules are enabled, and prepares the search.
    fn ready(mut self) -> Self {
        let whole = self.unread();
        let mut states = self.allow.iter().map(Allowlist::states).fold(0, usize::saturating_add);
        let filters = self.filters.iter().chain(&self.prefilters).map(Filter::states);
        states = filters.fold(states, usize::saturating_add);
        for rule in &mut self.rules {
            let targeted = self.targeted.iter().enumerate().filter(|(_, (ids, _))| ids.contains(&rule.id));
            rule.also = targeted.map(|(index, _)| index).collect();
            let lists =
                rule.also.iter().filter_map(|index| self.targeted.get(*index)).map(|(_, allow)| allow);
            let list = lists.clone().find_map(|allow| allow.refused.clone());
            let own = lists.map(Allowlist::states).fold(rule.states(), usize::saturating_add);
            rule.off = whole.clone().or_else(|| rule.unread()).or(list).or_else(|| rule.lacks());
            if rule.off.is_none() {
                states = states.saturating_add(own);
                let why = || format!("it and the rules before it need more than {STATES_MAX} states");
                rule.off = (states > STATES_MAX).then(why);
            }
        }
        self.without_incomplete();
        let off = |rule: &Rule| rule.off.clone().map(|why| DisabledRule { rule: rule.id.clone(), why });
        let mut disabled: Vec<DisabledRule> = self.rules.iter().filter_map(off).collect();
        for id in self.targeted.iter().flat_map(|(ids, _)| ids) {
            if self.rule(id).is_none() {
                let why = "an allowlist targets it, but it does not exist".to_owned();
                disabled.push(DisabledRule { rule: id.clone(), why });
            }
        }
        disabled.extend(self.lost.iter().cloned());
        self.disabled = disabled;
        self
    }

    /// Disables rules that require a disabled one.
    fn without_incomplete(&mut self) {
        let used = |id: &String| self.rules.iter().any(|rule| rule.id == *id && rule.off.is_none());
        let missing = |rule: &Rule| {
            let missing = rule.required.iter().find(|required| !used(&required.id))?;
            Some(format!("it requires '{}', which does not exist or is disabled", missing.id))
        };
        let missing: Vec<Option<String>> = self.rules.iter().map(missing).collect();
        for (rule, missing) in self.rules.iter_mut().zip(missing) {
            rule.off = rule.off.take().or(missing);
        }
    }
}

/// Parses the `extend` section.
fn extends(keys: &mut TableKeys<'_, '_>) -> Result<Extends, RuleError> {
    let mut all = Extends::default();
    for mut keys in keys.tables("extend")? {
        all.default |= keys.flag("useDefault")?;
        all.path = keys.string("path")?.filter(|path| !path.is_empty());
        all.disabled_rules.extend(keys.strings("disabledRules")?);
        if all.default && all.path.is_some() {
            return Err(keys.wrong("[extend] has both useDefault and path", "keep one of them"));
        }
        let document = keys.document;
        let at = keys.at;
        if let Some((key, _)) = keys.rest().into_iter().next() {
            let why = format!("[extend] has the unknown key '{key}'");
            return Err(document.wrong(at, &why, "it knows useDefault, path and disabledRules"));
        }
    }
    Ok(all)
}
