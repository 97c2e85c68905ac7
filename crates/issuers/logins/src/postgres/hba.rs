use tokio_postgres::Row;

use crate::postgres::link::{Link, PostgresError};

/// One line of pg_hba.conf, as `pg_hba_file_rules` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) line: i32,
    kind: String,
    databases: Vec<String>,
    users: Vec<String>,
    pub(crate) method: String,
    pub(crate) broken: bool,
}

/// A login role with every role that it is a member of, itself included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
}

/// The lines, in order; `None` where the admin may not read them (by default only a superuser may).
pub(crate) async fn read(link: &Link) -> Result<Option<Vec<Rule>>, PostgresError> {
    let may = "SELECT has_function_privilege('pg_hba_file_rules()', 'EXECUTE') \
                  AND has_table_privilege('pg_hba_file_rules', 'SELECT')";
    if !link.rows(may, &[]).await?.first().is_some_and(|row| row.get(0)) {
        return Ok(None);
    }
    let rules = "SELECT line_number, coalesce(type, ''), coalesce(database, '{}'), coalesce(user_name, '{}'), \
                        coalesce(auth_method, ''), error IS NOT NULL \
                   FROM pg_hba_file_rules ORDER BY line_number";
    Ok(Some(link.rows(rules, &[]).await?.iter().map(rule).collect()))
}

/// All roles that a role is a member of, however indirectly, and itself.
pub(crate) async fn member(link: &Link, name: &str) -> Result<Member, PostgresError> {
    let up = "WITH RECURSIVE up (oid) AS (
                  SELECT oid FROM pg_roles WHERE rolname::text = $1
                   UNION SELECT m.roleid FROM pg_auth_members m JOIN up ON m.member = up.oid)
              SELECT rolname::text FROM pg_roles WHERE oid IN (SELECT oid FROM up)";
    let rows = link.rows(up, &[&name]).await?;
    Ok(Member { name: name.to_owned(), roles: rows.iter().map(|row| row.get(0)).collect() })
}

fn rule(row: &Row) -> Rule {
    Rule {
        line: row.get(0),
        kind: row.get(1),
        databases: row.get(2),
        users: row.get(3),
        method: row.get(4),
        broken: row.get(5),
    }
}

impl Rule {
    /// Whether this line applies to that role on that database, at whatever address. `None` if only PostgreSQL itself
    /// can tell (a regular expression, a file of names).
    pub(crate) fn speaks_of(&self, member: &Member, dbname: &str) -> Option<bool> {
        let user = any(self.users.iter().map(|user| match user.as_str() {
            "all" => Some(true),
            pattern if pattern.starts_with(['/', '@']) => None,
            group => match group.strip_prefix('+') {
                Some(group) => Some(member.roles.iter().any(|role| role == group)),
                None => Some(group == member.name),
            },
        }))?;
        let database = any(self.databases.iter().map(|database| match database.as_str() {
            "all" => Some(true),
            "sameuser" => Some(dbname == member.name),
            "samerole" | "samegroup" => Some(member.roles.iter().any(|role| role == dbname)),
            "replication" => Some(false),
            pattern if pattern.starts_with(['/', '@']) => None,
            name => Some(name == dbname),
        }))?;
        Some(user && database)
    }

    /// Whether a login by this line needs the role's stored password, or is refused in any case (`reject`).
    pub(crate) fn asks_for_password(&self) -> bool {
        matches!(self.method.as_str(), "scram-sha-256" | "md5" | "password" | "reject")
    }

    /// Whether the line is about TCP connections.
    pub(crate) fn is_tcp(&self) -> bool {
        self.kind.starts_with("host")
    }
}

/// True if one is true; unknown if one is unknown and none is true.
fn any(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let parts: Vec<_> = parts.collect();
    if parts.contains(&Some(true)) {
        Some(true)
    } else if parts.contains(&None) {
        None
    } else {
        Some(false)
    }
}

/// The first line that treats the two roles differently, or of which that cannot be ruled out.
pub(crate) fn differs<'a>(rules: &'a [Rule], one: &Member, two: &Member, dbname: &str) -> Option<&'a Rule> {
    rules.iter().filter(|rule| !rule.broken).find(|rule| {
        let (one, two) = (rule.speaks_of(one, dbname), rule.speaks_of(two, dbname));
        one.is_none() || two.is_none() || one != two
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(databases: &[&str], users: &[&str]) -> Rule {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Rule {
            line: 1,
            kind: "host".to_owned(),
            databases: owned(databases),
            users: owned(users),
            method: "scram-sha-256".to_owned(),
            broken: false,
        }
    }

    fn member(name: &str, roles: &[&str]) -> Member {
        Member { name: name.to_owned(), roles: roles.iter().map(|role| (*role).to_owned()).collect() }
    }

    #[test]
    fn lines_that_name_one_of_the_two_roles_differ() {
        let old = member("orders", &["orders"]);
        let new = member("orders_a", &["orders_a", "orders"]);
        let differ = |databases: &[&str], users: &[&str]| {
            differs(&[rule(databases, users)], &old, &new, "orders").is_some()
        };
        assert!(differ(&["all"], &["orders"]));
        assert!(differ(&["all"], &["orders_a"]));
        assert!(differ(&["sameuser"], &["all"]));
        assert!(differ(&["all"], &["/^ord"]));
        assert!(!differ(&["all"], &["all"]));
        assert!(!differ(&["all"], &["+orders"]));
        assert!(!differ(&["samerole"], &["all"]));
        assert!(!differ(&["all"], &["billing"]));
        assert!(!differ(&["billing"], &["orders"]));
        assert!(!differ(&["all"], &["orders", "orders_a"]));
        assert!(!differ(&["all"], &["/^x", "all"]));
    }
}
