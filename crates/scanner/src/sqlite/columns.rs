use keyroll_database::rusqlite::Row;
use keyroll_leak::names_a_secret;

/// How columns end that name what stands beside them in a row, in small letters: `name`, `option_name`, `meta_key`.
const NAMING: [&str; 6] = ["name", "key", "variable", "setting", "option", "k"];

/// How columns end that hold what is named so.
const HOLDING: [&str; 5] = ["value", "val", "data", "content", "v"];

/// The most columns of a table that are asked for a row's name: each cell beside them is.
const NAMING_MAX: usize = 4;

/// The longest name of a row that is looked at, bytes.
const NAME_BYTES_MAX: usize = 128;

/// The columns of a table, and under which of their names a secret stands.
pub(crate) struct Columns {
    /// How many values stand before the first of them in a row.
    before: usize,
    names: Vec<String>,
    /// Which of them are named as secrets are.
    secret: Vec<bool>,
    /// Those that name what others hold, the first few; and which these are.
    naming: Vec<usize>,
    holding: Vec<bool>,
}

impl Columns {
    pub(crate) fn of(names: Vec<String>, before: usize) -> Self {
        let ends = |name: &String, words: &[&str]| {
            let last = name.rsplit(['_', '-', ' ']).next().unwrap_or_default();
            words.iter().any(|word| last.eq_ignore_ascii_case(word))
        };
        let naming = (0..).zip(&names).filter(|(_, name)| ends(name, &NAMING)).map(|(at, _)| at);
        let naming = naming.take(NAMING_MAX).collect();
        let holding = names.iter().map(|name| ends(name, &HOLDING)).collect();
        let secret = names.iter().map(|name| names_a_secret(name)).collect();
        Self { before, names, secret, naming, holding }
    }

    /// The name of a secret under which a cell of a row stands: its column's, or in a row of a name and a value that name.
    pub(crate) fn name_of<'r>(&'r self, row: &'r Row<'_>, index: usize) -> Option<&'r str> {
        if self.secret.get(index).is_some_and(|secret| *secret) {
            return self.names.get(index).map(String::as_str);
        }
        let beside = |naming: &usize| {
            let name = row.get_ref(self.before + naming).ok()?.as_str().ok()?;
            (name.len() <= NAME_BYTES_MAX && names_a_secret(name)).then_some(name)
        };
        self.holding
            .get(index)
            .is_some_and(|holds| *holds)
            .then(|| self.naming.iter().find_map(beside))
            .flatten()
    }
}
