use keyroll_database::rusqlite::Row;
use keyroll_leak::names_a_secret;

/// Last words of columns with the name of a value in the same row, in lower case: `name`, `option_name`, `meta_key`.
const NAMING: [&str; 6] = ["name", "key", "variable", "setting", "option", "k"];

/// Last words of columns with such a value.
const HOLDING: [&str; 5] = ["value", "val", "data", "content", "v"];

/// The most naming columns of a table that are used.
const NAMING_MAX: usize = 4;

/// The longest name in a row, bytes.
const NAME_BYTES_MAX: usize = 128;

/// The columns of a table, and which of them have secrets.
pub(crate) struct Columns {
    /// The number of values in a row before the first column.
    before: usize,
    names: Vec<String>,
    /// Whether each has the name of a secret.
    secret: Vec<bool>,
    /// The naming columns, the first few; and whether each column has named values.
    naming: Vec<usize>,
    capturing: Vec<bool>,
}

impl Columns {
    pub(crate) fn of(names: Vec<String>, before: usize) -> Self {
        let ends = |name: &String, words: &[&str]| {
            let last = name.rsplit(['_', '-', ' ']).next().unwrap_or_default();
            words.iter().any(|word| last.eq_ignore_ascii_case(word))
        };
        let naming = (0..).zip(&names).filter(|(_, name)| ends(name, &NAMING)).map(|(at, _)| at);
        let naming = naming.take(NAMING_MAX).collect();
        let capturing = names.iter().map(|name| ends(name, &HOLDING)).collect();
        let secret = names.iter().map(|name| names_a_secret(name)).collect();
        Self { before, names, secret, naming, capturing }
    }

    /// The name of a secret for a cell: its column's, or in a row with a name and a value that name.
    pub(crate) fn name_of<'r>(&'r self, row: &'r Row<'_>, index: usize) -> Option<&'r str> {
        if self.secret.get(index).is_some_and(|secret| *secret) {
            return self.names.get(index).map(String::as_str);
        }
        let beside = |naming: &usize| {
            let name = row.get_ref(self.before + naming).ok()?.as_str().ok()?;
            (name.len() <= NAME_BYTES_MAX && names_a_secret(name)).then_some(name)
        };
        self.capturing
            .get(index)
            .is_some_and(|holds| *holds)
            .then(|| self.naming.iter().find_map(beside))
            .flatten()
    }
}
