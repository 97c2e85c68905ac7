use crate::id::Mark;

use super::link::{Link, MariaDbError};
use crate::directory::Login;

/// MariaDB's entry in place of a hash, for an account that no password opens.
pub(super) const NO_PASSWORD: &str = "invalid";

/// One account: a user name, and where it may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) locked: bool,
    /// Its hash, if a password is its only way to log in.
    pub(super) hash: Option<String>,
    /// How many ways to log in it has.
    pub(super) ways: usize,
    /// It asks for no password.
    pub(super) empty: bool,
    pub(super) mark: Mark,
}

/// `plugin` is missing for an account that was made without a password; `auth_or` lists further ways.
const ACCOUNTS: &str = "
    SELECT User, Host, JSON_VALUE(Priv, '$.account_locked') IN ('1', 'true'),
           COALESCE(JSON_VALUE(Priv, '$.authentication_string'), ''), COALESCE(JSON_VALUE(Priv, '$.plugin'), ''),
           COALESCE(JSON_LENGTH(Priv, '$.auth_or'), 0)
      FROM mysql.global_priv WHERE JSON_VALUE(Priv, '$.is_role') IS NULL";

/// A mark is a role without any rights: an account can carry no other text of ours.
const MARKS: &str = "SELECT User, Host, Role FROM mysql.roles_mapping WHERE Role LIKE '%keyroll/%'";

type Row = (String, String, Option<bool>, String, String, usize);

/// All accounts but roles.
pub(super) async fn read(link: &mut Link) -> Result<Vec<Account>, MariaDbError> {
    let rows: Vec<Row> = link.rows(ACCOUNTS).await?;
    let roles: Vec<(String, String, String)> = link.rows(MARKS).await?;
    let account = |(user, host, locked, secret, plugin, others): Row| {
        let carried = roles.iter().filter(|(of, from, _)| *of == user && *from == host);
        let mark = Mark::among(carried.map(|(_, _, role)| role.as_str()));
        let native = plugin.is_empty() || plugin == "mysql_native_password";
        let by_password = native && others == 0;
        let hash = (by_password && secret.starts_with('*')).then_some(secret.clone());
        let empty = by_password && secret.is_empty();
        // `others` counts all ways to log in, the first one included.
        let ways = if by_password && hash.is_none() { 0 } else { others.max(1) };
        Account { user, host, locked: locked == Some(true), hash, ways, empty, mark }
    };
    Ok(rows.into_iter().map(account).collect())
}

/// The accounts as logins, by name. A name that several accounts share has the passwords of all of them.
pub(super) fn logins(accounts: &[Account]) -> Vec<Login> {
    let mut logins: Vec<Login> = Vec::new();
    for account in accounts {
        match logins.iter_mut().find(|login| login.name == account.user) {
            Some(login) => {
                login.on |= !account.locked;
                login.passwords += account.ways.max(1);
                login.open |= account.empty;
            }
            None => logins.push(Login {
                name: account.user.clone(),
                on: !account.locked,
                passwords: account.ways,
                open: account.empty,
                mark: account.mark.clone(),
            }),
        }
    }
    logins
}
