//! What has a mistake of its form.

/// The keys, from the top of the file, behind which there is a mistake of form. Nothing there is read any further, so that
/// one mistake is not told twice.
#[derive(Debug, Default)]
pub(crate) struct Broken(Vec<Vec<String>>);

impl Broken {
    /// Adds a key of the table with these keys.
    pub(crate) fn add(&mut self, table: &[String], key: &str) {
        let keys = table.iter().cloned().chain([key.to_owned()]);
        self.0.push(keys.collect());
    }

    /// Whether this very key of the table was added.
    pub(crate) fn is(&self, table: &[String], key: &str) -> bool {
        let is_it = |keys: &Vec<String>| {
            keys.split_last().is_some_and(|(last, before)| last == key && before == table)
        };
        self.0.iter().any(is_it)
    }

    /// Whether there is a mistake behind the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|keys| keys.first().is_some_and(|first| first == key))
    }

    /// The mistakes behind the key, as keys from there.
    pub(crate) fn below(&self, key: &str) -> Self {
        let mine = self.0.iter().filter(|keys| keys.first().is_some_and(|first| first == key));
        Self(mine.map(|keys| keys.iter().skip(1).cloned().collect()).collect())
    }

    pub(crate) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }
}
