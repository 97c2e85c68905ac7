//! Two logins whose passwords Vault or OpenBao changes, by two static roles of its database engine. Vault chooses the
//! passwords; what a login accepts and who uses it is seen at the server.
//!
//! An id is the login with the time at which Vault last changed its password, `orders_b@2026-11-28T06:11:22.123456789Z`, as
//! Vault shows it. An id with an earlier time names a password that is gone. Sources: the folder
//! <https://github.com/hashicorp/vault/tree/main/builtin/logical/database>.

mod check;
mod slot;
mod turns;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_port::{
    Class, Failure, Identity, Issuer, Listed, Listing, Minted, Probe, RefusalLog, RefusedUse, Session,
    ValueFormat,
};
use keyroll_rotation::{Capabilities, MintedBy};
use keyroll_secret::{Credential, CredentialId};
use keyroll_vault::{RoleCredential, RoleState, Roles, StaticRole, VaultSettings, is_later};
use tokio::time::timeout;

use crate::password;
use crate::static_roles::slot::Slot;
use crate::turn::{self, password_of, user_of};
use crate::watched::Watched;

pub use self::slot::is_static_role;
pub(crate) use self::slot::parse;

/// The longest that the requests to Vault of one call may take, milliseconds: a look, a rotation, and a look. A request that
/// was given up may arrive that much later, and so is not repeated before.
const VAULT_MS_MAX: u64 = 30_000;
/// How late a new password may begin to work, milliseconds. Vault repeats a rotation that failed, or whose client went away, 10
/// seconds later by itself; it was seen to end within 15.
/// Source: <https://github.com/hashicorp/vault/blob/main/builtin/logical/database/path_rotate_credentials.go>.
const BIRTH_MS_MAX: u64 = 20_000;
/// The longest password that a policy of Vault can ask for, bytes. Source: `maxPasswordLength` in
/// <https://github.com/hashicorp/vault/blob/main/vault/logical_system.go>.
const PASSWORD_BYTES_MAX: usize = 100;

/// Two logins of a server that take turns, as two static roles of Vault or OpenBao: a rotation makes the idle one's password,
/// and a revocation replaces the old one's by one that nobody is given. keyroll changes nothing at the server.
pub struct StaticRoles {
    watched: Box<dyn Watched>,
    vault: Roles,
    /// In the order of the logins.
    roles: [StaticRole; 2],
    capabilities: Capabilities,
    /// Whether the password in use has a byte that none of Vault's usual passwords has: a policy makes them.
    is_by_policy: AtomicBool,
}

impl StaticRoles {
    /// The logins of a server by their static roles, in the order of its slots. Nothing is sent yet.
    pub(crate) fn new(
        watched: Box<dyn Watched>,
        roles: [StaticRole; 2],
        vault: &VaultSettings,
    ) -> Result<Self, Failure> {
        let [one, two] = &roles;
        let vault = Roles::open(&format!("the static roles {one} and {two}"), vault)?;
        let inner = watched.capabilities().clone();
        let capabilities = Capabilities {
            minted_by: MintedBy::Api,
            disable: false,
            label: false,
            mint_replaces: true,
            birth_ms_max: BIRTH_MS_MAX,
            request_ms_max: inner.request_ms_max.saturating_add(VAULT_MS_MAX),
            ..inner
        };
        Ok(Self { watched, vault, roles, capabilities, is_by_policy: AtomicBool::new(false) })
    }

    /// Ends a call in time. `class` is its outcome then.
    async fn within<T>(
        &self,
        class: Class,
        what: &str,
        call: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let limit_ms = self.capabilities.request_ms_max;
        match timeout(Duration::from_millis(limit_ms), call).await {
            Ok(ended) => ended,
            Err(_) => {
                let attempted = format!("{what} at {}", self.vault.place());
                Err(Failure::new(class, Code::RequestFailed, attempted)
                    .because(format!("no answer within {} s", limit_ms / 1_000)))
            }
        }
    }

