//! PostgreSQL as an issuer: two login roles under one owner role. No effect happens outside one transaction.

mod catalogue;
mod client_address;
mod declared;
mod hba;
mod link;
mod log_line;
mod log_tail;
mod mint;
mod options;
mod pooler;
mod preflight;
mod probe;
mod quote;
mod refusals;
mod server;
mod sessions;
mod settings;
mod switch;
mod tls;
mod verifier;
mod watch;
mod work;

use std::net::SocketAddr;

use crate::declaration::{Admins, LoginServer};
use crate::endpoint::parse_endpoint;
use crate::id::{self, Mark};
use crate::password;
use crate::static_roles::{self, StaticRoles};
use crate::table::Table;
use crate::turn::{self, Turn, password_of, user_of};
use crate::watched::Watched;
use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_http::{Addresses, via};
use keyroll_port::{
    Class, Failure, Identity, Issuer, Listing, Minted, Probe, RefusalLog, RefusedUse, Session, ValueFormat,
};
use keyroll_rotation::Capabilities;
use keyroll_secret::{Credential, CredentialId};
use keyroll_vault::{StaticRole, VaultSettings};

use crate::postgres::link::PostgresError;
use crate::postgres::mint::Mint;
use crate::postgres::options::{ChangedBy, is_local};
use crate::postgres::probe::Attempt;
use crate::postgres::server::Server;
use crate::postgres::switch::Switch;
use crate::postgres::work::Work;

pub use self::options::{Admin, Options, Pooler};
pub use crate::options::REQUEST_MS_MAX_DEFAULT;

pub(crate) static SERVER: LoginServer = LoginServer {
    word: "postgres",
    doc: "A PostgreSQL server, and the two login roles between which rotations alternate.",
    keys: declared::KEYS,
    fields: declared::FIELDS,
    admin: "a superuser, or a role that a superuser makes in psql: CREATE ROLE keyroll_admin LOGIN CREATEROLE; GRANT \
            pg_read_all_stats, pg_signal_backend TO keyroll_admin; from PostgreSQL 16 on also GRANT OWNER_ROLE TO \
            keyroll_admin WITH ADMIN OPTION, INHERIT FALSE, SET FALSE; then \\password keyroll_admin",
    issuer: build,
};

fn build(table: &Table, admins: &Admins<'_>) -> Result<Box<dyn Issuer>, Failure> {
    let options = Options::read(table, admins)?;
    let Some(names) = table.static_roles() else {
        return Ok(Box::new(Postgres::changed_by(options, ChangedBy::Keyroll, admins.addresses)?));
    };
    let roles = static_roles::parse(names)?;
    let watched = Postgres::changed_by(options, ChangedBy::Another, admins.addresses)?;
    Ok(Box::new(StaticRoles::new(Box::new(watched), roles, admins.vault)?))
}

/// Two login roles as an issuer, whose passwords Vault or OpenBao changes by these static roles, in the order of the slots.
/// Checks the options without connecting to either server.
///
/// # Errors
/// K0140, permanent; or the settings of Vault lack an address or a login.
pub fn with_static_roles(
    options: Options,
    roles: [StaticRole; 2],
    vault: &VaultSettings,
) -> Result<StaticRoles, Failure> {
    let watched = Postgres::changed_by(options, ChangedBy::Another, Addresses::Any)?;
    StaticRoles::new(Box::new(watched), roles, vault)
}

/// PostgreSQL as an issuer: two login roles that take turns under one owner role.
///
/// An id is the role with the label of what was minted into it, `orders_a#keyroll/0192/3`, or the bare role where
/// there is no label (an adopted login). Sessions are those that logged in as the role. Facts: PostgreSQL's manual,
/// chapters "Client Authentication" and "Database Roles", and measured on 15.
pub struct Postgres {
    server: Server,
    capabilities: Capabilities,
}

impl Postgres {
    /// Checks the options and reads the roots that TLS trusts, without connecting to the server.
    ///
    /// # Errors
    /// K0140, permanent.
    pub fn new(options: Options) -> Result<Self, Failure> {
        Self::changed_by(options, ChangedBy::Keyroll, Addresses::Any)
    }

    fn changed_by(options: Options, by: ChangedBy, addresses: Addresses) -> Result<Self, Failure> {
        let server = Server::new(options, by, addresses)?;
        let options = &server.options;
        // Over a Unix socket the server shows no client's end.
        let attributes = !options.host.starts_with('/');
        let capabilities = turn::capabilities(attributes, options.request_ms_max);
        Ok(Self { server, capabilities })
    }

