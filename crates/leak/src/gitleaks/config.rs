use std::fmt;
use std::sync::OnceLock;

use toml::de::DeTable;

use super::allow::Allow;
use super::clause;
use super::document::{Document, Keys};
use super::filter::Filter;
use super::keywords::Keywords;
use super::rule::Rule;
use crate::RuleError;

/// The largest file of rules, bytes: that of gitleaks has some 200 KiB.
pub const FILE_BYTES_MAX: usize = 2 << 20;

/// The most rules of a file: gitleaks has some 220.
const RULES_MAX: usize = 5_000;

/// The most states of all expressions together, as an estimate from above: some 200 MiB if all are used on one text.
const STATES_MAX: usize = 2_000_000;

/// Keys of a file that say nothing of what is found.
const SAYS_NOTHING: [&str; 6] =
    ["author", "betterleaksMinVersion", "description", "minVersion", "title", "version"];

/// A rule that is not used, since something of it is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// Its name.
    pub rule: String,
    /// What is not understood, or missing.
    pub why: String,
}

/// The rules that a file adds to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extends {
    /// Those that come with gitleaks.
    pub default: bool,
    /// Those of another file, from the folder in which the scan began.
    pub path: Option<String>,
    /// Which of them are not wanted.
    pub disabled_rules: Vec<String>,
}

/// A file of rules of gitleaks, or of Betterleaks.
#[derive(Default)]
pub struct Config {
    pub(super) rules: Vec<Rule>,
    extends: Extends,
    /// For every rule.
    pub(super) allow: Vec<Allow>,
    /// For the rules that are named.
    pub(super) targeted: Vec<(Vec<String>, Allow)>,
    /// Asked of a place, before anything is searched there.
    pub(super) prefilters: Vec<Filter>,
    /// Asked of everything that is found.
    pub(super) filters: Vec<Filter>,
    /// What of it is not understood, and would change what every rule finds.
    refused: Vec<String>,
    /// Rules that are gone: another has their name.
    lost: Vec<Disabled>,
    disabled: Vec<Disabled>,
    keywords: OnceLock<Keywords>,
}