    /// Both logins.
    fn both(&self) -> [Slot<'_>; 2] {
        let ([one, two], [first, second]) = (self.watched.slots(), &self.roles);
        [Slot { login: one, role: first }, Slot { login: two, role: second }]
    }

    /// The slot of a login, and the other one; `None` for another login.
    fn turn(&self, login: &str) -> Option<[Slot<'_>; 2]> {
        let [one, two] = self.both();
        if login == one.login { Some([one, two]) } else { (login == two.login).then_some([two, one]) }
    }

    /// The slot of the login in use, and the idle one.
    fn turn_of(&self, current: &Credential) -> Result<[Slot<'_>; 2], Failure> {
        let user = user_of(current)?;
        self.turn(user).ok_or_else(|| check::no_slot(user, self.watched.slots()))
    }

    /// The slot of an id, and the time in it.
    fn named<'a>(&self, what: &str, id: &'a CredentialId) -> Result<(Slot<'_>, &'a str), Failure> {
        let found = slot::split(id).and_then(|(login, rotated)| Some((self.turn(login)?, rotated)));
        let Some(([own, _], rotated)) = found else {
            let [one, two] = self.watched.slots();
            let attempted = format!("{what} {:?}", id.as_str());
            return Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
                .because(format!("it is no id of {one:?} or {two:?} with the time of a rotation by Vault"))
                .help(
                    "an id is LOGIN@TIME, with the time that Vault shows as last_vault_rotation: keyroll secret add NAME \
                     --replace --id ID",
                ));
        };
        Ok((own, rotated))
    }

    /// What Vault shows of a role, without its password.
    async fn state(&self, slot: Slot<'_>) -> Result<RoleState, Failure> {
        let state = self.vault.state(slot.role).await?;
        check::login(slot, &state.username)?;
        Ok(state)
    }

    /// What Vault has as the login's password.
    async fn credential(&self, slot: Slot<'_>) -> Result<RoleCredential, Failure> {
        let credential = self.vault.credential(slot.role).await?;
        check::login(slot, &credential.username)?;
        Ok(credential)
    }

    /// Whoever has a session on the idle login has its password, and would be cut off.
    async fn refuse_used(&self, idle: Slot<'_>) -> Result<(), Failure> {
        let sessions = self.watched.sessions_of(idle.login).await?;
        if sessions.is_empty() { Ok(()) } else { Err(check::used(idle, &sessions)) }
    }

    /// Whether the server lets the credential in.
    async fn is_accepted(&self, own: Slot<'_>, current: &Credential) -> Result<bool, Failure> {
        for endpoint in self.watched.endpoints() {
            match self.watched.probe(&endpoint, current).await {
                Probe::Dead => {}
                Probe::Alive | Probe::Denied => return Ok(true),
                Probe::Unknown(why) => {
                    let attempted = format!("log in as {:?} at {endpoint}", own.login);
                    return Err(Failure::new(Class::Retryable, Code::RequestFailed, attempted).because(why));
                }
            }
        }
        Ok(false)
    }

    /// The password in use is not Vault's. A note if the server refuses it, too: then the programs must be moved.
    async fn differs(
        &self,
        own: Slot<'_>,
        held: &RoleCredential,
        current: &Credential,
    ) -> Result<String, Failure> {
        let time = current.id.as_ref().and_then(slot::split).map(|(_, time)| time);
        match self.is_accepted(own, current).await? {
            true if time.is_some_and(|time| is_later(time, &held.rotated)) => {
                Ok(check::note_of_restored(own, &held.rotated))
            }
            true => Err(check::changed_at_server(own)),
            false => Ok(check::note_of_recovery(own, &held.rotated)),
        }
    }

    async fn look(&self, current: &Credential) -> Result<Vec<String>, Failure> {
        self.remember(current);
        let [own, idle] = self.turn_of(current)?;
        self.vault.check_rights(&[own.role, idle.role]).await?;
        let (own_state, idle_state) = (self.state(own).await?, self.state(idle).await?);
        check::settings(own, &own_state)?;
        check::settings(idle, &idle_state)?;
        check::databases([(own, &own_state), (idle, &idle_state)])?;
        // Also the idle one: it is in use before this rotation ends.
        check::left(idle, self.credential(idle).await?.ttl_s)?;
        let mut notes: Vec<String> = Vec::new();
        let held = self.credential(own).await?;
        if held.password != *password_of(current)? {
            notes.push(self.differs(own, &held, current).await?);
        } else if self.is_accepted(own, current).await? {
            check::left(own, held.ttl_s)?;
            notes.extend(check::note_of_time(own, held.ttl_s, (idle, &idle_state.turns)));
        } else {
            notes.push(check::note_of_refused(own));
        }
        notes.extend(self.watched.watch(own.login, idle.login).await?);
        self.refuse_used(idle).await?;
        Ok(notes)
    }

    async fn owner(&self, credential: &Credential) -> Result<Identity, Failure> {
        let Identity { principal, .. } = self.watched.identify(credential).await?;
        let slot = self.turn(user_of(credential)?).filter(|_| principal.is_some());
        let Some([own, _]) = slot else { return Ok(Identity { id: None, principal }) };
        let held = self.credential(own).await?;
        let is_held = held.password == *password_of(credential)?;
        let id = slot::id(own.login, &held.rotated).filter(|_| is_held);
        Ok(Identity { id, principal })
    }

    async fn listed(&self, current: &Credential) -> Result<Listing, Failure> {
        let own = current.id.as_ref().and_then(slot::split);
        let mut entries = Vec::new();
        for slot in self.both() {
            let mut state = self.state(slot).await?;
            // A Vault that was put back, or a node that lags, does not show that the password in use is gone.
            if let Some((_, time)) = own.filter(|(login, _)| *login == slot.login)
                && is_later(time, &state.rotated)
            {
                state.rotated = time.to_owned();
            }
            // Vault gave nobody a password of a login that it never changed.
            entries.extend(slot::id(slot.login, &state.rotated).map(|id| Listed {
                id,
                label: None,
                disabled: false,
                last_used_unix_ms: None,
                hint: None,
            }));
        }
        Ok(Listing { entries, complete: true, incomplete: None })
    }
}