    async fn attempt(&self, place: (&str, u16), credential: &Credential) -> Result<Attempt, Failure> {
        let user = user_of(credential)?;
        let password = password_of(credential)?;
        Ok(self.server.attempt(place, self.dbname(credential), user, password).await)
    }

    /// The database that a consumer opens with this credential.
    fn dbname<'a>(&'a self, credential: &'a Credential) -> &'a str {
        let dbname = credential.fields.get("dbname");
        let dbname = dbname.and_then(|field| std::str::from_utf8(field.value.expose()).ok());
        dbname.unwrap_or(&self.server.options.dbname)
    }

    /// Whether the catalogue says that the role cannot log in. False if the catalogue cannot be read.
    async fn is_off(&self, user: &str) -> bool {
        let Ok(work) = Work::open(&self.server).await else { return false };
        let roles = catalogue::read(work.link(), &self.server.options, user).await;
        work.close().await;
        roles.is_ok_and(|roles| roles.role(user).is_some_and(|role| !role.can_login))
    }

    /// Whether keyroll may connect to a host: to another machine only with encryption.
    fn may_reach(&self, host: &str) -> bool {
        self.server.tls.is_some() || is_local(host)
    }

    /// The role whose rights a session of this login must have. With the rights of any other role, consumers would
    /// fail.
    fn wanted(&self, user: &str) -> Option<&str> {
        let ours = user == self.server.options.owner_role || self.server.options.is_slot(user);
        ours.then_some(self.server.options.owner_role.as_str())
    }
}

#[async_trait]
impl Issuer for Postgres {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn value_format(&self) -> ValueFormat {
        ValueFormat { alphabet: password::ALPHABET.to_vec(), length_max: password::LENGTH }
    }

    fn endpoints(&self) -> Vec<String> {
        vec![self.server.options.endpoint()]
    }

    fn warnings(&self) -> Vec<String> {
        vec![
            self.turns(),
            "revoking sets NOLOGIN and removes the password; the role is never dropped".to_owned(),
            turn::OPEN_SESSIONS.to_owned(),
        ]
    }

    async fn preflight(&self, current: &Credential) -> Result<Vec<String>, Failure> {
        preflight::run(&self.server, current).await
    }

    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure> {
        let user = user_of(credential)?;
        match self.attempt(self.server.place(), credential).await? {
            Attempt::Accepted(_) | Attempt::AcceptedBut(_) | Attempt::Denied => {}
            Attempt::WrongPassword | Attempt::NotAuthorized(_) => {
                return Ok(Identity { id: None, principal: None });
            }
            Attempt::Unknown(why) => {
                let attempted = format!("log in as {user:?} at {}", self.server.options.endpoint());
                return Err(Failure::new(Class::Retryable, Code::RequestFailed, attempted).because(why));
            }
        }
        let work = Work::open(&self.server).await?;
        let roles = catalogue::read(work.link(), &self.server.options, user).await;
        let roles = roles.map_err(|fault| work.failed(&fault, "read the roles"))?;
        work.close().await;
        let id = roles.role(user).map(|role| id::make(user, &role.comment));
        Ok(Identity { id, principal: self.wanted(user).map(str::to_owned) })
    }

    fn propose(&self, current: &Credential) -> Result<Option<Credential>, Failure> {
        let options = &self.server.options;
        turn::propose(current, &options.slots, &options.own_fields())
    }

    async fn mint(
        &self,
        label: &str,
        current: &Credential,
        proposed: Option<&Credential>,
    ) -> Result<Minted, Failure> {
        let slots = &self.server.options.slots;
        let Turn { user, slot, password, proposed } = turn::turn(slots, label, current, proposed)?;
        let work = Work::open(&self.server).await?;
        let seen = catalogue::sees_passwords(work.link()).await;
        let seen = seen.map_err(|fault| work.failed(&fault, "read the admin's rights"))?;
        // If the admin cannot read verifiers, only a login can tell whether this password is already set.
        let accepted = !seen
            && matches!(
                self.attempt(self.server.place(), proposed).await?,
                Attempt::Accepted(_) | Attempt::AcceptedBut(_) | Attempt::Denied
            );
        work.begin().await?;
        Mint { slot, current: user, label, password, accepted }.apply(&work, &self.server.options).await?;
        work.commit(&format!("mint into the slot {slot:?}")).await?;
        let id = id::make(slot, &Mark::Ours(label.to_owned()));
        Ok(Minted { id, fields: proposed.fields.duplicate() })
    }