/// Expressions and words may hold values: only names are shown.
impl fmt::Debug for Config {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Config").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads a file, in the form of gitleaks 8 or of Betterleaks 1 and 2 (<https://github.com/gitleaks/gitleaks#configuration>).
    /// `file` is its name, for messages. Keys may have large or small letters.
    ///
    /// A rule of which something is not understood is not used, and is named with the reason: see [`Config::disabled`]. So is
    /// every rule if it stands outside of them all. Expressions are not compiled yet.
    ///
    /// # Errors
    /// What gitleaks refuses too, with line and column and what helps: no TOML, a value of the wrong kind, a rule without id, or
    /// with neither regex nor path, or with a group that is not there, or that requires one that is not there; an allow-list
    /// that allows nothing. What may be in the file that it adds to is not missed. And a file of more than [`FILE_BYTES_MAX`].
    pub fn read(file: &str, text: &str) -> Result<Self, RuleError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = Document::new(file, text);
        if text.len() > FILE_BYTES_MAX {
            let why = format!("the file has more than {FILE_BYTES_MAX} bytes");
            return Err(document.wrong(0, &why, "take rules out of it"));
        }
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            document.wrong(at, &format!("this is no TOML: {}", error.message()), "see https://toml.io")
        })?;
        let mut keys = Keys::of(&document, 0, table.get_ref())?;
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
                let why = format!("another of this name is on line {line}: the last one counts");
                config.lost.push(Disabled { rule: rule.id.clone(), why });
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
            let (allow, rules) = Allow::read(list)?;
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
            config.refused.push(format!("the file has the key '{key}' on line {line}, which is not known"));
        }
        if !config.extends.default && config.extends.path.is_none() {
            config.check(&document, &places)?;
        }
        Ok(config.ready())
    }

    fn read_filters(&mut self, keys: &mut Keys<'_, '_>) -> Result<(), RuleError> {
        for key in ["prefilter", "filter"] {
            let Some(text) = keys.string(key)?.filter(|text| !text.trim().is_empty()) else { continue };
            match clause::read(&text) {
                Ok(filter) if key == "filter" => self.filters.push(filter),
                Ok(filter) if filter.asks_the_place() => self.prefilters.push(filter),
                Ok(_) => self.refused.push("the file's prefilter asks of more than the place".to_owned()),
                Err(why) => self.refused.push(format!("the file's {key} {why}")),
            }
        }
        Ok(())
    }

    /// The search for the keywords, built when the first text is searched.
    pub(super) fn keywords(&self) -> &Keywords {
        self.keywords.get_or_init(|| Keywords::new(&self.rules))
    }

    /// What a file that adds to none must have.
    fn check(&self, document: &Document<'_>, targets: &[(usize, String)]) -> Result<(), RuleError> {
        for rule in &self.rules {
            let missing = rule.required.iter().find(|required| self.rule(&required.id).is_none());
            let missing = missing.map(|missing| format!("it requires '{}', which is not there", missing.id));
            if let Some(why) = rule.lacks().or(missing) {
                let why = format!("the rule '{}' is wrong: {why}", rule.id);
                return Err(document.wrong(rule.at, &why, "change it, or take it out"));
            }
        }
        match targets.iter().find(|(_, id)| self.rule(id).is_none()) {
            Some((at, id)) => {
                let why = format!("an allow-list is for the rule '{id}', which is not there");
                Err(document.wrong(*at, &why, "name another in targetRules"))
            }
            None => Ok(()),
        }
    }

    fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Its rules, without those that are not used.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.off.is_none())
    }

    /// The rules that are not used, each with its reason. One that changes a rule of the file that this one adds to is among them
    /// until that is given: see [`Config::over`].
    pub fn disabled(&self) -> &[Disabled] {
        &self.disabled
    }

    /// What of it is not understood outside of its rules: for that none of them is used.
    pub fn unread(&self) -> Option<String> {
        let list = || self.allow.iter().find_map(|allow| allow.refused.as_ref());
        self.refused.first().cloned().or_else(|| list().map(|why| format!("for all rules, {why}")))
    }

    /// What it adds to. The caller reads that, and gives it to [`Config::over`]; it may add to another itself.
    pub fn extends(&self) -> &Extends {
        &self.extends
    }

    /// These rules with those that they add to. Of a rule in both what this file says counts, and its lists are added to the
    /// other's. What either passes over is passed over. What the base adds to must have been given to it before.
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

    /// Decides which rules are used, and what is searched first.
    fn ready(mut self) -> Self {
        let whole = self.unread();
        let mut states = self.allow.iter().map(Allow::states).fold(0, usize::saturating_add);
        let filters = self.filters.iter().chain(&self.prefilters).map(Filter::states);
        states = filters.fold(states, usize::saturating_add);
        for rule in &mut self.rules {
            let targeted = self.targeted.iter().enumerate().filter(|(_, (ids, _))| ids.contains(&rule.id));
            rule.also = targeted.map(|(index, _)| index).collect();
            let lists =
                rule.also.iter().filter_map(|index| self.targeted.get(*index)).map(|(_, allow)| allow);
            let list = lists.clone().find_map(|allow| allow.refused.clone());
            let own = lists.map(Allow::states).fold(rule.states(), usize::saturating_add);
            rule.off = whole.clone().or_else(|| rule.unread()).or(list).or_else(|| rule.lacks());
            if rule.off.is_none() {
                states = states.saturating_add(own);
                let why = || format!("it and those before it would take more than {STATES_MAX} states");
                rule.off = (states > STATES_MAX).then(why);
            }
        }
        self.without_incomplete();
        let off = |rule: &Rule| rule.off.clone().map(|why| Disabled { rule: rule.id.clone(), why });
        let mut disabled: Vec<Disabled> = self.rules.iter().filter_map(off).collect();
        for id in self.targeted.iter().flat_map(|(ids, _)| ids) {
            if self.rule(id).is_none() {
                let why = "an allow-list is for it, and it is not there".to_owned();
                disabled.push(Disabled { rule: id.clone(), why });
            }
        }
        disabled.extend(self.lost.iter().cloned());
        self.disabled = disabled;
        self
    }

    /// A rule finds nothing without those that it requires.
    fn without_incomplete(&mut self) {
        let used = |id: &String| self.rules.iter().any(|rule| rule.id == *id && rule.off.is_none());
        let missing = |rule: &Rule| {
            let missing = rule.required.iter().find(|required| !used(&required.id))?;
            Some(format!("it requires '{}', which is not there or not used", missing.id))
        };
        let missing: Vec<Option<String>> = self.rules.iter().map(missing).collect();
        for (rule, missing) in self.rules.iter_mut().zip(missing) {
            rule.off = rule.off.take().or(missing);
        }
    }
}

/// What a file adds to.
fn extends(keys: &mut Keys<'_, '_>) -> Result<Extends, RuleError> {
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
            let why = format!("[extend] has the key '{key}', which is not known");
            return Err(document.wrong(at, &why, "it knows useDefault, path and disabledRules"));
        }
    }
    Ok(all)
}