fn not_offered(what: &str, id: &CredentialId) -> Failure {
    let attempted = format!("{what} {:?}", id.as_str());
    Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
        .because("Vault can only replace the password of a static role")
}

/// Whether Vault's usual passwords have this byte. Source: `DefaultStringGenerator` in
/// <https://github.com/hashicorp/vault/blob/main/helper/random/string_generator.go>.
fn is_usual(byte: u8) -> bool {
    byte == b'-' || password::ALPHABET.contains(&byte)
}

#[async_trait]
impl Issuer for StaticRoles {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn value_format(&self) -> ValueFormat {
        let by_policy = self.is_by_policy.load(Ordering::Relaxed);
        let alphabet = (b'!'..=b'~').filter(|byte| by_policy || is_usual(*byte)).collect();
        ValueFormat { alphabet, length_max: PASSWORD_BYTES_MAX }
    }

    fn remember(&self, current: &Credential) {
        if let Ok(password) = password_of(current) {
            let by_policy = !password.expose().iter().copied().all(is_usual);
            self.is_by_policy.store(by_policy, Ordering::Relaxed);
        }
        self.watched.remember(current);
    }

    fn endpoints(&self) -> Vec<String> {
        self.watched.endpoints()
    }

    fn warnings(&self) -> Vec<String> {
        vec![
            self.watched.turns(),
            "revoking lets Vault replace the password by one that keyroll gives to nobody; the login stays"
                .to_owned(),
            turn::OPEN_SESSIONS.to_owned(),
        ]
    }

    async fn preflight(&self, current: &Credential) -> Result<Vec<String>, Failure> {
        self.within(Class::Retryable, "look at the static roles", self.look(current)).await
    }

    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure> {
        self.within(Class::Retryable, "compare the password", self.owner(credential)).await
    }

