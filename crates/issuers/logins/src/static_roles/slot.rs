use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::CredentialId;
use keyroll_vault::{ROTATE, STATE, StaticRole};

/// Between the login and the time of its last rotation in an id. No such time has it.
const SEPARATOR: char = '@';

/// Whether a text names a static role: `database/orders-a`.
pub fn is_static_role(text: &str) -> bool {
    StaticRole::parse(text).is_some()
}

/// The static roles with these names.
///
/// # Errors
/// K0140: one is no name of a static role.
pub(crate) fn parse([one, two]: &[String; 2]) -> Result<[StaticRole; 2], Failure> {
    let parse = |text: &str| {
        StaticRole::parse(text).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, "read `vault_roles`")
                .because(format!("{text:?} is not of the form MOUNT/NAME"))
                .help("name the mount of the database engine and the static role: database/orders-a")
        })
    };
    Ok([parse(one)?, parse(two)?])
}

/// One of the two logins, with the static role that changes its password.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    /// The login at the server.
    pub(crate) login: &'a str,
    /// Its static role.
    pub(crate) role: &'a StaticRole,
}

impl Slot<'_> {
    /// The command that shows the role, without its password.
    pub(crate) fn show(&self) -> String {
        format!("vault read {}", word(&self.role.path(STATE)))
    }

    /// The command that gives the login a new password.
    pub(crate) fn rotate(&self) -> String {
        format!("vault write -f {}", word(&self.role.path(ROTATE)))
    }

    /// The command that changes a setting of the role. Vault refuses it without the login; what it does not name stays.
    /// Source: <https://github.com/hashicorp/vault/blob/main/builtin/logical/database/path_roles.go>,
    /// `pathStaticRoleCreateUpdate`.
    pub(crate) fn set(&self, setting: &str) -> String {
        format!("vault write {} username={} {setting}", word(&self.role.path(STATE)), word(self.login))
    }
}

/// The id of the password that a login has since this rotation; `None` if Vault never changed it.
///
/// A login is used again and again; with the time in the id, a late `revoke` of an earlier password cannot end the present
/// one.
pub(crate) fn id(login: &str, rotated: &str) -> Option<CredentialId> {
    (!rotated.is_empty()).then(|| CredentialId::new(format!("{login}{SEPARATOR}{rotated}")))
}

/// The login and the time of an id that [`id`] made.
pub(crate) fn split(id: &CredentialId) -> Option<(&str, &str)> {
    let parts = id.as_str().rsplit_once(SEPARATOR);
    parts.filter(|(login, rotated)| !login.is_empty() && !rotated.is_empty())
}

/// A text as one word of a shell.
pub(crate) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@+".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATED: &str = "2026-11-28T06:11:22.123456789Z";

    fn role(text: &str) -> StaticRole {
        StaticRole::parse(text).unwrap()
    }

    #[test]
    fn an_id_of_a_static_role_is_the_login_with_the_time_of_its_rotation() {
        let of = |login: &str| id(login, ROTATED).unwrap();
        assert_eq!(of("orders_b").as_str(), "orders_b@2026-11-28T06:11:22.123456789Z");
        assert_eq!(split(&of("orders_b")), Some(("orders_b", ROTATED)));
        assert_eq!(split(&of("ada@example")), Some(("ada@example", ROTATED)));
        assert_eq!(id("orders_b", ""), None);
        for other in ["orders_b", "orders_b#keyroll/0192/3", "@x", "orders_b@"] {
            assert_eq!(split(&CredentialId::new(other)), None, "{other}");
        }
    }

    #[test]
    fn commands_name_the_role_below_its_mount() {
        let database = role("team/database/orders-a");
        let slot = Slot { login: "orders_a", role: &database };
        assert_eq!(slot.show(), "vault read team/database/static-roles/orders-a");
        assert_eq!(slot.rotate(), "vault write -f team/database/rotate-role/orders-a");
        assert_eq!(
            slot.set("rotation_period=8760h"),
            "vault write team/database/static-roles/orders-a username=orders_a rotation_period=8760h"
        );
    }

    #[test]
    fn a_name_is_one_word_of_a_shell() {
        assert_eq!(word("orders_a"), "orders_a");
        assert_eq!(word("orders; rm"), "'orders; rm'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
