use std::fmt;

use keyroll_secret::SecretBytes;

// The requests about a role, between its engine and its name.
// Source: <https://developer.hashicorp.com/vault/api-docs/secret/databases>.

/// The role as it is.
pub const STATE: &str = "static-roles";
pub(super) const CREDENTIAL: &str = "static-creds";
/// The change of its password.
pub const ROTATE: &str = "rotate-role";

/// The longest name of a role or path of an engine, bytes.
const NAME_BYTES_MAX: usize = 256;

/// A static role of a database engine: the login of which Vault changes the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticRole {
    /// The path of the engine, without slashes around it.
    pub(super) mount: String,
    pub(super) name: String,
}

/// What Vault shows of a static role, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleState {
    /// The login at the database.
    pub username: String,
    /// The name of the connection in Vault.
    pub database: String,
    /// Whether its credential is a password, and not a key or a certificate.
    pub is_password: bool,
    /// When Vault last changed the password, exactly as it shows that.
    pub rotated: String,
    /// When Vault changes it by itself.
    pub turns: Turns,
}

/// When Vault changes a password by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turns {
    /// So many seconds after the last change.
    Period {
        /// Seconds.
        s: u64,
    },
    /// At the times of this line, in the form of cron.
    Schedule(String),
}

/// The password of a static role.
pub struct RoleCredential {
    /// The login at the database.
    pub username: String,
    /// Its password.
    pub password: SecretBytes,
    /// When Vault last changed it, exactly as it shows that.
    pub rotated: String,
    /// Seconds until Vault changes it by itself.
    pub ttl_s: Option<u64>,
}

impl StaticRole {
    /// Reads `database/orders-a`. The last part is the name of the role, what is before it the path of the engine. `None`
    /// also for a path of the API: `database/static-roles/orders-a`.
    pub fn parse(text: &str) -> Option<Self> {
        let (mount, name) = text.rsplit_once('/')?;
        let (mount, name) = (mount.to_owned(), name.to_owned());
        (is_mount(&mount) && is_name(&name)).then_some(Self { mount, name })
    }

    /// The path of its engine, without slashes around it.
    pub fn mount(&self) -> &str {
        &self.mount
    }

    /// Below `/v1/`, also for a policy and for the command line.
    pub fn path(&self, request: &str) -> String {
        format!("{}/{request}/{}", self.mount, self.name)
    }
}

impl fmt::Display for StaticRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.name)
    }
}

/// Vault refuses parts that lead elsewhere. A path stands in policies and in commands that are shown: nothing that either
/// reads as more than a name is in it.
/// Source: <https://developer.hashicorp.com/vault/api-docs#parameter-restrictions>.
fn is_mount(mount: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@:=,".contains(&byte);
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain);
    let is_of_the_api =
        mount.rsplit('/').next().is_some_and(|last| [STATE, CREDENTIAL, ROTATE].contains(&last));
    mount.len() <= NAME_BYTES_MAX && mount.split('/').all(is_part) && !is_of_the_api
}

/// Source: <https://github.com/hashicorp/vault/blob/main/sdk/framework/path.go>, `GenericNameRegex`.
fn is_name(name: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = name.as_bytes();
    name.len() <= NAME_BYTES_MAX
        && bytes.first().is_some_and(is_word)
        && bytes.last().is_some_and(is_word)
        && bytes.iter().all(|byte| is_word(byte) || b"-.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_an_engine_and_a_name() {
        for good in ["database/orders-a", "team/db/orders_b", "db-1/a", "db/a.b"] {
            assert_eq!(StaticRole::parse(good).map(|role| role.to_string()).as_deref(), Some(good));
        }
        let role = StaticRole::parse("team/db/orders-a").unwrap();
        assert_eq!(role.path(ROTATE), "team/db/rotate-role/orders-a");
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in [
            "",
            "orders-a",
            "/orders-a",
            "database/",
            "database//a",
            "/database/a",
            "../a",
            "a/./b",
            "database/a b",
            "database/a*",
            "database/-a",
            "database/a.",
            "database/é",
            "data\"base/a",
            "data base/a",
            "+/a",
            "database/static-roles/a",
            "database/static-creds/a",
            "database/rotate-role/a",
            &format!("database/{long}"),
            &format!("{long}/a"),
        ] {
            assert_eq!(StaticRole::parse(bad), None, "{bad}");
        }
    }
}