    fn propose(&self, _: &Credential) -> Result<Option<Credential>, Failure> {
        Ok(None)
    }

    async fn mint(&self, _: &str, current: &Credential, _: Option<&Credential>) -> Result<Minted, Failure> {
        self.within(Class::Unknown, "change the password of the idle login", self.turn_idle(current)).await
    }

    async fn list(&self, current: &Credential) -> Result<Listing, Failure> {
        self.within(Class::Retryable, "read the static roles", self.listed(current)).await
    }

    async fn probe(&self, endpoint: &str, credential: &Credential) -> Probe {
        self.watched.probe(endpoint, credential).await
    }

    async fn seen_as(&self, endpoint: &str, credential: &Credential) -> Result<Option<SocketAddr>, Failure> {
        self.watched.seen_as(endpoint, credential).await
    }

    fn decoy(&self, current: &Credential) -> Credential {
        self.watched.decoy(current)
    }

    async fn disable(&self, id: &CredentialId) -> Result<(), Failure> {
        Err(not_offered("disable", id))
    }

    async fn enable(&self, id: &CredentialId) -> Result<(), Failure> {
        Err(not_offered("enable", id))
    }

    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure> {
        self.within(Class::Unknown, "replace the password", self.replace(id)).await
    }

    fn end_by_hand(&self, id: &CredentialId) -> String {
        match self.named("revoke", id) {
            Ok((slot, _)) => slot.rotate(),
            Err(_) => format!("change the password of {id} at the server"),
        }
    }

    fn list_by_hand(&self) -> String {
        let [one, two] = self.both().map(|slot| slot.show());
        format!("{one} and {two}")
    }

    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure> {
        let (slot, _) = self.named("list the live sessions of", id)?;
        self.watched.sessions_of(slot.login).await.map(Some)
    }

    fn idle_ms(&self) -> u64 {
        self.watched.idle_ms()
    }

    async fn end_sessions(
        &self,
        id: &CredentialId,
        handles: &[String],
        busy: bool,
    ) -> Result<usize, Failure> {
        let (slot, _) = self.named("end the sessions of", id)?;
        self.watched.end_sessions_of(slot.login, handles, busy).await
    }

    async fn sees_refusals(&self, current: &Credential) -> RefusalLog {
        self.watched.sees_refusals(current).await
    }

    async fn mark_refusals(&self, current: &Credential) -> Result<String, Failure> {
        self.watched.mark_refusals(current).await
    }

