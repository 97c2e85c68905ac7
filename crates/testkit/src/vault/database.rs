use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::FakeVault;
use super::key_value::joined;
use super::reply::Reply;
use super::request::Request;
use super::state::{DENIED, EVERY, State};
use super::storage::{VaultUser, masked};
use crate::chance::vault_password;

/// Where the engine is mounted.
pub(super) const MOUNT: &str = "database/";

/// The name of the connection to the database.
const CONNECTION: &str = "orders-server";

/// Changes the password of a login: login, new password; whether it could.
pub(super) type Change = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// What happens right after a rotation, before the client looks at the role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterRotation {
    /// The role is shown as it is.
    #[default]
    Shown,
    /// A node that lags answers: it shows the role of before.
    /// Source: <https://developer.hashicorp.com/vault/docs/enterprise/consistency>.
    Late,
    /// It is sealed.
    Sealed,
}

/// A static role, as it is stored.
#[derive(Clone)]
pub(super) struct StaticRole {
    login: String,
    /// Masked: a search of the test's own process finds no value here.
    password: Vec<u8>,
    /// The password of a rotation that failed, masked: the next one sets the same.
    failed: Option<Vec<u8>>,
    rotated: Timestamp,
    /// The password, masked, and the time before the last rotation.
    before: Option<(Vec<u8>, Timestamp)>,
    next: Timestamp,
    period: SignedDuration,
    /// What is shown instead of the period.
    schedule: Option<String>,
    is_key_pair: bool,
}

impl StaticRole {
    /// What is shown of it, and of its credential.
    fn shown(&self) -> serde_json::Map<String, Value> {
        let mut data = serde_json::Map::new();
        data.insert("username".to_owned(), json!(self.login));
        data.insert("last_vault_rotation".to_owned(), json!(self.rotated.to_string()));
        match &self.schedule {
            Some(schedule) => data.insert("rotation_schedule".to_owned(), json!(schedule)),
            None => data.insert("rotation_period".to_owned(), json!(self.period.as_secs())),
        };
        data
    }

    /// Whole seconds to the next automatic rotation, or none where it is late.
    fn ttl_s(&self) -> i64 {
        let left = self.next.duration_since(Timestamp::now()) + SignedDuration::from_millis(500);
        left.as_secs().max(0)
    }

    fn password(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(masked(&self.password))
    }
}

/// The database engine, as <https://developer.hashicorp.com/vault/api-docs/secret/databases> and Vault 1.21.4's
/// <https://github.com/hashicorp/vault/tree/v1.21.4/builtin/logical/database> have it.
impl FakeVault {
    /// Mounts the database engine at `database`. `change(login, password)` sets the password of a login at the real server,
    /// and says whether it could; it may not call this Vault.
    pub fn database(&self, change: impl Fn(&str, &str) -> bool + Send + Sync + 'static) {
        self.state().database = Some(Arc::new(change));
    }

    /// Makes a static role, which rotates at once.
    ///
    /// # Panics
    /// If the engine is not mounted, or the login's password could not be changed.
    pub fn static_role(&self, name: &str, login: &str, period_s: u64) {
        let now = Timestamp::now();
        let role = StaticRole {
            login: login.to_owned(),
            password: Vec::new(),
            failed: None,
            rotated: now,
            before: None,
            next: now,
            period: SignedDuration::from_secs(i64::try_from(period_s).unwrap_or(i64::MAX)),
            schedule: None,
            is_key_pair: false,
        };
        let mut state = self.state();
        state.storage.static_roles.insert(name.to_owned(), role);
        assert!(state.turn(name), "the password of {login} was not changed");
    }

    /// The automatic rotation of a role.
    ///
    /// # Panics
    /// If there is no such role, or the login's password could not be changed.
    pub fn rotate_by_itself(&self, name: &str) {
        assert!(self.state().turn(name), "{name} was not rotated");
    }

    /// Repeats a rotation that failed, as Vault does 10 s later; whether it has changed the password.
    /// Source: `rotateCredential` in `rotation.go`, and `pathRotateRoleCredentialsUpdate`.
    ///
    /// # Panics
    /// If no rotation of this role failed.
    pub fn retry(&self, name: &str) -> bool {
        self.role(name, |role| assert!(role.failed.is_some(), "no rotation of {name} failed"));
        self.state().turn(name)
    }

    /// How often Vault changed the password of a role, also when the role was made.
    pub fn rotations(&self, name: &str) -> usize {
        self.state().rotations.get(name).copied().unwrap_or_default()
    }

