use std::collections::BTreeMap;
use std::fmt;

/// Counts of replacements, by secret name and by rule id. Contains no value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Known secrets, by name.
    pub values: BTreeMap<String, u64>,
    /// The rules, by id.
    pub rules: BTreeMap<String, u64>,
}

impl Report {
    /// The number of replacements.
    pub fn count(&self) -> u64 {
        self.values.values().chain(self.rules.values()).sum()
    }

    /// Whether nothing was replaced.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.rules.is_empty()
    }

    /// Adds the counts of another report.
    pub fn add(&mut self, other: &Self) {
        for (all, more) in [(&mut self.values, &other.values), (&mut self.rules, &other.rules)] {
            for (name, count) in more {
                *all.entry(name.clone()).or_default() += count;
            }
        }
    }

    pub(crate) fn value(&mut self, name: &str) {
        *self.values.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn rule(&mut self, id: &str) {
        *self.rules.entry(id.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for Report {
    /// One line for a log: `3 (secret openai: 2, rule github-pat: 1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count())?;
        let values = self.values.iter().map(|one| ("secret", one));
        let all = values.chain(self.rules.iter().map(|one| ("rule", one)));
        for (number, (kind, (name, count))) in all.enumerate() {
            write!(f, "{}{kind} {name}: {count}", if number == 0 { " (" } else { ", " })?;
        }
        if self.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}