    async fn refusals(&self, current: &Credential, mark: &str) -> Result<Vec<RefusedUse>, Failure> {
        self.watched.refusals(current, mark).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keyroll_http::via::{self, Dial, Dialed};
    use keyroll_rotation::Overlap;
    use keyroll_secret::{Fields, SecretBytes};
    use keyroll_vault::{VaultLogin, VaultToken};

    use super::*;
    use crate::postgres::{Admin, Options, with_static_roles};

    const REQUEST_MS_MAX: u64 = 7;

    /// Neither server is ever asked.
    fn issuer() -> StaticRoles {
        let options = Options {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            dbname: "orders".to_owned(),
            owner_role: "orders".to_owned(),
            slots: ["orders", "orders_b"].map(str::to_owned),
            root_certificates: None,
            log: None,
            poolers: Vec::new(),
            admin: Admin { user: "watch".to_owned(), password: None, socket_dir: None },
            request_ms_max: REQUEST_MS_MAX,
        };
        let names = ["database/orders", "database/orders-b"].map(str::to_owned);
        let token = VaultToken::new(password::generate().unwrap());
        let vault = VaultSettings {
            address: Some("http://127.0.0.1:8200".to_owned()),
            login: Some(VaultLogin::Environment(token)),
            ..VaultSettings::default()
        };
        with_static_roles(options, parse(&names).unwrap(), &vault).unwrap()
    }

    fn credential(user: &str, password: SecretBytes) -> Credential {
        let mut fields = Fields::new();
        fields.insert("user", SecretBytes::from(user.to_owned()), false);
        fields.insert("password", password, true);
        Credential { id: None, fields }
    }

    #[test]
    fn vault_makes_the_passwords_and_has_no_switch() {
        let issuer = issuer();
        let can = issuer.capabilities();
        assert_eq!((can.minted_by, can.overlap), (MintedBy::Api, Overlap::TwoSlots));
        assert!(can.list && can.sessions && can.mint_replaces && !can.disable && !can.label);
        assert!(can.request_ms_max >= VAULT_MS_MAX + REQUEST_MS_MAX);
        let current = credential("orders", password::generate().unwrap());
        assert!(issuer.propose(&current).unwrap().is_none());
        assert_eq!(issuer.endpoints(), ["127.0.0.1:5432"]);
    }

    #[test]
    fn the_password_in_use_shows_which_bytes_the_next_one_may_have() {
        let issuer = issuer();
        let has = |byte: u8| issuer.value_format().alphabet.contains(&byte);
        assert!(has(b'a') && has(b'Z') && has(b'9') && has(b'-') && !has(b'$') && !has(b' '));
        let mut by_policy = password::generate().unwrap().expose().to_vec();
        by_policy.push(b'$');
        issuer.remember(&credential("orders", SecretBytes::new(by_policy)));
        assert!(has(b'$') && has(b'"') && !has(b' '));
        let mut usual = password::generate().unwrap().expose().to_vec();
        usual.push(b'-');
        issuer.remember(&credential("orders", SecretBytes::new(usual)));
        assert!(!has(b'$'));
    }

    #[tokio::test]
    async fn what_names_no_slot_is_refused_before_anything_is_sent() {
        let issuer = issuer();
        let refused = |failure: Failure| {
            assert_eq!((failure.code, failure.class), (Code::IssuerSettingsInvalid, Class::Permanent));
        };
        for id in ["orders_c@2026-11-28T06:11:22Z", "orders", "orders_b#keyroll/0192/3", "orders_b@"] {
            let id = CredentialId::new(id);
            refused(issuer.revoke(&id).await.unwrap_err());
            refused(issuer.sessions(&id).await.unwrap_err());
            refused(issuer.end_sessions(&id, &[], true).await.unwrap_err());
        }
        let slot = CredentialId::new("orders_b@2026-11-28T06:11:22Z");
        refused(issuer.disable(&slot).await.unwrap_err());
        refused(issuer.enable(&slot).await.unwrap_err());
        let other = credential("orders_c", password::generate().unwrap());
        refused(issuer.preflight(&other).await.unwrap_err());
        refused(issuer.mint("keyroll/r/1", &other, None).await.err().unwrap());
        let [own, idle] = issuer.turn("orders_b").unwrap();
        assert_eq!((own.login, idle.login), ("orders_b", "orders"));
    }

    #[tokio::test]
    async fn a_probe_from_another_host_is_that_of_the_watched_server() {
        struct CutOff;
        #[async_trait]
        impl Dial for CutOff {
            async fn dial(&self, _: &str, _: u16) -> std::io::Result<Dialed> {
                Err(std::io::Error::other("no route from there"))
            }
        }
        let current = credential("orders", password::generate().unwrap());
        let asked =
            via::through(Arc::new(CutOff), async { issuer().probe("127.0.0.1:5432", &current).await });
        assert_eq!(asked.await, Probe::Unknown(via::UNENCRYPTED.to_owned()), "it is not encrypted");
    }

    #[test]
    fn commands_by_hand_name_the_static_roles() {
        let issuer = issuer();
        let id = CredentialId::new("orders_b@2026-11-28T06:11:22Z");
        assert_eq!(issuer.end_by_hand(&id), "vault write -f database/rotate-role/orders-b");
        let both = "vault read database/static-roles/orders and vault read database/static-roles/orders-b";
        assert_eq!(issuer.list_by_hand(), both);
        assert!(parse(&["database/orders", "orders-b"].map(str::to_owned)).is_err());
    }
}
