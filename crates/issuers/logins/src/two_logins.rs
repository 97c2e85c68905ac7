use std::net::SocketAddr;

use crate::directory::{Attempt, Directory, Filling, Login, Switch};
use crate::endpoint::parse_endpoint;
use crate::rules::{check_current, check_slot, find, is_ended, switchable};
use crate::turn::{self, Turn, Wrong, password_of, user_of};
use crate::{id, password};
use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_http::{is_loopback, via};
use keyroll_port::{Class, Failure, Identity, Issuer, Listing, Minted, Probe, Session, ValueFormat};
use keyroll_rotation::Capabilities;
use keyroll_secret::{Credential, CredentialId};

/// The label against which a slot is looked at before there is one.
const REHEARSAL: &str = "keyroll/preflight/0";

/// A server as an issuer: two logins that take turns, with the same rights.
///
/// An id is the login with the label of what was minted into it, `app_a#keyroll/0192/3`, or the bare login where there
/// is no label (an adopted one). The sessions of a credential are those that logged in as its login: each credential
/// has a login of its own, so every session shows which credential opened it.
pub struct TwoLogins {
    directory: Box<dyn Directory>,
    capabilities: Capabilities,
}

impl TwoLogins {
    pub(crate) fn new(directory: impl Directory + 'static) -> Self {
        let capabilities = turn::capabilities(true, directory.options().request_ms_max);
        Self { directory: Box::new(directory), capabilities }
    }

    fn place(&self) -> (&str, u16) {
        (&self.directory.options().host, self.directory.options().port)
    }

    async fn switch(&self, id: &CredentialId, switch: Switch) -> Result<(), Failure> {
        if id::split(id).0 == self.directory.options().admin.user {
            let attempted = format!("{} {:?}", switch.attempt(), id.as_str());
            return Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
                .because("it is keyroll's own login"));
        }
        let logins = self.directory.read().await?;
        let Some(login) = switchable(&logins, id, switch)? else { return Ok(()) };
        if switch == Switch::End && !is_ended(login) && !self.another_lives(&logins, login) {
            // The next credential will be made after this one is gone. Refuse now for any reason that would make that
            // mint fail.
            self.directory.whole("revoke the only login that works").await?;
        }
        self.directory.switch(login, switch).await
    }

    /// Whether the other one of the two logins still lets somebody in.
    fn another_lives(&self, logins: &[Login], than: &Login) -> bool {
        let is_slot = |it: &&Login| self.directory.options().is_slot(&it.name) && it.name != than.name;
        logins.iter().filter(is_slot).any(|it| !it.is_off())
    }

    /// The login whose sessions are the credential's; `None` if it is gone or carries a later credential.
    async fn login_of(&self, id: &CredentialId) -> Result<Option<String>, Failure> {
        let (name, label) = id::split(id);
        let logins = self.directory.read().await?;
        let login = find(&logins, name);
        Ok(login.filter(|it| id::standing(label, &it.mark) != id::Standing::Gone).map(|it| it.name.clone()))
    }

    /// The negative control: a wrong password must be asked for, and refused.
    async fn control(&self, user: &str) -> Result<(), Failure> {
        let wrong = password::generate()?;
        let endpoint = self.directory.options().endpoint();
        let attempted = format!("see a wrong password for {user:?} refused at {endpoint}");
        let failure = |class| Failure::new(class, Code::NegativeControlAccepted, attempted);
        match self.directory.attempt(self.place(), user, &wrong).await {
            Attempt::Refused => Ok(()),
            Attempt::Accepted => Err(failure(Class::Permanent)
                .because("it was accepted: every other check would be worthless")
                .help("let the server ask this login for its password")),
            Attempt::Unknown(why) => Err(failure(Class::Retryable).because(why)),
        }
    }
}

#[async_trait]
impl Issuer for TwoLogins {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn value_format(&self) -> ValueFormat {
        ValueFormat { alphabet: password::ALPHABET.to_vec(), length_max: password::LENGTH }
    }

    fn endpoints(&self) -> Vec<String> {
        vec![self.directory.options().endpoint()]
    }

    fn warnings(&self) -> Vec<String> {
        let [one, two] = &self.directory.options().slots;
        vec![
            format!("the user name changes too: {one:?} and {two:?} take turns, with the same rights"),
            "revoking disables the login and removes its password; the login is never removed".to_owned(),
            turn::OPEN_SESSIONS.to_owned(),
        ]
    }