    /// The password that Vault shows.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn static_password(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.role(name, |role| role.password())).into_owned()
    }

    /// The time of the last rotation, as Vault shows it.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn rotated(&self, name: &str) -> String {
        self.role(name, |role| role.rotated.to_string())
    }

    /// The next automatic rotation of a role comes in so many seconds.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn ttl(&self, name: &str, ttl_s: u64) {
        let left = SignedDuration::from_secs(i64::try_from(ttl_s).unwrap_or(i64::MAX));
        self.role(name, |role| role.next = Timestamp::now() + left);
    }

    /// A role rotates by a schedule from now on.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn schedule(&self, name: &str, schedule: &str) {
        self.role(name, |role| role.schedule = Some(schedule.to_owned()));
    }

    /// A role's credential is a key pair.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn key_pair(&self, name: &str) {
        self.role(name, |role| role.is_key_pair = true);
    }

    /// What happens after each rotation from now on.
    pub fn after_rotation(&self, what: AfterRotation) {
        let mut state = self.state();
        state.after_rotation = what;
        for role in state.storage.static_roles.values_mut() {
            role.before = None;
        }
    }

    /// From now on the answers to `rotate-role` are held back after their effect; or all that wait are given.
    pub fn hold(&self, is: bool) {
        let (held, changed) = &*self.held;
        *held.lock().unwrap_or_else(PoisonError::into_inner) = is;
        changed.notify_all();
    }

    pub(super) fn wait_while_held(&self, request: &Request) {
        if request.path.starts_with("database/rotate-role/") {
            let (held, changed) = &*self.held;
            let is_held = held.lock().unwrap_or_else(PoisonError::into_inner);
            drop(changed.wait_while(is_held, |is_held| *is_held));
        }
    }

    #[allow(clippy::panic, reason = "a test that asks for what is not there is broken")]
    fn role<T>(&self, name: &str, of: impl FnOnce(&mut StaticRole) -> T) -> T {
        match self.state().storage.static_roles.get_mut(name) {
            Some(role) => of(role),
            None => panic!("no static role is called {name}"),
        }
    }
}

impl State {
    /// A request to the engine.
    pub(super) fn database(&mut self, request: &Request, user: VaultUser, rest: &str) -> Reply {
        let needed = if request.method == "GET" { "read" } else { "update" };
        if !capabilities(user, rest).contains(&needed) {
            return Reply::error(403, DENIED);
        }
        if self.database.is_none() {
            // Source: `vault/router.go`, and `RespondErrorCommon`.
            let why = format!("no handler for route {:?}. route entry not found.", request.path);
            return Reply::error(404, &why);
        }
        let (what, name) = rest.split_once('/').unwrap_or((rest, ""));
        let role = self.storage.static_roles.get(name).map(|role| match &role.before {
            Some((password, rotated)) if self.after_rotation == AfterRotation::Late => {
                StaticRole { password: password.clone(), rotated: *rotated, ..role.clone() }
            }
            Some(_) | None => role.clone(),
        });
        let role = role.as_ref();
        match (request.method.as_str(), what) {
            ("GET", "static-roles") => role.map_or_else(Reply::nothing, role_shown),
            ("GET", "static-creds") => {
                // Source: `pathStaticCredsRead`.
                role.map_or_else(|| Reply::error(400, &format!("unknown role: {name}")), credential_shown)
            }
            ("POST" | "PUT", "rotate-role") => self.rotate(name),
            _ => Reply::error(405, "unsupported operation"),
        }
    }

    /// Source: `pathRotateRoleCredentialsUpdate`. An error of an engine is one of a list.
    fn rotate(&mut self, name: &str) -> Reply {
        if !self.storage.static_roles.contains_key(name) {
            return Reply::error(400, "no static role found for role name");
        }
        if self.turn(name) {
            return Reply::done();
        }
        let why = "unable to finish rotating credentials; retries will continue in the background but it is also safe \
                   to retry manually: error setting credentials: unable to get connection";
        Reply::error(500, &format!("1 error occurred:\n\t* {why}\n\n"))
    }

    /// Changes the password of a role, and says whether the server has it. One that failed is set once more; where it fails
    /// again, the next has another. Source: `setStaticAccount`.
    fn turn(&mut self, name: &str) -> bool {
        let Some(change) = self.database.clone() else { return false };
        let Some(role) = self.storage.static_roles.get_mut(name) else { return false };
        let kept = role.failed.take();
        let is_first = kept.is_none();
        let password = kept.unwrap_or_else(|| masked(Zeroizing::new(vault_password()).as_bytes()));
        let clear = Zeroizing::new(masked(&password));
        if !std::str::from_utf8(&clear).is_ok_and(|clear| change(&role.login, clear)) {
            role.failed = is_first.then_some(password);
            return false;
        }
        let before = std::mem::replace(&mut role.password, password);
        role.before = Some((before, role.rotated));
        role.rotated = Timestamp::now();
        role.next = role.rotated + role.period;
        *self.rotations.entry(name.to_owned()).or_default() += 1;
        self.sealed |= self.after_rotation == AfterRotation::Sealed;
        true
    }
}

