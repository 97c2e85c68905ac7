use crate::postgres::link::{Link, PostgresError};
use crate::postgres::quote::{identifier, literal};

/// Settings that PostgreSQL keeps as a list of quoted names (`GUC_LIST_QUOTE`): each name must be quoted on its
/// own, or `"$user", public` would become one name. The same list as in `variable_is_guc_list_quote` of pg_dump.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// One setting of a role, for all databases or for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    database: Option<String>,
    name: String,
    value: String,
}

const SETTINGS: &str = "
    SELECT d.datname::text, entry
      FROM pg_db_role_setting s
      JOIN pg_roles r ON r.oid = s.setrole
      LEFT JOIN pg_database d ON d.oid = s.setdatabase
     CROSS JOIN unnest(s.setconfig) entry
     WHERE r.rolname::text = $1 AND (s.setdatabase = 0 OR d.oid IS NOT NULL)
     ORDER BY 1 NULLS FIRST, 2";

/// The settings of a role, except `role` itself, which keyroll sets.
pub(crate) async fn read(link: &Link, role: &str) -> Result<Vec<Setting>, PostgresError> {
    let rows = link.rows(SETTINGS, &[&role]).await?;
    let settings = rows.iter().filter_map(|row| {
        let entry: String = row.get(1);
        let (name, value) = entry.split_once('=')?;
        Some(Setting { database: row.get(0), name: name.to_owned(), value: value.to_owned() })
    });
    Ok(settings.filter(|setting| setting.name != "role").collect())
}

/// The statements that give `role` exactly these settings. Empty if it already has them.
pub(crate) fn statements(role: &str, present: &[Setting], wanted: &[Setting]) -> Vec<String> {
    let gone = present.iter().filter(|setting| {
        !wanted.iter().any(|want| want.name == setting.name && want.database == setting.database)
    });
    let gone = gone.map(|setting| format!("{} RESET {}", alter(role, setting), identifier(&setting.name)));
    let new = wanted.iter().filter(|setting| !present.contains(setting));
    let new = new.map(|setting| {
        format!("{} SET {} TO {}", alter(role, setting), identifier(&setting.name), value(setting))
    });
    gone.chain(new).collect()
}

impl Setting {
    /// The setting's name with its database, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.database {
            Some(database) => format!("{} in database {database:?}", self.name),
            None => self.name.clone(),
        }
    }
}

fn alter(role: &str, setting: &Setting) -> String {
    match &setting.database {
        Some(database) => format!("ALTER ROLE {} IN DATABASE {}", identifier(role), identifier(database)),
        None => format!("ALTER ROLE {}", identifier(role)),
    }
}

fn value(setting: &Setting) -> String {
    if !LISTS.contains(&setting.name.to_ascii_lowercase().as_str()) {
        return literal(&setting.value);
    }
    let names: Vec<String> = names(&setting.value).iter().map(|name| literal(name)).collect();
    if names.is_empty() { literal("") } else { names.join(", ") }
}

/// The names of a list as PostgreSQL keeps it: separated by commas, in double quotes where they need them, a quote
/// inside doubled.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut name, mut quoted, mut any) = (String::new(), false, false);
    let mut letters = list.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                name.push('"');
            }
            '"' => {
                quoted = !quoted;
                any = true;
            }
            ',' if !quoted => {
                names.push(std::mem::take(&mut name));
                any = false;
            }
            ' ' | '\t' | '\n' if !quoted => {}
            other => {
                name.push(other);
                any = true;
            }
        }
    }
    if any || !names.is_empty() {
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { database: None, name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_list_keeps_its_names_apart() {
        assert_eq!(names("\"$user\", public"), ["$user", "public"]);
        assert_eq!(names("\"a\"\"b\", \"c, d\""), ["a\"b", "c, d"]);
        assert_eq!(names("\"\""), [""]);
        assert_eq!(names(""), Vec::<String>::new());
        assert_eq!(value(&setting("search_path", "\"$user\", public")), "'$user', 'public'");
        assert_eq!(value(&setting("search_path", "")), "''");
    }

    #[test]
    fn a_plain_value_is_one_string() {
        assert_eq!(value(&setting("app.motto", "it's, so")), "'it''s, so'");
    }

    #[test]
    fn only_what_differs_is_changed() {
        let present = [setting("work_mem", "1MB"), setting("jit", "off")];
        let wanted = [setting("work_mem", "2MB"), setting("timezone", "UTC")];
        assert!(statements("r", &present, &present).is_empty());
        assert_eq!(
            statements("r", &present, &wanted),
            [
                "ALTER ROLE \"r\" RESET \"jit\"",
                "ALTER ROLE \"r\" SET \"work_mem\" TO '2MB'",
                "ALTER ROLE \"r\" SET \"timezone\" TO 'UTC'"
            ]
        );
    }
}
