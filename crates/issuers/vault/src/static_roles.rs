mod answers;
mod role;

use keyroll_http::Method;
use keyroll_port::{Class, Failure};
use zeroize::Zeroizing;

use self::role::CREDENTIAL;
use crate::attempt::{Attempt, Codes, Nature};
use crate::client::{Call, Client};
use crate::failure::{Needs, foreign, policy, refused};
use crate::settings::VaultSettings;

pub use self::answers::is_later;
pub use self::role::{ROTATE, RoleCredential, RoleState, STATE, StaticRole, Turns};

/// Capabilities, as a policy lists them. Source: <https://developer.hashicorp.com/vault/docs/concepts/policies>.
const READ: &str = "\"read\"";
const UPDATE: &str = "\"update\"";

/// The static roles of a server of Vault or OpenBao.
pub struct Roles {
    client: Client,
}

impl Roles {
    /// Opens a server. A token is read now, the secret id of AppRole at each login; no request is sent yet. The reference
    /// names for people what it is opened for: `the static roles of orders`.
    ///
    /// # Errors
    /// No address or no login is configured, the address is not encrypted and not of this machine, or the login's file is
    /// missing, or open to other users.
    pub fn open(reference: &str, settings: &VaultSettings) -> Result<Self, Failure> {
        Client::open(reference, settings, &Codes::ISSUER).map(|client| Self { client })
    }

    /// The server, for people: `https://vault.example:8200, namespace team-a`.
    pub fn place(&self) -> &str {
        self.client.shown()
    }

    /// Reads a role, without its password.
    ///
    /// # Errors
    /// Vault does not answer, denies it, does not know the role, or has not changed its password yet.
    pub async fn state(&self, role: &StaticRole) -> Result<RoleState, Failure> {
        let place = self.place_of(role);
        let attempt = self.client.attempt_on(&place, "read the static role", Nature::Read);
        let path = role.path(STATE);
        let needs = Needs::new(&path, READ);
        let call = Call { attempt, method: Method::GET, path: &path, body: Zeroizing::default(), needs };
        answers::state(&attempt, role, &self.client.call(call).await?)
    }

    /// Reads the password of a role.
    ///
    /// # Errors
    /// Vault does not answer, denies it, does not know the role, or has no password of it.
    pub async fn credential(&self, role: &StaticRole) -> Result<RoleCredential, Failure> {
        let place = self.place_of(role);
        let attempt = self.client.attempt_on(&place, "read the password of the static role", Nature::Read);
        let path = role.path(CREDENTIAL);
        let needs = Needs::new(&path, READ);
        let call = Call { attempt, method: Method::GET, path: &path, body: Zeroizing::default(), needs };
        answers::credential(&attempt, role, &self.client.call(call).await?)
    }

    /// Lets Vault change the password of a role, once. Nothing of the new one is in the answer.
    ///
    /// # Errors
    /// Vault denies it or does not know the role. [`Class::Unknown`] where no clear answer came, and where the database did
    /// not take the new password: Vault then tries again by itself, with the same one at first.
    pub async fn rotate(&self, role: &StaticRole) -> Result<(), Failure> {
        let place = self.place_of(role);
        let attempt =
            self.client.attempt_on(&place, "change the password of the static role", Nature::Change);
        let path = role.path(ROTATE);
        let needs = Needs::new(&path, UPDATE);
        let body = Zeroizing::new(b"{}".to_vec());
        let call = Call { attempt, method: Method::POST, path: &path, body, needs };
        answers::rotated(&attempt, role, &self.client.call(call).await?)
    }

    /// Asks for the rights of the token: to read each role and its password, and to have the password changed. One that may
    /// not even ask is refused.
    ///
    /// # Errors
    /// Vault does not answer, or a right is missing: all that are missing are in the help, as lines of a policy.
    pub async fn check_rights(&self, roles: &[&StaticRole]) -> Result<(), Failure> {
        let attempt = self.client.attempt("look for the rights on", Nature::Read);
        let wanted: Vec<(String, &'static str)> = roles.iter().flat_map(|role| rights(role)).collect();
        let paths: Vec<&str> = wanted.iter().map(|(path, _)| path.as_str()).collect();
        let asked = "sys/capabilities-self";
        let body = Zeroizing::new(serde_json::json!({ "paths": paths }).to_string().into_bytes());
        let needs = Needs::new(asked, UPDATE);
        let call = Call { attempt, method: Method::POST, path: asked, body, needs };
        let answer = self.client.call(call).await?;
        if answer.status != 200 {
            return Err(refused(&attempt, &answer));
        }
        let Some(missing) = answers::missing(&answer, &wanted) else {
            return Err(foreign(&attempt, &answer));
        };
        if missing.is_empty() { Ok(()) } else { Err(lacking(&attempt, &missing)) }
    }

    /// `database/orders-a (https://vault.example:8200)`.
    fn place_of(&self, role: &StaticRole) -> String {
        format!("{role} ({})", self.place())
    }
}

/// The paths that keyroll asks for, each with the capability that it needs there.
fn rights(role: &StaticRole) -> [(String, &'static str); 3] {
    [(role.path(STATE), READ), (role.path(CREDENTIAL), READ), (role.path(ROTATE), UPDATE)]
}

fn lacking(attempt: &Attempt<'_>, missing: &[(&str, &str)]) -> Failure {
    let right = |(path, capability): &(&str, &str)| format!("{} {path}", capability.trim_matches('"'));
    let all: Vec<String> = missing.iter().map(right).collect();
    let why = format!("keyroll's token may not {}", all.join(", "));
    attempt.fail(Class::Permanent, attempt.codes.access).because(why).help(policy(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_right_is_a_line_of_a_policy() {
        let place = "the static roles of orders (https://vault.example:8200)";
        let (what, codes) = ("look for the rights on", &Codes::ISSUER);
        let attempt = Attempt { what, place, nature: Nature::Read, codes };
        let failure = lacking(&attempt, &[("db/static-creds/a", READ), ("db/rotate-role/a", UPDATE)]);
        assert_eq!(failure.class, Class::Permanent);
        assert_eq!(failure.code, codes.access);
        let why = failure.source.map(|why| why.to_string());
        let both = "keyroll's token may not read db/static-creds/a, update db/rotate-role/a";
        assert_eq!(why.as_deref(), Some(both));
        let help = failure.help.unwrap();
        assert!(help.contains("path \"db/static-creds/a\" { capabilities = [\"read\"] }"), "{help}");
        assert!(help.contains("path \"db/rotate-role/a\" { capabilities = [\"update\"] }"), "{help}");
    }
}