/// Source: `pathStaticRoleRead`.
fn role_shown(role: &StaticRole) -> Reply {
    let mut data = role.shown();
    data.insert("db_name".to_owned(), json!(CONNECTION));
    data.insert("credential_type".to_owned(), json!(kind(role)));
    data.insert("rotation_statements".to_owned(), json!([]));
    data.insert("skip_import_rotation".to_owned(), json!(false));
    Reply::json(200, &json!({ "data": data }))
}

/// Source: `pathStaticCredsRead`.
fn credential_shown(role: &StaticRole) -> Reply {
    let mut data = role.shown();
    data.insert("ttl".to_owned(), json!(role.ttl_s()));
    let shown = Value::Object(data).to_string();
    let password = role.password();
    let field = if role.is_key_pair { kind(role) } else { "password" };
    // A password has no letter that JSON escapes.
    let parts: [&[u8]; 7] = [
        b"{\"data\":",
        shown.trim_end_matches('}').as_bytes(),
        b",\"",
        field.as_bytes(),
        b"\":\"",
        &password,
        b"\"}}",
    ];
    Reply::raw(200, joined(&parts))
}

fn kind(role: &StaticRole) -> &'static str {
    if role.is_key_pair { "rsa_private_key" } else { "password" }
}

/// What the policies of a user allow in the engine, below its mount.
pub(super) fn capabilities(user: VaultUser, rest: &str) -> &'static [&'static str] {
    let (what, name) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() {
        return &[];
    }
    match (user, what) {
        (VaultUser::Writer, _) => EVERY,
        (VaultUser::Keyroll | VaultUser::Reader, "static-roles" | "static-creds") => &["read"],
        (VaultUser::Keyroll, "rotate-role") => &["update"],
        (VaultUser::Keyroll | VaultUser::Reader, _) => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn status(vault: &FakeVault, method: &str, path: &str, user: VaultUser) -> u16 {
        let token = vault.token(user);
        let text = format!("{method} /v1/{path} HTTP/1.1\r\nX-Vault-Token: {token}\r\n\r\n");
        vault.answer(&Request::read(&mut text.as_bytes()).unwrap()).status
    }

    #[test]
    fn a_rotation_that_failed_is_repeated_once_with_the_same_password() {
        let (vault, fails) = (FakeVault::start(), Arc::new(AtomicBool::new(false)));
        let tried = Arc::new(Mutex::new(Vec::new()));
        let (is_failing, seen) = (Arc::clone(&fails), Arc::clone(&tried));
        vault.database(move |login, password| {
            assert_eq!(login, "orders_a");
            seen.lock().unwrap().push(password.to_owned());
            !is_failing.load(Ordering::SeqCst)
        });
        vault.static_role("orders-a", "orders_a", 3600);
        let rotate = || status(&vault, "POST", "database/rotate-role/orders-a", VaultUser::Keyroll);
        let (before, time) = (vault.static_password("orders-a"), vault.rotated("orders-a"));
        fails.store(true, Ordering::SeqCst);
        assert_eq!(rotate(), 500);
        assert!(!vault.retry("orders-a"));
        assert_eq!(rotate(), 500);
        assert_eq!((vault.static_password("orders-a"), vault.rotated("orders-a")), (before, time));
        fails.store(false, Ordering::SeqCst);
        assert_eq!(rotate(), 204);
        let tried = tried.lock().unwrap();
        assert!(tried.len() == 5 && tried[1] == tried[2] && tried[3] == tried[4] && tried[2] != tried[3]);
        assert_eq!((vault.static_password("orders-a"), vault.rotations("orders-a")), (tried[4].clone(), 2));
    }

    #[test]
    fn each_user_has_the_rights_of_its_policy() {
        let vault = FakeVault::start();
        assert_eq!(status(&vault, "GET", "database/static-creds/orders-a", VaultUser::Keyroll), 404);
        vault.database(|_, _| true);
        vault.static_role("orders-a", "orders_a", 3600);
        for (method, path, user, expected) in [
            ("GET", "static-creds/orders-a", VaultUser::Reader, 200),
            ("GET", "static-creds/missing", VaultUser::Reader, 400),
            ("GET", "static-roles/orders-a", VaultUser::Keyroll, 200),
            ("GET", "static-roles/missing", VaultUser::Keyroll, 404),
            ("POST", "rotate-role/orders-a", VaultUser::Reader, 403),
            ("PUT", "rotate-role/orders-a", VaultUser::Keyroll, 204),
            ("POST", "rotate-role/missing", VaultUser::Keyroll, 400),
            ("GET", "config/orders-server", VaultUser::Keyroll, 403),
        ] {
            assert_eq!(
                status(&vault, method, &format!("database/{path}"), user),
                expected,
                "{method} {path}"
            );
        }
    }
}
