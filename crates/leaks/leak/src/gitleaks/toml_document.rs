use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::RuleError;

/// The lines of a file, for messages.
pub(super) struct TomlDocument<'t> {
    file: &'t str,
    /// The offset of each line.
    lines: Vec<usize>,
}

impl<'t> TomlDocument<'t> {
    pub(super) fn new(file: &'t str, text: &str) -> Self {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        Self { file, lines: std::iter::once(0).chain(ends).collect() }
    }

    /// The line of an offset, from 1 on.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at)
    }

    /// An error at an offset, with a remedy.
    pub(super) fn wrong(&self, at: usize, why: &str, help: &str) -> RuleError {
        let line = self.line(at);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = at.saturating_sub(begin) + 1;
        RuleError {
            file: self.file.to_owned(), why: format!("line {line}, column {column}: {why} · {help}")
        }
    }
}

/// The keys of a table, in lower case: gitleaks ignores case.
pub(super) struct TableKeys<'t, 'd> {
    pub(super) document: &'d TomlDocument<'t>,
    /// The offset of the table.
    pub(super) at: usize,
    values: BTreeMap<String, (usize, &'d DeValue<'t>)>,
}

impl<'t, 'd> TableKeys<'t, 'd> {
    /// The keys of the table at an offset.
    ///
    /// # Errors Two keys that differ only in case.
    pub(super) fn of(
        document: &'d TomlDocument<'t>,
        at: usize,
        table: &'d DeTable<'t>,
    ) -> Result<Self, RuleError> {
        let mut values = BTreeMap::new();
        for (key, value) in table {
            let at = key.span().start;
            let name = key.get_ref().to_ascii_lowercase();
            if values.insert(name, (at, value.get_ref())).is_some() {
                let why = format!("the key '{}' is given twice", key.get_ref());
                return Err(document.wrong(at, &why, "keys are case-insensitive: keep one"));
            }
        }
        Ok(Self { document, at, values })
    }

    /// An error in the whole table.
    pub(super) fn wrong(&self, why: &str, help: &str) -> RuleError {
        self.document.wrong(self.at, why, help)
    }

    /// Takes a value of any type, with its offset.
    pub(super) fn take(&mut self, key: &str) -> Option<(usize, &'d DeValue<'t>)> {
        self.values.remove(&key.to_ascii_lowercase())
    }

    fn taken<T>(
        &mut self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&'d DeValue<'t>) -> Option<T>,
    ) -> Result<Option<T>, RuleError> {
        let Some((at, value)) = self.take(key) else { return Ok(None) };
        let wrong = || self.document.wrong(at, &format!("'{key}' is not {kind}"), "see gitleaks' README");
        read(value).map(Some).ok_or_else(wrong)
    }

    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>, RuleError> {
        self.taken(key, "a text in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// Takes a list of texts. Splits a single text at commas, as gitleaks does.
    pub(super) fn strings(&mut self, key: &str) -> Result<Vec<String>, RuleError> {
        let read = |value: &DeValue<'t>| {
            if let Some(text) = value.as_str() {
                return Some(text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect());
            }
            let one = |value: &Spanned<DeValue<'t>>| value.get_ref().as_str().map(str::to_owned);
            value.as_array()?.iter().map(one).collect()
        };
        self.taken(key, "a list of texts in quotes", read).map(Option::unwrap_or_default)
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, RuleError> {
        let read = |value: &DeValue<'t>| {
            let text = value.as_float().map(|float| float.as_str());
            let text = text.or_else(|| value.as_integer().map(|whole| whole.as_str()));
            text.or_else(|| value.as_str())?.parse().ok().filter(|number: &f64| number.is_finite())
        };
        self.taken(key, "a number", read)
    }

    pub(super) fn count(&mut self, key: &str) -> Result<Option<usize>, RuleError> {
        let read = |value: &DeValue<'t>| match (value.as_integer(), value.as_str()) {
            (Some(whole), _) => usize::from_str_radix(whole.as_str(), whole.radix()).ok(),
            (None, text) => text?.parse().ok(),
        };
        self.taken(key, "a whole number of 0 or more", read)
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<bool, RuleError> {
        let read = |value: &DeValue<'t>| value.as_bool().or_else(|| value.as_str()?.parse().ok());
        self.taken(key, "true or false", read).map(Option::unwrap_or_default)
    }

    /// Takes the tables of a list, or a single table.
    pub(super) fn tables(&mut self, key: &str) -> Result<Vec<Self>, RuleError> {
        let Some((at, value)) = self.take(key) else { return Ok(Vec::new()) };
        if let Some(table) = value.as_table() {
            return Ok(vec![Self::of(self.document, at, table)?]);
        }
        let all: &[Spanned<DeValue<'t>>] = value.as_array().map_or(&[], |all| all);
        let wrong =
            |at| self.document.wrong(at, &format!("'{key}' is not a table"), "begin it with [ ] or [[ ]]");
        if value.as_array().is_none() {
            return Err(wrong(at));
        }
        all.iter()
            .map(|one| {
                let at = one.span().start;
                Self::of(self.document, at, one.get_ref().as_table().ok_or_else(|| wrong(at))?)
            })
            .collect()
    }

    /// The keys that were not taken, with their lines.
    pub(super) fn rest(self) -> Vec<(String, usize)> {
        self.values.into_iter().map(|(key, (at, _))| (key, self.document.line(at))).collect()
    }
}
