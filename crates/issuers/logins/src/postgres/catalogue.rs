use tokio_postgres::Row;

use crate::id::Mark;

use crate::postgres::link::{Link, PostgresError};
use crate::postgres::options::Options;

/// One role as the catalogue shows it.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) can_login: bool,
    pub(crate) superuser: bool,
    pub(crate) replication: bool,
    pub(crate) connection_limit: i32,
    /// As PostgreSQL prints it; `None` without an end.
    pub(crate) valid_until: Option<String>,
    pub(crate) comment: Mark,
    /// The `role` that its sessions take on at login.
    pub(crate) default_role: Option<String>,
    /// A direct member of the owner role.
    pub(crate) member: bool,
    /// Whether it has a password; `None` if the admin may not see that.
    pub(crate) has_password: Option<bool>,
    /// Live sessions that logged in as this role.
    pub(crate) sessions: i64,
}

impl Role {
    /// Whether nobody can log in as this role by password.
    pub(crate) fn is_off(&self) -> bool {
        !self.can_login || self.has_password == Some(false)
    }
}

/// The roles that matter to one secret, as of one moment.
pub(crate) struct Catalogue {
    roles: Vec<Role>,
}

const ROLES: &str = "
    SELECT r.rolname::text, r.rolcanlogin, r.rolsuper, r.rolreplication, r.rolconnlimit, r.rolvaliduntil::text,
           shobj_description(r.oid, 'pg_authid'),
           (SELECT substr(entry, 6) FROM pg_db_role_setting s, unnest(s.setconfig) entry
             WHERE s.setrole = r.oid AND s.setdatabase = 0 AND entry LIKE 'role=%' LIMIT 1),
           EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.roleid
                    WHERE m.member = r.oid AND o.rolname::text = $1),
           (SELECT count(*) FROM pg_stat_get_activity(NULL) a WHERE a.usesysid = r.oid)
      FROM pg_roles r
     WHERE r.rolname::text = ANY ($2::text[])
        OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.roleid
                    WHERE m.member = r.oid AND o.rolname::text = $1)
     ORDER BY 1";

const PASSWORDS: &str = "
    SELECT rolname::text FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname::text = ANY ($1::text[])";

/// Reads the owner, the slots, the owner's members, and `current`.
pub(crate) async fn read(link: &Link, options: &Options, current: &str) -> Result<Catalogue, PostgresError> {
    let [one, two] = &options.slots;
    let names = [options.owner_role.as_str(), one, two, current];
    let rows = link.rows(ROLES, &[&options.owner_role, &names.as_slice()]).await?;
    let mut roles: Vec<Role> = rows.iter().map(role).collect();
    if sees_passwords(link).await? {
        let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        let rows = link.rows(PASSWORDS, &[&names]).await?;
        let with: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        for role in &mut roles {
            role.has_password = Some(with.contains(&role.name));
        }
    }
    Ok(Catalogue { roles })
}

/// Whether the admin may read `pg_authid`: only a superuser may, unless it was granted.
pub(crate) async fn sees_passwords(link: &Link) -> Result<bool, PostgresError> {
    let rows = link.rows("SELECT has_table_privilege('pg_authid', 'SELECT')", &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

fn role(row: &Row) -> Role {
    let comment: Option<String> = row.get(6);
    Role {
        name: row.get(0),
        can_login: row.get(1),
        superuser: row.get(2),
        replication: row.get(3),
        connection_limit: row.get(4),
        valid_until: row.get::<_, Option<String>>(5).filter(|until| until != "infinity"),
        comment: Mark::read(comment.as_deref()),
        default_role: row.get(7),
        member: row.get(8),
        has_password: None,
        sessions: row.get(9),
    }
}

impl Catalogue {
    /// A role by its name.
    pub(crate) fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The roles that are credentials of this secret: the owner, the slots, and every member whose sessions become the
    /// owner at login. A member whose sessions keep its own name is another principal, with its own secret.
    pub(crate) fn credentials<'a>(&'a self, options: &'a Options) -> impl Iterator<Item = &'a Role> {
        self.roles.iter().filter(|role| {
            let becomes_owner = role.member && role.default_role.as_ref() == Some(&options.owner_role);
            role.name == options.owner_role || options.is_slot(&role.name) || becomes_owner
        })
    }

    /// Members of the owner that log in under their own name.
    pub(crate) fn other_members<'a>(&'a self, options: &'a Options) -> impl Iterator<Item = &'a Role> {
        self.roles.iter().filter(|role| {
            let becomes_owner = role.default_role.as_ref() == Some(&options.owner_role);
            let ours = options.is_slot(&role.name) || role.name == options.admin.user;
            role.member && role.can_login && !ours && !becomes_owner
        })
    }
}