    async fn list(&self, current: &Credential) -> Result<Listing, Failure> {
        let user = user_of(current)?;
        let work = Work::open(&self.server).await?;
        let read = |fault: PostgresError| work.failed(&fault, "read the roles");
        let roles = catalogue::read(work.link(), &self.server.options, user).await.map_err(read)?;
        work.close().await;
        let entries = roles
            .credentials(&self.server.options)
            .map(|role| id::listed(&role.name, &role.comment, role.is_off()));
        Ok(Listing { entries: entries.collect(), complete: true, incomplete: None })
    }

    async fn probe(&self, endpoint: &str, credential: &Credential) -> Probe {
        let Some(place) = parse_endpoint(endpoint).filter(|(host, _)| self.may_reach(host)) else {
            return Probe::Unknown(format!("{endpoint:?} is no host:port, or would be reached unencrypted"));
        };
        let Ok(user) = user_of(credential) else {
            return Probe::Unknown("the credential has no field `user`".to_owned());
        };
        let attempt = match self.attempt(place, credential).await {
            Ok(attempt) => attempt,
            Err(_) => return Probe::Unknown("the credential has no field `password`".to_owned()),
        };
        // The admin reads the catalogue from the machine of keyroll, wherever the login was tried.
        let off = matches!(attempt, Attempt::NotAuthorized(_)) && via::from_here(self.is_off(user)).await;
        attempt.judge(off, self.wanted(user))
    }

    async fn seen_as(&self, endpoint: &str, credential: &Credential) -> Result<Option<SocketAddr>, Failure> {
        let Some(place) = parse_endpoint(endpoint).filter(|(host, _)| self.may_reach(host)) else {
            return Err(turn::unreachable(endpoint));
        };
        let (user, password) = (user_of(credential)?, password_of(credential)?);
        let seen = self.server.seen_as(place, self.dbname(credential), user, password).await;
        seen.map_err(|fault| fault.without_effect(Code::RequestFailed, turn::asking_seen_as(endpoint)))
    }

    fn decoy(&self, current: &Credential) -> Credential {
        turn::decoy(current)
    }

    async fn disable(&self, id: &CredentialId) -> Result<(), Failure> {
        switch::apply(&self.server, id, Switch::Off).await?;
        sessions::end_pooled(&self.server, id).await
    }

    async fn is_wholly_off(&self, id: &CredentialId) -> Result<bool, Failure> {
        sessions::none_pooled(&self.server, id).await
    }

    async fn enable(&self, id: &CredentialId) -> Result<(), Failure> {
        switch::apply(&self.server, id, Switch::On).await
    }

    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure> {
        switch::apply(&self.server, id, Switch::End).await?;
        sessions::end_pooled(&self.server, id).await
    }

    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure> {
        sessions::list(&self.server, id).await.map(Some)
    }

    async fn end_sessions(
        &self,
        id: &CredentialId,
        handles: &[String],
        busy: bool,
    ) -> Result<usize, Failure> {
        sessions::end(&self.server, id, handles, busy).await
    }

    async fn sees_refusals(&self, _: &Credential) -> RefusalLog {
        refusals::sees(&self.server).await
    }

    async fn mark_refusals(&self, _: &Credential) -> Result<String, Failure> {
        self.server.own.forget_refused();
        refusals::mark(&self.server).await
    }

    async fn refusals(&self, current: &Credential, mark: &str) -> Result<Vec<RefusedUse>, Failure> {
        let role = user_of(current)?;
        // Our own refused logins are subtracted by their count, because the log does not show the client's port of a
        // refused login.
        let ours = self.server.own.refused(role);
        let found = refusals::since(&self.server, role, mark).await?;
        Ok(found.into_iter().skip(ours).collect())
    }
}

/// Where another party changes the passwords.
#[async_trait]
impl Watched for Postgres {
    fn slots(&self) -> &[String; 2] {
        &self.server.options.slots
    }

    fn own_fields(&self) -> Vec<(&'static str, String)> {
        self.server.options.own_fields()
    }

    fn turns(&self) -> String {
        let [one, two] = &self.server.options.slots;
        let owner = &self.server.options.owner_role;
        format!("the user name changes too: {one:?} and {two:?} take turns; objects stay with {owner:?}")
    }

    async fn watch(&self, current: &str, idle: &str) -> Result<Vec<String>, Failure> {
        watch::run(&self.server, current, idle).await
    }

    async fn sessions_of(&self, login: &str) -> Result<Vec<Session>, Failure> {
        sessions::list_of(&self.server, login).await
    }

    async fn end_sessions_of(&self, login: &str, handles: &[String], busy: bool) -> Result<usize, Failure> {
        sessions::end_of(&self.server, login, handles, busy).await
    }

    async fn end_unused_sessions_of(&self, login: &str) -> Result<(), Failure> {
        sessions::end_pooled_of(&self.server, login).await
    }
}