    async fn preflight(&self, current: &Credential) -> Result<Vec<String>, Failure> {
        let options = self.directory.options();
        let user = user_of(current)?;
        let slot = options.next_slot(user);
        let mut notes = self.directory.check(user, slot).await?;
        let logins = self.directory.read().await?;
        check_current(&logins, options, user)?;
        let sessions = self.directory.sessions(slot).await?.len();
        check_slot(slot, find(&logins, slot), sessions, REHEARSAL)?;
        for login in [user, slot] {
            self.control(login).await?;
        }
        if !options.is_slot(user) {
            notes.push(format!("{user:?} is adopted: it stays, and loses its password when it is revoked"));
        }
        Ok(notes)
    }

    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure> {
        let (user, password) = (user_of(credential)?, password_of(credential)?);
        match self.directory.attempt(self.place(), user, password).await {
            Attempt::Accepted => {}
            Attempt::Refused => return Ok(Identity { id: None, principal: None }),
            Attempt::Unknown(why) => {
                let attempted = format!("log in as {user:?} at {}", self.directory.options().endpoint());
                return Err(Failure::new(Class::Retryable, Code::RequestFailed, attempted).because(why));
            }
        }
        let logins = self.directory.read().await?;
        let id = find(&logins, user).map(|login| id::make(user, &login.mark));
        Ok(Identity { id, principal: Some(user.to_owned()) })
    }

    fn propose(&self, current: &Credential) -> Result<Option<Credential>, Failure> {
        let options = self.directory.options();
        let own = [("host", options.host.clone()), ("port", options.port.to_string())];
        turn::propose(current, &options.slots, &own)
    }

    async fn mint(
        &self,
        label: &str,
        current: &Credential,
        proposed: Option<&Credential>,
    ) -> Result<Minted, Failure> {
        let options = self.directory.options();
        let Turn { user, slot, password, proposed } = turn::turn(&options.slots, label, current, proposed)?;
        if label.contains(|letter: char| !letter.is_ascii_graphic()) {
            return Err(Wrong::Proposal("the label is not one of keyroll's").into());
        }
        let logins = self.directory.read().await?;
        check_current(&logins, options, user)?;
        // If the credential in use has already ended, every consumer waits for the next one: do not let them wait
        // longer because a node is missing.
        if !find(&logins, user).is_some_and(is_ended) {
            self.directory.whole(&format!("mint into the user {slot:?}")).await?;
        }
        let sessions = self.directory.sessions(slot).await?.len();
        check_slot(slot, find(&logins, slot), sessions, label)?;
        self.directory.fill(&Filling { slot, current: user, label, password }).await?;
        let id = id::make(slot, &id::Mark::Ours(label.to_owned()));
        Ok(Minted { id, fields: proposed.fields.duplicate() })
    }

    async fn list(&self, current: &Credential) -> Result<Listing, Failure> {
        let user = user_of(current)?;
        let logins = self.directory.read().await?;
        let competing =
            logins.iter().filter(|it| it.name == user || self.directory.options().is_slot(&it.name));
        let entries = competing.map(|login| id::listed(&login.name, &login.mark, login.is_off()));
        Ok(Listing { entries: entries.collect(), complete: true, incomplete: None })
    }

    async fn probe(&self, endpoint: &str, credential: &Credential) -> Probe {
        let encrypted = self.directory.options().is_encrypted();
        if !encrypted && via::current().is_some() {
            return Probe::Unknown(via::UNENCRYPTED.to_owned());
        }
        let may_reach = |host: &str| encrypted || is_loopback(host);
        let Some(place) = parse_endpoint(endpoint).filter(|(host, _)| may_reach(host)) else {
            return Probe::Unknown(format!("{endpoint:?} is no host:port, or would be reached unencrypted"));
        };
        let (Ok(user), Ok(password)) = (user_of(credential), password_of(credential)) else {
            return Probe::Unknown("the credential lacks the field `user` or `password`".to_owned());
        };
        match self.directory.attempt(place, user, password).await {
            Attempt::Accepted => Probe::Alive,
            Attempt::Refused => Probe::Dead,
            Attempt::Unknown(why) => Probe::Unknown(why),
        }
    }

    async fn seen_as(&self, endpoint: &str, credential: &Credential) -> Result<Option<SocketAddr>, Failure> {
        let may_reach = |host: &str| self.directory.options().is_encrypted() || is_loopback(host);
        let Some(place) = parse_endpoint(endpoint).filter(|(host, _)| may_reach(host)) else {
            return Err(turn::unreachable(endpoint));
        };
        let (user, password) = (user_of(credential)?, password_of(credential)?);
        self.directory.seen_as(place, user, password).await
    }

    fn decoy(&self, current: &Credential) -> Credential {
        turn::decoy(current)
    }

    async fn disable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.switch(id, Switch::Off).await
    }

    async fn enable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.switch(id, Switch::On).await
    }

    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure> {
        self.switch(id, Switch::End).await
    }

    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure> {
        match self.login_of(id).await? {
            Some(user) => {
                // Without every node, connections would be missing from the list, and nobody would notice.
                self.directory.whole("read the live connections").await?;
                self.directory.sessions(&user).await.map(Some)
            }
            None => Ok(Some(Vec::new())),
        }
    }

    fn idle_ms(&self) -> u64 {
        self.directory.idle_ms()
    }

    async fn end_sessions(
        &self,
        id: &CredentialId,
        handles: &[String],
        busy: bool,
    ) -> Result<usize, Failure> {
        match self.login_of(id).await? {
            Some(user) => self.directory.end(&user, handles, busy).await,
            None => Ok(0),
        }
    }
}
